//! Percentiles with exact intervals, shown only with enough effective samples.
//!
//! Neighbouring tokens are correlated, so a thousand of them tell less than a thousand independent ones. The number
//! of independent samples that they are worth (the effective size) decides whether an interval exists at all and
//! which ranks bound it.

use crate::estimate::{Estimate, Interval};
use crate::location::finite;
use crate::special::{binomial_cumulative, binomial_exceeds};
use serde::Serialize;

/// A percentile, or how far the samples are from showing it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Percentile {
    /// Which one, from 0 to 1: 0.95 for p95.
    pub probability: f64,
    /// The percentile with its interval; `None` with fewer effective samples than are needed.
    pub estimate: Option<Estimate>,
    /// Samples.
    pub count: usize,
    /// Independent samples that they are worth.
    pub effective: f64,
    /// Effective samples that an interval needs.
    pub needed: u64,
}

/// A percentile of one or several series (such as the token times of each repetition), with a two-sided interval.
///
/// The value is the median-unbiased sample quantile (Hyndman & Fan 1996, type 8). The interval is the exact
/// order-statistic one for as many independent samples as the series are worth, its ranks stretched to the samples
/// at hand. The effective size is that of the indicator `x ≤ percentile`, since the share of samples below is what
/// the ranks rest on (Vehtari et al. 2021, section 4); the size for the mean would be too small for high percentiles.
#[must_use]
pub fn percentile(series: &[&[f64]], probability: f64, confidence: f64) -> Percentile {
    let series: Vec<Vec<f64>> = series.iter().map(|one| finite(one)).collect();
    let mut sorted: Vec<f64> = series.iter().flatten().copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let needed = samples_needed(probability, confidence);
    let value = sample_quantile(&sorted, probability);
    let effective = value.map_or(0.0, |value| effective_for(&series, value));
    let estimate = value.and_then(|value| {
        let interval = stretched_interval(&sorted, effective, probability, confidence)?;
        let method = "sample quantile, order-statistic interval with effective size";
        Some(Estimate { value, interval: Some(interval), count: sorted.len(), method })
    });
    Percentile { probability, estimate, count: sorted.len(), effective, needed }
}

/// The smallest number of independent samples for which an order statistic lies on either side of the percentile
/// with `confidence`: both p^n and (1 − p)^n must be at most half of what is left. For 95 %: 6 for the median, 36
/// for p90, 72 for p95, 368 for p99.
#[must_use]
pub fn samples_needed(probability: f64, confidence: f64) -> u64 {
    let tail = (1.0 - confidence) / 2.0;
    let extreme = probability.max(1.0 - probability);
    if !(tail > 0.0 && tail < 1.0 && extreme < 1.0) {
        return u64::MAX;
    }
    let mut needed = (tail.ln() / extreme.ln()).floor().max(1.0) as u64;
    while extreme.powf(needed as f64) > tail {
        needed += 1;
    }
    needed
}

/// Independent samples that correlated series are worth for estimating their mean: n / τ with τ from the
/// autocorrelations by Geyer's initial monotone positive sequence (Geyer 1992, section 3.3).
///
/// Several series share one mean, so a level that differs between them counts as correlation within them. At
/// least 1 and at most the number of samples; 0 for no samples. Series that do not vary count in full.
#[must_use]
pub fn effective_size(series: &[&[f64]]) -> f64 {
    let series: Vec<Vec<f64>> = series.iter().map(|one| finite(one)).collect();
    effective(&series)
}

/// Ranks, from 1, of the order statistics that bound a percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranks {
    /// Rank of the lower end.
    pub(crate) lower: u64,
    /// Rank of the upper end.
    pub(crate) upper: u64,
    /// The confidence that they attain.
    pub(crate) coverage: f64,
}

/// The narrowest ranks with at most half of the error on either side (David & Nagaraja, *Order Statistics*, 7.1);
/// `None` when there are too few samples.
pub(crate) fn ranks(count: u64, probability: f64, confidence: f64) -> Option<Ranks> {
    if count < samples_needed(probability, confidence) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    // Fewer than r samples below the percentile: the lower end, the r-th, would lie above it.
    let lower = partition(count, |rank| binomial_cumulative(rank - 1, count, probability) <= tail) - 1;
    // s or more samples below the percentile: the upper end, the s-th, would lie below it.
    let upper = partition(count, |rank| binomial_exceeds(rank, count, probability) > tail);
    if lower < 1 || upper > count {
        return None;
    }
    let coverage = binomial_cumulative(upper - 1, count, probability)
        - binomial_cumulative(lower - 1, count, probability);
    Some(Ranks { lower, upper, coverage })
}

/// The first rank from 1 for which a condition that holds at first does not hold any more; `count + 1` if none.
fn partition(count: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (1, count + 1);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// The exact interval for `effective` samples, with its ranks stretched outwards to the samples at hand: with n
/// samples worth m, a share r/m of them below the percentile is as likely as r of m independent ones.
fn stretched_interval(sorted: &[f64], effective: f64, probability: f64, confidence: f64) -> Option<Interval> {
    let worth = effective.floor() as u64;
    let ranks = ranks(worth, probability, confidence)?;
    let count = sorted.len() as u64;
    let lower = (u128::from(ranks.lower) * u128::from(count) / u128::from(worth)).max(1) as usize;
    let upper = (u128::from(ranks.upper) * u128::from(count)).div_ceil(u128::from(worth)) as usize;
    Some(Interval { low: *sorted.get(lower - 1)?, high: *sorted.get(upper - 1)?, confidence: ranks.coverage })
}

/// The median-unbiased quantile of values in order (Hyndman & Fan 1996, definition 8); `None` without values.
#[must_use]
pub fn sample_quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&probability) {
        return None;
    }
    let last = sorted.len().checked_sub(1)?;
    let position = (sorted.len() as f64 + 1.0 / 3.0) * probability + 1.0 / 3.0 - 1.0;
    let below = (position.floor().max(0.0) as usize).min(last);
    let above = (below + 1).min(last);
    let share = (position - below as f64).clamp(0.0, 1.0);
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

fn effective_for(series: &[Vec<f64>], value: f64) -> f64 {
    let indicator = |sample: &f64| f64::from(u8::from(*sample <= value));
    let indicated: Vec<Vec<f64>> = series.iter().map(|one| one.iter().map(indicator).collect()).collect();
    effective(&indicated)
}

fn effective(series: &[Vec<f64>]) -> f64 {
    let count = series.iter().map(Vec::len).sum::<usize>() as f64;
    let centre = series.iter().flatten().sum::<f64>() / count;
    let covariance = |lag: usize| -> f64 {
        let products = series.iter().map(|one| {
            let late = one.iter().skip(lag);
            one.iter().zip(late).map(|(early, late)| (early - centre) * (late - centre)).sum::<f64>()
        });
        products.sum()
    };
    let variance = covariance(0);
    if count < 4.0 || variance.is_nan() || variance <= 0.0 {
        return count;
    }
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    let mut time = -1.0;
    let mut smallest = f64::INFINITY;
    for pair in 0..longest / 2 {
        // Sums of neighbouring pairs are positive and falling for a reversible chain; noise is not.
        let sum = (covariance(2 * pair) + covariance(2 * pair + 1)) / variance;
        smallest = smallest.min(sum);
        if smallest <= 0.0 {
            break;
        }
        time += 2.0 * smallest;
    }
    (count / time.max(1.0)).max(1.0)
}
