//! What can go wrong with a GGUF file. Messages say what was wrong, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a GGUF file could not be read or written.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Any of the other errors, with the file it happened in.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened in it.
        cause: Box<FormatError>,
    },
    /// The system refused a file operation.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was tried, as in "open the file".
        action: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// A file without any byte.
    #[error("the file is empty; download or copy it again")]
    Empty,
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {start}; {advice}")]
    NotGguf {
        /// The first bytes, printable.
        start: String,
        /// What the file probably is and what to do.
        advice: &'static str,
    },
    /// GGUF version 1 (32-bit counts), used for a few weeks of 2023.
    #[error("GGUF version 1 is not supported (llama.cpp dropped it too); convert the original model again")]
    VersionOne,
    /// A version that this reader does not know.
    #[error("GGUF version {version} is not known, only 2 and 3 are; use a newer gguflab or check the file")]
    UnknownVersion {
        /// The version in the file.
        version: u32,
    },
    /// The file ends inside the header.
    #[error(
        "the file is cut off: {what} needs {needed} bytes at byte {position}, but the file ends before; \
         download or copy it again"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Byte position at which it starts.
        position: u64,
        /// Bytes needed from there on.
        needed: u64,
    },
    /// A count or length beyond its limit (see [`crate::limits`]).
    #[error("{what} is {value}, above the limit of {limit}; the file is damaged or crafted, get it again")]
    AboveLimit {
        /// What is counted.
        what: String,
        /// The stated value.
        value: u64,
        /// The largest accepted value.
        limit: u64,
    },
    /// A part of the file, or of what shall be written, breaks a rule of the format.
    #[error("{what} {problem}")]
    Invalid {
        /// Which part.
        what: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// Parts of a split model are not where they should be.
    #[error("part missing: {}; put all {count} parts into one folder", list(missing))]
    MissingParts {
        /// The paths that do not exist, at least one.
        missing: Vec<PathBuf>,
        /// Parts that the model has.
        count: u32,
    },
}

impl FormatError {
    /// The same error, naming the file it happened in. An error that names a file already stays as it is.
    #[must_use]
    pub fn in_file(self, path: &Path) -> FormatError {
        match self {
            FormatError::File { .. } => self,
            cause => FormatError::File { path: path.to_owned(), cause: Box::new(cause) },
        }
    }

    /// A broken rule of the format.
    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>) -> FormatError {
        FormatError::Invalid { what: what.into(), problem: problem.into() }
    }
}

/// At most three paths: a model of a hundred parts with none there must not fill the screen.
fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let rest = paths.len().saturating_sub(shown.len());
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
