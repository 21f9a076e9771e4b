//! Sums over rows of finite logits, as many lanes at once as the processor has.
//!
//! The code is written once for any width (crate `fearless_simd`); `dispatch!` compiles it for each kind of processor
//! and chooses when it runs.

// Inlining is how the pieces come to be compiled for the kind of processor that was chosen.
#![allow(clippy::inline_always)]

use super::{Peak, Sums};
use fearless_simd::{Level, dispatch, prelude::*};

/// Logits that are worked on while they are near: the largest of them first, then their sums.
const BLOCK: usize = 2048;

/// The largest logit; `None` where the row is empty or a logit is infinite or NaN.
pub(super) fn peak(row: &[f32]) -> Option<Peak> {
    dispatch!(Level::new(), simd => peak_in(simd, row))
}

/// The largest logit and Σ e^(logit − largest); `None` as for [`peak`].
pub(super) fn single(row: &[f32]) -> Option<(Peak, f64)> {
    dispatch!(Level::new(), simd => single_in(simd, row))
}

/// The largest logits and the sums of two rows of the same length; `None` as for [`peak`].
pub(super) fn pair(reference: &[f32], candidate: &[f32]) -> Option<(Peak, Peak, Sums)> {
    dispatch!(Level::new(), simd => pair_in(simd, reference, candidate))
}

/// The largest logit of each block of a row without NaN.
pub(crate) fn block_maxima(row: &[f32], block: usize) -> Vec<f32> {
    dispatch!(Level::new(), simd => block_maxima_in(simd, row, block))
}

/// Σ e^(logit − largest), to which a ruled-out token adds next to nothing (1e-304).
pub(crate) fn sum(row: &[f32], largest: f32) -> f64 {
    dispatch!(Level::new(), simd => sum_in(simd, row, largest))
}

/// [`sum`] of each block of a row.
pub(crate) fn block_sums(row: &[f32], block: usize, largest: f32) -> Vec<f64> {
    dispatch!(Level::new(), simd => block_sums_in(simd, row, block, largest))
}

#[inline(always)]
fn peak_in<S: Simd>(simd: S, row: &[f32]) -> Option<Peak> {
    let mut top = Top::NONE;
    for (index, block) in row.chunks(BLOCK).enumerate() {
        top.raise(index, maximum(simd, block)?);
    }
    top.peak(row)
}

#[inline(always)]
fn single_in<S: Simd>(simd: S, row: &[f32]) -> Option<(Peak, f64)> {
    let (mut top, mut sum) = (Top::NONE, 0.0);
    for (index, block) in row.chunks(BLOCK).enumerate() {
        let rise = top.raise(index, maximum(simd, block)?);
        if rise > 0.0 {
            sum *= (-rise).exp();
        }
        sum += sum_in(simd, block, top.value);
    }
    Some((top.peak(row)?, sum))
}

#[inline(always)]
fn pair_in<S: Simd>(simd: S, reference: &[f32], candidate: &[f32]) -> Option<(Peak, Peak, Sums)> {
    let (mut top, mut other_top, mut sums) = (Top::NONE, Top::NONE, Sums::default());
    let blocks = reference.chunks(BLOCK).zip(candidate.chunks(BLOCK));
    for (index, (p, q)) in blocks.enumerate() {
        let rise = top.raise(index, maximum(simd, p)?);
        let other_rise = other_top.raise(index, maximum(simd, q)?);
        if rise > 0.0 || other_rise > 0.0 {
            sums.follow(rise, other_rise);
        }
        sums.add(&pair_sums_in(simd, p, q, (top.value, other_top.value)));
    }
    Some((top.peak(reference)?, other_top.peak(candidate)?, sums))
}

/// The largest logit so far.
struct Top {
    value: f32,
    /// The first block that has it.
    block: usize,
}

impl Top {
    const NONE: Top = Top { value: f32::NEG_INFINITY, block: 0 };

    /// By how much the largest of another block is above all before it.
    fn raise(&mut self, block: usize, largest: f32) -> f64 {
        if largest <= self.value {
            return 0.0;
        }
        let rise = f64::from(largest) - f64::from(self.value);
        *self = Top { value: largest, block };
        // Above nothing, nothing rises.
        if rise.is_finite() { rise } else { 0.0 }
    }

    fn peak(&self, row: &[f32]) -> Option<Peak> {
        let start = self.block * BLOCK;
        let within = row.get(start..)?.iter().position(|logit| *logit == self.value)?;
        Some(Peak { value: self.value, place: start + within })
    }
}

