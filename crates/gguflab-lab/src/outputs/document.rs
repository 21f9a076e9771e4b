//! What is said of outputs.

use super::{Drift, DriftVerdict, MAXIMUM_BOUND, MAXIMUM_FACTOR, MEAN_BOUND, MEAN_FACTOR};
use gguflab_report::{Cell, Column, Document, Table, Tone};
use gguflab_stats::Divergence;
use gguflab_types::Unit;

/// The part of a report that says whether outputs drifted.
#[must_use]
pub fn document(drift: &Drift) -> Document {
    let mut document = Document::new("Outputs");
    document.facts([("outputs", verdict_cell(drift.verdict)), ("why", Cell::text(drift.reason.clone()))]);
    let Some(evidence) = &drift.evidence else { return document };
    let mut table = Table::new(
        "How far the logits of the same tokens are apart",
        [
            Column::new("against the reference"),
            Column::new("tokens"),
            Column::new("mean divergence").help("Kullback–Leibler divergence of the next token, in nats"),
            Column::new("largest divergence"),
            Column::new("largest difference of a logit"),
            Column::new("other likeliest token"),
            Column::new("no numbers")
                .help("rows with logits that are no numbers; they are in no other column"),
        ],
    );
    table.push(row("the candidate", &evidence.divergence));
    table.push(row("itself in batches of another size", &evidence.floor));
    document.table(table);
    if evidence.divergence.hidden() > 0.0 {
        document.information(
            "An engine tells only the likeliest tokens: divergences are lower bounds, and differences those of the \
             logarithms of probabilities.",
        );
    }
    document.paragraph(format!(
        "Drifted is what is further away than {MEAN_FACTOR} times the second row and {MEAN_BOUND:.0e} nats on average, or than \
         {MAXIMUM_FACTOR} times it and {MAXIMUM_BOUND:.0e} nats at its worst token."
    ));
    document
}

/// A verdict on outputs as a cell.
pub(crate) fn verdict_cell(verdict: DriftVerdict) -> Cell {
    let tone = match verdict {
        DriftVerdict::Same => Tone::Good,
        DriftVerdict::Drifted => Tone::Bad,
        DriftVerdict::Unchecked => Tone::Neutral,
    };
    Cell::status(verdict.name(), tone)
}

fn row(name: &str, divergence: &Divergence) -> [Cell; 7] {
    let nothing = || Cell::missing("no token could be compared");
    let number = |value: Option<f64>| value.map_or_else(nothing, |value| Cell::number(value, Unit::None));
    let any = (divergence.rows > 0).then_some(());
    [
        Cell::text(name),
        Cell::count(divergence.rows),
        number(divergence.mean()),
        number(any.map(|()| divergence.maximum)),
        number(any.map(|()| divergence.largest_difference)),
        Cell::count(divergence.top_changes),
        Cell::count(divergence.broken_reference + divergence.broken_candidate),
    ]
}
