//! Studies: made once, found by name, listed.

use crate::error::StoreError;
use crate::session::{Session, column, from_json, json_column, to_json};
use crate::space;
use crate::store::Store;
use gguflab_types::metric::Direction;
use gguflab_types::{Subject, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sqlx::sqlite::SqliteRow;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which study of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyId(pub(crate) i64);

/// What is made better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Name of the metric, or of a figure made from metrics.
    pub metric: String,
    /// Which way is better; never neutral.
    pub direction: Direction,
}

/// A study that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewStudy {
    /// Its name, unique in the file, 1 to 512 characters.
    pub name: String,
    /// What is measured.
    pub subject: Subject,
    /// The values that each knob may take; they can never change. `auto` is always one of them.
    pub space: Vec<(String, Vec<Value>)>,
    /// What is made better, at least one; a trial has one value for each.
    pub objectives: Vec<Objective>,
    /// Whatever else is needed to resume it: protocol, workload, budget.
    pub settings: Json,
}

/// A study as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Which one in this file.
    pub id: StudyId,
    /// Its name.
    pub name: String,
    /// What is measured.
    pub subject: Subject,
    /// The values that each knob may take, as given when it was made.
    pub space: Vec<(String, Vec<Value>)>,
    /// What is made better.
    pub objectives: Vec<Objective>,
    /// Whatever else is needed to resume it.
    pub settings: Json,
    /// When it was made, in seconds since 1970 (UTC).
    pub created: f64,
}

/// One line of a list of studies.
#[derive(Debug, Clone, PartialEq)]
pub struct StudySummary {
    /// Its name.
    pub name: String,
    /// What is measured; `None` when another program made the study.
    pub subject: Option<Subject>,
    /// What is made better; where another program made the study, its objectives as far as they have names.
    pub objectives: Vec<Objective>,
    /// When it was made, in seconds since 1970 (UTC); `None` when another program made it.
    pub created: Option<f64>,
    /// Trials of every kind.
    pub trials: u32,
    /// Trials that were measured and have their values.
    pub complete: u32,
    /// Trials that run, or whose process died.
    pub running: u32,
    /// Trials that wait in the study's queue.
    pub waiting: u32,
    /// The best value of the first objective.
    pub best: Option<f64>,
}

impl Store {
    /// Every study in the file, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn studies(&mut self) -> Result<Vec<StudySummary>, StoreError> {
        let rows = self.session.rows(sqlx::query(include_str!("schema/summaries.sql")))?;
        rows.iter().map(|row| summary(&self.session, row)).collect()
    }

    /// Makes a study.
    ///
    /// # Errors
    /// The name is taken, or the study cannot be held (names, no or a neutral objective, choices that are equal
    /// for Optuna); the file cannot be written.
    pub fn create_study(&mut self, new: &NewStudy) -> Result<StudyId, StoreError> {
        check(new)?;
        self.session.transaction(|session| {
            if find(session, &new.name)?.is_some() {
                return Err(StoreError::StudyExists { path: session.path.clone(), name: new.name.clone() });
            }
            insert(session, new)
        })
    }

    /// The study of this name.
    ///
    /// # Errors
    /// Another program made it, so that it names no subject; the file cannot be read.
    pub fn find_study(&mut self, name: &str) -> Result<Option<Study>, StoreError> {
        let session = &mut self.session;
        let Some(id) = find(session, name)? else { return Ok(None) };
        let query =
            "SELECT subject, space, objectives, settings, created FROM gguflab_studies WHERE study_id = ?1";
        match session.row(sqlx::query(query).bind(id.0))? {
            Some(row) => read(session, id, name, &row).map(Some),
            None => Err(StoreError::OtherStudy { path: session.path.clone(), name: name.to_string() }),
        }
    }
}

/// Seconds since 1970 (UTC).
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |passed| passed.as_secs_f64())
}

pub(crate) fn check(new: &NewStudy) -> Result<(), StoreError> {
    let refuse = |reason: String| Err(StoreError::InvalidStudy { name: new.name.clone(), reason });
    if new.name.is_empty() || new.name.chars().count() > 512 {
        return refuse("a name has 1 to 512 characters".to_string());
    }
    if new.objectives.is_empty() {
        return refuse("it has no objective".to_string());
    }
    if let Some(neutral) = new.objectives.iter().find(|objective| objective.direction == Direction::Neutral) {
        return refuse(format!("{} is neither better when higher nor when lower", neutral.metric));
    }
    space::parameters(&new.space).map_or_else(refuse, |_| Ok(()))
}

