//! The same in plain f64, one logit after the other, for any row.

use super::{Outline, Pair, Peak, Single, Sums, assemble};

/// Scores one row by the token that came; see [`super::single`].
#[must_use]
pub fn single(row: &[f32], token: u32) -> Single {
    let outline = outline(row);
    let mass = outline.peak.map_or(f64::NAN, |peak| sum(row, peak.value));
    outline.single(row, token, mass)
}

/// Scores both rows by the token that came, and the candidate by the reference; see [`super::pair`].
#[must_use]
pub fn pair(reference: &[f32], candidate: &[f32], token: u32) -> Pair {
    let outlines = (outline(reference), outline(candidate));
    match (outlines.0.peak, outlines.1.peak) {
        (Some(peak), Some(other)) if reference.len() == candidate.len() => {
            let sums = pair_sums(reference, candidate, (peak.value, other.value));
            assemble((reference, &outlines.0), (candidate, &outlines.1), token, sums)
        }
        // They cannot be laid beside each other; each by itself may be sound.
        _ => Pair {
            reference: single(reference, token),
            candidate: single(candidate, token),
            ..Pair::default()
        },
    }
}

pub(super) fn outline(row: &[f32]) -> Outline {
    let wrong = |logit: &&f32| !logit.is_finite() && **logit != f32::NEG_INFINITY;
    let broken = row.iter().filter(wrong).count();
    if broken > 0 {
        return Outline { peak: None, broken: broken as u32 };
    }
    let peak = peak(row).filter(|peak| peak.value > f32::NEG_INFINITY);
    Outline { peak, broken: if peak.is_none() { row.len() as u32 } else { 0 } }
}

/// The largest, the first of equals.
fn peak(row: &[f32]) -> Option<Peak> {
    let mut best: Option<Peak> = None;
    for (place, value) in row.iter().copied().enumerate() {
        if best.is_none_or(|best| value > best.value) {
            best = Some(Peak { value, place });
        }
    }
    best
}

/// Σ e^(logit − largest).
pub(super) fn sum(row: &[f32], largest: f32) -> f64 {
    row.iter().map(|logit| (f64::from(*logit) - f64::from(largest)).exp()).sum()
}

/// What the reference rules out adds nothing, whatever the candidate says of it (0·ln 0 = 0).
pub(super) fn pair_sums(reference: &[f32], candidate: &[f32], largest: (f32, f32)) -> Sums {
    let shift = (f64::from(largest.0), f64::from(largest.1));
    let mut sums = Sums::default();
    for (p, q) in reference.iter().zip(candidate) {
        let (p, q) = (f64::from(*p) - shift.0, f64::from(*q) - shift.1);
        sums.candidate += q.exp();
        if p > f64::NEG_INFINITY {
            let weight = p.exp();
            sums.reference += weight;
            sums.cross += weight * (p - q);
        }
    }
    sums
}
