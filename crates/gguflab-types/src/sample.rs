//! Raw measured values: the only measured truth that is stored.

use crate::machine::MachineState;
use crate::metric;
use serde::{Deserialize, Serialize};

/// Raw values of one metric in its base unit; most metrics have one value in a repetition, `inter-token` has
/// one for each gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Name of the metric ([`crate::METRICS`], or one that an engine declares).
    pub metric: String,
    /// Values in the order in which they were measured.
    pub values: Vec<f64>,
}

impl Sample {
    /// One value.
    pub fn one(metric: impl Into<String>, value: f64) -> Sample {
        Sample { metric: metric.into(), values: vec![value] }
    }
}

/// One repetition of one request of the workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repetition {
    /// Which request of the workload, from 0. `None`: values of the whole trial, such as the load time.
    pub request: Option<u32>,
    /// Number of the repetition of this request, from 0.
    pub index: u32,
    /// Start in seconds since 1970 (UTC), for ordering and drift; durations never come from it.
    pub started: f64,
    /// Wall seconds that it took, by a monotonic clock.
    pub duration: f64,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// The machine meanwhile.
    pub state: MachineState,
    /// Why it is not trusted, if so; it is kept, left out of estimates and repeated.
    pub noisy: Option<String>,
}

impl Repetition {
    /// The values of a metric; empty when it was not measured.
    #[must_use]
    pub fn values(&self, metric: &str) -> &[f64] {
        self.samples.iter().find(|sample| sample.metric == metric).map_or(&[], |sample| &sample.values)
    }

    /// The first value of a metric.
    #[must_use]
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.values(metric).first().copied()
    }

    /// Seconds that went into loading the model and making the context, where this tells it.
    #[must_use]
    pub fn loading(&self) -> f64 {
        [metric::LOAD, metric::LOAD_COLD, metric::CONTEXT].iter().filter_map(|name| self.value(name)).sum()
    }
}
