//! The files of llama-bench-tuner, written and read, so that scripts made for them go on working.
//!
//! Its words: `ngl` GPU layers (-1 for what is left to llama.cpp), `b` batch, `ub` physical batch, `fa` flash attention (0 or 1; what is left to
//! llama.cpp counts as 1, since it turns it on wherever it can), rates in tokens per second. A failed trial has
//! empty rates here, where llama-bench-tuner wrote 0.

pub mod csv;
pub mod read;
pub mod write;

pub use read::{Imported, read};
pub use write::{files, rankings};

/// Columns of `summary_*.csv`.
pub const SUMMARY: [&str; 12] = [
    "ok",
    "ngl",
    "b",
    "ub",
    "fa",
    "decode_tps",
    "prefill_tps",
    "csv",
    "stderr",
    "start",
    "end",
    "elapsed_sec",
];

/// Columns of `optuna_trials.csv`.
pub const TRIALS: [&str; 9] =
    ["number", "value", "state", "ngl", "batch", "fa", "prefill_tps", "csv", "stderr"];

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system does not give it.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It says something that is not understood.
    #[error("{file}, line {line}, column {column}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The field (in CSV) or the letter (in JSON), from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
}
