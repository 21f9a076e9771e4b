//! A stored search: what it depends on, and how it is found again.

mod judged;
mod seen;

use crate::adopt::{self, Fitted};
use crate::laboratory::Laboratory;
use crate::objective::{self, Objective};
use crate::quality::{QualityRequest, QualitySettings};
use crate::requirement::Requirement;
use gguflab_search::space::{Dimension, SpaceRequest};
use gguflab_search::{Budget, Choice, PrunerRow, SearchError, Space, TunePlan};
use gguflab_store::Objective as StoredObjective;
use gguflab_store::{NewStudy, Store, StoreError, Study};
use gguflab_types::knob::Forbidden;
use gguflab_types::{Configuration, Declared, DeclaredMetric, Facts, Protocol, Workload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Version of [`StudySettings`]; raised when an older program would misread them.
pub const SETTINGS_VERSION: u32 = 1;

/// The study's attribute that holds what may change of its settings.
const BUDGET: &str = "budget";
/// The settings that may change.
const CHANGEABLE: [&str; 3] = ["runs", "seconds", "pruner"];

/// Everything that a search depends on besides its subject and its trials. Two programs that work on one study
/// agree on all of it but the budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudySettings {
    /// [`SETTINGS_VERSION`].
    pub version: u32,
    /// What is run.
    pub workload: Workload,
    /// Name of the objective that is raced.
    pub objective: String,
    /// How a visit is measured.
    pub protocol: Protocol,
    /// The configuration to beat.
    pub baseline: Configuration,
    /// Name of the sampler, or `auto`.
    pub sampler: String,
    /// Visits in all.
    pub runs: u32,
    /// Seconds of trials in all, of all workers together.
    pub seconds: Option<f64>,
    /// Relative difference that does not matter.
    pub margin: f64,
    /// Seed of every random order.
    pub seed: u64,
    /// Name of the pruner; what is measured does not depend on it, and it may change.
    #[serde(default = "no_pruner")]
    pub pruner: String,
    /// Layers of the model.
    pub layers: u32,
    /// Experts of the model.
    pub experts: u32,
    /// The engine's own knobs, where it has some instead of those of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
    /// Combinations that are never run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<Forbidden>,
    /// Whether Optuna began the study: its space is that of its parameters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Names of all objectives, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<String>,
    /// Name of the objective that breaks ties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_break: Option<String>,
    /// What a configuration has to keep to, as it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// By what text quality is judged, where it is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualitySettings>,
    /// The metrics that the engine declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<DeclaredMetric>,
}

/// Studies from before there were pruners ran every trial to its end.
fn no_pruner() -> String {
    "none".to_string()
}

/// What a user asks to be tuned.
#[derive(Debug, Clone)]
pub struct TuneRequest {
    /// Name of the study.
    pub study: String,
    /// What is searched.
    pub space: SpaceRequest,
    /// The configuration to beat.
    pub baseline: Configuration,
    /// Whether the user named the objective; else a study that Optuna began may say it.
    pub objective_given: bool,
    /// What is made better, at least one.
    pub objectives: Vec<&'static Objective>,
    /// What breaks a tie.
    pub tie_break: Option<&'static Objective>,
    /// What a configuration has to keep to.
    pub requirements: Vec<Requirement>,
    /// By what text quality is judged; there if and only if a requirement is about it.
    pub quality: Option<QualityRequest>,
    /// Name of the sampler, or `auto`.
    pub sampler: String,
    /// What it may cost.
    pub budget: Budget,
    /// Relative difference that does not matter.
    pub margin: f64,
    /// Seed of every random order.
    pub seed: u64,
    /// What cuts trials.
    pub pruner: &'static PrunerRow,
    /// How a visit is measured.
    pub protocol: Protocol,
    /// How long things may take.
    pub deadlines: gguflab_types::Deadlines,
    /// Whether the study has to exist.
    pub resume: bool,
    /// Whether what lies off its neighbours' trend is run again once the search is over.
    pub recheck: bool,
}

impl TuneRequest {
    /// What is raced: the one objective, or of several the time of the workload.
    #[must_use]
    pub fn raced(&self) -> &'static Objective {
        match self.objectives.as_slice() {
            [only] => only,
            _ => &objective::OBJECTIVES[0],
        }
    }
}

