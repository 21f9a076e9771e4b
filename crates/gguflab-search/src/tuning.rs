//! The whole search as one pure function: baseline, then grid or screen, then race.

mod dry;
mod ledger;

pub use dry::{PlannedVisit, dry_run};

use crate::error::SearchError;
use crate::race::{self, RaceResult, RaceSettings, RaceStep};
use crate::sampler::{self, Proposal, SAMPLERS, SamplerRow};
use crate::space::{Forecaster, Space};
use crate::visit::{Seen, Visit, commonest_failure, nearest_miss};
use gguflab_types::{Configuration, Outcome, Purpose};
use ledger::Ledger;
use serde::Serialize;
use std::sync::Arc;

/// What a search may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Visits in all, failed ones included, cancelled ones not.
    pub runs: u32,
    /// Wall seconds in all, if limited.
    pub seconds: Option<f64>,
}

/// Which sampler searches.
#[derive(Debug, Clone, Copy)]
pub enum Choice {
    /// The full grid where the budget allows it, a screen of small lattices, else the search by a model.
    Auto,
    /// This one.
    Named(&'static SamplerRow),
}

impl Choice {
    /// Reads `auto` or the name of a sampler.
    ///
    /// # Errors
    /// [`SearchError::Sampler`] with the names that there are.
    pub fn parse(name: &str) -> Result<Choice, SearchError> {
        if name == "auto" {
            return Ok(Choice::Auto);
        }
        let names: Vec<&str> = SAMPLERS.iter().map(|row| row.name).collect();
        let unknown = || SearchError::Sampler { given: name.to_string(), known: names.join(", ") };
        sampler::find(name).map(Choice::Named).ok_or_else(unknown)
    }
}

/// Everything that a search depends on besides its visits.
#[derive(Debug, Clone)]
pub struct TunePlan {
    /// The configurations to choose from, with the baseline; shared, so that a plan is cheap to copy.
    pub space: Arc<Space>,
    /// Who searches.
    pub choice: Choice,
    /// Visits of the baseline at the beginning (fewer in a budget below three times as many runs).
    pub baseline_repeats: u32,
    /// What it may cost.
    pub budget: Budget,
    /// Share of the budget that is kept for the race, of budgets up to 40 runs; less of larger ones.
    pub race_share: f64,
    /// Contenders in the race, at most (fewer where the budget leaves less than three rounds for so many).
    pub finalists: usize,
    /// Relative difference that does not matter.
    pub margin: f64,
    /// Whether there are several objectives, and a front is looked for: the first one is raced.
    pub several: bool,
    /// Whether a second objective breaks ties.
    pub tie_break: bool,
    /// Chooses every random order.
    pub seed: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Visit this configuration.
    Visit {
        /// The configuration, in canonical form.
        configuration: Configuration,
        /// Why.
        purpose: Purpose,
        /// Round of the race, repeat of the baseline or pass of the screen, from 0.
        round: u32,
    },
    /// Nothing before a running visit has ended.
    Wait,
    /// The search is over.
    Done(Conclusion),
}

/// How a search came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Conclusion {
    /// The race says.
    Raced(Box<RaceResult>),
    /// There was nobody to race, or nothing left to race with.
    Unraced {
        /// The configuration to use.
        winner: Configuration,
        /// Why there was no race, in words.
        reason: String,
    },
    /// Something ran, and all of it misses what is required.
    AllMiss {
        /// The configuration that comes nearest.
        nearest: Configuration,
        /// How it misses, in words.
        miss: String,
        /// How many visits miss.
        count: usize,
        /// Visits in all.
        visits: usize,
    },
    /// Nothing ran.
    AllFailed {
        /// The commonest way to fail.
        outcome: Outcome,
        /// Its commonest cause, in the engine's words.
        cause: String,
        /// How many visits failed in this way.
        count: usize,
        /// Visits in all.
        visits: usize,
    },
}

