//! How often something happened out of so many times.

use crate::estimate::{Estimate, Interval};
use crate::special::{binomial_cumulative, binomial_exceeds};

/// Halvings with which an end of the interval is found: more than a double can tell apart.
const HALVINGS: u32 = 60;

/// The share of successes with its exact interval (Clopper and Pearson 1934): it covers the true share with at least
/// `confidence`, whatever that is, if the trials are independent. `None` without trials.
#[must_use]
pub fn proportion(successes: u64, trials: u64, confidence: f64) -> Option<Estimate> {
    if trials == 0 || successes > trials {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    // The least share with which so many successes are still to be expected, and the largest one.
    let low = first(|share| binomial_exceeds(successes, trials, share) > tail);
    let high = first(|share| binomial_cumulative(successes, trials, share) <= tail);
    let interval = Interval {
        low: if successes == 0 { 0.0 } else { low },
        high: if successes == trials { 1.0 } else { high },
        confidence,
    };
    let value = successes as f64 / trials as f64;
    let count = usize::try_from(trials).unwrap_or(usize::MAX);
    Some(Estimate { value, interval: Some(interval), count, method: "share, Clopper-Pearson interval" })
}

/// The smallest number from 0 to 1 for which a condition holds that holds for all larger ones too.
fn first(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}
