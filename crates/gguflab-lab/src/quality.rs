//! What settings change of what a model says: figures that a tune can require, and what is known of them in a study.
//!
//! Few knobs change what a model says ([`gguflab_types::knob::Knob::lossy`]). Each set of their values is scored once in a
//! study, by the first trial that has it and was measured; the values of each token are repetitions of that trial, a
//! window each, and every other trial with the same values is judged by them. The settings of the baseline are the
//! reference and change nothing, so that nothing has to be scored of them.

mod measure;
mod request;

pub(crate) use measure::Scoring;
pub use request::{QualityRequest, QualitySettings};

use gguflab_report::Cell;
use gguflab_report::format::lone_cell;
use gguflab_stats::{ConfidenceSequence, Estimate, Interval, Part, Ratio, parts};
use gguflab_types::evaluation::{TokenScores, WindowScores};
use gguflab_types::{Configuration, Direction, Repetition, Sample, Unit};
use std::collections::{BTreeSet, HashMap};

/// A figure of quality.
#[derive(Debug)]
pub struct Quality {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// One line of help.
    pub help: &'static str,
    /// What it is where nothing is changed.
    pub unchanged: f64,
    /// The least and the most that it can be.
    range: (f64, f64),
    /// What a window adds to a mean over tokens.
    part: fn(&Repetition) -> Option<Part>,
    /// The figure by that mean; increasing.
    of_mean: fn(f64) -> f64,
}

/// Every figure of quality.
pub const QUALITIES: &[Quality] = &[
    Quality {
        name: DIVERGENCE,
        unit: Unit::Nats,
        direction: Direction::Lower,
        help: "mean KL divergence from the reference at a scored position",
        unchanged: 0.0,
        range: (0.0, f64::INFINITY),
        part: |window| mean_part(window.values(DIVERGENCE)),
        of_mean: |mean| mean,
    },
    Quality {
        name: "perplexity-ratio",
        unit: Unit::None,
        direction: Direction::Lower,
        help: "perplexity over that of the reference",
        unchanged: 1.0,
        range: (0.0, f64::INFINITY),
        part: |window| {
            let pairs = window.values(NLL).iter().zip(window.values(REFERENCE_NLL));
            mean_part(&pairs.map(|(own, reference)| own - reference).collect::<Vec<f64>>())
        },
        of_mean: f64::exp,
    },
    Quality {
        name: SAME_TOP,
        unit: Unit::Fraction,
        direction: Direction::Higher,
        help: "share of the scored positions where the likeliest token is the reference's",
        unchanged: 1.0,
        range: (0.0, 1.0),
        part: |window| mean_part(window.values(SAME_TOP)),
        of_mean: |mean| mean,
    },
];

/// KL(reference ‖ candidate) in nats at each scored position of a window.
const DIVERGENCE: &str = "divergence";
/// 1 where the likeliest token is the reference's and 0 where it is not, at each scored position of a window.
const SAME_TOP: &str = "same-top";
/// −ln of the probability of the token that came, in nats, at each scored position of a window.
const NLL: &str = "nll";
/// The same by the reference.
const REFERENCE_NLL: &str = "reference-nll";
/// How many windows there are to score.
const WINDOWS: &str = "windows";

/// The figure of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Quality> {
    QUALITIES.iter().find(|quality| quality.name == name)
}

impl Quality {
    /// Whether there is something on both sides of a bound.
    pub(crate) fn can_pass(&self, bound: f64) -> bool {
        self.range.0 < bound && bound < self.range.1
    }

    /// An estimate of it in words, such as `0.0312 nat [0.0291, 0.0333]`.
    pub(crate) fn in_words(&self, estimate: &Estimate) -> String {
        let ends = estimate.interval.map(|interval| (interval.low, interval.high));
        lone_cell(&Cell::estimate(estimate.value, ends, self.unit))
    }

    fn place(&self) -> usize {
        QUALITIES.iter().position(|one| one.name == self.name).unwrap_or(0)
    }
}

fn mean_part(values: &[f64]) -> Option<Part> {
    parts(&[values]).pop()
}

/// The values of a window as a repetition of the trial that scored it. Values that are no numbers are NaN.
pub(crate) fn window(scored: &WindowScores, windows: usize, started: f64, duration: f64) -> Repetition {
    let empty = TokenScores::default();
    let candidate = scored.candidates.get(&0).unwrap_or(&empty);
    let reference = scored.reference.as_ref().unwrap_or(&empty);
    let sample = |name: &str, values: Vec<f64>| Sample { metric: name.to_string(), values };
    Repetition {
        request: None,
        index: scored.chunk,
        started,
        duration,
        samples: vec![
            sample(DIVERGENCE, gguflab_stats::values(&candidate.divergence)),
            sample(SAME_TOP, gguflab_stats::agreements(candidate)),
            sample(NLL, gguflab_stats::values(&candidate.nll)),
            sample(REFERENCE_NLL, gguflab_stats::values(&reference.nll)),
            sample(WINDOWS, vec![windows as f64]),
        ],
        ..Repetition::default()
    }
}

