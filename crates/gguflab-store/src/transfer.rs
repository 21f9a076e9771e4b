//! Studies as a whole: copied, merged, written as a file of plain Optuna, renamed, deleted.

use crate::error::StoreError;
use crate::open::{self, MIGRATIONS};
use crate::session::{Access, Session, column};
use crate::store::Store;
use crate::study::{StudyId, find};
use crate::worker::{Fate, fate};
use std::path::Path;

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Trials that were added.
    pub added: u64,
    /// Trials that were there already.
    pub doubles: u64,
    /// Trials that run or wait there and were left out.
    pub unfinished: u64,
}

impl Store {
    /// Copies a study of a file (this one or another) into this file under a name that is free. Samples and logs are
    /// the same byte for byte; trials that run are cancelled in the copy.
    ///
    /// # Errors
    /// There is no such study, the name is taken, or a file cannot be used.
    pub fn copy_study(&mut self, source: &Path, name: &str, copy: &str) -> Result<StudyId, StoreError> {
        open::check(source, MIGRATIONS)?;
        let work = |session: &mut Session| copy_into(session, source, name, copy, true);
        attached(&mut self.session, source, work)
    }

    /// Adds the finished trials of a study of another file that this study does not have yet. Whether the two go
    /// together is for the caller to know. Race visits become visits of the search where this study has raced already,
    /// because a race has one field of contenders.
    ///
    /// # Errors
    /// There is no such study there, or a file cannot be used.
    pub fn merge_study(&mut self, source: &Path, name: &str, into: StudyId) -> Result<Merged, StoreError> {
        open::check(source, MIGRATIONS)?;
        attached(&mut self.session, source, |session| {
            let there = find_there(session, source, name)?;
            let raced = "SELECT 1 FROM gguflab_trials g JOIN trials t ON t.trial_id = g.trial_id \
                         WHERE t.study_id = ?1 AND g.purpose = 'race' LIMIT 1";
            let raced = session.row(sqlx::query(raced).bind(into.0))?.is_some();
            let query = include_str!("schema/doubles.sql");
            let doubles = session.run(sqlx::query(query).bind(there).bind(into.0))?;
            let unfinished = "SELECT count(*) AS count FROM source.trials \
                              WHERE study_id = ?1 AND state IN ('RUNNING', 'WAITING')";
            let unfinished = match session.row(sqlx::query(unfinished).bind(there))? {
                Some(row) => column(session, &row, "count")?,
                None => 0,
            };
            let purpose = if raced { "search" } else { "race" };
            copy_trials(session, there, into, true, purpose)?;
            let added = count(session, "SELECT count(*) AS count FROM temp.moved")?;
            Ok(Merged { added, doubles, unfinished })
        })
    }

    /// Gives a study another name.
    ///
    /// # Errors
    /// There is no such study, the name is taken, or the file cannot be written.
    pub fn rename_study(&mut self, study: StudyId, name: &str) -> Result<(), StoreError> {
        self.session.transaction(|session| {
            check_free(session, name)?;
            let query = "UPDATE studies SET study_name = ?2 WHERE study_id = ?1";
            match session.run(sqlx::query(query).bind(study.0).bind(name))? {
                0 => Err(StoreError::NoStudy { path: session.path.clone() }),
                _ => Ok(()),
            }
        })
    }

    /// Deletes a study with all its trials, samples and logs.
    ///
    /// # Errors
    /// A trial of it still runs, there is no such study, or the file cannot be written.
    pub fn delete_study(&mut self, study: StudyId) -> Result<(), StoreError> {
        self.session.transaction(|session| {
            if let Some(number) = running(session, study)? {
                return Err(StoreError::StillRunning { path: session.path.clone(), number });
            }
            for statement in DELETIONS {
                session.run(sqlx::query(statement).bind(study.0))?;
            }
            let deleted =
                session.run(sqlx::query("DELETE FROM studies WHERE study_id = ?1").bind(study.0))?;
            if deleted == 0 { Err(StoreError::NoStudy { path: session.path.clone() }) } else { Ok(()) }
        })
    }

