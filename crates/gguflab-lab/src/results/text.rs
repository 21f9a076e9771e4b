//! What a text looks like, and whether it ends in the middle.

use super::Flaw;
use serde_json::Value;

/// What a text is made of.
pub(super) enum Shape {
    /// One JSON value.
    Document(Value),
    /// A JSON object on each line; this is the first one.
    Lines(Value),
    /// Rows with columns: CSV, Markdown or SQL.
    Table,
    /// None of these.
    Nothing(String),
}

/// Words that only tables of llama-bench have.
const COLUMNS: [&str; 4] = ["avg_ts", "avg_ns", "| t/s", "t/s |"];

pub(super) fn shape(text: &str) -> Result<Shape, Flaw> {
    let beginning = text.trim_start();
    if beginning.is_empty() {
        return Ok(Shape::Nothing("it is empty".to_string()));
    }
    if beginning.starts_with(['{', '[']) {
        return json(beginning);
    }
    // Logs may stand before the objects of llama-bench.
    if let Some(at) = beginning.find("\n{").or_else(|| beginning.find("\n[")) {
        return json(&beginning[at + 1..]);
    }
    if COLUMNS.iter().any(|column| text.contains(column)) {
        return table(text);
    }
    Ok(Shape::Nothing("neither JSON nor a table of llama-bench".to_string()))
}

fn json(text: &str) -> Result<Shape, Flaw> {
    let error = match serde_json::from_str::<Value>(text) {
        Ok(value) => return Ok(Shape::Document(value)),
        Err(error) => error,
    };
    let first = text.lines().next().unwrap_or_default();
    match serde_json::from_str::<Value>(first) {
        Ok(value) if value.is_object() => lines(text, value),
        _ if error.is_eof() => Err(Flaw::Cut(format!("the JSON ends in line {}", error.line()))),
        // Messages of the program may follow an array.
        _ if text.lines().any(|line| line.trim_end() == "]") => Ok(Shape::Document(elements(text))),
        _ => Ok(Shape::Nothing(format!("no valid JSON: {error}"))),
    }
}

/// An array as far as its end, whatever follows.
fn elements(text: &str) -> Value {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.flatten().next().unwrap_or(Value::Null)
}

fn lines(text: &str, first: Value) -> Result<Shape, Flaw> {
    let objects = text.lines().enumerate().filter(|(_, line)| line.starts_with('{'));
    for (number, line) in objects {
        match serde_json::from_str::<Value>(line) {
            Ok(_) => {}
            Err(error) if error.is_eof() => return Err(Flaw::Cut(format!("line {} has no end", number + 1))),
            Err(error) => return Err(Flaw::Content(format!("line {}: {error}", number + 1))),
        }
    }
    Ok(Shape::Lines(first))
}

/// Rows as long as their header.
fn table(text: &str) -> Result<Shape, Flaw> {
    let last = text.trim_end().lines().last().unwrap_or_default();
    let ends = if text.contains("INSERT INTO ") {
        last.starts_with("INSERT INTO ") && !last.ends_with(");")
    } else if last.starts_with('|') {
        !last.ends_with('|')
    } else {
        let header = text.lines().find(|line| COLUMNS.iter().any(|column| line.contains(column)));
        let commas = |line: &str| line.matches(',').count();
        // A field in quotes may hold commas, so a whole row has at least as many as its header.
        header.is_some_and(|header| last.starts_with('"') && commas(last) < commas(header))
            || last.matches('"').count() % 2 == 1
    };
    if ends { Err(Flaw::Cut(format!("the last row ends with `{}`", tail(last)))) } else { Ok(Shape::Table) }
}

fn tail(line: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    letters[letters.len().saturating_sub(24)..].iter().collect()
}
