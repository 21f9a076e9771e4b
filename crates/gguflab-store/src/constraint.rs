//! What a trial misses of what is required, as Optuna keeps it.

use crate::error::StoreError;
use crate::session::to_json;
use crate::store::Store;
use crate::trial::{TrialHandle, expect_running};

impl Store {
    /// Keeps by how much a running trial misses each constraint of its study, in the constraint's own unit; 0 and below
    /// is met. Always as many and in the same order within a study. Values that are no number are refused by Optuna: a
    /// trial of which one is not known has none.
    ///
    /// # Errors
    /// The trial has ended, or the file cannot be written.
    pub fn set_constraints(&mut self, trial: &TrialHandle, misses: &[f64]) -> Result<(), StoreError> {
        let value = to_json(&self.session, &misses)?;
        let query = "INSERT INTO trial_system_attributes (trial_id, \"key\", value_json) \
                     SELECT trial_id, 'constraints', ?2 FROM trials WHERE trial_id = ?1 AND state = 'RUNNING' \
                     ON CONFLICT (trial_id, \"key\") DO UPDATE SET value_json = excluded.value_json";
        self.session.check_file()?;
        let set = self.session.run(sqlx::query(query).bind(trial.id).bind(value))?;
        expect_running(&self.session, trial, set)
    }
}
