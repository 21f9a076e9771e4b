//! What lies off its neighbours' trend, and whether that is real.

use crate::anomaly::{Recheck, rechecks};
use crate::documents::{change_cell, words};
use crate::study::OpenStudy;
use gguflab_report::document::Tone;
use gguflab_report::format::number;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::{Trial, Unit};

/// A section, where something is suspicious.
pub(super) fn add(study: &OpenStudy, trials: &[Trial], document: &mut Document) {
    let found = rechecks(study, trials);
    if found.is_empty() {
        return;
    }
    document.heading(1, "Off the trend");
    document.paragraph(
        "Worse than both neighbours on the line of one knob, or better than both while the best lies elsewhere. Only the \
         visits that were made again, in turn with the neighbours, say whether that is real.",
    );
    let columns =
        ["configuration", "knob", "first seen", "again", "rounds", "p95 between tokens, again", "verdict"];
    let mut table = Table::new("", columns.map(Column::new));
    for recheck in &found {
        table.push(row(recheck));
    }
    document.table(table);
    if found.iter().any(|one| one.confirmed().is_none()) {
        document.information("what was not looked into yet is with `gguflab tune … --resume --recheck`");
    }
}

fn row(recheck: &Recheck) -> [Cell; 7] {
    let suspicion = &recheck.suspicion;
    let again = recheck.gap.as_ref().map(|gap| change_cell(&gap.map(f64::exp_m1)));
    let spread = recheck
        .spread
        .map(|(low, high)| format!("{} to {}", number(low, Unit::Seconds), number(high, Unit::Seconds)));
    let verdict = match recheck.confirmed() {
        Some(true) => Cell::status("confirmed", Tone::Bad),
        Some(false) => Cell::status("withdrawn", Tone::Good),
        None => Cell::status("not looked into", Tone::Neutral),
    };
    [
        Cell::code(suspicion.configuration.to_string()),
        Cell::code(&suspicion.knob),
        Cell::text(words::signed(suspicion.gap.exp_m1())),
        again.unwrap_or(Cell::missing("no round")),
        Cell::count(recheck.rounds as u64),
        spread.map_or(Cell::missing("not measured"), Cell::text),
        verdict,
    ]
}
