//! Whether a series drifts: warming up, throttling, a machine that fills with other work.

use crate::estimate::{Estimate, Interval};
use crate::location::{mean, median};
use crate::paired::relative;
use crate::quantile::effective_size;
use crate::special::normal_quantile;

/// Values below which there is no interval: Kendall's statistic is normal enough from here on.
const LEAST_VALUES: usize = 8;
/// Beyond this, neighbours are averaged: the number of slopes grows with the square.
const MOST_VALUES: usize = 400;

/// The relative change of positive values from the first to the last of a series, in the order of time: −0.1 is 10 %
/// less at the end.
///
/// The median of the slopes between all pairs on logarithms (Theil 1950; Sen 1968), which a few outliers do not move,
/// with the interval that inverts Kendall's test, its variance widened by what the correlation of neighbours leaves
/// of the number of values (Hamed & Rao 1998). Without an interval below 8 values; values that are not positive and
/// finite are left out. `None` below two values.
#[must_use]
pub fn drift(values: &[f64], confidence: f64) -> Option<Estimate> {
    let usable = values.iter().filter(|value| value.is_finite() && **value > 0.0);
    let logarithms: Vec<f64> = usable.map(|value| value.ln()).collect();
    let count = logarithms.len();
    let span = count.checked_sub(1).filter(|span| *span > 0)? as f64;
    let width = count.div_ceil(MOST_VALUES);
    let series: Vec<f64> = logarithms.chunks(width).filter_map(mean).collect();
    let slopes = slopes(&series, width as f64);
    let slope = median(&slopes)?;
    let interval = ranks(&series, slope * width as f64, confidence).map(|(low, high)| Interval {
        low: slopes[low] * span,
        high: slopes[high] * span,
        confidence,
    });
    let method = "Theil-Sen slope, Kendall interval with effective size";
    Some(relative(&Estimate { value: slope * span, interval, count, method }))
}

/// The slopes between all pairs for each original value, in order.
fn slopes(series: &[f64], width: f64) -> Vec<f64> {
    let from = |at: usize| {
        let later = series[at + 1..].iter().zip(1_u32..);
        later.map(move |(value, steps)| (value - series[at]) / (f64::from(steps) * width))
    };
    let mut slopes: Vec<f64> = (0..series.len()).flat_map(from).collect();
    slopes.sort_unstable_by(f64::total_cmp);
    slopes
}

/// Places of the slopes that bound the interval (Hollander & Wolfe, *Nonparametric Statistical Methods*, 9.3).
fn ranks(series: &[f64], slope: f64, confidence: f64) -> Option<(usize, usize)> {
    let count = series.len();
    if count < LEAST_VALUES {
        return None;
    }
    let steps = series.iter().zip(0_u32..);
    let rest: Vec<f64> = steps.map(|(value, step)| value - slope * f64::from(step)).collect();
    let (n, pairs) = (count as f64, count * (count - 1) / 2);
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 * (n / effective_size(&[&rest]));
    let reach = normal_quantile(0.5 + confidence / 2.0) * variance.sqrt();
    let cut = (pairs as f64 - reach) / 2.0;
    (cut >= 1.0).then(|| (cut.floor() as usize - 1, pairs - cut.floor() as usize))
}
