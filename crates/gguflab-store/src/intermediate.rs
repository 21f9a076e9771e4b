//! Values on the way: the objective as it was seen after each step of a running trial, for pruners.

use crate::error::StoreError;
use crate::number;
use crate::session::{Session, column, damaged, to_json};
use crate::store::Store;
use crate::trial::{TrialHandle, expect_running};
use std::collections::BTreeMap;

impl Store {
    /// Keeps the first objective of a running trial as it is seen after a step (a repetition, say), in the unit of
    /// the objective. A value that is there for this step is replaced.
    ///
    /// # Errors
    /// The trial has ended, or the file cannot be written.
    pub fn append_intermediate(
        &mut self,
        trial: &TrialHandle,
        step: u32,
        value: f64,
    ) -> Result<(), StoreError> {
        let query = "INSERT INTO trial_intermediate_values \
                     (trial_id, step, intermediate_value, intermediate_value_type) \
                     SELECT trial_id, ?2, ?3, ?4 FROM trials WHERE trial_id = ?1 AND state = 'RUNNING' \
                     ON CONFLICT (trial_id, step) DO UPDATE SET intermediate_value = excluded.intermediate_value, \
                     intermediate_value_type = excluded.intermediate_value_type";
        let (number, kind) = number::written(value);
        self.session.check_file()?;
        let added = self.session.run(sqlx::query(query).bind(trial.id).bind(step).bind(number).bind(kind))?;
        expect_running(&self.session, trial, added)
    }
}

/// Makes the last intermediate value the value of a pruned trial, as Optuna does: not when it is no number, and not
/// with several objectives.
pub(crate) fn last_as_value(session: &mut Session, trial: i64) -> Result<(), StoreError> {
    let query = "INSERT INTO trial_values (trial_id, objective, value, value_type) \
                 SELECT i.trial_id, 0, i.intermediate_value, i.intermediate_value_type \
                 FROM trial_intermediate_values i JOIN trials t ON t.trial_id = i.trial_id \
                 WHERE i.trial_id = ?1 AND i.intermediate_value_type <> 'NAN' \
                 AND i.step = (SELECT max(step) FROM trial_intermediate_values WHERE trial_id = ?1) \
                 AND 1 = (SELECT count(*) FROM study_directions WHERE study_id = t.study_id)";
    session.run(sqlx::query(query).bind(trial)).map(|_| ())
}

/// The intermediate values of some trials, by trial and step.
pub(crate) fn read(
    session: &mut Session,
    trials: &[i64],
) -> Result<BTreeMap<i64, BTreeMap<u32, f64>>, StoreError> {
    let mut found: BTreeMap<i64, BTreeMap<u32, f64>> = BTreeMap::new();
    if trials.is_empty() {
        return Ok(found);
    }
    let query = "SELECT trial_id, step, intermediate_value, intermediate_value_type \
                 FROM trial_intermediate_values WHERE trial_id IN (SELECT value FROM json_each(?1))";
    let trials = to_json(session, &trials)?;
    for row in &session.rows(sqlx::query(query).bind(trials))? {
        let (step, kind): (u32, &str) =
            (column(session, row, "step")?, column(session, row, "intermediate_value_type")?);
        let value = number::read(column(session, row, "intermediate_value")?, kind)
            .ok_or_else(|| damaged(session, format!("an intermediate value is of type `{kind}`")))?;
        found.entry(column(session, row, "trial_id")?).or_default().insert(step, value);
    }
    Ok(found)
}
