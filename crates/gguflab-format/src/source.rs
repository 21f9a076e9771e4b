//! Where header bytes come from: a slice, or a reader that is read only as far as the header goes.

use std::io::{ErrorKind, Read};

use crate::error::FormatError;

/// Bytes asked from a reader at once. Small enough that the header of a 20 GB file costs little more than
/// itself, large enough that a vocabulary of 10 MB takes few calls.
const CHUNK: usize = 256 << 10;

/// A sequence of bytes that is consumed from the front.
pub(crate) trait Source {
    /// The next `length` bytes. Fails with [`FormatError::Truncated`] if there are fewer.
    fn take(&mut self, length: usize, what: &'static str) -> Result<&[u8], FormatError>;

    /// Bytes taken so far.
    fn position(&self) -> u64;

    /// Bytes still there, if that is known without reading them.
    fn remaining(&self) -> Option<u64>;
}

/// A source over bytes in memory.
pub(crate) struct SliceSource<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> SliceSource<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> SliceSource<'a> {
        SliceSource { bytes, position: 0 }
    }
}

impl Source for SliceSource<'_> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&[u8], FormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(taken) = rest.get(..length) else {
            return Err(truncated(what, self.position as u64, length));
        };
        self.position += length;
        Ok(taken)
    }

    fn position(&self) -> u64 {
        self.position as u64
    }

    fn remaining(&self) -> Option<u64> {
        Some((self.bytes.len() - self.position) as u64)
    }
}

/// A source over a reader, through a buffer that grows only as far as bytes really arrive.
pub(crate) struct StreamSource<R> {
    reader: R,
    /// Bytes in all, if known (the length of a file).
    length: Option<u64>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: u64,
}

impl<R: Read> StreamSource<R> {
    pub(crate) fn new(reader: R, length: Option<u64>) -> StreamSource<R> {
        StreamSource { reader, length, buffer: Vec::new(), start: 0, end: 0, position: 0 }
    }

    /// Reads until `length` bytes are buffered. The buffer at most doubles before each read, so a length
    /// that the input does not back cannot make it large.
    fn fill(&mut self, length: usize, what: &'static str) -> Result<(), FormatError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < length {
            if self.end == self.buffer.len() {
                self.buffer.resize(self.end.saturating_add(self.end.max(CHUNK)), 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(truncated(what, self.position, length)),
                Ok(count) => self.end += count,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(FormatError::System { action: "read the file", cause }),
            }
        }
        Ok(())
    }
}

impl<R: Read> Source for StreamSource<R> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&[u8], FormatError> {
        if self.end - self.start < length {
            self.fill(length, what)?;
        }
        let first = self.start;
        self.start += length;
        self.position += length as u64;
        Ok(&self.buffer[first..first + length])
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn remaining(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.position))
    }
}

pub(crate) fn truncated(what: &'static str, position: u64, length: usize) -> FormatError {
    FormatError::Truncated { what: what.to_owned(), position, needed: length as u64 }
}