/// Why a study cannot be tuned.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The space cannot be searched.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The objective does not go with the workload.
    #[error("objective {objective} means nothing for workload {workload}: it asks for no such tokens")]
    Objective {
        /// The objective.
        objective: String,
        /// The workload.
        workload: String,
    },
    /// There is nothing to resume.
    #[error("there is no study `{name}` in {file} to resume; leave out --resume to begin it")]
    Missing {
        /// The study.
        name: String,
        /// The file.
        file: String,
    },
    /// The study measures something else.
    #[error(
        "study `{name}` in {file} has another subject, and samples of two subjects are never mixed:\n{differences}\n\
         take another study with --study"
    )]
    Subject {
        /// The study.
        name: String,
        /// The file.
        file: String,
        /// What differs, a line each.
        differences: String,
    },
    /// The study was begun with other settings.
    #[error(
        "study `{name}` in {file} was begun with other settings ({differences}); repeat those, or take another study \
         with --study"
    )]
    Settings {
        /// The study.
        name: String,
        /// The file.
        file: String,
        /// What differs.
        differences: String,
    },
    /// A study that Optuna began cannot be gone on with.
    #[error("study `{name}` in {file} was begun by Optuna and cannot be gone on with: {reason}")]
    Adoption {
        /// The study.
        name: String,
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// Two studies measure different things.
    #[error(
        "study `{name}` in {file} and study `{into}` here do not measure the same, and samples of two subjects are never \
         mixed:\n{differences}\ncopy it under another name with `gguflab study copy`"
    )]
    Merge {
        /// The study there.
        name: String,
        /// Its file.
        file: String,
        /// The study here.
        into: String,
        /// What differs, a line each.
        differences: String,
    },
    /// The study's settings cannot be read.
    #[error(
        "study `{name}` has settings that this version cannot read ({problem}); use the version that wrote it"
    )]
    Unreadable {
        /// The study.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// A study with the plan of its search.
#[derive(Debug, Clone)]
pub struct OpenStudy {
    /// As it is stored.
    pub study: Study,
    /// What its search depends on.
    pub settings: StudySettings,
    /// The plan of its search.
    pub plan: TunePlan,
    /// What it makes better, and races.
    pub objective: &'static Objective,
    /// All that it makes better; with several, a front is looked for.
    pub objectives: Vec<&'static Objective>,
    /// What breaks a tie.
    pub tie_break: Option<&'static Objective>,
    /// What a configuration has to keep to.
    pub requirements: Vec<Requirement>,
}

impl OpenStudy {
    /// Puts the plan together from what is stored.
    ///
    /// # Errors
    /// [`StudyError::Unreadable`].
    pub fn read(study: Study) -> Result<OpenStudy, StudyError> {
        let unreadable = |problem: String| StudyError::Unreadable { name: study.name.clone(), problem };
        let version = study.settings.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(SETTINGS_VERSION)) {
            return Err(unreadable(format!(
                "version {version:?}, and this program reads {SETTINGS_VERSION}"
            )));
        }
        let settings: StudySettings =
            serde_json::from_value(study.settings.clone()).map_err(|error| unreadable(error.to_string()))?;
        let find = |name: &String| {
            let found = objective::find_among(name, &settings.metrics);
            found.ok_or_else(|| unreadable(format!("objective {name}")))
        };
        let objective = find(&settings.objective)?;
        let mut objectives = settings.objectives.iter().map(find).collect::<Result<Vec<_>, StudyError>>()?;
        if objectives.is_empty() {
            objectives.push(objective);
        }
        let tie_break = settings.tie_break.as_ref().map(find).transpose()?;
        let requirements = settings.requirements.iter();
        let requirements = requirements.map(|text| Requirement::parse(text, &settings.metrics));
        let requirements =
            requirements.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(error.to_string()))?;
        let facts = study.subject.machine.facts(settings.layers, settings.experts, &settings.workload);
        let forbidden = settings.forbidden.clone().into();
        let serves = gguflab_engine::serves(&study.subject.engine.kind);
        let facts = Facts { declared: settings.declared.clone(), forbidden, serves, ..facts };
        let dimensions = study.space.iter().map(|(name, values)| Dimension {
            knob: name.clone(),
            values: values.clone(),
            ordered: facts.knob(name).is_some_and(|knob| knob.ordered),
        });
        let space = Space::from_dimensions(&facts, settings.baseline.clone(), dimensions.collect());
        let plan = plan(space, &settings)?;
        Ok(OpenStudy { study, settings, plan, objective, objectives, tie_break, requirements })
    }

    /// The study of this name with the budget of the latest tune; `None` when there is none.
    ///
    /// # Errors
    /// [`StudyError::Store`] or [`StudyError::Unreadable`].
    pub fn find(store: &mut Store, name: &str) -> Result<Option<OpenStudy>, StudyError> {
        let Some(mut study) = store.find_study(name)? else { return Ok(None) };
        let budget = store.study_attribute(study.id, BUDGET)?;
        if let (Some(settings), Some(serde_json::Value::Object(budget))) =
            (study.settings.as_object_mut(), budget)
        {
            settings.extend(budget);
        }
        OpenStudy::read(study).map(Some)
    }

    /// Stores the parts of the settings that may change: the budget and the pruner.
    pub(crate) fn keep_budget(&self, store: &mut Store) -> Result<(), StoreError> {
        let StudySettings { runs, seconds, pruner, .. } = &self.settings;
        let budget = serde_json::json!({ "runs": runs, "seconds": seconds, "pruner": pruner });
        store.set_study_attribute(self.study.id, BUDGET, &budget)
    }
}

