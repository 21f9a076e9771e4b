//! The n-grams of an evaluation, to be looked up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::grams::Grams;
use super::words::each_word;
use super::{Place, SideCount};
use crate::limits::RECORDS_OF_A_GRAM;

/// Bits of the filter for each n-gram: 1 in 16 of those that are not there gets past it.
const FILTER_BITS: usize = 16;

/// A record of the evaluation.
pub(super) struct EvaluationRecord {
    pub(super) place: Place,
    pub(super) text: String,
    grams: Vec<u64>,
    words: usize,
    short: Option<u64>,
}

impl EvaluationRecord {
    pub(super) fn new(place: Place, text: String, words: usize) -> EvaluationRecord {
        let (mut window, mut grams) = (Grams::new(words), Vec::new());
        each_word(&text, |word, _, _| grams.extend(window.push(word)));
        EvaluationRecord { place, text, grams, words: window.words(), short: window.short() }
    }

    /// Words of the text.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Counts the record for its side.
    pub(super) fn count(&self, side: &mut SideCount, words: usize) {
        side.add(self.words, self.text.len(), words);
    }
}

impl SideCount {
    /// Counts a record with so many words and bytes, where an n-gram has `least` words.
    pub(super) fn add(&mut self, words: usize, bytes: usize, least: usize) {
        self.records += 1;
        self.without_words += u64::from(words == 0);
        self.short += u64::from(words > 0 && words < least);
        self.bytes += bytes as u64;
    }
}

/// The n-grams of some records.
pub(super) struct Index {
    pub(super) records: Vec<EvaluationRecord>,
    /// Different n-grams of each record.
    pub(super) sizes: Vec<u64>,
    /// Whether a record of the training set is nearly the same as each record.
    pub(super) is_near: Vec<AtomicBool>,
    /// N-grams that too many records have for all to be named in `holders`.
    pub(super) common: u64,
    filter: Vec<u64>,
    /// Open addressing: hashes (0 for none) and the numbers of their n-grams.
    keys: Vec<u64>,
    numbers: Vec<u32>,
    /// The holders of n-gram i are `holders[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    holders: Vec<u32>,
    /// The first place in the training set that has each n-gram, packed; `u64::MAX` for none.
    seen: Vec<AtomicU64>,
    /// Records with too few words for an n-gram, by the hash of all their words, and whether one was seen.
    short: HashMap<u64, AtomicBool>,
}

impl Index {
    pub(super) fn new(mut records: Vec<EvaluationRecord>) -> Index {
        let mut pairs: Vec<(u64, u32)> = Vec::new();
        let mut sizes = Vec::with_capacity(records.len());
        for (number, record) in records.iter_mut().enumerate() {
            let start = pairs.len();
            pairs.extend(std::mem::take(&mut record.grams).into_iter().map(|gram| (gram, number as u32)));
            pairs[start..].sort_unstable();
            let mut own = pairs.split_off(start);
            own.dedup();
            sizes.push(own.len() as u64);
            pairs.append(&mut own);
        }
        pairs.sort_unstable();
        let short =
            records.iter().filter_map(|record| record.short).map(|hash| (hash, AtomicBool::new(false)));
        let mut index = Index {
            short: short.collect(),
            is_near: records.iter().map(|_| AtomicBool::new(false)).collect(),
            records,
            sizes,
            common: 0,
            filter: Vec::new(),
            keys: Vec::new(),
            numbers: Vec::new(),
            starts: vec![0],
            holders: Vec::new(),
            seen: Vec::new(),
        };
        index.fill(&pairs);
        index
    }

    fn fill(&mut self, pairs: &[(u64, u32)]) {
        let groups = || pairs.chunk_by(|one, other| one.0 == other.0);
        let different = groups().count();
        let places = (different * 2).next_power_of_two().max(2);
        (self.keys, self.numbers) = (vec![0; places], vec![0; places]);
        self.filter = vec![0; (different * FILTER_BITS).next_power_of_two().max(64) / 64];
        for (number, group) in groups().enumerate() {
            let hash = group.first().map_or(1, |pair| pair.0);
            self.insert(hash, number as u32);
            self.common += u64::from(group.len() > RECORDS_OF_A_GRAM);
            self.holders.extend(group.iter().take(RECORDS_OF_A_GRAM).map(|pair| pair.1));
            self.starts.push(self.holders.len() as u32);
        }
        self.seen = (0..different).map(|_| AtomicU64::new(u64::MAX)).collect();
    }

    fn insert(&mut self, hash: u64, number: u32) {
        let (word, bit) = self.filter_place(hash);
        self.filter[word] |= bit;
        let mut place = self.first_place(hash);
        while self.keys[place] != 0 {
            place = (place + 1) & (self.keys.len() - 1);
        }
        (self.keys[place], self.numbers[place]) = (hash, number);
    }

    fn first_place(&self, hash: u64) -> usize {
        (hash as usize) & (self.keys.len() - 1)
    }

    /// The filter uses the upper bits, the table the lower.
    fn filter_place(&self, hash: u64) -> (usize, u64) {
        let place = (hash >> 20) as usize & (self.filter.len() * 64 - 1);
        (place / 64, 1 << (place % 64))
    }

    /// The number of an n-gram; `None` where the evaluation does not have it.
    pub(super) fn number(&self, hash: u64) -> Option<u32> {
        let (word, bit) = self.filter_place(hash);
        if self.filter[word] & bit == 0 {
            return None;
        }
        let mut place = self.first_place(hash);
        loop {
            match self.keys[place] {
                0 => return None,
                key if key == hash => return Some(self.numbers[place]),
                _ => place = (place + 1) & (self.keys.len() - 1),
            }
        }
    }

    /// Records that have an n-gram.
    pub(super) fn holders(&self, number: u32) -> &[u32] {
        let at = number as usize;
        &self.holders[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// Notes that the training set has an n-gram in this place.
    pub(super) fn note(&self, number: u32, place: Place) {
        self.seen[number as usize].fetch_min(packed(place), Relaxed);
    }

    /// The first place in the training set that has the n-gram of this hash.
    pub(super) fn first_seen(&self, hash: u64) -> Option<Place> {
        let packed = self.seen[self.number(hash)? as usize].load(Relaxed);
        (packed != u64::MAX).then(|| unpacked(packed))
    }

    /// Notes that the training set has a record of these few words.
    pub(super) fn note_short(&self, hash: u64) {
        if let Some(seen) = self.short.get(&hash) {
            seen.store(true, Relaxed);
        }
    }

    /// Whether a record with too few words for an n-gram is in the training set as it is.
    pub(super) fn same_short(&self, record: usize) -> bool {
        let hash = self.records[record].short;
        hash.and_then(|hash| self.short.get(&hash)).is_some_and(|seen| seen.load(Relaxed))
    }
}

/// Bits of a row's number beside that of its dataset.
const ROW_BITS: u32 = 44;

fn packed(place: Place) -> u64 {
    ((place.source as u64) << ROW_BITS) | (place.row & ((1 << ROW_BITS) - 1))
}

fn unpacked(packed: u64) -> Place {
    Place { source: (packed >> ROW_BITS) as usize, row: packed & ((1 << ROW_BITS) - 1) }
}
