//! The program as people run it: arguments in; output, talk, files and an exit code out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // clippy exempts only the test functions

mod aims;
#[cfg(unix)]
mod anomalies;
mod bad_input;
mod bench;
#[cfg(unix)]
mod bisect;
#[cfg(unix)]
mod command;
#[cfg(unix)]
mod corpora;
mod datasets;
mod gates;
mod knobs;
mod load;
mod profile;
mod pruning;
mod reports;
mod spaces;
mod support;
mod tune;

#[cfg(unix)]
mod evaluate;
#[cfg(unix)]
mod faults;
#[cfg(all(unix, feature = "hdf5"))]
mod hdf5;
#[cfg(unix)]
mod killed;
#[cfg(unix)]
mod llama_bench;
#[cfg(unix)]
mod llama_server;
#[cfg(unix)]
mod logits;
#[cfg(unix)]
mod optuna;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod quality;
#[cfg(unix)]
mod quantised;
#[cfg(unix)]
mod take_away;
