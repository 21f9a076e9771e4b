//! Random orders that are the same on every machine and in every version, so that a resumed search goes on in the
//! order in which it began.

/// One step of SplitMix64 (Steele, Lea & Flood 2014): a fixed scrambling of 64 bits.
#[must_use]
pub fn scramble(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A random order of items (Fisher & Yates; Durstenfeld 1964).
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = scramble(seed);
    for last in (1..items.len()).rev() {
        state = scramble(state);
        // The bias of the remainder is below 2^-50 for any list that fits in memory.
        items.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

/// A random order of the numbers below `size` that is never laid out in memory: a Feistel network over the next
/// power of four, walked until it falls inside (Black & Rogaway 2002, cycle walking).
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    size: u128,
    half_bits: u32,
    seed: u64,
}

impl Permutation {
    /// The order of the numbers below `size` that belongs to a seed.
    #[must_use]
    pub fn new(size: u128, seed: u64) -> Permutation {
        let bits = 128 - size.saturating_sub(1).leading_zeros();
        Permutation { size, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// The number at a place; the place itself when it is not below `size`.
    #[must_use]
    pub fn at(&self, place: u128) -> u128 {
        if place >= self.size {
            return place;
        }
        let mut at = self.mix(place);
        while at >= self.size {
            at = self.mix(at);
        }
        at
    }

    fn mix(&self, number: u128) -> u128 {
        let mask = if self.half_bits >= 64 { u64::MAX } else { (1 << self.half_bits) - 1 };
        let mut left = (number >> self.half_bits) as u64 & mask;
        let mut right = number as u64 & mask;
        for round in 0..6 {
            let mixed = left ^ (scramble(right ^ scramble(self.seed ^ round)) & mask);
            (left, right) = (right, mixed);
        }
        u128::from(left) << self.half_bits | u128::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_permutation_names_every_number_once() {
        for size in [1_u128, 2, 3, 5, 64, 1000] {
            for seed in 0..5 {
                let order = Permutation::new(size, seed);
                let named: BTreeSet<u128> = (0..size).map(|place| order.at(place)).collect();
                assert_eq!(named, (0..size).collect());
            }
        }
        for size in [u128::MAX, 1 << 64, (1 << 64) + 1] {
            let order = Permutation::new(size, 3);
            let named: BTreeSet<u128> = (0..1000).map(|place| order.at(place)).collect();
            assert!(named.len() == 1000 && named.iter().all(|&number| number < size));
        }
    }

    #[test]
    fn seeds_give_different_orders_and_every_item_every_place() {
        let mut places = [[0_u32; 5]; 5];
        for seed in 0..2000 {
            let mut items = [0_usize, 1, 2, 3, 4];
            shuffle(&mut items, seed);
            for (place, item) in items.into_iter().enumerate() {
                places[item][place] += 1;
            }
        }
        // 400 expected; 5 standard deviations are 90.
        assert!(places.iter().flatten().all(|count| (310..490).contains(count)), "{places:?}");
        let first = |seed| Permutation::new(1000, seed).at(0);
        assert!((0..100).map(first).collect::<BTreeSet<_>>().len() > 80);
    }
}
