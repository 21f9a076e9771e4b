//! What can go wrong, with the file's name and what to do.

use sqlx::Error;
use std::path::{Path, PathBuf};

/// Why a store could not do what it was asked for. Nothing that was stored before is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file does not exist.
    #[error("the study file {path} does not exist: check the path, or run a tune, which creates it")]
    Missing {
        /// The study file.
        path: PathBuf,
    },
    /// The folder of the file does not exist.
    #[error(
        "the study file {path} cannot be created because the folder {folder} does not exist: create it first"
    )]
    NoFolder {
        /// The study file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The file cannot be opened or created.
    #[error(
        "the study file {path} cannot be opened ({detail}): check that it is a file and that both it and its \
         folder may be read and written (SQLite keeps two files beside it), or choose another path"
    )]
    CannotOpen {
        /// The study file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The file may only be read.
    #[error(
        "the study file {path} may only be read: change its permissions or those of its folder, or work on a copy"
    )]
    ReadOnly {
        /// The study file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{path} is not a study file (it is not an SQLite database): choose another path, it is left as it is"
    )]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{path} is an SQLite database of another program: choose another path, it is left as it is")]
    OtherDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "the study file {path} is damaged ({detail}): restore a copy of it, or save what can be read with \
         `sqlite3 {path} .recover`"
    )]
    Damaged {
        /// The study file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a newer gguflab.
    #[error(
        "the study file {path} was written by a newer gguflab (its tables have version {found}, this program knows \
         {known}): use the newer program; the file is left as it is"
    )]
    Newer {
        /// The study file.
        path: PathBuf,
        /// Version of its own tables.
        found: u32,
        /// Highest version that this program knows.
        known: u32,
    },
    /// The file must be migrated first, which reading alone does not do.
    #[error(
        "the study file {path} is of an older version ({found}, now {known}): open it once for writing, which \
         migrates it and keeps a backup"
    )]
    Older {
        /// The study file.
        path: PathBuf,
        /// Version of its own tables, 0 for none.
        found: u32,
        /// Version that this program writes.
        known: u32,
    },
    /// The Optuna tables have another revision.
    #[error(
        "the study file {path} has Optuna's tables in revision {found}, this program knows v3.2.0.a (Optuna 3.2 to 5.0): \
         {remedy}"
    )]
    OptunaRevision {
        /// The study file.
        path: PathBuf,
        /// The revision that was found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// The backup before a migration could not be made; the file was not changed.
    #[error(
        "the backup {backup} of the study file {path} cannot be made ({detail}): the file is left as it is"
    )]
    Backup {
        /// The study file.
        path: PathBuf,
        /// The backup.
        backup: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// No space is left.
    #[error(
        "the disk is full: the study file {path} cannot grow; free some space and resume, everything stored before \
         is safe"
    )]
    DiskFull {
        /// The study file.
        path: PathBuf,
    },
    /// Another process does not let go of the file.
    #[error(
        "the study file {path} is locked by another process for more than 10 seconds: end that process, or try again"
    )]
    Busy {
        /// The study file.
        path: PathBuf,
    },
    /// The file is no longer there, or it is another one.
    #[error(
        "the study file {path} was removed or replaced while it was in use: put it back and resume; nothing more \
         is written to it"
    )]
    Vanished {
        /// The study file.
        path: PathBuf,
    },
    /// Anything else that the database refused.
    #[error("the study file {path} could not be used: {detail}")]
    Database {
        /// The study file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// A study of this name exists.
    #[error("the study `{name}` already exists in {path}: resume it, or choose another name")]
    StudyExists {
        /// The study file.
        path: PathBuf,
        /// Name of the study.
        name: String,
    },
    /// The study was made by another program.
    #[error(
        "the study `{name}` in {path} was made by another program and names no subject: `gguflab tune MODEL --study \
         {name} --store {path}` goes on with it"
    )]
    OtherStudy {
        /// The study file.
        path: PathBuf,
        /// Name of the study.
        name: String,
    },
    /// What several programs wrote into one study does not go together.
    #[error(
        "a study in {path} does not agree with itself: {reason}; Optuna refuses such a study too, so go on with another \
         study, and the file is left as it is"
    )]
    Disagreement {
        /// The study file.
        path: PathBuf,
        /// What does not go together.
        reason: String,
    },
    /// The study does not exist (any more).
    #[error("the study is not in {path} (any more): was it deleted by another program?")]
    NoStudy {
        /// The study file.
        path: PathBuf,
    },
    /// There is no study of this name.
    #[error(
        "there is no study `{name}` in {path}: `gguflab study list --store {path}` shows those that there are"
    )]
    NoSuchStudy {
        /// The study file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Something still works on the study.
    #[error("trial {number} of the study in {path} still runs: end it, or wait for it")]
    StillRunning {
        /// The study file.
        path: PathBuf,
        /// Number of the trial.
        number: u32,
    },
    /// A study that Optuna's schema cannot hold.
    #[error("the study `{name}` cannot be made: {reason}")]
    InvalidStudy {
        /// Name of the study.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The trial has ended.
    #[error("trial {number} in {path} has ended and is never changed again: begin a new one")]
    NotRunning {
        /// The study file.
        path: PathBuf,
        /// Number of the trial.
        number: u32,
    },
    /// Not one value for each objective.
    #[error("trial {number} has {given} values for {expected} objectives: give one value for each")]
    WrongValues {
        /// Number of the trial.
        number: u32,
        /// Objectives of the study.
        expected: usize,
        /// Values given.
        given: usize,
    },
}

// Primary result codes of SQLite (sqlite.org/rescode.html); the low byte of an extended code.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
pub(crate) const READ_ONLY: u32 = 8;
const INPUT_OUTPUT: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
pub(crate) const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;
const READ_ONLY_MOVED: u32 = 1032;

/// SQLite's extended result code of an error, if it came from SQLite.
pub(crate) fn code(error: &Error) -> Option<u32> {
    match error {
        Error::Database(database) => database.code().and_then(|code| code.parse().ok()),
        _ => None,
    }
}

/// Names the file and says what to do.
pub(crate) fn explain(path: &Path, error: &Error) -> StoreError {
    let path = path.to_path_buf();
    let detail = detail(error);
    if code(error) == Some(READ_ONLY_MOVED) {
        return StoreError::Vanished { path };
    }
    match (code(error).map(|code| code & 0xff), error) {
        (Some(BUSY | LOCKED), _) => StoreError::Busy { path },
        (Some(READ_ONLY), _) => StoreError::ReadOnly { path },
        (Some(FULL), _) => StoreError::DiskFull { path },
        (Some(CANNOT_OPEN), _) => StoreError::CannotOpen { path, detail },
        (Some(NOT_A_DATABASE), _) => StoreError::NotSqlite { path },
        (Some(CORRUPT), _)
        | (_, Error::Decode(_) | Error::ColumnDecode { .. } | Error::ColumnNotFound(_)) => {
            StoreError::Damaged { path, detail }
        }
        (Some(INPUT_OUTPUT), _) => {
            StoreError::Database { path, detail: format!("{detail}: check the disk, then resume") }
        }
        _ => StoreError::Database { path, detail },
    }
}

fn detail(error: &Error) -> String {
    match error {
        Error::Database(database) => database.message().to_string(),
        other => other.to_string(),
    }
}
