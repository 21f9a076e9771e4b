//! Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate as in Optuna 5: for comparison and for habit.
//!
//! The visits are split into the good ones and the rest, failures counting as the worst; each group becomes a mixture
//! of kernels over the lattice, one for each visit and a flat one; of some draws from the good mixture the one with the
//! largest ratio of both densities is proposed.

use crate::order::scramble;
use crate::sampler::{Proposal, Sampler, hopeless};
use crate::space::Space;
use crate::surrogate::coordinates::{Axis, Coordinates};
use crate::visit::{Seen, Visit};
use gguflab_types::{Configuration, Purpose};

/// The estimator.
pub(crate) struct Tpe {
    /// Chooses the draws.
    pub(crate) seed: u64,
}

/// Visits that are drawn at random before there is anything to estimate from.
const STARTUP: usize = 10;
/// Draws of which the best is proposed.
const DRAWS: usize = 48;
/// A share of the visits counts as good, at most so many of them.
const GOOD: f64 = 0.1;
const MOST_GOOD: usize = 25;
/// Tries to draw a configuration that is allowed and new.
const TRIES: usize = 400;
/// Width of a kernel along an order, as a share of it; weight of another word than the visit's.
const WIDTH: f64 = 0.15;
const OTHER_WORD: f64 = 0.2;

impl Sampler for Tpe {
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal {
        let seen = Seen::new(visits);
        let mut told: Vec<&Visit> =
            visits.iter().filter(|visit| visit.exploratory() && !visit.running()).collect();
        let anywhere = || super::first_unvisited(space, visits, self.seed, Purpose::Search);
        if told.len() < STARTUP {
            return anywhere();
        }
        let cost = |visit: &&Visit| visit.measured().unwrap_or(f64::INFINITY);
        told.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
        let good = ((GOOD * told.len() as f64).ceil() as usize).clamp(1, MOST_GOOD);
        let coordinates = Coordinates::new(space);
        let places: Vec<Vec<f64>> =
            told.iter().map(|visit| coordinates.place(&visit.configuration)).collect();
        let (good, bad) =
            (Mixture::new(&coordinates, &places[..good]), Mixture::new(&coordinates, &places[good..]));
        let count = visits.iter().filter(|visit| visit.exploratory()).count() as u64;
        let mut state = scramble(self.seed ^ scramble(count));
        let mut best: Option<(f64, Configuration)> = None;
        let mut draws = 0;
        for _ in 0..TRIES {
            let parent = told[draw(&mut state, good.places.len())];
            let Some(drawn) = good.draw(space, &parent.configuration, &mut state) else { continue };
            if seen.has(&drawn) || hopeless(space, visits, &drawn).is_some() {
                continue;
            }
            let place = coordinates.place(&drawn);
            let ratio = good.log_density(&place) - bad.log_density(&place);
            if best.as_ref().is_none_or(|(other, _)| ratio > *other) {
                best = Some((ratio, drawn));
            }
            draws += 1;
            if draws == DRAWS {
                break;
            }
        }
        best.map_or_else(anywhere, |(_, drawn)| Proposal::Visit(drawn, Purpose::Search, 0))
    }
}

/// Kernels around places.
struct Mixture<'places> {
    axes: Vec<Axis>,
    places: &'places [Vec<f64>],
}

impl<'places> Mixture<'places> {
    fn new(coordinates: &Coordinates<'_>, places: &'places [Vec<f64>]) -> Mixture<'places> {
        Mixture { axes: coordinates.axes(), places }
    }

    /// Logarithm of the density at a place, up to a constant that all mixtures share.
    fn log_density(&self, place: &[f64]) -> f64 {
        let kernel = |centre: &Vec<f64>| -> f64 {
            let along = |index: usize| {
                let distance = self.axes[index].distance(place[index], centre[index]);
                match self.axes[index] {
                    Axis::Ordered => (-0.5 * (distance / WIDTH).powi(2)).exp() / WIDTH,
                    Axis::Unordered if distance > 0.0 => OTHER_WORD,
                    Axis::Unordered => 1.0,
                }
            };
            (0..self.axes.len()).map(along).product()
        };
        // The flat kernel keeps every place possible.
        let sum = 1.0 + self.places.iter().map(kernel).sum::<f64>();
        (sum / (self.places.len() as f64 + 1.0)).ln()
    }

    /// A draw from the kernel around a configuration, or now and then from the flat one.
    fn draw(&self, space: &Space, around: &Configuration, state: &mut u64) -> Option<Configuration> {
        let flat = draw(state, self.places.len() + 1) == 0;
        let mut made = around.clone();
        for dimension in space.dimensions() {
            let (line, at) = space.line(&made, dimension);
            let place = match dimension.ordered {
                _ if flat => draw(state, line.len()),
                true => {
                    let step = normal(state) * WIDTH * line.len().saturating_sub(1) as f64;
                    (at as f64 + step).round().clamp(0.0, line.len().saturating_sub(1) as f64) as usize
                }
                false if uniform(state) < OTHER_WORD => draw(state, line.len()),
                false => at,
            };
            made = made.with(&dimension.knob, dimension.values[*line.get(place)?].clone());
        }
        made.checked(space.facts()).ok()
    }
}

fn draw(state: &mut u64, below: usize) -> usize {
    *state = scramble(*state);
    (*state % below.max(1) as u64) as usize
}

/// A number from 0 to 1.
fn uniform(state: &mut u64) -> f64 {
    *state = scramble(*state);
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal number (Box & Muller 1958).
fn normal(state: &mut u64) -> f64 {
    let radius = 1.0 - uniform(state);
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * uniform(state)).cos()
}
