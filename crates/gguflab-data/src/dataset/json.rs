//! JSON: one record on a line, a list of records, or an object of them.

use super::error::DatasetError;
use super::input::Input;
use super::open::ReadRecords;
use super::record::Record;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

/// The field that a record of an object gets its name in.
const KEY: &str = "key";

/// Records of a `.json` file: what is in it is seen at its beginning.
pub(super) fn open(mut input: Input) -> Result<Box<dyn ReadRecords>, DatasetError> {
    if is_of_lines(&mut input)? {
        return Ok(Box::new(JsonLines::new(input)));
    }
    Ok(Box::new(JsonDocument { input, inside: Vec::new(), has_begun: false }))
}

/// Whether each line is a record: the first is a whole object, and another follows or it holds neither lists nor records.
fn is_of_lines(input: &mut Input) -> Result<bool, DatasetError> {
    let start = input.buffer()?.trim_ascii_start();
    let end = start.iter().position(|byte| *byte == b'\n');
    let (line, rest) = end.map_or((start, &b""[..]), |end| start.split_at(end));
    if !line.starts_with(b"{") {
        return Ok(false);
    }
    let has_more = rest.trim_ascii_start().first() == Some(&b'{');
    let is_record = || {
        let record = serde_json::from_slice::<Record>(line);
        let inner = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
        record.is_ok_and(|record| !record.fields.iter().any(|(_, value)| inner(value)))
    };
    Ok((has_more && serde_json::from_slice::<IgnoredAny>(line).is_ok()) || is_record())
}

/// One record on each line; lines without anything are none.
pub(super) struct JsonLines {
    input: Input,
    line: Vec<u8>,
    number: u64,
}

impl JsonLines {
    pub(super) fn new(input: Input) -> JsonLines {
        JsonLines { input, line: Vec::new(), number: 0 }
    }

    /// Reads the next line that holds something, and gives where it began.
    fn advance(&mut self) -> Result<Option<u64>, DatasetError> {
        loop {
            self.line.clear();
            self.number += 1;
            let start = self.input.offset;
            if !self.input.line(&mut self.line, start)? {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(start));
            }
        }
    }
}

impl ReadRecords for JsonLines {
    fn next(&mut self) -> Result<Option<Record>, DatasetError> {
        let Some(start) = self.advance()? else { return Ok(None) };
        let text = self.input.look(&self.line, start)?;
        let place = |error: &serde_json::Error| format!("line {}, column {}", self.number, error.column());
        let record = serde_json::from_str(text);
        record.map(Some).map_err(|error| not_json(&self.input, place(&error), &error))
    }

    fn skip(&mut self) -> Result<bool, DatasetError> {
        Ok(self.advance()?.is_some())
    }
}

fn not_json(input: &Input, place: String, error: &serde_json::Error) -> DatasetError {
    // Where in the record it is would read as where in the file.
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or(&reason);
    DatasetError::malformed(&input.path, place, format!("not a record in JSON: {reason}"))
}

/// What the reader is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    List,
    Object,
}

/// A record, not yet looked into.
struct Found {
    /// Its name, where it is a member of an object.
    name: Option<String>,
    bytes: Vec<u8>,
    /// Where it began, in bytes.
    start: u64,
}

/// A list of records; or an object whose members are records (each gets its name as the field `key`) or lists of
/// them. Other members say something of the whole and are passed over.
struct JsonDocument {
    input: Input,
    inside: Vec<Inside>,
    has_begun: bool,
}