/// Finds the study that is asked for, or begins it.
///
/// # Errors
/// [`StudyError`] says what does not fit.
pub fn open_study(
    store: &mut Store,
    laboratory: &Laboratory,
    request: &TuneRequest,
) -> Result<(OpenStudy, Vec<String>), StudyError> {
    let Fitted { request, other, adopted } = &adopt::fit(store, laboratory, request)?;
    let (settings, space) = check_request(laboratory, request)?;
    let settings = StudySettings { adopted: *adopted, ..settings };
    let new = new_study(laboratory, request, &settings, &space);
    if let Some(other) = other {
        match store.adopt_study(other.id, &new) {
            // Another worker may have adopted it meanwhile.
            Ok(()) | Err(StoreError::StudyExists { .. }) => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    let study = match store.find_study(&request.study)? {
        Some(study) => study,
        None if request.resume => {
            let file = store.path().display().to_string();
            return Err(StudyError::Missing { name: request.study.clone(), file });
        }
        None => begin(store, &new)?,
    };
    let file = store.path().display().to_string();
    let warnings = check_subject(&study, laboratory, &file)?;
    check_settings(&study, &new, &file)?;
    // The budget may change: more of it goes on with the same search.
    let mut study = study;
    study.settings = new.settings;
    let mut open = OpenStudy::read(study)?;
    // By the machine as it was when the study began: what is free on its GPUs now is others' doing.
    open.plan = open.plan.with_forecaster(laboratory.forecaster(&open.study.subject.machine));
    Ok((open, warnings))
}

/// Checks what can be told without a store: that the space can be searched for the objective within the budget.
///
/// # Errors
/// [`StudyError::Objective`] or [`StudyError::Search`].
pub fn check_request(
    laboratory: &Laboratory,
    request: &TuneRequest,
) -> Result<(StudySettings, Space), StudyError> {
    let settings = settings(laboratory, request);
    let named = request.objectives.iter().chain(&request.tie_break);
    if let Some(objective) = named.copied().find(|objective| !objective.applies_to(&settings.workload)) {
        let (objective, workload) = (objective.name.to_string(), settings.workload.name.clone());
        return Err(StudyError::Objective { objective, workload });
    }
    let space = Space::requested(&laboratory.facts, &request.baseline, &request.space)?;
    plan(space.clone(), &settings)?.check()?;
    Ok((settings, space))
}

/// Begins a study; another worker may have begun the same one meanwhile.
fn begin(store: &mut Store, new: &NewStudy) -> Result<Study, StudyError> {
    match store.create_study(new) {
        Ok(_) | Err(StoreError::StudyExists { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let file = store.path().display().to_string();
    store.find_study(&new.name)?.ok_or(StudyError::Missing { name: new.name.clone(), file })
}

fn new_study(
    laboratory: &Laboratory,
    request: &TuneRequest,
    settings: &StudySettings,
    space: &Space,
) -> NewStudy {
    let dimensions = space.dimensions().iter();
    NewStudy {
        name: request.study.clone(),
        subject: laboratory.subject.clone(),
        space: dimensions.map(|dimension| (dimension.knob.clone(), dimension.values.clone())).collect(),
        objectives: request
            .objectives
            .iter()
            .map(|one| StoredObjective { metric: one.name.to_string(), direction: one.direction })
            .collect(),
        settings: serde_json::to_value(settings).unwrap_or_default(),
    }
}

fn settings(laboratory: &Laboratory, request: &TuneRequest) -> StudySettings {
    let names = request.objectives.iter().map(|objective| objective.name.to_string());
    let several = if request.objectives.len() > 1 { names.collect() } else { Vec::new() };
    StudySettings {
        version: SETTINGS_VERSION,
        workload: laboratory.workload().clone(),
        objective: request.raced().name.to_string(),
        protocol: request.protocol.clone(),
        baseline: request.baseline.canonical(&laboratory.facts),
        sampler: request.sampler.clone(),
        runs: request.budget.runs,
        seconds: request.budget.seconds,
        margin: request.margin,
        seed: request.seed,
        pruner: request.pruner.name.to_string(),
        layers: laboratory.facts.layers,
        experts: laboratory.facts.experts,
        declared: laboratory.facts.declared.clone(),
        forbidden: laboratory.facts.forbidden.to_vec(),
        adopted: false,
        objectives: several,
        tie_break: request.tie_break.map(|objective| objective.name.to_string()),
        requirements: request.requirements.iter().map(|one| one.text.clone()).collect(),
        quality: request.quality.as_ref().map(|quality| quality.settings.clone()),
        metrics: laboratory.metrics.clone(),
    }
}

fn plan(space: Space, settings: &StudySettings) -> Result<TunePlan, SearchError> {
    Ok(TunePlan {
        choice: Choice::parse(&settings.sampler)?,
        budget: Budget { runs: settings.runs, seconds: settings.seconds },
        margin: settings.margin,
        seed: settings.seed,
        several: settings.objectives.len() > 1,
        tie_break: settings.tie_break.is_some(),
        ..TunePlan::new(space)
    })
}

/// Refuses another subject; gives the differences that are only worth a warning.
fn check_subject(study: &Study, laboratory: &Laboratory, file: &str) -> Result<Vec<String>, StudyError> {
    let differences = study.subject.differences(&laboratory.subject);
    let line = |what: &str, first: &str, second: &str| format!("  {what}: there `{first}`, here `{second}`");
    let (essential, other): (Vec<_>, Vec<_>) =
        differences.iter().partition(|difference| difference.essential);
    if essential.is_empty() {
        let warn = |what: &str| format!("since the study was begun, this has changed: {what}");
        return Ok(other.iter().map(|row| warn(&line(row.what, &row.first, &row.second))).collect());
    }
    let lines: Vec<String> = essential.iter().map(|row| line(row.what, &row.first, &row.second)).collect();
    Err(StudyError::Subject {
        name: study.name.clone(),
        file: file.to_string(),
        differences: lines.join("\n"),
    })
}

fn check_settings(study: &Study, new: &NewStudy, file: &str) -> Result<(), StudyError> {
    let mut differences = Vec::new();
    if study.space != new.space {
        differences.push("the knobs that are searched".to_string());
    }
    let (old, wanted) = (&study.settings, &new.settings);
    let names: BTreeSet<&String> = [old, wanted]
        .into_iter()
        .filter_map(|settings| settings.as_object())
        .flat_map(|all| all.keys())
        .collect();
    for name in names.into_iter().filter(|name| !CHANGEABLE.contains(&name.as_str())) {
        if old.get(name) != wanted.get(name) {
            differences.push(name.clone());
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let (name, file) = (study.name.clone(), file.to_string());
    Err(StudyError::Settings { name, file, differences: differences.join(", ") })
}

#[cfg(test)]
mod tests;