/// How far a search has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// `baseline`, the name of the sampler, or `race`.
    pub name: &'static str,
    /// Visits of this stage that have ended.
    pub done: usize,
    /// Visits that it takes at most.
    pub expected: usize,
}

/// The sampler for lattices that are too large for a grid.
const MODEL: &str = "model";
/// Budgets above so many runs do not keep their share for the race but so many runs and a tenth of what is above.
const LARGE_BUDGET: usize = 40;
const LARGE_RACE: usize = 16;
/// A finalist's screen value may be this much above the baseline's: more cannot be noise.
const HOPE: f64 = 1.05;
/// Rounds that a race has at least, which limits the number of finalists.
const LEAST_ROUNDS: usize = 3;

impl TunePlan {
    /// The default plan for a space: 40 runs, 5 of them for the baseline and 16 for the race of 4 finalists.
    #[must_use]
    pub fn new(space: Space) -> TunePlan {
        TunePlan {
            space: Arc::new(space),
            choice: Choice::Auto,
            baseline_repeats: 5,
            budget: Budget { runs: 40, seconds: None },
            race_share: 0.4,
            finalists: 4,
            margin: 0.01,
            several: false,
            tie_break: false,
            seed: 0,
        }
    }

    /// The same plan over a space of which something foretells what its configurations need.
    #[must_use]
    pub fn with_forecaster(self, forecaster: Option<Forecaster>) -> TunePlan {
        let space = Arc::unwrap_or_clone(self.space).with_forecaster(forecaster);
        TunePlan { space: Arc::new(space), ..self }
    }

    /// Checks the budget.
    ///
    /// # Errors
    /// [`SearchError::Budget`] when it allows nothing.
    pub fn check(&self) -> Result<(), SearchError> {
        match self.budget {
            Budget { runs: 0, .. } => Err(SearchError::Budget("0 runs".into())),
            Budget { seconds: Some(seconds), .. } if seconds.is_nan() || seconds <= 0.0 => {
                Err(SearchError::Budget(format!("{seconds} seconds")))
            }
            _ => Ok(()),
        }
    }

    /// The sampler that searches: the chosen one, or by the size of the lattice (grid where 1.5 × its distinct
    /// configurations fit into the runs for searching, a screen where there are few runs on a small CPU lattice).
    #[must_use]
    pub fn sampler(&self) -> &'static SamplerRow {
        let fits = |count: usize| count * 3 <= self.search_runs() * 2;
        match self.choice {
            Choice::Named(row) => row,
            Choice::Auto if self.space.count().is_some_and(fits) => &SAMPLERS[0],
            Choice::Auto if self.is_small() => &SAMPLERS[1],
            Choice::Auto => sampler::find(MODEL).unwrap_or(&SAMPLERS[0]),
        }
    }

    /// Whether a coordinate screen does better than a model: on a small lattice without a GPU, where nothing fails, with
    /// fewer runs than there are steps along all knobs (`docs/design/search.md` has the figures).
    fn is_small(&self) -> bool {
        let steps: usize = self.space.dimensions().iter().map(|one| one.values.len() - 1).sum();
        !self.several
            && self.space.facts().gpus == 0
            && self.space.count().is_some()
            && self.search_runs() < steps
    }

    /// Visits of the baseline.
    #[must_use]
    pub fn baseline_runs(&self) -> usize {
        self.baseline_repeats.min(self.budget.runs / 3).max(1) as usize
    }

    /// Visits kept for the race.
    #[must_use]
    pub fn race_runs(&self) -> usize {
        let kept = (f64::from(self.budget.runs) * self.race_share.clamp(0.0, 1.0)).round() as usize;
        // A large budget is worth more in the search, which sees through noise by what it knows of the neighbours.
        let kept = kept.min(LARGE_RACE + self.runs().saturating_sub(LARGE_BUDGET) / 10);
        kept.min(self.runs().saturating_sub(self.baseline_runs()))
    }

    /// Visits for searching, at most.
    #[must_use]
    pub fn search_runs(&self) -> usize {
        self.runs().saturating_sub(self.baseline_runs() + self.race_runs())
    }

    /// The plan with as many runs as the time still allows, so that a short time is divided between baseline,
    /// search and race as few runs are. The sampler stays the one that the whole plan chose.
    fn afforded(&self, ledger: &Ledger, elapsed: f64) -> TunePlan {
        let mut plan = TunePlan { choice: Choice::Named(self.sampler()), ..self.clone() };
        if let (Some(seconds), Some(cost)) = (self.budget.seconds, ledger.typical_cost()) {
            // A cast from a float saturates.
            let more = ((seconds - elapsed) / cost).max(0.0) as usize;
            let runs = u32::try_from(ledger.begun().saturating_add(more)).unwrap_or(u32::MAX);
            plan.budget.runs = plan.budget.runs.min(runs.max(1));
        }
        plan
    }

    fn runs(&self) -> usize {
        self.budget.runs as usize
    }
}

