//! What an engine is asked to do for one trial.

use crate::configuration::Configuration;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};

/// Where the prompt tokens come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// Tokens of a text: the same work that a user brings.
    #[default]
    Text,
    /// Uniformly random tokens, as llama-bench does; they route through other experts than text does.
    Random,
}

/// How it is measured: part of the record, so that a result can be re-run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Repetitions of each request that are measured.
    pub repetitions: u32,
    /// Repetitions of each request before them that are not.
    pub warmup: u32,
    /// Most times a noisy repetition is measured anew, for the whole trial.
    pub retries: u32,
    /// Where prompt tokens come from.
    pub prompt: PromptKind,
    /// The text for [`PromptKind::Text`]; empty: the text that comes with the program.
    pub text: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Load the model anew even when it is already loaded, to measure loading.
    pub reload: bool,
    /// Drop the file from the page cache before loading.
    pub cold: bool,
    /// Start the engine's process anew, with its memory as llama.cpp's own tools have it: where it happens to lie is
    /// drawn anew too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

impl Protocol {
    /// Tokens generated in a warm-up: enough to touch everything that generation touches.
    pub const WARMUP_GENERATE: u32 = 4;
    /// Seconds of a run of a warm-up after which nothing that is done for the first time matters any more.
    pub const LONG_WARMUP: f64 = 1.0;

    /// Runs of which a warm-up consists at most. CUDA runs work of one shape the first time, records it when it comes again, and
    /// then runs the record: the second prompt of 700 tokens took an H100 a quarter longer than the first one, the third a tenth
    /// less.
    #[must_use]
    pub fn warmup_runs(has_gpu: bool) -> u32 {
        if has_gpu { 3 } else { 1 }
    }
}

impl Default for Protocol {
    fn default() -> Protocol {
        Protocol {
            repetitions: 3,
            warmup: 1,
            retries: 2,
            prompt: PromptKind::Text,
            text: String::new(),
            seed: 42,
            reload: false,
            cold: false,
            fresh: false,
        }
    }
}

/// The longest each phase may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Start of the process until it says hello.
    pub start: f64,
    /// Loading the model.
    pub load: f64,
    /// Making the context.
    pub context: f64,
    /// One repetition of one request.
    pub repetition: f64,
    /// Silence (no event, no heartbeat) after which the process counts as hung.
    pub silence: f64,
    /// The whole trial.
    pub trial: f64,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { start: 30.0, load: 600.0, context: 60.0, repetition: 600.0, silence: 30.0, trial: 3600.0 }
    }
}

/// One trial as an engine gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Path of the model (its first part, if it is split).
    pub model: std::path::PathBuf,
    /// The configuration, canonical.
    pub configuration: Configuration,
    /// What to run.
    pub workload: Workload,
    /// How to measure it.
    pub protocol: Protocol,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// Most bytes of memory that the engine may take on the host, where there is a limit.
    pub memory_limit: Option<u64>,
}
