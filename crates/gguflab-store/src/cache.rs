//! Reading trials. Finished ones never change, so each is read once; only running ones are read again.

use crate::error::StoreError;
use crate::foreign;
use crate::intermediate;
use crate::samples;
use crate::session::{Session, column, damaged, from_json, json_column, to_json};
use crate::space::Parameter;
use crate::study::{Objective, StudyId};
use gguflab_types::{Ending, Outcome, Purpose, Repetition, Trial, Value};
use sqlx::sqlite::SqliteRow;
use std::collections::{BTreeMap, BTreeSet};

/// What was read of each study.
#[derive(Default)]
pub(crate) struct Cache {
    studies: BTreeMap<StudyId, Known>,
}

/// What is known of one study.
struct Known {
    space: Vec<(String, Vec<Value>)>,
    parameters: Vec<Parameter>,
    /// Parameters of other programs with their distributions, as far as they were looked at.
    seen: BTreeSet<(String, String)>,
    objectives: Vec<Objective>,
    /// Ids of `trials`, in the same order.
    ids: Vec<i64>,
    trials: Vec<Trial>,
    /// Trials that may still change.
    unfinished: BTreeSet<i64>,
    highest: i64,
}

/// A trial as its rows have it, before its repetitions are read.
struct Found {
    id: i64,
    trial: Trial,
    state: String,
    own: bool,
}

impl Cache {
    /// All trials of a study that run or have ended, in the order of their numbers.
    pub(crate) fn refresh(&mut self, session: &mut Session, study: StudyId) -> Result<&[Trial], StoreError> {
        let known = match self.studies.entry(study) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(first_look(session, study)?),
        };
        let changed = to_json(session, &known.unfinished)?;
        let query = sqlx::query(include_str!("schema/read_trials.sql"));
        let rows = session.rows(query.bind(study.0).bind(known.highest).bind(changed))?;
        let mut found = rows.iter().map(|row| read_trial(session, row)).collect::<Result<Vec<_>, _>>()?;
        read_repetitions(session, &mut found)?;
        read_intermediates(session, &mut found)?;
        read_others(session, study, known, &mut found)?;
        for found in found {
            known.put(found);
        }
        Ok(&known.trials)
    }

    /// The parameters of a study and its number of objectives; known after [`Cache::refresh`].
    pub(crate) fn shape(
        &self,
        session: &Session,
        study: StudyId,
    ) -> Result<(&[Parameter], usize), StoreError> {
        match self.studies.get(&study) {
            Some(known) => Ok((&known.parameters, known.objectives.len())),
            None => Err(StoreError::NoStudy { path: session.path.clone() }),
        }
    }
}

impl Known {
    fn put(&mut self, found: Found) {
        self.highest = self.highest.max(found.id);
        if matches!(found.state.as_str(), "RUNNING" | "WAITING") {
            self.unfinished.insert(found.id);
        } else {
            self.unfinished.remove(&found.id);
        }
        if found.state == "WAITING" {
            // Enqueued by another program: not begun by anybody yet.
            return;
        }
        match self.ids.binary_search(&found.id) {
            Ok(at) => self.trials[at] = found.trial,
            Err(at) => {
                self.ids.insert(at, found.id);
                self.trials.insert(at, found.trial);
            }
        }
    }
}

fn first_look(session: &mut Session, study: StudyId) -> Result<Known, StoreError> {
    let query = "SELECT space, objectives FROM gguflab_studies WHERE study_id = ?1";
    let Some(row) = session.row(sqlx::query(query).bind(study.0))? else {
        return Err(StoreError::NoStudy { path: session.path.clone() });
    };
    let space: Vec<(String, Vec<Value>)> = json_column(session, &row, "space")?;
    Ok(Known {
        parameters: foreign::parameters(session, study, &space)?,
        space,
        seen: BTreeSet::new(),
        objectives: json_column(session, &row, "objectives")?,
        ids: Vec::new(),
        trials: Vec::new(),
        unfinished: BTreeSet::new(),
        highest: 0,
    })
}

fn read_trial(session: &Session, row: &SqliteRow) -> Result<Found, StoreError> {
    let state: String = column(session, row, "state")?;
    let configuration: Option<&str> = column(session, row, "configuration")?;
    let purpose: Option<&str> = column(session, row, "purpose")?;
    let purpose = purpose.map(|name| {
        Purpose::find(name).ok_or_else(|| damaged(session, format!("a trial has purpose `{name}`")))
    });
    let configuration = configuration.map(|text| from_json(session, text, "configuration"));
    let round: Option<u32> = column(session, row, "round")?;
    let trial = Trial {
        number: column(session, row, "number")?,
        configuration: configuration.transpose()?.unwrap_or_default(),
        purpose: purpose.transpose()?.unwrap_or(Purpose::Foreign),
        round: round.unwrap_or(0),
        ending: ending(session, row, &state)?,
        repetitions: Vec::new(),
        intermediates: BTreeMap::new(),
        told: Vec::new(),
        started: column(session, row, "started")?,
        duration: column(session, row, "duration")?,
    };
    Ok(Found { id: column(session, row, "trial_id")?, trial, state, own: column(session, row, "own")? })
}

