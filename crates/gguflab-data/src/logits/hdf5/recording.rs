//! Writes a file of `generate_logits.py`.

use std::collections::BTreeSet;
use std::path::Path;

use half::f16;

use super::file::Hdf5File;
use super::layout::{Precision, Sizes, start};
use crate::error::DataError;
use crate::logits::head::StoreHead;
use crate::logits::slots::{Geometry, Slots};
use crate::logits::unusable;

/// First bytes of the journal.
const JOURNAL_MAGIC: &[u8] = b"gguflab HDF5 journal 1\n";

/// A file of `generate_logits.py` that is being recorded. The rows lie in `NAME.partial` as they will lie in `NAME`;
/// `NAME.journal` says what they are of and which chunks are whole. Positions that are not scored stay zero, as there.
#[derive(Debug)]
pub struct Hdf5Recording {
    slots: Slots,
    sizes: Sizes,
}

impl Hdf5Recording {
    /// Begins to record into `path`, or goes on with what was recorded before; gives the chunks that are whole
    /// already.
    ///
    /// # Errors
    /// When what is there was recorded with something else (named), is used by another process, or cannot be
    /// written.
    pub fn begin_or_resume(
        path: &Path,
        head: &StoreHead,
        precision: Precision,
    ) -> Result<(Hdf5Recording, BTreeSet<u32>), DataError> {
        head.check().map_err(|reason| unusable(path, reason))?;
        let chunks = head.chunks().len() as u32;
        let sizes = Sizes { chunks, context: head.windowing.context, vocabulary: head.vocabulary, precision };
        let start = start(&sizes).filter(|_| chunks > 0 && head.sketch.is_none());
        let start =
            start.ok_or_else(|| unusable(path, "an HDF5 file holds whole rows of at least one chunk"))?;
        let first_row = u64::from(head.windowing.first_scored());
        let (slot_bytes, row_bytes) = (sizes.chunk_bytes(), sizes.row_bytes());
        let geometry = Geometry { start, slot_bytes, first_row, row_bytes };
        let finished = || Hdf5File::open(path).map(|file| file.head().clone());
        let slots = Slots::begin_or_resume(path, head, geometry, JOURNAL_MAGIC, finished)?;
        let done = slots.done().clone();
        Ok((Hdf5Recording { slots, sizes }, done))
    }

    /// Appends rows of logits of a chunk, one after the other: all of its scored positions at once, or block after
    /// block in their order. A chunk counts when its last row is there. Logits that are no numbers are kept as they
    /// are.
    ///
    /// # Errors
    /// When there are too many rows or they are not as wide as the vocabulary, and when the disk does not take them;
    /// what was recorded before stays.
    pub fn append(&mut self, chunk: u32, rows: &[f32]) -> Result<(), DataError> {
        let wide = self.sizes.vocabulary as usize;
        if !rows.len().is_multiple_of(wide) {
            return Err(self.slots.unusable(format!("{} logits are no rows of {wide} tokens", rows.len())));
        }
        let bytes: Vec<u8> = match self.sizes.precision {
            Precision::Single => rows.iter().flat_map(|logit| logit.to_le_bytes()).collect(),
            Precision::Half => rows.iter().flat_map(|logit| f16::from_f32(*logit).to_le_bytes()).collect(),
        };
        self.slots.append(chunk, &bytes)
    }

    /// Chunks that are whole.
    #[must_use]
    pub fn done(&self) -> &BTreeSet<u32> {
        self.slots.done()
    }

    /// Puts the file in its place, with a file `.head.json` beside it that says of which model and text it is.
    ///
    /// # Errors
    /// When chunks are missing, or a file cannot be written; what was recorded stays then.
    pub fn finish(self) -> Result<(), DataError> {
        self.slots.finish()
    }
}
