//! Logit stores: what a reference said of a text, recorded once and compared with many times.
//!
//! - [`StoreHead`]: what every store says of itself, and the check that it is of what is wanted now.
//! - [`Recording`], [`SketchFile`]: sketches in Parquet with zstd, some 1.5 kB for each scored position.
//! - [`LlamaRecording`], [`LlamaFile`]: the files of `llama-perplexity --kl-divergence-base`.
//! - `hdf5`, a cargo feature: the files of llama-gguf-optimize.
//! - [`LogitStore`]: any of them, told apart by their first bytes.
//!
//! Stores are recorded beside their place and renamed when they are whole; a recording that was stopped at any moment
//! goes on with the chunks that are left.

#[cfg(feature = "hdf5")]
pub mod hdf5;
mod head;
mod journal;
mod llama_file;
mod llama_recording;
mod recording;
mod rows;
mod sketch_file;
mod sketch_writer;
mod slots;

pub use head::{STORE_FORMAT, Sketching, StoreDifference, StoreHead, StoredModel, Wanted};
pub use llama_file::{LlamaBlock, LlamaFile, LlamaRow};
pub use llama_recording::LlamaRecording;
pub use recording::Recording;
pub use sketch_file::SketchFile;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use gguflab_types::evaluation::Kept;

/// A finished store of any kind; features add some.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogitStore {
    /// Sketched rows.
    Sketch(SketchFile),
    /// Whole rows, 16 bits for each token of the vocabulary.
    Llama(LlamaFile),
    /// Whole rows of logits.
    #[cfg(feature = "hdf5")]
    Hdf5(Box<hdf5::Hdf5File>),
}

impl LogitStore {
    /// Opens a store; its first bytes say of which kind it is.
    ///
    /// # Errors
    /// When it cannot be read, is of no known kind, or is cut or damaged.
    pub fn open(path: &Path) -> Result<LogitStore, DataError> {
        let start = start(path).map_err(|cause| broken("read", path, cause))?;
        match Kind::of(&start) {
            Some(Kind::Sketch) => SketchFile::open(path).map(LogitStore::Sketch),
            Some(Kind::Llama) => LlamaFile::open(path).map(LogitStore::Llama),
            Some(Kind::Hdf5) => open_hdf5(path),
            None if start.is_empty() => Err(unusable(path, "it is empty; record it again")),
            None => Err(unusable(path, "it is neither a recorded sketch nor a file of llama-perplexity")),
        }
    }

    /// Whether a file begins as stores do, of which some need a cargo feature to be opened.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        start(path).is_ok_and(|start| Kind::of(&start).is_some())
    }

    /// What the store says of itself.
    #[must_use]
    pub fn head(&self) -> &StoreHead {
        match self {
            LogitStore::Sketch(file) => file.head(),
            LogitStore::Llama(file) => file.head(),
            #[cfg(feature = "hdf5")]
            LogitStore::Hdf5(file) => file.head(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            LogitStore::Sketch(file) => file.path(),
            LogitStore::Llama(file) => file.path(),
            #[cfg(feature = "hdf5")]
            LogitStore::Hdf5(file) => file.path(),
        }
    }

    /// How much of each row it has.
    #[must_use]
    pub fn kept(&self) -> Kept {
        match self {
            LogitStore::Sketch(_) => Kept::Sketch,
            LogitStore::Llama(_) => Kept::SixteenBits,
            #[cfg(feature = "hdf5")]
            LogitStore::Hdf5(file) if file.precision() == hdf5::Precision::Half => Kept::SixteenBits,
            #[cfg(feature = "hdf5")]
            LogitStore::Hdf5(_) => Kept::Whole,
        }
    }

    /// Numbers, within the text, of the chunks that are stored; in an HDF5 file some between may be missing.
    #[must_use]
    pub fn chunks(&self) -> std::ops::Range<u32> {
        match self {
            #[cfg(feature = "hdf5")]
            LogitStore::Hdf5(file) => file.range(),
            _ => self.head().chunks(),
        }
    }

    /// Checks that the store is of what is wanted.
    ///
    /// # Errors
    /// Names the first thing that differs, and what to do.
    pub fn check(&self, wanted: &Wanted) -> Result<(), DataError> {
        self.agreed(self.head().difference(wanted))
    }

    /// Checks that a stored chunk has the tokens of the same window of the text as it is read now.
    ///
    /// # Errors
    /// Names the first token that differs.
    pub fn check_tokens(&self, chunk: u32, tokens: &[i32]) -> Result<(), DataError> {
        self.agreed(self.head().token_difference(chunk, tokens))
    }

    fn agreed(&self, difference: Option<StoreDifference>) -> Result<(), DataError> {
        let Some(difference) = difference else { return Ok(()) };
        Err(DataError::StoreDiffers { path: self.path().to_owned(), difference })
    }
}

#[cfg(feature = "hdf5")]
fn open_hdf5(path: &Path) -> Result<LogitStore, DataError> {
    hdf5::Hdf5File::open(path).map(|file| LogitStore::Hdf5(Box::new(file)))
}

#[cfg(not(feature = "hdf5"))]
fn open_hdf5(path: &Path) -> Result<LogitStore, DataError> {
    let reason = "is an HDF5 file, which this build cannot read: \
                  build with `cargo build --release -p gguflab -p gguflab-worker --features gguflab/hdf5,gguflab-worker/hdf5`";
    Err(unusable(path, reason))
}

/// The kinds of stores, whether this build can open them or not.
enum Kind {
    Sketch,
    Llama,
    Hdf5,
}

impl Kind {
    /// By the first bytes of a file.
    fn of(start: &[u8]) -> Option<Kind> {
        match start {
            [b'P', b'A', b'R', b'1', ..] => Some(Kind::Sketch),
            llama_file::MAGIC => Some(Kind::Llama),
            [0x89, b'H', b'D', b'F', ..] => Some(Kind::Hdf5),
            _ => None,
        }
    }
}

/// The first bytes of a file.
fn start(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(llama_file::MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// A path with an ending after it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn broken(action: &'static str, path: &Path, cause: io::Error) -> DataError {
    DataError::System { action, path: path.to_owned(), cause }
}

fn unusable(path: &Path, reason: impl Into<String>) -> DataError {
    DataError::Store { path: path.to_owned(), reason: reason.into() }
}
