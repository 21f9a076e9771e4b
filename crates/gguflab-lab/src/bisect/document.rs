//! What is said of a search for a build.

use super::{Bisected, Conclusion, Criterion, Decision, Finding, Heard};
use crate::documents::change_cell;
use crate::outputs::verdict_cell;
use gguflab_report::chart::{Axis, ChartKind, Row};
use gguflab_report::{Cell, Chart, Column, Document, Table, Tone};
use gguflab_types::Unit;

/// Suspects of less than this probability are not drawn.
const DRAWN: f64 = 0.005;

/// The document of a search.
#[must_use]
pub fn document(found: &Bisected, subject: &str) -> Document {
    let mut document = Document::new(format!("Bisection of {} builds of {subject}", found.names.len()));
    document.paragraph(verdict(found));
    document.table(questions(found));
    if let Some(chart) = suspects(found) {
        document.chart(chart);
    }
    document.paragraph(match found.criterion {
        Criterion::Speed => format!(
            "Each question is a comparison with {}, measured in turn until it is decided whether the build is worse by more \
             than {:.1} %. A decided one is taken to be right in 97.5 % of cases. Before the first question, half of the \
             belief lay on there being no difference.",
            found.names.first().map_or("the good end", String::as_str),
            100.0 * found.threshold
        ),
        Criterion::Outputs => "The bad end is no slower, but its outputs are others: builds were told apart by their \
                               logits."
            .to_string(),
    });
    document
}

fn verdict(found: &Bisected) -> String {
    let name = |build: usize| found.names.get(build).cloned().unwrap_or_default();
    match &found.conclusion {
        Conclusion::Decided(Decision::Found { first, last, confidence }) if first == last => format!(
            "The first bad build is {}, with a confidence of {:.1} %; {} is the last good one.",
            name(*last),
            100.0 * confidence,
            name(first.saturating_sub(1))
        ),
        Conclusion::Decided(Decision::Found { first, last, confidence }) => format!(
            "The first bad build is one of {} to {}, with a confidence of {:.1} %: those between cannot be asked.",
            name(*first),
            name(*last),
            100.0 * confidence
        ),
        Conclusion::Decided(Decision::NoChange { confidence }) => format!(
            "There is nothing to find: {} is not worse than {}, with a confidence of {:.1} %.",
            name(found.names.len().saturating_sub(1)),
            name(0),
            100.0 * confidence
        ),
        Conclusion::Open(reason) => unknown(found, reason),
        Conclusion::Ended(ending) => unknown(found, &ending.cause),
    }
}

fn unknown(found: &Bisected, reason: &str) -> String {
    let confidence = 100.0 * found.confidence;
    format!("The first bad build is not known with a confidence of {confidence:.0} %: {reason}.")
}

fn questions(found: &Bisected) -> Table {
    let mut table = Table::new(
        "What was asked",
        [
            Column::new("question"),
            Column::new("build"),
            Column::new("difference").help("from the good end, with its interval"),
            Column::new("outputs"),
            Column::new("is"),
            Column::new("remark"),
        ],
    );
    for (number, heard) in found.heard.iter().enumerate() {
        let difference =
            heard.difference.as_ref().map_or_else(|| Cell::missing("nothing was measured"), change_cell);
        table.push([
            Cell::count(number as u64 + 1),
            Cell::text(found.names.get(heard.build).cloned().unwrap_or_default()),
            difference,
            outputs(heard),
            finding(&heard.finding),
            Cell::text(remark(heard)),
        ]);
    }
    table
}

fn outputs(heard: &Heard) -> Cell {
    heard.drift.as_ref().map_or(Cell::missing("not looked at"), |drift| verdict_cell(drift.verdict))
}

fn finding(finding: &Finding) -> Cell {
    match finding {
        Finding::Good => Cell::status("good", Tone::Good),
        Finding::Slower => Cell::status("worse", Tone::Bad),
        Finding::Drifted => Cell::status("drifted", Tone::Bad),
        Finding::Undecided => Cell::status("undecided", Tone::Neutral),
        Finding::Unusable(ending) => Cell::status(ending.outcome.name(), Tone::Neutral),
    }
}

fn remark(heard: &Heard) -> String {
    match (&heard.finding, &heard.drift) {
        (Finding::Unusable(ending), _) => ending.cause.clone(),
        (_, Some(drift)) => drift.reason.clone(),
        _ => String::new(),
    }
}

/// How much each build is suspected.
fn suspects(found: &Bisected) -> Option<Chart> {
    let name = |build: usize| found.names.get(build).cloned().unwrap_or_default();
    let drawn = found.belief.suspects.iter().filter(|suspect| suspect.probability >= DRAWN);
    let mut rows: Vec<Row> = drawn
        .map(|suspect| {
            let label = match suspect.first == suspect.last {
                true => name(suspect.last),
                false => format!("{} to {}", name(suspect.first), name(suspect.last)),
            };
            Row::new(label, suspect.probability, None)
        })
        .collect();
    if found.belief.no_change >= DRAWN {
        rows.push(Row::new("no change", found.belief.no_change, None));
    }
    (rows.len() > 1).then(|| {
        let kind = ChartKind::Bars {
            axis: Axis::new("probability of being the first bad build", Unit::Fraction),
            rows,
        };
        Chart::new("Suspects", "after all answers", kind)
    })
}
