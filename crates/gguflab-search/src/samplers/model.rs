//! Search by a model: a noise-aware Gaussian process of the objective's logarithm over the lattice.
//!
//! After an opening that turns each knob once, every proposal is the configuration with the largest expected improvement
//! × probability to run ÷ predicted cost. Everything is learnt anew from the visits at each call, so that a search that
//! was interrupted anywhere goes on as if it had not been.

use crate::order::{Permutation, scramble};
use crate::sampler::{Proposal, Sampler, hopeless};
use crate::several::Aim;
use crate::space::Space;
use crate::surrogate::acquire::log_improvement;
use crate::surrogate::coordinates::Coordinates;
use crate::surrogate::feasible::{Feasible, Trace, merged};
use crate::surrogate::gaussian::{Belief, Datum, Gaussian};
use crate::visit::{Seen, Visit, print};
use gguflab_types::{Configuration, Purpose};
use std::collections::HashSet;

/// Search by a Gaussian process.
pub(crate) struct Model {
    /// Chooses the candidates.
    pub(crate) seed: u64,
}

/// Expected standard deviation of one visit before any was repeated, as a share.
const USUAL_NOISE: f64 = 0.02;
/// Candidates drawn from the whole lattice.
const DRAWN: usize = 500;
/// Best configurations around which candidates are made, and how many around each.
const PARENTS: usize = 4;
const CHILDREN: usize = 60;
/// Best candidates whose neighbours are looked at, and how often.
const CLIMBERS: usize = 4;
const CLIMBS: usize = 3;
/// So many of the best that ran are looked at for the race.
const MOST_FINALISTS: usize = 32;
/// A change of which less than this share is expected is none.
const NOTHING: f64 = 0.003;
/// A finalist that was not visited itself has to run with this probability.
const CERTAIN: f64 = 0.9;
/// Logarithms of ratios to the best above which values are no longer told apart.
const FAR: f64 = 0.7;
/// The search is over after so many proposals in a row that promise less than this share of the best.
const LEAST_GAIN: f64 = 0.001;
const PATIENCE: u32 = 3;

impl Sampler for Model {
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal {
        let running = visits.iter().any(|visit| visit.exploratory() && visit.running());
        let nothing = if running { Proposal::Wait } else { Proposal::Exhausted };
        let seen = Seen::new(visits);
        if let Some(point) = super::opening::next(space, visits, &seen) {
            return Proposal::Visit(point, Purpose::Screen, 0);
        }
        let Some(learnt) = Learnt::new(space, visits, &Aim::next(visits, self.seed)) else {
            return super::first_unvisited(space, visits, self.seed, Purpose::Search);
        };
        let Some(found) = learnt.best(space, visits, &seen, self.seed) else { return nothing };
        let tired = match found.gain < LEAST_GAIN {
            true => 1 + last_round(visits),
            false => 0,
        };
        match tired < PATIENCE {
            true => Proposal::Visit(found.configuration, Purpose::Search, tired),
            false => nothing,
        }
    }
}

/// Configurations with the value that is believed of each, best first.
pub(crate) type Ranked = Vec<(f64, Configuration)>;

/// Configurations that ran; `None` while too little was measured.
pub(crate) fn ranking(space: &Space, visits: &[Visit]) -> Option<Ranked> {
    let learnt = Learnt::new(space, visits, &Aim::Value)?;
    Some(learnt.ranked.into_iter().map(|(value, configuration)| (value.exp(), configuration)).collect())
}

/// What is believed of the configurations that ran, and the finalists among them, both best first. A finalist has its
/// knobs back at the baseline's values wherever the model expects nothing of the change: a setting that does nothing is not
/// recommended because it was there when luck struck.
pub(crate) fn finalists(space: &Space, visits: &[Visit]) -> Option<(Ranked, Ranked)> {
    let learnt = Learnt::new(space, visits, &Aim::Value)?;
    let mut simple: Ranked = Vec::new();
    for (_, configuration) in learnt.ranked.iter().take(MOST_FINALISTS) {
        let (value, made) = learnt.simplest(space, configuration);
        if simple.iter().all(|(_, other)| *other != made) {
            simple.push((value.exp(), made));
        }
    }
    simple.sort_by(|one, other| one.0.total_cmp(&other.0));
    let visited = learnt.ranked.into_iter().map(|(value, configuration)| (value.exp(), configuration));
    Some((visited.collect(), simple))
}

