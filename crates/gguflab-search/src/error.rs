//! What can be wrong with a space or a plan.

use thiserror::Error;

/// What can be wrong with what the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SearchError {
    /// A setting that the table of knobs refuses; the text names knob, value and what is allowed.
    #[error("{0}")]
    Setting(String),
    /// A list of values that cannot be read.
    #[error(
        "cannot read `{text}`: {reason}; write NAME=VALUES such as threads=1..8, batch=128,256 or threads=2..32:2"
    )]
    Values {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The same knob twice.
    #[error("knob {0} is given twice: put all its values into one list")]
    Repeated(String),
    /// A knob without values to try.
    #[error("knob {0} has no values to try on this machine: give some, as in {0}=VALUE,VALUE")]
    NoValues(String),
    /// Nothing to choose between.
    #[error("nothing to search: the only configuration left is the baseline; give a knob two or more values")]
    Empty,
    /// No configuration of the space is allowed.
    #[error("no configuration of this space is allowed: {0}")]
    Contradictory(String),
    /// A sampler that does not exist.
    #[error("unknown sampler `{given}`: there are auto, {known}")]
    Sampler {
        /// What was given.
        given: String,
        /// What there is.
        known: String,
    },
    /// A budget that allows nothing.
    #[error("the budget is {0}: it must allow at least one run")]
    Budget(String),
}
