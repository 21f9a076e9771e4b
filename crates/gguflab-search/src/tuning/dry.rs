//! What a search would run, without running it.

use super::{Step, TunePlan, next};
use crate::visit::Visit;
use gguflab_types::{Configuration, Outcome, Purpose};
use serde::Serialize;

/// A visit that a search would make.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedVisit {
    /// The configuration; `None` for a place in the race, whose finalists are not known yet.
    pub configuration: Option<Configuration>,
    /// Why.
    pub purpose: Purpose,
    /// Round or repeat, from 0.
    pub round: u32,
    /// Expected wall seconds.
    pub seconds: f64,
}

/// What a search would run if nothing made any difference: the baseline, the grid or the screen's steps around the
/// default, and the places of the race. Where something is faster the screen goes on from there, with the same
/// number of runs at most. `cost_of` gives the expected seconds of one visit.
pub fn dry_run(plan: &TunePlan, cost_of: &dyn Fn(&Configuration) -> f64) -> Vec<PlannedVisit> {
    let mut visits: Vec<Visit> = Vec::new();
    let mut planned = Vec::new();
    let mut elapsed = 0.0;
    while let Step::Visit { configuration, purpose, round } = next(plan, &visits, elapsed) {
        let seconds = cost_of(&configuration).max(0.0);
        let raced = purpose == Purpose::Race;
        elapsed += seconds;
        planned.push(PlannedVisit {
            configuration: (!raced).then(|| configuration.clone()),
            purpose,
            round,
            seconds,
        });
        visits.push(Visit {
            configuration,
            purpose,
            round,
            outcome: Some(Outcome::Measured),
            cause: String::new(),
            // Equal values: the screen follows nothing. In the race they go up and down, so that it uses its
            // budget to the end instead of finding exact equality at once.
            value: Some(if raced && (visits.len() + round as usize).is_multiple_of(2) { 1.1 } else { 1.0 }),
            load: None,
            cost: seconds,
            loading: 0.0,
            steps: std::collections::BTreeMap::new(),
            violation: None,
            objectives: Vec::new(),
            second: None,
        });
    }
    planned
}
