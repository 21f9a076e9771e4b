//! What can go wrong with a dataset. Messages say what was wrong, where, and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::{DataError, listed};

/// Why a dataset cannot be used.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// Its name, or the hub, as for models.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The system refused to read or write a file.
    #[error("cannot {action} {}: {cause}", path.display())]
    System {
        /// What was tried, as in "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A text that is not UTF-8.
    #[error(
        "{}: byte {offset}{} is {found}, not UTF-8; convert the file, for example with `iconv -f {guess} -t UTF-8`",
        path.display(), of_unpacked(path)
    )]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Where in it (in the unpacked text of a packed file), from 0.
        offset: u64,
        /// What is there.
        found: String,
        /// The name of the encoding that it may be in.
        guess: &'static str,
    },
    /// A record that is too long to be one.
    #[error(
        "{}: the record that begins at byte {offset} is longer than {limit} bytes; cut it, or choose smaller records \
         (--by line or --by paragraph)",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Bytes that a record may have.
        limit: u64,
    },
    /// Contents that are not what the file's ending says.
    #[error("{}: {place}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A field that the records do not have.
    #[error("{name}: no text at `{field}`: {reason}; its fields are:{}", listed(fields))]
    Field {
        /// The dataset.
        name: String,
        /// The path of the field, as given.
        field: String,
        /// What is there instead.
        reason: String,
        /// The fields of the first record.
        fields: Vec<String>,
    },
    /// Records without any text.
    #[error("{name}: no field of its first record is a text; its fields are:{}", listed(fields))]
    NoText {
        /// The dataset.
        name: String,
        /// The fields of the first record.
        fields: Vec<String>,
    },
    /// A split that the dataset does not have.
    #[error("{name} has no split `{split}`; its files are:{}", listed(files))]
    NoSplit {
        /// The dataset.
        name: String,
        /// The split's name.
        split: String,
        /// The files that there are.
        files: Vec<String>,
    },
    /// Nothing to read.
    #[error("{name}: {reason}")]
    Empty {
        /// The dataset.
        name: String,
        /// Why there is nothing, and what to do.
        reason: String,
    },
    /// A request that cannot be meant.
    #[error("{0}")]
    Request(String),
}

impl DatasetError {
    pub(crate) fn malformed(
        path: &std::path::Path,
        place: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        DatasetError::Malformed { path: path.to_owned(), place: place.into(), reason: reason.into() }
    }

    pub(crate) fn system(action: &'static str, path: &std::path::Path, cause: io::Error) -> Self {
        DatasetError::System { action, path: path.to_owned(), cause }
    }
}

fn of_unpacked(path: &std::path::Path) -> &'static str {
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    if packed { " of what is unpacked" } else { "" }
}
