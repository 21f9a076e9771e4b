//! The study's space as Optuna's categorical distributions.
//!
//! Optuna finds a choice by equality, and for Python `True == 1 == 1.0`: a list of choices is therefore of one
//! kind (switches, numbers or words), and a mixed one is written as words.

use crate::distribution::{Distribution, same};
use gguflab_types::knob::{self, alias};
use gguflab_types::{Configuration, Value};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// One knob of a study as a parameter of Optuna.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// Name of the knob.
    pub(crate) knob: String,
    /// Name of the parameter.
    pub(crate) name: String,
    /// What each choice sets the knob to, in an order that never changes; empty for ranges.
    pub(crate) choices: Vec<Value>,
    /// What it may be.
    pub(crate) distribution: Distribution,
    /// The distribution as Optuna writes it.
    pub(crate) written: String,
    /// Whether another program chose the distribution: it holds what its trials may be, and nothing else.
    pub(crate) foreign: bool,
}

/// A distribution that some trial of a study has.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Name of the parameter.
    pub(crate) name: String,
    /// What it may be.
    pub(crate) distribution: Distribution,
    /// As it is stored.
    pub(crate) written: String,
    /// Number of the first trial that has it.
    pub(crate) trial: u32,
}

/// The parameters of a space, or what Optuna could not hold.
pub(crate) fn parameters(space: &[(String, Vec<Value>)]) -> Result<Vec<Parameter>, String> {
    let mut names = BTreeSet::new();
    let mut parameters = Vec::with_capacity(space.len());
    for (name, values) in space {
        if !names.insert(name) {
            return Err(format!("knob {name} is in the space twice"));
        }
        if name.is_empty() || name.chars().count() > 512 {
            return Err(format!("`{name}` cannot be the name of a knob: it takes 1 to 512 characters"));
        }
        parameters.push(parameter(name, values).map_err(|reason| format!("knob {name}: {reason}"))?);
    }
    Ok(parameters)
}

/// One distribution for each parameter, the latest one, or what disagrees. `found` is in the order of the trials.
pub(crate) fn settled(found: &[Found]) -> Result<Vec<Found>, String> {
    let mut settled: Vec<Found> = Vec::new();
    for one in found {
        match settled.iter_mut().find(|known| known.name == one.name) {
            None => settled.push(one.clone()),
            Some(known) => {
                known.distribution.agrees(&one.distribution).map_err(|problem| {
                    format!(
                        "parameter `{}` has {problem} in trial {} ({}) than in trial {} ({})",
                        one.name,
                        one.trial,
                        one.distribution.in_words(),
                        known.trial,
                        known.distribution.in_words()
                    )
                })?;
                *known = one.clone();
            }
        }
    }
    Ok(settled)
}

/// The parameters of a space where some of them are settled by what trials have: those take the trials' names and
/// distributions, which Optuna would not let change.
pub(crate) fn as_found(own: Vec<Parameter>, settled: Vec<Found>) -> Vec<Parameter> {
    let mut parameters = own;
    let mut taken = BTreeSet::new();
    for found in settled {
        let knob = alias::our_name(&found.name);
        let Some(own) = parameters.iter_mut().find(|own| own.knob == knob) else { continue };
        let same_as_own = own.name == found.name && own.distribution.agrees(&found.distribution).is_ok();
        if taken.insert(knob.to_string()) && !same_as_own {
            *own = of_other(found);
        }
    }
    parameters
}

/// A parameter of another program as one of a knob.
fn of_other(found: Found) -> Parameter {
    let knob = alias::our_name(&found.name).to_string();
    let choices = match &found.distribution {
        Distribution::Categorical { choices } => {
            choices.iter().map(|choice| meaning(&knob, choice)).collect()
        }
        _ => Vec::new(),
    };
    let Found { name, distribution, written, .. } = found;
    Parameter { knob, name, choices, distribution, written, foreign: true }
}

impl Parameter {
    /// The number by which a setting is stored; `None` when the distribution does not hold it.
    fn number(&self, setting: &Value) -> Option<f64> {
        match (&self.distribution, setting) {
            (Distribution::Categorical { .. }, _) => {
                self.choices.iter().position(|choice| choice == setting).map(|index| index as f64)
            }
            (other, Value::Integer(_) | Value::Number(_)) => other.number(&serde_json::json!(setting)),
            _ => None,
        }
    }
}

/// The first setting that a distribution of another program does not hold, in words.
pub(crate) fn not_held(parameters: &[Parameter], configuration: &Configuration) -> Option<String> {
    configuration.settings().find_map(|(knob, setting)| {
        let parameter = parameters.iter().find(|one| one.knob == knob && one.foreign)?;
        let held = parameter.number(setting).is_some();
        let words = parameter.distribution.in_words();
        (!held).then(|| format!("{knob}={setting}: the study's parameter `{}` takes {words}", parameter.name))
    })
}

