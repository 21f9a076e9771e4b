//! How likely a configuration is to run.
//!
//! Two things stop a configuration. Memory has a number: the share of it that is needed, forecast from the model's
//! header or by the engine, and measured by every visit that ran. A process over the logarithm of that share, corrected
//! by what was measured, says how likely it stays below one; a visit that ran out of memory says that it was above one.
//! Everything else (crashes, hangs, refusals, and memory of which nothing has a number) is learnt from the
//! outcomes alone, as a process over +1 and −1.

use super::coordinates::Axis;
use super::gaussian::{Belief, Datum, Gaussian};
use crate::visit::Visit;
use gguflab_stats::special::normal_cumulative;
use gguflab_types::Outcome;

/// What one visit says of running at all.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// Where.
    pub(crate) place: Vec<f64>,
    /// Share of the memory that was forecast for it.
    pub(crate) forecast: Option<f64>,
    /// Share of the memory that it took.
    pub(crate) taken: Option<f64>,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Whether it told a value, and one that may win.
    pub(crate) told: bool,
}

impl Trace {
    /// What a visit that has ended says; `None` while it runs, and when nobody can tell (the user stopped it).
    pub(crate) fn of(visit: &Visit, place: Vec<f64>, forecast: Option<f64>) -> Option<Trace> {
        let outcome = visit.outcome.filter(|outcome| *outcome != Outcome::Cancelled)?;
        let (taken, told) = (visit.load.filter(|load| *load > 0.0), visit.worthwhile());
        Some(Trace { place, forecast, taken, outcome, told })
    }

    fn ran(&self) -> bool {
        matches!(self.outcome, Outcome::Measured | Outcome::Pruned)
    }
}

/// What is known of running.
pub(crate) struct Feasible {
    memory: Option<Memory>,
    outcomes: Option<Gaussian>,
    /// Share of the visits that ran, with one of each kind before the first.
    usual: f64,
}

/// The share of the memory that is needed.
struct Memory {
    correction: Option<Gaussian>,
    /// Logarithm of the usual correction where there is no process yet, and how sure that is.
    offset: Belief,
    forecast: bool,
}

/// A forecast from a header is this far off before anything was measured, as a share.
const FORECAST_ERROR: f64 = 0.08;
/// What remains of it where something was measured close by.
const LEAST_ERROR: f64 = 0.004;
/// A measured share repeats to within this.
const MEASURED_ERROR: f64 = 0.003;
/// A visit that ran out of memory needed this share more than there was, or more than the forecast.
const EXCESS: f64 = 0.02;
/// Outcomes are not noisy, but their border is not smooth either.
const OUTCOME_ERROR: f64 = 0.25;

impl Feasible {
    /// Learns from all visits that ended.
    pub(crate) fn learn(axes: &[Axis], traces: &[Trace]) -> Feasible {
        let memory = Memory::learn(axes, traces);
        let explained = |trace: &Trace| memory.is_some() && trace.outcome == Outcome::OutOfMemory;
        let rest: Vec<&Trace> = traces.iter().filter(|trace| !explained(trace)).collect();
        let failed = rest.iter().filter(|trace| !trace.told).count();
        let data = rest.iter().map(|trace| Datum {
            place: trace.place.clone(),
            value: if trace.told { 1.0 } else { -1.0 },
            count: 1.0,
        });
        let data = merged(data.collect());
        let outcomes = (failed > 0).then(|| Gaussian::fit(axes, &data, OUTCOME_ERROR)).flatten();
        let usual = (rest.len() - failed + 1) as f64 / (rest.len() + 2) as f64;
        Feasible { memory, outcomes, usual }
    }

    /// Logarithms of the probability that places run, given the shares of memory forecast for them.
    pub(crate) fn log_probabilities(&self, places: &[Vec<f64>], forecasts: &[Option<f64>]) -> Vec<f64> {
        let mut logs = vec![0.0; places.len()];
        if let Some(memory) = &self.memory {
            for (log, belief) in logs.iter_mut().zip(memory.shares(places, forecasts)) {
                *log += log_below(belief);
            }
        }
        if let Some(outcomes) = &self.outcomes {
            for (log, belief) in logs.iter_mut().zip(outcomes.beliefs(places)) {
                let deviation = belief.deviation.hypot(OUTCOME_ERROR);
                *log += normal_cumulative(belief.mean / deviation).max(1e-12).ln();
            }
        } else {
            logs.iter_mut().for_each(|log| *log += self.usual.ln());
        }
        logs
    }
}

/// Logarithm of the probability that a share of which the logarithm is believed stays below one.
fn log_below(belief: Belief) -> f64 {
    normal_cumulative(-belief.mean / belief.deviation).max(1e-12).ln()
}

