//! A sketch store while it is recorded: rows go into a journal beside it, which becomes the store when all are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gguflab_types::evaluation::SketchRow;

use super::head::StoreHead;
use super::journal::Journal;
use super::rows::{check_rows, decode, decode_place, encode};
use super::sketch_file::SketchFile;
use super::sketch_writer::SketchWriter;
use super::{beside, unusable};
use crate::error::DataError;

/// First bytes of a sketch's journal.
const MAGIC: &[u8] = b"gguflab sketch journal 1\n";

/// A sketch store that is being recorded. Whatever was appended survives the end of the process at any moment: the
/// next recording into the same file goes on with the chunks that are left.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    head: StoreHead,
    /// `None` when the store was finished before.
    journal: Option<Journal>,
    chunks: BTreeMap<u32, Recorded>,
}

/// What the journal has of one chunk.
#[derive(Debug, Default)]
struct Recorded {
    /// Places of its records, in the order of its rows.
    places: Vec<u64>,
    rows: usize,
}

impl Recording {
    /// Begins to record into `path`, or goes on with what was recorded before; gives the chunks that are whole
    /// already. `path` itself is only written by [`Recording::finish`]; until then `path` with `.partial` after it
    /// grows.
    ///
    /// # Errors
    /// When what is there was recorded with something else (named), is used by another process, or cannot be
    /// written.
    pub fn begin_or_resume(path: &Path, head: &StoreHead) -> Result<(Recording, BTreeSet<u32>), DataError> {
        head.check().map_err(|reason| unusable(path, reason))?;
        if head.sketch.is_none() || head.tokens.is_empty() {
            return Err(unusable(
                path,
                "there is nothing to sketch: give chunks, and how many tokens of a row to keep",
            ));
        }
        let (path, head) = (path.to_owned(), head.clone());
        let mut recording = Recording { path, head, journal: None, chunks: BTreeMap::new() };
        if recording.path.exists() {
            recording.recognise()?;
            let done = recording.head.chunks().collect();
            return Ok((recording, done));
        }
        recording.open_journal()?;
        let done = recording.done();
        Ok((recording, done))
    }

    /// Appends rows of a chunk: all of its scored positions at once, or block after block in their order. A chunk
    /// counts when its last row is there; blocks of a chunk that was not whole when recording stopped are forgotten.
    ///
    /// # Errors
    /// When the rows are not what the head says or are no numbers without saying so, and when the disk does not
    /// take them; then nothing of them is kept, and what was recorded before stays.
    pub fn append(&mut self, chunk: u32, rows: &[SketchRow]) -> Result<(), DataError> {
        let before = self.chunks.get(&chunk).map_or(0, |recorded| recorded.rows);
        let left = self.head.scored_rows(chunk).saturating_sub(before);
        if rows.is_empty() || rows.len() > left {
            let given = rows.len();
            return Err(unusable(
                &self.path,
                format!("{given} rows for chunk {chunk}, which has {left} left"),
            ));
        }
        check_rows(chunk, before, rows, &self.head).map_err(|reason| unusable(&self.path, reason))?;
        let first = u32::try_from(before).map_err(|_| unusable(&self.path, "a chunk has too many rows"))?;
        let record = encode(chunk, first, rows);
        let Some(journal) = &mut self.journal else { return Ok(()) };
        match journal.append(&record) {
            Ok(place) => {
                let recorded = self.chunks.entry(chunk).or_default();
                recorded.places.push(place);
                recorded.rows += rows.len();
                Ok(())
            }
            Err(cause) => Err(self.stopped(cause)),
        }
    }

    /// Chunks that are whole.
    #[must_use]
    pub fn done(&self) -> BTreeSet<u32> {
        if self.journal.is_none() {
            return self.head.chunks().collect();
        }
        let whole = |(chunk, recorded): (&u32, &Recorded)| {
            (recorded.rows == self.head.scored_rows(*chunk)).then_some(*chunk)
        };
        self.chunks.iter().filter_map(whole).collect()
    }

    /// Makes the store of the journal, puts it in place whole, and removes the journal: its space is free again.
    ///
    /// # Errors
    /// When chunks are missing, or the store cannot be written; the journal stays then.
    pub fn finish(mut self) -> Result<(), DataError> {
        let missing = self.head.chunks().len() - self.done().len();
        if missing > 0 {
            let all = self.head.chunks().len();
            return Err(unusable(&self.path, format!("{missing} of its {all} chunks are not recorded yet")));
        }
        let Some(journal) = self.journal.take() else { return Ok(()) };
        let written = self.write(&journal);
        if let Err(error) = written {
            self.journal = Some(journal);
            return Err(error);
        }
        journal.remove()
    }

