//! One visit of one configuration.

use crate::configuration::Configuration;
use crate::outcome::{Ending, Outcome};
use crate::sample::Repetition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a trial was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The configuration to beat.
    Baseline,
    /// One cell of a full grid.
    Grid,
    /// One step of the coordinate screen.
    Screen,
    /// Proposed by a sampler.
    Search,
    /// One visit in an interleaved race of finalists.
    Race,
    /// A plain measurement.
    Bench,
    /// One visit in an interleaved comparison of two sides.
    Compare,
    /// Asked for by name in Optuna's queue of the study; run first, and beside the budget.
    Enqueued,
    /// Run by another program that shares the study, which told a value and no samples.
    Foreign,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 9] = [
        Purpose::Baseline,
        Purpose::Grid,
        Purpose::Screen,
        Purpose::Search,
        Purpose::Race,
        Purpose::Bench,
        Purpose::Compare,
        Purpose::Enqueued,
        Purpose::Foreign,
    ];

    /// Its name in the store, the same as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Baseline => "baseline",
            Purpose::Grid => "grid",
            Purpose::Screen => "screen",
            Purpose::Search => "search",
            Purpose::Race => "race",
            Purpose::Bench => "bench",
            Purpose::Compare => "compare",
            Purpose::Enqueued => "enqueued",
            Purpose::Foreign => "foreign",
        }
    }

    /// The purpose of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// One visit of one configuration: warm-up and repetitions at one time, under one protocol. Never changed once
/// it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Number within the study, from 0.
    pub number: u32,
    /// The configuration.
    pub configuration: Configuration,
    /// Why it was run.
    pub purpose: Purpose,
    /// Which round of a race or which repeat of the baseline, from 0.
    pub round: u32,
    /// How it ended; `None` while it runs.
    pub ending: Option<Ending>,
    /// What was measured.
    pub repetitions: Vec<Repetition>,
    /// The objective as it was seen on the way, by step (for a pruner); the first objective where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intermediates: BTreeMap<u32, f64>,
    /// The objectives as another program told them, one value for each, in the study's units; empty for a trial that
    /// we ran, which has samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<f64>,
    /// Start in seconds since 1970 (UTC).
    pub started: f64,
    /// Wall seconds from start to end; `None` while it runs.
    pub duration: Option<f64>,
}

impl Trial {
    /// Whether it ended with everything measured.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Measured)
    }
}
