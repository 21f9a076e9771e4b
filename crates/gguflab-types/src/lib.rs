//! The nouns of the laboratory: knob, setting, configuration, workload, subject, trial, sample, outcome.
//!
//! No I/O, no clock, no randomness lives here: these types are what every other crate talks about.
//! The open-ended lists are tables: [`knob::KNOBS`], [`metric::METRICS`] and [`workload::WORKLOADS`];
//! an entry there is all that a new knob, metric or workload costs.

pub mod configuration;
pub mod evaluation;
pub mod event;
pub mod forecast;
pub mod job;
pub mod knob;
pub mod machine;
pub mod message;
pub mod metric;
pub mod operation;
pub mod outcome;
pub mod outputs;
pub mod prompt;
pub mod sample;
pub mod subject;
pub mod trial;
pub mod unit;
pub mod value;
pub mod workload;

pub use configuration::Configuration;
pub use event::Event;
pub use forecast::Forecast;
pub use job::{Deadlines, Job, PromptKind, Protocol};
pub use knob::{Declared, DeclaredKnob, Facts, KNOBS, Knob};
pub use machine::{Machine, MachineState};
pub use metric::{DeclaredMetric, Direction, METRICS, Metric};
pub use outcome::{Ending, Outcome};
pub use sample::{Repetition, Sample};
pub use subject::{EngineIdentity, ModelIdentity, Subject};
pub use trial::{Purpose, Trial};
pub use unit::Unit;
pub use value::Value;
pub use workload::{Logits, Request, WORKLOADS, Workload};
