//! Documents about what was measured, one file each.

pub mod bench;
pub mod calibration;
pub mod compare;
mod curve;
pub mod dataset;
pub mod evaluate;
pub mod gate;
pub mod history;
pub mod imported;
pub mod latency;
pub mod load;
pub mod logits;
mod objectives;
mod quality;
pub mod results;
pub mod rules;
pub mod study;
pub(crate) mod subject;
mod survey;
pub mod tune;
mod words;

pub use tune::Detail;

use gguflab_report::Cell;
use gguflab_report::chart::{Point, Row};
use gguflab_stats::Estimate;
use gguflab_types::Unit;

/// An estimate as a cell.
fn estimate_cell(estimate: &Estimate, unit: Unit) -> Cell {
    Cell::estimate(estimate.value, ends(estimate), unit)
}

/// A relative difference as a cell.
pub(crate) fn change_cell(difference: &Estimate) -> Cell {
    Cell::change(difference.value, ends(difference), Unit::Fraction)
}

/// The ends of an estimate's interval, where it has one.
fn ends(estimate: &Estimate) -> Option<(f64, f64)> {
    estimate.interval.map(|interval| (interval.low, interval.high))
}

/// An estimate as a row of a chart.
fn row(label: impl Into<String>, estimate: &Estimate) -> Row {
    Row::new(label, estimate.value, ends(estimate))
}

/// An estimate as a point of a chart.
fn point(x: f64, estimate: &Estimate) -> Point {
    let point = Point::new(x, estimate.value);
    match ends(estimate) {
        Some((low, high)) => point.y_interval(low, high),
        None => point,
    }
}
