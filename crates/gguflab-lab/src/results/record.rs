//! Our own records, of `bench --record`.

use super::{Flaw, Results, Series, field};
use crate::bench::{RECORD_VERSION, Record};
use gguflab_types::METRICS;
use serde_json::Value;
use std::collections::BTreeMap;

const KIND: &str = "gguflab bench";
const LIMITS: [&str; 1] =
    ["The record was measured by itself: `gguflab compare` and `gguflab gate` measure both sides in turn."];

/// Whether a JSON document is a record.
pub(super) fn fits(value: &Value) -> bool {
    value.get("format").and_then(Value::as_str) == Some("gguflab-record")
}

pub(super) fn read(value: &Value) -> Result<Results, Flaw> {
    let version = field(value, "version").unwrap_or_default();
    if version != RECORD_VERSION.to_string() {
        return Err(Flaw::Version { kind: KIND, found: version, known: "1" });
    }
    let record: Record = serde_json::from_value(value.clone())
        .map_err(|error| Flaw::Content(format!("the record is damaged: {error}")))?;
    let mut series = Vec::new();
    for (index, request) in record.workload.requests.iter().enumerate() {
        for metric in METRICS {
            let values = values(&record, index, metric.name);
            if !values.is_empty() {
                let about = about(&record);
                series.push(Series {
                    label: request.label(),
                    metric: metric.name,
                    about,
                    values,
                    ..Series::default()
                });
            }
        }
    }
    let mut remarks = Vec::new();
    let noisy = repetitions(&record).filter(|repetition| repetition.noisy.is_some()).count();
    if noisy > 0 {
        remarks.push(format!("{noisy} repetitions were disturbed by other programs and are left out"));
    }
    Ok(Results { kind: KIND, series, remarks, limits: LIMITS.to_vec(), ..Results::default() })
}

fn repetitions(record: &Record) -> impl Iterator<Item = &gguflab_types::Repetition> {
    record.trials.iter().flat_map(|trial| &trial.repetitions)
}

/// The values of a metric that are trusted, all if none is; of metrics with many values in a repetition their mean.
fn values(record: &Record, request: usize, metric: &str) -> Vec<f64> {
    let own = || {
        let fits =
            move |repetition: &&gguflab_types::Repetition| repetition.request == u32::try_from(request).ok();
        repetitions(record).filter(fits)
    };
    let trusted = own().any(|repetition| repetition.noisy.is_none());
    let used = own().filter(|repetition| !trusted || repetition.noisy.is_none());
    used.filter_map(|repetition| gguflab_stats::mean(repetition.values(metric)))
        .filter(|value| *value > 0.0)
        .collect()
}

fn about(record: &Record) -> BTreeMap<String, String> {
    let facts = [
        ("model", record.subject.model.file.clone()),
        ("engine", format!("{} {}", record.subject.engine.kind, record.subject.engine.build)),
        ("processor", record.subject.machine.cpu.model.clone()),
        ("settings", record.configuration.to_string()),
    ];
    facts.into_iter().map(|(name, text)| (name.to_string(), text)).collect()
}
