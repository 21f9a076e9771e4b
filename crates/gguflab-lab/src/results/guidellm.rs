//! GuideLLM: the report `benchmarks.json`, format versions 1 and 2 (GuideLLM 0.4 to 0.8).
//!
//! An object of metadata (with the version) and benchmarks; each benchmark has a strategy (concurrency or rate) and its
//! requests, which may have been left out of the file, with summaries beside them.

use super::{Flaw, Moments, Results, Series, field, number};
use gguflab_types::metric;
use serde_json::Value;
use std::collections::BTreeMap;

const KIND: &str = "GuideLLM";
const LIMITS: [&str; 1] = [
    "GuideLLM keeps one mean gap for each request: percentiles of single gaps between tokens cannot be told from it.",
];
/// Its metrics, ours, and what turns its unit into ours.
const METRICS: [(&str, &str, f64); 3] = [
    ("time_to_first_token_ms", metric::FIRST_TOKEN, 1e-3),
    ("inter_token_latency_ms", metric::INTER_TOKEN, 1e-3),
    ("request_latency", metric::REQUEST, 1.0),
];
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// Whether a JSON document is a report.
pub(super) fn fits(value: &Value) -> bool {
    value.get("benchmarks").is_some_and(Value::is_array)
        && value
            .get("metadata")
            .is_some_and(|data| data.get("guidellm_version").is_some() || data.get("version").is_some())
}

pub(super) fn read(value: &Value) -> Result<Results, Flaw> {
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    let version = field(metadata, "version").unwrap_or_else(|| "none".to_string());
    if !["1", "2"].contains(&version.as_str()) {
        return Err(Flaw::Version { kind: KIND, found: version, known: "1 and 2" });
    }
    let wanted = ["guidellm_version", "platform"];
    let about: BTreeMap<String, String> =
        wanted.iter().filter_map(|name| Some(((*name).to_string(), field(metadata, name)?))).collect();
    let (mut series, mut remarks) = (Vec::new(), Vec::new());
    for benchmark in value.get("benchmarks").and_then(Value::as_array).into_iter().flatten() {
        series.extend(of_benchmark(benchmark, &about));
        remarks.extend(failures(benchmark));
    }
    Ok(Results { kind: KIND, series, remarks, limits: LIMITS.to_vec(), ..Results::default() })
}

/// `concurrent 4`, `constant 2.5`, `synchronous`.
fn label(benchmark: &Value) -> String {
    let strategy = benchmark.get("config").and_then(|config| config.get("strategy"));
    let part = |name: &str| strategy.and_then(|strategy| field(strategy, name));
    let load = ["streams", "rate", "max_concurrency"].iter().find_map(|name| part(name));
    [part("type_").or_else(|| Some("load".to_string())), load]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn of_benchmark(benchmark: &Value, about: &BTreeMap<String, String>) -> Vec<Series> {
    let requests = benchmark.get("requests").and_then(|requests| requests.get("successful"));
    let mut requests: Vec<&Value> = requests.and_then(Value::as_array).into_iter().flatten().collect();
    let start = |request: &Value| number(request, "request_start_time").unwrap_or(0.0);
    requests.sort_by(|one, other| start(one).total_cmp(&start(other)));
    let metrics = METRICS.iter().filter_map(|(name, metric, factor)| {
        let values = requests.iter().filter_map(|request| number(request, name));
        let values: Vec<f64> = values.map(|value| value * factor).filter(|value| *value > 0.0).collect();
        let found = if values.is_empty() {
            summary(benchmark, name, *factor)?
        } else {
            Series { values, ..Series::default() }
        };
        Some(Series { label: label(benchmark), metric, about: about.clone(), ..found })
    });
    metrics.collect()
}

/// What the summary of successful requests says of a metric.
fn summary(benchmark: &Value, name: &str, factor: f64) -> Option<Series> {
    let found = benchmark.get("metrics")?.get(name)?.get("successful")?;
    let scaled = |value: &Value, key: &str| number(value, key).map(|value| value * factor);
    let count = number(found, "count").map(|count| count as usize).filter(|count| *count > 0)?;
    let moments =
        Moments { mean: scaled(found, "mean")?, deviation: scaled(found, "std_dev"), count: Some(count) };
    let stated = found.get("percentiles").unwrap_or(&Value::Null);
    let percentiles =
        PERCENTILES.iter().filter_map(|(key, share)| Some((*share, scaled(stated, key)?))).collect();
    Some(Series { moments: Some(moments), percentiles, ..Series::default() })
}

/// How many requests of a benchmark failed or were cut off.
fn failures(benchmark: &Value) -> Option<String> {
    let totals = benchmark.get("metrics")?.get("request_totals")?;
    let count = |name: &str| number(totals, name).unwrap_or(0.0);
    let (errored, incomplete, all) = (count("errored"), count("incomplete"), count("total"));
    (errored + incomplete > 0.0).then(|| {
        format!(
            "{}: {errored} of {all} requests failed and {incomplete} were cut off; they are left out",
            label(benchmark)
        )
    })
}
