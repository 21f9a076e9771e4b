//! Spaces, samplers, races and stopping rules. Pure given a seed.
//!
//! Everything here is a function of the space, a seed and the stored visits: nothing is remembered between calls, so
//! a search that was interrupted anywhere goes on exactly where it stopped, and several workers can ask at once.
//!
//! [`tuning::next`] is the whole portfolio: baseline, then full grid or coordinate screen, then race. A sampler is
//! one file in `samplers/` and one row of [`SAMPLERS`]; a model-based one takes its place there.

pub mod bisect;
pub mod error;
pub mod order;
pub mod pruner;
pub mod race;
pub mod sampler;
mod samplers;
mod several;
pub mod space;
mod surrogate;
pub mod tuning;
pub mod visit;

pub use error::SearchError;
pub use pruner::{PRUNERS, Part, Progress, Pruner, PrunerRow};
pub use race::{RaceResult, RaceSettings, RaceStep};
pub use sampler::{Proposal, SAMPLERS, Sampler, SamplerRow};
pub use space::{Dimension, Space, SpaceRequest};
pub use tuning::{Budget, Choice, Conclusion, Stage, Step, TunePlan};
pub use visit::{Violation, Visit};
