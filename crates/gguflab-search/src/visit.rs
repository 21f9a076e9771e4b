//! What a search sees of a trial.

use gguflab_types::{Configuration, Outcome, Purpose, Repetition, Trial};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// One visit of one configuration, as far as a search needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// The configuration, in canonical form.
    pub configuration: Configuration,
    /// Why it was run.
    pub purpose: Purpose,
    /// Which round of the race or repeat of the baseline, from 0.
    pub round: u32,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Why it ended so, in words; empty when it was measured.
    pub cause: String,
    /// The objective, lower is better, above 0 (usually seconds): the median over the repetitions of this visit.
    pub value: Option<f64>,
    /// Share of the memory of devices (or of the host, where there are none) that it took; above 0.
    pub load: Option<f64>,
    /// Wall seconds that it took; 0 while it runs.
    pub cost: f64,
    /// Those of them that went into loading the model and making the context.
    #[serde(default)]
    pub loading: f64,
    /// The objective as it was seen after so many repetitions, lower is better.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<u32, f64>,
    /// How it misses what is required, though it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<Violation>,
    /// All objectives, lower is better, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<f64>,
    /// What breaks a tie, lower is better, above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<f64>,
}

/// How a visit misses what is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// In words.
    pub words: String,
    /// By how much, as a share of the bound: the worst of all requirements that it misses; `None` where one of them was
    /// not measured.
    pub excess: Option<f64>,
}

impl Visit {
    /// What a search sees of a stored trial, given the trial's objective (lower is better).
    #[must_use]
    pub fn of(trial: &Trial, objective: Option<f64>) -> Visit {
        Visit {
            configuration: trial.configuration.clone(),
            purpose: trial.purpose,
            round: trial.round,
            outcome: trial.ending.as_ref().map(|ending| ending.outcome),
            cause: trial.ending.as_ref().map(|ending| ending.cause.clone()).unwrap_or_default(),
            value: objective,
            load: None,
            cost: trial.duration.unwrap_or(0.0),
            loading: trial.repetitions.iter().map(Repetition::loading).sum(),
            steps: BTreeMap::new(),
            violation: None,
            objectives: Vec::new(),
            second: None,
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether it says nothing because the user stopped it: the search does it again.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.outcome == Some(Outcome::Cancelled)
    }

    /// The objective, when it was measured, is a positive number, and nothing that is required is missed: what can win.
    #[must_use]
    pub fn measured(&self) -> Option<f64> {
        let value = self.value.filter(|value| value.is_finite() && *value > 0.0)?;
        (self.outcome == Some(Outcome::Measured) && self.violation.is_none()).then_some(value)
    }

    /// What a model may learn from: the objective of a visit that was measured, or as far as it came when it was
    /// pruned.
    #[must_use]
    pub fn informative(&self) -> Option<f64> {
        let value = self.value.filter(|value| value.is_finite() && *value > 0.0)?;
        matches!(self.outcome, Some(Outcome::Measured | Outcome::Pruned)).then_some(value)
    }

    /// Whether it ended without a value or misses what is required, and was not merely cut because it was worse than
    /// others.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.running() && !self.cancelled() && !self.pruned() && self.measured().is_none()
    }

    /// Whether others like it may win: it told a value, and misses nothing that is required.
    #[must_use]
    pub fn worthwhile(&self) -> bool {
        self.informative().is_some() && self.violation.is_none()
    }

    /// Whether it was cut because it was worse than others.
    #[must_use]
    pub fn pruned(&self) -> bool {
        self.outcome == Some(Outcome::Pruned)
    }

    /// Wall seconds without loading.
    #[must_use]
    pub fn working(&self) -> f64 {
        (self.cost - self.loading).max(0.0)
    }

    /// Whether a sampler may learn from it: everything but the visits of the race, which are kept for the verdict.
    #[must_use]
    pub fn exploratory(&self) -> bool {
        !self.cancelled() && self.purpose != Purpose::Race
    }
}

/// Exploratory visits by configuration.
pub(crate) struct Seen<'visits> {
    by_print: HashMap<u64, Vec<&'visits Visit>>,
}

impl<'visits> Seen<'visits> {
    /// Sorts the exploratory visits.
    pub(crate) fn new(visits: &'visits [Visit]) -> Seen<'visits> {
        let mut by_print: HashMap<u64, Vec<&Visit>> = HashMap::new();
        for visit in visits.iter().filter(|visit| visit.exploratory()) {
            by_print.entry(print(&visit.configuration)).or_default().push(visit);
        }
        Seen { by_print }
    }

    /// The exploratory visits of a configuration.
    pub(crate) fn of(&self, configuration: &Configuration) -> impl Iterator<Item = &'visits Visit> {
        let found = self.by_print.get(&print(configuration)).into_iter().flatten().copied();
        found.filter(move |visit| visit.configuration == *configuration)
    }

    /// Whether it was visited, or is being visited.
    pub(crate) fn has(&self, configuration: &Configuration) -> bool {
        self.of(configuration).next().is_some()
    }

    /// The median objective over the measured exploratory visits of a configuration.
    pub(crate) fn value(&self, configuration: &Configuration) -> Option<f64> {
        let values: Vec<f64> = self.of(configuration).filter_map(Visit::measured).collect();
        gguflab_stats::median(&values)
    }
}

/// The visit that comes nearest to what is required among those that miss it; the number of those.
pub(crate) fn nearest_miss(visits: &[Visit]) -> Option<(&Visit, &Violation, usize)> {
    let missing = || visits.iter().filter_map(|visit| Some((visit, visit.violation.as_ref()?)));
    let excess = |violation: &Violation| violation.excess.unwrap_or(f64::INFINITY);
    let nearest = missing().min_by(|one, other| excess(one.1).total_cmp(&excess(other.1)));
    nearest.map(|(visit, violation)| (visit, violation, missing().count()))
}

/// The commonest failure among visits: outcome, a cause, how many.
pub(crate) fn commonest_failure(visits: &[Visit]) -> Option<(Outcome, String, usize)> {
    let mut counts: BTreeMap<Outcome, BTreeMap<&str, usize>> = BTreeMap::new();
    for visit in visits.iter().filter(|visit| visit.failed()) {
        let outcome = visit.outcome.unwrap_or(Outcome::Crashed);
        *counts.entry(outcome).or_default().entry(&visit.cause).or_default() += 1;
    }
    let (outcome, causes) = counts.into_iter().max_by_key(|(_, causes)| causes.values().sum::<usize>())?;
    let count = causes.values().sum();
    let cause = causes.into_iter().max_by_key(|(_, count)| *count).map(|(cause, _)| cause.to_string());
    Some((outcome, cause.unwrap_or_default(), count))
}

/// A 64-bit print of a configuration (FNV-1a), equal for equal ones; much cheaper than writing it out.
pub(crate) fn print(configuration: &Configuration) -> u64 {
    use gguflab_types::Value;
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, value) in configuration.settings() {
        eat(name.as_bytes());
        match value {
            Value::Auto => eat(&[0]),
            Value::Switch(on) => eat(&[1, u8::from(*on)]),
            Value::Integer(whole) => eat(&whole.to_le_bytes()),
            Value::Number(number) | Value::BatchRatio(number) => eat(&number.to_bits().to_le_bytes()),
            Value::Text(text) => eat(text.as_bytes()),
        }
    }
    state
}
