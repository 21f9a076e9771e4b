//! Coordinate screen: one knob after the other, strongest expected effect first, keeping what is faster.
//!
//! Along an ordered knob it walks to both sides, one step at a time (of many values, coarse steps first), for as long
//! as that does not get clearly worse; of an unordered knob it tries every value. After the last knob it begins again from the best configuration, until
//! a whole pass changes nothing, not even one that looks behind the first worse step. The walk is replayed from the visits at every call; the first step whose visit is
//! missing is the proposal.

use crate::sampler::{Proposal, Sampler, hopeless};
use crate::space::{Dimension, Space};
use crate::visit::{Seen, Visit};
use gguflab_types::{Configuration, Purpose};

/// Gains below this share are taken for noise.
const LEAST_GAIN: f64 = 0.005;
/// A walk goes on past a step that lost less than this share, once: slopes are shallow and visits noisy. The more
/// the baseline's own visits differ, the more it bears, from the first to the second number.
const MOST_LOSS: (f64, f64) = (0.01, 0.03);
/// A change of one knob that lost more than this share in one configuration is not tried again in another one; the
/// second number is for the last, far pass.
const KNOWN_LOSS: (f64, f64) = (0.04, 0.1);
/// Passes over all knobs; by then the budget has ended, or the walk goes in circles of noise.
const MOST_PASSES: u32 = 8;

/// Coordinate screen from the baseline.
pub(crate) struct Screen;

impl Sampler for Screen {
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal {
        let walk = Walk { space, visits, seen: Seen::new(visits), bearable: bearable(visits) };
        match walk.replay() {
            Err(missing) => Proposal::Visit(missing.configuration, Purpose::Screen, missing.pass),
            Ok(()) if visits.iter().any(|visit| visit.exploratory() && visit.running()) => Proposal::Wait,
            Ok(()) => Proposal::Exhausted,
        }
    }
}

/// A step that was not visited yet.
struct Missing {
    configuration: Configuration,
    pass: u32,
}

/// A configuration and its value; none while it runs or after it failed.
#[derive(Clone)]
struct Point {
    configuration: Configuration,
    value: Option<f64>,
}

/// A walk along one knob: from where, in which configuration it is changed, over which of its values.
struct Leg<'leg> {
    dimension: &'leg Dimension,
    from: &'leg Point,
    base: &'leg Configuration,
    /// Where the knob stands.
    at: usize,
    indices: &'leg [usize],
    pass: u32,
    reach: Reach,
}

/// How a walk takes a step that is worse.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// It ends, unless the loss is small.
    Near,
    /// It takes one more step whatever the loss: for when nothing near is better.
    Far,
}

struct Walk<'walk> {
    space: &'walk Space,
    visits: &'walk [Visit],
    seen: Seen<'walk>,
    /// Loss, as a share, past which a walk ends.
    bearable: f64,
}

