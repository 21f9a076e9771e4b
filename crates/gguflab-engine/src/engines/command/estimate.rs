//! Forecasts for configurations before any of them is run, asked of an instance of the program of its own.

use super::talk::{Heard, Talk};
use super::{PROTOCOL, model_of};
use crate::child::Program;
use crate::engine::Estimator;
use gguflab_types::{Configuration, Forecast, Workload};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Configurations in one line: it has to fit into a pipe whose reader is busy.
const BATCH: usize = 100;
/// How long a program may take for one line of them.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct CommandEstimator {
    model: Option<String>,
    workload: Workload,
    /// The instance; none once it has failed.
    talk: Mutex<Option<Talk>>,
}

impl CommandEstimator {
    /// Starts an instance and asks it for one forecast, to see whether it knows the request; `None` when it does not.
    pub(super) fn start(program: &Program, model: &Path, workload: &Workload) -> Option<CommandEstimator> {
        let talk = Mutex::new(Some(Talk::start(program).ok()?));
        let estimator = CommandEstimator { model: model_of(model), workload: workload.clone(), talk };
        estimator.ask(&[Configuration::new()]).map(|_| estimator)
    }

    /// `None` when the program gives no answer of that kind; it is not asked again then.
    fn ask(&self, batch: &[Configuration]) -> Option<Vec<Option<Forecast>>> {
        let mut guard = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let talk = guard.as_mut()?;
        talk.send(&json!({
            "protocol": PROTOCOL,
            "model": self.model,
            "workload": self.workload,
            "estimate": batch,
        }));
        let forecasts = hear(talk, batch.len());
        if forecasts.is_none() {
            *guard = None;
        }
        forecasts
    }
}

fn hear(talk: &mut Talk, count: usize) -> Option<Vec<Option<Forecast>>> {
    let asked = Instant::now();
    while asked.elapsed() < LIMIT {
        match talk.hear() {
            Heard::Object(value) if value.get("hello").is_some() => {}
            Heard::Object(value) => {
                let estimates = value.get("estimates")?.as_array()?;
                return (estimates.len() == count).then(|| estimates.iter().map(forecast).collect());
            }
            Heard::Line(..) | Heard::Nothing => {}
            Heard::End => return None,
        }
    }
    None
}

/// `{"memory":bytes,"capacity":bytes,"seconds":…}`, each of which may be left out; null when it cannot be told.
fn forecast(value: &Value) -> Option<Forecast> {
    let number = |name: &str| value.get(name)?.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
    let load = match (number("memory"), number("capacity")) {
        (Some(memory), Some(capacity)) if capacity > 0.0 => Some(memory / capacity),
        _ => None,
    };
    let seconds = number("seconds");
    (load.is_some() || seconds.is_some()).then(|| Forecast { load: load.unwrap_or(0.0), seconds })
}

impl Estimator for CommandEstimator {
    fn estimate(&self, configurations: &[Configuration]) -> Vec<Option<Forecast>> {
        configurations
            .chunks(BATCH)
            .flat_map(|batch| self.ask(batch).unwrap_or_else(|| vec![None; batch.len()]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecasts_are_shares_of_what_there_is() {
        for (value, expected) in [
            (
                json!({"memory": 3e9, "capacity": 4e9, "seconds": 2.5}),
                Some(Forecast { load: 0.75, seconds: Some(2.5) }),
            ),
            (json!({"memory": 3e9, "capacity": 4e9}), Some(Forecast { load: 0.75, seconds: None })),
            (json!({"seconds": 1}), Some(Forecast { load: 0.0, seconds: Some(1.0) })),
            (json!({"memory": 3e9}), None),
            (json!({"memory": -1, "capacity": 0}), None),
            (Value::Null, None),
        ] {
            assert_eq!(forecast(&value), expected, "{value}");
        }
    }
}
