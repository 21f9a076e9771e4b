//! Records what a reference says of a text, to be compared with later.

use super::{
    EvaluateError, Progress, Run, Side, SideIdentity, Text, Told, check_texts, refused, text_identity,
};
use gguflab_data::sums;
use gguflab_engine::{Control, EngineSpecification, Stop};
use gguflab_types::evaluation::{Evaluation, Opened, RecordingOrder, Source, StoreForm, Windowing};
use gguflab_types::{Deadlines, Ending};
use std::ops::Range;
use std::path::PathBuf;

/// What is recorded, and where.
pub struct RecordRequest {
    /// The reference; a model.
    pub reference: Side,
    /// The texts.
    pub texts: Vec<Text>,
    /// How they are cut and scored.
    pub windowing: Windowing,
    /// Which windows, of all texts together; `None`: all.
    pub chunks: Option<Range<u32>>,
    /// The store.
    pub path: PathBuf,
    /// What it keeps.
    pub form: StoreForm,
    /// Seed of what is drawn.
    pub seed: u64,
    /// The engine that runs the model.
    pub engine: EngineSpecification,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Folder of what can be made again; `None`: measurements on this machine are not waited for.
    pub cache: Option<PathBuf>,
}

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What was opened.
    pub opened: Opened,
    /// Windows that were recorded now.
    pub windows: usize,
    /// Windows that an earlier run recorded.
    pub resumed: usize,
    /// Positions that are in the store now; 0 when it is not whole.
    pub positions: u64,
    /// Bytes of the store; 0 when it is not whole.
    pub bytes: u64,
    /// How it ended, if not with the whole store.
    pub ending: Option<Ending>,
}

/// Records; goes on with a recording of the same that was begun.
///
/// # Errors
/// [`EvaluateError`] when nothing can be recorded.
pub fn record(
    request: &RecordRequest,
    stop: &Stop,
    watch: &mut dyn FnMut(Told<'_>),
) -> Result<Recorded, EvaluateError> {
    let Source::Model { configuration, .. } = &request.reference.source else {
        return Err(EvaluateError::Refused(
            "a store is recorded from a model, not from another store".to_string(),
        ));
    };
    let mut run =
        Run::with(&request.engine, configuration.clone(), request.deadlines, request.cache.as_deref())?;
    let opened = run.open(&evaluation(request)?, stop, watch)?;
    check_texts(&request.texts, &opened, &request.windowing)?;
    let chunks = super::chunks(&opened, request.chunks.clone())?;
    let all = chunks.len();
    let (mut windows, mut positions) = (0, 0);
    let left: Vec<u32> = chunks.into_iter().filter(|chunk| !opened.recorded.contains(chunk)).collect();
    let resumed = all - left.len();
    let mut ending = None;
    for chunk in left {
        watch(Told::Progress(Progress { done: resumed + windows, all, candidates: 1 }));
        match run.score(chunk, &[], stop, watch) {
            Ok(scored) => {
                windows += 1;
                positions += scored.reference.map_or(0, |scores| scores.nll.len() as u64);
            }
            Err(failure) => {
                ending = Some(failure);
                break;
            }
        }
    }
    let mut bytes = 0;
    if ending.is_none() {
        let closed = run.engine.finish_recording(&run.job, stop, &mut |_| Control::Continue);
        closed.map_err(refused)?;
        bytes = std::fs::metadata(&request.path)
            .map_err(|source| super::file("read", &request.path, source))?
            .len();
    }
    Ok(Recorded { opened, windows, resumed, positions, bytes, ending })
}

fn evaluation(request: &RecordRequest) -> Result<Evaluation, EvaluateError> {
    let identity = &request.reference.identity;
    let order = RecordingOrder {
        path: request.path.clone(),
        form: request.form,
        model: [identity.file.clone(), with_settings(identity)],
        tokenizer: identity.tokenizer.clone(),
        text: hash(&request.texts)?,
        seed: request.seed,
        chunks: request.chunks.clone().map(|chunks| [chunks.start, chunks.end]),
    };
    Ok(Evaluation {
        reference: Some(request.reference.source.clone()),
        candidates: Vec::new(),
        texts: request.texts.iter().map(|text| text.path.clone()).collect(),
        windowing: request.windowing.clone(),
        recording: Some(order),
    })
}

/// A model with other settings says something else: it is not the same reference.
fn with_settings(identity: &SideIdentity) -> String {
    match identity.settings.as_str() {
        "" | "default" => identity.fingerprint.clone(),
        settings => format!("{} with {settings}", identity.fingerprint),
    }
}

/// Hash of all texts: that of a single one, else that of all hashes.
fn hash(texts: &[Text]) -> Result<String, EvaluateError> {
    let hashes: Vec<String> =
        texts.iter().map(|text| Ok(text_identity(text)?.sha256)).collect::<Result<_, EvaluateError>>()?;
    Ok(match hashes.as_slice() {
        [only] => only.clone(),
        several => sums::of_bytes(several.concat().as_bytes()),
    })
}
