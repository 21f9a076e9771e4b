//! A comparison of two arms that may stop after any block, with one promise for all looks together.
//!
//! Two subjects are measured in turns, in blocks of four runs: A B B A or B A A B. After each block [`Sequence::look`]
//! gives the difference with an interval, and the run goes on until the interval decides. Looking often must not
//! make errors likely, so the intervals are *repeated confidence intervals* (Jennison & Turnbull 1989; *Group
//! Sequential Methods*, 2000, chapter 9): with probability 1 − `error` all of them, at all looks, hold the true
//! difference. Whatever is concluded from them, whenever it stops and for whatever reason, is wrong no more often.
//!
//! - **Boundary**: the power family of Wang & Tsiatis (1987), its constant found by the recursion of Armitage,
//!   McPherson & Rowe (1969), see [`Sequence::new`].
//! - **Unknown variance**: each boundary value becomes a nominal level, and that level a quantile of Student's t
//!   (Jennison & Turnbull 2000, 3.8 and 11.5; Pocock 1977).
//! - **Difference**: least squares on logarithms with a level for each block, a common slope within blocks and the
//!   arm. A drift that is linear within a block cancels exactly, any slower one nearly so. The variance is that of
//!   runs within blocks: three degrees of freedom for each block instead of one, so that few blocks say much.
//! - **Autocorrelation**: with correlation ρ between neighbouring runs a block's difference has the variance
//!   1 − ρ/2 − ρ² + ρ³/2 (in units of one run's), and the variance within blocks, which stands in for it, is larger
//!   by (2/3)·ρ²(1 − ρ) ≥ 0: the interval is never too narrow for it.
//! - **Blocks that disagree** by more than their runs do (F test at 5 %) are taken at their word: then the variance
//!   is that between blocks.
//! - **Machine state**: see [`Run::covariates`].
//! - **Outliers** are never left out for their values: that would make intervals too narrow by a choice that depends
//!   on the data. A run that the machine's state shows to be disturbed is repeated by who runs it.

mod boundary;
mod model;

use crate::estimate::{Estimate, Interval};
use crate::paired::{Verdict, judge, relative};
use crate::special::{normal_cumulative, student_quantile};
use gguflab_types::Direction;
use serde::{Deserialize, Serialize};

/// Which of the two subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// What is judged.
    Candidate,
    /// What it is held against.
    Reference,
}

/// One run of one arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Whose run.
    pub arm: Arm,
    /// The value of the metric, above 0: its logarithm is analysed. A run without a usable value (failed, not a
    /// number) is left out and keeps its place in time.
    pub value: f64,
    /// What else was seen of the machine during the run, the same quantities in the same order for every run: steal,
    /// pressure, processor time of others. They may explain a part of the noise (control variates; Cochran 1957).
    ///
    /// Each is used only when it is related to the values (t test at 5 %, shared by all on offer) and lowers the error
    /// of predicting blocks that were left out by a tenth (cross-validation; Stone 1974), and never when it differs
    /// between the arms: what the arm itself causes must not be taken out of its effect. So hand over few, and none
    /// that is the arm's own doing by nature, such as its processor time.
    pub covariates: Vec<f64>,
}

/// Runs that were made right after each other, in the order of time: A B B A or B A A B.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// The runs.
    pub runs: Vec<Run>,
}

/// When is looked, and how often it may err.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// The probability that the interval of any look misses the truth, on both sides together. A decision on one
    /// side only (a gate that fails) errs with half of it.
    pub error: f64,
    /// Blocks at the first look.
    pub first: usize,
    /// Blocks at the last look, where it ends undecided.
    pub most: usize,
    /// How early it is ready to stop: 0.5 as readily at every look (Pocock 1977), 0 reluctantly at first (O'Brien &
    /// Fleming 1979).
    pub shape: f64,
}

impl Design {
    /// For `compare`: is there a difference? In at most 2.5 % of comparisons of equal arms one is claimed, also where
    /// covariates are on offer, whose choice costs something.
    pub const COMPARISON: Design = Design { error: 0.018, first: 2, most: 16, shape: 0.4 };
    /// For `gate`: is it worse by more than a threshold? A subject exactly at the threshold fails in at most 2.5 %
    /// of checks, and passes as seldom, also where covariates are on offer.
    pub const GATE: Design = Design { error: 0.036, first: 2, most: 16, shape: 0.4 };

    /// The same with the error shared by several decisions that are made at once (Bonferroni; Dunn 1961).
    #[must_use]
    pub fn shared_by(self, decisions: usize) -> Design {
        Design { error: self.error / decisions.max(1) as f64, ..self }
    }

    /// The same with another end.
    #[must_use]
    pub fn with_most(self, most: usize) -> Design {
        Design { most, ..self }
    }
}

/// A design with its boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    design: Design,
    /// Boundary of the standard normal statistic for each number of blocks, from `first` on.
    critical: Vec<f64>,
}

/// What is known after some blocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// Relative difference of the candidate to the reference: −0.05 is 5 % less. The count is that of runs. Its
    /// interval is a repeated confidence interval; `None` before the first look.
    pub difference: Estimate,
    /// Blocks that had usable runs of both arms.
    pub blocks: usize,
    /// Standard deviation of one run about block, slope and arm, relative (a logarithm).
    pub deviation: Option<f64>,
    /// Relative change for each run within a block, such as warming up; candidate and reference alike.
    pub slope: Option<f64>,
    /// Which covariates were taken into account, by their place in [`Run::covariates`].
    pub covariates: Vec<usize>,
    /// Whether the blocks disagree by more than their runs do.
    pub uneven: bool,
    /// Whether the design ends here.
    pub last: bool,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The whole interval lies on the good side of the threshold.
    Pass,
    /// The whole interval lies on the bad side.
    Fail,
    /// The interval holds the threshold, or there is none: it ended first.
    Inconclusive,
}

