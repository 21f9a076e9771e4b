//! Where the middle of the samples lies.

use crate::estimate::{Estimate, Interval};
use crate::quantile::ranks;
use crate::special::student_quantile;
use crate::{CONFIDENCE, paired};

/// The middle of the samples with a 95 % interval, by what their number allows:
///
/// - one: the value, without an interval;
/// - two to five: the Hodges–Lehmann estimate (median of the means of all pairs: as robust as so few samples
///   allow, and the mean itself for two) with Student's t interval of the mean. No order-statistic interval
///   reaches 95 % below six samples, and an interval that assumes normal errors says more than none;
/// - six and more: the median with its exact order-statistic interval, which assumes no distribution at all.
///
/// Values that are not finite are left out; `None` when nothing is left.
#[must_use]
pub fn location(samples: &[f64]) -> Option<Estimate> {
    let samples = finite(samples);
    if samples.len() >= samples_for_median() {
        return median_interval(&samples, CONFIDENCE);
    }
    let value = paired::walsh_median(&samples)?;
    match mean_interval(&samples, CONFIDENCE) {
        Some(mean) if mean.interval.is_some() => {
            Some(Estimate { value, method: "Hodges-Lehmann, Student t interval", ..mean })
        }
        _ => Some(Estimate::bare(value, samples.len(), "single value")),
    }
}

/// [`location`] for quantities that are above 0, such as times and rates: taken on their logarithms, since their
/// errors are relative, so that the interval stays above 0 too. Samples that are not above 0 are left out.
#[must_use]
pub fn positive_location(samples: &[f64]) -> Option<Estimate> {
    let logarithms: Vec<f64> =
        samples.iter().filter(|sample| **sample > 0.0).map(|sample| sample.ln()).collect();
    location(&logarithms).map(|estimate| estimate.map(f64::exp))
}

/// Arithmetic mean of the finite values; `None` when there are none.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<f64> {
    let samples = finite(samples);
    let count = samples.len() as f64;
    (count > 0.0).then(|| samples.iter().map(|sample| sample / count).sum())
}

/// Geometric mean of the finite values; `None` when there are none, or one is not above 0.
#[must_use]
pub fn geometric_mean(samples: &[f64]) -> Option<f64> {
    let samples = finite(samples);
    if samples.iter().any(|sample| *sample <= 0.0) {
        return None;
    }
    match samples.as_slice() {
        // To the last bit, as a logarithm and back would not be.
        [one] => Some(*one),
        several => mean(&several.iter().map(|sample| sample.ln()).collect::<Vec<f64>>()).map(f64::exp),
    }
}

/// Median of the finite values (mean of the middle two for an even number); `None` when there are none.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut samples = finite(samples);
    samples.sort_unstable_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(samples[middle]),
        _ => Some(f64::midpoint(samples[middle - 1], samples[middle])),
    }
}

/// The mean with Student's t interval (Student 1908): exact for normal errors, no interval for a single value.
#[must_use]
pub fn mean_interval(samples: &[f64], confidence: f64) -> Option<Estimate> {
    let samples = finite(samples);
    let value = mean(&samples)?;
    let Some(variance) = variance(&samples) else {
        return Some(Estimate::bare(value, samples.len(), "single value"));
    };
    let count = samples.len() as f64;
    let half = student_quantile(0.5 + confidence / 2.0, count - 1.0) * (variance / count).sqrt();
    let interval = half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence });
    Some(Estimate { value, interval, count: samples.len(), method: "mean, Student t interval" })
}

/// The median with its exact order-statistic interval (Thompson 1936; David & Nagaraja, *Order Statistics*, 7.1);
/// without an interval when there are too few samples for one.
#[must_use]
pub fn median_interval(samples: &[f64], confidence: f64) -> Option<Estimate> {
    let mut samples = finite(samples);
    samples.sort_unstable_by(f64::total_cmp);
    let value = median(&samples)?;
    let interval = ranks(samples.len() as u64, 0.5, confidence).map(|ranks| Interval {
        low: samples[ranks.lower as usize - 1],
        high: samples[ranks.upper as usize - 1],
        confidence: ranks.coverage,
    });
    Some(Estimate { value, interval, count: samples.len(), method: "median, exact order-statistic interval" })
}

/// Unbiased sample variance; `None` below two values.
pub(crate) fn variance(samples: &[f64]) -> Option<f64> {
    let centre = mean(samples)?;
    let freedom = samples.len().checked_sub(1).filter(|&freedom| freedom > 0)?;
    Some(samples.iter().map(|sample| (sample - centre).powi(2)).sum::<f64>() / freedom as f64)
}

/// The values that are numbers.
pub(crate) fn finite(samples: &[f64]) -> Vec<f64> {
    samples.iter().copied().filter(|sample| sample.is_finite()).collect()
}

fn samples_for_median() -> usize {
    crate::quantile::samples_needed(0.5, CONFIDENCE) as usize
}
