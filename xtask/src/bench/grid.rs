//! A tune on the real model beside what people do by hand: a grid of 36 cells through llama-bench processes, five
//! repetitions each.
//!
//! Both get the same knobs and values and the same request. What is compared is the wall time of each, and then the two
//! winners, and ours with llama-bench's defaults, through the real llama-bench, one repetition at a time, in pairs
//! A B B A.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, fetch, peer, test};
use anyhow::{Context, Result, bail};
use gguflab_stats::Estimate;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The request: prompt and generated tokens.
const PROMPT: u32 = 256;
const GENERATE: u32 = 64;
/// Flags of llama-bench, the project's names of the knobs, and their values.
const KNOBS: &[(&str, &str, &[&str])] = &[
    ("-t", "threads", &["1", "2"]),
    ("-ub", "ubatch", &["64", "128", "256"]),
    ("-b", "batch", &["256", "512", "2048"]),
    ("-fa", "flash-attention", &["on", "off"]),
];
/// Repetitions of each cell.
const REPETITIONS: &str = "5";
/// The most that our time may be of theirs, in percent.
const SHARE: f64 = 100.0 / 3.0;

/// Both searches, then both winners.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    if !model.is_real {
        bail!("the comparison is made on the real demo model, which could not be fetched");
    }
    test::build_programs(&request.environment)?;
    let folder = peer::build(&request.environment, &["llama-bench"])?;
    let bench = Bench { program: folder.join(command::executable("llama-bench")), model: model.path };
    let started = Instant::now();
    let theirs = bench.best_cell()?;
    let their_time = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let ours = tuned(&bench.model)?;
    let our_time = started.elapsed().as_secs_f64();
    eprintln!("bench: grid's winner {}; tune's winner {}", theirs.join(" "), ours.join(" "));
    let mut figures = vec![
        Figure::new("grid of 36 cells × 5 repetitions by llama-bench", their_time, "s"),
        Figure::new("tune over the same cells", our_time, "s"),
        Figure::new("time of the tune over that of the grid", 100.0 * our_time / their_time, "%")
            .limited(Limit::AtMost(SHARE)),
    ];
    let against = |name: &str, other: &[String]| {
        let difference = bench.compare(&ours, other, request.pairs)?;
        anyhow::Ok(Figure::percent(
            format!("time of the tune's winner above {name}, by llama-bench"),
            &difference,
        ))
    };
    figures.push(against("that of the grid's", &theirs)?);
    figures.push(against("that of llama-bench's defaults", &[])?);
    Ok(figures)
}

/// The real llama-bench on the demo model.
struct Bench {
    program: PathBuf,
    model: PathBuf,
}

impl Bench {
    /// Settings of the fastest cell.
    fn best_cell(&self) -> Result<Vec<String>> {
        let mut best: Option<(f64, Vec<String>)> = None;
        for (index, cell) in cells().into_iter().enumerate() {
            let seconds = self.seconds(&cell, REPETITIONS)?;
            eprintln!("bench: cell {} of 36: {} takes {seconds:.3} s", index + 1, cell.join(" "));
            if best.as_ref().is_none_or(|(other, _)| seconds < *other) {
                best = Some((seconds, cell));
            }
        }
        best.map(|(_, cell)| cell).context("no cell ran")
    }

    /// Seconds of the request with some settings: the prompt's and the generation's mean times.
    fn seconds(&self, settings: &[String], repetitions: &str) -> Result<f64> {
        let (prompt, generate) = (PROMPT.to_string(), GENERATE.to_string());
        let mut line = Command::new(&self.program);
        line.arg("-m").arg(&self.model).args([
            "-p",
            &prompt,
            "-n",
            &generate,
            "-r",
            repetitions,
            "-o",
            "jsonl",
        ]);
        seconds_of_rows(&command::capture(line.args(settings))?)
    }

