//! Results of llama-bench in any of its formats and versions.
//!
//! Columns are found by name, never by place; lines of other programs and logs around and between are passed over.
//! A row is told from others of its phase by its numbers of tokens, never by being the largest.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One test: so many prompt tokens or generated tokens at some depth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Test {
    /// Prompt tokens.
    pub prompt: u64,
    /// Generated tokens.
    pub generate: u64,
    /// Tokens in the cache before.
    pub depth: u64,
    /// Tokens per second of each repetition; empty when the version prints only mean and deviation.
    pub rates: Vec<f64>,
    /// Mean tokens per second.
    pub mean: f64,
    /// Standard deviation of the tokens per second.
    pub deviation: Option<f64>,
    /// All other columns by their names in lower case: build, model, settings, time.
    pub about: BTreeMap<String, String>,
}

/// Columns that say what was measured, and not of what.
const MEASURED: [&str; 13] = [
    "n_prompt",
    "n_gen",
    "n_depth",
    "test",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "samples_ns",
    "samples_ts",
    "t/s",
    "tok/s",
    "tps",
];

impl Test {
    /// Tokens per second and seconds of one repetition, or of the mean where there are no repetitions.
    pub(super) fn repetition(&self, index: usize) -> Option<(f64, f64)> {
        let rate = match self.rates.is_empty() {
            true => (index == 0).then_some(self.mean),
            false => self.rates.get(index).copied(),
        }?;
        Some((rate, (self.prompt + self.generate) as f64 / rate))
    }
}

/// Every test in the output, in its order.
#[must_use]
pub fn tests(lines: &[String]) -> Vec<Test> {
    let objects = objects(lines);
    let tests: Vec<Test> = objects.iter().filter_map(test_of_object).collect();
    if !tests.is_empty() {
        return tests;
    }
    rows(lines).iter().filter_map(test_of_row).collect()
}

/// JSON objects: one on a line, or spread over lines as elements of an array. An array that was cut off keeps the
/// objects that were finished.
fn objects(lines: &[String]) -> Vec<Map<String, Value>> {
    let mut objects = Vec::new();
    let mut open: Option<String> = None;
    for line in lines.iter().map(|line| line.trim()) {
        let bare = line.trim_end_matches(',');
        if bare.starts_with('{') && bare.ends_with('}') {
            open = None;
            objects.extend(serde_json::from_str::<Map<String, Value>>(bare).ok());
        } else if bare == "{" {
            open = Some("{".to_string());
        } else if let Some(text) = &mut open {
            text.push_str(if bare == "}" { bare } else { line });
            if bare == "}" {
                objects.extend(serde_json::from_str::<Map<String, Value>>(text).ok());
                open = None;
            }
        }
    }
    objects
}

fn test_of_object(object: &Map<String, Value>) -> Option<Test> {
    let fields: BTreeMap<String, String> = object
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            (name.to_lowercase(), text)
        })
        .collect();
    let list = |name: &str| -> Vec<f64> {
        let items = object.get(name).and_then(Value::as_array);
        items.map(|items| items.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
    };
    let mut test = test_of_row(&fields)?;
    let (rates, times) = (list("samples_ts"), list("samples_ns"));
    // Times are exact; rates are printed with six digits.
    let tokens = (test.prompt + test.generate) as f64;
    test.rates =
        if times.is_empty() { rates } else { times.iter().map(|time| tokens * 1e9 / time).collect() };
    test.rates.retain(|rate| is_rate(*rate));
    Some(test)
}

/// Rows of a table: CSV with quotes, Markdown with bars, or SQL that inserts them.
fn rows(lines: &[String]) -> Vec<BTreeMap<String, String>> {
    let mut header: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    for line in lines {
        if let Some(row) = inserted(line) {
            rows.push(row);
            continue;
        }
        let Some(cells) = cells(line) else { continue };
        let names: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
        let is_header = ["avg_ts", "avg_ns", "t/s", "tok/s", "tps"];
        if names.iter().any(|name| is_header.contains(&name.as_str())) {
            header = Some(names);
        } else if let Some(header) = header.as_ref().filter(|header| header.len() == cells.len()) {
            rows.push(header.iter().cloned().zip(cells).collect());
        }
    }
    rows
}

