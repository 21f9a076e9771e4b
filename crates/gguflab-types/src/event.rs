//! What an engine tells while it works: the interface between running and everything that watches.

use crate::sample::Repetition;
use serde::{Deserialize, Serialize};

/// What the engine is doing; each has its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The process starts.
    Start,
    /// The model is loaded.
    Load,
    /// The context is made.
    Context,
    /// Repetitions that are not measured.
    Warmup,
    /// Repetitions that are measured.
    Measure,
    /// Things are freed.
    Free,
}

impl Phase {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Start => "starting",
            Phase::Load => "loading the model",
            Phase::Context => "making the context",
            Phase::Warmup => "warming up",
            Phase::Measure => "measuring",
            Phase::Free => "freeing memory",
        }
    }
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For developers of the engine.
    Debug,
    /// Normal talk.
    Information,
    /// Something is odd.
    Warning,
    /// Something failed.
    Error,
}

/// Something that happened while a job ran.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The engine lives and works; told now and then while nothing else is.
    Alive,
    /// A phase began.
    Phase(Phase),
    /// The engine said something.
    Log(Level, String),
    /// A repetition was measured. Noisy ones are told too, with their reason.
    Measured(Box<Repetition>),
}
