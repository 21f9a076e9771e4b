//! User attributes of a study: small named notes that a dashboard shows too.

use crate::error::StoreError;
use crate::session::{column, from_json, to_json};
use crate::store::Store;
use crate::study::StudyId;
use serde_json::Value as Json;

impl Store {
    /// Sets a user attribute of a study, in place of an earlier one of this name.
    ///
    /// # Errors
    /// The study is gone, or the file cannot be written.
    pub fn set_study_attribute(
        &mut self,
        study: StudyId,
        name: &str,
        value: &Json,
    ) -> Result<(), StoreError> {
        let value = to_json(&self.session, value)?;
        let query = "INSERT INTO study_user_attributes (study_id, \"key\", value_json) \
                     SELECT study_id, ?2, ?3 FROM studies WHERE study_id = ?1 \
                     ON CONFLICT (study_id, \"key\") DO UPDATE SET value_json = excluded.value_json";
        self.session.check_file()?;
        match self.session.run(sqlx::query(query).bind(study.0).bind(name).bind(value))? {
            0 => Err(StoreError::NoStudy { path: self.session.path.clone() }),
            _ => Ok(()),
        }
    }

    /// A user attribute of a study; `None` when it was never set.
    ///
    /// # Errors
    /// The file cannot be read, or the attribute is not JSON.
    pub fn study_attribute(&mut self, study: StudyId, name: &str) -> Result<Option<Json>, StoreError> {
        let query = "SELECT value_json FROM study_user_attributes WHERE study_id = ?1 AND \"key\" = ?2";
        let Some(row) = self.session.row(sqlx::query(query).bind(study.0).bind(name))? else {
            return Ok(None);
        };
        let text: &str = column(&self.session, &row, "value_json")?;
        from_json(&self.session, text, name).map(Some)
    }
}
