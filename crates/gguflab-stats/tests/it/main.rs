//! Tests of the statistics: against an independent library, against closed forms, and by simulation.

// Helpers of tests print the figures that they measure.
#![allow(clippy::print_stdout)]

mod coverage;
mod effects;
mod formulas;
mod fronts;
mod hostile;
mod oracle;
mod sequential;
mod simulate;