/// The next step of a search, from its visits and the wall seconds that it has taken so far.
#[must_use]
pub fn next(plan: &TunePlan, visits: &[Visit], elapsed: f64) -> Step {
    let ledger = Ledger::new(visits);
    let plan = &plan.afforded(&ledger, elapsed);
    if ledger.race == 0 {
        let early = baseline_step(plan, visits, &ledger, elapsed)
            .or_else(|| search_step(plan, visits, &ledger, elapsed));
        if let Some(step) = early {
            return step;
        }
        // The finalists are chosen when every value is in, so that each worker chooses the same.
        if ledger.running {
            return Step::Wait;
        }
    }
    race_step(plan, visits, &ledger, elapsed)
}

/// How far a search has come, for showing it.
#[must_use]
pub fn stage(plan: &TunePlan, visits: &[Visit]) -> Stage {
    let ledger = Ledger::new(visits);
    let elapsed = visits.iter().map(|visit| visit.cost).sum();
    let plan = &plan.afforded(&ledger, elapsed);
    let searched = ledger.searched_ended;
    if ledger.race > 0 {
        let expected = plan.runs().saturating_sub(ledger.baseline.begun + ledger.searched).max(ledger.race);
        return Stage { name: "race", done: ledger.race_ended, expected };
    }
    if ledger.searched == 0 && !ledger.baseline.enough(plan) {
        return Stage { name: "baseline", done: ledger.baseline.ended(), expected: plan.baseline_runs() };
    }
    // The lattice may hold less than the budget: the baseline is one of its points and already visited.
    let lattice = plan.space.count().unwrap_or(usize::MAX);
    let expected = plan.search_runs().min(lattice).max(ledger.searched);
    Stage { name: plan.sampler().name, done: searched, expected }
}

fn baseline_step(plan: &TunePlan, visits: &[Visit], ledger: &Ledger, elapsed: f64) -> Option<Step> {
    let late = plan.budget.seconds.is_some_and(|seconds| elapsed >= seconds) && ledger.baseline.begun > 0;
    if ledger.searched == 0 && !ledger.baseline.enough(plan) && !late {
        let taken = |round: u32| {
            visits
                .iter()
                .any(|visit| visit.purpose == Purpose::Baseline && !visit.cancelled() && visit.round == round)
        };
        let round = (0..).find(|round| !taken(*round)).unwrap_or(0);
        let configuration = plan.space.baseline().clone();
        return Some(Step::Visit { configuration, purpose: Purpose::Baseline, round });
    }
    // A screen needs to know what to compare with.
    let unknown = ledger.baseline.measured == 0 && ledger.baseline.running > 0;
    unknown.then_some(Step::Wait)
}

