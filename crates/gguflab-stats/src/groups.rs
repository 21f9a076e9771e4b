//! Several things measured a few times each: what noise they share, and how two of them differ.
//!
//! Most configurations of a search are visited once or twice, which says nothing of the noise; all repeated visits
//! together say it (one-way analysis of variance; Montgomery, *Design and Analysis of Experiments*, 3.3). Values
//! are on a scale on which the noise is equal everywhere: usually logarithms.

use crate::blocks::Residual;
use crate::estimate::{Estimate, Interval};
use crate::location::{finite, mean};
use crate::paired::walsh_median;
use crate::special::{f_exceeds, student_quantile};

/// The same change, in several surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The difference, averaged over the surroundings by how well each is known.
    pub difference: Estimate,
    /// Surroundings in which it was seen.
    pub surroundings: usize,
    /// The smallest and the largest difference in any of them, where they differ by more than noise (F test at 5 %).
    pub varies: Option<(f64, f64)>,
}

/// Variance of one value about the middle of its group, over all groups with two or more; `None` without one.
#[must_use]
pub fn shared_noise(groups: &[Vec<f64>]) -> Option<Residual> {
    let (mut squares, mut freedom) = (0.0, 0);
    for group in groups {
        let values = finite(group);
        let Some(centre) = mean(&values).filter(|_| values.len() > 1) else { continue };
        squares += values.iter().map(|value| (value - centre).powi(2)).sum::<f64>();
        freedom += values.len() - 1;
    }
    (freedom > 0).then(|| Residual { variance: squares / freedom as f64, freedom })
}

/// The middle of a group (Hodges–Lehmann) with Student's t interval from the shared noise; without an interval for a
/// single value, whose choice may have been its luck.
#[must_use]
pub fn group_location(values: &[f64], noise: Option<Residual>, confidence: f64) -> Option<Estimate> {
    let values = finite(values);
    let (value, count) = (walsh_median(&values)?, values.len());
    let Some(noise) = noise.filter(|_| count > 1) else {
        return Some(Estimate::bare(value, count, "too few values for an interval"));
    };
    let interval = interval(value, noise.variance / count as f64, noise.freedom, confidence);
    Some(Estimate { value, interval, count, method: "Hodges-Lehmann, t interval of the shared noise" })
}

/// The difference of the second to the first of each pair of groups, the pairs being surroundings of one change.
/// `None` when no pair has values on both sides.
#[must_use]
pub fn group_change(pairs: &[(&[f64], &[f64])], noise: Option<Residual>, confidence: f64) -> Option<Change> {
    let seen: Vec<(f64, f64)> = pairs.iter().filter_map(|(from, to)| difference(from, to)).collect();
    let weight: f64 = seen.iter().map(|(_, weight)| weight).sum();
    let value = seen.iter().map(|(value, share)| value * share).sum::<f64>() / weight;
    if !value.is_finite() {
        return None;
    }
    let method = "differences within surroundings, t interval of the shared noise";
    let interval =
        noise.and_then(|noise| interval(value, noise.variance / weight, noise.freedom, confidence));
    let difference = Estimate { value, interval, count: seen.len(), method };
    let varies = noise.filter(|noise| differ(&seen, value, *noise)).map(|_| {
        let least = seen.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
        let most = seen.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    });
    Some(Change { difference, surroundings: seen.len(), varies })
}

/// A difference and its weight: the inverse of its variance in units of the noise.
fn difference(from: &[f64], to: &[f64]) -> Option<(f64, f64)> {
    let (from, to) = (finite(from), finite(to));
    let weight = 1.0 / (1.0 / from.len() as f64 + 1.0 / to.len() as f64);
    Some((walsh_median(&to)? - walsh_median(&from)?, weight))
}

/// Whether differences vary by more than the noise (Cochran's Q as an F ratio).
fn differ(seen: &[(f64, f64)], centre: f64, noise: Residual) -> bool {
    let Some(freedom) = seen.len().checked_sub(1).filter(|freedom| *freedom > 0) else { return false };
    let squares: f64 = seen.iter().map(|(value, weight)| weight * (value - centre).powi(2)).sum();
    let ratio = squares / freedom as f64 / noise.variance;
    f_exceeds(ratio, freedom as f64, noise.freedom as f64) < 0.05
}

fn interval(value: f64, variance: f64, freedom: usize, confidence: f64) -> Option<Interval> {
    let half = student_quantile(0.5 + confidence / 2.0, freedom as f64) * variance.sqrt();
    half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence })
}
