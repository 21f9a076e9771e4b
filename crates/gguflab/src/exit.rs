//! How the program ends: the code says whose fault it was.
//!
//! 0 done; 1 what was asked for could not be done (every trial failed, a study does not fit); 2 wrong arguments;
//! 3 a file or model cannot be used; 4 the engine cannot be used; 5 the store cannot be used; 130 stopped by the
//! user; a gate that could neither pass nor fail ends with 6.

use crate::printer::Printer;
use gguflab_lab::dataset::{DatasetError, WriteError};
use gguflab_lab::evaluate::EvaluateError;
use gguflab_lab::gate::GateError;
use gguflab_lab::inspect::InspectError;
use gguflab_lab::results::ResultsError;
use gguflab_lab::{EngineError, LaboratoryError, StudyError};
use gguflab_store::StoreError;
use gguflab_types::{Ending, Outcome};
use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for could not be done.
pub(crate) const FAILED: u8 = 1;
const USAGE: u8 = 2;
const MODEL: u8 = 3;
const ENGINE: u8 = 4;
const STORE: u8 = 5;
/// A check could not tell.
pub(crate) const INCONCLUSIVE: u8 = 6;
/// 128 + SIGINT, as shells have it.
pub(crate) const STOPPED: u8 = 130;

/// A wrong argument that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// A file besides the model that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {source}", path = path.display())]
pub(crate) struct FileError {
    /// `read`, `write` or `make folder`.
    pub(crate) what: &'static str,
    /// The file.
    pub(crate) path: PathBuf,
    /// What the system says.
    pub(crate) source: std::io::Error,
}

/// Prints an error with what caused it, and gives its code.
pub(crate) fn report(error: &anyhow::Error, printer: &Printer) -> ExitCode {
    printer.error(&in_words(error));
    ExitCode::from(code(error))
}

/// The error and its causes in one line; many errors name their cause themselves, and nobody needs it twice.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Prints what clap has to say: help and versions are results, everything else is an error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // When nobody listens any more, there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<UsageError>() {
            return USAGE;
        }
        if cause.is::<InspectError>()
            || cause.is::<gguflab_lab::DataError>()
            || cause.is::<gguflab_lab::profile::ProfileError>()
            || cause.is::<gguflab_lab::bench_tuner::TableError>()
            || cause.is::<FileError>()
            || cause.is::<crate::defaults::DefaultsError>()
        {
            return MODEL;
        }
        if cause.is::<gguflab_lab::space_file::SpaceFileError>() {
            return MODEL;
        }
        if cause.is::<StoreError>() {
            return STORE;
        }
        if let Some(error) = cause.downcast_ref::<LaboratoryError>() {
            return of_laboratory(error);
        }
        if let Some(error) = cause.downcast_ref::<ResultsError>() {
            return if matches!(error, ResultsError::Apart { .. }) { FAILED } else { MODEL };
        }
        if let Some(error) = cause.downcast_ref::<DatasetError>() {
            return of_dataset(error);
        }
        if let Some(error) = cause.downcast_ref::<WriteError>() {
            return if let WriteError::Dataset(error) = error { of_dataset(error) } else { MODEL };
        }
        if let Some(error) = cause.downcast_ref::<GateError>() {
            return of_gate(error);
        }
        if let Some(error) = cause.downcast_ref::<EvaluateError>() {
            return of_evaluation(error);
        }
        if let Some(error) = cause.downcast_ref::<StudyError>() {
            return of_study(error);
        }
        if let Some(error) = cause.downcast_ref::<EngineError>() {
            return of_engine(error);
        }
    }
    FAILED
}

fn of_laboratory(error: &LaboratoryError) -> u8 {
    match error {
        LaboratoryError::Engine(error) => of_engine(error),
        LaboratoryError::NoModel(_) | LaboratoryError::Workload { .. } => USAGE,
        _ => MODEL,
    }
}

fn of_dataset(error: &DatasetError) -> u8 {
    if matches!(error, DatasetError::Request(_)) { USAGE } else { MODEL }
}

/// A name that no engine has is the user's mistake, a program that does not run is not.
fn of_engine(error: &EngineError) -> u8 {
    match error {
        EngineError::Unknown { .. } | EngineError::Target { .. } | EngineError::Address { .. } => USAGE,
        _ => ENGINE,
    }
}

fn of_gate(error: &GateError) -> u8 {
    match error {
        GateError::Name(_) | GateError::Missing { .. } | GateError::Taken { .. } => USAGE,
        GateError::File { .. } | GateError::OtherModel { .. } => MODEL,
        GateError::OtherBuild { .. } => ENGINE,
        GateError::Write { .. } => STORE,
        GateError::NotMeasured(_) => FAILED,
        GateError::Laboratory(error) => of_laboratory(error),
        GateError::Threshold(_) => USAGE,
    }
}

/// Of what did not come to its end.
pub(crate) fn of_ending(ending: &Ending) -> u8 {
    if ending.outcome == Outcome::Cancelled { STOPPED } else { FAILED }
}

fn of_evaluation(error: &EvaluateError) -> u8 {
    match error {
        EvaluateError::NoChunks { .. } | EvaluateError::NoLogits { .. } => USAGE,
        EvaluateError::Ended(ending) => of_ending(ending),
        EvaluateError::Journal { .. } | EvaluateError::Busy { .. } => STORE,
        EvaluateError::Engine(error) => of_engine(error),
        EvaluateError::File { .. }
        | EvaluateError::Short { .. }
        | EvaluateError::Few { .. }
        | EvaluateError::Store(_)
        | EvaluateError::Refused(_) => MODEL,
    }
}

fn of_study(error: &StudyError) -> u8 {
    match error {
        StudyError::Store(_) => STORE,
        StudyError::Search(_) | StudyError::Objective { .. } => USAGE,
        _ => FAILED,
    }
}
