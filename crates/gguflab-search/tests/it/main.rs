//! Tests of the search: spaces, the contract of every sampler, the race, and whole searches on synthetic machines.

// Helpers of tests fail by panicking, like the tests themselves, and print the figures that they measure.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod aims;
mod bisections;
mod contract;
mod machine;
mod pruners;
mod races;
mod spaces;
mod tunings;
