//! Near-duplicates that are planted in 1 GB of training text: how many are found, how many are wrong, how long it takes.
//!
//! Records are words at random, more of the frequent ones, so that two of them share no run of 13 words by chance. Of
//! each evaluation record a copy with 0 to 4 words changed stands in the training text; each change breaks 13 runs, so
//! a pair's Jaccard similarity is known without counting.

use super::Request;
use super::figure::{Figure, Limit};
use super::process::{self, fresh_file, gguflab};
use crate::command;
use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Bytes of the training text.
const BYTES: u64 = 1_000_000_000;
/// Records of the evaluation, each planted once.
const PLANTED: usize = 1500;
/// Words of a run.
const RUN: usize = 13;
/// Words of an evaluation record.
const WORDS: usize = 300;
/// Words of the vocabulary.
const VOCABULARY: usize = 50_000;
/// The most seconds and megabytes that it may take.
const SECONDS: f64 = 120.0;
const MEGABYTES: f64 = 500.0;

/// Writes the texts, compares them, and judges what was found.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    command::run(request.environment.cargo().args(["build", "--release", "-p", "gguflab"]))?;
    let [evaluation, training, report] =
        ["overlap-evaluation.txt", "overlap-training.txt", "overlap.json"].map(fresh_file);
    let (evaluation, training, report) = (evaluation?, training?, report?);
    let wanted = write_texts(&evaluation, &training)?;
    let paths = [&evaluation, &training].map(OsString::from);
    let arguments =
        [process::words("dataset overlap --quiet --report"), vec![report.clone().into()], paths.to_vec()];
    let watched = process::watched(&gguflab(), &arguments.concat())?;
    let text =
        std::fs::read_to_string(&report).with_context(|| format!("could not read {}", report.display()))?;
    let found = pairs(&serde_json::from_str(&text).context("the report")?)?;
    for path in [evaluation, training] {
        std::fs::remove_file(&path).with_context(|| format!("could not remove {}", path.display()))?;
    }
    let (recall, precision) = judged(&wanted, &found);
    Ok(vec![
        Figure::new(
            "near-duplicates planted at a Jaccard similarity of 0.8 and more",
            wanted.len() as f64,
            "",
        ),
        Figure::new("recall", recall, "").limited(Limit::AtLeast(0.95)),
        Figure::new("precision", precision, "").limited(Limit::AtLeast(0.99)),
        Figure::new("1 GB of text: wall time", watched.wall, "s").limited(Limit::AtMost(SECONDS)),
        Figure::new("1 GB of text: CPU time", watched.own_cpu, "s"),
        Figure::new("1 GB of text: peak memory", watched.peak_memory / 1e6, "MB")
            .limited(Limit::AtMost(MEGABYTES)),
    ])
}

/// The rows of a pair, evaluation first.
type Rows = (u64, u64);

/// Writes both texts; gives the pairs that are nearly the same.
fn write_texts(evaluation: &Path, training: &Path) -> Result<BTreeSet<Rows>> {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let words: Vec<String> = (0..VOCABULARY).map(|_| word(&mut random)).collect();
    let create =
        |path: &Path| File::create(path).with_context(|| format!("could not make {}", path.display()));
    let (mut short, mut long) = (BufWriter::new(create(evaluation)?), BufWriter::new(create(training)?));
    let (mut wanted, mut row, mut written, mut planted) = (BTreeSet::new(), 0, 0, 0);
    while written < BYTES {
        // Planted ones are spread over the whole text.
        let is_copy = planted < PLANTED && written >= planted as u64 * (BYTES / PLANTED as u64);
        let length = if is_copy { WORDS } else { random.random_range(50..600) };
        let mut record: Vec<&str> = (0..length).map(|_| drawn(&words, &mut random)).collect();
        if is_copy {
            writeln!(short, "{}\n", record.join(" "))?;
            let changes = planted % 5;
            (0..changes).for_each(|change| record[30 + 2 * RUN * change] = "altered");
            if similarity(changes) >= 0.8 {
                wanted.insert((planted as u64, row));
            }
            planted += 1;
        }
        let text = record.join(" ");
        written += text.len() as u64 + 2;
        writeln!(long, "{text}\n")?;
        row += 1;
    }
    short.flush()?;
    long.flush()?;
    Ok(wanted)
}

fn word(random: &mut ChaCha8Rng) -> String {
    let length = random.random_range(2..10);
    (0..length).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}

/// A word, the first of them far more often than the last.
fn drawn<'a>(words: &'a [String], random: &mut ChaCha8Rng) -> &'a str {
    let share: f64 = random.random();
    &words[((share * share * share) * words.len() as f64) as usize]
}

/// Jaccard similarity of a record and its copy with so many words changed.
fn similarity(changes: usize) -> f64 {
    let (runs, broken) = ((WORDS + 1 - RUN) as f64, (RUN * changes) as f64);
    (runs - broken) / (runs + broken)
}

/// The pairs of a report in JSON: rows of the table whose first two columns are both sides.
fn pairs(report: &Value) -> Result<BTreeSet<Rows>> {
    let blocks = report["document"]["blocks"].as_array().context("a report without blocks")?;
    let is_pairs = |block: &&Value| {
        block["columns"][0]["name"] == "evaluation" && block["columns"][2]["name"] == "similarity"
    };
    let Some(table) = blocks.iter().find(is_pairs) else { return Ok(BTreeSet::new()) };
    let rows = table["rows"].as_array().context("a table without rows")?;
    let number = |row: &Value, column: usize| row[column]["value"].as_u64().context("a row without a number");
    rows.iter().map(|row| Ok((number(row, 0)?, number(row, 1)?))).collect()
}

/// Recall and precision.
fn judged(wanted: &BTreeSet<Rows>, found: &BTreeSet<Rows>) -> (f64, f64) {
    let right = wanted.intersection(found).count() as f64;
    (right / wanted.len() as f64, right / found.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_changes_leave_a_near_duplicate_and_three_do_not() {
        assert_eq!(similarity(0), 1.0);
        assert!(similarity(2) > 0.8 && similarity(3) < 0.8);
    }

    #[test]
    fn pairs_are_read_from_the_report() {
        let report = serde_json::json!({"document": {"blocks": [
            {"block": "paragraph"},
            {"block": "table", "columns": [{"name": "evaluation"}, {"name": "training"}, {"name": "similarity"}],
             "rows": [[{"cell": "count", "value": 3}, {"cell": "count", "value": 9}]]},
        ]}});
        let found = pairs(&report).expect("pairs");
        assert_eq!(found, BTreeSet::from([(3, 9)]));
        assert_eq!(judged(&BTreeSet::from([(3, 9), (4, 1)]), &found), (0.5, 1.0));
        assert!(judged(&found, &BTreeSet::new()).1.is_nan(), "nothing found is no precision");
    }
}
