//! Studies that Optuna began: which knobs, values and objective they stand for.

use crate::laboratory::Laboratory;
use crate::objective::{self, OBJECTIVES, Objective};
use crate::study::{StudyError, StudySettings, TuneRequest};
use gguflab_search::space::Items;
use gguflab_search::{Space, SpaceRequest};
use gguflab_store::{OtherParameter, OtherStudy, Store, Study};
use gguflab_types::{Direction, Facts, Value};

/// What other programs call our objectives.
const NAMES: &[(&str, &str)] = &[
    ("decode_tps", "decode"),
    ("latency", "time"),
    ("pp", "prefill"),
    ("prefill_tps", "prefill"),
    ("request", "time"),
    ("tg", "decode"),
    ("tokens_per_second", "decode"),
    ("tps", "decode"),
    ("ttft", "first-token"),
];

/// A request that fits the study that is there.
pub(crate) struct Fitted {
    /// The request, with the objective and the space of the study where it says nothing of its own.
    pub(crate) request: TuneRequest,
    /// The study of Optuna that is to be adopted first.
    pub(crate) other: Option<OtherStudy>,
    /// Whether the study was begun by Optuna.
    pub(crate) adopted: bool,
}

/// Fits a request to a study that Optuna began; any other request stays as it is.
///
/// # Errors
/// [`StudyError::Adoption`] says what does not fit.
pub(crate) fn fit(
    store: &mut Store,
    laboratory: &Laboratory,
    request: &TuneRequest,
) -> Result<Fitted, StudyError> {
    let file = store.path().display().to_string();
    let refuse =
        |reason: String| StudyError::Adoption { name: request.study.clone(), file: file.clone(), reason };
    if let Some(other) = store.other_study(&request.study)? {
        let objectives = objectives_of(&other, request).map_err(refuse)?;
        let space = space_of(&other.parameters, laboratory, request).map_err(refuse)?;
        let request = TuneRequest { objectives, space, ..request.clone() };
        return Ok(Fitted { request, other: Some(other), adopted: true });
    }
    let known = store.find_study(&request.study)?;
    let Some((study, settings)) = known.as_ref().and_then(of_adopted) else {
        return Ok(Fitted { request: request.clone(), other: None, adopted: false });
    };
    let mut request = request.clone();
    if !request.objective_given {
        let names = if settings.objectives.is_empty() {
            std::slice::from_ref(&settings.objective)
        } else {
            &settings.objectives[..]
        };
        let found: Option<Vec<_>> = names.iter().map(|name| objective::find(name)).collect();
        request.objectives = found.unwrap_or(request.objectives);
    }
    let dimensions = study.space.iter().map(|(knob, values)| (knob.as_str(), values.as_slice()));
    let kept: Vec<_> = dimensions.filter(|(knob, _)| asked(&request.space, knob)).collect();
    request.space = request.space.over(listed(kept.into_iter()));
    Ok(Fitted { request, other: None, adopted: true })
}

fn of_adopted(study: &Study) -> Option<(&Study, StudySettings)> {
    let settings: StudySettings = serde_json::from_value(study.settings.clone()).ok()?;
    settings.adopted.then_some((study, settings))
}

/// What a study of Optuna makes better: what the user says, else what the study calls it.
fn objectives_of(other: &OtherStudy, request: &TuneRequest) -> Result<Vec<&'static Objective>, String> {
    let names = other.metrics.as_deref().unwrap_or_default();
    let found = match (&other.directions[..], names) {
        _ if request.objective_given => request.objectives.clone(),
        ([direction], []) => {
            let fitting = OBJECTIVES.iter().filter(|one| fits(*direction, one));
            let names: Vec<&str> = fitting.map(|one| one.name).collect();
            return Err(format!(
                "it does not name its objective: say with --objective which of {} it is",
                names.join(", ")
            ));
        }
        _ => names.iter().map(|name| known(name)).collect::<Result<Vec<_>, String>>()?,
    };
    if found.len() != other.directions.len() {
        let count = other.directions.len();
        return Err(format!("it has {count} objectives: name as many with --objective, in its order"));
    }
    let mut pairs = other.directions.iter().zip(&found);
    match pairs.find(|(direction, objective)| !fits(**direction, objective)) {
        None => Ok(found),
        Some((direction, objective)) => {
            let way = if *direction == Direction::Higher { "maximised" } else { "minimised" };
            Err(format!(
                "its objective is {way}, which does not go with {}: name another one with --objective",
                objective.name
            ))
        }
    }
}

