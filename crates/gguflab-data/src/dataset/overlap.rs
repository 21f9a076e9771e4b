//! What of an evaluation text is in a training set: word n-grams that both have, and records that are nearly the same.
//!
//! The n-grams of the evaluation are the index, as it is the smaller side by far; the training set streams past it.
//! So for each pair of records the number of n-grams that both have is counted, not estimated, and the Jaccard
//! similarity (|A ∩ B| / |A ∪ B| of the sets of n-grams) follows exactly: no sketch, and nothing to miss. An n-gram
//! is known by 64 bits of its hash. An evaluation that is too large for one index takes several passes.

mod grams;
mod index;
mod passages;
mod training;
mod words;

use std::sync::atomic::Ordering::Relaxed;

use index::{EvaluationRecord, Index};

use super::error::DatasetError;
use super::open::Dataset;
use crate::limits::{INDEXED_GRAMS, LISTED_PAIRS, LISTED_PASSAGES};

/// What counts as overlap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverlapOptions {
    /// Words of an n-gram.
    pub words: usize,
    /// Jaccard similarity from which on two records are nearly the same.
    pub similarity: f64,
    /// Threads that look the training set's n-grams up.
    pub threads: usize,
    /// Different n-grams of the evaluation in one pass, about.
    pub grams_of_a_pass: usize,
}

impl Default for OverlapOptions {
    fn default() -> OverlapOptions {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        OverlapOptions { words: 13, similarity: 0.8, threads, grams_of_a_pass: INDEXED_GRAMS }
    }
}

/// A record of one of the datasets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which dataset of its side.
    pub source: usize,
    /// Its row there.
    pub row: u64,
}

/// Two records that are nearly the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The record of the evaluation.
    pub evaluation: Place,
    /// The record of the training set.
    pub training: Place,
    /// N-grams that both have.
    pub shared: u64,
    /// N-grams that either has.
    pub all: u64,
}

impl Pair {
    /// Jaccard similarity of their sets of n-grams.
    #[must_use]
    pub fn similarity(&self) -> f64 {
        self.shared as f64 / self.all.max(1) as f64
    }
}

/// Words in a row of a record of the evaluation whose n-grams all are in the training set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The record of the evaluation.
    pub evaluation: Place,
    /// The first record of the training set that has the first of its n-grams.
    pub training: Place,
    /// Words.
    pub words: u64,
    /// The text, as it stands in the evaluation.
    pub text: String,
}

/// What was read of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideCount {
    /// Records.
    pub records: u64,
    /// Records without a text at the field, or without a word in it.
    pub without_words: u64,
    /// Records with fewer words than an n-gram: they are compared only as a whole.
    pub short: u64,
    /// Bytes of the texts.
    pub bytes: u64,
}

/// What of the evaluation is in the training set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlap {
    /// The evaluation.
    pub evaluation: SideCount,
    /// The training set.
    pub training: SideCount,
    /// Records of the evaluation with at least one n-gram in the training set, or all of a short record.
    pub touched: u64,
    /// Records of the evaluation of which at least this share (in per cent) of n-grams is in the training set.
    pub contained: Vec<(u8, u64)>,
    /// Records of the evaluation that are nearly the same as one of the training set.
    pub near_duplicates: u64,
    /// N-grams of the evaluation, each as often as it stands there.
    pub grams: u64,
    /// Those that are in the training set.
    pub matched_grams: u64,
    /// Pairs that are nearly the same; the most similar first, and no more than [`LISTED_PAIRS`].
    pub pairs: Vec<Pair>,
    /// All such pairs.
    pub all_pairs: u64,
    /// The longest passages.
    pub passages: Vec<Passage>,
    /// N-grams that so many records of the evaluation have that not all of these were compared by them.
    pub common_grams: u64,
    /// How often the training set was read.
    pub passes: u32,
}

/// The shares of a record's n-grams that are counted, in per cent.
const SHARES: [u8; 4] = [10, 50, 80, 100];

/// Compares an evaluation with a training set.
///
/// # Errors
/// [`DatasetError`] of either side; [`DatasetError::Request`] for n-grams without words or a similarity that is none.
pub fn overlap(
    evaluation: &[Dataset],
    training: &[Dataset],
    options: &OverlapOptions,
) -> Result<Overlap, DatasetError> {
    if options.words == 0 || !(options.similarity > 0.0 && options.similarity <= 1.0) {
        let reason = "an n-gram has at least one word, and a similarity lies above 0 and is at most 1";
        return Err(DatasetError::Request(reason.to_owned()));
    }
    let mut found = Overlap { contained: SHARES.map(|share| (share, 0)).to_vec(), ..Overlap::default() };
    let mut batch = Vec::new();
    let mut grams = 0;
    for (source, dataset) in evaluation.iter().enumerate() {
        for record in dataset.records() {
            let record = record?;
            let place = Place { source, row: record.row };
            let record = EvaluationRecord::new(place, record.text.unwrap_or_default(), options.words);
            record.count(&mut found.evaluation, options.words);
            grams += record.words().saturating_sub(options.words - 1);
            batch.push(record);
            if grams >= options.grams_of_a_pass {
                pass(std::mem::take(&mut batch), training, options, &mut found)?;
                grams = 0;
            }
        }
    }
    if !batch.is_empty() {
        pass(batch, training, options, &mut found)?;
    }
    Ok(found)
}

/// Reads the training set once for some records of the evaluation.
fn pass(
    records: Vec<EvaluationRecord>,
    training: &[Dataset],
    options: &OverlapOptions,
    found: &mut Overlap,
) -> Result<(), DatasetError> {
    let index = Index::new(records);
    let seen = training::read(&index, training, options)?;
    found.passes += 1;
    found.training = seen.count;
    found.common_grams += index.common;
    found.all_pairs += seen.all_pairs;
    found.pairs.extend(seen.pairs);
    training::keep_best(&mut found.pairs, LISTED_PAIRS);
    for (number, record) in index.records.iter().enumerate() {
        let met = passages::of(&index, number, options.words);
        found.grams += met.grams;
        found.matched_grams += met.matched;
        found.touched += u64::from(met.matched > 0 || index.same_short(number));
        found.near_duplicates += u64::from(index.is_near[number].load(Relaxed));
        for (share, count) in &mut found.contained {
            let is_contained = met.grams > 0 && met.matched * 100 >= met.grams * u64::from(*share);
            *count += u64::from(is_contained || (met.grams == 0 && index.same_short(number)));
        }
        found.passages.extend(met.passages.into_iter().map(|run| run.of(record)));
        if found.passages.len() > 64 * LISTED_PASSAGES {
            keep_longest(&mut found.passages);
        }
    }
    keep_longest(&mut found.passages);
    Ok(())
}

fn keep_longest(passages: &mut Vec<Passage>) {
    passages.sort_by_key(|passage| (std::cmp::Reverse(passage.words), passage.evaluation));
    passages.truncate(LISTED_PASSAGES);
}
