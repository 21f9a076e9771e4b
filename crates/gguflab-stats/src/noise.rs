//! Values that lie too far from the others. (What the machine's state says of a repetition is the engine crate's
//! business: it has to know while the repetition can still be repeated.)

use crate::location::{finite, median};

/// Robust deviations from the median beyond which a value is an outlier (Iglewicz & Hoaglin 1993, section 3.2).
pub const MOST_DEVIATIONS: f64 = 3.5;
/// Values from which on outliers are looked for; with fewer, the spread itself is too uncertain.
pub const LEAST_VALUES: usize = 5;

/// Which values lie too far from the others: more than 3.5 robust deviations from the median (modified z-score,
/// Iglewicz & Hoaglin 1993). None below five values, nor when more than half of the values are equal.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<bool> {
    let usable = finite(values).len() >= LEAST_VALUES;
    let (Some(centre), Some(spread)) = (median(values), robust_spread(values)) else {
        return vec![false; values.len()];
    };
    let far = |value: &f64| value.is_finite() && (value - centre).abs() > MOST_DEVIATIONS * spread;
    values.iter().map(|value| usable && spread > 0.0 && far(value)).collect()
}

/// Median absolute deviation from the median, times 1.4826, so that it estimates the standard deviation of normal
/// errors (Rousseeuw & Croux 1993). `None` without values.
#[must_use]
pub fn robust_spread(values: &[f64]) -> Option<f64> {
    let centre = median(values)?;
    let deviations: Vec<f64> = finite(values).iter().map(|value| (value - centre).abs()).collect();
    median(&deviations).map(|deviation| 1.4826 * deviation)
}
