//! When a trial is cut before its end: one table.
//!
//! A pruner is a function of the visits so far and of what the trial has shown; it remembers nothing. Only visits that
//! search are ever cut: those of the baseline and of the race are the evidence of the verdict, and somebody asked
//! for those of a queue by name.

use crate::visit::{Seen, Visit};
use gguflab_stats::special::student_quantile;
use gguflab_stats::{mean, median};
use gguflab_types::{Configuration, Purpose};

/// What a running trial has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'trial> {
    /// Why it is run.
    pub purpose: Purpose,
    /// What was seen of each request of the workload.
    pub parts: &'trial [Part],
    /// The objective over the repetitions so far, lower is better; `None` while a request lacks one.
    pub value: Option<f64>,
    /// Repetitions that are done, over all requests.
    pub step: u32,
    /// Repetitions that it takes in all.
    pub steps: u32,
    /// Seconds since the model was loaded; 0 before.
    pub seconds: f64,
}

/// What was seen of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its share of the objective; those of all requests are 1 together.
    pub share: f64,
    /// The objective of each repetition that was not disturbed, lower is better, above 0.
    pub values: Vec<f64>,
}

/// One kind of pruner.
#[derive(Clone, Copy)]
pub struct PrunerRow {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    judge: fn(&Past, &Progress<'_>) -> Option<String>,
}

/// Every pruner.
pub const PRUNERS: &[PrunerRow] = &[
    PrunerRow {
        name: "auto",
        help: "cut what is surely worse than the best so far, or takes three times as long (default)",
        judge: |past, progress| past.late(progress).or_else(|| past.surely_worse(progress)),
    },
    PrunerRow { name: "none", help: "let every trial run to its end", judge: |_, _| None },
    PrunerRow {
        name: "median",
        help: "cut what is worse than the median of other trials after as many repetitions",
        judge: Past::below_median,
    },
    PrunerRow {
        name: "successive-halving",
        help: "after 1, 3, 9, … repetitions, cut what is not in the best third so far",
        judge: Past::out_of_rung,
    },
];

/// The pruner of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static PrunerRow> {
    PRUNERS.iter().find(|row| row.name == name)
}

impl std::fmt::Debug for PrunerRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A trial is cut when it has taken so many times the time of the best one, and so many seconds longer: below that a
/// hiccup of the machine would look like a slow configuration.
const PATIENCE: f64 = 3.0;
const LEAST_LOSS: f64 = 0.5;
/// A trial is cut when it is surely this much worse than the best: a disturbance that lasts as long as a visit makes a good
/// configuration look up to a fifth slower.
const CLEARLY: f64 = 1.25;
/// Confidence of the bound, one-sided; it is looked at after every repetition.
const SURE: f64 = 0.995;
/// Repetitions of a request before its bound means anything.
const LEAST_REPETITIONS: usize = 2;
/// A visit never repeats better than this, as a share.
const LEAST_NOISE: f64 = 0.005;
/// Measured trials before a median says anything.
const LEAST_TRIALS: usize = 5;
/// Of so many trials one goes on from a rung to the next (Li et al. 2020).
const HALVING: u32 = 3;

/// A pruner with what it has to know of the visits so far.
#[derive(Debug, Clone)]
pub struct Pruner {
    row: &'static PrunerRow,
    past: Past,
}

impl Pruner {
    /// A pruner that knows these visits.
    #[must_use]
    pub fn new(row: &'static PrunerRow, visits: &[Visit]) -> Pruner {
        Pruner { row, past: Past::of(visits) }
    }

    /// Why the trial should end now, if it should.
    #[must_use]
    pub fn judge(&self, progress: &Progress<'_>) -> Option<String> {
        let searches = matches!(progress.purpose, Purpose::Grid | Purpose::Screen | Purpose::Search);
        // Once all is measured there is nothing to save.
        (searches && progress.step < progress.steps).then(|| (self.row.judge)(&self.past, progress)).flatten()
    }
}

/// What the visits so far say.
#[derive(Debug, Clone)]
struct Past {
    best: Option<Best>,
    noise: Option<Noise>,
    /// The objective after each step, of each trial that was measured or pruned.
    runs: Vec<Run>,
}

#[derive(Debug, Clone)]
struct Run {
    steps: std::collections::BTreeMap<u32, f64>,
    measured: bool,
}

/// The best configuration so far.
#[derive(Debug, Clone, Copy)]
struct Best {
    value: f64,
    visits: usize,
    /// Seconds of its visits without loading.
    seconds: f64,
}

/// How visits of one configuration differ.
#[derive(Debug, Clone, Copy)]
struct Noise {
    /// Standard deviation of the logarithm.
    deviation: f64,
    /// Degrees of freedom of that.
    freedom: f64,
}

