//! How well models predict a text, and how far they are from a reference: every window of the text is read by the
//! reference and by each candidate, and what each says of its tokens is kept, token by token. Everything that is shown
//! is computed from that.
//!
//! Windows are scored in a seeded random order, so that those that were scored are a sample of all, and each is written
//! to a journal when it is done: a run that was killed goes on where it stopped, and comes to the same numbers.

mod checks;
#[cfg(feature = "hdf5")]
mod comparison;
mod journal;
mod order;
mod record;
mod side;
mod values;

pub(crate) use checks::check_reference;
#[cfg(feature = "hdf5")]
pub use comparison::comparison;
pub use order::{Active, Judged, Rule};
pub(crate) use order::{rules, sequence, shuffled};
pub use record::{RecordRequest, Recorded, record};
pub use side::{Side, SideIdentity};
pub use values::{Values, slices};

use crate::laboratory::each_once;
use crate::turn;
use gguflab_data::sums;
use gguflab_engine::{Control, Engine, EngineError, EngineSpecification, Stop, open};
use gguflab_stats::elimination::Standing;
use gguflab_types::evaluation::{Evaluation, Kept, Opened, Source, WindowScores, Windowing};
use gguflab_types::event::Level;
use gguflab_types::{
    Configuration, Deadlines, Ending, EngineIdentity, Event, Job, Outcome, Protocol, Workload,
};
use journal::Journal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A text that is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// How it is called: a language, for example.
    pub label: String,
    /// A file of UTF-8.
    pub path: PathBuf,
}

/// What is evaluated, and how far.
pub struct EvaluateRequest {
    /// What the candidates are held against.
    pub reference: Option<Side>,
    /// What is evaluated; at least one.
    pub candidates: Vec<Side>,
    /// The texts; empty where a stored reference has its windows in itself.
    pub texts: Vec<Text>,
    /// How they are cut and scored.
    pub windowing: Windowing,
    /// The engine that runs the models.
    pub engine: EngineSpecification,
    /// Folder of what can be made again; `None`: measurements on this machine are not waited for.
    pub cache: Option<PathBuf>,
    /// Which windows, of all texts together; `None`: all.
    pub chunks: Option<Range<u32>>,
    /// When it ends.
    pub rule: Rule,
    /// Seed of the order of the windows.
    pub seed: u64,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Folder of journals; `None`: nothing is kept, and nothing can be resumed.
    pub journals: Option<PathBuf>,
    /// Forget what an earlier run of the same evaluation found.
    pub anew: bool,
}

impl EvaluateRequest {
    /// The first candidate of whose divergence only a lower bound can be known: a sketch beside a sketch.
    #[must_use]
    pub fn bounded(&self) -> Option<&Side> {
        let sketched = self.reference.as_ref().is_some_and(|side| side.identity.kept == Kept::Sketch);
        self.candidates.iter().find(|side| sketched && side.identity.kept == Kept::Sketch)
    }
}

/// What an evaluation is of: what numbers have to share to be comparable, and what a journal has to match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Version of the journal's form.
    pub version: u32,
    /// What the candidates are held against.
    pub reference: Option<SideIdentity>,
    /// What is evaluated.
    pub candidates: Vec<SideIdentity>,
    /// Build of the engine.
    pub engine: String,
    /// How texts are cut and scored.
    pub windowing: Windowing,
    /// The texts.
    pub texts: Vec<TextIdentity>,
    /// Seed of the order of the windows.
    pub seed: u64,
    /// First and end of the windows that are looked at; `None`: all.
    pub chunks: Option<[u32; 2]>,
}

impl Head {
    /// What candidates are judged by.
    #[must_use]
    pub fn judged(&self) -> Judged {
        if self.reference.is_some() { Judged::Divergence } else { Judged::Nll }
    }
}

/// One text by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextIdentity {
    /// How it is called.
    pub label: String,
    /// Hash of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
}

/// An evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// What it is of.
    pub head: Head,
    /// Vocabulary, start token, and the windows of each text.
    pub opened: Opened,
    /// The windows that were scored, in the order in which they were.
    pub scored: Vec<WindowScores>,
    /// Windows that were scored by an earlier run.
    pub resumed: usize,
    /// Windows that could be scored.
    pub population: usize,
    /// When it was to end.
    pub rule: Rule,
    /// Where the candidates stand, if they raced.
    pub standings: Vec<Standing>,
    /// Why it ended.
    pub reason: Reason,
    /// Remarks about models and machine.
    pub warnings: Vec<String>,
}

/// Why an evaluation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// Every window was scored.
    All,
    /// What was asked is known well enough.
    Decided,
    /// The user stopped it.
    Stopped,
    /// A window could not be scored.
    Failed(Ending),
}

/// What is told while an evaluation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// How far it is.
    Progress(Progress),
    /// A line of the engine's log.
    Line(Level, &'a str),
    /// Another process measures on this machine, which is waited for.
    Waiting,
}

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Windows that are scored.
    pub done: usize,
    /// Windows in all.
    pub all: usize,
    /// Candidates that are still in it.
    pub candidates: usize,
}

