//! The passages of a record that are in the training set.

use super::grams::Grams;
use super::index::{EvaluationRecord, Index};
use super::words::each_word;
use super::{Passage, Place};
use crate::limits::LISTED_PASSAGES;

/// What of one record is in the training set.
#[derive(Default)]
pub(super) struct Met {
    /// Its n-grams.
    pub(super) grams: u64,
    /// Those that are in the training set.
    pub(super) matched: u64,
    /// Its longest passages.
    pub(super) passages: Vec<Run>,
}

/// Words in a row whose n-grams all are in the training set.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Where in the record its text begins and ends, in bytes.
    start: usize,
    end: usize,
    words: u64,
    training: Place,
}

impl Run {
    pub(super) fn of(self, record: &EvaluationRecord) -> Passage {
        let text = record.text.get(self.start..self.end).unwrap_or_default().to_owned();
        Passage { evaluation: record.place, training: self.training, words: self.words, text }
    }
}

/// Goes through a record of the index once the training set has been read.
pub(super) fn of(index: &Index, record: usize, length: usize) -> Met {
    let (mut met, mut window, mut run) = (Met::default(), Grams::new(length), None::<Run>);
    let mut starts = vec![0; length];
    let mut words = 0;
    each_word(&index.records[record].text, |word, start, end| {
        starts[words % length] = start;
        words += 1;
        let Some(hash) = window.push(word) else { return };
        met.grams += 1;
        let Some(training) = index.first_seen(hash) else {
            met.passages.extend(run.take());
            return;
        };
        met.matched += 1;
        let start = starts[words % length];
        let begun = run.get_or_insert(Run { start, end, words: length as u64 - 1, training });
        begun.end = end;
        begun.words += 1;
    });
    met.passages.extend(run);
    met.passages.sort_by_key(|run| (std::cmp::Reverse(run.words), run.start));
    met.passages.truncate(LISTED_PASSAGES);
    met
}
