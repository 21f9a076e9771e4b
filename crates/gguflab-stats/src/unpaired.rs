//! Two sets of values that were not measured side by side.
//!
//! Such as results of another day or another tool: nothing cancels what changed in between, so the interval tells
//! how values scatter within each set and not how the sets came to differ. Whoever shows it has to say so.

use crate::estimate::{Estimate, Interval};
use crate::location::{finite, mean, variance};
use crate::paired::relative;
use crate::special::student_quantile;

/// What is known of a set of positive values, on logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Mean of the logarithms.
    pub mean: f64,
    /// Standard deviation of the logarithms; `None` for a single value.
    pub deviation: Option<f64>,
    /// How many values.
    pub count: usize,
}

impl Summary {
    /// Of values; those that are not positive and finite are left out. `None` when nothing is left.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Summary> {
        let logarithms: Vec<f64> =
            finite(values).iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
        let deviation = variance(&logarithms).map(f64::sqrt);
        Some(Summary { mean: mean(&logarithms)?, deviation, count: logarithms.len() })
    }

    /// Of values of which only mean and standard deviation were kept: ln(x) scatters by deviation/mean about
    /// ln(mean), for deviations that are small against the mean (delta method; Casella & Berger, *Statistical
    /// Inference*, 5.5.4). `None` for a mean that is not positive.
    #[must_use]
    pub fn of_moments(mean: f64, deviation: f64, count: usize) -> Option<Summary> {
        let usable = mean.is_finite() && mean > 0.0 && count > 0;
        let deviation = (count > 1 && deviation.is_finite() && deviation >= 0.0).then_some(deviation / mean);
        usable.then(|| Summary { mean: mean.ln(), deviation, count })
    }
}

/// Relative difference of the first set to the second with Welch's t interval (Welch 1947; degrees of freedom by
/// Satterthwaite 1946), without an interval when either set is a single value.
#[must_use]
pub fn welch(candidate: &Summary, reference: &Summary, confidence: f64) -> Estimate {
    let value = candidate.mean - reference.mean;
    let share = |one: &Summary| Some((one.deviation?.powi(2) / one.count as f64, one.count as f64 - 1.0));
    let interval = share(candidate).zip(share(reference)).and_then(|((ours, free), (theirs, others))| {
        let total = ours + theirs;
        let freedom = total * total / (ours * ours / free + theirs * theirs / others);
        let half =
            if total > 0.0 { student_quantile(0.5 + confidence / 2.0, freedom) * total.sqrt() } else { 0.0 };
        half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence })
    });
    let count = candidate.count + reference.count;
    relative(&Estimate { value, interval, count, method: "unpaired values, Welch t interval" })
}
