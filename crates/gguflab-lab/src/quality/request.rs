//! By what text quality is judged, and against what: what a study keeps of it, and what is needed to score.

use crate::evaluate::{
    EvaluateError, Side, SideIdentity, Text, TextIdentity, check_reference, check_texts, chunks,
    text_identity,
};
use crate::laboratory::Laboratory;
use gguflab_engine::{Control, ENGINES, Stop, scores};
use gguflab_stats::ConfidenceSequence;
use gguflab_types::evaluation::{Evaluation, Opened, Source, Windowing};
use gguflab_types::{Configuration, Deadlines, Job, Protocol};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What figures of quality depend on besides the settings; part of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualitySettings {
    /// What candidates are held against; `None`: the same settings with the values of the baseline.
    pub reference: Option<SideIdentity>,
    /// The texts; none where a stored reference has its windows in itself.
    pub texts: Vec<TextIdentity>,
    /// How they are cut and scored.
    pub windowing: Windowing,
    /// First and end of the windows that may be scored; `None`: all.
    pub chunks: Option<[u32; 2]>,
}

/// What is needed to score, with the places of files.
#[derive(Debug, Clone)]
pub struct QualityRequest {
    /// What a study keeps.
    pub settings: QualitySettings,
    texts: Vec<Text>,
    reference: Option<Source>,
}

impl QualityRequest {
    /// Of texts, cut and scored in this way, against a reference of its own if there is one.
    ///
    /// # Errors
    /// [`EvaluateError::NoLogits`] for an engine that scores nothing, [`EvaluateError::Refused`] for a reference of another
    /// tokenizer or process; a file that cannot be read.
    pub fn new(
        laboratory: &Laboratory,
        texts: Vec<Text>,
        windowing: Windowing,
        chunks: Option<Range<u32>>,
        reference: Option<&Side>,
    ) -> Result<QualityRequest, EvaluateError> {
        let kind = &laboratory.subject.engine.kind;
        if !scores(kind) {
            let rows = ENGINES.iter().filter(|row| row.scores).map(|row| row.name);
            let known = rows.collect::<Vec<&str>>().join(" or ");
            return Err(EvaluateError::NoLogits { kind: kind.clone(), known });
        }
        if let Some(reference) = reference {
            check_reference(reference, &laboratory.subject.model)?;
        }
        let settings = QualitySettings {
            reference: reference.map(Side::with_content).transpose()?.map(nameless),
            texts: texts.iter().map(text_identity).collect::<Result<_, _>>()?,
            windowing,
            chunks: chunks.map(|chunks| [chunks.start, chunks.end]),
        };
        Ok(QualityRequest { settings, texts, reference: reference.map(|side| side.source.clone()) })
    }

    /// Cuts the texts once, before anything is measured: a text that can decide nothing is refused at once.
    ///
    /// # Errors
    /// [`EvaluateError::Short`], [`EvaluateError::Few`], and whatever keeps models and texts from being opened.
    pub fn check(
        &self,
        laboratory: &mut Laboratory,
        baseline: &Configuration,
        deadlines: Deadlines,
        stop: &Stop,
    ) -> Result<(), EvaluateError> {
        let Some(_turn) = laboratory.take_turn(stop, &mut || {}) else { return Ok(()) };
        let job = self.job(laboratory, baseline, deadlines);
        let evaluation = self.evaluation(laboratory, None, baseline);
        let opened = laboratory.engine.open_evaluation(&job, &evaluation, stop, &mut |_| Control::Continue);
        let windows = self.windows(&opened.map_err(crate::evaluate::refused)?)?.len();
        let needed = ConfidenceSequence::DEFAULT.first;
        if windows < needed { Err(EvaluateError::Few { windows, needed }) } else { Ok(()) }
    }

    /// The windows that may be scored.
    pub(super) fn windows(&self, opened: &Opened) -> Result<Vec<u32>, EvaluateError> {
        check_texts(&self.texts, opened, &self.settings.windowing)?;
        chunks(opened, self.settings.chunks.map(|[first, end]| first..end))
    }

    /// A job that says how long things may take, and how much memory: where a reference of its own is loaded beside the
    /// model, nothing says that.
    pub(super) fn job(
        &self,
        laboratory: &Laboratory,
        configuration: &Configuration,
        deadlines: Deadlines,
    ) -> Job {
        let job = laboratory.job(configuration, &Protocol::default(), deadlines);
        let memory_limit = job.memory_limit.filter(|_| self.reference.is_none());
        Job { memory_limit, ..job }
    }

    /// A candidate against the reference: that of the request, or other settings of the same model, or none.
    pub(super) fn evaluation(
        &self,
        laboratory: &Laboratory,
        reference: Option<&Configuration>,
        candidate: &Configuration,
    ) -> Evaluation {
        let own = |configuration: &Configuration| Source::Model {
            path: laboratory.model().to_path_buf(),
            configuration: configuration.spelled_out(&laboratory.facts),
        };
        Evaluation {
            reference: self.reference.clone().or_else(|| reference.map(own)),
            candidates: vec![own(candidate)],
            texts: self.texts.iter().map(|text| text.path.clone()).collect(),
            windowing: self.settings.windowing.clone(),
            recording: None,
        }
    }
}

/// Where a file lies says nothing of what is in it.
fn nameless(identity: SideIdentity) -> SideIdentity {
    SideIdentity { name: String::new(), ..identity }
}
