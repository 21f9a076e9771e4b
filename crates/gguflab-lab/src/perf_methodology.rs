//! The JSON files of Mia4's performance scripts, so that what reads them goes on working.
//!
//! Same keys, and what they meant: `tokens_out` are tokens of the tokenizer (the scripts counted words), times are of a
//! monotonic clock, and each number is the median over the visits that are trusted. `null` stands where something was not
//! measured; the scripts wrote 0.

use crate::bench::Record;
use crate::compare::{Compared, values};
use crate::gate::Check;
use crate::gate::threshold::{Bound, Threshold};
use crate::quantity::Quantity;
use crate::study::OpenStudy;
use gguflab_report::calendar::instant;
use gguflab_stats::median;
use gguflab_stats::sequential::Gate;
use gguflab_types::{Configuration, Outcome, Trial, Value as Setting, metric};
use serde_json::{Value, json};

/// A file: its name and its content.
type File = (String, Vec<u8>);

/// Of a bench: `perf_cpu_baseline.json`, or `gpu_smoke.json` where layers were asked onto a GPU.
#[must_use]
pub fn of_bench(record: &Record) -> Vec<File> {
    let layers = layers(&record.configuration);
    let common = json!({
        "model_id": record.subject.model.file,
        "gen_latency_s": rounded(figure("request", record), 4),
        "tokens_out": figure_as_is(metric::TOKENS_PRODUCED, &record.trials),
        "tokens_per_s": rounded(figure("decode", record), 2),
    });
    let load = milliseconds(figure(metric::LOAD, record));
    match layers {
        Value::Null | Value::String(_) => vec![file(
            "perf_cpu_baseline.json",
            merged(
                common,
                json!({
                    "mode": "cpu",
                    "load_ms": load,
                    "commit": record.subject.engine.build,
                    "llama_cpp_version": record.subject.engine.build,
                    "fake": record.subject.engine.kind == "simulated",
                    "cfg_max_output_tokens": record.workload.requests.iter().map(|request| request.generate).max(),
                }),
            ),
        )],
        layers => vec![file(
            "gpu_smoke.json",
            merged(
                common,
                json!({
                    "stage": "gpu_smoke",
                    "n_gpu_layers": layers,
                    "load_ms_manual": load,
                    "load_ms_event": load,
                    "timestamp": timestamp(&record.trials),
                }),
            ),
        )],
    }
}

/// Of a tune: `tune_results.json` (threads and batches, the fastest first) and `perf_long_context.json` (a run for each
/// trial, failures included).
#[must_use]
pub fn of_study(study: &OpenStudy, trials: &[Trial]) -> Vec<File> {
    let ended: Vec<&Trial> = trials.iter().filter(|trial| trial.ending.is_some()).collect();
    let mut tuned: Vec<Value> =
        ended.iter().filter(|trial| trial.is_measured()).map(|trial| tune_row(study, trial)).collect();
    let rate = |row: &Value| row["tps"].as_f64().unwrap_or(0.0);
    tuned.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    let target = study.settings.workload.requests.iter().map(|request| request.generate).max();
    let runs: Vec<Value> = ended.iter().map(|trial| long_row(study, trial)).collect();
    let long = json!({
        "stage": "long_context",
        "model_id": study.study.subject.model.file,
        "target_tokens": target,
        "runs": runs,
        "timestamp": timestamp(trials),
    });
    vec![file("tune_results.json", Value::Array(tuned)), file("perf_long_context.json", long)]
}

fn tune_row(study: &OpenStudy, trial: &Trial) -> Value {
    let of = |name| of_trial(name, study, trial);
    json!({
        "n_threads": setting(&trial.configuration, "threads"),
        "n_batch": setting(&trial.configuration, "batch"),
        "load_ms": milliseconds(of(metric::LOAD)),
        "tokens_out": figure_as_is(metric::TOKENS_PRODUCED, std::slice::from_ref(trial)),
        "gen_s": rounded(of("request"), 3),
        "tps": rounded(of("decode"), 2),
    })
}

fn long_row(study: &OpenStudy, trial: &Trial) -> Value {
    let of = |name| of_trial(name, study, trial);
    let error = trial.ending.as_ref().filter(|ending| ending.outcome != Outcome::Measured);
    let gaps = gaps(std::slice::from_ref(trial));
    json!({
        "n_gpu_layers": layers(&trial.configuration),
        "load_ms_manual": milliseconds(of(metric::LOAD)),
        "load_ms_event": milliseconds(of(metric::LOAD)),
        "gen_latency_s": rounded(of("request"), 4),
        "tokens_out": figure_as_is(metric::TOKENS_PRODUCED, std::slice::from_ref(trial)),
        "tokens_per_s": rounded(of("decode"), 2),
        "error": error.map(|ending| format!("{}: {}", ending.outcome, ending.cause)),
        "wall_s": rounded(trial.duration, 3),
        "p50_decode_ms": milliseconds(of("inter-token-p50")),
        "p95_decode_ms": milliseconds(of("inter-token-p95")),
        "mean_decode_ms": milliseconds(gguflab_stats::mean(&gaps)),
        "sample_count": gaps.len(),
    })
}

/// Of a comparison of two models on a short and a long prompt: `compare_models.json`. Nothing for other workloads.
#[must_use]
pub fn of_comparison(compared: &Compared) -> Vec<File> {
    let sides = &compared.interleaved.sides;
    let rows: Vec<Value> = sides.iter().map(model_row).collect();
    let rate = |row: &Value| (row["long_tps"].as_f64(), row["short_tps"].as_f64());
    let [one, other] = [rate(&rows[0]), rate(&rows[1])];
    if [one, other].iter().any(|rates| rates.0.is_none()) {
        return Vec::new();
    }
    let better = if other > one { 1 } else { 0 };
    vec![file(
        "compare_models.json",
        json!({
            "results": rows,
            "better": sides[better].subject.model.file,
            "timestamp": timestamp(&sides[0].trials),
        }),
    )]
}

