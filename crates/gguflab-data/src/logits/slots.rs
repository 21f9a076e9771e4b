//! Recording into a format whose chunks have a place each: rows are written where they belong in `NAME.partial`, and
//! `NAME.journal` says what they are of, of which chunks all rows are there, and their checksum.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::head::StoreHead;
use super::journal::Journal;
use super::{beside, broken, unusable};
use crate::error::DataError;
use crate::limits;

/// Ending of the file beside a store that says what its format has no place for.
const HEAD_ENDING: &str = "head.json";

/// Where rows lie.
#[derive(Debug)]
pub(super) struct Geometry {
    /// The bytes before the first chunk.
    pub(super) start: Vec<u8>,
    /// Bytes from one chunk to the next.
    pub(super) slot_bytes: u64,
    /// Rows of a chunk before the first that is scored; they stay zero.
    pub(super) first_row: u64,
    /// Bytes of a row.
    pub(super) row_bytes: u64,
}

/// A file that is being recorded.
#[derive(Debug)]
pub(super) struct Slots {
    path: PathBuf,
    head: StoreHead,
    geometry: Geometry,
    /// `None` when the file was finished before.
    open: Option<Open>,
    done: BTreeSet<u32>,
    begun: BTreeMap<u32, Begun>,
}

#[derive(Debug)]
struct Open {
    file: File,
    journal: Journal,
}

/// A chunk of which some rows are written.
#[derive(Debug)]
struct Begun {
    rows: usize,
    checksum: crc32fast::Hasher,
}

impl Slots {
    /// Begins, or goes on. `finished` reads the head of the finished file, where there is one.
    pub(super) fn begin_or_resume(
        path: &Path,
        head: &StoreHead,
        geometry: Geometry,
        magic: &[u8],
        finished: impl FnOnce() -> Result<StoreHead, DataError>,
    ) -> Result<Slots, DataError> {
        let (path, head) = (path.to_owned(), head.clone());
        let (done, begun) = (BTreeSet::new(), BTreeMap::new());
        let mut slots = Slots { path, head, geometry, open: None, done, begun };
        if slots.path.exists() {
            slots.recognise(&finished()?)?;
            slots.done = slots.head.chunks().collect();
        } else {
            slots.open(magic)?;
        }
        Ok(slots)
    }

    /// Chunks that are whole.
    pub(super) fn done(&self) -> &BTreeSet<u32> {
        &self.done
    }

    /// Appends rows of a chunk, as bytes.
    pub(super) fn append(&mut self, chunk: u32, bytes: &[u8]) -> Result<(), DataError> {
        let before = self.begun.get(&chunk).map_or(0, |begun| begun.rows);
        let rows = (bytes.len() as u64 / self.geometry.row_bytes) as usize;
        let all = if self.done.contains(&chunk) { 0 } else { self.head.scored_rows(chunk) };
        if rows == 0 || rows > all.saturating_sub(before) {
            let left = all.saturating_sub(before);
            return Err(self.unusable(format!("{rows} rows for chunk {chunk}, which has {left} left")));
        }
        let written = self.write(chunk, before, rows, bytes);
        written.map_err(|cause| self.stopped(cause))
    }

