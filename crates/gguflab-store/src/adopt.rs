//! Studies that Optuna began, and that are gone on with here.

use crate::distribution::Distribution;
use crate::error::StoreError;
use crate::foreign;
use crate::session::{Session, column, from_json};
use crate::space::{self, Found};
use crate::store::Store;
use crate::study::{NewStudy, StudyId, check, find, insert_own};
use gguflab_types::Value;
use gguflab_types::knob::alias;
use gguflab_types::metric::Direction;

/// A study that another program made and that nobody adopted yet.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherStudy {
    /// Which one in this file.
    pub id: StudyId,
    /// Its name.
    pub name: String,
    /// Which way is better, for each objective; neutral where the study does not say.
    pub directions: Vec<Direction>,
    /// Names of the objectives, if they were given.
    pub metrics: Option<Vec<String>>,
    /// Its parameters, as its trials have them; the latest bounds count.
    pub parameters: Vec<OtherParameter>,
}

/// A parameter of such a study.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherParameter {
    /// Its name there.
    pub name: String,
    /// What we call it; the same name when it is no knob that we know.
    pub knob: String,
    /// What it may be.
    pub distribution: Distribution,
}

/// Values of a range that are listed one by one; of a longer one as many are spread over it.
const LISTED: i64 = 1024;
/// Values of a range of real numbers without steps.
const SPREAD: i64 = 33;

impl OtherParameter {
    /// Whether a trial of the study may have this setting.
    #[must_use]
    pub fn holds(&self, setting: &Value) -> bool {
        match (&self.distribution, setting) {
            (_, Value::Auto) => true,
            (Distribution::Categorical { .. }, _) => self.values().contains(setting),
            (range, _) => range.number(&serde_json::json!(setting)).is_some(),
        }
    }

    /// Values of the knob that the distribution holds, each once: all of them, or of a long range some: the powers of
    /// two where it is logarithmic, else evenly spread.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = match &self.distribution {
            Distribution::Integer { log, step, low, high } => integers(*low, *high, *step, *log),
            Distribution::Float { step, low, high, log } => numbers(*low, *high, *step, *log),
            Distribution::Categorical { choices } => {
                choices.iter().map(|choice| space::meaning(&self.knob, choice)).collect()
            }
        };
        let mut listed: Vec<Value> = Vec::new();
        values.retain(|value| {
            let new = !listed.contains(value);
            listed.push(value.clone());
            new
        });
        values
    }
}

fn integers(low: i64, high: i64, step: i64, log: bool) -> Vec<Value> {
    let count = high.saturating_sub(low) / step;
    let spread = |index: i64| low + (count as f64 * index as f64 / (LISTED - 1) as f64).round() as i64 * step;
    let numbers: Vec<i64> = match (log, count) {
        (_, ..32) | (false, ..LISTED) => (0..=count).map(|index| low + index * step).collect(),
        (true, _) => {
            let doubled = std::iter::successors(Some(low.max(1)), |number| number.checked_mul(2));
            doubled.take_while(|number| *number < high).chain([high]).collect()
        }
        (false, _) => (0..LISTED).map(spread).collect(),
    };
    numbers.into_iter().map(Value::Integer).collect()
}

fn numbers(low: f64, high: f64, step: Option<f64>, log: bool) -> Vec<Value> {
    let steps =
        step.map_or(SPREAD - 1, |step| ((high - low) / step + 1e-8).floor().min(LISTED as f64) as i64);
    let at = |index: i64| match step {
        Some(step) => low + index as f64 * step,
        None if log && low > 0.0 => low * (high / low).powf(index as f64 / steps as f64),
        None => low + (high - low) * index as f64 / steps as f64,
    };
    (0..=steps).map(|index| Value::Number(at(index).clamp(low, high))).collect()
}

