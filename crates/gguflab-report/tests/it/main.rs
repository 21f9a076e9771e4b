//! What the crate promises, seen from outside.

mod charts;
mod formats;
mod hostile;
mod logarithmic;
mod sample;
