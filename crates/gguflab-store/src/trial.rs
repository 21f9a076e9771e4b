//! A trial from its beginning to its end.

use crate::cache::Cache;
use crate::error::StoreError;
use crate::foreign::{self, Waiting};
use crate::intermediate;
use crate::number;
use crate::samples;
use crate::session::{Session, column, to_json};
use crate::space::{self, Parameter};
use crate::store::Store;
use crate::study::{StudyId, now};
use gguflab_types::{Configuration, Ending, Outcome, Purpose, Repetition, Trial};

/// The configuration that a new trial visits.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTrial {
    /// The configuration.
    pub configuration: Configuration,
    /// Why it is run.
    pub purpose: Purpose,
    /// Which round of a race or which repeat of the baseline, from 0.
    pub round: u32,
    /// What knobs that are not set come to, as far as that is known: shown as Optuna's parameters where a distribution
    /// of another program holds no `auto`.
    pub meant: Configuration,
}

/// A waiting trial that was taken, and those before it that cannot be run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claimed {
    /// The trial, if one was there.
    pub trial: Option<(TrialHandle, NewTrial)>,
    /// Numbers of the trials that were ended as rejected, and why.
    pub refused: Vec<(u32, String)>,
}

/// A trial that was begun by this process. Only with it can something be added to the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialHandle {
    pub(crate) id: i64,
    number: u32,
    objectives: usize,
}

impl TrialHandle {
    /// Number of the trial within its study, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// A statement with, between its two parts, the database's time as Optuna writes it: UTC with six decimals.
macro_rules! at_now {
    ($before:literal, $after:literal) => {
        concat!($before, " strftime('%Y-%m-%d %H:%M:%f000', 'now') ", $after)
    };
}

impl Store {
    /// Begins a trial: `choose` sees all trials of the study, finished and running, in the order of their numbers,
    /// and says what to visit next; `None` begins nothing. No other process can begin a trial of this file
    /// meanwhile, so two workers never take the same visit. Therefore `choose` should take milliseconds, and it
    /// must not use the file.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be read or written.
    pub fn begin_trial(
        &mut self,
        study: StudyId,
        choose: &mut dyn FnMut(&[Trial]) -> Option<NewTrial>,
    ) -> Result<Option<TrialHandle>, StoreError> {
        let Store { session, cache } = self;
        session.transaction(|session| {
            let trials = cache.refresh(session, study)?;
            choose(trials).map(|new| insert(session, cache, study, &new)).transpose()
        })
    }

    /// Takes the first trial that waits in the study's queue (enqueued by Optuna): `fill` sees the settings that were
    /// asked for and makes the trial of them, or says why it cannot be run, and it is ended as rejected.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be read or written.
    pub fn claim_waiting(
        &mut self,
        study: StudyId,
        fill: &mut dyn FnMut(&Configuration) -> Result<NewTrial, String>,
    ) -> Result<Claimed, StoreError> {
        let Store { session, cache } = self;
        let query = "SELECT 1 FROM trials WHERE study_id = ?1 AND state = 'WAITING' LIMIT 1";
        if session.row(sqlx::query(query).bind(study.0))?.is_none() {
            return Ok(Claimed::default());
        }
        session.transaction(|session| {
            cache.refresh(session, study)?;
            let (parameters, objectives) = cache.shape(session, study)?;
            let mut claimed = Claimed::default();
            for waiting in foreign::waiting(session, study, parameters)? {
                let filled = match space::not_held(parameters, &waiting.fixed) {
                    Some(reason) => Err(reason),
                    None => fill(&waiting.fixed),
                };
                if let Some(trial) =
                    claim(session, parameters, objectives, &waiting, filled, &mut claimed.refused)?
                {
                    claimed.trial = Some(trial);
                    break;
                }
            }
            Ok(claimed)
        })
    }

    /// Why a configuration cannot be visited in this study: a distribution that another program chose does not hold one
    /// of its settings. `None` when it can.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be read.
    pub fn objection(
        &mut self,
        study: StudyId,
        configuration: &Configuration,
    ) -> Result<Option<String>, StoreError> {
        let Store { session, cache } = self;
        cache.refresh(session, study)?;
        let (parameters, _) = cache.shape(session, study)?;
        Ok(space::not_held(parameters, configuration))
    }

