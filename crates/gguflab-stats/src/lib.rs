//! Samples to estimates and comparisons. Pure; every formula names its source.
//!
//! Nothing here panics: input that is empty, too small or not finite gives `None`, or an estimate that says that
//! it has no interval.

pub mod additive;
pub mod blocks;
pub mod divergence;
pub mod drift;
pub mod estimate;
pub mod groups;
pub mod importance;
mod least_squares;
pub mod location;
pub mod noise;
pub mod paired;
pub mod pareto;
pub mod proportion;
pub mod quantile;
pub mod sequential;
pub mod simulation;
pub mod special;
pub mod unpaired;

pub use additive::{Additive, Observation, additive};
pub use blocks::{Cell, Residual, pooled_difference, residual};
pub use divergence::Divergence;
pub use drift::drift;
pub use estimate::{Estimate, Interval};
pub use groups::{Change, group_change, group_location, shared_noise};
pub use importance::{Factor, Importance, Share, importance};
pub use location::{location, mean, mean_interval, median, median_interval, positive_location};
pub use noise::{outliers, robust_spread};
pub use paired::{Comparison, Verdict, compare, hodges_lehmann, judge, log_ratios, relative, sign_flip};
pub use proportion::proportion;
pub use quantile::{Percentile, effective_size, percentile, samples_needed};
pub use sequential::{Arm, Block, Design, Gate, Look, Run, Sequence};
pub use unpaired::{Summary, welch};

/// The confidence of intervals unless something else is asked for.
pub const CONFIDENCE: f64 = 0.95;