/// The parameters of a configuration: name, number, distribution. A setting that its distribution does not hold is left
/// out; `meant` says what unset knobs come to, for distributions that hold no `auto`.
pub(crate) fn chosen<'a>(
    parameters: &'a [Parameter],
    configuration: &Configuration,
    meant: &Configuration,
) -> Vec<(&'a str, f64, &'a str)> {
    let number = |parameter: &Parameter| match configuration.get(&parameter.knob) {
        Value::Auto => {
            let auto = parameter.number(&Value::Auto);
            auto.or_else(|| parameter.number(meant.get(&parameter.knob)))
        }
        set => parameter.number(set),
    };
    parameters
        .iter()
        .filter_map(|one| Some((one.name.as_str(), number(one)?, one.written.as_str())))
        .collect()
}

/// The knob and the setting that a parameter of another program stands for; `None` when it cannot be told.
pub(crate) fn setting<'a>(
    parameters: &'a [Parameter],
    name: &'a str,
    number: f64,
    written: &str,
) -> Option<(&'a str, Value)> {
    let distribution = Distribution::read(written).ok()?;
    let choice = distribution.value(number)?;
    Some(external(parameters, name, &choice))
}

/// The knob and the setting that a value in Optuna's own terms stands for.
pub(crate) fn external<'a>(parameters: &'a [Parameter], name: &'a str, value: &Json) -> (&'a str, Value) {
    let Some(known) = parameters.iter().find(|parameter| parameter.name == name) else {
        let knob = alias::our_name(name);
        return (knob, meaning(knob, value));
    };
    let index = known.distribution.number(value).map(|number| number as usize);
    let choice = index.and_then(|index| known.choices.get(index)).cloned();
    (&known.knob, choice.unwrap_or_else(|| meaning(&known.knob, value)))
}

/// What a value of another program sets a knob to: in our form where the knob takes it, else as it is written.
pub(crate) fn meaning(name: &str, value: &Json) -> Value {
    let plain = match value {
        Json::Null => Value::Auto,
        other => serde_json::from_value(other.clone()).unwrap_or_else(|_| Value::Text(other.to_string())),
    };
    knob::find(name).and_then(|knob| alias::read(knob, &plain).ok()).unwrap_or(plain)
}

fn parameter(name: &str, values: &[Value]) -> Result<Parameter, String> {
    let mut choices = values.to_vec();
    if !choices.contains(&Value::Auto) {
        // What an unset knob is: the baseline sets nothing.
        choices.push(Value::Auto);
    }
    let distribution = Distribution::Categorical { choices: write_choices(&choices)? };
    let written = serde_json::to_string(&distribution).map_err(|error| error.to_string())?;
    let (knob, name) = (name.to_string(), name.to_string());
    Ok(Parameter { knob, name, choices, distribution, written, foreign: false })
}

fn write_choices(choices: &[Value]) -> Result<Vec<Json>, String> {
    if choices.iter().any(|choice| choice.as_number().is_some_and(|number| !number.is_finite())) {
        return Err("a choice is not a finite number".to_string());
    }
    let kinds: BTreeSet<u8> = choices.iter().filter_map(kind).collect();
    let as_words = kinds.len() > 1;
    let written: Vec<Json> = choices
        .iter()
        .map(|choice| match choice {
            Value::Switch(on) if !as_words => Json::from(*on),
            Value::Integer(whole) if !as_words => Json::from(*whole),
            Value::Number(number) if !as_words => Json::from(*number),
            other => Json::from(other.to_string()),
        })
        .collect();
    for (index, choice) in written.iter().enumerate() {
        if written[..index].iter().any(|earlier| same(earlier, choice)) {
            return Err(format!("the choice {choice} is there twice"));
        }
    }
    Ok(written)
}

