//! Writes the file that `llama-perplexity --kl-divergence` reads.

use std::collections::BTreeSet;
use std::path::Path;

use gguflab_types::evaluation::WindowRule;

use super::head::StoreHead;
use super::llama_file::{Layout, LlamaFile, LlamaRow, MAGIC};
use super::slots::{Geometry, Slots};
use super::unusable;
use crate::error::DataError;

/// First bytes of the journal.
const JOURNAL_MAGIC: &[u8] = b"gguflab logits journal 1\n";

/// A file for `llama-perplexity` that is being recorded. The rows lie in `NAME.partial` as they will lie in `NAME`;
/// `NAME.journal` says what they are of and which chunks are whole.
#[derive(Debug)]
pub struct LlamaRecording {
    slots: Slots,
    layout: Layout,
}

impl LlamaRecording {
    /// Begins to record into `path`, or goes on with what was recorded before; gives the chunks that are whole
    /// already.
    ///
    /// # Errors
    /// When the format has no place for the windowing, when what is there was recorded with something else (named),
    /// is used by another process, or cannot be written.
    pub fn begin_or_resume(
        path: &Path,
        head: &StoreHead,
    ) -> Result<(LlamaRecording, BTreeSet<u32>), DataError> {
        let layout = layout(head).map_err(|reason| unusable(path, reason))?;
        let geometry = Geometry {
            start: start(head, layout),
            slot_bytes: layout.chunk_bytes(),
            first_row: 0,
            row_bytes: layout.row_bytes(),
        };
        let finished = || LlamaFile::open(path).map(|file| file.head().clone());
        let slots = Slots::begin_or_resume(path, head, geometry, JOURNAL_MAGIC, finished)?;
        let done = slots.done().clone();
        Ok((LlamaRecording { slots, layout }, done))
    }

    /// Appends rows of a chunk: all of its scored positions at once, or block after block in their order. A chunk
    /// counts when its last row is there.
    ///
    /// # Errors
    /// When there are too many rows or they are not as wide as the vocabulary, and when the disk does not take them;
    /// what was recorded before stays.
    pub fn append(&mut self, chunk: u32, rows: &[LlamaRow<'_>]) -> Result<(), DataError> {
        let wide = self.layout.vocabulary as usize;
        if let Some(row) = rows.iter().find(|row| row.values.len() != wide) {
            return Err(self
                .slots
                .unusable(format!("a row of {} tokens, and the head says {wide}", row.values.len())));
        }
        let bytes: Vec<u8> = rows.iter().flat_map(|row| encode(row, self.layout)).collect();
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

/// Where things will lie, if the format has a place for them.
fn layout(head: &StoreHead) -> Result<Layout, String> {
    head.check()?;
    let context = head.windowing.context;
    if head.windowing.rule != WindowRule::LlamaPerplexity || head.sketch.is_some() {
        return Err("llama-perplexity's file holds whole rows of the windowing `llama-perplexity` only; \
                    record with that, or record a sketch"
            .to_owned());
    }
    if head.tokens.is_empty() || head.tokens.iter().any(|tokens| tokens.len() != context as usize) {
        return Err(
            "llama-perplexity's file holds full chunks, and at least one; give a longer text".to_owned()
        );
    }
    Ok(Layout { context, vocabulary: head.vocabulary, chunks: head.chunks().len() as u32 })
}

/// The bytes before the first row.
fn start(head: &StoreHead, layout: Layout) -> Vec<u8> {
    let counts = [layout.context, layout.vocabulary, layout.chunks];
    let counts = counts.iter().flat_map(|count| count.to_le_bytes());
    let tokens = head.tokens.iter().flatten().flat_map(|token| token.to_le_bytes());
    MAGIC.iter().copied().chain(counts).chain(tokens).collect()
}

fn encode(row: &LlamaRow<'_>, layout: Layout) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(layout.row_bytes() as usize);
    bytes.extend(row.scale.to_le_bytes());
    bytes.extend(row.min_log_prob.to_le_bytes());
    row.values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes.resize(layout.row_bytes() as usize, 0);
    bytes
}
