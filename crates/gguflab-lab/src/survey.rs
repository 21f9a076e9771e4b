//! What was tried and what came of it: the view that rankings, pictures and explanations are made from, whether it
//! comes from a study or from a file.

use crate::objective::{OBJECTIVES, Objective};
use crate::quality::Qualities;
use crate::study::OpenStudy;
use gguflab_search::space::{Dimension, Space};
use gguflab_stats::blocks::Residual;
use gguflab_stats::{CONFIDENCE, Estimate, group_location, median, shared_noise};
use gguflab_types::{Configuration, Direction, Outcome, Purpose, Trial, Unit, Value};
use std::collections::HashMap;

/// Everything that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// What was made better.
    pub measure: Measure,
    /// What else was measured.
    pub also: Vec<Measure>,
    /// The knobs that were searched.
    pub knobs: Vec<Turned>,
    /// The runs, in their order.
    pub runs: Vec<Run>,
    /// The configuration to beat, if there was one.
    pub baseline: Option<Configuration>,
}

/// What was made better.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
}

/// A knob that was searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Turned {
    /// Its name.
    pub name: String,
    /// Its values: numbers from small to large, then words. A level is a place in this list.
    pub values: Vec<Value>,
    /// Whether the order means anything.
    pub ordered: bool,
}

/// One visit.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its number, from 0.
    pub number: u32,
    /// The configuration.
    pub configuration: Configuration,
    /// The level of each knob; for a knob that was left to the engine, what that comes to.
    pub levels: Vec<usize>,
    /// Why it was run.
    pub purpose: Purpose,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Why, in words.
    pub cause: String,
    /// The objective in its own unit, where it was measured.
    pub value: Option<f64>,
    /// What else was measured, in its own unit.
    pub also: Vec<Option<f64>>,
}

/// All visits of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// The configuration.
    pub configuration: Configuration,
    /// The level of each knob.
    pub levels: Vec<usize>,
    /// Whether it is the baseline.
    pub baseline: bool,
    /// Logarithms of the measured costs (less is better), in the order of the visits.
    pub costs: Vec<f64>,
    /// How visits that failed ended.
    pub failures: Vec<Outcome>,
    /// Visits that were cut short because they could no longer win.
    pub pruned: usize,
    /// The median of what else was measured.
    pub also: Vec<Option<f64>>,
    /// Its cost (less is better), with an interval where it was visited more than once; `None` where all visits
    /// failed.
    pub cost: Option<Estimate>,
}

impl Survey {
    /// What a study tried.
    #[must_use]
    pub fn of(study: &OpenStudy, trials: &[Trial]) -> Survey {
        let space = &study.plan.space;
        let knobs: Vec<Turned> =
            space.dimensions().iter().map(|dimension| turned(space, dimension)).collect();
        let others = others(study);
        let qualities = study.qualities(trials);
        Survey {
            measure: measure(study.objective),
            also: others.iter().map(|objective| measure(objective)).collect(),
            runs: trials.iter().map(|trial| run(study, trial, &qualities, &knobs, &others)).collect(),
            knobs,
            baseline: Some(space.baseline().clone()),
        }
    }

    /// The value as something of which less is better, and back.
    #[must_use]
    pub fn to_cost(&self, value: f64) -> f64 {
        if self.measure.direction == Direction::Higher { 1.0 / value } else { value }
    }

    /// A cost as the objective in its own unit.
    #[must_use]
    pub fn in_own_unit(&self, cost: &Estimate) -> Estimate {
        let mut own = cost.map(|cost| self.to_cost(cost));
        if let Some(interval) = own.interval.as_mut().filter(|interval| interval.low > interval.high) {
            std::mem::swap(&mut interval.low, &mut interval.high);
        }
        own
    }

    /// The configurations with all their visits, best first, those that never ran last.
    #[must_use]
    pub fn pooled(&self) -> Vec<Pooled> {
        let mut groups: Vec<Pooled> = Vec::new();
        let mut also: Vec<Vec<Vec<f64>>> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for run in self.runs.iter().filter(|run| run.outcome.is_some_and(|one| one != Outcome::Cancelled)) {
            let place = *places.entry(run.configuration.key()).or_insert_with(|| {
                groups.push(self.empty(run));
                also.push(vec![Vec::new(); self.also.len()]);
                groups.len() - 1
            });
            also[place].iter_mut().zip(&run.also).for_each(|(values, value)| values.extend(value));
            let cost =
                run.value.map(|value| self.to_cost(value)).filter(|cost| cost.is_finite() && *cost > 0.0);
            match (cost, run.outcome) {
                (Some(cost), Some(Outcome::Measured)) => groups[place].costs.push(cost.ln()),
                (_, Some(Outcome::Pruned)) => groups[place].pruned += 1,
                (_, outcome) => groups[place].failures.extend(outcome),
            }
        }
        let noise = noise(&groups);
        for (group, also) in groups.iter_mut().zip(also) {
            group.also = also.iter().map(|values| median(values)).collect();
            let located = group_location(&group.costs, noise, CONFIDENCE);
            group.cost = located.map(|cost| cost.map(f64::exp));
        }
        let key = |group: &Pooled| group.cost.as_ref().map_or(f64::INFINITY, |cost| cost.value);
        groups.sort_by(|one, other| key(one).total_cmp(&key(other)));
        groups
    }

