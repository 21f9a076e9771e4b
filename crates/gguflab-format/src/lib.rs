//! Bytes to GGUF and back: header, metadata, tensors, split files, block layouts. Never panics on any input.
//!
//! # Layout
//! - [`model`]: a model on disk, one file or several parts; where to start reading.
//! - [`facts`]: what a header says about the model (architecture, sizes, tensor types).
//! - [`mod@check`]: findings about damaged, unusual or unusable files, each saying what to do.
//! - [`header`], [`metadata`], [`types`]: the format itself (GGUF 2 and 3, both byte orders).
//! - [`split`]: names of split files.
//! - [`mod@write`]: writes a file, tensor by tensor, beside its place and renames it.
//! - [`tiny`]: small deterministic models with their own tokenizer, for tests and the offline demo.
//! - [`limits`]: the named limits on every count and length that a file states.
//!
//! Format reference: `docs/gguf.md` of the ggml project; details follow llama.cpp b11434.

pub mod architecture;
pub mod check;
pub mod error;
pub mod facts;
pub mod header;
pub mod limits;
pub mod metadata;
pub mod model;
mod number;
mod source;
pub mod split;
pub mod tiny;
pub mod types;
pub mod write;

pub use check::{Finding, FindingCode, Severity, check};
pub use error::FormatError;
pub use facts::{LayerValue, ModelFacts, ModelKind};
pub use header::{Dimensions, Header, TensorInfo};
pub use metadata::{Array, Metadata, StringArray, Value};
pub use model::{Model, ModelFile, TensorRange};
pub use number::Endian;
pub use split::SplitName;
pub use tiny::{TinyArchitecture, TinyModel, write_tiny};
pub use types::TensorType;
pub use write::{Contents, TensorPlan, write_file};
