//! Plain text, cut into records.

use super::error::DatasetError;
use super::files::Unit;
use super::input::Input;
use super::open::ReadRecords;
use super::record::Record;

/// The records of a text file.
pub(super) struct TextReader {
    input: Input,
    unit: Unit,
    /// The bytes of the record that is being read.
    bytes: Vec<u8>,
}

impl TextReader {
    pub(super) fn new(input: Input, unit: Unit) -> TextReader {
        TextReader { input, unit, bytes: Vec::new() }
    }

    /// Puts the next record into `bytes`, without the end of its last line, and gives where it began.
    fn advance(&mut self) -> Result<Option<u64>, DatasetError> {
        self.bytes.clear();
        let start = self.input.offset;
        match self.unit {
            Unit::Line => {
                let found = self.input.line(&mut self.bytes, start)?;
                without_line_end(&mut self.bytes);
                Ok(found.then_some(start))
            }
            Unit::Paragraph => self.paragraph(),
            Unit::File => {
                self.bytes = self.input.rest()?;
                Ok((!self.bytes.is_empty()).then_some(start))
            }
        }
    }

    /// Lines up to one that holds nothing but white space.
    fn paragraph(&mut self) -> Result<Option<u64>, DatasetError> {
        let mut start = self.input.offset;
        loop {
            let before = self.bytes.len();
            let found = self.input.line(&mut self.bytes, start)?;
            let is_blank = self.bytes[before..].trim_ascii().is_empty();
            match (is_blank, before) {
                (false, _) => {}
                (true, 0) if !found => return Ok(None),
                (true, 0) => {
                    self.bytes.clear();
                    start = self.input.offset;
                }
                (true, _) => {
                    self.bytes.truncate(before);
                    without_line_end(&mut self.bytes);
                    return Ok(Some(start));
                }
            }
        }
    }
}

impl ReadRecords for TextReader {
    fn next(&mut self) -> Result<Option<Record>, DatasetError> {
        let Some(start) = self.advance()? else { return Ok(None) };
        let text = self.input.text(std::mem::take(&mut self.bytes), start)?;
        Ok(Some(Record::of_text(text)))
    }

    fn skip(&mut self) -> Result<bool, DatasetError> {
        Ok(self.advance()?.is_some())
    }
}

fn without_line_end(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}
