//! Tables of separated values whose first line names the columns.

use std::borrow::Cow;
use std::io::Read;
use std::path::PathBuf;

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::Value;

use super::error::DatasetError;
use super::input::{Input, not_utf_8};
use super::open::ReadRecords;
use super::record::Record;
use crate::limits::RECORD_BYTES;

/// The rows of a table.
pub(super) struct TableReader {
    path: PathBuf,
    /// Where the table begins in the file, in bytes.
    start: u64,
    reader: Reader<Bounded>,
    names: Vec<String>,
    row: ByteRecord,
}

/// Ends a file in which one record goes on for too long, as where a quotation mark is never closed.
struct Bounded {
    input: Input,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other("the record is too long; is a quotation mark never closed?"));
        }
        let read = self.input.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl TableReader {
    pub(super) fn new(input: Input, separator: u8) -> Result<TableReader, DatasetError> {
        let (path, start) = (input.path.clone(), input.offset);
        let bounded = Bounded { input, left: RECORD_BYTES };
        let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(bounded);
        let header = reader.byte_headers().map_err(|error| malformed(&path, &error))?.clone();
        let names = texts(&path, start, &header)?;
        Ok(TableReader { path, start, reader, names, row: ByteRecord::new() })
    }

    fn advance(&mut self) -> Result<bool, DatasetError> {
        self.reader.get_mut().left = RECORD_BYTES;
        self.reader.read_byte_record(&mut self.row).map_err(|error| malformed(&self.path, &error))
    }
}

impl ReadRecords for TableReader {
    fn next(&mut self) -> Result<Option<Record>, DatasetError> {
        if !self.advance()? {
            return Ok(None);
        }
        let values = texts(&self.path, self.start, &self.row)?.into_iter().map(Value::String);
        let names = self.names.iter().map(|name| Cow::Owned(name.clone()));
        Ok(Some(Record { fields: names.zip(values).collect() }))
    }

    fn skip(&mut self) -> Result<bool, DatasetError> {
        self.advance()
    }
}

/// The cells of a row as texts. Where quotation marks are doubled, the byte that an error names lies before the
/// wrong one.
fn texts(path: &std::path::Path, start: u64, row: &ByteRecord) -> Result<Vec<String>, DatasetError> {
    let start = start + row.position().map_or(0, csv::Position::byte);
    let mut texts = Vec::with_capacity(row.len());
    let mut before = 0;
    for (number, cell) in row.iter().enumerate() {
        let text = std::str::from_utf8(cell).map_err(|error| {
            let at = error.valid_up_to();
            not_utf_8(path, start + (before + number + at) as u64, cell.get(at).copied())
        })?;
        before += cell.len();
        texts.push(text.to_owned());
    }
    Ok(texts)
}

fn malformed(path: &std::path::Path, error: &csv::Error) -> DatasetError {
    let line = error.position().map_or(1, csv::Position::line);
    DatasetError::malformed(path, format!("line {line}"), format!("not a row of the table: {error}"))
}