impl Walk<'_> {
    /// Walks as far as the visits reach.
    fn replay(&self) -> Result<(), Missing> {
        let Some(start) = self.space.start() else { return Ok(()) };
        let mut best = self.look(start, 0)?;
        let mut reach = Reach::Near;
        for pass in 0..MOST_PASSES {
            let before = best.configuration.clone();
            for dimension in self.space.dimensions() {
                best = self.along(dimension, best, pass, reach)?;
            }
            let coarse =
                self.space.dimensions().iter().any(|one| one.ordered && stride(one.values.len(), pass) > 1);
            reach = match reach {
                _ if coarse || best.configuration != before => Reach::Near,
                Reach::Near => Reach::Far,
                Reach::Far => break,
            };
        }
        Ok(())
    }

    /// The best configuration along one knob.
    fn along(&self, dimension: &Dimension, from: Point, pass: u32, reach: Reach) -> Result<Point, Missing> {
        let (line, at) = self.space.line(&from.configuration, dimension);
        let mut best = from.clone();
        let base = self.held(dimension, &from.configuration);
        let stride = if dimension.ordered { stride(line.len(), pass) } else { 1 };
        // Downwards first: fewer threads and smaller batches never run out of memory.
        let down = line[..at].iter().rev().skip(stride - 1).step_by(stride).chain(line[..at].first());
        let up = line[at + 1..].iter().skip(stride - 1).step_by(stride).chain(line[at + 1..].last());
        for mut indices in [down.copied().collect::<Vec<_>>(), up.copied().collect()] {
            indices.dedup();
            let walk = if dimension.ordered { Walk::side } else { Walk::every };
            let leg =
                Leg { dimension, from: &from, base: &base, at: line[at], indices: &indices, pass, reach };
            best = better(best, walk(self, &leg)?);
        }
        Ok(best)
    }

    /// The configuration with a follower of this knob held at what it comes to: the threads for prompts follow those
    /// for generation, and moving both at once would hide that each wants its own way.
    fn held(&self, dimension: &Dimension, configuration: &Configuration) -> Configuration {
        let mut dimensions = self.space.dimensions().iter();
        let follower = dimensions.find(|other| dimension.knob == "threads" && other.knob == "threads-batch");
        let value = follower.map(|follower| (follower, self.space.meant(configuration, &follower.knob)));
        match value {
            Some((follower, value)) if follower.values.contains(&value) => {
                configuration.clone().with(&follower.knob, value)
            }
            _ => configuration.clone(),
        }
    }

    /// The best configuration on one side of an ordered knob.
    fn side(&self, leg: &Leg) -> Result<Point, Missing> {
        let mut best = leg.from.clone();
        let mut patience = 1;
        let bearable = if leg.reach == Reach::Far { f64::INFINITY } else { 1.0 + self.bearable };
        for index in leg.indices {
            let Some(point) = self.step(leg, *index)? else { continue };
            match (point.value, best.value) {
                (Some(value), Some(bar)) if value < bar * (1.0 - LEAST_GAIN) => best = point,
                (Some(value), Some(bar)) if value <= bar * bearable && patience > 0 => patience -= 1,
                (Some(_), None) => best = point,
                // From a configuration that fails, further steps may come to one that runs.
                (None, None) => {}
                _ => break,
            }
        }
        Ok(best)
    }

    /// The best of every value of a knob without order.
    fn every(&self, leg: &Leg) -> Result<Point, Missing> {
        let mut best = leg.from.clone();
        for index in leg.indices {
            if let Some(point) = self.step(leg, *index)? {
                best = better(best, point);
            }
        }
        Ok(best)
    }

    /// One step to another value; `None` when it is not allowed, not another configuration, or has no hope.
    fn step(&self, leg: &Leg, index: usize) -> Result<Option<Point>, Missing> {
        let moved = self.space.moved(leg.base, leg.dimension, index);
        let Some(configuration) = moved.filter(|moved| *moved != leg.from.configuration) else {
            return Ok(None);
        };
        let visited = self.seen.has(&configuration);
        if !visited && hopeless(self.space, self.visits, &configuration).is_some() {
            return Ok(None);
        }
        if !visited && self.known_loss(leg, index) {
            return Ok(Some(Point { configuration, value: None }));
        }
        self.look(configuration, leg.pass).map(Some)
    }

    /// Whether the same change of the same knob has clearly lost in another configuration.
    fn known_loss(&self, leg: &Leg, index: usize) -> bool {
        let bar = 1.0 + if leg.reach == Reach::Far { KNOWN_LOSS.1 } else { KNOWN_LOSS.0 };
        let name = &leg.dimension.knob;
        let target = self
            .space
            .meant(&leg.from.configuration.clone().with(name, leg.dimension.values[index].clone()), name);
        self.visits.iter().filter(|visit| visit.exploratory()).any(|visit| {
            let lost = || {
                let base = self.held(leg.dimension, &visit.configuration);
                let before = self.space.moved(&base, leg.dimension, leg.at)?;
                Some(visit.measured()? > bar * self.seen.value(&before)?)
            };
            self.space.meant(&visit.configuration, name) == target && lost().unwrap_or(false)
        })
    }

    /// What is known of a configuration, or that it has to be visited.
    fn look(&self, configuration: Configuration, pass: u32) -> Result<Point, Missing> {
        if !self.seen.has(&configuration) {
            return Err(Missing { configuration, pass });
        }
        let value = self.seen.value(&configuration);
        Ok(Point { configuration, value })
    }
}

/// The challenger if it is faster by more than noise, or the only one that runs.
fn better(holder: Point, challenger: Point) -> Point {
    match (holder.value, challenger.value) {
        (Some(bar), Some(value)) if value < bar * (1.0 - LEAST_GAIN) => challenger,
        (None, Some(_)) => challenger,
        _ => holder,
    }
}

/// Steps along a knob with many values are coarse at first and finer with every pass.
fn stride(values: usize, pass: u32) -> usize {
    (values / (8 << pass)).max(1)
}

/// The loss that a walk bears: the spread of the baseline's visits, within bounds.
fn bearable(visits: &[Visit]) -> f64 {
    let baseline = visits.iter().filter(|visit| visit.purpose == Purpose::Baseline);
    let logs: Vec<f64> = baseline.filter_map(Visit::measured).map(f64::ln).collect();
    gguflab_stats::robust_spread(&logs).unwrap_or(0.0).clamp(MOST_LOSS.0, MOST_LOSS.1)
}