impl JsonDocument {
    /// The next record.
    fn advance(&mut self) -> Result<Option<Found>, DatasetError> {
        loop {
            let next = self.next_byte()?;
            match (self.inside.last().copied(), next) {
                (None, None) => return Ok(None),
                (None, Some(byte)) => self.begin(byte)?,
                (Some(_), None) => return Err(self.wrong("it ends in the middle; it is cut off")),
                (Some(Inside::List), Some(b']')) | (Some(Inside::Object), Some(b'}')) => {
                    self.input.consume(1);
                    self.inside.pop();
                }
                (Some(Inside::List), Some(_)) => {
                    let start = self.input.offset;
                    return Ok(Some(Found { name: None, bytes: self.value()?, start }));
                }
                (Some(Inside::Object), Some(_)) => {
                    if let Some(member) = self.member()? {
                        return Ok(Some(member));
                    }
                }
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Result<(), DatasetError> {
        match byte {
            b'[' if !self.has_begun => self.inside.push(Inside::List),
            b'{' if !self.has_begun => self.inside.push(Inside::Object),
            _ if self.has_begun => return Err(self.wrong("something follows its end")),
            _ => return Err(self.wrong("it holds neither a list nor an object of records")),
        }
        self.has_begun = true;
        self.input.consume(1);
        Ok(())
    }

    /// A member of an object: a record with its name, or nothing when it is a list that is gone into, or no record.
    fn member(&mut self) -> Result<Option<Found>, DatasetError> {
        let start = self.input.offset;
        let name = self.value()?;
        let name: String =
            serde_json::from_slice(&name).map_err(|_| self.wrong("the name of a member is no text"))?;
        if self.next_byte()? != Some(b':') {
            return Err(self.wrong("a member has no value"));
        }
        self.input.consume(1);
        match self.next_byte()? {
            Some(b'{') => Ok(Some(Found { name: Some(name), bytes: self.value()?, start })),
            Some(b'[') if self.inside.len() == 1 => {
                self.input.consume(1);
                self.inside.push(Inside::List);
                Ok(None)
            }
            _ => self.value().map(|_| None),
        }
    }

    /// The next byte that is no white space and no comma, without taking it.
    fn next_byte(&mut self) -> Result<Option<u8>, DatasetError> {
        loop {
            let buffer = self.input.buffer()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let passed =
                buffer.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
            let found = buffer.get(passed).copied();
            self.input.consume(passed);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The bytes of the value that begins here.
    fn value(&mut self) -> Result<Vec<u8>, DatasetError> {
        let (start, mut bytes, mut scan) = (self.input.offset, Vec::new(), Scan::default());
        loop {
            let buffer = self.input.buffer()?;
            if buffer.is_empty() {
                return Err(self.wrong("it ends in the middle; it is cut off"));
            }
            let end = buffer.iter().position(|byte| scan.is_over(*byte));
            let taken = end.map_or(buffer.len(), |end| end + usize::from(scan.takes_last));
            bytes.extend_from_slice(&buffer[..taken]);
            self.input.consume(taken);
            self.input.check_length(bytes.len() as u64, start)?;
            if end.is_some() {
                return Ok(bytes);
            }
        }
    }

    fn wrong(&self, reason: &str) -> DatasetError {
        DatasetError::malformed(&self.input.path, format!("byte {}", self.input.offset), reason)
    }
}

/// Finds the end of a JSON value, byte by byte.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    is_plain: bool,
    /// Whether the byte at which it is over belongs to it.
    takes_last: bool,
}

impl Scan {
    fn is_over(&mut self, byte: u8) -> bool {
        if self.is_plain {
            return matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace();
        }
        if self.in_text {
            self.in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return self.closes(!self.in_text);
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.closes(true);
            }
            _ => self.is_plain = self.depth == 0,
        }
        false
    }

    fn closes(&mut self, ended: bool) -> bool {
        self.takes_last = ended && self.depth == 0;
        self.takes_last
    }
}

impl ReadRecords for JsonDocument {
    fn next(&mut self) -> Result<Option<Record>, DatasetError> {
        let Some(Found { name, bytes, start }) = self.advance()? else { return Ok(None) };
        let text = self.input.look(&bytes, start)?;
        let record = serde_json::from_str::<Record>(text);
        let mut record =
            record.map_err(|error| not_json(&self.input, format!("record at byte {start}"), &error))?;
        if let Some(name) = name {
            record.fields.insert(0, (Cow::Borrowed(KEY), Value::String(name)));
        }
        Ok(Some(record))
    }

    fn skip(&mut self) -> Result<bool, DatasetError> {
        Ok(self.advance()?.is_some())
    }
}