fn ending(session: &Session, row: &SqliteRow, state: &str) -> Result<Option<Ending>, StoreError> {
    let outcome: Option<&str> = column(session, row, "outcome")?;
    let cause: Option<&str> = column(session, row, "cause")?;
    if let Some(name) = outcome {
        let known =
            Outcome::find(name).ok_or_else(|| damaged(session, format!("a trial has outcome `{name}`")))?;
        return Ok(Some(Ending::new(known, cause.unwrap_or_default())));
    }
    Ok(match state {
        "RUNNING" | "WAITING" => None,
        "COMPLETE" => Some(Ending::new(Outcome::Measured, "ended by another program")),
        "PRUNED" => Some(Ending::new(Outcome::Pruned, "ended by another program")),
        "FAIL" => Some(Ending::new(Outcome::Cancelled, "marked as failed by another program")),
        other => return Err(damaged(session, format!("a trial is in state `{other}`"))),
    })
}

/// Fills in the repetitions of all these trials with one query.
fn read_repetitions(session: &mut Session, found: &mut [Found]) -> Result<(), StoreError> {
    let places: BTreeMap<i64, usize> = found
        .iter()
        .enumerate()
        .filter(|(_, found)| found.own)
        .map(|(place, found)| (found.id, place))
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = places.keys().copied().collect();
    let ids = to_json(session, &ids)?;
    let query = "SELECT trial_id, request, repetition, started, duration, noisy, samples, state \
                 FROM gguflab_repetitions WHERE trial_id IN (SELECT value FROM json_each(?1)) \
                 ORDER BY trial_id, ordinal";
    for row in &session.rows(sqlx::query(query).bind(ids))? {
        let id: i64 = column(session, row, "trial_id")?;
        if let Some(&place) = places.get(&id) {
            found[place].trial.repetitions.push(read_repetition(session, row)?);
        }
    }
    Ok(())
}

fn read_intermediates(session: &mut Session, found: &mut [Found]) -> Result<(), StoreError> {
    let ids: Vec<i64> = found.iter().map(|found| found.id).collect();
    let mut read = intermediate::read(session, &ids)?;
    for found in found {
        found.trial.intermediates = read.remove(&found.id).unwrap_or_default();
    }
    Ok(())
}

fn read_repetition(session: &Session, row: &SqliteRow) -> Result<Repetition, StoreError> {
    let packed: &[u8] = column(session, row, "samples")?;
    let started: Option<f64> = column(session, row, "started")?;
    let duration: Option<f64> = column(session, row, "duration")?;
    Ok(Repetition {
        request: column(session, row, "request")?,
        index: column(session, row, "repetition")?,
        // SQLite turns "not a number" into NULL.
        started: started.unwrap_or(f64::NAN),
        duration: duration.unwrap_or(f64::NAN),
        samples: samples::unpack(packed).map_err(|reason| damaged(session, reason))?,
        state: json_column(session, row, "state")?,
        noisy: column(session, row, "noisy")?,
    })
}

/// The trials that other programs added: their parameters are their configurations, and their objective values are all
/// that is known of them.
fn read_others(
    session: &mut Session,
    study: StudyId,
    known: &mut Known,
    found: &mut [Found],
) -> Result<(), StoreError> {
    let mut others: Vec<&mut Found> =
        found.iter_mut().filter(|found| !found.own && found.state != "WAITING").collect();
    let ids: Vec<i64> = others.iter().map(|other| other.id).collect();
    let mut stored = foreign::stored(session, &ids)?;
    let mut values = foreign::values(session, &ids)?;
    let distributions = stored.values().flatten().map(|(name, _, written)| (name.clone(), written.clone()));
    let unseen: Vec<(String, String)> = distributions.filter(|one| !known.seen.contains(one)).collect();
    if !unseen.is_empty() {
        known.parameters = foreign::parameters(session, study, &known.space)?;
        known.seen.extend(unseen);
    }
    for other in &mut others {
        let number = other.trial.number;
        let stored = stored.remove(&other.id).unwrap_or_default();
        other.trial.configuration = foreign::configuration(session, &known.parameters, number, &stored)?;
        other.trial.told = values.remove(&other.id).unwrap_or_default();
        let (told, objectives) = (other.trial.told.len(), known.objectives.len());
        if other.state == "COMPLETE" && told != objectives {
            let problem =
                format!("trial {number} is COMPLETE with {told} values for {objectives} objectives");
            return Err(foreign::disagreement(session, problem));
        }
    }
    Ok(())
}
