//! What a comparison of two sides showed.

use super::words::{count, range, signed};
use super::{change_cell, estimate_cell, subject};
use crate::bench::Record;
use crate::compare::{Compared, Judged};
use crate::interleave::{Interleaved, Reason, blocks};
use crate::outputs;
use gguflab_report::chart::{Axis, ChartKind, Reference};
use gguflab_report::document::Tone;
use gguflab_report::format::number;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::Verdict;
use gguflab_types::Unit;

/// The document of a comparison.
#[must_use]
pub fn document(compared: &Compared, warnings: &[String]) -> Document {
    let [reference, candidate] = &compared.names;
    let mut document = Document::new(format!("{candidate} beside {reference}"));
    for warning in warnings {
        document.warning(warning);
    }
    document.paragraph(verdict_in_words(compared));
    document.table(table(compared));
    document.chart(chart(compared));
    document.paragraph(how_in_words(&compared.interleaved));
    add_remarks(compared, &mut document);
    if let Some(drift) = &compared.drift {
        document.heading(1, "Outputs");
        document.blocks.extend(outputs::document(drift).blocks);
    }
    document.heading(1, "What differs");
    document.table(differences(&compared.names, &compared.interleaved.sides));
    document.heading(1, "Subject");
    document.facts(subject::facts(&compared.interleaved.sides[0].subject));
    document
}

/// The first quantity decides what is said first.
fn verdict_in_words(compared: &Compared) -> String {
    let [reference, candidate] = &compared.names;
    let Some(first) = compared.judged.first() else { return "Nothing was compared.".to_string() };
    let name = &first.quantity.text;
    let Some(look) = &first.look else {
        return format!("No complete block was measured: nothing can be said of {name}.");
    };
    let change = signed(look.difference.value);
    let interval = look.difference.interval.map_or("no interval".to_string(), range);
    match first.verdict {
        Verdict::Better => format!("{candidate} is better than {reference}: {name} {change} ({interval})."),
        Verdict::Worse => format!("{candidate} is worse than {reference}: {name} {change} ({interval})."),
        Verdict::Indistinguishable => format!(
            "The sides do not differ by more than {}: {name} {change} ({interval}).",
            number(compared.margin, Unit::Fraction)
        ),
        Verdict::Undecided => format!(
            "Undecided: {name} {change} ({interval}). More visits would tell: raise --budget-time and --budget-runs."
        ),
    }
}

fn table(compared: &Compared) -> Table {
    let [reference, candidate] = &compared.names;
    let columns = [
        Column::new("quantity"),
        Column::new(reference),
        Column::new(candidate),
        Column::new("difference").help("paired within blocks; the interval holds for all looks together"),
        Column::new("verdict"),
    ];
    let mut table = Table::new("", columns);
    for judged in &compared.judged {
        let unit = judged.quantity.unit;
        let side = |side: usize| match &judged.sides[side] {
            Some(estimate) => estimate_cell(estimate, unit),
            None => Cell::missing("not measured"),
        };
        let difference = judged
            .look
            .as_ref()
            .map_or(Cell::missing("no complete block"), |look| change_cell(&look.difference));
        table.push([
            Cell::text(&judged.quantity.text),
            side(0),
            side(1),
            difference,
            verdict_cell(judged.verdict),
        ]);
    }
    table
}

/// A verdict as a cell.
pub(super) fn verdict_cell(verdict: Verdict) -> Cell {
    let (word, tone) = match verdict {
        Verdict::Better => ("better", Tone::Good),
        Verdict::Worse => ("worse", Tone::Bad),
        Verdict::Indistinguishable => ("indistinguishable", Tone::Neutral),
        Verdict::Undecided => ("undecided", Tone::Neutral),
    };
    Cell::status(word, tone)
}

fn chart(compared: &Compared) -> Chart {
    let row = |judged: &Judged| {
        let difference = &judged.look.as_ref()?.difference;
        Some(super::row(judged.quantity.text.clone(), difference))
    };
    let [reference, candidate] = &compared.names;
    Chart {
        title: "Difference".to_string(),
        caption: format!(
            "of {candidate} to {reference}; bars are intervals that hold for all looks together"
        ),
        kind: ChartKind::Intervals {
            axis: Axis::new("difference", Unit::Fraction),
            rows: compared.judged.iter().filter_map(row).collect(),
            reference: Some(Reference { label: reference.clone(), value: 0.0 }),
        },
    }
}

/// How it was measured and why it ended.
pub(super) fn how_in_words(interleaved: &Interleaved) -> String {
    let complete = blocks(&interleaved.sides).len();
    let visits = complete * crate::interleave::VISITS_PER_BLOCK;
    let order = "in the order A B B A or B A A B, drawn for each block";
    let ended = match &interleaved.reason {
        Reason::Decided => "It ended because it was decided.".to_string(),
        Reason::Blocks => "It ended with the visits that were allowed.".to_string(),
        Reason::Time => "It ended with the time that was allowed.".to_string(),
        Reason::Stopped => "It was stopped.".to_string(),
        Reason::Failed(side, ending) => {
            let side = if *side == 0 { "first" } else { "second" };
            format!(
                "It ended because the {side} side could not be measured: {}: {}.",
                ending.outcome, ending.cause
            )
        }
    };
    format!("{} of each side in {}, {order}. {ended}", count(visits, "visit"), count(complete, "block"))
}

fn add_remarks(compared: &Compared, document: &mut Document) {
    let Some(look) = compared.judged.first().and_then(|first| first.look.as_ref()) else { return };
    if let Some(deviation) = look.deviation {
        let noise = number(deviation, Unit::Fraction);
        document.paragraph(format!("One visit scatters by {noise} (standard deviation within blocks)."));
    }
    if look.uneven {
        document.warning("blocks disagree by more than their visits do: the interval is that between blocks");
    }
    if !compared.interleaved.fresh {
        document.information(
            "loading takes longer than measuring, so both sides kept their processes: where their memory happens to lie \
             is part of the difference, commonly one or two per cent",
        );
    }
}

/// In what the sides differ, and what they share of it.
pub(super) fn differences(names: &[String; 2], sides: &[Record; 2]) -> Table {
    let [one, other] = sides;
    let mut rows: Vec<(&str, String, String)> = Vec::new();
    if one.subject.model.file != other.subject.model.file {
        rows.push(("model", one.subject.model.file.clone(), other.subject.model.file.clone()));
    }
    let differences = one.subject.differences(&other.subject);
    rows.extend(
        differences.into_iter().map(|difference| (difference.what, difference.first, difference.second)),
    );
    if one.configuration != other.configuration {
        rows.push(("settings", one.configuration.to_string(), other.configuration.to_string()));
    }
    if one.workload != other.workload {
        rows.push(("workload", requests(one), requests(other)));
    }
    if rows.is_empty() {
        rows.push(("nothing", "the same".to_string(), "the same".to_string()));
    }
    let mut table = Table::new("", [Column::new(""), Column::new(&names[0]), Column::new(&names[1])]);
    for (what, first, second) in rows {
        table.push([Cell::text(what), Cell::code(first), Cell::code(second)]);
    }
    table
}

fn requests(record: &Record) -> String {
    let labels: Vec<String> = record.workload.requests.iter().map(gguflab_types::Request::label).collect();
    labels.join(", ")
}