/// `INSERT INTO llama_bench (a, b) VALUES ('1', '2');` as llama-bench writes it: quotes inside values are not doubled,
/// so that values are told apart by `', '`.
fn inserted(line: &str) -> Option<BTreeMap<String, String>> {
    let (names, values) = line.trim().strip_prefix("INSERT INTO ")?.split_once(") VALUES (")?;
    let names = names.split_once('(')?.1.split(',').map(|name| name.trim().to_lowercase());
    let values = values.strip_suffix(");")?.strip_prefix('\'')?.strip_suffix('\'')?;
    let values: Vec<String> = values.split("', '").map(str::to_string).collect();
    let names: Vec<String> = names.collect();
    (names.len() == values.len()).then(|| names.into_iter().zip(values).collect())
}

fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if let Some(inner) = line.strip_prefix('|') {
        return Some(inner.trim_end_matches('|').split('|').map(|cell| cell.trim().to_string()).collect());
    }
    line.contains(',').then(|| comma_separated(line))
}

/// RFC 4180: a quote inside quotes is doubled.
fn comma_separated(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let last = cells.len() - 1;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cells[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells[last].push(other),
        }
    }
    cells.iter().map(|cell| cell.trim().to_string()).collect()
}

fn test_of_row(fields: &BTreeMap<String, String>) -> Option<Test> {
    let (prompt, generate, depth) = counters(fields)?;
    if prompt + generate == 0 {
        return None;
    }
    let first =
        |names: &[&str]| names.iter().find_map(|name| fields.get(*name).filter(|text| !text.is_empty()));
    let number = |names: &[&str]| first(names).and_then(|text| text.parse::<f64>().ok());
    let named = first(&["avg_ts", "t/s", "tok/s", "tps"]).and_then(|text| with_deviation(text));
    // `avg_ns` is the time of the whole test, not of a token.
    let from_time = number(&["avg_ns"]).map(|time| ((prompt + generate) as f64 * 1e9 / time, None));
    let (mean, deviation) = named.or(from_time)?;
    let deviation = number(&["stddev_ts"]).or(deviation).filter(|value| value.is_finite());
    let other = |name: &String| !MEASURED.contains(&name.as_str());
    let about =
        fields.iter().filter(|(name, _)| other(name)).map(|(name, text)| (name.clone(), text.clone()));
    let about = about.collect();
    is_rate(mean).then_some(Test { prompt, generate, depth, rates: Vec::new(), mean, deviation, about })
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && rate > 0.0
}

/// `86.58`, or `86.58 ± 0.96`.
fn with_deviation(text: &str) -> Option<(f64, Option<f64>)> {
    match text.split_once('±') {
        Some((mean, deviation)) => Some((mean.trim().parse().ok()?, deviation.trim().parse().ok())),
        None => Some((text.trim().parse().ok()?, None)),
    }
}

