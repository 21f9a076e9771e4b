//! Everything that needs `unsafe`: llama.cpp behind a safe API, and the usage of this process.
//!
//! The only crate with `unsafe`, and only the executable `gguflab-worker` links it. The layer is thin on
//! purpose: it owns what llama.cpp hands out, keeps lifetimes right, turns NULL and negative codes into errors
//! with the reason from llama.cpp's own log, and refuses calls that llama.cpp answers with an abort.

#![allow(unsafe_code)]

pub mod backend;
pub mod context;
pub mod log;
pub mod model;
pub mod observe;
pub mod roof;
pub mod usage;

pub use backend::{Backend, ENGINE, has_gpu};
pub use context::{Context, ContextSettings};
pub use model::{Model, ModelSettings};

/// Why a call did not succeed; the process lives on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// llama.cpp refused it. The text is llama.cpp's own reason where it gave one.
    #[error("{0}")]
    Rejected(String),
    /// Memory could not be had.
    #[error("{0}")]
    OutOfMemory(String),
    /// The abort flag was set.
    #[error("aborted on request")]
    Aborted,
}

impl NativeError {
    /// Sorts a failure by what llama.cpp logged: its allocators say so when memory is short.
    fn from_log(what: &str, reasons: &[String]) -> NativeError {
        let text =
            if reasons.is_empty() { what.to_string() } else { format!("{what}: {}", reasons.join("; ")) };
        let lower = text.to_lowercase();
        let memory =
            ["insufficient memory", "out of memory", "failed to allocate", "unable to allocate", "bad_alloc"];
        if memory.iter().any(|phrase| lower.contains(phrase)) {
            NativeError::OutOfMemory(text)
        } else {
            NativeError::Rejected(text)
        }
    }
}
