//! The engines, one file each.

pub mod command;
pub mod embedded;
pub mod llama_bench;
pub mod llama_server;
pub mod simulated;

mod death;
mod files;
mod foreign;
mod process;

pub(crate) use foreign::locate;

/// Phrases by which ggml, CUDA, Vulkan and the C++ library say that memory ran out.
const MEMORY: &[&str] = &[
    "out of memory",
    "outofdevicememory",
    "outofhostmemory",
    "insufficient memory",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
    "bad_alloc",
];

/// Whether a message of an engine speaks of memory that could not be had.
fn is_memory(text: &str) -> bool {
    let lower = text.to_lowercase();
    MEMORY.iter().any(|phrase| lower.contains(phrase))
}
