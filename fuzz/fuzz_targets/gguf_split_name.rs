//! Any text as the name of a split file.
#![no_main]

#[path = "../../crates/gguflab-format/tests/it/exercise.rs"]
#[allow(dead_code)] // each target uses its part
mod exercise;

libfuzzer_sys::fuzz_target!(|name: &str| exercise::split_name(name));
