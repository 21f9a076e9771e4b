//! Intervals for means of chunks that hold at every look, so that an evaluation may stop as soon as it knows enough.
//!
//! An interval that is made for one look misses far more often than it says when one looks after each chunk and stops as
//! soon as one likes what one sees. A confidence sequence holds for all looks together: whenever it stops, and for
//! whatever reason, the last interval is right with the promised probability.

use crate::chunks::{Ratio, share_left};
use crate::estimate::{Estimate, Interval};
use crate::paired::{Verdict, judge};
use crate::special::{normal_cumulative, student_quantile};
use gguflab_types::Direction;
use serde::{Deserialize, Serialize};

/// How often it may err, and when it is at its best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceSequence {
    /// The probability that the interval of any look misses the truth, on both sides together.
    pub error: f64,
    /// Chunks before which there is no interval.
    pub first: usize,
    /// The number of chunks for which it is narrowest; far from it the intervals are a little wider than they could be.
    pub target: usize,
}

/// When an evaluation knows enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The interval is at most this wide to either side, in the unit of the value.
    HalfWidth(f64),
    /// The same as a share of the value: 0.05 for ± 5 %.
    RelativeHalfWidth(f64),
    /// The interval lies on one side of a bound: it is known whether the value is above or below.
    Beside(f64),
    /// The value is a difference, and it is known whether it is above or below 0, or within this margin of it.
    Decided(f64),
}

impl ConfidenceSequence {
    /// 5 % error, looking from the 8th chunk on, at its best after 128.
    pub const DEFAULT: ConfidenceSequence = ConfidenceSequence { error: 0.05, first: 8, target: 128 };

    /// The same with the error shared by several sequences that have to hold at once (Bonferroni; Dunn 1961).
    #[must_use]
    pub fn shared_by(self, sequences: usize) -> ConfidenceSequence {
        ConfidenceSequence { error: self.error / sequences.max(1) as f64, ..self }
    }

    /// The interval of a ratio of sums over the chunks seen so far; `None` before the first look. The chunks have to come
    /// in a random order, which neither looks nor values had a hand in.
    ///
    /// The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021, *Time-uniform central
    /// limit theory and asymptotic confidence sequences*, theorem 2.2): ± s·√(2(nr² + 1)/(n²r²) · ln(√(nr² + 1)/error)), r²
    /// from their equation for the narrowest interval at `target`. Three things are added, without which it misses too often
    /// for divergences, whose chunks are few and lopsided:
    ///
    /// - **Few chunks**: the boundary in standard errors becomes a nominal level, and that level a quantile of Student's t
    ///   with n − 1 degrees of freedom (as in [`crate::sequential`]; Jennison & Turnbull 2000, 3.8).
    /// - **Lopsided chunks**: the end on the side of the long tail is moved out, as in [`Ratio::estimate`].
    /// - **The end of the population**: for draws without replacement n·(mean − truth)/(N − n) is a martingale whose
    ///   variance is that of n(N − 1)/(N − n) draws with replacement, which takes the place of n: intervals shrink to
    ///   nothing at n = N, where the value of the text is simply known.
    #[must_use]
    pub fn interval(&self, ratio: &Ratio) -> Option<Interval> {
        ratio.interval(self.factor(ratio.chunks, ratio.population)?, 1.0 - self.error)
    }

    /// The ratio with this interval.
    #[must_use]
    pub fn estimate(&self, ratio: &Ratio) -> Estimate {
        let method = "mean of chunks, confidence sequence";
        Estimate { value: ratio.value, interval: self.interval(ratio), count: ratio.chunks, method }
    }

    /// How many standard errors the interval reaches to either side for chunks that are not lopsided; `None` before the first look.
    fn factor(&self, chunks: usize, population: Option<usize>) -> Option<f64> {
        let left = share_left(chunks, population);
        if left == 0.0 {
            return Some(0.0);
        }
        if chunks < self.first.max(2) {
            return None;
        }
        let level = 2.0 * normal_cumulative(-self.critical(chunks as f64 / left));
        Some(student_quantile(1.0 - level / 2.0, chunks as f64 - 1.0))
    }

    /// The boundary in standard errors at an intrinsic time (the number of chunks, or what it becomes near the end).
    fn critical(&self, time: f64) -> f64 {
        let log = self.error.ln();
        let scale = ((1.0 - 2.0 * log).ln() - 2.0 * log) / self.target.max(1) as f64;
        let grown = time * scale + 1.0;
        (2.0 * grown / (time * scale) * (grown.ln() / 2.0 - log)).sqrt()
    }
}

impl Goal {
    /// Whether a value with its interval is what was wanted; never without an interval. Widths are those of the wider side.
    #[must_use]
    pub fn is_reached(self, estimate: &Estimate) -> bool {
        let Estimate { value, interval: Some(interval), .. } = *estimate else { return false };
        let half = (interval.high - value).max(value - interval.low);
        match self {
            Goal::HalfWidth(most) => half <= most,
            Goal::RelativeHalfWidth(share) => half <= share * value.abs(),
            Goal::Beside(bound) => !interval.contains(bound),
            // Neither direction is the better one here, only whether there is one.
            Goal::Decided(margin) => judge(estimate, margin, Direction::Lower) != Verdict::Undecided,
        }
    }
}
