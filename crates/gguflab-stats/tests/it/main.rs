//! Tests of the statistics: against an independent library, against closed forms, and by simulation.

// Helpers of tests print the figures that they measure.
#![allow(clippy::print_stdout)]

mod chunks;
mod coverage;
mod effects;
mod formulas;
mod fronts;
mod golden;
mod hostile;
mod looking;
mod oracle;
mod score;
mod sequential;
mod simulate;
mod sketch;
