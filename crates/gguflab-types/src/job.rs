//! What an engine is asked to do for one trial.

use crate::configuration::Configuration;
use crate::workload::{Request, Workload};
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

/// Tokens generated in a warm-up: enough to touch everything that generation touches.
const WARMUP_GENERATE: u32 = 4;
/// Runs of which a warm-up consists at most with a GPU. CUDA runs work of one shape the first time, records it when it comes again,
/// and then runs the record: the second prompt of 700 tokens took an H100 a quarter longer than the first one, the third a tenth
/// less.
const WARMUP_RUNS: u32 = 3;
/// Seconds of such a run beside which nothing that is done for the first time matters.
const LONG_WARMUP: f64 = 1.0;

impl Protocol {
    /// As much of a request as a warm-up needs, with physical batches of so many tokens: one of them and some generated tokens. A
    /// GPU loads kernels by shape when it first needs them, so with one the batch that is left over comes too.
    #[must_use]
    pub fn warm_up_of(request: &Request, ubatch: u32, has_gpu: bool) -> Request {
        let ubatch = ubatch.max(1);
        let left = if has_gpu { request.prompt % ubatch } else { 0 };
        Request {
            prompt: request.prompt.min(ubatch.saturating_add(left)),
            generate: request.generate.min(WARMUP_GENERATE),
            ..*request
        }
    }

    /// Runs something that tells its seconds, with a GPU until nothing in it is done for the first time.
    ///
    /// # Errors
    /// The first of what is run.
    pub fn settle<E>(has_gpu: bool, mut run: impl FnMut() -> Result<f64, E>) -> Result<(), E> {
        for _ in 0..if has_gpu { WARMUP_RUNS } else { 1 } {
            if run()? > LONG_WARMUP {
                break;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_ups_are_short_and_with_a_gpu_have_the_batch_that_is_left_over() {
        let request = Request { depth: 7, ..Request::new(700, 64) };
        for (ubatch, has_gpu, prompt) in [(512, false, 512), (512, true, 700), (256, true, 444), (0, true, 1)]
        {
            let part = Protocol::warm_up_of(&request, ubatch, has_gpu);
            assert_eq!(part, Request { prompt, generate: 4, ..request }, "{ubatch} {has_gpu}");
        }
        let short = Request::new(5, 1);
        assert_eq!(Protocol::warm_up_of(&short, 512, true), short);
    }

    #[test]
    fn what_settles_is_run_again_unless_it_is_long_or_there_is_no_gpu() {
        for (has_gpu, seconds, expected) in [(false, 0.1, 1), (true, 0.1, 3), (true, 2.0, 1)] {
            let mut runs = 0;
            let settled: Result<(), ()> = Protocol::settle(has_gpu, || {
                runs += 1;
                Ok(seconds)
            });
            assert_eq!((settled, runs), (Ok(()), expected), "{has_gpu} {seconds}");
        }
        assert_eq!(Protocol::settle(true, || Err::<f64, _>("boom")), Err("boom"));
    }
}