impl Sums {
    /// Makes sums with other largest logits of these, which are lower by `rise` and `other_rise`.
    fn follow(&mut self, rise: f64, other_rise: f64) {
        let factor = (-rise).exp();
        self.cross = factor * (self.cross + self.reference * (other_rise - rise));
        self.reference *= factor;
        self.candidate *= (-other_rise).exp();
    }

    fn add(&mut self, more: &Sums) {
        self.reference += more.reference;
        self.candidate += more.candidate;
        self.cross += more.cross;
    }
}

/// The largest of a block; `None` where one is infinite or NaN, since such a one times zero is no number.
#[inline(always)]
fn maximum<S: Simd>(simd: S, block: &[f32]) -> Option<f32> {
    let lowest = S::f32s::splat(simd, f32::NEG_INFINITY);
    let (mut high, mut other_high) = (lowest, lowest);
    let zero = S::f32s::splat(simd, 0.0);
    let (mut odd, mut other_odd) = (zero, zero);
    let mut groups = block.chunks_exact(2 * S::f32s::LEN);
    for group in &mut groups {
        let (first, second) = group.split_at(S::f32s::LEN);
        let (first, second) = (S::f32s::from_slice(simd, first), S::f32s::from_slice(simd, second));
        high = high.max(first);
        other_high = other_high.max(second);
        odd = first.mul_add(zero, odd);
        other_odd = second.mul_add(zero, other_odd);
    }
    let mut largest = high.max(other_high).reduce_max();
    let mut wrong = (odd + other_odd).reduce_sum();
    for logit in groups.remainder() {
        largest = largest.max(*logit);
        wrong += logit * 0.0;
    }
    (wrong == 0.0).then_some(largest)
}

#[inline(always)]
fn sum_in<S: Simd>(simd: S, row: &[f32], largest: f32) -> f64 {
    let shift = S::f64s::splat(simd, f64::from(largest));
    let (mut low_sum, mut high_sum) = (S::f64s::splat(simd, 0.0), S::f64s::splat(simd, 0.0));
    let mut parts = row.chunks_exact(S::f32s::LEN);
    for part in &mut parts {
        let (low, high) = S::f32s::from_slice(simd, part).widen();
        low_sum += exponential(simd, low - shift);
        high_sum += exponential(simd, high - shift);
    }
    (low_sum + high_sum).reduce_sum() + super::exact::sum(parts.remainder(), largest)
}

#[inline(always)]
fn block_maxima_in<S: Simd>(simd: S, row: &[f32], block: usize) -> Vec<f32> {
    let mut found = Vec::with_capacity(row.len().div_ceil(block));
    for block in row.chunks(block) {
        found.push(largest_in(simd, block));
    }
    found
}

#[inline(always)]
fn block_sums_in<S: Simd>(simd: S, row: &[f32], block: usize, largest: f32) -> Vec<f64> {
    let mut found = Vec::with_capacity(row.len().div_ceil(block));
    for block in row.chunks(block) {
        found.push(sum_in(simd, block, largest));
    }
    found
}

#[inline(always)]
fn largest_in<S: Simd>(simd: S, block: &[f32]) -> f32 {
    let mut high = S::f32s::splat(simd, f32::NEG_INFINITY);
    let mut parts = block.chunks_exact(S::f32s::LEN);
    for part in &mut parts {
        high = high.max(S::f32s::from_slice(simd, part));
    }
    parts.remainder().iter().copied().fold(high.reduce_max(), f32::max)
}

#[inline(always)]
fn pair_sums_in<S: Simd>(simd: S, reference: &[f32], candidate: &[f32], largest: (f32, f32)) -> Sums {
    let shift = S::f64s::splat(simd, f64::from(largest.0));
    let other_shift = S::f64s::splat(simd, f64::from(largest.1));
    let (mut low, mut high) = (Lanes::new(simd), Lanes::new(simd));
    let (mut left, mut right) = (reference.chunks_exact(S::f32s::LEN), candidate.chunks_exact(S::f32s::LEN));
    for (p, q) in (&mut left).zip(&mut right) {
        let (low_p, high_p) = S::f32s::from_slice(simd, p).widen();
        let (low_q, high_q) = S::f32s::from_slice(simd, q).widen();
        low.add(simd, low_p - shift, low_q - other_shift);
        high.add(simd, high_p - shift, high_q - other_shift);
    }
    let rest = super::exact::pair_sums(left.remainder(), right.remainder(), largest);
    Sums {
        reference: (low.reference + high.reference).reduce_sum() + rest.reference,
        candidate: (low.candidate + high.candidate).reduce_sum() + rest.candidate,
        cross: (low.cross + high.cross).reduce_sum() + rest.cross,
    }
}