/// Numbers of prompt tokens, generated tokens and depth: by their columns (older versions have no depth), or from
/// a column like `pp512`, `tg 128` or `pp512+tg128 @ d1024`.
fn counters(fields: &BTreeMap<String, String>) -> Option<(u64, u64, u64)> {
    let number = |name: &str| fields.get(name).and_then(|text| text.parse::<u64>().ok());
    if let (Some(prompt), Some(generate)) = (number("n_prompt"), number("n_gen")) {
        return Some((prompt, generate, number("n_depth").unwrap_or(0)));
    }
    let label: String = fields.get("test")?.chars().filter(|character| !character.is_whitespace()).collect();
    let (label, depth) = match label.split_once("@d") {
        Some((label, depth)) => (label, depth.parse().ok()?),
        None => (label.as_str(), 0),
    };
    let (mut prompt, mut generate) = (0, 0);
    for part in label.split('+') {
        if let Some(tokens) = part.strip_prefix("pp") {
            prompt = tokens.parse().ok()?;
        } else {
            generate = part.strip_prefix("tg")?.parse().ok()?;
        }
    }
    Some((prompt, generate, depth))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("../../../tests/recorded/", $name, ".txt"))
        };
    }

    fn read(text: &str) -> Vec<Test> {
        tests(&text.lines().map(str::to_string).collect::<Vec<_>>())
    }

    /// Prompt, generate, depth, mean, deviation, number of repetitions.
    type Expected = (u64, u64, u64, f64, Option<f64>, usize);

    fn check(text: &str, expected: &[Expected]) {
        let found = read(text);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (test, &(prompt, generate, depth, mean, deviation, repetitions)) in found.iter().zip(expected) {
            assert_eq!((test.prompt, test.generate, test.depth), (prompt, generate, depth));
            assert!((test.mean - mean).abs() < 1e-9, "{test:?}");
            assert_eq!(test.deviation, deviation, "{test:?}");
            assert_eq!(test.rates.len(), repetitions, "{test:?}");
        }
    }

    #[test]
    fn all_formats_of_one_version_are_read() {
        for text in [recorded!("b11434-jsonl"), recorded!("b11434-json")] {
            let found = read(text);
            assert_eq!(found.len(), 2);
            assert_eq!((found[0].prompt, found[0].generate, found[0].depth), (16, 0, 8));
            assert_eq!((found[1].prompt, found[1].generate, found[1].depth), (0, 4, 8));
            for test in &found {
                assert_eq!(test.rates.len(), 2);
                let mean = test.rates.iter().sum::<f64>() / 2.0;
                assert!((mean / test.mean - 1.0).abs() < 1e-5, "{test:?}");
                assert!(test.deviation.is_some());
            }
        }
        check(
            recorded!("b11434-csv"),
            &[(16, 0, 8, 86.582263, Some(0.959187), 0), (0, 4, 8, 21.514202, Some(5.860855), 0)],
        );
        check(recorded!("b11434-md"), &[(16, 0, 8, 36.05, Some(6.87), 0), (0, 4, 8, 29.44, Some(40.97), 0)]);
    }

    #[test]
    fn older_versions_are_read_by_the_names_of_their_columns() {
        check(
            recorded!("early-2024-csv"),
            &[
                (512, 0, 0, 132.5, Some(1.25), 0),
                (0, 128, 0, 20.25, Some(0.5), 0),
                (512, 128, 0, 55.5, Some(0.75), 0),
            ],
        );
        check(
            recorded!("late-2023-json"),
            &[(512, 0, 0, 100.0, Some(0.5), 3), (0, 128, 0, 25.0, Some(0.125), 2)],
        );
        check(
            recorded!("markdown-2023"),
            &[(512, 0, 0, 2368.8, Some(93.24), 0), (0, 128, 0, 131.42, Some(0.59), 0)],
        );
    }

    #[test]
    fn statements_of_sql_are_rows() {
        let text = "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n  avg_ts REAL\n);\n\n\
            INSERT INTO llama_bench (build_commit, model_filename, n_prompt, n_gen, n_depth, avg_ts, stddev_ts) \
            VALUES ('abc', 'it''s, a model.gguf', '512', '0', '0', '100.5', '0.25');\n";
        check(text, &[(512, 0, 0, 100.5, Some(0.25), 0)]);
        let about = &read(text)[0].about;
        assert_eq!(about.get("build_commit").map(String::as_str), Some("abc"));
        assert_eq!(about.len(), 2, "{about:?}");
        assert_eq!(read(&text.replace(");\n", "\n")), []);
    }

    #[test]
    fn a_time_is_that_of_the_whole_test() {
        check("n_prompt,n_gen,avg_ns\n512,0,2000000000\n", &[(512, 0, 0, 256.0, None, 0)]);
        let both = read("test,tok/s\npp64+tg16 @ d128,50\n");
        assert_eq!((both[0].prompt, both[0].generate, both[0].depth), (64, 16, 128));
    }

    #[test]
    fn nonsense_gives_no_test() {
        for text in [
            "",
            "hello, world\nwhat is this\n",
            "{\"n_prompt\": 5}",
            "n_prompt,n_gen,avg_ts\n512,0,inf\n512,0,-1\n512,0,\n0,0,5\n512,0\n",
            "n_prompt,n_gen,avg_ns\n512,0,0\n",
            "[\n  {\n    \"n_prompt\": 5,\n",
            "test,t/s\nxx,5\n",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn a_cut_array_keeps_what_was_finished() {
        let whole = recorded!("b11434-json");
        let cut: String =
            whole.lines().take(whole.lines().count() - 6).map(|line| format!("{line}\n")).collect();
        assert_eq!(read(&cut).len(), 1);
    }

    #[test]
    fn logs_around_do_not_disturb() {
        let logged = format!("ggml_init: found, 1 device\n{}\ndone, bye\n", recorded!("b11434-jsonl"));
        assert_eq!(read(&logged).len(), 2);
        let logged = format!("a, b, c\n{}", recorded!("b11434-csv"));
        assert_eq!(read(&logged).len(), 2);
    }
}