    /// Adds a repetition to a running trial. It is stored when this returns.
    ///
    /// # Errors
    /// The trial has ended (its process was taken for dead, say), or the file cannot be written.
    pub fn append_repetition(
        &mut self,
        trial: &TrialHandle,
        repetition: &Repetition,
    ) -> Result<(), StoreError> {
        let query = "INSERT INTO gguflab_repetitions \
                     (trial_id, ordinal, request, repetition, started, duration, noisy, samples, state) \
                     SELECT ?1, (SELECT count(*) FROM gguflab_repetitions WHERE trial_id = ?1), \
                     ?2, ?3, ?4, ?5, ?6, ?7, ?8 \
                     FROM trials WHERE trial_id = ?1 AND state = 'RUNNING'";
        let state = to_json(&self.session, &repetition.state)?;
        let statement = sqlx::query(query)
            .bind(trial.id)
            .bind(repetition.request)
            .bind(repetition.index)
            .bind(repetition.started)
            .bind(repetition.duration)
            .bind(repetition.noisy.as_deref())
            .bind(samples::pack(&repetition.samples))
            .bind(state);
        self.session.check_file()?;
        let added = self.session.run(statement)?;
        expect_running(&self.session, trial, added)
    }

    /// Ends a running trial. From then on it never changes.
    ///
    /// `values` has one value for each objective; it counts for `measured` and `pruned` trials. A `measured` trial
    /// without values (or with one that is no number) is kept as such, but is FAIL for Optuna. A `pruned` trial
    /// without values gets its last intermediate value, as in Optuna, where the study has one objective.
    /// `duration` is in seconds of wall time.
    ///
    /// # Errors
    /// The trial has ended already, there are more or fewer values than objectives, or the file cannot be written.
    pub fn finish_trial(
        &mut self,
        trial: &TrialHandle,
        ending: &Ending,
        values: Option<&[f64]>,
        duration: f64,
    ) -> Result<(), StoreError> {
        if let Some(values) = values
            && values.len() != trial.objectives
        {
            let (number, expected, given) = (trial.number, trial.objectives, values.len());
            return Err(StoreError::WrongValues { number, expected, given });
        }
        self.session.transaction(|session| {
            let done = finish(session, trial.id, ending, values, Some(duration))?;
            expect_running(session, trial, done)
        })
    }

    /// Says that the process of a running trial lives. Once every few seconds is enough, and only processes on
    /// other machines or in other containers look at it.
    ///
    /// # Errors
    /// The trial has ended, or the file cannot be written.
    pub fn heartbeat(&mut self, trial: &TrialHandle) -> Result<(), StoreError> {
        let query = at_now!(
            "UPDATE trial_heartbeats SET heartbeat =",
            "WHERE trial_id = ?1 AND EXISTS (SELECT 1 FROM trials WHERE trial_id = ?1 AND state = 'RUNNING')"
        );
        self.session.check_file()?;
        let beaten = self.session.run(sqlx::query(query).bind(trial.id))?;
        expect_running(&self.session, trial, beaten)
    }

    /// All trials of a study, finished and running, in the order of their numbers.
    ///
    /// Finished trials are read once and kept in memory, since they never change.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be read.
    pub fn trials(&mut self, study: StudyId) -> Result<&[Trial], StoreError> {
        self.cache.refresh(&mut self.session, study)
    }