impl Sequence {
    /// Finds the boundary: with equal arms the standard normal statistic of a growing number k of blocks crosses
    /// C·(k/most)^(shape − 1/2) at any look with probability `error` (Wang & Tsiatis 1987). `None` for a design that
    /// is not one: no look (`first` below 1 or above `most`), more than [`MOST_BLOCKS`], an error outside of (0, 1), a
    /// shape outside of [0, 1].
    #[must_use]
    pub fn new(design: Design) -> Option<Sequence> {
        let looks = (1..=design.most).contains(&design.first) && design.most <= MOST_BLOCKS;
        let shares = design.error > 0.0 && design.error < 1.0 && (0.0..=1.0).contains(&design.shape);
        (looks && shares).then(|| Sequence { design, critical: boundary::critical(&design) })
    }

    /// What the blocks say so far; those after the last look are not taken into account. `None` when no block has
    /// usable runs of both arms.
    #[must_use]
    pub fn look(&self, blocks: &[Block]) -> Option<Look> {
        let found = model::fit(blocks, self.design.most)?;
        let interval = self.level(found.blocks).and_then(|level| {
            let half = student_quantile(1.0 - level / 2.0, found.freedom as f64) * found.error?;
            let (low, high, confidence) = (found.effect - half, found.effect + half, 1.0 - self.design.error);
            (half < WIDEST).then_some(Interval { low, high, confidence })
        });
        let estimate = Estimate { value: found.effect, interval, count: found.runs, method: found.method() };
        Some(Look {
            difference: relative(&estimate),
            blocks: found.blocks,
            deviation: found.variance.map(f64::sqrt),
            slope: found.slope.map(f64::exp_m1),
            uneven: found.uneven,
            covariates: found.covariates,
            last: found.blocks >= self.design.most,
        })
    }

    /// The two-sided nominal level of the look at a number of blocks; `None` before the first one.
    #[must_use]
    pub fn level(&self, blocks: usize) -> Option<f64> {
        let at = blocks.checked_sub(self.design.first)?.min(self.critical.len() - 1);
        Some(2.0 * normal_cumulative(-self.critical[at]))
    }

    /// The probability that a true difference is seen, with noise of a known standard deviation (both logarithms) in
    /// independent runs, and the median number of blocks until then (`None` if it is seen in less than half).
    #[must_use]
    pub fn power(&self, difference: f64, deviation: f64) -> (f64, Option<usize>) {
        let seen = boundary::crossings(&self.design, &self.critical, (difference / deviation).abs());
        let until = |looks: usize| seen.iter().take(looks).map(|(up, _)| up).sum::<f64>();
        let half = (0..seen.len()).find(|look| until(look + 1) >= 0.5).map(|look| self.design.first + look);
        (until(seen.len()), half)
    }

    /// The smallest difference (a logarithm) that is seen with a probability, above half, when runs have this
    /// standard deviation: what can be told on a machine. The runs' variance counts as known; with few blocks it is
    /// not, and the difference is then larger by some tenths of itself.
    #[must_use]
    pub fn visible(&self, deviation: f64, probability: f64) -> f64 {
        let (mut low, mut high) = (0.0, 20.0 * deviation);
        for _ in 0..30 {
            let middle = f64::midpoint(low, high);
            if self.power(middle, deviation).0 < probability { low = middle } else { high = middle }
        }
        high
    }
}

impl Look {
    /// The verdict with a margin (0.01: 1 %) within which differences do not matter; `None`: go on.
    #[must_use]
    pub fn verdict(&self, margin: f64, direction: Direction) -> Option<Verdict> {
        let verdict = judge(&self.difference, margin, direction);
        (verdict != Verdict::Undecided || self.last).then_some(verdict)
    }

    /// Whether the candidate is worse than the reference by more than a relative threshold (0.1: a rate that is 10 %
    /// lower, a time that is 10 % longer); `None`: go on. A metric that is neither better nor worse fails when it
    /// differs by more than the threshold either way.
    #[must_use]
    pub fn gate(&self, threshold: f64, direction: Direction) -> Option<Gate> {
        let gate = gate(&self.difference, threshold, direction);
        (gate != Gate::Inconclusive || self.last).then_some(gate)
    }
}

/// What a relative difference with its interval says of a relative threshold.
#[must_use]
pub fn gate(difference: &Estimate, threshold: f64, direction: Direction) -> Gate {
    let Some(Interval { low, high, .. }) = difference.interval else { return Gate::Inconclusive };
    let (passes, fails) = match direction {
        Direction::Higher => (low > -threshold, high < -threshold),
        Direction::Lower => (high < threshold, low > threshold),
        Direction::Neutral => (low > -threshold && high < threshold, low > threshold || high < -threshold),
    };
    match (passes, fails) {
        (true, _) => Gate::Pass,
        (false, true) => Gate::Fail,
        (false, false) => Gate::Inconclusive,
    }
}

/// Half of the widest interval that is shown, a logarithm: one that reaches a factor of ten away says nothing.
const WIDEST: f64 = std::f64::consts::LN_10;
/// The most blocks of a design: beyond, the boundary would take seconds to find.
pub const MOST_BLOCKS: usize = 200;