fn search_step(plan: &TunePlan, visits: &[Visit], ledger: &Ledger, elapsed: f64) -> Option<Step> {
    let room = ledger.searched < plan.search_runs()
        && ledger.searched + ledger.baseline.begun < plan.runs()
        && time_to_search(plan, ledger, elapsed);
    if !room {
        return None;
    }
    let row = plan.sampler();
    match (row.make)(plan.seed).propose(&plan.space, visits) {
        Proposal::Visit(configuration, purpose, round) => Some(Step::Visit { configuration, purpose, round }),
        Proposal::Wait => Some(Step::Wait),
        Proposal::Exhausted => None,
    }
}

/// Whether one more visit leaves the time for the race.
fn time_to_search(plan: &TunePlan, ledger: &Ledger, elapsed: f64) -> bool {
    let (Some(seconds), Some(cost)) = (plan.budget.seconds, ledger.typical_cost()) else { return true };
    let share = seconds * plan.race_share.clamp(0.0, 1.0);
    let race = (plan.race_runs() as f64 * cost).min(share);
    elapsed + cost + race <= seconds
}

fn race_step(plan: &TunePlan, visits: &[Visit], ledger: &Ledger, elapsed: f64) -> Step {
    let room = plan.runs().saturating_sub(ledger.baseline.begun + ledger.searched);
    let places = (room / LEAST_ROUNDS).saturating_sub(1).clamp(1, plan.finalists.max(1));
    let baseline_runs = ledger.baseline.measured > 0;
    let contenders: Vec<Configuration> = match begun_race(visits) {
        // Once its first round is over nobody joins, whatever becomes of the budget: every round has all of them.
        Some(field) => {
            finalists(plan, visits, usize::MAX).into_iter().filter(|one| field.contains(&one)).collect()
        }
        None => finalists(plan, visits, places),
    };
    let unraced = |winner: &Configuration, reason: &str| {
        Step::Done(Conclusion::Unraced { winner: winner.clone(), reason: reason.to_string() })
    };
    match contenders.as_slice() {
        [] if baseline_runs && ledger.searched == 0 => {
            let cost = ledger.typical_cost().unwrap_or(0.0);
            let reason = format!(
                "the budget ended before anything else was tried; one visit takes {cost:.0} s, and a search needs \
                 thirty or more"
            );
            return unraced(plan.space.baseline(), &reason);
        }
        [] if baseline_runs => return unraced(plan.space.baseline(), "nothing else came near the baseline"),
        [] => return all_failed(visits),
        [only] if !baseline_runs => return unraced(only, alone(visits)),
        [first, ..] if ledger.race == 0 && affordable(plan, ledger, elapsed).min(room) < 2 => {
            let winner = if baseline_runs { plan.space.baseline() } else { first };
            return unraced(winner, "the budget ended before a race, so nothing was proven");
        }
        _ => {}
    }
    let settings = RaceSettings {
        contenders,
        baseline: plan.space.baseline().clone(),
        baseline_runs,
        visits: room,
        affordable: affordable(plan, ledger, elapsed),
        margin: plan.margin,
        tie_break: plan.tie_break,
        seed: plan.seed,
    };
    match race::next(visits, &settings) {
        RaceStep::Visit(configuration, round) => Step::Visit { configuration, purpose: Purpose::Race, round },
        RaceStep::Wait => Step::Wait,
        RaceStep::Decided(result) => Step::Done(Conclusion::Raced(result)),
    }
}

fn alone(visits: &[Visit]) -> &'static str {
    match nearest_miss(visits) {
        None => "it is the only configuration that ran",
        Some(_) => "it is the only configuration that ran and misses nothing that is required",
    }
}

/// Who ran in the first round, once a second one has begun.
fn begun_race(visits: &[Visit]) -> Option<Vec<&Configuration>> {
    let race = || visits.iter().filter(|visit| visit.purpose == Purpose::Race && !visit.cancelled());
    race()
        .any(|visit| visit.round > 0)
        .then(|| race().filter(|visit| visit.round == 0).map(|visit| &visit.configuration).collect())
}

