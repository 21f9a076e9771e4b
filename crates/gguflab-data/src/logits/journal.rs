//! The journal of a recording: records of any order, each with a checksum, after the head that they belong to.
//!
//! Layout, little endian: the magic bytes, then frames of `u32 length`, `u32 CRC-32 of the payload`, payload. The
//! payload of the first frame is the head as JSON. A process that is killed leaves at most one cut frame, at the end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::head::StoreHead;
use super::{broken, unusable};
use crate::error::DataError;
use crate::limits;

/// Bytes of length and checksum before each payload.
const FRAME_HEAD: u64 = 8;

/// An open journal, locked against other processes.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    end: u64,
}

/// What was found at the start of a journal's file.
enum Beginning {
    /// Nothing, or a head that was cut while it was written.
    Nothing,
    /// A head, and where the frames after it begin.
    Head(Box<StoreHead>, u64),
}

impl Journal {
    /// Begins a journal, or goes on with the one that is there: `on_frame` is told the place and payload of each
    /// whole frame, and whatever follows the last of them is cut off.
    pub(super) fn open(
        path: &Path,
        magic: &[u8],
        head: &StoreHead,
        mut on_frame: impl FnMut(u64, &[u8]),
    ) -> Result<Journal, DataError> {
        let mut journal = Journal { path: path.to_owned(), file: locked(path)?, end: 0 };
        match journal.beginning(magic)? {
            Beginning::Nothing => journal.begin(magic, head)?,
            Beginning::Head(stored, end) => {
                if let Some(difference) = stored.recording_difference(head) {
                    return Err(DataError::StoreDiffers { path: path.to_owned(), difference });
                }
                journal.end = end;
                journal.scan(&mut on_frame)?;
            }
        }
        Ok(journal)
    }

    /// Adds a frame. When it cannot be written whole, nothing of it stays.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        let length =
            u32::try_from(payload.len()).ok().filter(|length| *length <= limits::JOURNAL_FRAME_BYTES);
        let length =
            length.ok_or_else(|| io::Error::other("a record is too large; append fewer rows at a time"))?;
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD as usize);
        frame.extend(length.to_le_bytes());
        frame.extend(crc32fast::hash(payload).to_le_bytes());
        frame.extend(payload);
        let place = self.end;
        let written = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.write_all(&frame));
        if let Err(cause) = written {
            // What cannot be cut off now is cut off by the checksum when the journal is opened again.
            let _ = self.file.set_len(place);
            return Err(cause);
        }
        self.end = place + frame.len() as u64;
        Ok(place)
    }

    /// The payload of the frame at a place that [`Journal::open`] or [`Journal::append`] told.
    pub(super) fn read(&self, place: u64) -> Result<Vec<u8>, DataError> {
        let mut file = &self.file;
        let sought = file.seek(SeekFrom::Start(place));
        let payload = sought.and_then(|_| next_frame(&mut file, self.end.saturating_sub(place)));
        let payload = payload.map_err(|cause| broken("read", &self.path, cause))?;
        payload.ok_or_else(|| unusable(&self.path, "was changed while it was read; run it again"))
    }

    /// Exchanges the file that is written, such as for one that is full.
    #[cfg(test)]
    pub(super) fn exchange(&mut self, file: &mut File) {
        std::mem::swap(&mut self.file, file);
    }

    /// Removes the journal: what it held is elsewhere now.
    pub(super) fn remove(self) -> Result<(), DataError> {
        std::fs::remove_file(&self.path).map_err(|cause| broken("remove", &self.path, cause))
    }

    fn beginning(&mut self, magic: &[u8]) -> Result<Beginning, DataError> {
        let length = self.file.metadata().map_err(|cause| broken("read", &self.path, cause))?.len();
        let mut reader = BufReader::new(&self.file);
        let mut found = Vec::new();
        let read = (&mut reader).take(magic.len() as u64).read_to_end(&mut found);
        read.map_err(|cause| broken("read", &self.path, cause))?;
        if !magic.starts_with(&found) {
            let reason = "is no unfinished recording of this kind; remove it, or record into another file";
            return Err(unusable(&self.path, reason));
        }
        let rest = length.saturating_sub(magic.len() as u64);
        let head = next_frame(&mut reader, rest).map_err(|cause| broken("read", &self.path, cause))?;
        let Some(head) = head else { return Ok(Beginning::Nothing) };
        let end = magic.len() as u64 + FRAME_HEAD + head.len() as u64;
        let parsed: Result<StoreHead, _> = serde_json::from_slice(&head);
        let head = parsed.map_err(|cause| {
            let reason = format!("was begun by another version of this program ({cause}); remove it");
            unusable(&self.path, reason)
        })?;
        Ok(Beginning::Head(Box::new(head), end))
    }

    fn begin(&mut self, magic: &[u8], head: &StoreHead) -> Result<(), DataError> {
        let payload = serde_json::to_vec(head).map_err(|cause| unusable(&self.path, cause.to_string()))?;
        let begun = self.file.set_len(0).and_then(|()| self.file.rewind());
        let written = begun.and_then(|()| self.file.write_all(magic)).and_then(|()| {
            self.end = magic.len() as u64;
            self.append(&payload)
        });
        let stopped = |cause| {
            let path = self.path.clone();
            DataError::RecordingStopped { path, done: 0, chunks: head.tokens.len(), cause }
        };
        written.map(drop).map_err(stopped)
    }

    /// Tells all whole frames, and cuts off what follows them.
    fn scan(&mut self, on_frame: &mut dyn FnMut(u64, &[u8])) -> Result<(), DataError> {
        let failed = |cause| broken("read", &self.path, cause);
        let length = self.file.metadata().map_err(failed)?.len();
        self.file.seek(SeekFrom::Start(self.end)).map_err(failed)?;
        let mut reader = BufReader::new(&self.file);
        while let Some(payload) = next_frame(&mut reader, length.saturating_sub(self.end)).map_err(failed)? {
            on_frame(self.end, &payload);
            self.end += FRAME_HEAD + payload.len() as u64;
        }
        self.file.set_len(self.end).map_err(|cause| broken("shorten", &self.path, cause))
    }
}

/// The next payload of at most `rest` bytes of frame; `None` where no whole frame follows.
fn next_frame(reader: &mut impl Read, rest: u64) -> io::Result<Option<Vec<u8>>> {
    if rest < FRAME_HEAD {
        return Ok(None);
    }
    let (mut length, mut checksum) = ([0; 4], [0; 4]);
    reader.read_exact(&mut length)?;
    reader.read_exact(&mut checksum)?;
    let length = u32::from_le_bytes(length);
    if length > limits::JOURNAL_FRAME_BYTES || u64::from(length) > rest - FRAME_HEAD {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload)?;
    Ok((crc32fast::hash(&payload) == u32::from_le_bytes(checksum)).then_some(payload))
}

/// Opens a file to go on with it, as the only process that does.
fn locked(path: &Path) -> Result<File, DataError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|cause| broken("write", path, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unusable(
            path,
            "is being recorded by another process; wait for it, or record into another file",
        )),
        // A file system without locks.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}