/// How many proposals in a row promised little: a search visit's round is that number.
fn last_round(visits: &[Visit]) -> u32 {
    visits
        .iter()
        .rev()
        .find(|visit| visit.purpose == Purpose::Search && !visit.cancelled())
        .map_or(0, |visit| visit.round)
}

/// What the visits teach.
struct Learnt<'space> {
    coordinates: Coordinates<'space>,
    objective: Gaussian,
    feasible: Feasible,
    /// Configurations that ran, best first, with the logarithm of the value that is believed of each.
    ranked: Vec<(f64, Configuration)>,
    /// Seconds of a visit beside the time that the objective measures; `None` where it is no time.
    overhead: Option<f64>,
    caution: Caution,
}

/// How failures make a search careful: forecasts that were wrong are trusted less.
struct Caution {
    /// Power of the probability to run.
    exponent: f64,
    /// A configuration is not worth a visit if it runs with less than this probability.
    least_chance: f64,
}

impl Caution {
    /// After the failures among these visits that the search itself has brought about.
    fn after(visits: &[Visit]) -> Caution {
        let failed =
            visits.iter().filter(|visit| visit.purpose == Purpose::Search && visit.failed()).count() as f64;
        Caution { exponent: 1.0 + failed / 5.0, least_chance: (0.03 * failed).clamp(0.02, 0.3) }
    }
}

/// The most promising configuration.
struct Found {
    configuration: Configuration,
    /// Expected improvement, as a share of the best, weighted by the chance to run.
    gain: f64,
}

/// A candidate with what it is worth, as a logarithm.
struct Candidate {
    configuration: Configuration,
    worth: f64,
    gain: f64,
}