fn kind(value: &Value) -> Option<u8> {
    match value {
        Value::Auto => None,
        Value::Switch(_) => Some(0),
        Value::Integer(_) | Value::Number(_) => Some(1),
        Value::Text(_) | Value::BatchRatio(_) => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[&str]) -> Result<String, String> {
        let values: Vec<Value> = values.iter().map(|text| Value::parse(text)).collect();
        let parameters = parameters(&[("knob".to_string(), values)])?;
        let read: Json = serde_json::from_str(&parameters[0].written).unwrap();
        assert_eq!(read["name"], "CategoricalDistribution");
        Ok(read["attributes"]["choices"].to_string())
    }

    #[test]
    fn choices_are_of_one_kind_and_hold_auto() {
        for (values, choices) in [
            (vec!["1", "2"], r#"[1,2,"auto"]"#),
            (vec!["auto", "1"], r#"["auto",1]"#),
            (vec!["on", "off"], r#"[true,false,"auto"]"#),
            (vec!["on", "1"], r#"["on","1","auto"]"#),
            (vec!["q8_0", "f16"], r#"["q8_0","f16","auto"]"#),
            (vec!["0.5", "2"], r#"[0.5,2,"auto"]"#),
            (vec!["512", "batch/2"], r#"["512","batch/2","auto"]"#),
            (vec![], r#"["auto"]"#),
        ] {
            assert_eq!(written(&values).as_deref(), Ok(choices), "{values:?}");
        }
    }

    #[test]
    fn choices_that_python_confuses_are_refused() {
        assert!(written(&["1", "1.0"]).is_err(), "equal for Python");
        assert!(written(&["2", "2"]).is_err());
        assert!(parameters(&[("a".into(), vec![]), ("a".into(), vec![])]).is_err());
        assert!(parameters(&[("a".into(), vec![Value::Number(f64::NAN)])]).is_err());
        assert!(parameters(&[(String::new(), vec![])]).is_err());
    }

    #[test]
    fn only_settings_among_the_choices_become_parameters() {
        let space =
            [("threads".to_string(), vec![Value::Integer(1), Value::Integer(2)]), ("batch".into(), vec![])];
        let parameters = parameters(&space).unwrap();
        let index = |configuration: &Configuration| -> Vec<(String, usize)> {
            let chosen = chosen(&parameters, configuration, &Configuration::new());
            chosen.into_iter().map(|(name, index, _)| (name.to_string(), index as usize)).collect()
        };
        let named = |pairs: &[(&str, usize)]| -> Vec<(String, usize)> {
            pairs.iter().map(|(name, index)| (name.to_string(), *index)).collect()
        };
        assert_eq!(index(&Configuration::new()), named(&[("threads", 2), ("batch", 0)]));
        let set = Configuration::new().with("threads", Value::Integer(2));
        assert_eq!(index(&set), named(&[("threads", 1), ("batch", 0)]));
        let outside = Configuration::new().with("threads", Value::Integer(7));
        assert_eq!(index(&outside), named(&[("batch", 0)]));
    }

    fn found(name: &str, distribution: &str, trial: u32) -> Found {
        let distribution: Distribution = serde_json::from_str(distribution).unwrap();
        let written = serde_json::to_string(&distribution).unwrap();
        Found { name: name.into(), distribution, written, trial }
    }

    const RANGE: &str = r#"{"name": "IntDistribution", "attributes": {"low": 1, "high": 8}}"#;
    const FLASH: &str = r#"{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}"#;

    #[test]
    fn what_trials_have_settles_the_parameters() {
        let space = [
            ("threads".to_string(), [1, 2].map(Value::Integer).to_vec()),
            ("flash-attention".into(), vec![Value::Auto]),
            ("repack".into(), vec![Value::Switch(true), Value::Switch(false)]),
        ];
        let found = [found("n_threads", RANGE, 0), found("fa", FLASH, 0), found("mine", RANGE, 1)];
        let parameters = as_found(parameters(&space).unwrap(), settled(&found).unwrap());
        let chosen = |text: &str, meant: &str| {
            let read = |text: &str| {
                text.split_whitespace().fold(Configuration::new(), |made, pair| {
                    let (name, value) = pair.split_once('=').unwrap();
                    let value = if name == "flash-attention" {
                        Value::Text(value.into())
                    } else {
                        Value::parse(value)
                    };
                    made.with(name, value)
                })
            };
            let chosen = chosen(&parameters, &read(text), &read(meant));
            chosen
                .into_iter()
                .map(|(name, number, _)| format!("{name}={number}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(chosen("threads=3 flash-attention=on repack=off", ""), "n_threads=3 fa=1 repack=1");
        assert_eq!(chosen("", "threads=4 repack=on"), "n_threads=4 repack=2");
        assert_eq!(chosen("threads=9", "threads=4"), "repack=2", "what is set is not replaced");
        assert_eq!(
            setting(&parameters, "fa", 0.0, FLASH),
            Some(("flash-attention", Value::Text("off".into())))
        );
        assert_eq!(setting(&parameters, "n_threads", 3.0, RANGE), Some(("threads", Value::Integer(3))));
        assert_eq!(setting(&parameters, "fa", 2.0, FLASH), None);
    }

    #[test]
    fn distributions_that_disagree_are_named_with_their_trials() {
        let wider = RANGE.replace('8', "16");
        let settled = settled(&[found("threads", RANGE, 0), found("threads", &wider, 3)]).unwrap();
        assert_eq!(settled[0].trial, 3, "the latest bounds count");
        let refused = super::settled(&[found("threads", RANGE, 0), found("threads", FLASH, 3)]).unwrap_err();
        assert!(refused.contains("`threads` has another kind of distribution in trial 3"), "{refused}");
        assert!(refused.contains("whole numbers from 1 to 8"), "{refused}");
    }
}
