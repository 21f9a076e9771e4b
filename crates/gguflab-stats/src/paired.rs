//! Two things measured side by side: is one better?
//!
//! Paired values (same round, same machine state) are compared by their log ratios, so that 5 % less and 5 % more
//! are equally far from no difference, and shown as relative differences.

use crate::estimate::{Estimate, Interval};
use crate::location::{finite, mean_interval, median};
use crate::special::{normal_cumulative, normal_quantile};
use gguflab_types::Direction;
use serde::{Deserialize, Serialize};

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Better: the interval of the difference excludes zero on the better side.
    Better,
    /// Worse: the interval excludes zero on the worse side.
    Worse,
    /// The whole interval lies within the margin: whatever difference there is does not matter.
    Indistinguishable,
    /// The interval includes zero and reaches beyond the margin, or there is none: the budget ended first.
    Undecided,
}

/// A paired comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Relative difference to the reference: −0.05 is 5 % less.
    pub difference: Estimate,
    /// Two-sided p-value of the exact sign-flip test of no difference.
    pub p_value: f64,
}

/// Above this number of pairs the quadratic number of pair means is not worth it: the t interval is as good.
const MOST_PAIRS: usize = 500;
/// Up to this number of pairs all sign patterns are counted.
const MOST_SIGNS: usize = 18;

/// Compares paired values; `None` when no pair has two positive values.
#[must_use]
pub fn compare(candidate: &[f64], reference: &[f64], confidence: f64) -> Option<Comparison> {
    let ratios = log_ratios(candidate, reference);
    let difference = relative(&hodges_lehmann(&ratios, confidence)?);
    Some(Comparison { difference, p_value: sign_flip(&ratios)? })
}

/// The verdict on a relative difference (or any difference to zero) with a margin of the same kind, such as 0.01.
///
/// The margin comes first: a difference that is surely too small to matter is no reason to change anything, even
/// when it is surely not zero (two one-sided tests, Schuirmann 1987).
#[must_use]
pub fn judge(difference: &Estimate, margin: f64, direction: Direction) -> Verdict {
    let Some(interval) = difference.interval else { return Verdict::Undecided };
    if interval.low >= -margin && interval.high <= margin {
        return Verdict::Indistinguishable;
    }
    match direction {
        Direction::Lower if interval.high < 0.0 => Verdict::Better,
        Direction::Lower if interval.low > 0.0 => Verdict::Worse,
        Direction::Higher if interval.low > 0.0 => Verdict::Better,
        Direction::Higher if interval.high < 0.0 => Verdict::Worse,
        _ => Verdict::Undecided,
    }
}

/// A difference of logarithms as a relative difference: exp(x) − 1.
#[must_use]
pub fn relative(difference: &Estimate) -> Estimate {
    difference.map(f64::exp_m1)
}

/// ln(candidate / reference) of each pair; pairs with a value that is not positive and finite are left out.
#[must_use]
pub fn log_ratios(candidate: &[f64], reference: &[f64]) -> Vec<f64> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    let pairs = candidate.iter().zip(reference).filter(|(one, other)| usable(**one) && usable(**other));
    pairs.map(|(one, other)| (one / other).ln()).collect()
}

/// The Hodges–Lehmann estimate of the centre of paired differences with the exact interval of the Wilcoxon
/// signed-rank test (Hodges & Lehmann 1963; Hollander & Wolfe, *Nonparametric Statistical Methods*, 3.2–3.3).
///
/// Where the exact interval does not reach `confidence` (fewer than six pairs for 95 %), Student's t interval of
/// the mean difference stands in for it; a single pair has no interval.
#[must_use]
pub fn hodges_lehmann(differences: &[f64], confidence: f64) -> Option<Estimate> {
    let differences = finite(differences);
    let count = differences.len();
    if count > MOST_PAIRS {
        return mean_interval(&differences, confidence);
    }
    let value = walsh_median(&differences)?;
    let Some((cut, attained)) = signed_rank_cut(count, confidence) else {
        let mean = mean_interval(&differences, confidence)?;
        return Some(Estimate { value, method: "Hodges-Lehmann, paired t interval", ..mean });
    };
    let averages = walsh_averages(&differences);
    let interval =
        Interval { low: averages[cut], high: averages[averages.len() - 1 - cut], confidence: attained };
    let method = "Hodges-Lehmann, exact Wilcoxon interval";
    Some(Estimate { value, interval: Some(interval), count, method })
}

