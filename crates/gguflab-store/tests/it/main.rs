//! Integration tests: one module for each promise of the store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // clippy exempts only the test functions, not what they share

mod concurrent;
mod faults;
mod killed;
mod optuna;
mod real_optuna;
mod studies;
mod support;
mod transfer;
mod trials;
