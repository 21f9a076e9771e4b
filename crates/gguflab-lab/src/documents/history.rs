//! Accepted baselines and the checks against them over time.

use super::gate::{tone, word};
use super::{change_cell, estimate_cell};
use crate::baseline::{Accepted, Shelf};
use crate::compare::estimate;
use crate::gate::threshold::{Bound, Threshold};
use crate::gate::{Against, Check, GateError};
use crate::interleave::{Limits, blocks};
use gguflab_report::calendar::instant;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::Estimate;
use gguflab_stats::sequential::Design;
use gguflab_types::Unit;

/// The document of all shelves, and what of them cannot be read; the document says that too, beside all the rest.
#[must_use]
pub fn document(shelves: &[Shelf]) -> (Document, Vec<GateError>) {
    let mut document = Document::new("Baselines and checks");
    if shelves.is_empty() {
        document.paragraph("Nothing was accepted yet: begin with `gguflab gate accept NAME MODEL`.");
    }
    let mut problems = Vec::new();
    for shelf in shelves {
        document.heading(1, shelf.name());
        let ((accepted, bad), (checks, also_bad)) = (shelf.all(), shelf.checks());
        for problem in bad.into_iter().chain(also_bad) {
            document.warning(problem.to_string());
            problems.push(problem);
        }
        add(&accepted, &checks, &mut document);
    }
    (document, problems)
}

fn add(accepted: &[Accepted], checks: &[Check], document: &mut Document) {
    document.table(table_of_baselines(accepted));
    if checks.is_empty() {
        document.paragraph("It was not checked yet.");
        return;
    }
    document.table(table_of_checks(checks));
    let Some(latest) = accepted.last() else { return };
    let metrics = &latest.baseline.record.metrics;
    let read = |text: &String| Threshold::parse(text, metrics).ok();
    let thresholds: Vec<Threshold> = latest.baseline.thresholds.iter().filter_map(read).collect();
    document.table(table_of_differences(&thresholds, checks));
    document.chart(picture(&thresholds, checks));
}

fn table_of_baselines(accepted: &[Accepted]) -> Table {
    let columns = ["baseline", "accepted", "build", "model", "settings", "thresholds"].map(Column::new);
    let mut table = Table::new("Accepted", columns);
    for one in accepted {
        let record = &one.baseline.record;
        table.push([
            Cell::count(u64::from(one.number)),
            Cell::text(instant(one.baseline.accepted)),
            Cell::code(&record.subject.engine.build),
            Cell::text(&record.subject.model.file),
            Cell::code(record.configuration.to_string()),
            Cell::code(one.baseline.thresholds.join(" ")),
        ]);
    }
    table
}

fn table_of_checks(checks: &[Check]) -> Table {
    let columns = ["check", "when", "baseline", "build", "against", "verdict"].map(Column::new);
    let mut table = Table::new("Checks", columns);
    for (index, check) in checks.iter().enumerate() {
        let against = match check.against {
            Against::Build => "the accepted build, in turn",
            Against::Stored => "stored samples",
        };
        table.push([
            Cell::count(index as u64 + 1),
            Cell::text(instant(check.checked)),
            Cell::count(u64::from(check.baseline)),
            Cell::code(&check.interleaved.sides[1].subject.engine.build),
            Cell::text(against),
            Cell::status(word(check.verdict), tone(check.verdict)),
        ]);
    }
    table
}

fn table_of_differences(thresholds: &[Threshold], checks: &[Check]) -> Table {
    let mut columns = vec![Column::new("check")];
    for threshold in thresholds {
        columns.push(Column::with_unit(&threshold.quantity.text, threshold.quantity.unit));
        if matches!(threshold.bound, Bound::Relative(_)) {
            columns.push(Column::new(format!("{} to baseline", threshold.quantity.text)));
        }
    }
    let mut table = Table::new("What was measured", columns);
    for (index, check) in checks.iter().enumerate() {
        let mut row = vec![Cell::count(index as u64 + 1)];
        for threshold in thresholds {
            let unit = threshold.quantity.unit;
            let value = estimate(&threshold.quantity, &check.interleaved.sides[1]);
            row.push(value.map_or(Cell::missing("not measured"), |value| estimate_cell(&value, unit)));
            if matches!(threshold.bound, Bound::Relative(_)) {
                let difference = difference(threshold, check);
                row.push(difference.map_or(Cell::missing("none"), |difference| change_cell(&difference)));
            }
        }
        table.push(row);
    }
    table
}

/// The difference of a check, of which the limits are not kept: as many blocks as it has, or as a check usually may have.
fn difference(threshold: &Threshold, check: &Check) -> Option<Estimate> {
    let blocks = blocks(&check.interleaved.sides).len().max(Design::GATE.most);
    super::gate::difference(check, threshold, &Limits { blocks, seconds: None, seed: 0 })
}

/// The differences to the baseline from check to check.
fn picture(thresholds: &[Threshold], checks: &[Check]) -> Chart {
    let relative = thresholds.iter().filter(|one| matches!(one.bound, Bound::Relative(_)));
    let series = relative.map(|threshold| {
        let point = |(index, check): (usize, &Check)| {
            let found = difference(threshold, check)?;
            let interval = found.interval.map(|interval| (interval.low, interval.high).into());
            Some(Point { x: index as f64 + 1.0, y: found.value, y_interval: interval, ..Point::default() })
        };
        let points = checks.iter().enumerate().filter_map(point).collect();
        Series { name: threshold.quantity.text.clone(), shape: Shape::Line, points }
    });
    Chart {
        title: "Difference to the accepted baseline".to_string(),
        caption: "check by check, see the table for their times; bands are the intervals".to_string(),
        kind: ChartKind::Lines {
            across: Axis::new("check", Unit::Count),
            axis: Axis::new("difference", Unit::Fraction),
            series: series.collect(),
        },
    }
}