impl<'space> Learnt<'space> {
    /// Learns from all visits but those of the race; `None` while too little was measured.
    fn new(space: &'space Space, visits: &[Visit], aim: &Aim) -> Option<Learnt<'space>> {
        let coordinates = Coordinates::new(space);
        let axes = coordinates.axes();
        let told: Vec<&Visit> = visits.iter().filter(|visit| visit.exploratory()).collect();
        let measured = told.iter().filter_map(|visit| Some((*visit, aim.of(visit)?)));
        let measured: Vec<(&Visit, f64)> = compressed(measured.collect());
        let data = measured.iter().map(|(visit, value)| Datum {
            place: coordinates.place(&visit.configuration),
            value: *value,
            count: 1.0,
        });
        let data = merged(data.collect());
        let noise = aim.noise(noise(visits).unwrap_or(USUAL_NOISE));
        let mut objective = Gaussian::fit(&axes, &data, noise)?;
        let ranked = rank(&measured, &data, &objective, &coordinates);
        let running: Vec<Vec<f64>> = told
            .iter()
            .filter(|visit| visit.running())
            .map(|visit| coordinates.place(&visit.configuration))
            .collect();
        if !running.is_empty() {
            // What runs is taken to give what is expected of it, so that workers do not all try the same.
            let believed = objective.beliefs(&running).into_iter().zip(running);
            let more = believed.map(|(belief, place)| Datum { place, value: belief.mean, count: 1.0 });
            let data = data.into_iter().chain(more).collect();
            objective = Gaussian::fit(&axes, &merged(data), noise)?;
        }
        let configurations: Vec<Configuration> =
            told.iter().map(|visit| visit.configuration.clone()).collect();
        let forecasts = space.forecasts(&configurations);
        let traces = told.iter().zip(forecasts).filter_map(|(visit, forecast)| {
            Trace::of(visit, coordinates.place(&visit.configuration), forecast.map(|one| one.load))
        });
        let feasible = Feasible::learn(&axes, &traces.collect::<Vec<Trace>>());
        let beside: Vec<f64> = measured.iter().map(|(visit, value)| visit.cost - value.exp()).collect();
        let caution = Caution::after(visits);
        let overhead = aim.is_value().then(|| gguflab_stats::median(&beside).unwrap_or(0.0).max(0.0));
        Some(Learnt { coordinates, objective, feasible, ranked, overhead, caution })
    }

    /// A configuration without the changes of which nothing is expected, and the logarithm of its expected value.
    fn simplest(&self, space: &Space, configuration: &Configuration) -> (f64, Configuration) {
        let expected = |one: &Configuration| self.objective.beliefs(&[self.coordinates.place(one)])[0].mean;
        let (mut made, mut value) = (configuration.clone(), expected(configuration));
        let bar = value + NOTHING;
        for dimension in space.dimensions().iter().rev() {
            let (line, place) = space.line(space.baseline(), dimension);
            let back = line.get(place).and_then(|index| space.moved(&made, dimension, *index));
            let Some(back) = back.filter(|back| *back != made && self.runs(space, back)) else { continue };
            let without = expected(&back);
            if without <= bar {
                (made, value) = (back, without);
            }
        }
        (value, made)
    }

    /// Whether a configuration is as good as certain to run.
    fn runs(&self, space: &Space, configuration: &Configuration) -> bool {
        let forecasts = space.forecasts(std::slice::from_ref(configuration));
        let load = forecasts.first().copied().flatten().map(|forecast| forecast.load);
        self.feasible.log_probabilities(&[self.coordinates.place(configuration)], &[load])[0] > CERTAIN.ln()
    }

    /// The candidate that is worth most and was not visited.
    fn best(&self, space: &Space, visits: &[Visit], seen: &Seen<'_>, seed: u64) -> Option<Found> {
        let mut known: HashSet<u64> = HashSet::new();
        let seed =
            scramble(seed ^ scramble(visits.iter().filter(|visit| visit.exploratory()).count() as u64));
        let mut fresh = |made: Vec<Configuration>| -> Vec<Configuration> {
            let new = made.into_iter().filter(|one| !seen.has(one) && known.insert(print(one)));
            new.filter(|one| hopeless(space, visits, one).is_none()).collect()
        };
        let mut ranked = self.weigh(space, fresh(self.candidates(space, seed)));
        for _ in 0..CLIMBS {
            let climbers: Vec<Configuration> =
                ranked.iter().take(CLIMBERS).map(|candidate| candidate.configuration.clone()).collect();
            let around = climbers.iter().flat_map(|climber| space.neighbours(climber)).collect();
            let better = self.weigh(space, fresh(around));
            ranked.extend(better);
            ranked.sort_by(|one, other| other.worth.total_cmp(&one.worth));
        }
        let gain = ranked.iter().map(|candidate| candidate.gain).fold(0.0, f64::max);
        ranked.into_iter().next().map(|best| Found { configuration: best.configuration, gain })
    }

    /// Configurations from all over the lattice, and near the best that ran.
    fn candidates(&self, space: &Space, seed: u64) -> Vec<Configuration> {
        let size = space.size();
        let order = Permutation::new(size, seed);
        let mut made: Vec<Configuration> =
            (0..size.min(DRAWN as u128)).filter_map(|place| space.point(order.at(place))).collect();
        let mut state = seed;
        for (_, parent) in self.ranked.iter().take(PARENTS) {
            for _ in 0..CHILDREN {
                made.extend(mutated(space, parent, &mut state));
            }
        }
        let near = self.ranked.iter().take(PARENTS / 2).flat_map(|(_, parent)| space.neighbours(parent));
        made.extend(near);
        made
    }

    /// What configurations are worth, the best first; those without a chance to run are left out.
    fn weigh(&self, space: &Space, configurations: Vec<Configuration>) -> Vec<Candidate> {
        let best = self.ranked.first().map(|(value, _)| *value);
        let places: Vec<Vec<f64>> =
            configurations.iter().map(|configuration| self.coordinates.place(configuration)).collect();
        let forecasts = space.forecasts(&configurations);
        let loads: Vec<Option<f64>> = forecasts.iter().map(|one| one.as_ref().map(|one| one.load)).collect();
        let chances = self.feasible.log_probabilities(&places, &loads);
        let beliefs = self.objective.beliefs(&places);
        let rows = configurations.into_iter().zip(beliefs).zip(chances).zip(forecasts);
        let mut candidates: Vec<Candidate> = rows
            .filter(|((_, chance), _)| *chance > self.caution.least_chance.ln())
            .map(|(((configuration, belief), chance), forecast)| {
                // Before anything ran that may win, whatever may win is an improvement.
                let improvement = best.map_or(0.0, |best| log_improvement(best, belief));
                let seconds = forecast.and_then(|one| one.seconds);
                let worth = improvement + self.caution.exponent * chance - self.log_cost(belief, seconds);
                Candidate { configuration, worth, gain: (improvement + chance).exp() }
            })
            .collect();
        candidates.sort_by(|one, other| other.worth.total_cmp(&one.worth));
        candidates
    }

    /// Logarithm of the seconds that a visit takes.
    fn log_cost(&self, belief: Belief, forecast: Option<f64>) -> f64 {
        let expected = || self.overhead.map_or(1.0, |overhead| overhead + belief.mean.exp());
        forecast.filter(|seconds| *seconds > 0.0).unwrap_or_else(expected).ln()
    }
}

/// Logarithms of values, those far above the best drawn together: how bad the bad ones are says nothing of the good ones,
/// but would set the scale of all.
fn compressed(measured: Vec<(&Visit, f64)>) -> Vec<(&Visit, f64)> {
    let best = measured.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let draw = |value: f64| best + FAR * (1.0 - (-(value - best) / FAR).exp());
    measured.into_iter().map(|(visit, value)| (visit, draw(value))).collect()
}

/// Configurations that ran, in the order of what is believed of them.
fn rank(
    measured: &[(&Visit, f64)],
    data: &[Datum],
    objective: &Gaussian,
    coordinates: &Coordinates<'_>,
) -> Vec<(f64, Configuration)> {
    let mut ranked: Vec<(f64, Configuration)> = Vec::new();
    for (visit, _) in measured {
        // What was cut, or misses what is required, teaches and cannot win.
        let listed = ranked.iter().any(|(_, configuration)| *configuration == visit.configuration);
        if listed || visit.measured().is_none() {
            continue;
        }
        let place = coordinates.place(&visit.configuration);
        let index = data.iter().position(|datum| datum.place == place);
        let value = index.map_or(f64::INFINITY, |index| objective.fitted[index]);
        ranked.push((value, visit.configuration.clone()));
    }
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
    ranked
}

/// Standard deviation of the logarithm of one visit, from configurations that were visited several times.
fn noise(visits: &[Visit]) -> Option<f64> {
    let baseline = visits.iter().filter(|visit| visit.purpose == Purpose::Baseline);
    let logs: Vec<f64> = baseline.filter_map(Visit::informative).map(f64::ln).collect();
    let spread = gguflab_stats::robust_spread(&logs).filter(|_| logs.len() > 2)?;
    Some(spread.clamp(USUAL_NOISE / 4.0, USUAL_NOISE * 4.0))
}

/// A configuration with one to three knobs at other values.
fn mutated(space: &Space, parent: &Configuration, state: &mut u64) -> Option<Configuration> {
    let mut draw = |below: usize| {
        *state = scramble(*state);
        (*state % below.max(1) as u64) as usize
    };
    let dimensions = space.dimensions();
    let mut made = parent.clone();
    for _ in 0..=draw(3) {
        let dimension = dimensions.get(draw(dimensions.len()))?;
        made = space.moved(&made, dimension, draw(dimension.values.len())).unwrap_or(made);
    }
    (made != *parent).then_some(made)
}
