//! The HDF5 files of llama-gguf-optimize v0.6.2: logits of every position (`generate_logits.py`), and what was made of
//! two of them (`compare_logits.py`).
//!
//! Read with the crate `hdf5-pure`. It writes files from memory only, so files of logits, which are as large as the
//! vocabulary is wide, are laid out here (`layout`) and filled chunk by chunk.

mod comparison;
mod file;
mod layout;
mod recording;

pub use comparison::{ChunkDivergence, ComparisonFile, Divergences, Totals};
pub use file::Hdf5File;
pub use layout::Precision;
pub use recording::Hdf5Recording;