impl Past {
    fn of(visits: &[Visit]) -> Past {
        let runs = visits.iter().filter(|visit| visit.informative().is_some() && !visit.steps.is_empty());
        Past {
            best: Best::of(visits),
            noise: Noise::of(visits),
            runs: runs
                .map(|visit| Run { steps: visit.steps.clone(), measured: visit.measured().is_some() })
                .collect(),
        }
    }

    fn late(&self, progress: &Progress<'_>) -> Option<String> {
        let usual = self.best?.seconds;
        let late = progress.seconds > (PATIENCE * usual).max(usual + LEAST_LOSS);
        late.then(|| {
            format!(
                "it has taken {:.1} s, and a trial of the best configuration so far takes {usual:.1} s",
                progress.seconds
            )
        })
    }

    /// Compares what the trial must come to at least with the best, both as uncertain as one visit is. A disturbance
    /// only ever makes a repetition slower, so its fastest one stands for the trial; requests that are not yet
    /// measured count as nothing.
    fn surely_worse(&self, progress: &Progress<'_>) -> Option<String> {
        let (best, noise) = (self.best?, self.noise?);
        let known = progress.parts.iter().filter(|part| part.values.len() >= LEAST_REPETITIONS);
        let least: f64 =
            known.map(|part| part.share * part.values.iter().copied().fold(f64::INFINITY, f64::min)).sum();
        if least <= CLEARLY * best.value {
            return None;
        }
        let doubt = noise.deviation * (1.0 + 1.0 / best.visits as f64).sqrt();
        let bound = (least / best.value).ln() - student_quantile(SURE, noise.freedom) * doubt;
        (bound > CLEARLY.ln()).then(|| {
            format!(
                "after {} of {} repetitions it is surely worse than the best so far: by {:.0} % at least",
                progress.step,
                progress.steps,
                bound.exp_m1() * 100.0
            )
        })
    }

    /// The median stopping rule (Golovin et al. 2017), with medians at the same step.
    fn below_median(&self, progress: &Progress<'_>) -> Option<String> {
        let value = progress.value?;
        let measured = self.runs.iter().filter(|run| run.measured);
        let others: Vec<f64> = measured.filter_map(|run| run.steps.get(&progress.step).copied()).collect();
        let middle = median(&others).filter(|_| others.len() >= LEAST_TRIALS)?;
        (value > middle).then(|| {
            format!(
                "after {} repetitions it is worse than the median of {} trials",
                progress.step,
                others.len()
            )
        })
    }

    /// Asynchronous successive halving (Li et al. 2020): a rung is left by the best third of those that reached it.
    fn out_of_rung(&self, progress: &Progress<'_>) -> Option<String> {
        let value = progress.value?;
        let rung = progress.step > 0 && HALVING.pow(progress.step.ilog(HALVING)) == progress.step;
        let others: Vec<f64> =
            self.runs.iter().filter_map(|run| run.steps.get(&progress.step).copied()).collect();
        let places = (others.len() + 1) / HALVING as usize;
        let better = others.iter().filter(|other| **other < value).count();
        (rung && places > 0 && better >= places).then(|| {
            format!(
                "after {} repetitions {better} of {} trials were better, and the best third goes on",
                progress.step,
                others.len()
            )
        })
    }
}

impl Best {
    fn of(visits: &[Visit]) -> Option<Best> {
        let seen = Seen::new(visits);
        // What another program told was measured in another way.
        let own = visits.iter().filter(|visit| visit.exploratory() && visit.purpose != Purpose::Foreign);
        let measured = own.filter(|visit| visit.measured().is_some());
        let value = |configuration: &Configuration| seen.value(configuration).unwrap_or(f64::INFINITY);
        let best = measured.map(|visit| &visit.configuration);
        let best = best.min_by(|one, other| value(one).total_cmp(&value(other)))?;
        let of_best: Vec<&Visit> = seen.of(best).filter(|visit| visit.measured().is_some()).collect();
        let seconds: Vec<f64> = of_best.iter().map(|visit| visit.working()).collect();
        Some(Best { value: value(best), visits: of_best.len(), seconds: median(&seconds)? })
    }
}

impl Noise {
    /// From the visits of the baseline; `None` while there are too few.
    fn of(visits: &[Visit]) -> Option<Noise> {
        let baseline = visits.iter().filter(|visit| visit.purpose == Purpose::Baseline);
        let logs: Vec<f64> = baseline.filter_map(Visit::measured).map(f64::ln).collect();
        let middle = mean(&logs).filter(|_| logs.len() >= 3)?;
        let freedom = logs.len() as f64 - 1.0;
        let squares: f64 = logs.iter().map(|log| (log - middle).powi(2)).sum();
        Some(Noise { deviation: (squares / freedom).sqrt().max(LEAST_NOISE), freedom })
    }
}