/// Why nothing was evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A journal that is none.
    #[error("{}: {problem}; remove it, or evaluate with --anew", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another process evaluates the same.
    #[error("{} is written by another process that evaluates the same: wait for it", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// A text is shorter than a window.
    #[error(
        "{} is too short: it has {tokens} of the {needed} tokens of a window; take a longer text, or a smaller --context",
        path.display()
    )]
    Short {
        /// The text.
        path: PathBuf,
        /// Its tokens.
        tokens: u64,
        /// Tokens of the shortest window.
        needed: u32,
    },
    /// A text has too few windows for an interval.
    #[error(
        "the text makes {windows} of the {needed} windows that an interval needs; take a longer text, or a smaller --context"
    )]
    Few {
        /// Windows that there are.
        windows: usize,
        /// Windows that are needed.
        needed: usize,
    },
    /// The engine scores no texts.
    #[error("engine {kind} shows no logits, by which quality is judged: take --engine {known}")]
    NoLogits {
        /// The engine.
        kind: String,
        /// Those that do.
        known: String,
    },
    /// No window is left to look at.
    #[error("--chunks {}..{}: there are windows {}..{}", asked.start, asked.end, there.start, there.end)]
    NoChunks {
        /// What was asked for.
        asked: Range<u32>,
        /// Windows that there are.
        there: Range<u32>,
    },
    /// Sides or settings that do not go together.
    #[error("{0}")]
    Refused(String),
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A store of logits cannot be used.
    #[error(transparent)]
    Store(#[from] gguflab_data::DataError),
    /// It could not be opened.
    #[error("the evaluation ended as {}: {}", .0.outcome, .0.cause)]
    Ended(Ending),
}