    fn empty(&self, run: &Run) -> Pooled {
        Pooled {
            configuration: run.configuration.clone(),
            levels: run.levels.clone(),
            baseline: self.baseline.as_ref() == Some(&run.configuration),
            costs: Vec::new(),
            failures: Vec::new(),
            pruned: 0,
            also: Vec::new(),
            cost: None,
        }
    }

    /// The knob of this name.
    #[must_use]
    pub fn knob(&self, name: &str) -> Option<usize> {
        self.knobs.iter().position(|knob| knob.name == name)
    }
}

impl Turned {
    /// The number that a level stands for.
    #[must_use]
    pub fn number(&self, level: usize) -> Option<f64> {
        self.values.get(level).and_then(Value::as_number)
    }

    /// A level as it is written.
    #[must_use]
    pub fn label(&self, level: usize) -> String {
        self.values.get(level).map_or("?".to_string(), Value::to_string)
    }
}

impl Pooled {
    /// Its visits, however they ended.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.costs.len() + self.failures.len() + self.pruned
    }

    /// The median of the measured costs: what a picture shows.
    #[must_use]
    pub fn typical(&self) -> Option<f64> {
        median(&self.costs).map(f64::exp)
    }
}

/// The noise of one visit, of logarithms, from all configurations that were visited more than once.
#[must_use]
pub fn noise(groups: &[Pooled]) -> Option<Residual> {
    let costs: Vec<Vec<f64>> = groups.iter().map(|group| group.costs.clone()).collect();
    shared_noise(&costs)
}

/// A dimension with the baseline's value in it, and without `auto` where that comes to one of the numbers.
fn turned(space: &Space, dimension: &Dimension) -> Turned {
    let mut values = dimension.values.clone();
    let meant = space.meant(space.baseline(), &dimension.knob);
    if meant != Value::Auto {
        values.retain(|value| *value != Value::Auto || !dimension.ordered);
        if !values.contains(&meant) && !values.contains(space.baseline().get(&dimension.knob)) {
            values.push(meant);
        }
    }
    if dimension.ordered {
        let key = |value: &Value| value.as_number().unwrap_or(f64::INFINITY);
        values.sort_by(|one, other| key(one).total_cmp(&key(other)));
    }
    Turned { name: dimension.knob.clone(), values, ordered: dimension.ordered }
}

fn measure(objective: &Objective) -> Measure {
    Measure { name: objective.name.to_string(), unit: objective.unit, direction: objective.direction }
}

/// What the workload measures besides the objective.
fn others(study: &OpenStudy) -> Vec<&'static Objective> {
    let workload = &study.settings.workload;
    let other =
        |objective: &&Objective| objective.name != study.objective.name && objective.applies_to(workload);
    OBJECTIVES.iter().filter(other).collect()
}

fn run(
    study: &OpenStudy,
    trial: &Trial,
    qualities: &Qualities,
    knobs: &[Turned],
    others: &[&Objective],
) -> Run {
    let ending = trial.ending.as_ref();
    let measured = ending.is_some_and(|ending| ending.outcome == Outcome::Measured);
    let also = |objective: &&Objective| {
        objective.value(&trial.repetitions, &study.settings.workload).filter(|_| measured)
    };
    let violation = study.violation(trial, qualities);
    let cause = || ending.map(|ending| ending.cause.clone()).unwrap_or_default();
    let level = |knob: &Turned| level(&study.plan.space, &trial.configuration, knob);
    Run {
        number: trial.number,
        configuration: trial.configuration.clone(),
        levels: knobs.iter().map(level).collect(),
        purpose: trial.purpose,
        outcome: ending.map(|ending| ending.outcome),
        cause: violation.as_ref().map_or_else(cause, |violation| violation.words.clone()),
        value: study.value(trial).filter(|_| violation.is_none()),
        also: others.iter().map(also).collect(),
    }
}

/// The value that a configuration has, or what it comes to; else the nearest one.
fn level(space: &Space, configuration: &Configuration, knob: &Turned) -> usize {
    let meant = space.meant(configuration, &knob.name);
    let at = |wanted: &Value| knob.values.iter().position(|value| value == wanted);
    let distance = |level: &usize| match (knob.number(*level), meant.as_number()) {
        (Some(one), Some(other)) => (one - other).abs(),
        _ => f64::INFINITY,
    };
    let nearest = || (0..knob.values.len()).min_by(|one, other| distance(one).total_cmp(&distance(other)));
    at(configuration.get(&knob.name)).or_else(|| at(&meant)).or_else(nearest).unwrap_or(0)
}
