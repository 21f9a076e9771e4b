//! A study as the files of llama-bench-tuner.

use super::{Imported, SUMMARY, TRIALS};
use crate::objective;
use crate::study::OpenStudy;
use gguflab_report::calendar::calendar;
use gguflab_report::render::csv;
use gguflab_report::{Cell, Column, Table};
use gguflab_types::{Outcome, Repetition, Request, Trial, metric};
use std::collections::BTreeMap;

/// One trial in llama-bench-tuner's words.
struct Row<'a> {
    trial: &'a Trial,
    layers: String,
    batch: String,
    ubatch: String,
    attention: String,
    decode: Option<f64>,
    prefill: Option<f64>,
    /// Name of the file with its rates.
    csv: String,
    /// Name of the file with its log; empty where there is none.
    stderr: String,
}

/// The files: names relative to the export folder, with their content. `log` gives a trial's log.
///
/// `raw/*.csv` holds the rates of each trial in llama-bench's columns, made from the stored samples, since engines
/// differ in what they print; `raw/*.stderr.txt` is the engine's log as it came.
#[must_use]
pub fn files(
    study: &OpenStudy,
    trials: &[Trial],
    mut log: impl FnMut(u32) -> Option<String>,
) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let ended: Vec<&Trial> = trials.iter().filter(|trial| trial.ending.is_some()).collect();
    let mut rows = Vec::new();
    for trial in &ended {
        let mut row = row(study, trial);
        files.push((row.csv.clone(), rates(study, trial)));
        if let Some(text) = log(trial.number).filter(|text| !text.trim().is_empty()) {
            row.stderr = row.csv.replace(".csv", ".stderr.txt");
            files.push((row.stderr.clone(), text.into_bytes()));
        }
        rows.push(row);
    }
    let stamp = stamp(ended.first().map_or(0.0, |trial| trial.started));
    let summary: Vec<Vec<String>> = rows.iter().map(summary_row).collect();
    let trials: Vec<Vec<String>> = rows.iter().map(trials_row).collect();
    files.push((format!("summary_{stamp}.csv"), table(&SUMMARY, &summary)));
    files.push(("optuna_trials.csv".to_string(), table(&TRIALS, &trials)));
    let rates: Vec<(Option<f64>, Option<f64>)> = rows.iter().map(|row| (row.decode, row.prefill)).collect();
    let order = best_first(&rates);
    let ranked = |rows: &[Vec<String>]| order.iter().map(|place| rows[*place].clone()).collect::<Vec<_>>();
    for (prefix, columns, rows) in
        [("", &SUMMARY[..], ranked(&summary)), ("optuna_", &TRIALS[..], ranked(&trials))]
    {
        files.push((format!("{prefix}ranking_decode.csv"), table(columns, &rows)));
        files.push((format!("{prefix}best_per_ngl.csv"), best_per_layers(columns, &rows)));
    }
    if let Some(best) = order.first().map(|place| &rows[*place]).filter(|row| row.decode.is_some()) {
        files.push(("optuna_best.json".to_string(), best_json(best).into_bytes()));
    }
    files
}

/// The rankings of a file that was read, with its own columns, and a copy of the best that was noted beside it.
#[must_use]
pub fn rankings(imported: &Imported) -> Vec<(String, Vec<u8>)> {
    let rates: Vec<(Option<f64>, Option<f64>)> =
        imported.survey.runs.iter().map(|run| (run.value, run.also.first().copied().flatten())).collect();
    let ranked: Vec<Vec<String>> =
        best_first(&rates).iter().map(|place| imported.rows[*place].clone()).collect();
    let columns: Vec<&str> = imported.columns.iter().map(String::as_str).collect();
    let prefix = if columns.contains(&"value") { "optuna_" } else { "" };
    let mut files = vec![
        (format!("{prefix}ranking_decode.csv"), table(&columns, &ranked)),
        (format!("{prefix}best_per_ngl.csv"), best_per_layers(&columns, &ranked)),
    ];
    files.extend(
        imported.best.as_ref().map(|text| ("optuna_best_copy.json".to_string(), text.clone().into_bytes())),
    );
    files
}

