//! Scoring what is not known yet of the settings of a trial.

use super::{QualityRequest, Said, window};
use crate::bench::now;
use crate::evaluate::shuffled;
use crate::laboratory::Laboratory;
use crate::run::Recorder;
use crate::study::OpenStudy;
use gguflab_engine::{Control, Stop};
use gguflab_types::{Configuration, Deadlines, Ending, Event, Outcome};
use std::time::Instant;

/// What it takes to score.
pub(crate) struct Scoring<'a> {
    pub(crate) study: &'a OpenStudy,
    pub(crate) request: &'a QualityRequest,
    pub(crate) deadlines: Deadlines,
    pub(crate) stop: &'a Stop,
}

impl Scoring<'_> {
    /// Scores window after window of a configuration, in a seeded random order, until it is known whether it keeps to
    /// what is required, or nothing is left. Windows that are known are not scored again.
    ///
    /// # Errors
    /// How it ended instead.
    pub(crate) fn score(
        &self,
        laboratory: &mut Laboratory,
        configuration: &Configuration,
        said: &mut Said,
        recorder: &mut dyn Recorder,
    ) -> Result<(), Ending> {
        if self.study.is_judged(said) {
            return Ok(());
        }
        let job = self.request.job(laboratory, configuration, self.deadlines);
        let reference = self.reference(configuration);
        let evaluation = self.request.evaluation(laboratory, Some(&reference), configuration);
        let engine = &mut laboratory.engine;
        let opened = engine.open_evaluation(&job, &evaluation, self.stop, &mut told(recorder));
        let opened = opened.map_err(while_scoring)?;
        let windows = self.request.windows(&opened);
        let windows = windows.map_err(|error| Ending::new(Outcome::Rejected, error.to_string()))?;
        let all = windows.len();
        for chunk in shuffled(windows, self.study.settings.seed) {
            if said.has(chunk) {
                continue;
            }
            recorder.scored(said.windows(), all);
            let (started, timed) = (now(), Instant::now());
            let scored = engine.score(&job, chunk, &[0], self.stop, &mut told(recorder));
            let scored = scored.map_err(while_scoring)?;
            let repetition = window(&scored, all, started, timed.elapsed().as_secs_f64());
            recorder.repetition(&repetition);
            said.add(&repetition);
            if let Some(ending) = recorder.objection(0.0) {
                return Err(ending);
            }
            if self.study.is_judged(said) {
                break;
            }
        }
        Ok(())
    }

    /// What it is held against: the same settings but for the knobs that change what is said, which are as in the baseline.
    /// So both sides share the model that is loaded, and what other knobs change of the last digits is no loss of this one.
    /// Where these settings cannot be together it is the baseline.
    fn reference(&self, configuration: &Configuration) -> Configuration {
        let (space, baseline) = (&self.study.plan.space, &self.study.settings.baseline);
        let knobs = self.study.changing().into_iter();
        let mixed = knobs.fold(configuration.clone(), |made, knob| {
            let value = baseline.get(&knob).clone();
            made.with(&knob, value)
        });
        mixed.checked(space.facts()).unwrap_or_else(|_| baseline.clone())
    }
}

fn told(recorder: &mut dyn Recorder) -> impl FnMut(Event) -> Control {
    move |event| {
        match event {
            Event::Alive => recorder.alive(),
            Event::Phase(phase) => recorder.phase(phase),
            Event::Log(level, text) => recorder.line(level, &text),
            Event::Measured(_) => {}
        }
        Control::Continue
    }
}

fn while_scoring(ending: Ending) -> Ending {
    match ending.outcome {
        Outcome::Cancelled => ending,
        _ => Ending { cause: format!("while its quality was judged: {}", ending.cause), ..ending },
    }
}
