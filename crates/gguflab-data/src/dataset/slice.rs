//! Some rows of a dataset as one text.

use std::io::{self, Write};

use super::error::DatasetError;
use super::open::Dataset;

/// How rows become a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SliceOptions {
    /// Without white space around each text.
    pub strip: bool,
}

/// What became of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slice {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were written.
    pub written: u64,
    /// Rows left out because their text is empty or white space.
    pub empty: u64,
    /// Rows left out because they have no text at the field.
    pub without_text: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Why a slice was not written.
#[derive(Debug)]
pub enum SliceError {
    /// The dataset cannot be read.
    Dataset(DatasetError),
    /// The target cannot be written.
    Write(io::Error),
}

/// Writes the text of each row with a line end behind it; rows without text are left out and counted.
///
/// # Errors
/// [`SliceError`].
pub fn slice(dataset: &Dataset, options: SliceOptions, output: &mut dyn Write) -> Result<Slice, SliceError> {
    let mut slice = Slice::default();
    for record in dataset.records() {
        let record = record.map_err(SliceError::Dataset)?;
        slice.rows += 1;
        let Some(text) = record.text else {
            slice.without_text += 1;
            continue;
        };
        let stripped = text.trim();
        if stripped.is_empty() {
            slice.empty += 1;
            continue;
        }
        let text = if options.strip { stripped } else { text.as_str() };
        output
            .write_all(text.as_bytes())
            .and_then(|()| output.write_all(b"\n"))
            .map_err(SliceError::Write)?;
        slice.written += 1;
        slice.bytes += text.len() as u64 + 1;
    }
    Ok(slice)
}
