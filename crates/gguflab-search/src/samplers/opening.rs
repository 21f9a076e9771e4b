//! The opening of a search: each knob is turned once, strongest expected effect first, from the best configuration so
//! far. It gives the effect of each knob, and a model enough to begin with.

use crate::sampler::hopeless;
use crate::space::{Dimension, Space};
use crate::visit::{Seen, Visit};
use gguflab_types::Configuration;

/// In the opening, where nothing is known of the forecast yet, less is risked.
const SAFE_LOAD: f64 = 0.95;

/// The next configuration of the opening; `None` when it is over.
pub(crate) fn next(space: &Space, visits: &[Visit], seen: &Seen<'_>) -> Option<Configuration> {
    let mut base = space.start()?;
    if !seen.has(&base) {
        return Some(base);
    }
    for dimension in space.dimensions() {
        let mut best = base.clone();
        for probe in probes(space, &base, dimension) {
            if !seen.has(&probe) {
                if hopeless(space, visits, &probe).is_some() || load(space, &probe) > SAFE_LOAD {
                    continue;
                }
                return Some(probe);
            }
            let value = |configuration: &Configuration| seen.value(configuration).unwrap_or(f64::INFINITY);
            if value(&probe) < value(&best) {
                best = probe;
            }
        }
        base = best;
    }
    None
}

fn load(space: &Space, configuration: &Configuration) -> f64 {
    let forecast = space.forecasts(std::slice::from_ref(configuration)).pop().flatten();
    forecast.map_or(0.0, |forecast| forecast.load)
}

/// Where a knob is turned to: of an order the middle of the longer side, of words each other one, two at most.
fn probes(space: &Space, base: &Configuration, dimension: &Dimension) -> Vec<Configuration> {
    let (line, at) = space.line(base, dimension);
    let places: Vec<usize> = match dimension.ordered {
        true => {
            let (below, above) = (at, line.len() - 1 - at);
            let up = (above > 0).then(|| at + above.div_ceil(2));
            let down = (below > 0).then(|| at - below.div_ceil(2));
            [down, up].into_iter().flatten().collect()
        }
        false => (0..line.len()).filter(|place| *place != at).take(2).collect(),
    };
    let moved = places.into_iter().filter_map(|place| space.moved(base, dimension, line[place]));
    moved.filter(|moved| moved != base).collect()
}