    /// Which study this is, whoever made it; `None` when there is none of this name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn study_id(&mut self, name: &str) -> Result<Option<StudyId>, StoreError> {
        find(&mut self.session, name)
    }
}

/// Writes one study as a new file with Optuna's tables and nothing else. It appears under its name when it is whole.
///
/// # Errors
/// There is no such study, the target exists, or a file cannot be used.
pub fn export_optuna(source: &Path, name: &str, target: &Path) -> Result<(), StoreError> {
    open::check(source, MIGRATIONS)?;
    let target = open::absolute(target)?;
    open::check_folder(&target)?;
    if target.exists() {
        let detail = "it exists already".to_string();
        return Err(StoreError::CannotOpen { path: target, detail });
    }
    let partial = open::beside(&target, &format!(".partial-{}", std::process::id()));
    let discard = || {
        // It may never have been made.
        let _ = std::fs::remove_file(&partial);
    };
    discard();
    let written = write_optuna(&partial, source, name);
    written.inspect_err(|_| discard())?;
    std::fs::rename(&partial, &target).map_err(|error| {
        discard();
        StoreError::CannotOpen { path: target.clone(), detail: error.to_string() }
    })
}

fn write_optuna(path: &Path, source: &Path, name: &str) -> Result<(), StoreError> {
    let mut session =
        Session::connect(path, Access::Write).map_err(|error| crate::error::explain(path, &error))?;
    session.script(open::OPTUNA)?;
    let copied = attached(&mut session, source, |session| copy_into(session, source, name, name, false));
    copied.and(session.close())
}

/// What belongs to a study in Optuna's tables, children first; the triggers delete what is ours.
const DELETIONS: [&str; 10] = [
    "DELETE FROM trial_user_attributes WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trial_system_attributes WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trial_params WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trial_values WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trial_intermediate_values WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trial_heartbeats WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?1)",
    "DELETE FROM trials WHERE study_id = ?1",
    "DELETE FROM study_user_attributes WHERE study_id = ?1",
    "DELETE FROM study_system_attributes WHERE study_id = ?1",
    "DELETE FROM study_directions WHERE study_id = ?1",
];

/// What belongs to a study itself, from the attached file: $1 there, $2 here.
const STUDY: &str = "INSERT INTO main.study_directions (direction, study_id, objective) \
     SELECT direction, $2, objective FROM source.study_directions WHERE study_id = $1 ORDER BY objective; \
     INSERT INTO main.study_user_attributes (study_id, \"key\", value_json) \
     SELECT $2, \"key\", value_json FROM source.study_user_attributes WHERE study_id = $1; \
     INSERT INTO main.study_system_attributes (study_id, \"key\", value_json) \
     SELECT $2, \"key\", value_json FROM source.study_system_attributes WHERE study_id = $1;";
const OWN_STUDY: &str = "INSERT INTO main.gguflab_studies (study_id, subject, space, objectives, settings, created) \
     SELECT $2, subject, space, objectives, settings, created FROM source.gguflab_studies WHERE study_id = $1";

/// Runs `work` in one write transaction, with a file attached as `source` that is only read.
fn attached<T>(
    session: &mut Session,
    source: &Path,
    work: impl FnOnce(&mut Session) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let source = open::absolute(source)?;
    session.check_file()?;
    // A file that nobody has open is read as one that does not change, which leaves nothing beside it.
    let mode = if open::beside(&source, "-wal").exists() { "mode=ro" } else { "immutable=1" };
    session.run(sqlx::query("ATTACH ?1 AS source").bind(address(&source, mode)))?;
    let result = session
        .script(
            "CREATE TEMP TABLE IF NOT EXISTS moved (old INTEGER PRIMARY KEY, new INTEGER, number INTEGER); \
             CREATE TEMP TABLE IF NOT EXISTS doubles (old INTEGER PRIMARY KEY); \
             DELETE FROM temp.moved; DELETE FROM temp.doubles",
        )
        .and_then(|()| session.transaction(work));
    let detached = session.script("DETACH source");
    result.and_then(|value| detached.map(|()| value))
}

