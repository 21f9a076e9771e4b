//! By what protocol it was scored: numbers of different protocols cannot be compared.

use super::Found;
use crate::evaluate::{Rule, SideIdentity};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::Unit;
use gguflab_types::evaluation::WindowRule;

/// Hexadecimal digits of a hash that are shown.
const DIGITS: usize = 16;

pub(super) fn add(found: &Found<'_>, document: &mut Document) {
    document.heading(1, "Protocol");
    document.facts(facts(found));
    document.table(sides(found));
    document.table(texts(found));
}

fn facts(found: &Found<'_>) -> Vec<(&'static str, Cell)> {
    let evaluated = found.evaluated;
    let (head, opened) = (&evaluated.head, &evaluated.opened);
    let windowing = &head.windowing;
    let first = windowing.first_scored();
    let last = windowing.context.saturating_sub(2);
    let (start, tail) = match (windowing.rule, opened.start) {
        (WindowRule::LlamaPerplexity, Some(token)) => {
            (format!("token {token} in place of the first of each window"), "dropped")
        }
        (WindowRule::EveryPosition, Some(token)) => {
            (format!("token {token} before each window"), "kept, shorter")
        }
        (WindowRule::LlamaPerplexity, None) => ("none: the model adds none".to_string(), "dropped"),
        (WindowRule::EveryPosition, None) => ("none: the model adds none".to_string(), "kept, shorter"),
    };
    let forward: f64 = evaluated.scored.iter().map(|scored| scored.forward).sum();
    let scoring: f64 = evaluated.scored.iter().map(|scored| scored.scoring).sum();
    let peak = evaluated.scored.iter().map(|scored| scored.peak_memory).max().unwrap_or(0);
    let intervals = match evaluated.rule {
        Rule::All => {
            "Student's t over windows, for other text of this kind; percentiles by bootstrap of windows"
        }
        Rule::Width(_) | Rule::Decide(_) => {
            "means: confidence sequences over windows, right whenever it ends; percentiles: bootstrap of windows, as if \
             the end had been fixed before"
        }
    };
    vec![
        ("rule", Cell::text(windowing.rule.name())),
        ("window", Cell::number(f64::from(windowing.context), Unit::Tokens)),
        (
            "scored positions",
            Cell::text(format!("{first} to {last} of each window, by the token that follows")),
        ),
        ("start token", Cell::text(start)),
        ("last window", Cell::text(tail)),
        ("order", Cell::text(format!("random, seed {}", head.seed))),
        ("vocabulary", Cell::count(u64::from(opened.vocabulary))),
        ("engine", Cell::text(&head.engine)),
        ("intervals", Cell::text(intervals)),
        ("time in the engine", Cell::number(forward, Unit::Seconds)),
        ("time in scoring", Cell::number(scoring, Unit::Seconds)),
        ("peak memory of the worker", Cell::number(peak as f64, Unit::Bytes)),
    ]
}

fn short(hash: &str) -> String {
    let digits = hash.rsplit(':').next().unwrap_or(hash);
    digits.chars().take(DIGITS).collect()
}

fn sides(found: &Found<'_>) -> Table {
    let columns = ["side", "file", "tensors mostly", "settings", "model", "tokenizer"].map(Column::new);
    let mut table = Table::new("Sides", columns);
    let head = &found.evaluated.head;
    let row = |role: &str, side: &SideIdentity| {
        let settings = if side.settings.is_empty() { "defaults" } else { &side.settings };
        [
            Cell::text(role),
            Cell::text(&side.file),
            Cell::text(&side.quantisation),
            Cell::code(settings),
            Cell::code(short(&side.fingerprint)),
            Cell::code(short(&side.tokenizer)),
        ]
    };
    if let Some(reference) = &head.reference {
        table.push(row("reference", reference));
    }
    head.candidates.iter().for_each(|side| {
        table.push(row("candidate", side));
    });
    table
}

fn texts(found: &Found<'_>) -> Table {
    let columns = [
        Column::new("text"),
        Column::with_unit("bytes", Unit::Count),
        Column::with_unit("tokens", Unit::Count),
        Column::with_unit("windows", Unit::Count),
        Column::new("sha256"),
    ];
    let mut table = Table::new("Texts", columns);
    for (text, size) in found.evaluated.head.texts.iter().zip(&found.evaluated.opened.texts) {
        table.push([
            Cell::text(&text.label),
            Cell::count(text.bytes),
            Cell::count(size.tokens),
            Cell::count(u64::from(size.windows)),
            Cell::code(short(&text.sha256)),
        ]);
    }
    table
}
