//! How values of single tokens are distributed: exact percentiles, extremes, the weight of the tail.

use crate::location::finite;
use serde::Serialize;

/// Percentiles of a distribution, and what they are called where divergences are listed: `KLD_99` is the value that 99 %
/// of the tokens do not exceed.
pub const PERCENTILES: [(&str, f64); 6] = [
    ("KLD_99", 0.99),
    ("KLD_95", 0.95),
    ("KLD_90", 0.9),
    ("KLD_10", 0.1),
    ("KLD_05", 0.05),
    ("KLD_01", 0.01),
];

/// Of the values of one chunk, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// Values.
    pub count: usize,
    /// Their sum.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
    /// Mean.
    pub average: f64,
    /// Standard deviation of these values themselves, divided by their number: no estimate of anything else.
    pub deviation: f64,
    /// Smallest.
    pub minimum: f64,
    /// Largest.
    pub maximum: f64,
    /// Median.
    pub median: f64,
    /// One for each of [`PERCENTILES`].
    pub percentiles: [f64; PERCENTILES.len()],
}

impl Distribution {
    /// Of values in any order; those that are not finite are left out. `None` without values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Distribution> {
        let mut sorted = finite(values);
        // Sums in the order of the tokens, so that they do not depend on how equal values were sorted.
        let count = sorted.len();
        let sum: f64 = sorted.iter().sum();
        let sum_of_squares = sorted.iter().map(|value| value * value).sum();
        let average = sum / count as f64;
        let squares: f64 = sorted.iter().map(|value| (value - average).powi(2)).sum();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |probability: f64| interpolated(&sorted, probability);
        let mut percentiles = [0.0; PERCENTILES.len()];
        for (slot, (_, probability)) in percentiles.iter_mut().zip(PERCENTILES) {
            *slot = at(probability)?;
        }
        Some(Distribution {
            count,
            sum,
            sum_of_squares,
            average,
            deviation: (squares / count as f64).sqrt(),
            minimum: at(0.0)?,
            maximum: at(1.0)?,
            median: at(0.5)?,
            percentiles,
        })
    }

    /// The figures by the names that llama-gguf-optimize gives them.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let own = [
            ("Average", self.average),
            ("StdDev", self.deviation),
            ("Minimum", self.minimum),
            ("Maximum", self.maximum),
            ("Median", self.median),
        ];
        let percentiles = PERCENTILES.iter().zip(self.percentiles).map(|((name, _), value)| (*name, value));
        own.into_iter().chain(percentiles).collect()
    }
}

/// The percentile of values in order by linear interpolation at probability · (n − 1) (Hyndman & Fan 1996, definition 7:
/// numpy's default, and what llama-perplexity prints); `None` without values.
#[must_use]
pub fn interpolated(sorted: &[f64], probability: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&probability) {
        return None;
    }
    let last = sorted.len().checked_sub(1)?;
    let position = probability * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (position - below as f64) * (sorted[above] - sorted[below]))
}

/// The part of the sum of all values that the largest `share` of them make up (rounded up to whole values): 0.3 for a
/// share of 0.01 says that one token in a hundred makes three tenths of the mean. Values that are not finite are left out;
/// `None` when the sum is not above 0.
#[must_use]
pub fn top_share(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = finite(values);
    sorted.sort_unstable_by(|one, other| other.total_cmp(one));
    let sum: f64 = sorted.iter().sum();
    let count = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    let top: f64 = sorted.iter().take(count).sum();
    (sum > 0.0).then(|| top / sum)
}