fn model_row(record: &Record) -> Value {
    json!({
        "model_id": record.subject.model.file,
        "load_ms": milliseconds(figure(metric::LOAD, record)),
        "short_tokens": tokens(record, "short"),
        "short_tps": rounded(figure("decode@short", record), 3),
        "long_tokens": tokens(record, "long"),
        "long_tps": rounded(figure("decode@long", record), 3),
    })
}

/// Of a check: `perf_probe.json` with a row for each request, and what was found; `regression_flag` says whether a
/// threshold is broken.
#[must_use]
pub fn of_check(check: &Check, thresholds: &[Threshold]) -> Vec<File> {
    let record = &check.interleaved.sides[1];
    let rows: Vec<Value> =
        (1..=record.workload.requests.len()).map(|number| probe_row(record, number)).collect();
    let broken: Vec<Value> = check
        .findings
        .iter()
        .filter(|finding| finding.verdict == Gate::Fail)
        .map(|finding| json!({ "type": regression(&finding.threshold), "threshold": finding.threshold }))
        .collect();
    let unsure = check.findings.iter().filter(|finding| finding.verdict == Gate::Inconclusive);
    let issues: Vec<String> = unsure
        .map(|finding| format!("{} is inconclusive", finding.threshold))
        .chain(check.remarks.iter().cloned())
        .collect();
    let bounds: serde_json::Map<String, Value> = thresholds
        .iter()
        .map(|threshold| {
            let bound = match threshold.bound {
                Bound::Relative(share) => share,
                Bound::AtMost(bound) | Bound::AtLeast(bound) => bound,
            };
            (threshold.text.clone(), json!(bound))
        })
        .collect();
    vec![file(
        "perf_probe.json",
        json!({
            "timestamp": instant(check.checked),
            "results": rows,
            "regression_flag": check.verdict == Gate::Fail,
            "regressions": broken,
            "issues": issues,
            "thresholds": bounds,
        }),
    )]
}

fn probe_row(record: &Record, number: usize) -> Value {
    let of = |name: &str| figure(&format!("{name}@{number}"), record);
    let label = record.workload.requests.get(number - 1).map(gguflab_types::Request::label);
    json!({
        "scenario": label,
        "mode": match layers(&record.configuration) { Value::Number(_) => "gpu", _ => "cpu" },
        "tokens_out": tokens(record, &number.to_string()),
        "latency_s": rounded(of("request"), 4),
        "tps": rounded(of("decode"), 3),
        "p50": milliseconds(of("inter-token-p50")),
        "p95": milliseconds(of("inter-token-p95")),
    })
}

/// The script's word for what a threshold watches.
fn regression(threshold: &str) -> &'static str {
    let relative = threshold.trim_end().ends_with('%');
    match (threshold.contains("-p95@long/short"), threshold.contains("-p95"), relative) {
        (true, _, false) => "sla_violation_p95_ratio",
        (true, _, true) => "regression_p95_ratio",
        (false, true, _) => "regression_p95",
        (false, false, _) => "regression_tps",
    }
}

/// The median over the visits that count.
fn figure(name: &str, record: &Record) -> Option<f64> {
    let quantity = Quantity::parse(name, &record.metrics).ok()?;
    quantity.check(&record.workload).ok()?;
    median(&values(&quantity, record))
}

fn of_trial(name: &str, study: &OpenStudy, trial: &Trial) -> Option<f64> {
    let quantity = Quantity::parse(name, &[]).ok()?;
    quantity.value(&trial.repetitions, &study.settings.workload)
}

/// The most tokens that a repetition of any request gave.
fn figure_as_is(name: &str, trials: &[Trial]) -> Option<f64> {
    let repetitions = trials.iter().flat_map(|trial| &trial.repetitions);
    repetitions.filter_map(|one| one.value(name)).max_by(f64::total_cmp)
}

/// Tokens asked of one request.
fn tokens(record: &Record, place: &str) -> Option<u32> {
    let index = crate::quantity::request_at(place, &record.workload)?;
    record.workload.requests.get(index).map(|request| request.generate)
}

fn gaps(trials: &[Trial]) -> Vec<f64> {
    let repetitions = trials.iter().flat_map(|trial| &trial.repetitions).filter(|one| one.noisy.is_none());
    repetitions.flat_map(|one| one.values(metric::INTER_TOKEN).iter().copied()).collect()
}

/// GPU layers: a number, `auto`, or null.
fn layers(configuration: &Configuration) -> Value {
    setting(configuration, "gpu-layers")
}

fn setting(configuration: &Configuration, knob: &str) -> Value {
    match configuration.get(knob) {
        Setting::Auto => Value::Null,
        other => other.as_integer().map_or_else(|| json!(other.to_string()), |whole| json!(whole)),
    }
}

fn milliseconds(seconds: Option<f64>) -> Value {
    rounded(seconds.map(|seconds| seconds * 1e3), 2)
}

fn rounded(value: Option<f64>, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    value
        .filter(|value| value.is_finite())
        .map_or(Value::Null, |value| json!((value * scale).round() / scale))
}

fn timestamp(trials: &[Trial]) -> String {
    instant(trials.first().map_or(0.0, |trial| trial.started))
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

fn file(name: &str, content: Value) -> File {
    (name.to_string(), format!("{content:#}\n").into_bytes())
}