/// Race visits that the time allows, those already begun included.
fn affordable(plan: &TunePlan, ledger: &Ledger, elapsed: f64) -> usize {
    let (Some(seconds), Some(cost)) = (plan.budget.seconds, ledger.typical_cost()) else { return usize::MAX };
    let more = ((seconds - elapsed) / cost).max(0.0);
    // A cast from a float saturates.
    ledger.race.saturating_add(more as usize)
}

/// The configuration to use if the search ended now: the leader of the race, else the best that is believed of
/// those that ran.
#[must_use]
pub fn incumbent(plan: &TunePlan, visits: &[Visit]) -> Configuration {
    let ledger = Ledger::new(visits);
    if ledger.race > 0 {
        let settings = RaceSettings {
            contenders: finalists(plan, visits, usize::MAX)
                .into_iter()
                .filter(|one| raced(visits, one))
                .collect(),
            baseline: plan.space.baseline().clone(),
            baseline_runs: ledger.baseline.measured > 0,
            visits: plan.runs(),
            affordable: usize::MAX,
            margin: plan.margin,
            tie_break: plan.tie_break,
            seed: plan.seed,
        };
        if let Some(leader) = race::leader(visits, &settings) {
            return leader;
        }
    }
    let best = ranking(plan, visits).into_iter().next();
    best.map_or_else(|| plan.space.baseline().clone(), |(_, configuration)| configuration)
}

fn raced(visits: &[Visit], configuration: &Configuration) -> bool {
    visits.iter().any(|visit| visit.purpose == Purpose::Race && visit.configuration == *configuration)
}

/// Configurations that ran before the race, best first, with what is believed of each: by a model of all visits, which
/// sees through the noise of one, or by their own visits alone where there are too few for one.
fn ranking(plan: &TunePlan, visits: &[Visit]) -> Vec<(f64, Configuration)> {
    let modelled = plan.sampler().name == MODEL;
    if let Some(ranked) = modelled.then(|| crate::samplers::model::ranking(&plan.space, visits)).flatten() {
        return ranked;
    }
    let seen = Seen::new(visits);
    let mut ranked: Vec<(f64, Configuration)> = Vec::new();
    for visit in visits.iter().filter(|visit| visit.exploratory()) {
        let listed = ranked.iter().any(|(_, configuration)| *configuration == visit.configuration);
        if let Some(value) = seen.value(&visit.configuration).filter(|_| !listed) {
            ranked.push((value, visit.configuration.clone()));
        }
    }
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
    ranked
}

/// The best configurations besides the baseline by what the search saw of them.
fn finalists(plan: &TunePlan, visits: &[Visit], places: usize) -> Vec<Configuration> {
    let baseline = plan.space.baseline();
    let modelled = plan.sampler().name == MODEL;
    let found = modelled.then(|| crate::samplers::model::finalists(&plan.space, visits)).flatten();
    let (visited, simple) = match found {
        Some((visited, simple)) => (visited, Some(simple)),
        None => (ranking(plan, visits), None),
    };
    let of_baseline = visited.iter().find(|(_, configuration)| configuration == baseline);
    let bar = of_baseline.map_or(f64::INFINITY, |(value, _)| value * HOPE);
    // Where nothing is expected of any change, the race is to say so, not the model.
    let ranked = simple.filter(|simple| simple.iter().any(|(_, one)| one != baseline)).unwrap_or(visited);
    let others = ranked.iter().filter(|(value, configuration)| *value <= bar && configuration != baseline);
    others.take(places).map(|(_, configuration)| configuration.clone()).collect()
}

fn all_failed(visits: &[Visit]) -> Step {
    if let Some((nearest, violation, count)) = nearest_miss(visits) {
        let (nearest, miss) = (nearest.configuration.clone(), violation.words.clone());
        return Step::Done(Conclusion::AllMiss { nearest, miss, count, visits: visits.len() });
    }
    let (outcome, cause, count) =
        commonest_failure(visits).unwrap_or((Outcome::Cancelled, "nothing was run".to_string(), 0));
    Step::Done(Conclusion::AllFailed { outcome, cause, count, visits: visits.len() })
}
