//! The verbs: inspect, devices, bench, tune. The only place where engine, search and store meet.
//!
//! [`laboratory::Laboratory`] puts a subject together; [`bench`] measures it, [`tune`] searches; what they find
//! becomes a document in [`documents`].

pub mod active;
mod adopt;
pub mod anomaly;
pub mod baseline;
pub mod bench;
pub mod bench_tuner;
pub mod bisect;
pub mod card;
pub mod commands;
pub mod compare;
pub mod dataset;
pub mod devices;
pub mod documents;
pub mod effects;
pub mod evaluate;
pub mod files;
mod forecast;
pub mod gate;
pub mod inspect;
pub mod interleave;
pub mod laboratory;
pub mod load;
pub mod merge;
pub mod objective;
pub mod operations;
pub mod outputs;
pub mod pasted;
pub mod perf_methodology;
pub mod profile;
pub mod quality;
pub mod quantity;
pub mod requirement;
pub mod results;
pub mod run;
pub mod space_file;
pub mod study;
pub mod survey;
pub mod tune;
pub mod turn;

pub use laboratory::{Laboratory, LaboratoryError, Parts};
pub use study::{OpenStudy, StudyError, TuneRequest};

// What the command line needs of the crates below, so that it does not reach past this one.
pub use gguflab_data::logits::LogitStore;
pub use gguflab_data::{DataError, Places, find_model};
pub use gguflab_engine::{ENGINES, EngineError, EngineSpecification, Stop, machine, open};
pub use gguflab_search::space::{Items, PRESETS, preset};
pub use gguflab_search::{Budget, Conclusion, PRUNERS, PrunerRow, SAMPLERS, SpaceRequest, Stage};
pub use gguflab_stats::sequential::Gate as GateVerdict;
pub use gguflab_store::Store;
pub use objective::Objective;
pub use requirement::{Requirement, RequirementError};