    fn write(&self, journal: &Journal) -> Result<(), DataError> {
        let place = beside(&self.path, "writing");
        let written = SketchWriter::create(&place, &self.head).and_then(|mut writer| {
            for (chunk, recorded) in &self.chunks {
                self.copy(journal, *chunk, recorded, &mut writer)?;
            }
            writer.finish()
        });
        let put =
            written.and_then(|()| std::fs::rename(&place, &self.path).map_err(|cause| self.stopped(cause)));
        put.map_err(|error| {
            // Half a file is of no use; the journal has everything.
            let _ = std::fs::remove_file(&place);
            match error {
                DataError::System { action: "write", cause, .. } => self.stopped(cause),
                error => error,
            }
        })
    }

    fn copy(
        &self,
        journal: &Journal,
        chunk: u32,
        recorded: &Recorded,
        writer: &mut SketchWriter,
    ) -> Result<(), DataError> {
        for place in &recorded.places {
            let rows = decode(&journal.read(*place)?);
            let rows = rows.ok_or_else(|| unusable(&self.path, "its journal was changed; run it again"))?;
            writer.append(chunk, &rows)?;
        }
        writer.end_chunk()
    }

    fn open_journal(&mut self) -> Result<(), DataError> {
        let place = beside(&self.path, "partial");
        let mut chunks: BTreeMap<u32, Recorded> = BTreeMap::new();
        self.journal = Some(Journal::open(&place, MAGIC, &self.head, |place, payload| {
            if let Some((chunk, first, rows)) = decode_place(payload) {
                note(chunks.entry(chunk).or_default(), place, first, rows);
            }
        })?);
        self.chunks = chunks;
        let done = self.done();
        self.chunks.retain(|chunk, _| done.contains(chunk));
        Ok(())
    }

    /// A finished store of the same head has nothing left to record; any other is not overwritten.
    fn recognise(&mut self) -> Result<(), DataError> {
        let stored = SketchFile::open(&self.path)?;
        if let Some(difference) = stored.head().recording_difference(&self.head) {
            return Err(DataError::StoreDiffers { path: self.path.clone(), difference });
        }
        // Left by a process that was killed between the two last steps of finishing.
        match std::fs::remove_file(beside(&self.path, "partial")) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(super::broken("remove", &beside(&self.path, "partial"), cause))
            }
            _ => Ok(()),
        }
    }

    fn stopped(&self, cause: std::io::Error) -> DataError {
        let (done, chunks) = (self.done().len(), self.head.chunks().len());
        DataError::RecordingStopped { path: self.path.clone(), done, chunks, cause }
    }
}

/// Takes a record in: the first of a chunk begins it anew, one that does not follow on the last makes it worthless.
fn note(recorded: &mut Recorded, place: u64, first: u32, rows: u32) {
    let follows = first as usize == recorded.rows;
    if first == 0 || !follows {
        *recorded = Recorded::default();
    }
    if first == 0 || follows {
        recorded.places.push(place);
        recorded.rows += rows as usize;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::logits::{STORE_FORMAT, Sketching};
    use gguflab_types::evaluation::{WindowRule, Windowing};

    fn head() -> StoreHead {
        StoreHead {
            format: STORE_FORMAT,
            model: None,
            tokenizer: None,
            text: None,
            windowing: Windowing { rule: WindowRule::EveryPosition, context: 3 },
            start_token: None,
            vocabulary: 10,
            sketch: Some(Sketching { head: 2, tail: 2, seed: 1 }),
            engine: None,
            text_chunks: 2,
            first_chunk: 0,
            tokens: vec![vec![1, 2, 3], vec![4, 5, 6]],
        }
    }

    fn rows() -> Vec<SketchRow> {
        let row = SketchRow {
            head: vec![7, 3],
            head_log_probability: vec![-0.5, -1.5],
            tail: vec![9, 9],
            tail_log_probability: vec![-4.0, -4.0],
            tail_mass: 0.17,
            nll: 1.5,
        };
        vec![row.clone(), row]
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (mut recording, _) = Recording::begin_or_resume(&path, &head()).unwrap();
        recording.append(0, &rows()).unwrap();
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        recording.journal.as_mut().unwrap().exchange(&mut full);
        let error = recording.append(1, &rows()).unwrap_err().to_string();
        assert!(error.contains("1 of 2 chunks are recorded and stay usable: free some space"), "{error}");
        recording.journal.as_mut().unwrap().exchange(&mut full);
        recording.append(1, &rows()).unwrap();
        std::os::unix::fs::symlink("/dev/full", beside(&path, "writing")).unwrap();
        let error = recording.finish().unwrap_err().to_string();
        assert!(error.contains("2 of 2 chunks are recorded and stay usable: free some space"), "{error}");
        assert!(!path.exists() && !beside(&path, "writing").exists());
        let (recording, done) = Recording::begin_or_resume(&path, &head()).unwrap();
        assert_eq!(done.len(), 2);
        recording.finish().unwrap();
        assert_eq!(SketchFile::open(&path).unwrap().chunk(1).unwrap(), rows());
    }
}
