//! How a trial ended.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a trial ended. A failure is never turned into an invented number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All that was asked for was measured.
    Measured,
    /// Cut short because it could no longer win.
    Pruned,
    /// The engine refused the configuration (or it was refused before it ran).
    Rejected,
    /// Memory ran out, the kernel's kills included.
    OutOfMemory,
    /// The engine died.
    Crashed,
    /// A phase ran past its deadline.
    TimedOut,
    /// The user stopped it.
    Cancelled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 7] = [
        Outcome::Measured,
        Outcome::Pruned,
        Outcome::Rejected,
        Outcome::OutOfMemory,
        Outcome::Crashed,
        Outcome::TimedOut,
        Outcome::Cancelled,
    ];

    /// Its name in files and in the store, the same as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Measured => "measured",
            Outcome::Pruned => "pruned",
            Outcome::Rejected => "rejected",
            Outcome::OutOfMemory => "out_of_memory",
            Outcome::Crashed => "crashed",
            Outcome::TimedOut => "timed_out",
            Outcome::Cancelled => "cancelled",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name().replace('_', " "))
    }
}

/// An outcome with its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words; empty when it was measured without remark.
    pub cause: String,
}

impl Ending {
    /// An ending with a cause.
    pub fn new(outcome: Outcome, cause: impl Into<String>) -> Ending {
        Ending { outcome, cause: cause.into() }
    }

    /// Everything was measured.
    #[must_use]
    pub fn measured() -> Ending {
        Ending::new(Outcome::Measured, "")
    }
}
