//! Reads the file that `llama-perplexity --kl-divergence-base` writes.
//!
//! Layout, little endian (llama.cpp's `tools/perplexity/perplexity.cpp`, b11434): `_logits_`; `i32` tokens of a
//! chunk, of the vocabulary, and number of chunks; the chunks' tokens as `i32`; then for each chunk a row for every
//! scored position: `f32` scale, `f32` smallest log-probability, a `u16` for each token of the vocabulary, and one
//! more where their number is odd. A log-probability is `smallest + scale · u16`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gguflab_types::evaluation::{WindowRule, Windowing};

use super::head::{STORE_FORMAT, StoreHead};
use super::slots::told_beside;
use super::{broken, unusable};
use crate::error::DataError;
use crate::limits;

/// First bytes of the file.
pub(super) const MAGIC: &[u8] = b"_logits_";
/// `u16`s of a row before those of the vocabulary.
const ROW_HEAD: usize = 4;

/// Where things lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Tokens of a chunk.
    pub(super) context: u32,
    /// Tokens of the vocabulary.
    pub(super) vocabulary: u32,
    /// Number of chunks.
    pub(super) chunks: u32,
}

impl Layout {
    /// Rows of a chunk.
    pub(super) fn rows(&self) -> usize {
        (self.context as usize).saturating_sub(1).saturating_sub(self.context as usize / 2)
    }

    /// `u16`s of a row.
    pub(super) fn width(&self) -> usize {
        (self.vocabulary as usize).next_multiple_of(2) + ROW_HEAD
    }

    /// Bytes before the rows of the first chunk.
    pub(super) fn start(&self) -> u64 {
        MAGIC.len() as u64 + 12 + 4 * u64::from(self.context) * u64::from(self.chunks)
    }

    /// Bytes of a row. The limits of the head keep these products small.
    pub(super) fn row_bytes(&self) -> u64 {
        2 * self.width() as u64
    }

    /// Bytes of the rows of a chunk.
    pub(super) fn chunk_bytes(&self) -> u64 {
        self.row_bytes() * self.rows() as u64
    }

    /// Bytes of the whole file; `None` where no file can be that large.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.chunk_bytes().checked_mul(u64::from(self.chunks))?.checked_add(self.start())
    }
}

/// A file of `llama-perplexity`.
#[derive(Debug)]
pub struct LlamaFile {
    path: PathBuf,
    file: File,
    head: StoreHead,
    layout: Layout,
}

/// Some rows of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlamaBlock {
    values: Vec<u16>,
    vocabulary: usize,
    width: usize,
}

/// A row: the log-probability of token i is `min_log_prob + scale · values[i]` nats, as a number of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlamaRow<'a> {
    /// Nats of a step.
    pub scale: f32,
    /// Log-probability of the value 0, which all tokens have that are less likely than e⁻¹⁶ times the likeliest.
    pub min_log_prob: f32,
    /// One for each token of the vocabulary.
    pub values: &'a [u16],
}

impl LlamaBlock {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// A row; `None` where it is no number, or past the last.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<LlamaRow<'_>> {
        let row = self.values.get(index * self.width..(index + 1) * self.width)?;
        let (&[one, two, three, four], values) = row.split_first_chunk::<ROW_HEAD>()?;
        let number = |low: u16, high: u16| f32::from_bits(u32::from(high) << 16 | u32::from(low));
        let (scale, min_log_prob) = (number(one, two), number(three, four));
        let is_number = scale.is_finite() && scale >= 0.0 && min_log_prob.is_finite();
        is_number.then_some(LlamaRow { scale, min_log_prob, values: values.get(..self.vocabulary)? })
    }
}

impl LlamaFile {
    /// Opens a file and reads its tokens, and what the file `.head.json` beside it says, where there is one.
    ///
    /// # Errors
    /// When it cannot be read, is cut or longer than it says, or when the file beside it is of another.
    pub fn open(path: &Path) -> Result<LlamaFile, DataError> {
        let file = File::open(path).map_err(|cause| broken("read", path, cause))?;
        let length = file.metadata().map_err(|cause| broken("read", path, cause))?.len();
        let mut reader = BufReader::new(&file);
        let layout = layout(&mut reader, length).map_err(|reason| unusable(path, reason))?;
        let tokens = tokens(&mut reader, layout).map_err(|cause| broken("read", path, cause))?;
        let head = of_layout(layout, tokens);
        head.check().map_err(|reason| unusable(path, reason))?;
        let head = told_beside(path, head, is_of_it)?;
        Ok(LlamaFile { path: path.to_owned(), file, head, layout })
    }

