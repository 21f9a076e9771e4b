//! The engines, one file each.

pub mod embedded;
pub mod llama_bench;
pub mod simulated;
