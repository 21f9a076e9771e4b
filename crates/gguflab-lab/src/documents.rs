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
pub mod results;
pub mod rules;
pub mod study;
pub(crate) mod subject;
mod survey;
pub mod tune;
mod words;

pub use tune::Detail;

use gguflab_report::Cell;
use gguflab_stats::Estimate;
use gguflab_types::Unit;

/// An estimate as a cell.
fn estimate_cell(estimate: &Estimate, unit: Unit) -> Cell {
    Cell::estimate(estimate.value, estimate.interval.map(|interval| (interval.low, interval.high)), unit)
}

/// A relative difference as a cell.
fn change_cell(difference: &Estimate) -> Cell {
    let interval = difference.interval.map(|interval| (interval.low, interval.high));
    Cell::change(difference.value, interval, Unit::Fraction)
}
