//! What every engine does, and the table of engines.

use crate::engines;
use crate::load::{Sink, Work};
use gguflab_types::evaluation::{Evaluation, Opened, WindowScores};
use gguflab_types::machine::{Device, Machine};
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::operation::Anatomy;
use gguflab_types::outputs::Reading;
use gguflab_types::{
    Configuration, Declared, Ending, EngineIdentity, Event, Forecast, Job, ModelIdentity, Outcome, Workload,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs trials. A crash, a hang or a refusal is an [`Ending`], not an error.
///
/// Contract (tested for every engine by `tests/it/contract.rs`): [`Engine::run`] tells only known metrics,
/// returns within the job's deadlines plus the grace for killing, leaves no process behind when it is dropped,
/// can run the next job after any ending, sets the environment variables that the job's configuration names
/// (`Configuration::environment`) for the process that it measures, and ends with `Measured` only when every request
/// of the workload has its repetitions. Noisy ones are flagged and repeated as often as the protocol allows; on a machine that never
/// becomes quiet they are all there is, and the reader is told.
pub trait Engine {
    /// Who it is; part of the subject.
    fn identity(&self) -> &EngineIdentity;

    /// The devices besides the CPU that it can use.
    ///
    /// # Errors
    /// When the engine cannot be started or does not answer.
    fn devices(&mut self) -> Result<Vec<Device>, EngineError>;

    /// The machine and the model that it stands for, where those are not this machine and the job's file.
    fn scene(&self) -> Option<&Scene> {
        None
    }

    /// The knobs that it has instead of those of the table; `None`: those of the table.
    fn declared(&self) -> Option<Declared> {
        None
    }

    /// Whether it measures a model file; one that does not has what it measures in itself.
    fn needs_model(&self) -> bool {
        true
    }

    /// The metrics that it tells besides those of the table.
    fn declared_metrics(&self) -> &[DeclaredMetric] {
        &[]
    }

    /// What foretells the needs of configurations for a model (an empty path: none) and a workload, if it can.
    fn estimator(&self, _model: &Path, _workload: &Workload) -> Option<Arc<dyn Estimator + Send + Sync>> {
        None
    }

    /// Runs one trial, telling events to `sink` as they happen. Returns early, `Cancelled`, when `stop` is set,
    /// and with the ending that the sink gives when it says [`Control::End`].
    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending;

    /// Gives back what it holds of a GPU's memory for the next job, which then loads anew: the next to run may need it. Memory of
    /// the host is kept: the system shares what is mapped, and takes back what it needs.
    fn release(&mut self) {}

    /// Reads fixed tokens with the model and the configuration of a job and writes their logits to `file`, in the form
    /// of [`gguflab_types::outputs::Head`]. Ends with `Measured` only when the file is whole, and with `Rejected` where
    /// the engine shows no logits. The workload of the job says how much room is needed.
    fn read(
        &mut self,
        _job: &Job,
        _reading: &Reading,
        _file: &Path,
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Ending {
        lacks(self.identity(), "logits")
    }

    /// Times the operations of the first request of a job's workload one by one.
    ///
    /// # Errors
    /// How it ended instead; `Rejected` where the engine shows no operations.
    fn operations(
        &mut self,
        _job: &Job,
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Anatomy, Ending> {
        Err(lacks(self.identity(), "operations"))
    }

    /// Opens an evaluation: loads its models and cuts its texts into windows. The job says how long things may take; its
    /// model and configuration are not looked at.
    ///
    /// # Errors
    /// How it ended instead; `Rejected` where the engine shows no logits.
    fn open_evaluation(
        &mut self,
        _job: &Job,
        _evaluation: &Evaluation,
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Opened, Ending> {
        Err(lacks(self.identity(), "logits"))
    }

    /// Scores one window of the evaluation that is open, for some of its candidates.
    ///
    /// # Errors
    /// How it ended instead; then the evaluation may have to be opened anew.
    fn score(
        &mut self,
        _job: &Job,
        _chunk: u32,
        _candidates: &[u32],
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<WindowScores, Ending> {
        Err(lacks(self.identity(), "logits"))
    }

    /// Closes the recording of the evaluation that is open.
    ///
    /// # Errors
    /// How it ended instead.
    fn finish_recording(
        &mut self,
        _job: &Job,
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<(), Ending> {
        Err(lacks(self.identity(), "logits"))
    }

    /// Tokens of each text, as the model of a job counts them.
    ///
    /// # Errors
    /// How it ended instead; `Rejected` where the engine shows no tokens.
    fn count_tokens(
        &mut self,
        _job: &Job,
        _texts: &[String],
        _stop: &Stop,
        _sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Vec<u64>, Ending> {
        Err(lacks(self.identity(), "tokens"))
    }

    /// Starts what answers to requests over HTTP, ready for as many at once as the job's workload asks for, and lets
    /// `work` use it. Rejected by engines that are no servers.
    fn serve(&mut self, _job: &Job, _stop: &Stop, _sink: &mut Sink<'_>, _work: &mut Work<'_>) -> Ending {
        Ending::new(
            Outcome::Rejected,
            "this engine is no server: take --engine llama-server=PATH, or --endpoint",
        )
    }
}

/// The ending of what an engine cannot show.
fn lacks(identity: &EngineIdentity, what: &str) -> Ending {
    Ending::new(Outcome::Rejected, format!("{} shows no {what}", identity.kind))
}

/// Foretells what configurations need, without running them.
pub trait Estimator {
    /// A forecast for each, in order; `None` where nothing can be said.
    fn estimate(&self, configurations: &[Configuration]) -> Vec<Option<Forecast>>;
}

/// What a simulated engine stands for: knobs depend on this machine and model instead of the real ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The machine.
    pub machine: Machine,
    /// The model.
    pub model: ModelIdentity,
    /// Layers of the model.
    pub layers: u32,
    /// Experts of the model, 0 when it is dense.
    pub experts: u32,
}

/// What the receiver of an event wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End the trial like this (pruned, for example).
    End(Ending),
}

/// A flag that asks everything to stop; set by Ctrl-C. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag itself, for a signal handler.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Which engine, and how it is started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineSpecification {
    /// Name in [`ENGINES`].
    pub kind: String,
    /// What stands behind `=`: a path, or parameters.
    pub target: Option<String>,
    /// Environment variables to set for it.
    pub environment: BTreeMap<String, String>,
    /// Command to wrap it in, such as `numactl --interleave=all`.
    pub wrapper: Vec<String>,
    /// Folders to add to the search path of libraries.
    pub library_paths: Vec<PathBuf>,
    /// The project's worker executable, needed by `embedded` and to contain foreign programs.
    pub worker: PathBuf,
    /// The knobs that a program of the user's own has instead of those of the table.
    pub declared: Option<Declared>,
    /// The metrics that it tells besides those of the table.
    pub metrics: Vec<DeclaredMetric>,
}

/// One engine in the table.
pub struct EngineRow {
    /// Its name.
    pub name: &'static str,
    /// What stands behind `=`, empty when nothing does.
    pub target: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Whether it is a server, which has knobs of its own.
    pub serves: bool,
    /// Whether it scores texts ([`Engine::open_evaluation`]).
    pub scores: bool,
    /// Starts it.
    pub open: fn(&EngineSpecification) -> Result<Box<dyn Engine>, EngineError>,
}

/// Every engine.
pub const ENGINES: &[EngineRow] = &[
    EngineRow {
        name: "embedded",
        target: "",
        help: "llama.cpp as it is built into gguflab-worker (default)",
        serves: false,
        scores: true,
        open: engines::embedded::open,
    },
    EngineRow {
        name: "worker",
        target: "PATH",
        help: "another build of gguflab-worker",
        serves: false,
        scores: true,
        open: engines::embedded::open,
    },
    EngineRow {
        name: "llama-bench",
        target: "PATH",
        help: "your own llama-bench",
        serves: false,
        scores: false,
        open: engines::llama_bench::open,
    },
    EngineRow {
        name: "llama-server",
        target: "PATH",
        help: "your own llama-server, measured over HTTP as its clients see it",
        serves: true,
        scores: false,
        open: engines::llama_server::open,
    },
    EngineRow {
        name: "command",
        target: "COMMAND",
        help: "any program that takes trials as JSON lines (docs/guides/command-engine.md)",
        serves: false,
        scores: false,
        open: engines::command::open,
    },
    EngineRow {
        name: "simulated",
        target: "PRESET",
        help: "a seeded model of a machine: no model file, no GPU, no waiting",
        serves: false,
        scores: false,
        open: engines::simulated::open,
    },
];

/// Why an engine cannot be used at all. What happens to a single trial is an [`Ending`] instead.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine of that name.
    #[error("unknown engine `{name}`: the engines are {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// `kind=target` lacks its target, or has one too many.
    #[error("engine `{name}` {problem}")]
    Target {
        /// The engine.
        name: String,
        /// What is wrong and what to write.
        problem: String,
    },
    /// A server's address that is none.
    #[error("endpoint {url} {problem}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong and what to write.
        problem: String,
    },
    /// The program cannot be started.
    #[error("cannot start {program}: {source}; {hint}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// It started and then did not behave as this kind of engine does.
    #[error("{program} {problem}")]
    Unusable {
        /// The program.
        program: String,
        /// What it did, and what to do about it.
        problem: String,
    },
}

impl EngineSpecification {
    /// Reads `kind` or `kind=target`, as `--engine` takes it.
    ///
    /// # Errors
    /// [`EngineError::Unknown`] or [`EngineError::Target`].
    pub fn parse(text: &str, worker: PathBuf) -> Result<EngineSpecification, EngineError> {
        let (kind, target) = match text.split_once('=') {
            Some((kind, target)) => (kind, Some(target.to_string())),
            None => (text, None),
        };
        let row = row(kind)?;
        let problem = match (&target, row.target) {
            (None, "PATH") => Some(format!("needs a path: write {kind}=PATH")),
            (Some(target), "PATH") if target.is_empty() => Some(format!("needs a path: write {kind}=PATH")),
            (Some(_), "") => Some("takes no `=`".to_string()),
            _ => None,
        };
        match problem {
            Some(problem) => Err(EngineError::Target { name: kind.to_string(), problem }),
            None => Ok(EngineSpecification { kind: kind.to_string(), target, worker, ..Default::default() }),
        }
    }

    /// The file that runs; a bare name is looked for on PATH. `None` for an engine that is not one program.
    ///
    /// # Errors
    /// [`EngineError::Start`]: it is not there, or cannot be run.
    pub fn program(&self) -> Result<Option<PathBuf>, EngineError> {
        match (row(&self.kind)?.target, &self.target) {
            ("", None) => Ok(Some(self.worker.clone())),
            ("PATH", Some(path)) => engines::locate(Path::new(path), &self.kind).map(Some),
            _ => Ok(None),
        }
    }
}

/// Starts an engine.
///
/// # Errors
/// When there is no such engine, or it cannot be started or used.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    (row(&specification.kind)?.open)(specification)
}

/// Whether engines of this kind (as their identity tells it) are servers, which have knobs of their own.
#[must_use]
pub fn serves(kind: &str) -> bool {
    ENGINES.iter().any(|row| row.name == kind && row.serves)
}

/// Whether engines of this kind (as their identity tells it) score texts.
#[must_use]
pub fn scores(kind: &str) -> bool {
    ENGINES.iter().any(|row| row.name == kind && row.scores)
}

fn row(name: &str) -> Result<&'static EngineRow, EngineError> {
    ENGINES.iter().find(|row| row.name == name).ok_or_else(|| EngineError::Unknown {
        name: name.to_string(),
        known: ENGINES.iter().map(|row| row.name).collect::<Vec<_>>().join(", "),
    })
}
