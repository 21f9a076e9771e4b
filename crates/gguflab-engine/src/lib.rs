//! Runs a job in a child process and hands back a stream of events; a crash or a hang is an outcome, not an
//! error, and no child outlives its job. Links no llama.cpp.
//!
//! [`engine::ENGINES`] is the table of engines: one file in `engines/` and one row each, all of them through
//! the same contract tests.

pub mod child;
pub mod engine;
pub mod engines;
mod http;
pub mod load;
pub mod machine;
pub mod subject;
pub mod telemetry;

pub use engine::{
    Control, ENGINES, Engine, EngineError, EngineSpecification, Estimator, Stop, open, scores, serves,
};
