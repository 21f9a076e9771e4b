//! A file of text: unpacked if it is packed, bounded, and checked to be UTF-8.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::error::DatasetError;
use crate::limits::RECORD_BYTES;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// The byte order marks that say which encoding a file is in; the one of UTF-8 is passed over.
const MARKS: &[(&[u8], &str)] = &[(b"\xff\xfe", "UTF-16LE"), (b"\xfe\xff", "UTF-16BE")];
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file that is read from its beginning to its end.
pub(super) struct Input {
    pub(super) path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// Bytes read so far, of the unpacked text.
    pub(super) offset: u64,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Input, DatasetError> {
        let file = File::open(path).map_err(|cause| DatasetError::system("open", path, cause))?;
        let plain = BufReader::with_capacity(BUFFER, file);
        let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let reader: Box<dyn BufRead + Send> = match packed {
            true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain))),
            false => Box::new(plain),
        };
        let mut input = Input { path: path.to_owned(), reader, offset: 0 };
        input.pass_mark()?;
        Ok(input)
    }

    fn pass_mark(&mut self) -> Result<(), DatasetError> {
        let beginning = self.buffer()?;
        if let Some((mark, guess)) = MARKS.iter().find(|(mark, _)| beginning.starts_with(mark)) {
            let found = format!("{:#04x}, the mark of {guess}", mark[0]);
            return Err(DatasetError::Encoding { path: self.path.clone(), offset: 0, found, guess });
        }
        if beginning.starts_with(UTF_8_MARK) {
            self.consume(UTF_8_MARK.len());
        }
        Ok(())
    }

    /// What is there to be read next; empty at the end.
    pub(super) fn buffer(&mut self) -> Result<&[u8], DatasetError> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes),
            Err(cause) => Err(DatasetError::system("read", &self.path, cause)),
        }
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.offset += bytes as u64;
    }

    /// Appends the next line with its end to `record`, which began at byte `start`; `false` at the end of the file.
    pub(super) fn line(&mut self, record: &mut Vec<u8>, start: u64) -> Result<bool, DatasetError> {
        let room = RECORD_BYTES.saturating_sub(record.len() as u64) + 1;
        let read = self.reader.by_ref().take(room).read_until(b'\n', record);
        let read = read.map_err(|cause| DatasetError::system("read", &self.path, cause))?;
        self.offset += read as u64;
        self.check_length(record.len() as u64, start)?;
        Ok(read > 0)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, DatasetError> {
        let (start, mut bytes) = (self.offset, Vec::new());
        let read = self.reader.by_ref().take(RECORD_BYTES + 1).read_to_end(&mut bytes);
        let read = read.map_err(|cause| DatasetError::system("read", &self.path, cause))?;
        self.offset += read as u64;
        self.check_length(bytes.len() as u64, start)?;
        Ok(bytes)
    }

    /// An error when a record is longer than one may be.
    pub(super) fn check_length(&self, bytes: u64, start: u64) -> Result<(), DatasetError> {
        if bytes <= RECORD_BYTES {
            return Ok(());
        }
        Err(DatasetError::TooLong { path: self.path.clone(), offset: start, limit: RECORD_BYTES })
    }

    /// The bytes, which began at byte `start`, as text.
    pub(super) fn text(&self, bytes: Vec<u8>, start: u64) -> Result<String, DatasetError> {
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            not_utf_8(&self.path, start + at as u64, error.as_bytes().get(at).copied())
        })
    }

    /// The same, without taking them.
    pub(super) fn look<'a>(&self, bytes: &'a [u8], start: u64) -> Result<&'a str, DatasetError> {
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            not_utf_8(&self.path, start + at as u64, bytes.get(at).copied())
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The error about a byte that UTF-8 does not have there.
pub(super) fn not_utf_8(path: &Path, offset: u64, byte: Option<u8>) -> DatasetError {
    let found = byte.map_or("the end".to_owned(), |byte| format!("{byte:#04x}"));
    DatasetError::Encoding { path: path.to_owned(), offset, found, guess: "WINDOWS-1252" }
}
