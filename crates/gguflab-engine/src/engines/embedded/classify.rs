//! What a failure means.

use super::worker::Death;
use crate::engines::is_memory;
use gguflab_types::event::Phase;
use gguflab_types::message::{Failure, FailureKind};
use gguflab_types::{Ending, Outcome};

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;

/// A failure that the worker survived.
pub(super) fn failure(failure: &Failure) -> Ending {
    let outcome = match failure.kind {
        FailureKind::Rejected => Outcome::Rejected,
        FailureKind::OutOfMemory => Outcome::OutOfMemory,
        FailureKind::Aborted => Outcome::Cancelled,
    };
    Ending::new(outcome, failure.reason.clone())
}

/// The worker's death.
pub(super) fn death(death: Death, phase: Phase) -> Ending {
    let doing = phase.name();
    let words = death.last_words.clone().filter(|words| !words.is_empty());
    match death.signal {
        Some(SIGKILL) if death.out_of_memory_kills => Ending::new(
            Outcome::OutOfMemory,
            format!("killed by the kernel for want of memory while {doing}"),
        ),
        Some(SIGKILL) => {
            Ending::new(Outcome::Crashed, format!("killed from outside (SIGKILL) while {doing}"))
        }
        Some(SIGABRT) => {
            let text = words.unwrap_or_else(|| "no message".to_string());
            let outcome = if is_memory(&text) { Outcome::OutOfMemory } else { Outcome::Crashed };
            Ending::new(outcome, format!("llama.cpp aborted while {doing}: {text}"))
        }
        Some(SIGSEGV) => Ending::new(Outcome::Crashed, format!("segmentation fault while {doing}")),
        // A mapped file that became shorter, or a disk that failed.
        Some(SIGBUS) => {
            Ending::new(Outcome::Crashed, format!("bus error while {doing}: was the model file cut?"))
        }
        Some(signal) => Ending::new(Outcome::Crashed, format!("ended by signal {signal} while {doing}")),
        None => {
            let code =
                death.code.map_or_else(|| "without a code".to_string(), |code| format!("with code {code}"));
            Ending::new(Outcome::Crashed, format!("the worker ended {code} while {doing}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_told_apart() {
        let dead = |signal: Option<i32>, words: &str, kills: bool| {
            let death = Death {
                signal,
                code: signal.is_none().then_some(3),
                last_words: Some(words.to_string()),
                out_of_memory_kills: kills,
            };
            super::death(death, Phase::Measure)
        };
        for (signal, words, kills, outcome, cause) in [
            (Some(9), "", true, Outcome::OutOfMemory, "want of memory"),
            (Some(9), "", false, Outcome::Crashed, "from outside"),
            (
                Some(6),
                "ggml-cuda.cu:109: CUDA error (CUDA error: out of memory; current device: 0)",
                false,
                Outcome::OutOfMemory,
                "aborted while measuring",
            ),
            (Some(6), "ggml.c:1: GGML_ASSERT(x) failed", false, Outcome::Crashed, "GGML_ASSERT"),
            (Some(11), "", false, Outcome::Crashed, "segmentation fault"),
            (None, "", false, Outcome::Crashed, "with code 3"),
        ] {
            let ending = dead(signal, words, kills);
            assert_eq!(ending.outcome, outcome, "{ending:?}");
            assert!(ending.cause.contains(cause), "{ending:?}");
        }
    }
}