/// Evaluates.
///
/// # Errors
/// [`EvaluateError`] when nothing can be scored. What happens to a window is a [`Reason`].
pub fn evaluate(
    request: &EvaluateRequest,
    stop: &Stop,
    watch: &mut dyn FnMut(Told<'_>),
) -> Result<Evaluated, EvaluateError> {
    checks::check(request)?;
    let mut run = Run::new(request)?;
    let head = head(request, called(run.engine.identity()))?;
    let (mut journal, known) = Journal::open(request.journals.as_deref(), &head, request.anew)?;
    let opened = run.open(&evaluation(request), stop, watch)?;
    check_texts(&request.texts, &opened, &request.windowing)?;
    let chunks = chunks(&opened, request.chunks.clone())?;
    let population = chunks.len();
    let mut walk =
        order::Walk::new(chunks, request.seed, request.candidates.len(), request.rule, head.judged());
    let mut found = Evaluated {
        head,
        opened,
        scored: Vec::new(),
        resumed: 0,
        population,
        rule: request.rule,
        standings: Vec::new(),
        reason: Reason::All,
        warnings: each_once(sides(request).flat_map(|side| side.warnings.iter().cloned())),
    };
    let mut known: BTreeMap<u32, WindowScores> =
        known.into_iter().map(|scored| (scored.chunk, scored)).collect();
    while let Some(Active { chunk, candidates }) = walk.next(&found.scored) {
        let (done, all) = (found.scored.len(), population);
        watch(Told::Progress(Progress { done, all, candidates: candidates.len() }));
        if let Some(scored) = known.remove(&chunk).filter(|scored| has_all(scored, &candidates)) {
            found.resumed += 1;
            found.scored.push(scored);
            continue;
        }
        match run.score(chunk, &candidates, stop, watch) {
            Ok(scored) => {
                journal.add(&scored)?;
                found.scored.push(scored);
            }
            Err(ending) => {
                found.reason = if ending.outcome == Outcome::Cancelled {
                    Reason::Stopped
                } else {
                    Reason::Failed(ending)
                };
                break;
            }
        }
    }
    found.standings = walk.standings();
    if found.scored.len() < population && found.reason == Reason::All {
        found.reason = Reason::Decided;
    }
    Ok(found)
}

fn has_all(scored: &WindowScores, candidates: &[u32]) -> bool {
    candidates.iter().all(|candidate| scored.candidates.contains_key(candidate))
}

/// The engine with an evaluation.
struct Run {
    engine: Box<dyn Engine>,
    job: Job,
    turns: Option<PathBuf>,
}

impl Run {
    fn new(request: &EvaluateRequest) -> Result<Run, EvaluateError> {
        // What is set for the process is the same for all sides (`checks`).
        let configuration = sides(request).find_map(|side| match &side.source {
            Source::Model { configuration, .. } => Some(configuration.clone()),
            Source::Store { .. } => None,
        });
        Run::with(
            &request.engine,
            configuration.unwrap_or_default(),
            request.deadlines,
            request.cache.as_deref(),
        )
    }

    fn with(
        engine: &EngineSpecification,
        configuration: Configuration,
        deadlines: Deadlines,
        cache: Option<&Path>,
    ) -> Result<Run, EvaluateError> {
        // The job says how long things may take; what is run is in the evaluation.
        let job = Job {
            model: PathBuf::new(),
            configuration,
            workload: Workload { name: "evaluate".to_string(), requests: Vec::new() },
            protocol: Protocol::default(),
            deadlines,
            // Several models share the process: none of them alone says how much it may take.
            memory_limit: None,
        };
        Ok(Run { engine: open(engine)?, job, turns: cache.map(turn::file) })
    }

    fn open(
        &mut self,
        evaluation: &Evaluation,
        stop: &Stop,
        watch: &mut dyn FnMut(Told<'_>),
    ) -> Result<Opened, EvaluateError> {
        let opened =
            self.engine.open_evaluation(&self.job, evaluation, stop, &mut |event| log(&event, watch));
        opened.map_err(refused)
    }

    fn score(
        &mut self,
        chunk: u32,
        candidates: &[u32],
        stop: &Stop,
        watch: &mut dyn FnMut(Told<'_>),
    ) -> Result<WindowScores, Ending> {
        // Whoever measures on this machine is not disturbed by it.
        let Some(_turn) = turn::take(self.turns.as_deref(), stop, &mut || watch(Told::Waiting)) else {
            return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
        };
        self.engine.score(&self.job, chunk, candidates, stop, &mut |event| log(&event, watch))
    }
}

/// Passes on what the engine says.
fn log(event: &Event, watch: &mut dyn FnMut(Told<'_>)) -> Control {
    if let Event::Log(level, text) = event {
        watch(Told::Line(*level, text));
    }
    Control::Continue
}

/// A refusal is about what the user named; anything else is about the engine.
pub(crate) fn refused(ending: Ending) -> EvaluateError {
    match ending.outcome {
        Outcome::Rejected => EvaluateError::Refused(ending.cause),
        _ => EvaluateError::Ended(ending),
    }
}

fn sides(request: &EvaluateRequest) -> impl Iterator<Item = &Side> {
    request.reference.iter().chain(&request.candidates)
}

fn evaluation(request: &EvaluateRequest) -> Evaluation {
    Evaluation {
        reference: request.reference.as_ref().map(|side| side.source.clone()),
        candidates: request.candidates.iter().map(|side| side.source.clone()).collect(),
        texts: request.texts.iter().map(|text| text.path.clone()).collect(),
        windowing: request.windowing.clone(),
        recording: None,
    }
}

fn head(request: &EvaluateRequest, engine: String) -> Result<Head, EvaluateError> {
    Ok(Head {
        version: journal::VERSION,
        reference: request.reference.as_ref().map(Side::with_content).transpose()?,
        candidates: request.candidates.iter().map(Side::with_content).collect::<Result<_, _>>()?,
        engine,
        windowing: request.windowing.clone(),
        texts: request.texts.iter().map(text_identity).collect::<Result<_, _>>()?,
        seed: request.seed,
        chunks: request.chunks.clone().map(|chunks| [chunks.start, chunks.end]),
    })
}

/// The engine with all that it is started with.
fn called(engine: &EngineIdentity) -> String {
    let environment = engine.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let further: Vec<String> = environment
        .chain(engine.wrapper.iter().cloned())
        .chain(engine.library_paths.iter().cloned())
        .collect();
    if further.is_empty() {
        engine.build.clone()
    } else {
        format!("{} ({})", engine.build, further.join(" "))
    }
}

pub(crate) fn text_identity(text: &Text) -> Result<TextIdentity, EvaluateError> {
    let failed = |source| file("read", &text.path, source);
    Ok(TextIdentity {
        label: text.label.clone(),
        sha256: sums::of_file(&text.path).map_err(failed)?,
        bytes: std::fs::metadata(&text.path).map_err(failed)?.len(),
    })
}

fn file(what: &'static str, path: &Path, source: io::Error) -> EvaluateError {
    EvaluateError::File { what, path: path.to_path_buf(), source }
}

pub(crate) fn check_texts(
    texts: &[Text],
    opened: &Opened,
    windowing: &Windowing,
) -> Result<(), EvaluateError> {
    match texts.iter().zip(&opened.texts).find(|(_, size)| size.windows == 0) {
        Some((text, size)) => Err(EvaluateError::Short {
            path: text.path.clone(),
            tokens: size.tokens,
            needed: windowing.shortest(opened.start),
        }),
        None => Ok(()),
    }
}

pub(crate) fn chunks(opened: &Opened, asked: Option<Range<u32>>) -> Result<Vec<u32>, EvaluateError> {
    let all: u32 = opened.texts.iter().map(|text| text.windows).sum();
    let [first, end] = opened.stored.unwrap_or([0, all]);
    let asked = asked.unwrap_or(first..end);
    let range = asked.start.max(first)..asked.end.min(end);
    if range.is_empty() {
        return Err(EvaluateError::NoChunks { asked, there: first..end });
    }
    Ok(range.collect())
}