impl Store {
    /// The study of this name as another program made it; `None` when there is none, or when it is one of ours.
    ///
    /// # Errors
    /// Its trials do not agree on its parameters; the file cannot be read.
    pub fn other_study(&mut self, name: &str) -> Result<Option<OtherStudy>, StoreError> {
        let session = &mut self.session;
        let Some(id) = find(session, name)? else { return Ok(None) };
        let query = "SELECT 1 FROM gguflab_studies WHERE study_id = ?1";
        if session.row(sqlx::query(query).bind(id.0))?.is_some() {
            return Ok(None);
        }
        let found = foreign::distributions(session, id)?;
        let settled = space::settled(&found).map_err(|reason| foreign::disagreement(session, reason))?;
        let parameter = |found: Found| OtherParameter {
            knob: alias::our_name(&found.name).to_string(),
            name: found.name,
            distribution: found.distribution,
        };
        let directions = directions(session, id)?;
        let metrics = metrics(session, id)?;
        let parameters = settled.into_iter().map(parameter).collect();
        Ok(Some(OtherStudy { id, name: name.to_string(), directions, metrics, parameters }))
    }

    /// Makes the study that another program began one of ours too: from now on it has a subject. Its trials and
    /// parameters stay as they are; names of its objectives are added if it has none.
    ///
    /// # Errors
    /// It is gone or was adopted meanwhile, the number of objectives is another, or the file cannot be written.
    pub fn adopt_study(&mut self, study: StudyId, adopted: &NewStudy) -> Result<(), StoreError> {
        check(adopted)?;
        self.session.transaction(|session| {
            if find(session, &adopted.name)? != Some(study) {
                return Err(StoreError::NoStudy { path: session.path.clone() });
            }
            let query = "SELECT 1 FROM gguflab_studies WHERE study_id = ?1";
            if session.row(sqlx::query(query).bind(study.0))?.is_some() {
                return Err(StoreError::StudyExists {
                    path: session.path.clone(),
                    name: adopted.name.clone(),
                });
            }
            let (expected, given) = (directions(session, study)?.len(), adopted.objectives.len());
            if expected != given {
                let reason = format!("it has {expected} objectives, not {given}");
                return Err(StoreError::InvalidStudy { name: adopted.name.clone(), reason });
            }
            insert_own(session, study, adopted)
        })
    }
}

fn directions(session: &mut Session, study: StudyId) -> Result<Vec<Direction>, StoreError> {
    let query = "SELECT direction FROM study_directions WHERE study_id = ?1 ORDER BY objective";
    let rows = session.rows(sqlx::query(query).bind(study.0))?;
    let read = rows.iter().map(|row| column::<&str>(session, row, "direction").map(direction));
    read.collect()
}

pub(crate) fn direction(name: &str) -> Direction {
    match name {
        "MAXIMIZE" => Direction::Higher,
        "MINIMIZE" => Direction::Lower,
        _ => Direction::Neutral,
    }
}

fn metrics(session: &mut Session, study: StudyId) -> Result<Option<Vec<String>>, StoreError> {
    let query = "SELECT value_json FROM study_system_attributes WHERE study_id = ?1 AND \"key\" = 'study:metric_names'";
    let Some(row) = session.row(sqlx::query(query).bind(study.0))? else { return Ok(None) };
    let text: &str = column(session, &row, "value_json")?;
    from_json(session, text, "study:metric_names").map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(distribution: &str) -> String {
        let distribution = Distribution::read(distribution).unwrap();
        let parameter = OtherParameter { name: "fa".into(), knob: "flash-attention".into(), distribution };
        parameter.values().iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn distributions_become_lists_of_values() {
        let integers =
            |rest: &str| values(&format!(r#"{{"name": "IntDistribution", "attributes": {{{rest}}}}}"#));
        assert_eq!(integers(r#""low": 2, "high": 9, "step": 3"#), "2 5 8");
        assert_eq!(integers(r#""low": 1, "high": 6, "log": true"#), "1 2 3 4 5 6");
        assert_eq!(integers(r#""low": 48, "high": 300, "log": true"#), "48 96 192 300");
        let long = integers(r#""low": 0, "high": 100000"#);
        assert!(long.starts_with("0 98 ") && long.ends_with(" 100000"), "{long}");
        let numbers =
            |rest: &str| values(&format!(r#"{{"name": "FloatDistribution", "attributes": {{{rest}}}}}"#));
        assert_eq!(numbers(r#""low": 0.5, "high": 1.5, "step": 0.5"#), "0.5 1 1.5");
        assert_eq!(numbers(r#""low": 1, "high": 4, "log": true"#).split(' ').count(), 33);
        let choices =
            r#"{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1, "off", null]}}"#;
        assert_eq!(values(choices), "off on auto");
    }
}
