//! Samples to estimates and comparisons. Pure; every formula names its source.
//!
//! Nothing here panics: input that is empty, too small or not finite gives `None`, or an estimate that says that
//! it has no interval.

pub mod additive;
pub mod blocks;
pub mod bootstrap;
pub mod chunks;
pub mod confidence_sequence;
pub mod depth;
pub mod distribution;
pub mod divergence;
pub mod drift;
pub mod elimination;
pub mod estimate;
pub mod groups;
pub mod importance;
mod least_squares;
pub mod likeliest;
pub mod llama_perplexity;
pub mod location;
pub mod noise;
pub mod paired;
pub mod pareto;
pub mod proportion;
pub mod quantile;
mod random;
pub mod score;
pub mod sequential;
pub mod simulation;
pub mod sketch;
pub mod special;
pub mod unpaired;

pub use additive::{Additive, Observation, additive};
pub use blocks::{Cell, Residual, pooled_difference, residual};
pub use bootstrap::Percentiles;
pub use chunks::{ClusterMean, Part, Ratio, agreements, bits_per_byte, parts, values};
pub use confidence_sequence::{ConfidenceSequence, Goal};
pub use depth::{Depth, by_depth, doubling};
pub use distribution::{Distribution, PERCENTILES, interpolated, top_share};
pub use divergence::Divergence;
pub use drift::drift;
pub use elimination::{Beside, Elimination, Margin, Rules, Standing, beside};
pub use estimate::{Estimate, Interval};
pub use groups::{Change, group_change, group_location, shared_noise};
pub use importance::{Factor, Importance, Share, importance};
pub use likeliest::Known;
pub use location::{
    geometric_mean, location, mean, mean_interval, median, median_interval, positive_location,
};
pub use noise::robust_spread;
pub use paired::{Comparison, Verdict, compare, hodges_lehmann, judge, log_ratios, relative, sign_flip};
pub use proportion::proportion;
pub use quantile::{Percentile, effective_size, percentile, samples_needed};
pub use sequential::{Arm, Block, Design, Gate, Look, Run, Sequence};
pub use unpaired::{Summary, welch};

/// The confidence of intervals unless something else is asked for.
pub const CONFIDENCE: f64 = 0.95;