pub(crate) fn find(session: &mut Session, name: &str) -> Result<Option<StudyId>, StoreError> {
    let row = session.row(sqlx::query("SELECT study_id FROM studies WHERE study_name = ?1").bind(name))?;
    row.map(|row| column(session, &row, "study_id").map(StudyId)).transpose()
}

fn insert(session: &mut Session, new: &NewStudy) -> Result<StudyId, StoreError> {
    session.run(sqlx::query("INSERT INTO studies (study_name) VALUES (?1)").bind(&new.name))?;
    let Some(id) = find(session, &new.name)? else {
        return Err(StoreError::NoStudy { path: session.path.clone() });
    };
    for (index, objective) in (0_i64..).zip(&new.objectives) {
        let direction = if objective.direction == Direction::Higher { "MAXIMIZE" } else { "MINIMIZE" };
        let query = "INSERT INTO study_directions (direction, study_id, objective) VALUES (?1, ?2, ?3)";
        session.run(sqlx::query(query).bind(direction).bind(id.0).bind(index))?;
    }
    insert_own(session, id, new)?;
    Ok(id)
}

/// What makes a study of Optuna's tables one of ours: names of the objectives unless it has some, subject and settings.
pub(crate) fn insert_own(session: &mut Session, id: StudyId, new: &NewStudy) -> Result<(), StoreError> {
    let names: Vec<&str> = new.objectives.iter().map(|objective| objective.metric.as_str()).collect();
    let names = to_json(session, &names)?;
    let query = "INSERT INTO study_system_attributes (study_id, \"key\", value_json) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (study_id, \"key\") DO NOTHING";
    session.run(sqlx::query(query).bind(id.0).bind("study:metric_names").bind(names))?;
    let query = "INSERT INTO gguflab_studies (study_id, subject, space, objectives, settings, created) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let statement = sqlx::query(query)
        .bind(id.0)
        .bind(to_json(session, &new.subject)?)
        .bind(to_json(session, &new.space)?)
        .bind(to_json(session, &new.objectives)?)
        .bind(to_json(session, &new.settings)?)
        .bind(now());
    session.run(statement).map(|_| ())
}

fn read(session: &Session, id: StudyId, name: &str, row: &SqliteRow) -> Result<Study, StoreError> {
    Ok(Study {
        id,
        name: name.to_string(),
        subject: json_column(session, row, "subject")?,
        space: json_column(session, row, "space")?,
        objectives: json_column(session, row, "objectives")?,
        settings: json_column(session, row, "settings")?,
        created: column(session, row, "created")?,
    })
}

/// The objectives of a study of ours, else direction and name of each from Optuna's own tables.
fn objectives(session: &Session, row: &SqliteRow) -> Result<Vec<Objective>, StoreError> {
    if let Some(own) = column::<Option<&str>>(session, row, "objectives")? {
        return from_json(session, own, "objectives");
    }
    let directions: Vec<String> = json_column(session, row, "directions")?;
    let names: Option<&str> = column(session, row, "metrics")?;
    let names: Vec<String> =
        names.map(|text| from_json(session, text, "study:metric_names")).transpose()?.unwrap_or_default();
    let objective = |(place, name): (usize, &String)| Objective {
        metric: names.get(place).cloned().unwrap_or_default(),
        direction: crate::adopt::direction(name),
    };
    Ok(directions.iter().enumerate().map(objective).collect())
}

fn summary(session: &Session, row: &SqliteRow) -> Result<StudySummary, StoreError> {
    let subject: Option<&str> = column(session, row, "subject")?;
    Ok(StudySummary {
        name: column(session, row, "study_name")?,
        subject: subject.map(|text| from_json(session, text, "subject")).transpose()?,
        objectives: objectives(session, row)?,
        created: column(session, row, "created")?,
        trials: column(session, row, "trials")?,
        complete: column(session, row, "complete")?,
        running: column(session, row, "running")?,
        waiting: column(session, row, "waiting")?,
        best: column(session, row, "best")?,
    })
}
