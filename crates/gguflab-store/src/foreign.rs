//! What other programs have put into a study: its parameters, their trials, their queue.

use crate::distribution::Distribution;
use crate::error::StoreError;
use crate::number;
use crate::session::{Session, column, damaged, from_json, to_json};
use crate::space::{self, Found, Parameter};
use crate::study::StudyId;
use gguflab_types::{Configuration, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A parameter of a trial: name, number, distribution.
pub(crate) type Stored = (String, f64, String);

/// The distributions that the trials of a study have, each once, in the order of the last trial that has it.
pub(crate) fn distributions(session: &mut Session, study: StudyId) -> Result<Vec<Found>, StoreError> {
    let query = "SELECT p.param_name, p.distribution_json, min(t.number) AS first, max(t.trial_id) AS last \
                 FROM trial_params p JOIN trials t ON t.trial_id = p.trial_id WHERE t.study_id = ?1 \
                 GROUP BY p.param_name, p.distribution_json ORDER BY last, p.param_name";
    let mut found = Vec::new();
    for row in &session.rows(sqlx::query(query).bind(study.0))? {
        let name: String = column(session, row, "param_name")?;
        let written: String = column(session, row, "distribution_json")?;
        let trial: u32 = column(session, row, "first")?;
        let distribution = Distribution::read(&written).map_err(|problem| {
            damaged(session, format!("parameter {name} of trial {trial} has no distribution: {problem}"))
        })?;
        found.push(Found { name, distribution, written, trial });
    }
    Ok(found)
}

/// The parameters of a study whose space is known: as trials have them, else as we write them.
pub(crate) fn parameters(
    session: &mut Session,
    study: StudyId,
    space: &[(String, Vec<Value>)],
) -> Result<Vec<Parameter>, StoreError> {
    let own = space::parameters(space).map_err(|reason| damaged(session, reason))?;
    let found = distributions(session, study)?;
    let settled = space::settled(&found).map_err(|reason| disagreement(session, reason))?;
    Ok(space::as_found(own, settled))
}

/// Rows that each program could have written, but that no study holds together.
pub(crate) fn disagreement(session: &Session, reason: impl Into<String>) -> StoreError {
    StoreError::Disagreement { path: session.path.clone(), reason: reason.into() }
}

/// The parameters of some trials.
pub(crate) fn stored(
    session: &mut Session,
    trials: &[i64],
) -> Result<BTreeMap<i64, Vec<Stored>>, StoreError> {
    let query = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params \
                 WHERE trial_id IN (SELECT value FROM json_each(?1)) ORDER BY param_id";
    let mut stored: BTreeMap<i64, Vec<Stored>> = BTreeMap::new();
    if trials.is_empty() {
        return Ok(stored);
    }
    let trials = to_json(session, &trials)?;
    for row in &session.rows(sqlx::query(query).bind(trials))? {
        let parameter = (
            column(session, row, "param_name")?,
            column(session, row, "param_value")?,
            column(session, row, "distribution_json")?,
        );
        stored.entry(column(session, row, "trial_id")?).or_default().push(parameter);
    }
    Ok(stored)
}

/// The configuration that the parameters of a trial stand for.
pub(crate) fn configuration(
    session: &Session,
    parameters: &[Parameter],
    trial: u32,
    stored: &[Stored],
) -> Result<Configuration, StoreError> {
    stored.iter().try_fold(Configuration::new(), |made, (name, number, written)| {
        match space::setting(parameters, name, *number, written) {
            Some((knob, value)) => Ok(made.with(knob, value)),
            None => Err(disagreement(
                session,
                format!("parameter {name} of trial {trial} has the value {number}, which `{written}` does not hold"),
            )),
        }
    })
}

/// The objective values of some trials, in the order of the objectives.
pub(crate) fn values(session: &mut Session, trials: &[i64]) -> Result<BTreeMap<i64, Vec<f64>>, StoreError> {
    let query = "SELECT trial_id, value, value_type FROM trial_values \
                 WHERE trial_id IN (SELECT value FROM json_each(?1)) ORDER BY trial_id, objective";
    let mut values: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    if trials.is_empty() {
        return Ok(values);
    }
    let trials = to_json(session, &trials)?;
    for row in &session.rows(sqlx::query(query).bind(trials))? {
        let kind: &str = column(session, row, "value_type")?;
        let value = number::read(column(session, row, "value")?, kind)
            .ok_or_else(|| damaged(session, format!("a value is of type `{kind}`")))?;
        values.entry(column(session, row, "trial_id")?).or_default().push(value);
    }
    Ok(values)
}

/// A trial that waits to be run.
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) number: u32,
    /// What it is to be run with, as far as that was said.
    pub(crate) fixed: Configuration,
}

/// The queue of a study, first come first.
pub(crate) fn waiting(
    session: &mut Session,
    study: StudyId,
    parameters: &[Parameter],
) -> Result<Vec<Waiting>, StoreError> {
    let query = "SELECT t.trial_id, t.number, a.value_json FROM trials t LEFT JOIN trial_system_attributes a \
                 ON a.trial_id = t.trial_id AND a.\"key\" = 'fixed_params' \
                 WHERE t.study_id = ?1 AND t.state = 'WAITING' ORDER BY t.trial_id";
    let rows = session.rows(sqlx::query(query).bind(study.0))?;
    let ids = rows.iter().map(|row| column(session, row, "trial_id")).collect::<Result<Vec<i64>, _>>()?;
    let mut stored = stored(session, &ids)?;
    let mut waiting = Vec::new();
    for (row, id) in rows.iter().zip(ids) {
        let number = column(session, row, "number")?;
        let stored = stored.remove(&id).unwrap_or_default();
        let mut fixed = configuration(session, parameters, number, &stored)?;
        let text: Option<&str> = column(session, row, "value_json")?;
        let named: BTreeMap<String, Json> =
            text.map(|text| from_json(session, text, "fixed_params")).transpose()?.unwrap_or_default();
        for (name, value) in &named {
            let (knob, value) = space::external(parameters, name, value);
            fixed = fixed.with(knob, value);
        }
        waiting.push(Waiting { id, number, fixed });
    }
    Ok(waiting)
}