/// [`Sums`], one for each lane.
struct Lanes<S: Simd> {
    reference: S::f64s,
    candidate: S::f64s,
    cross: S::f64s,
}

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    fn new(simd: S) -> Lanes<S> {
        let zero = S::f64s::splat(simd, 0.0);
        Lanes { reference: zero, candidate: zero, cross: zero }
    }

    #[inline(always)]
    fn add(&mut self, simd: S, p: S::f64s, q: S::f64s) {
        let weight = exponential(simd, p);
        self.reference += weight;
        self.candidate += exponential(simd, q);
        self.cross = weight.mul_add(p - q, self.cross);
    }
}

/// Below this the exponential is taken for that of this: 1e-304, which no sum of weights up to one can tell from zero.
const LOWEST: f64 = -700.0;
/// Added to a number below 2⁵¹ it leaves the nearest whole number in the last bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// eʳ − 1 = r·(…) on ±(ln 2)/2 with a relative error of eʳ of at most 4.7e-11: minimax coefficients of r to r⁷, found by
/// Remez's exchange; e⁰ is exactly one.
const COEFFICIENTS: [f64; 7] = [
    1.000000000208595,
    0.5000000077146132,
    0.16666665163799904,
    0.041666272551699475,
    0.008333568898319262,
    0.0013945897760470783,
    0.00019767671820714982,
];

/// e^x for x ≤ 0: 2ⁿ·eʳ with n the nearest whole number to x/ln 2 (Cody & Waite 1980).
#[inline(always)]
fn exponential<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
    let splat = |value| S::f64s::splat(simd, value);
    let x = x.max(splat(LOWEST));
    let rounded = x.mul_add(splat(std::f64::consts::LOG2_E), splat(ROUNDER));
    let n = rounded - splat(ROUNDER);
    let r = n.mul_add(splat(-std::f64::consts::LN_2), x);
    let [c1, c2, c3, c4, c5, c6, c7] = COEFFICIENTS;
    let high = splat(c7).mul_add(r, splat(c6)).mul_add(r, splat(c5)).mul_add(r, splat(c4));
    let series = high.mul_add(r, splat(c3)).mul_add(r, splat(c2)).mul_add(r, splat(c1));
    let mantissa = series.mul_add(r, splat(1.0));
    // The power of two goes straight into the exponent's bits.
    SimdFloat::from_bits(mantissa.to_bits() + (rounded.to_bits() << 52))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::score::exact;

    /// The reference by itself, and both.
    type Found = (Option<(Peak, f64)>, Option<(Peak, Peak, Sums)>);

    fn found<S: Simd>(simd: S, reference: &[f32], candidate: &[f32]) -> Found {
        simd.vectorize(
            #[inline(always)]
            || (single_in(simd, reference), pair_in(simd, reference, candidate)),
        )
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs()
    }

    #[test]
    fn every_kind_of_processor_finds_the_same() {
        let logit = |place: u32, factor: u32| (place.wrapping_mul(factor) % 1013) as f32 / 60.0 - 9.0;
        let reference: Vec<f32> = (0..5003).map(|place| logit(place, 2_654_435_761)).collect();
        let candidate: Vec<f32> = (0..5003).map(|place| logit(place, 2_246_822_519)).collect();
        let peaks = [&reference, &candidate].map(|row| exact::outline(row).peak.unwrap());
        let largest = (peaks[0].value, peaks[1].value);
        let expected = exact::pair_sums(&reference, &candidate, largest);
        let level = Level::new();
        let kinds = [
            level.as_sse2().map(|simd| found(simd, &reference, &candidate)),
            level.as_sse4_2().map(|simd| found(simd, &reference, &candidate)),
            level.as_avx2().map(|simd| found(simd, &reference, &candidate)),
            level.as_avx512().map(|simd| found(simd, &reference, &candidate)),
        ];
        assert!(kinds[0].is_some(), "{level:?}");
        for (single, pair) in kinds.into_iter().flatten() {
            let ((peak, sum), (one, other, sums)) = (single.unwrap(), pair.unwrap());
            assert_eq!([peak, one, other], [peaks[0], peaks[0], peaks[1]]);
            assert!(close(sum, expected.reference) && close(sums.reference, expected.reference));
            assert!(close(sums.candidate, expected.candidate) && close(sums.cross, expected.cross));
        }
    }
}
