//! Integration tests of the engines.

// Clippy lets tests unwrap and panic, but does not see that the helpers beside them are part of tests too.
#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(unix)]
mod command;
mod contract;
#[cfg(unix)]
mod llama_bench;
#[cfg(unix)]
mod llama_server;
mod load;
#[allow(dead_code)] // Each user of the mock server takes a part of it.
mod mock;
#[cfg(unix)]
mod programs;
#[cfg(unix)]
mod scripts;
#[cfg(unix)]
mod servers;
#[cfg(unix)]
mod support;
