//! How far values scatter, whatever a few of them do. (What the machine's state says of a repetition is the engine crate's
//! business: it has to know while the repetition can still be repeated.)

use crate::location::{finite, median};

/// Median absolute deviation from the median, times 1.4826, so that it estimates the standard deviation of normal
/// errors (Rousseeuw & Croux 1993). `None` without values.
#[must_use]
pub fn robust_spread(values: &[f64]) -> Option<f64> {
    let centre = median(values)?;
    let deviations: Vec<f64> = finite(values).iter().map(|value| (value - centre).abs()).collect();
    median(&deviations).map(|deviation| 1.4826 * deviation)
}
