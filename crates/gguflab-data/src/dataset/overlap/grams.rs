//! Hashes of n words in a row, each from the one before it.

use super::words::mixed;

/// Odd, so that multiplying loses nothing (the multiplier of Knuth's MMIX generator).
const FACTOR: u64 = 6_364_136_223_846_793_005;

/// A window of words that moves on.
pub(super) struct Grams {
    ring: Vec<u64>,
    next: usize,
    words: usize,
    hash: u64,
    /// What the oldest word of a full window has been multiplied by.
    oldest: u64,
}

impl Grams {
    /// Windows of `length` words, at least one.
    pub(super) fn new(length: usize) -> Grams {
        let length = length.max(1);
        let oldest = (1..length).fold(1_u64, |power, _| power.wrapping_mul(FACTOR));
        Grams { ring: vec![0; length], next: 0, words: 0, hash: 0, oldest }
    }

    /// Begins another text.
    pub(super) fn restart(&mut self) {
        (self.words, self.next, self.hash) = (0, 0, 0);
        self.ring.fill(0);
    }

    /// Takes the next word; the hash of the window as soon as that is full.
    pub(super) fn push(&mut self, word: u64) -> Option<u64> {
        let slot = &mut self.ring[self.next];
        let left = std::mem::replace(slot, word);
        self.next = if self.next + 1 == self.ring.len() { 0 } else { self.next + 1 };
        self.hash = self.hash.wrapping_sub(left.wrapping_mul(self.oldest));
        self.hash = self.hash.wrapping_mul(FACTOR).wrapping_add(word);
        self.words = self.words.saturating_add(1);
        (self.words >= self.ring.len()).then(|| never_zero(mixed(self.hash)))
    }

    /// Words taken.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// The hash of all words, where there are fewer than a window has; those of other lengths are others.
    pub(super) fn short(&self) -> Option<u64> {
        let is_short = self.words > 0 && self.words < self.ring.len();
        is_short.then(|| never_zero(mixed(self.hash ^ mixed(self.words as u64))))
    }
}

/// 0 stands for an empty place in the index.
fn never_zero(hash: u64) -> u64 {
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(length: usize, words: &[u64]) -> Vec<u64> {
        let mut grams = Grams::new(length);
        words.iter().filter_map(|word| grams.push(*word)).collect()
    }

    #[test]
    fn a_window_depends_on_nothing_but_its_words() {
        let long = grams(3, &[9, 8, 1, 2, 3, 4]);
        assert_eq!(long.len(), 4);
        assert_eq!(long[2], grams(3, &[1, 2, 3])[0]);
        assert_eq!(long[3], grams(3, &[2, 3, 4])[0]);
        assert_ne!(grams(3, &[1, 2, 3]), grams(3, &[3, 2, 1]));
        assert_eq!(grams(1, &[5, 5])[0], grams(1, &[5])[0]);
    }

    #[test]
    fn short_texts_have_a_hash_of_their_own() {
        let short = |words: &[u64]| {
            let mut grams = Grams::new(3);
            words.iter().for_each(|word| assert!(grams.push(*word).is_none() || words.len() > 2));
            grams.short()
        };
        assert_eq!(short(&[1, 2]), short(&[1, 2]));
        assert_ne!(short(&[1, 2]), short(&[2, 1]));
        assert_ne!(short(&[0, 7]), short(&[7]));
        assert_eq!((short(&[]), short(&[1, 2, 3])), (None, None));
    }
}