fn row<'a>(study: &OpenStudy, trial: &'a Trial) -> Row<'a> {
    let space = &study.plan.space;
    let meant = |name: &str| space.meant(&trial.configuration, name);
    let whole = |name: &str| meant(name).as_integer().map(|number| number.to_string()).unwrap_or_default();
    // Without a GPU no layer lies on one; with one, `auto` is a number that only the engine knows (-1, as in llama.cpp).
    let layers = match meant("gpu-layers").as_integer() {
        _ if space.facts().gpus == 0 => 0,
        number => number.unwrap_or(-1),
    };
    let layers = layers.to_string();
    let attention = u8::from(!trial.configuration.is_word("flash-attention", &["off"])).to_string();
    let rate = |name: &str| {
        let measured = trial.is_measured();
        let value = objective::find(name)?.value(&trial.repetitions, &study.settings.workload);
        value.filter(|_| measured)
    };
    let mapped = !matches!(meant("load-mode").to_string().as_str(), "none" | "mlock" | "dio");
    let (batch, ubatch) = (whole("batch"), whole("ubatch"));
    let request = study.settings.workload.requests.first().copied().unwrap_or(Request::new(0, 0));
    let tag = format!(
        "ngl{layers}_p{}_n{}_b{batch}ub{ubatch}_fa{attention}_mmp{}",
        request.prompt,
        request.generate,
        u8::from(mapped)
    );
    Row {
        trial,
        decode: rate(metric::DECODE),
        prefill: rate(metric::PREFILL),
        csv: format!("raw/bench_optuna_trial{:04}_{tag}.csv", trial.number),
        stderr: String::new(),
        layers,
        batch,
        ubatch,
        attention,
    }
}

fn summary_row(row: &Row<'_>) -> Vec<String> {
    let (trial, rate) =
        (row.trial, |rate: Option<f64>| rate.map(|rate| rate.to_string()).unwrap_or_default());
    let end = trial.duration.map(|duration| instant(trial.started + duration));
    let ok = if row.decode.is_some() { "True" } else { "False" };
    [
        ok.to_string(),
        row.layers.clone(),
        row.batch.clone(),
        row.ubatch.clone(),
        row.attention.clone(),
        rate(row.decode),
        rate(row.prefill),
        row.csv.clone(),
        row.stderr.clone(),
        instant(trial.started),
        end.unwrap_or_default(),
        trial.duration.map(|duration| format!("{duration:.3}")).unwrap_or_default(),
    ]
    .to_vec()
}

fn trials_row(row: &Row<'_>) -> Vec<String> {
    let rate = |rate: Option<f64>| rate.map(|rate| rate.to_string()).unwrap_or_default();
    let state = match row.trial.ending.as_ref().map(|ending| ending.outcome) {
        Some(Outcome::Measured) => "COMPLETE",
        Some(Outcome::Pruned) => "PRUNED",
        _ => "FAIL",
    };
    [
        row.trial.number.to_string(),
        rate(row.decode),
        state.to_string(),
        row.layers.clone(),
        row.batch.clone(),
        row.attention.clone(),
        rate(row.prefill),
        row.csv.clone(),
        row.stderr.clone(),
    ]
    .to_vec()
}

/// The places of rates of decode and prefill from the best to the worst: by decode, then by prefill, failures last.
fn best_first(rates: &[(Option<f64>, Option<f64>)]) -> Vec<usize> {
    let key = |place: &usize| {
        let rate = |rate: Option<f64>| rate.unwrap_or(f64::NEG_INFINITY);
        (rate(rates[*place].0), rate(rates[*place].1))
    };
    let mut order: Vec<usize> = (0..rates.len()).collect();
    order.sort_by(|one, other| {
        let (one, other) = (key(one), key(other));
        other.0.total_cmp(&one.0).then(other.1.total_cmp(&one.1))
    });
    order
}