    /// The trial of this number.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be read.
    pub fn trial(&mut self, study: StudyId, number: u32) -> Result<Option<Trial>, StoreError> {
        Ok(self.trials(study)?.iter().find(|trial| trial.number == number).cloned())
    }
}

/// Ends a trial if it runs; gives the number of trials that were ended (0 or 1).
pub(crate) fn finish(
    session: &mut Session,
    trial: i64,
    ending: &Ending,
    values: Option<&[f64]>,
    duration: Option<f64>,
) -> Result<u64, StoreError> {
    let values = values.filter(|values| values.iter().all(|value| !value.is_nan()));
    let state = match (ending.outcome, values) {
        (Outcome::Measured, Some(_)) => "COMPLETE",
        (Outcome::Pruned, _) => "PRUNED",
        _ => "FAIL",
    };
    let query = at_now!(
        "UPDATE trials SET state = ?2, datetime_complete =",
        "WHERE trial_id = ?1 AND state = 'RUNNING'"
    );
    let ended = session.run(sqlx::query(query).bind(trial).bind(state))?;
    if ended == 0 {
        return Ok(0);
    }
    let outcome = ending.outcome.name();
    let statement = sqlx::query(include_str!("schema/describe_ending.sql"))
        .bind(trial)
        .bind(outcome)
        .bind(&ending.cause)
        .bind(duration)
        .bind(attributes(session, &[("outcome", outcome), ("cause", &ending.cause)])?);
    session.run(statement)?;
    match (state, values) {
        ("FAIL", _) => {}
        ("PRUNED", None) => intermediate::last_as_value(session, trial)?,
        (_, values) => insert_values(session, trial, values.unwrap_or_default())?,
    }
    Ok(ended)
}

pub(crate) fn expect_running(session: &Session, trial: &TrialHandle, changed: u64) -> Result<(), StoreError> {
    match changed {
        0 => Err(StoreError::NotRunning { path: session.path.clone(), number: trial.number }),
        _ => Ok(()),
    }
}

fn insert(
    session: &mut Session,
    cache: &Cache,
    study: StudyId,
    new: &NewTrial,
) -> Result<TrialHandle, StoreError> {
    let (parameters, objectives) = cache.shape(session, study)?;
    let query = at_now!(
        "INSERT INTO trials (number, study_id, state, datetime_start) \
         VALUES ((SELECT count(*) FROM trials WHERE study_id = ?1), ?1, 'RUNNING',",
        ") RETURNING trial_id, number"
    );
    let row = session.row(sqlx::query(query).bind(study.0))?;
    let Some(row) = row else { return Err(StoreError::NoStudy { path: session.path.clone() }) };
    let id = column(session, &row, "trial_id")?;
    let handle = TrialHandle { id, number: column(session, &row, "number")?, objectives };
    describe(session, id, parameters, new)?;
    Ok(handle)
}

/// Makes a waiting trial a running one of this process, or a rejected one; `None` when it cannot be run, or when
/// somebody else was faster.
fn claim(
    session: &mut Session,
    parameters: &[Parameter],
    objectives: usize,
    waiting: &Waiting,
    filled: Result<NewTrial, String>,
    refused: &mut Vec<(u32, String)>,
) -> Result<Option<(TrialHandle, NewTrial)>, StoreError> {
    let query = at_now!(
        "UPDATE trials SET state = 'RUNNING', datetime_start =",
        "WHERE trial_id = ?1 AND state = 'WAITING'"
    );
    if session.run(sqlx::query(query).bind(waiting.id))? == 0 {
        return Ok(None);
    }
    match filled {
        Ok(new) => {
            describe(session, waiting.id, parameters, &new)?;
            Ok(Some((TrialHandle { id: waiting.id, number: waiting.number, objectives }, new)))
        }
        Err(reason) => {
            let (configuration, purpose) = (waiting.fixed.clone(), Purpose::Enqueued);
            let asked = NewTrial { configuration, purpose, round: 0, meant: Configuration::new() };
            describe(session, waiting.id, parameters, &asked)?;
            finish(session, waiting.id, &Ending::new(Outcome::Rejected, &reason), None, Some(0.0))?;
            refused.push((waiting.number, reason));
            Ok(None)
        }
    }
}

fn describe(
    session: &mut Session,
    trial: i64,
    parameters: &[Parameter],
    new: &NewTrial,
) -> Result<(), StoreError> {
    let (key, purpose, round) = (new.configuration.key(), new.purpose.name(), new.round.to_string());
    let noted = [("configuration", key.as_str()), ("purpose", purpose), ("round", round.as_str())];
    let statement = sqlx::query(include_str!("schema/describe_trial.sql"))
        .bind(trial)
        .bind(to_json(session, &new.configuration)?)
        .bind(purpose)
        .bind(new.round)
        .bind(session.worker.clone())
        .bind(now())
        .bind(to_json(session, &space::chosen(parameters, &new.configuration, &new.meant))?)
        .bind(attributes(session, &noted)?);
    session.run(statement).map(|_| ())
}

fn insert_values(session: &mut Session, trial: i64, values: &[f64]) -> Result<(), StoreError> {
    let query = "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?1, ?2, ?3, ?4)";
    for (objective, &value) in (0_i64..).zip(values) {
        let (number, kind) = number::written(value);
        session.run(sqlx::query(query).bind(trial).bind(objective).bind(number).bind(kind))?;
    }
    Ok(())
}

/// Attributes as JSON for the database; an empty one is left out.
fn attributes(session: &Session, pairs: &[(&str, &str)]) -> Result<String, StoreError> {
    let kept: Vec<&(&str, &str)> = pairs.iter().filter(|(_, text)| !text.is_empty()).collect();
    to_json(session, &kept)
}
