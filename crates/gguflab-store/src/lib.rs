//! Studies, trials and samples in SQLite, in Optuna's schema. The only crate that knows SQL.
//!
//! One file holds any number of studies. Optuna's 13 tables are kept as Optuna 5 writes them (schema 12, revision
//! `v3.2.0.a`), so that Python's Optuna and optuna-dashboard open the file; the subject, the raw samples, the
//! machine's state and the logs are in tables of our own whose names begin with `gguflab_`.
//!
//! # What is written where
//! * A trial's state follows its outcome: `measured` is COMPLETE with its objective values, `pruned` is PRUNED,
//!   everything else is FAIL. A `measured` trial whose objective could not be computed is FAIL for Optuna, which
//!   knows no trial without a value; its own outcome stays `measured`. Outcome, cause, purpose and configuration
//!   are user attributes too, so that a dashboard shows them.
//! * Every knob of the study's space is a categorical parameter whose choices are the values given when the study
//!   was made, and `auto`: Optuna refuses a study whose choices change, and `auto` (what an unset knob is) has no
//!   place in a range of whole numbers. A setting outside these choices is left out of the parameters; the
//!   configuration in our own table is always complete.
//! * The samples of a repetition are one packed value, not a row for each token.
//!
//! # Shared with Optuna
//! * Trials that Optuna adds to a study of ours are of purpose `foreign`: their parameters are their configuration,
//!   and their values are told, since there are no samples. Trials that it enqueued are taken with
//!   [`Store::claim_waiting`].
//! * A study that Optuna began is read with [`Store::other_study`] and becomes one of ours too with
//!   [`Store::adopt_study`]. Its trials keep its own names and distributions, ours as well: what a distribution
//!   does not hold is refused ([`Store::objection`]), because Optuna lets no choices change.
//!
//! # What survives
//! The file is in WAL mode with `synchronous = NORMAL`: what a call has stored survives the death of the process
//! at any later moment (`kill -9` included), and a failing operating system or power supply can lose the last
//! moments but not damage the file. Every call that writes is one transaction. Several processes of one machine
//! may use one file; a network file system is not a place for it.
//!
//! # Use from one thread
//! A [`Store`] is synchronous and brings its own single-threaded runtime: it must not be called from within an
//! asynchronous one. Another thread (for heartbeats, say) opens a store of its own.

mod adopt;
mod attribute;
mod cache;
mod constraint;
mod distribution;
mod error;
mod foreign;
mod intermediate;
mod log;
mod number;
mod open;
mod samples;
mod session;
mod space;
mod stale;
mod store;
mod study;
mod transfer;
mod trial;
mod worker;

pub use adopt::{OtherParameter, OtherStudy};
pub use distribution::Distribution;
pub use error::StoreError;
pub use store::Store;
pub use study::{NewStudy, Objective, Study, StudyId, StudySummary};
pub use transfer::{Merged, export_optuna};
pub use trial::{Claimed, NewTrial, TrialHandle};