/// The first of the ranked rows for each number of GPU layers, which is the first column.
fn best_per_layers(columns: &[&str], ranked: &[Vec<String>]) -> Vec<u8> {
    let Some(layers) = columns.iter().position(|column| *column == "ngl") else { return Vec::new() };
    let front = |row: &[String]| {
        let rest =
            row.iter().enumerate().filter(|(column, _)| *column != layers).map(|(_, field)| field.clone());
        std::iter::once(row[layers].clone()).chain(rest).collect::<Vec<String>>()
    };
    let mut best: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in ranked {
        // pandas writes whole numbers with a decimal point where one of them is missing.
        if let Ok(number) = row[layers].trim().parse::<f64>() {
            let number = number as i64;
            best.entry(number).or_insert_with(|| front(row));
        }
    }
    let names: Vec<String> = front(&columns.iter().map(ToString::to_string).collect::<Vec<String>>());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    table(&names, &best.into_values().collect::<Vec<_>>())
}

fn best_json(best: &Row<'_>) -> String {
    let number = |text: &str| text.parse::<i64>().map_or(serde_json::Value::Null, serde_json::Value::from);
    let noted = serde_json::json!({
        "value": best.decode,
        "params": {
            "ngl": number(&best.layers),
            "batch": number(&best.batch),
            "fa": number(&best.attention),
        },
        "user_attrs": { "csv": best.csv, "stderr": best.stderr, "prefill_tps": best.prefill },
        "datetime": instant(best.trial.started),
    });
    let mut text = serde_json::to_string_pretty(&noted).unwrap_or_default();
    text.push('\n');
    text
}

/// The rates of a trial in llama-bench's columns: a row for the prompt and one for the generation of each request.
fn rates(study: &OpenStudy, trial: &Trial) -> Vec<u8> {
    let columns = ["n_prompt", "n_gen", "n_depth", "avg_ts", "stddev_ts", "samples"];
    let mut rows = Vec::new();
    for (index, request) in study.settings.workload.requests.iter().enumerate() {
        let seen = objective::of_request(&trial.repetitions, index);
        let phases = [(metric::PREFILL, request.prompt, 0), (metric::DECODE, 0, request.generate)];
        for (name, prompt, generate) in phases {
            let values: Vec<f64> = seen.iter().filter_map(|one: &&Repetition| one.value(name)).collect();
            let Some(mean) = gguflab_stats::mean(&values) else { continue };
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let deviation = if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { 0.0 };
            rows.push(
                [
                    prompt.to_string(),
                    generate.to_string(),
                    request.depth.to_string(),
                    mean.to_string(),
                    deviation.to_string(),
                    values.len().to_string(),
                ]
                .to_vec(),
            );
        }
    }
    table(&columns, &rows)
}

fn table(columns: &[&str], rows: &[Vec<String>]) -> Vec<u8> {
    let mut table = Table::new("", columns.iter().map(|name| Column::new(*name)));
    for row in rows {
        table.push(row.iter().map(Cell::text));
    }
    csv::table(&table).into_bytes()
}

/// UTC in ISO 8601 to the second, as Python writes it.
fn instant(seconds: f64) -> String {
    let [year, month, day, hour, minute, second] = calendar(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

/// The part of a file's name that says when.
fn stamp(seconds: f64) -> String {
    let [year, month, day, hour, minute, second] = calendar(seconds);
    format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_python_does() {
        for (seconds, expected) in [
            (0.0, "1970-01-01T00:00:00+00:00"),
            (951_782_400.9, "2000-02-29T00:00:00+00:00"),
            (1_756_720_861.0, "2025-09-01T10:01:01+00:00"),
            (4_102_444_799.0, "2099-12-31T23:59:59+00:00"),
            (f64::NAN, "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(instant(seconds), expected);
        }
        assert_eq!(stamp(1_756_720_861.0), "20250901_100101");
    }
}