fn known(name: &str) -> Result<&'static Objective, String> {
    named(name).ok_or_else(|| {
        format!("its objective is called `{name}`, which says nothing here: name it with --objective")
    })
}

fn fits(direction: Direction, objective: &Objective) -> bool {
    direction == Direction::Neutral || direction == objective.direction
}

fn named(name: &str) -> Option<&'static Objective> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let alias = NAMES.iter().find(|(other, _)| *other == plain).map(|(_, ours)| *ours);
    objective::find(name).or_else(|| objective::find(alias?))
}

/// The space of a study's parameters, or the part of it that is asked for. A study without parameters takes ours.
fn space_of(
    parameters: &[OtherParameter],
    laboratory: &Laboratory,
    request: &TuneRequest,
) -> Result<SpaceRequest, String> {
    if parameters.is_empty() {
        return Ok(request.space.clone());
    }
    let mut dimensions: Vec<(&str, Vec<Value>)> = Vec::new();
    for parameter in parameters {
        if dimensions.iter().any(|(knob, _)| *knob == parameter.knob) {
            return Err(format!("two of its parameters are the knob {}", parameter.knob));
        }
        dimensions.push((&parameter.knob, values_of(parameter, &laboratory.facts)?));
    }
    let of_knob = |knob: &str| parameters.iter().find(|parameter| parameter.knob == knob);
    for (knob, setting) in request.baseline.settings() {
        if let Some(parameter) = of_knob(knob).filter(|parameter| !parameter.holds(setting)) {
            return Err(not_held("--baseline", setting, parameter));
        }
    }
    let asked =
        |knob: &str| request.space.only.is_empty() || request.space.only.iter().any(|name| name == knob);
    let kept = dimensions.iter().filter(|(knob, _)| asked(knob));
    let space = request.space.clone().over(listed(kept.map(|(knob, values)| (*knob, values.as_slice()))));
    let searched = Space::requested(&laboratory.facts, &request.baseline, &space);
    for dimension in searched.map_err(|problem| problem.to_string())?.dimensions() {
        let Some(parameter) = of_knob(&dimension.knob) else { continue };
        if let Some(value) = dimension.values.iter().find(|value| !parameter.holds(value)) {
            return Err(not_held("--knob", value, parameter));
        }
    }
    Ok(space)
}

fn not_held(argument: &str, value: &Value, parameter: &OtherParameter) -> String {
    let OtherParameter { name, knob, distribution } = parameter;
    let held = distribution.in_words();
    format!(
        "{argument} {knob}={value}: its parameter `{name}` takes {held}, and Optuna lets that change for nobody"
    )
}

/// The values of a parameter in the knob's own form.
fn values_of(parameter: &OtherParameter, facts: &Facts) -> Result<Vec<Value>, String> {
    let OtherParameter { name, knob, distribution } = parameter;
    let Some(known) = facts.knob(knob) else {
        return Err(format!("its parameter `{name}` is no knob (see `gguflab list knobs`)"));
    };
    let checked = |value: Value| match known.check(&whole(value)) {
        Ok(value) => Ok(value),
        Err(reason) => Err(format!("its parameter `{name}` takes {}: {reason}", distribution.in_words())),
    };
    parameter.values().into_iter().map(checked).collect()
}

/// A whole number that is written with a decimal point.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::Integer(number as i64)
        }
        other => other,
    }
}

/// Whether a knob is among those that the user wants searched.
fn asked(space: &SpaceRequest, knob: &str) -> bool {
    space.only.is_empty() || space.only.iter().any(|name| name == knob)
}

/// A request for these dimensions and no others.
fn listed<'a>(dimensions: impl Iterator<Item = (&'a str, &'a [Value])>) -> SpaceRequest {
    let mut request = SpaceRequest::default();
    for (name, values) in dimensions {
        request.only.push(name.to_string());
        let values = values.iter().map(Value::to_string).collect();
        request.items.push((name.to_string(), Items::List(values)));
    }
    request
}