/// A file as SQLite takes it with options.
fn address(path: &Path, options: &str) -> String {
    let mut address = String::from("file:");
    for letter in path.to_string_lossy().replace('\\', "/").chars() {
        match letter {
            '%' | '?' | '#' => address.push_str(&format!("%{:02x}", u32::from(letter))),
            other => address.push(other),
        }
    }
    format!("{address}?{options}")
}

fn copy_into(
    session: &mut Session,
    source: &Path,
    name: &str,
    copy: &str,
    with_own: bool,
) -> Result<StudyId, StoreError> {
    let there = find_there(session, source, name)?;
    check_free(session, copy)?;
    session.run(sqlx::query("INSERT INTO main.studies (study_name) VALUES (?1)").bind(copy))?;
    let Some(here) = find(session, copy)? else {
        return Err(StoreError::NoStudy { path: session.path.clone() });
    };
    session.run(sqlx::query(STUDY).bind(there).bind(here.0))?;
    if with_own {
        session.run(sqlx::query(OWN_STUDY).bind(there).bind(here.0))?;
        copy_trials(session, there, here, false, "race")?;
    } else {
        copy_plain(session, there, here, false, "race")?;
    }
    Ok(here)
}

fn copy_trials(
    session: &mut Session,
    there: i64,
    here: StudyId,
    finished: bool,
    race: &str,
) -> Result<(), StoreError> {
    copy_plain(session, there, here, finished, race)?;
    session.run(sqlx::query(include_str!("schema/copy_own.sql")).bind(race)).map(|_| ())
}

fn copy_plain(
    session: &mut Session,
    there: i64,
    here: StudyId,
    finished: bool,
    race: &str,
) -> Result<(), StoreError> {
    let query = sqlx::query(include_str!("schema/copy_trials.sql"));
    session.run(query.bind(there).bind(here.0).bind(finished).bind(race)).map(|_| ())
}

fn find_there(session: &mut Session, source: &Path, name: &str) -> Result<i64, StoreError> {
    let query = "SELECT study_id FROM source.studies WHERE study_name = ?1";
    match session.row(sqlx::query(query).bind(name))? {
        Some(row) => column(session, &row, "study_id"),
        None => Err(StoreError::NoSuchStudy { path: source.to_path_buf(), name: name.to_string() }),
    }
}

fn check_free(session: &mut Session, name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.chars().count() > 512 {
        let reason = "a name has 1 to 512 characters".to_string();
        return Err(StoreError::InvalidStudy { name: name.to_string(), reason });
    }
    match find(session, name)? {
        Some(_) => Err(StoreError::StudyExists { path: session.path.clone(), name: name.to_string() }),
        None => Ok(()),
    }
}

fn count(session: &mut Session, query: &'static str) -> Result<u64, StoreError> {
    let row = session.row(sqlx::query(query))?;
    row.map_or(Ok(0), |row| column(session, &row, "count"))
}

/// The number of a trial that is not known to have lost its process.
fn running(session: &mut Session, study: StudyId) -> Result<Option<u32>, StoreError> {
    let query = "SELECT t.number, g.worker FROM trials t JOIN gguflab_trials g ON g.trial_id = t.trial_id \
                 WHERE t.study_id = ?1 AND t.state = 'RUNNING' ORDER BY t.trial_id";
    for row in &session.rows(sqlx::query(query).bind(study.0))? {
        if fate(column(session, row, "worker")?) != Fate::Dead {
            return column(session, row, "number").map(Some);
        }
    }
    Ok(None)
}