    /// How much more time some settings take than others, as a share, in pairs A B B A.
    fn compare(&self, ours: &[String], theirs: &[String], pairs: usize) -> Result<Estimate> {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            for our_turn in if pair % 2 == 0 { [true, false] } else { [false, true] } {
                let seconds = self.seconds(if our_turn { ours } else { theirs }, "1")?;
                if our_turn { one.push(seconds) } else { other.push(seconds) }
            }
        }
        let comparison = gguflab_stats::compare(&one, &other, gguflab_stats::CONFIDENCE);
        Ok(comparison.context("no pair has two times above 0")?.difference)
    }
}

/// Every cell as flags of llama-bench.
fn cells() -> Vec<Vec<String>> {
    KNOBS.iter().fold(vec![Vec::new()], |cells, (flag, _, values)| {
        let extended = |cell: &Vec<String>| {
            let more = |value: &&str| [cell.clone(), vec![flag.to_string(), value.to_string()]].concat();
            values.iter().map(more).collect::<Vec<_>>()
        };
        cells.iter().flat_map(extended).collect()
    })
}

/// Sum of the mean times of the rows.
fn seconds_of_rows(text: &str) -> Result<f64> {
    let rows = text.lines().filter(|line| line.starts_with('{'));
    let nanoseconds = rows.map(|row| {
        let row: Value = serde_json::from_str(row).context("a row of llama-bench")?;
        row["avg_ns"].as_f64().context("a row of llama-bench without avg_ns")
    });
    let nanoseconds = nanoseconds.collect::<Result<Vec<f64>>>()?;
    if nanoseconds.len() != 2 {
        bail!("llama-bench gave {} rows instead of two", nanoseconds.len());
    }
    Ok(nanoseconds.iter().sum::<f64>() * 1e-9)
}

/// Settings of the tune's winner, as the report writes them for llama-bench.
fn tuned(model: &Path) -> Result<Vec<String>> {
    let store = process::fresh_file("grid.db")?;
    let names: Vec<&str> = KNOBS.iter().map(|(_, name, _)| *name).collect();
    let knobs = KNOBS.iter().map(|(_, name, values)| format!("--knob {name}={}", values.join(",")));
    let line = format!(
        "tune --json --quiet --study grid --prompt {PROMPT} --generate {GENERATE} --only {} {} --store",
        names.join(","),
        knobs.collect::<Vec<_>>().join(" ")
    );
    let arguments: Vec<OsString> = [process::words(&line), vec![store.into(), model.into()]].concat();
    let text = command::capture(Command::new(process::gguflab()).args(arguments))?;
    settings_of_report(&serde_json::from_str(&text).context("the report of the tune")?)
}

/// The settings in the report's line for llama-bench: all that follows the repetitions.
fn settings_of_report(report: &Value) -> Result<Vec<String>> {
    let blocks = report["document"]["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    let lines = blocks.iter().filter_map(|block| block["text"].as_str());
    let line = lines.into_iter().find(|text| text.starts_with("llama-bench "));
    let line = line.context("the report has no line for llama-bench")?;
    let (_, settings) = line.split_once(" -r 5").context("the line for llama-bench has no `-r 5`")?;
    Ok(settings.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_grid_has_its_cells() {
        let cells = cells();
        assert_eq!(cells.len(), 36);
        assert_eq!(cells[0].join(" "), "-t 1 -ub 64 -b 256 -fa on");
        assert_eq!(cells[35].join(" "), "-t 2 -ub 256 -b 2048 -fa off");
    }

    #[test]
    fn rows_give_the_time_of_the_request() {
        let rows = "{\"avg_ns\": 1500000000}\nnoise\n{\"avg_ns\": 500000000}";
        assert_eq!(seconds_of_rows(rows).expect("rows"), 2.0);
        assert!(seconds_of_rows("{\"avg_ns\": 1}").is_err());
        assert!(seconds_of_rows("{}\n{}").is_err());
    }

    #[test]
    fn settings_stand_behind_the_repetitions() {
        let report =
            |text: &str| json!({"document": {"blocks": [{"text": "llama-server -m m"}, {"text": text}]}});
        let settings = settings_of_report(&report("llama-bench -m m.gguf -p 1 -n 1 -d 0 -r 5 -t 2 -ub 64"));
        assert_eq!(settings.expect("settings"), ["-t", "2", "-ub", "64"]);
        assert!(settings_of_report(&report("gguflab bench")).is_err());
    }
}
