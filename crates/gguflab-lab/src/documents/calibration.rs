//! How small a change can be seen on this machine.

use super::compare::how_in_words;
use super::{change_cell, subject};
use crate::compare::{Calibration, visible};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::Unit;

/// Visits of each side for which it is told.
const VISITS: [usize; 3] = [10, 20, 40];

/// The document of a calibration.
#[must_use]
pub fn document(calibration: &Calibration, warnings: &[String]) -> Document {
    let mut document = Document::new("What can be seen on this machine");
    for warning in warnings {
        document.warning(warning);
    }
    document.paragraph(
        "The same thing was measured as both sides, so every difference is noise. The last columns say which change a \
         comparison or a check sees in nine of ten cases, by its visits of each side.",
    );
    document.table(table(calibration));
    document.paragraph(how_in_words(&calibration.interleaved));
    document.heading(1, "Subject");
    document.facts(subject::facts(&calibration.interleaved.sides[0].subject));
    document
}

fn table(calibration: &Calibration) -> Table {
    let mut columns = vec![
        Column::new("quantity"),
        Column::new("one visit scatters by").help("standard deviation within blocks, relative"),
        Column::new("difference to itself").help("paired within blocks; its interval should hold 0"),
    ];
    columns.extend(VISITS.map(|visits| Column::new(format!("seen with {visits} visits"))));
    let mut table = Table::new("", columns);
    for (quantity, look) in &calibration.looks {
        let deviation = look.as_ref().and_then(|look| look.deviation);
        let fraction = |value: Option<f64>| match value {
            Some(value) => Cell::number(value, Unit::Fraction),
            None => Cell::missing("too few visits"),
        };
        let difference =
            look.as_ref().map_or(Cell::missing("no complete block"), |look| change_cell(&look.difference));
        let seen = VISITS.map(|visits| fraction(deviation.and_then(|deviation| visible(deviation, visits))));
        let start = [Cell::text(&quantity.text), fraction(deviation), difference];
        table.push(start.into_iter().chain(seen));
    }
    table
}
