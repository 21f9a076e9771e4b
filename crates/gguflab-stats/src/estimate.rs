//! A number with what is known about its precision.

use serde::Serialize;

/// A point value with its interval, or with the statement that it has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The value, in the unit of the samples (or as a fraction for a relative difference).
    pub value: f64,
    /// The interval; `None` when there are too few samples for one.
    pub interval: Option<Interval>,
    /// How many samples (or pairs) it rests on.
    pub count: usize,
    /// The method that gave it, in words.
    pub method: &'static str,
}

/// A two-sided interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The probability with which such intervals cover the true value; exact methods attain at least the level
    /// that was asked for and say here what they attain.
    pub confidence: f64,
}

impl Estimate {
    /// A value without an interval.
    #[must_use]
    pub fn bare(value: f64, count: usize, method: &'static str) -> Estimate {
        Estimate { value, interval: None, count, method }
    }

    /// Value and ends passed through an increasing function, such as a change of unit.
    #[must_use]
    pub fn map(&self, increasing: impl Fn(f64) -> f64) -> Estimate {
        let interval = self.interval.map(|interval| Interval {
            low: increasing(interval.low),
            high: increasing(interval.high),
            ..interval
        });
        Estimate { value: increasing(self.value), interval, ..self.clone() }
    }
}

impl Interval {
    /// Whether a value lies in it.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Half of its width.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}