/// Two-sided p-value of the sign-flip (permutation) test: the share of all patterns of signs whose sum is at least
/// as far from zero (Fisher 1935, section 21). Exact up to 18 pairs, above that by the normal limit of the same
/// distribution. `None` without differences.
#[must_use]
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let differences = finite(differences);
    if differences.is_empty() {
        return None;
    }
    let observed = differences.iter().sum::<f64>().abs();
    let scale: f64 = differences.iter().map(|difference| difference.abs()).sum();
    if scale == 0.0 {
        return Some(1.0);
    }
    if differences.len() > MOST_SIGNS {
        let deviation = differences.iter().map(|difference| difference.powi(2)).sum::<f64>().sqrt();
        return Some(2.0 * normal_cumulative(-observed / deviation));
    }
    // Sums that are equal but for rounding count as equal.
    let bar = observed - 1e-12 * scale;
    let patterns = 1_u32 << differences.len();
    let extreme = (0..patterns).filter(|pattern| signed_sum(&differences, *pattern).abs() >= bar).count();
    Some(extreme as f64 / f64::from(patterns))
}

fn signed_sum(differences: &[f64], pattern: u32) -> f64 {
    let signed = differences
        .iter()
        .enumerate()
        .map(|(bit, difference)| if pattern >> bit & 1 == 1 { -difference } else { *difference });
    signed.sum()
}

/// The median of the means of all pairs, a value with itself included (Hodges & Lehmann 1963).
pub(crate) fn walsh_median(samples: &[f64]) -> Option<f64> {
    if samples.len() > MOST_PAIRS { median(samples) } else { median(&walsh_averages(samples)) }
}

/// The means of all pairs, a value with itself included, in order.
fn walsh_averages(samples: &[f64]) -> Vec<f64> {
    let pairs = samples
        .iter()
        .enumerate()
        .flat_map(|(at, one)| samples[at..].iter().map(move |other| f64::midpoint(*one, *other)));
    let mut averages: Vec<f64> = pairs.collect();
    averages.sort_unstable_by(f64::total_cmp);
    averages
}

/// How many of the smallest (and largest) pair means to cut off, and the confidence that this attains: the largest
/// k with P(W ≤ k) ≤ half of the error for the signed-rank statistic W under no difference. `None` when even
/// cutting off none has not enough confidence.
fn signed_rank_cut(count: usize, confidence: f64) -> Option<(usize, f64)> {
    let tail = (1.0 - confidence) / 2.0;
    if count > 60 {
        return normal_cut(count, tail).map(|cut| (cut, confidence));
    }
    let mut sum = 0.0;
    let mut found = None;
    for (statistic, probability) in signed_rank_distribution(count).into_iter().enumerate() {
        sum += probability;
        if sum > tail {
            break;
        }
        found = Some((statistic, 1.0 - 2.0 * sum));
    }
    found
}

/// The normal limit of the signed-rank distribution (Hollander & Wolfe, 3.3, equation 3.6) with continuity
/// correction; beyond 60 pairs it is within one rank of the exact one.
fn normal_cut(count: usize, tail: f64) -> Option<usize> {
    let n = count as f64;
    let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
    let cut = n * (n + 1.0) / 4.0 + normal_quantile(tail) * deviation - 0.5;
    (cut >= 0.0).then(|| cut.floor() as usize)
}

/// Probability of each value of the signed-rank statistic, by adding one rank after the other, each with sign plus
/// or minus at even odds (dynamic programming; exact).
fn signed_rank_distribution(count: usize) -> Vec<f64> {
    let largest = count * (count + 1) / 2;
    let mut probabilities = vec![0.0; largest + 1];
    probabilities[0] = 1.0;
    for rank in 1..=count {
        for sum in (0..=largest).rev() {
            let with = if sum >= rank { probabilities[sum - rank] } else { 0.0 };
            probabilities[sum] = f64::midpoint(probabilities[sum], with);
        }
    }
    probabilities
}