    /// What the store says of itself. The format itself only tells windowing, vocabulary and tokens, these without
    /// the start token that the model may have been given in place of each chunk's first.
    #[must_use]
    pub fn head(&self) -> &StoreHead {
        &self.head
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The rows of a chunk in blocks of at most `rows`, each read when it is asked for. No block where the chunk is
    /// not stored.
    pub fn blocks(
        &self,
        chunk: u32,
        rows: usize,
    ) -> impl Iterator<Item = Result<LlamaBlock, DataError>> + '_ {
        let all = if self.head.chunks().contains(&chunk) { self.layout.rows() } else { 0 };
        let step = rows.max(1);
        (0..all).step_by(step).map(move |first| self.rows(chunk, first..all.min(first.saturating_add(step))))
    }

    /// Some rows of a chunk, by their places among its scored positions.
    ///
    /// # Errors
    /// When the chunk is not stored or has no such rows, and when the file cannot be read.
    pub fn rows(&self, chunk: u32, rows: Range<usize>) -> Result<LlamaBlock, DataError> {
        if !self.head.chunks().contains(&chunk) || rows.start > rows.end || rows.end > self.layout.rows() {
            let (first, end) = (rows.start, rows.end);
            return Err(unusable(&self.path, format!("it has no rows {first} to {end} of chunk {chunk}")));
        }
        let slot = u64::from(chunk - self.head.first_chunk);
        let layout = self.layout;
        let place = layout.start() + slot * layout.chunk_bytes() + rows.start as u64 * layout.row_bytes();
        let mut bytes = vec![0; rows.len() * layout.width() * 2];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|cause| broken("read", &self.path, cause))?;
        let values = bytes.as_chunks::<2>().0.iter().map(|two| u16::from_le_bytes(*two)).collect();
        Ok(LlamaBlock { values, vocabulary: layout.vocabulary as usize, width: layout.width() })
    }
}

/// Reads the counts, and checks them against the length of the file before memory is taken for anything.
fn layout(reader: &mut impl Read, length: u64) -> Result<Layout, String> {
    let mut start = [0; 20];
    let read = reader.read_exact(&mut start);
    let (magic, counts) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it does not begin as a file of llama-perplexity does; record it again".to_owned());
    }
    if read.is_err() {
        return Err("it is cut within its first 20 bytes; record it again".to_owned());
    }
    let mut counts = counts.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four));
    let mut next = |what: &str, least: u32, most: u32| {
        let count = counts.next().unwrap_or(0);
        let is_possible = (least..=most).contains(&count);
        is_possible.then_some(count).ok_or_else(|| format!("it says it has {count} {what}: it is damaged"))
    };
    let context = next("tokens in a chunk", 3, limits::STORE_CONTEXT)?;
    let vocabulary = next("tokens in its vocabulary", 1, limits::STORE_VOCABULARY)?;
    let chunks = next("chunks", 1, i32::MAX.unsigned_abs())?;
    let layout = Layout { context, vocabulary, chunks };
    match layout.bytes() {
        Some(bytes) if bytes == length => Ok(layout),
        Some(bytes) if bytes < length => {
            Err(format!("it is {} bytes longer than it says: it is damaged; record it again", length - bytes))
        }
        _ => {
            let whole = length.saturating_sub(layout.start()) / layout.chunk_bytes();
            let all = layout.chunks;
            Err(format!(
                "it is cut: {whole} of its {all} chunks are whole; copy it again, or record it again"
            ))
        }
    }
}

fn tokens(reader: &mut impl Read, layout: Layout) -> std::io::Result<Vec<Vec<i32>>> {
    let mut bytes = vec![0; 4 * layout.context as usize];
    let mut chunk = |_| {
        reader.read_exact(&mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|four| i32::from_le_bytes(*four)).collect())
    };
    (0..layout.chunks).map(&mut chunk).collect()
}

/// What the file itself tells.
fn of_layout(layout: Layout, tokens: Vec<Vec<i32>>) -> StoreHead {
    StoreHead {
        format: STORE_FORMAT,
        model: None,
        tokenizer: None,
        text: None,
        windowing: Windowing { rule: WindowRule::LlamaPerplexity, context: layout.context },
        start_token: None,
        vocabulary: layout.vocabulary,
        sketch: None,
        engine: None,
        text_chunks: layout.chunks,
        first_chunk: 0,
        tokens,
    }
}

/// Whether the head beside a file is of it.
fn is_of_it(told: &StoreHead, own: &StoreHead) -> bool {
    let facts = |head: &StoreHead| (head.windowing.clone(), head.vocabulary);
    facts(told) == facts(own) && told.tokens == own.tokens
}