impl Memory {
    fn learn(axes: &[Axis], traces: &[Trace]) -> Option<Memory> {
        let forecast = traces.iter().any(|trace| trace.forecast.is_some());
        let base = |trace: &Trace| match (forecast, trace.forecast) {
            (true, Some(share)) if share > 0.0 => Some(share.ln()),
            (true, _) => None,
            (false, _) => Some(0.0),
        };
        let corrections = traces.iter().filter_map(|trace| Some((trace, trace.taken?.ln() - base(trace)?)));
        let known: Vec<(&Trace, f64)> = corrections.collect();
        if !forecast && known.len() < 3 {
            return None;
        }
        let offset = Memory::offset(&known);
        let mut memory = Memory { correction: None, offset, forecast };
        if known.len() >= 3 {
            let datum = |(trace, value): &(&Trace, f64)| Datum {
                place: trace.place.clone(),
                value: *value,
                count: 1.0,
            };
            let mut data = merged(known.iter().map(datum).collect());
            memory.correction = Gaussian::fit(axes, &data, MEASURED_ERROR);
            let surprises = memory.surprises(traces, base);
            if !surprises.is_empty() {
                data.extend(surprises);
                memory.correction = Gaussian::fit(axes, &data, MEASURED_ERROR);
            }
        } else {
            memory.learn_from_outcomes(traces, base);
        }
        Some(memory)
    }

    fn offset(known: &[(&Trace, f64)]) -> Belief {
        let prior = 1.0 / FORECAST_ERROR.powi(2);
        let own = 1.0 / (3.0 * LEAST_ERROR).powi(2);
        let sum: f64 = known.iter().map(|(_, value)| value * own).sum();
        let precision = prior + own * known.len() as f64;
        Belief { mean: sum / precision, deviation: precision.sqrt().recip() }
    }

    /// Without measured shares: the offset that agrees best with what ran and what ran out of memory, on a grid.
    fn learn_from_outcomes(&mut self, traces: &[Trace], base: impl Fn(&Trace) -> Option<f64>) {
        let weigh = |offset: f64| {
            let prior = -0.5 * ((offset - self.offset.mean) / self.offset.deviation).powi(2);
            let of = |trace: &Trace| {
                let share = base(trace).filter(|_| trace.forecast.is_some())?;
                let over = normal_cumulative((share + offset) / (3.0 * LEAST_ERROR));
                match trace.outcome {
                    Outcome::OutOfMemory => Some(over.max(1e-9).ln()),
                    _ if trace.ran() => Some((1.0 - over).max(1e-9).ln()),
                    _ => None,
                }
            };
            (prior + traces.iter().filter_map(of).sum::<f64>()).exp()
        };
        let grid: Vec<(f64, f64)> =
            (-60..=60).map(|step| f64::from(step) * 0.005).map(|offset| (offset, weigh(offset))).collect();
        let total: f64 = grid.iter().map(|(_, weight)| weight).sum();
        if total > 0.0 {
            let mean = grid.iter().map(|(offset, weight)| offset * weight).sum::<f64>() / total;
            let square = grid.iter().map(|(offset, weight)| (offset - mean).powi(2) * weight).sum::<f64>();
            self.offset = Belief { mean, deviation: (square / total).sqrt().max(LEAST_ERROR) };
        }
    }

    /// Visits that ran out of memory although they were expected to fit, as what they must have needed.
    fn surprises(&self, traces: &[Trace], base: impl Fn(&Trace) -> Option<f64>) -> Vec<Datum> {
        let failed = traces.iter().filter(|trace| trace.outcome == Outcome::OutOfMemory);
        let datum = |trace: &Trace| {
            let base = base(trace)?;
            let share = self.shares(std::slice::from_ref(&trace.place), &[trace.forecast])[0];
            (share.mean < EXCESS).then(|| Datum {
                place: trace.place.clone(),
                value: EXCESS - base,
                count: 0.1,
            })
        };
        failed.filter_map(datum).collect()
    }

    /// Logarithms of the shares that places need.
    fn shares(&self, places: &[Vec<f64>], forecasts: &[Option<f64>]) -> Vec<Belief> {
        let corrections = match &self.correction {
            Some(process) => process.beliefs(places),
            None => vec![self.offset; places.len()],
        };
        let share = |(belief, forecast): (Belief, &Option<f64>)| {
            let base = match (self.forecast, forecast) {
                (true, Some(share)) if *share > 0.0 => share.ln(),
                // Nothing is known to be needed.
                (true, _) => f64::NEG_INFINITY,
                (false, _) => 0.0,
            };
            Belief { mean: base + belief.mean, deviation: belief.deviation.hypot(LEAST_ERROR) }
        };
        corrections.into_iter().zip(forecasts).map(share).collect()
    }
}

/// Data with one row for each place.
pub(crate) fn merged(data: Vec<Datum>) -> Vec<Datum> {
    let mut merged: Vec<Datum> = Vec::new();
    for datum in data {
        match merged.iter_mut().find(|one| one.place == datum.place) {
            Some(one) => {
                let count = one.count + datum.count;
                one.value = (one.value * one.count + datum.value * datum.count) / count;
                one.count = count;
            }
            None => merged.push(datum),
        }
    }
    merged
}
