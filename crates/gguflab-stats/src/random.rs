//! Numbers that look random and follow from a seed.

/// A generator (splitmix64; Steele, Lea & Flood 2014, *Fast Splittable Pseudorandom Number Generators*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 to below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(bits ^ (bits >> 31)) * limit as u128) >> 64) as usize
    }

    /// Puts them into a random order (Fisher & Yates).
    pub(crate) fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}
