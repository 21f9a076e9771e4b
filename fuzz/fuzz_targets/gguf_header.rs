//! Any bytes as a GGUF header, and everything that is read from one.
#![no_main]

#[path = "../../crates/gguflab-format/tests/it/exercise.rs"]
#[allow(dead_code)] // each target uses its part
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::header(bytes));
