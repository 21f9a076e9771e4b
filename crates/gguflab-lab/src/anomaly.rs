//! What lies off its neighbours' trend: is it real, or did something disturb it?
//!
//! A configuration that is worse than both neighbours on the line of one ordered knob, or better than both while the best
//! of that line lies elsewhere, is suspicious. It is run again in turn with both neighbours, and only these visits decide: the
//! first ones were picked because they looked odd, so they would look odd again.

use crate::quantity::Quantity;
use crate::study::OpenStudy;
use crate::survey::{Pooled, Survey, Turned};
use gguflab_search::order::shuffle;
use gguflab_stats::{CONFIDENCE, Estimate, mean, mean_interval, shared_noise};
use gguflab_types::{Configuration, Outcome, Purpose, Trial};
use std::collections::HashMap;

/// Visits of the configuration and of each neighbour.
pub const ROUNDS: u32 = 4;
/// The most suspicions that are looked into, the largest first.
const MOST: usize = 3;
/// How many standard deviations of noise it has to stand out by.
const DEVIATIONS: f64 = 4.0;
/// And at least this much, a logarithm: less is no anomaly to anybody.
const LEAST: f64 = 0.05;
/// The noise of a visit where repeated ones do not say it.
const USUAL_NOISE: f64 = 0.04;

/// Something off its neighbours' trend.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// The configuration.
    pub configuration: Configuration,
    /// The knob on whose line it stands out.
    pub knob: String,
    /// The configurations beside it on that line.
    pub neighbours: [Configuration; 2],
    /// By how much it is worse than the worse of them (or better than the better one, below 0), a logarithm of costs.
    pub gap: f64,
}

/// What came of running it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Recheck {
    /// What looked odd.
    pub suspicion: Suspicion,
    /// The gap of the visits that were made again, a logarithm; `None` before there are any.
    pub gap: Option<Estimate>,
    /// Complete rounds.
    pub rounds: usize,
    /// Smallest and largest p95 of the time between tokens over its visits, in seconds.
    pub spread: Option<(f64, f64)>,
}

impl Recheck {
    /// Whether it is real: `None` while rounds are missing.
    #[must_use]
    pub fn confirmed(&self) -> Option<bool> {
        let interval = self.gap.as_ref()?.interval?;
        let beyond = if self.suspicion.gap > 0.0 { interval.low > 0.0 } else { interval.high < 0.0 };
        (self.rounds >= ROUNDS as usize).then_some(beyond)
    }
}

/// What is suspicious, the largest gap first. Visits that were made to look into it do not count.
#[must_use]
pub fn suspicions(study: &OpenStudy, trials: &[Trial]) -> Vec<Suspicion> {
    let mut survey = Survey::of(study, trials);
    survey.runs.retain(|run| run.purpose != Purpose::Compare);
    let groups: Vec<Pooled> = survey.pooled().into_iter().filter(|group| !group.costs.is_empty()).collect();
    let costs: Vec<Vec<f64>> = groups.iter().map(|group| group.costs.clone()).collect();
    let noise = shared_noise(&costs).map_or(USUAL_NOISE, |noise| noise.variance.sqrt());
    let places: HashMap<&[usize], &Pooled> =
        groups.iter().map(|group| (group.levels.as_slice(), group)).collect();
    let mut found: Vec<Suspicion> = groups
        .iter()
        .filter_map(|group| {
            let knobs = survey.knobs.iter().enumerate().filter(|(_, knob)| knob.ordered);
            let all = knobs.filter_map(|(place, knob)| look(group, place, knob, &places, noise));
            all.max_by(|one, other| one.gap.abs().total_cmp(&other.gap.abs()))
        })
        .collect();
    found.sort_by(|one, other| other.gap.abs().total_cmp(&one.gap.abs()));
    let mut kept: Vec<Suspicion> = Vec::new();
    for suspicion in found {
        // Beside something odd its neighbours look odd the other way.
        let explained = kept.iter().any(|other| suspicion.neighbours.contains(&other.configuration));
        if !explained && kept.len() < MOST {
            kept.push(suspicion);
        }
    }
    kept
}