/// Whether a repetition is a window that was scored.
#[must_use]
pub fn is_window(repetition: &Repetition) -> bool {
    repetition.request.is_none() && repetition.value(WINDOWS).is_some()
}

/// The mean of a figure in one window; `None` without values.
pub(crate) fn in_window(quality: &Quality, window: &Repetition) -> Option<f64> {
    let part = (quality.part)(window).filter(|part| part.size > 0.0)?;
    Some((quality.of_mean)(part.sum / part.size))
}

/// What is known of what one set of values changes.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether it is the reference itself.
    itself: bool,
    sequence: ConfidenceSequence,
    chunks: BTreeSet<u32>,
    /// What each window adds to the mean of each figure.
    parts: Vec<Vec<Part>>,
    /// Windows that there are.
    all: usize,
    /// Scored positions, and those of them without a number.
    positions: [usize; 2],
    /// Seconds of scoring.
    seconds: f64,
}

impl Said {
    pub(crate) fn new(itself: bool, sequence: ConfidenceSequence) -> Said {
        let parts = vec![Vec::new(); QUALITIES.len()];
        Said { itself, sequence, chunks: BTreeSet::new(), parts, all: 0, positions: [0, 0], seconds: 0.0 }
    }

    /// Takes in a window; the same one counts once.
    pub(crate) fn add(&mut self, window: &Repetition) {
        if !self.chunks.insert(window.index) {
            return;
        }
        for (parts, quality) in self.parts.iter_mut().zip(QUALITIES) {
            parts.extend((quality.part)(window));
        }
        let broken = |name: &str| window.values(name).iter().filter(|value| !value.is_finite()).count();
        let most = [DIVERGENCE, SAME_TOP, NLL, REFERENCE_NLL].map(broken).into_iter().max();
        self.positions[0] += window.values(NLL).len();
        self.positions[1] += most.unwrap_or(0);
        self.all = window.value(WINDOWS).map_or(self.all, |all| all as usize);
        self.seconds += window.duration;
    }

    /// Whether it is the reference itself, which changes nothing by construction.
    #[must_use]
    pub fn is_itself(&self) -> bool {
        self.itself
    }

    /// Windows that were scored.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.chunks.len()
    }

    /// Windows that there are.
    #[must_use]
    pub fn all(&self) -> usize {
        self.all
    }

    /// Whether a window was scored.
    pub(crate) fn has(&self, chunk: u32) -> bool {
        self.chunks.contains(&chunk)
    }

    /// Whether nothing is left to be scored.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.all > 0 && self.windows() >= self.all
    }

    /// Scored positions without a number, and all of them.
    #[must_use]
    pub fn broken(&self) -> (usize, usize) {
        let [all, broken] = self.positions;
        (broken, all)
    }

    /// Seconds that scoring took.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// A figure with an interval that holds at every look, and together with those of all other figures that are required
    /// of all other values that are searched. `None` without a window.
    #[must_use]
    pub fn estimate(&self, quality: &Quality) -> Option<Estimate> {
        if self.itself {
            let value = quality.unchanged;
            let interval = Some(Interval { low: value, high: value, confidence: 1.0 });
            return Some(Estimate { value, interval, count: 0, method: "the reference itself" });
        }
        let ratio = Ratio::of(self.parts.get(quality.place())?, None)?;
        let estimate = self.sequence.estimate(&ratio).map(quality.of_mean);
        let (least, most) = quality.range;
        let cut = |interval: Interval| Interval {
            low: interval.low.max(least).min(estimate.value),
            high: interval.high.min(most).max(estimate.value),
            ..interval
        };
        Some(Estimate { interval: estimate.interval.map(cut), ..estimate })
    }
}

/// What is known in a study, by the values of the knobs that change what a model says.
#[derive(Debug, Clone, Default)]
pub struct Qualities {
    known: HashMap<String, Said>,
    /// In the order in which they were first visited.
    order: Vec<Configuration>,
}

impl Qualities {
    pub(crate) fn said(&mut self, values: &Configuration, new: impl FnOnce() -> Said) -> &mut Said {
        let Qualities { known, order } = self;
        known.entry(values.key()).or_insert_with(|| {
            order.push(values.clone());
            new()
        })
    }

    /// What is known of these values; `None` where no trial has them.
    #[must_use]
    pub fn of(&self, values: &Configuration) -> Option<&Said> {
        self.known.get(&values.key())
    }

    /// All values that trials have, in the order in which they were first visited, with what is known of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Configuration, &Said)> {
        self.order.iter().filter_map(|values| Some((values, self.of(values)?)))
    }
}

#[cfg(test)]
mod tests;