    /// Puts the file in its place, and its head beside it.
    pub(super) fn finish(mut self) -> Result<(), DataError> {
        let (done, all) = (self.done.len(), self.head.chunks().len());
        if done < all {
            return Err(self.unusable(format!("{} of its {all} chunks are not recorded yet", all - done)));
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        let put = self.write_head().and_then(|()| open.file.sync_all());
        let put = put.and_then(|()| std::fs::rename(beside(&self.path, "partial"), &self.path));
        put.map_err(|cause| self.stopped(cause))?;
        open.journal.remove()
    }

    pub(super) fn unusable(&self, reason: String) -> DataError {
        unusable(&self.path, reason)
    }

    fn write(&mut self, chunk: u32, before: usize, rows: usize, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(chunk, before);
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.seek(SeekFrom::Start(place))?;
        open.file.write_all(bytes)?;
        let rows = before + rows;
        let mut checksum = self.begun.get(&chunk).map(|begun| begun.checksum.clone()).unwrap_or_default();
        checksum.update(bytes);
        if rows < self.head.scored_rows(chunk) {
            self.begun.insert(chunk, Begun { rows, checksum });
            return Ok(());
        }
        let record = [chunk, checksum.finalize()];
        open.journal.append(&record.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
        self.begun.remove(&chunk);
        self.done.insert(chunk);
        Ok(())
    }

    /// Where a scored row of a stored chunk lies.
    fn place(&self, chunk: u32, row: usize) -> u64 {
        let Geometry { start, slot_bytes, first_row, row_bytes } = &self.geometry;
        let slot = u64::from(chunk.saturating_sub(self.head.first_chunk)) * slot_bytes;
        start.len() as u64 + slot + (first_row + row as u64) * row_bytes
    }

    fn write_head(&self) -> io::Result<()> {
        let place = beside(&self.path, HEAD_ENDING);
        let writing = beside(&place, "writing");
        let json = serde_json::to_vec(&self.head).map_err(io::Error::other)?;
        std::fs::write(&writing, json).and_then(|()| std::fs::rename(&writing, &place)).inspect_err(|_| {
            // Half a file is of no use.
            let _ = std::fs::remove_file(&writing);
        })
    }

    fn open(&mut self, magic: &[u8]) -> Result<(), DataError> {
        let mut whole = Vec::new();
        let journal = Journal::open(&beside(&self.path, "journal"), magic, &self.head, |_, payload| {
            if let ([one, other], []) = payload.as_chunks::<4>() {
                whole.push((u32::from_le_bytes(*one), u32::from_le_bytes(*other)));
            }
        })?;
        let place = beside(&self.path, "partial");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&place);
        let mut file = file.map_err(|cause| broken("write", &place, cause))?;
        for (chunk, checksum) in whole {
            let found = self.checksum(&mut file, chunk).map_err(|cause| broken("read", &place, cause))?;
            if found == Some(checksum) {
                self.done.insert(chunk);
            }
        }
        let bytes = self.place(self.head.chunks().end, 0) - self.geometry.first_row * self.geometry.row_bytes;
        let begun = file.rewind().and_then(|()| file.write_all(&self.geometry.start));
        begun.and_then(|()| file.set_len(bytes)).map_err(|cause| self.stopped(cause))?;
        self.open = Some(Open { file, journal });
        Ok(())
    }

    /// The checksum of a chunk's rows as they lie in the file; `None` where they are not all there.
    fn checksum(&self, file: &mut File, chunk: u32) -> io::Result<Option<u32>> {
        if !self.head.chunks().contains(&chunk) {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.place(chunk, 0)))?;
        let (mut checksum, mut row) = (crc32fast::Hasher::new(), vec![0; self.geometry.row_bytes as usize]);
        for _ in 0..self.head.scored_rows(chunk) {
            match file.read_exact(&mut row) {
                Ok(()) => checksum.update(&row),
                Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(cause) => return Err(cause),
            }
        }
        Ok(Some(checksum.finalize()))
    }

    /// A finished file of the same head has nothing left to record; any other is not overwritten.
    fn recognise(&self, stored: &StoreHead) -> Result<(), DataError> {
        if stored.model.is_none() {
            let reason = "is there already and does not say of which model it is; remove it, or record into another file";
            return Err(unusable(&self.path, reason));
        }
        if let Some(difference) = stored.recording_difference(&self.head) {
            return Err(DataError::StoreDiffers { path: self.path.clone(), difference });
        }
        // Left by a process that was killed between the two last steps of finishing.
        let place = beside(&self.path, "journal");
        match std::fs::remove_file(&place) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(broken("remove", &place, cause)),
            _ => Ok(()),
        }
    }

    fn stopped(&self, cause: io::Error) -> DataError {
        let (done, chunks) = (self.done.len(), self.head.chunks().len());
        DataError::RecordingStopped { path: self.path.clone(), done, chunks, cause }
    }
}

/// The head that our own recordings put beside a file, or else what the file itself tells. `is_of_it` says whether a
/// head fits what the file itself tells.
pub(super) fn told_beside(
    path: &Path,
    own: StoreHead,
    is_of_it: impl Fn(&StoreHead, &StoreHead) -> bool,
) -> Result<StoreHead, DataError> {
    let place = beside(path, HEAD_ENDING);
    let mut json = Vec::new();
    let read = File::open(&place).and_then(|file| file.take(limits::STORE_HEAD_BYTES).read_to_end(&mut json));
    match read {
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(own),
        Err(cause) => return Err(broken("read", &place, cause)),
    }
    let told: Option<StoreHead> = serde_json::from_slice(&json).ok();
    let told = told.filter(|told| told.check().is_ok() && is_of_it(told, &own));
    let reason =
        format!("it is not the head of {}; remove it if that file is from elsewhere", path.display());
    told.ok_or_else(|| unusable(&place, reason))
}