/// Looks at one configuration on the line of one knob.
fn look(
    group: &Pooled,
    place: usize,
    knob: &Turned,
    places: &HashMap<&[usize], &Pooled>,
    noise: f64,
) -> Option<Suspicion> {
    let at = |level: usize| {
        let mut levels = group.levels.clone();
        levels[place] = level;
        places.get(levels.as_slice()).copied()
    };
    let level = *group.levels.get(place)?;
    let beside = [at(level.checked_sub(1)?)?, at(level + 1)?];
    let own = mean(&group.costs)?;
    let [one, other] = [mean(&beside[0].costs)?, mean(&beside[1].costs)?];
    let count = beside.iter().map(|one| one.costs.len()).chain([group.costs.len()]).min()?;
    let bar = (DEVIATIONS * noise * (2.0 / count as f64).sqrt()).max(LEAST);
    let (worse, better) = (own - one.max(other), own - one.min(other));
    let is_best =
        (0..knob.values.len()).filter_map(at).filter_map(|other| mean(&other.costs)).all(|cost| own <= cost);
    let gap = match () {
        () if worse > bar => worse,
        () if better < -bar && !is_best => better,
        () => return None,
    };
    Some(Suspicion {
        configuration: group.configuration.clone(),
        knob: knob.name.clone(),
        neighbours: beside.map(|one| one.configuration.clone()),
        gap,
    })
}

/// The next visit that looks into a suspicion, with its round; `None` when all was looked into.
#[must_use]
pub fn next(study: &OpenStudy, trials: &[Trial]) -> Option<(Configuration, u32)> {
    let found = suspicions(study, trials);
    let again = |configuration: &Configuration, round: u32| {
        let of = |trial: &&Trial| {
            trial.purpose == Purpose::Compare
                && trial.round == round
                && trial.configuration == *configuration
                // One that the user stopped is made again.
                && trial.ending.as_ref().is_none_or(|ending| ending.outcome != Outcome::Cancelled)
        };
        trials.iter().any(|trial| of(&trial))
    };
    for round in 0..ROUNDS {
        for (place, suspicion) in found.iter().enumerate() {
            let mut order = [&suspicion.configuration, &suspicion.neighbours[0], &suspicion.neighbours[1]];
            shuffle(&mut order, study.plan.seed ^ u64::from(round) << 8 ^ place as u64);
            if let Some(missing) = order.into_iter().find(|one| !again(one, round)) {
                return Some((missing.clone(), round));
            }
        }
    }
    None
}

/// What came of each suspicion.
#[must_use]
pub fn rechecks(study: &OpenStudy, trials: &[Trial]) -> Vec<Recheck> {
    let seen = |configuration: &Configuration, round: u32| {
        let trial = trials.iter().find(|trial| {
            trial.purpose == Purpose::Compare && trial.round == round && trial.configuration == *configuration
        })?;
        study.value(trial).map(|value| study.objective.to_cost(value).ln())
    };
    let one = |suspicion: Suspicion| {
        let [first, second] = &suspicion.neighbours;
        let gap = |round: u32| {
            let own = seen(&suspicion.configuration, round)?;
            let (one, other) = (seen(first, round)?, seen(second, round)?);
            Some(if suspicion.gap > 0.0 { own - one.max(other) } else { own - one.min(other) })
        };
        let gaps: Vec<f64> = (0..ROUNDS).filter_map(gap).collect();
        let spread = spread(study, trials, &suspicion.configuration);
        Recheck { rounds: gaps.len(), gap: mean_interval(&gaps, CONFIDENCE), spread, suspicion }
    };
    suspicions(study, trials).into_iter().map(one).collect()
}

fn spread(study: &OpenStudy, trials: &[Trial], configuration: &Configuration) -> Option<(f64, f64)> {
    let p95 = Quantity::parse("inter-token-p95", &[]).ok()?;
    let again = trials.iter().filter(|trial| {
        trial.purpose == Purpose::Compare && trial.is_measured() && trial.configuration == *configuration
    });
    let values = again.filter_map(|trial| p95.value(&trial.repetitions, &study.settings.workload));
    values.fold(None, |found: Option<(f64, f64)>, value| match found {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}
