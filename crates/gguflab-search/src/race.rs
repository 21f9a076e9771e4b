//! The race of the best few against the baseline: who is really faster?
//!
//! Rounds in random order, each remaining contender and the baseline once in every round, so that drift hits all
//! alike; paired by round; successive halving by the paired median (Karnin, Koren & Somekh 2013). The values that
//! selected the finalists are not used: the best of many noisy values is too good (winner's curse).
//!
//! The difference to the baseline is judged by intervals that hold for all finalists at once (Bonferroni), with the
//! noise estimated from all of them ([`gguflab_stats::blocks`]). Before the budget ends the race stops only on
//! evidence at 99.9 % (Haybittle 1971, Peto et al. 1976), so that looking after every round costs nothing worth
//! the name at the end.

mod field;

use crate::visit::Visit;
use field::Race;
use gguflab_stats::{Estimate, Verdict};
use gguflab_types::{Configuration, Outcome};
use serde::Serialize;

/// What is raced, and how far.
#[derive(Debug, Clone, PartialEq)]
pub struct RaceSettings {
    /// The finalists, best first, without the baseline.
    pub contenders: Vec<Configuration>,
    /// The configuration to beat.
    pub baseline: Configuration,
    /// Whether the baseline ran at all; if not, the finalists race among themselves.
    pub baseline_runs: bool,
    /// Visits that the race may take in all.
    pub visits: usize,
    /// Visits that the time allows in all, those made included; no more than `visits` are made.
    pub affordable: usize,
    /// Relative difference that does not matter, such as 0.01.
    pub margin: f64,
    /// Whether [`Visit::second`] breaks ties.
    pub tie_break: bool,
    /// Chooses the order within the rounds.
    pub seed: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum RaceStep {
    /// Visit this configuration in this round.
    Visit(Configuration, u32),
    /// Nothing before a running visit has ended.
    Wait,
    /// The race is over.
    Decided(Box<RaceResult>),
}

/// How a race came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RaceResult {
    /// The configuration to use: the leader when it is better than the baseline, else the baseline; or another one that
    /// is tied with it and better in the second objective.
    pub winner: Configuration,
    /// The best of the contenders; `None` when all of them failed.
    pub leader: Option<Configuration>,
    /// The leader against the baseline. `Indistinguishable` and `Undecided` are ties: the baseline is kept.
    pub verdict: Verdict,
    /// Relative difference of the leader to the baseline (−0.05: 5 % less), with an interval that holds for all
    /// finalists at once; `None` when there is no round that measured both.
    pub difference: Option<Estimate>,
    /// The contender behind the leader, and whether the two could be told apart.
    pub second: Option<Rival>,
    /// How the second objective broke a tie, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_break: Option<TieBreak>,
    /// Contenders that could not be told apart from the leader, the second included.
    pub tied: Vec<Configuration>,
    /// The baseline and all contenders, best first; those that dropped out later stand before those that dropped
    /// out earlier.
    pub standings: Vec<Standing>,
    /// Rounds that were run.
    pub rounds: u32,
    /// Visits that were made.
    pub visits: usize,
    /// Why it ended.
    pub finish: Finish,
}

impl RaceResult {
    /// Whether no difference to the baseline was shown, so that the baseline is kept.
    #[must_use]
    pub fn tie(&self) -> bool {
        matches!(self.verdict, Verdict::Indistinguishable | Verdict::Undecided)
    }
}

/// A tie that the second objective broke.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TieBreak {
    /// The configuration that the winner was tied with: the baseline, or the leader.
    pub over: Configuration,
    /// Relative difference of the winner to it in the second objective, as a cost.
    pub difference: Estimate,
}

/// The contender behind the leader.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rival {
    /// Its configuration.
    pub configuration: Configuration,
    /// Relative difference of the leader to it.
    pub difference: Estimate,
    /// The leader against it.
    pub verdict: Verdict,
}

/// How one configuration stood at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its configuration.
    pub configuration: Configuration,
    /// Whether it is the baseline.
    pub baseline: bool,
    /// Rounds in which it was measured.
    pub rounds: usize,
    /// Median of the objective over its rounds, in the objective's unit.
    pub value: Option<f64>,
    /// Relative difference to the baseline over the rounds of both; `None` for the baseline itself.
    pub difference: Option<Estimate>,
    /// When and why it dropped out.
    pub dropped: Option<Dropped>,
}

/// When and why a contender dropped out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The round after which it was out, from 0.
    pub round: u32,
    /// Why.
    pub reason: DropReason,
}

/// Why a contender dropped out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// It failed; or it was measured and misses what is required.
    Failed(Outcome),
    /// Its interval lies wholly on the worse side of the leader or of the baseline.
    ClearlyWorse,
    /// It was in the worse half when the field was halved.
    Halved,
}

/// Why a race ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The leader is told apart from, or shown equal to, both the baseline and the second.
    Settled,
    /// All contenders failed or were clearly worse than the baseline.
    NoneLeft,
    /// The runs or the time ended.
    BudgetEnded,
}

/// Who leads the race so far: the best by its shared rounds with the baseline, which may be the baseline itself.
#[must_use]
pub fn leader(visits: &[Visit], settings: &RaceSettings) -> Option<Configuration> {
    Race::new(visits, settings).leader()
}

/// The next step of the race, from its visits alone (visits of other purposes are not looked at).
#[must_use]
pub fn next(visits: &[Visit], settings: &RaceSettings) -> RaceStep {
    let race = Race::new(visits, settings);
    let mut field = race.start();
    for round in 0_u32.. {
        let members = race.members(round, &field);
        if members.len() < 2 {
            return race.decide(&field, Finish::BudgetEnded);
        }
        if let Some(step) = race.missing(round, &members) {
            return step;
        }
        race.settle(round, &mut field);
        if let Some(finish) = race.finished(round, &field) {
            return race.decide(&field, finish);
        }
    }
    RaceStep::Wait
}
