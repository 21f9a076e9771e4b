//! Our own records, of `bench --record`. A visit is one value, as it is where two sides are measured in turn: processes of
//! one build differ for good, and what the repetitions of one process say of that is nothing.

use super::{Flaw, ONE_PROCESS, Results, Series, field};
use crate::bench::{RECORD_VERSION, Record};
use crate::compare::values;
use crate::interleave::warms_up;
use crate::objective::of_request as trusted;
use crate::quantity::Quantity;
use gguflab_types::{METRICS, Repetition, Trial, metric};
use serde_json::Value;
use std::collections::BTreeMap;

const KIND: &str = "gguflab bench";
const LIMITS: [&str; 1] =
    ["The record was measured by itself: `gguflab compare` and `gguflab gate` measure both sides in turn."];
/// The metrics that come first, in this order: what a user feels, before what it costs.
const ORDER: [&str; 4] = [metric::PREFILL, metric::DECODE, metric::FIRST_TOKEN, metric::REQUEST];

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
    check_finished(&record)?;
    let visits: Vec<&Trial> = record.trials.iter().filter(|trial| !warms_up(trial)).collect();
    let mut series = Vec::new();
    for index in 0..record.workload.requests.len() {
        series.extend(
            ORDER.iter().chain(&rest()).filter_map(|metric| of_request(&record, &visits, index, metric)),
        );
    }
    let mut limits = LIMITS.to_vec();
    if visits.len() == 1 {
        limits.push(ONE_PROCESS);
    }
    Ok(Results { kind: KIND, series, remarks: disturbed(&record, &visits), limits, ..Results::default() })
}

/// A run that ended early would be judged by the visits that went well.
fn check_finished(record: &Record) -> Result<(), Flaw> {
    let Some(cut) = record.trials.iter().find(|trial| !trial.is_measured()) else { return Ok(()) };
    let why = cut.ending.as_ref().map_or("it has no end".to_string(), |ending| {
        format!("a visit ended as {}: {}", ending.outcome, ending.cause)
    });
    Err(Flaw::Content(format!("the run did not finish ({why}): it cannot be compared with whole ones")))
}

/// The metrics that are not in [`ORDER`].
fn rest() -> Vec<&'static str> {
    METRICS.iter().map(|metric| metric.name).filter(|name| !ORDER.contains(name)).collect()
}

/// One metric of one request; `None` where it has none, or where neither more nor less of it is better.
fn of_request(record: &Record, visits: &[&Trial], request: usize, metric: &'static str) -> Option<Series> {
    let quantity = Quantity::parse(&format!("{metric}@{}", request + 1), &record.metrics).ok()?;
    let single: Vec<Vec<f64>> = visits.iter().map(|visit| single(visit, request, metric)).collect();
    let values = match visits {
        // One process: what its repetitions scatter by is all that is known.
        [visit] => {
            let own = trusted(&visit.repetitions, request).into_iter();
            own.filter_map(|one| quantity.value(std::slice::from_ref(one), &record.workload)).collect()
        }
        _ => values(&quantity, record),
    };
    let told = single.iter().any(|values| !values.is_empty()) && !values.is_empty();
    told.then(|| Series {
        label: record.workload.requests[request].label(),
        metric,
        about: about(record),
        values,
        single,
        ..Series::default()
    })
}

/// All that a visit tells of a metric of one request, in the order of time.
fn single(visit: &Trial, request: usize, metric: &str) -> Vec<f64> {
    trusted(&visit.repetitions, request).into_iter().flat_map(|one| one.values(metric)).copied().collect()
}

/// What is said of repetitions that were disturbed.
fn disturbed(record: &Record, visits: &[&Trial]) -> Vec<String> {
    let noisy = |all: &[&Repetition]| all.iter().filter(|one| one.noisy.is_some()).count();
    let all: Vec<&Repetition> =
        visits.iter().flat_map(|visit| &visit.repetitions).filter(|one| one.request.is_some()).collect();
    let requests = 0..record.workload.requests.len();
    let used =
        visits.iter().flat_map(|visit| requests.clone().map(|index| trusted(&visit.repetitions, index)));
    let used: usize = used.map(|used| noisy(&used)).sum();
    let left_out = noisy(&all).saturating_sub(used);
    let remarks = [
        (left_out, "repetitions were disturbed by other programs and are left out"),
        (used, "repetitions were disturbed by other programs and count, because their visit has no others"),
    ];
    remarks
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, text)| format!("{count} {text}"))
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
