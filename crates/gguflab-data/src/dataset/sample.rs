//! A text for calibration or evaluation out of datasets: so much of each language, at random, in chunks.
//!
//! Which records are taken depends on the seed and on the texts alone: each text has a rank, the hash of it with the
//! seed, and those of the lowest ranks are taken. So a later call can go on where an earlier one stopped, and no
//! record is taken twice. What is left out is counted with the reason.

mod card;
mod chunks;
mod manifest;
mod take;
mod tokens;

use std::collections::BTreeMap;

pub use card::languages_of_card;
pub use manifest::{Manifest, SourceFile, SourceRows};
pub use tokens::{CountTokens, TokenEstimate};

use super::error::DatasetError;
use super::open::Dataset;
use chunks::Piece;
use take::Taking;

/// How much of each language is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many records.
    Records(u64),
    /// So many tokens; the record that reaches them is taken whole.
    Tokens(u64),
}

/// A sample that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRequest {
    /// The languages; empty for all that there are.
    pub languages: Vec<String>,
    /// How much of each.
    pub amount: Amount,
    /// Records of each language that are passed over at the beginning of the sources.
    pub skip: u64,
    /// Tokens of a chunk; `None` for one record after the other.
    pub chunk: Option<u64>,
    /// What the choice depends on.
    pub seed: u64,
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// It has no text at the field.
    WithoutText,
    /// Its text is empty or white space.
    Empty,
    /// It has no language, and only some were asked for.
    WithoutLanguage,
    /// Its language was not asked for.
    OtherLanguage,
    /// Its text is that of an earlier one.
    Duplicate,
    /// It lies before what is to be looked at.
    Skipped,
    /// An earlier call took it.
    TakenBefore,
    /// There was enough of its language without it.
    NotNeeded,
}

impl LeftOut {
    /// In words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            LeftOut::WithoutText => "no text at the field",
            LeftOut::Empty => "empty text",
            LeftOut::WithoutLanguage => "no language",
            LeftOut::OtherLanguage => "another language",
            LeftOut::Duplicate => "the same text as an earlier one",
            LeftOut::Skipped => "skipped as asked for",
            LeftOut::TakenBefore => "taken by an earlier call",
            LeftOut::NotNeeded => "not drawn: there was enough without it",
        }
    }
}

/// What was taken of a language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LanguageSample {
    /// Records that could have been taken.
    pub available: u64,
    /// Records that were.
    pub taken: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Tokens of their texts with a line end behind each.
    pub tokens: u64,
}

/// A part of the sample: a record, or a piece of one that is longer than a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number of its chunk, from 0; each record has its own where no chunks were asked for.
    pub chunk: u64,
    /// Its language; empty where none is known.
    pub language: String,
    /// Which of the datasets it is from.
    pub source: usize,
    /// Its row there.
    pub row: u64,
    /// Its text.
    pub text: String,
    /// Its tokens, with a line end.
    pub tokens: u64,
}

/// The sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its parts from first to last.
    pub parts: Vec<Part>,
    /// What was taken of each language.
    pub languages: BTreeMap<String, LanguageSample>,
    /// What was not taken, and why.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Records that are longer than a chunk and were cut.
    pub cut: u64,
    /// Chunks.
    pub chunks: u64,
}

/// Takes a sample of the datasets; nothing that `before` took is taken again.
///
/// # Errors
/// [`DatasetError`] of a dataset; [`DatasetError::Request`] when tokens cannot be counted, or nothing can be taken.
pub fn sample(
    datasets: &[Dataset],
    request: &SampleRequest,
    before: Option<&Manifest>,
    counter: &mut dyn CountTokens,
) -> Result<Sample, DatasetError> {
    if request.chunk == Some(0) {
        return Err(DatasetError::Request("a chunk has at least one token".to_owned()));
    }
    let mut taking = Taking::new(request, before);
    for (source, dataset) in datasets.iter().enumerate() {
        for record in dataset.records() {
            taking.look_at(source, record?, counter)?;
        }
    }
    let (taken, mut sample) = taking.finish(counter)?;
    if taken.is_empty() {
        return Err(nothing(&sample));
    }
    let pieces = match request.chunk {
        None => chunks::one_by_one(taken),
        Some(tokens) => {
            let (taken, cut) = chunks::cut_long(taken, tokens, counter)?;
            sample.cut = cut;
            chunks::balanced(taken, tokens)
        }
    };
    sample.chunks = pieces.last().map_or(0, |(chunk, _)| chunk + 1);
    sample.parts = pieces.into_iter().map(|(chunk, piece)| piece.part(chunk)).collect();
    Ok(sample)
}

fn nothing(sample: &Sample) -> DatasetError {
    let reasons: Vec<String> =
        sample.left_out.iter().map(|(reason, count)| format!("{count}: {}", reason.in_words())).collect();
    let reasons = if reasons.is_empty() { "there are no records".to_owned() } else { reasons.join(", ") };
    DatasetError::Request(format!("nothing can be taken ({reasons})"))
}

impl Piece {
    fn part(self, chunk: u64) -> Part {
        let Piece { language, source, row, text, tokens, .. } = self;
        Part { chunk, language, source, row, text, tokens }
    }
}
