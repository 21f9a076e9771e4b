//! AIPerf: the summary `profile_export_aiperf.json` and the records `profile_export.jsonl`.
//!
//! Formats as AIPerf 0.13 writes them: summary schema 1.x, whose metrics are objects of unit, avg, std, count and
//! percentiles; records are an object of metadata, metrics and error on each line.

use super::{Flaw, Moments, Results, Series, field, number};
use gguflab_types::metric;
use serde_json::Value;
use std::collections::BTreeMap;

const KIND: &str = "AIPerf";
const LIMITS: [&str; 1] = [
    "Of the gaps between tokens the mean of each request is compared: percentiles of single gaps are not told by it.",
];
/// What is run is said in the summary only.
const LABEL: &str = "requests";
/// Its metrics and ours.
const METRICS: [(&str, &str); 4] = [
    ("time_to_first_token", metric::FIRST_TOKEN),
    ("inter_token_latency", metric::INTER_TOKEN),
    ("request_latency", metric::REQUEST),
    ("output_token_throughput_per_user", metric::DECODE),
];
/// Percentiles that a summary states.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// Whether a JSON document is a summary.
pub(super) fn fits(value: &Value) -> bool {
    value.get("aiperf_version").is_some()
        || value.get("schema_version").is_some() && METRICS.iter().any(|(name, _)| value.get(name).is_some())
}

/// Whether a line is a record.
pub(super) fn is_record(value: &Value) -> bool {
    value.get("metrics").is_some_and(Value::is_object)
        && value.get("metadata").is_some_and(|data| data.get("benchmark_phase").is_some())
}

pub(super) fn read(value: &Value) -> Result<Results, Flaw> {
    let version = field(value, "schema_version").unwrap_or_else(|| "1".to_string());
    if version.split('.').next() != Some("1") {
        return Err(Flaw::Version { kind: KIND, found: version, known: "1.x" });
    }
    if value.get("is_complete") == Some(&Value::Bool(false)) {
        let reason = field(value, "incomplete_reason").unwrap_or_else(|| "no reason is stated".to_string());
        return Err(Flaw::Content(format!(
            "the run did not finish ({reason}): it cannot be compared with whole ones"
        )));
    }
    let about = about(value);
    let mut series = Vec::new();
    for (name, metric) in METRICS {
        if let Some(found) = value.get(name).filter(|found| found.is_object()) {
            series.push(Series {
                label: LABEL.to_string(),
                metric,
                about: about.clone(),
                ..summary(name, found)?
            });
        }
    }
    let mut remarks = vec![
        "it holds summaries, and requests that follow each other are not independent: `profile_export.jsonl` of the same \
         run says more"
            .to_string(),
    ];
    if value.get("was_cancelled") == Some(&Value::Bool(true)) {
        remarks.push("the run was cancelled: its last requests are missing".to_string());
    }
    Ok(Results { kind: KIND, series, remarks, limits: LIMITS.to_vec(), ..Results::default() })
}

/// What the run was like, as far as it is said.
fn about(value: &Value) -> BTreeMap<String, String> {
    let config = value.get("input_config");
    let model = config.and_then(|config| field(config.pointer("/models/items/0")?, "name"));
    let phases = config.and_then(|config| config.get("phases")).and_then(Value::as_array);
    let measured = phases
        .and_then(|phases| phases.iter().find(|phase| field(phase, "kind").as_deref() == Some("profiling")));
    let of_phase = |name: &str| measured.and_then(|phase| field(phase, name));
    let facts = [
        ("aiperf_version", field(value, "aiperf_version")),
        ("model", model),
        ("load", of_phase("type")),
        ("concurrency", of_phase("concurrency")),
        ("rate", of_phase("rate")),
        ("requests", of_phase("requests")),
    ];
    facts.into_iter().filter_map(|(name, text)| Some((name.to_string(), text?))).collect()
}

fn summary(name: &str, found: &Value) -> Result<Series, Flaw> {
    let factor = factor(name, found)?;
    let scaled = |key: &str| number(found, key).map(|value| value * factor);
    let mean = scaled("avg").ok_or_else(|| Flaw::Content(format!("{name} has no avg")))?;
    let count = number(found, "count").map(|count| count as usize);
    let moments = Moments { mean, deviation: scaled("std"), count };
    let percentiles = PERCENTILES.iter().filter_map(|(key, share)| Some((*share, scaled(key)?))).collect();
    Ok(Series { moments: Some(moments), percentiles, ..Series::default() })
}

/// What turns its unit into ours.
fn factor(name: &str, found: &Value) -> Result<f64, Flaw> {
    match field(found, "unit").unwrap_or_default().as_str() {
        "ns" | "nanoseconds" => Ok(1e-9),
        "us" | "microseconds" => Ok(1e-6),
        "ms" | "milliseconds" => Ok(1e-3),
        "s" | "sec" | "seconds" => Ok(1.0),
        "tokens/sec" | "tokens/sec/user" => Ok(1.0),
        other => Err(Flaw::Content(format!("{name} is in `{other}`, a unit that is not known"))),
    }
}

/// The records of requests; those that failed or belong to the warm-up are left out.
pub(super) fn read_records(text: &str) -> Result<Results, Flaw> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let mut records: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let metadata = |record: &Value, name: &str| record.get("metadata").and_then(|data| field(data, name));
    records.retain(|record| metadata(record, "benchmark_phase").as_deref() != Some("warmup"));
    let all = records.len();
    records.retain(|record| record.get("error").is_none_or(Value::is_null));
    let start = |record: &Value| record.get("metadata").and_then(|data| number(data, "request_start_ns"));
    records.sort_by(|one, other| start(one).unwrap_or(0.0).total_cmp(&start(other).unwrap_or(0.0)));
    let mut series = Vec::new();
    for (name, metric) in METRICS {
        let mut values = Vec::new();
        for found in records.iter().filter_map(|record| record.get("metrics")?.get(name)) {
            let factor = factor(name, found)?;
            values.extend(number(found, "value").map(|value| value * factor).filter(|value| *value > 0.0));
        }
        if !values.is_empty() {
            series.push(Series { label: LABEL.to_string(), metric, values, ..Series::default() });
        }
    }
    let mut remarks = Vec::new();
    let failed = all - records.len();
    if failed > 0 {
        remarks.push(format!(
            "{failed} of {all} requests failed and are left out: a server that fails is not slower, but worse"
        ));
    }
    Ok(Results { kind: KIND, series, remarks, limits: LIMITS.to_vec(), ..Results::default() })
}
