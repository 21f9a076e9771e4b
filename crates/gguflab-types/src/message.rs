//! The protocol between the program and its worker: one JSON object on a line, commands one way, messages the
//! other. Both sides state [`PROTOCOL_VERSION`] first; a worker of another version is refused by name.

use crate::configuration::Configuration;
use crate::evaluation::{Evaluation, Opened, WindowScores};
use crate::event::{Level, Phase};
use crate::job::Protocol;
use crate::machine::Device;
use crate::operation::Anatomy;
use crate::outputs::Reading;
use crate::sample::Sample;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};

/// Raised when a message changes its meaning.
pub const PROTOCOL_VERSION: u32 = 4;

/// What the worker is told. Every command but `Abort` and `Quit` is answered with exactly one [`Message::Done`] or
/// [`Message::Failed`] of the same number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Number of the request, chosen by the sender.
    pub request: u64,
    /// What to do.
    pub order: Order,
}

/// An order to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Load a model, in place of the one that is loaded.
    Load {
        /// Path of the model.
        path: String,
        /// Settings of knobs whose scope is the model.
        configuration: Configuration,
    },
    /// Make a context on the loaded model and measure the workload in it.
    Bench {
        /// Settings of all knobs.
        configuration: Configuration,
        /// What to run.
        workload: Workload,
        /// How to measure.
        protocol: Protocol,
        /// Threads that are used where the configuration leaves them to the engine.
        threads: u32,
    },
    /// Measure one more repetition of one request in the context of the last `Bench`.
    Repeat {
        /// Which request of the workload.
        index: u32,
    },
    /// Read fixed tokens with the loaded model and write their logits to a file ([`crate::outputs::Head`]).
    Read {
        /// Settings of all knobs.
        configuration: Configuration,
        /// Where the tokens come from.
        protocol: Protocol,
        /// Threads that are used where the configuration leaves them to the engine.
        threads: u32,
        /// What is read and kept.
        reading: Reading,
        /// Path of the file that is written.
        path: String,
    },
    /// Time the operations of the first request of a workload with the loaded model, one by one.
    Operations {
        /// Settings of all knobs.
        configuration: Configuration,
        /// What is run.
        workload: Workload,
        /// How it is run; each repetition is a run without stops and one that stops after every operation.
        protocol: Protocol,
        /// Threads that are used where the configuration leaves them to the engine.
        threads: u32,
    },
    /// Load what an evaluation needs, in place of the model that is loaded, and cut its texts into windows.
    OpenEvaluation {
        /// What is evaluated.
        evaluation: Box<Evaluation>,
        /// Threads that are used where a configuration leaves them to the engine.
        threads: u32,
    },
    /// Score one window of the evaluation that is open.
    Score {
        /// Number of the window.
        chunk: u32,
        /// Which candidates.
        candidates: Vec<u32>,
    },
    /// Close the recording of the evaluation that is open: its file is whole then.
    FinishRecording,
    /// Count the tokens of texts with the loaded model.
    CountTokens {
        /// The texts.
        texts: Vec<String>,
    },
    /// List the devices.
    Devices,
    /// Make the command that runs now fail as aborted; obeyed at once, answered by that command.
    Abort,
    /// Free everything and end.
    Quit,
}

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// First line: who this is.
    Hello(Hello),
    /// A phase begins; said before every native call that may not come back.
    Phase {
        /// Number of the command.
        request: u64,
        /// The phase.
        phase: Phase,
    },
    /// Still alive; said four times a second by a thread of its own.
    Heartbeat {
        /// Peak resident bytes so far.
        peak_memory: u64,
    },
    /// A line of the engine's log.
    Log {
        /// How grave.
        level: Level,
        /// What.
        text: String,
    },
    /// A repetition begins now.
    RepetitionStarted {
        /// Number of the command.
        request: u64,
        /// Which request of the workload.
        index: u32,
    },
    /// The prompt of the repetition is done, and tokens are generated now.
    PromptDone {
        /// Number of the command.
        request: u64,
        /// Processor seconds (user + system) of the worker since the repetition began.
        cpu_time: f64,
    },
    /// A repetition ended.
    Repetition {
        /// Number of the command.
        request: u64,
        /// Which request of the workload; `None` for values of the whole trial.
        index: Option<u32>,
        /// Wall seconds that it took.
        duration: f64,
        /// Processor seconds (user + system) of the worker meanwhile.
        cpu_time: f64,
        /// What was measured.
        samples: Vec<Sample>,
    },
    /// The devices.
    Devices {
        /// Number of the command.
        request: u64,
        /// All but the CPU.
        devices: Vec<Device>,
    },
    /// The operations of a request.
    Operations {
        /// Number of the command.
        request: u64,
        /// What they cost.
        anatomy: Box<Anatomy>,
    },
    /// An evaluation is open.
    EvaluationOpened {
        /// Number of the command.
        request: u64,
        /// What it consists of.
        opened: Opened,
    },
    /// A window was scored.
    Scored {
        /// Number of the command.
        request: u64,
        /// What came of it.
        scores: Box<WindowScores>,
    },
    /// Texts were counted.
    TokensCounted {
        /// Number of the command.
        request: u64,
        /// Tokens of each text.
        counts: Vec<u64>,
    },
    /// The native code is about to abort the process, with its last words.
    Aborting {
        /// File, line and message.
        text: String,
    },
    /// The command was carried out.
    Done {
        /// Number of the command.
        request: u64,
    },
    /// The command was not carried out; the worker lives on.
    Failed {
        /// Number of the command.
        request: u64,
        /// Why.
        failure: Failure,
    },
}

/// Who the worker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the worker.
    pub protocol: u32,
    /// Version of the worker.
    pub version: String,
    /// Process number.
    pub process: u32,
    /// Build of llama.cpp: number, commit, compiler.
    pub engine: String,
    /// Instruction sets and libraries that the engine was built with and uses.
    pub features: Vec<String>,
    /// Backends that are registered.
    pub backends: Vec<String>,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// Its reason, from the engine's log where it has one.
    pub reason: String,
}

/// Kinds of failure that leave the worker alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The engine refused model, settings or tokens.
    Rejected,
    /// Memory could not be had.
    OutOfMemory,
    /// It was told to stop.
    Aborted,
}
