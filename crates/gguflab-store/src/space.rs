//! The study's space as Optuna's categorical distributions.
//!
//! Optuna finds a choice by equality, and for Python `True == 1 == 1.0`: a list of choices is therefore of one
//! kind (switches, numbers or words), and a mixed one is written as words.

use crate::session::Session;
use gguflab_types::{Configuration, Value};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// One knob of a study as a parameter of Optuna.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// Name of the knob.
    pub(crate) name: String,
    /// Its choices, in an order that never changes.
    pub(crate) choices: Vec<Value>,
    /// The distribution as Optuna writes it.
    pub(crate) distribution: String,
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

/// The index of each setting's choice: name, index, distribution. A setting that is no choice has none.
pub(crate) fn chosen<'a>(
    parameters: &'a [Parameter],
    configuration: &Configuration,
) -> Vec<(&'a str, usize, &'a str)> {
    let index = |parameter: &Parameter| {
        parameter.choices.iter().position(|choice| choice == configuration.get(&parameter.name))
    };
    parameters
        .iter()
        .filter_map(|parameter| {
            Some((parameter.name.as_str(), index(parameter)?, parameter.distribution.as_str()))
        })
        .collect()
}

/// The setting that a parameter of another program stands for; `None` when it cannot be told.
pub(crate) fn setting(
    parameters: &[Parameter],
    session: &Session,
    name: &str,
    number: f64,
    distribution: &str,
) -> Option<Value> {
    let known = parameters.iter().find(|parameter| parameter.name == name);
    let read: Json = crate::session::from_json(session, distribution, "distribution_json").ok()?;
    match read.get("name")?.as_str()? {
        "CategoricalDistribution" => {
            let index = whole(number).and_then(|index| usize::try_from(index).ok())?;
            match known.and_then(|parameter| parameter.choices.get(index)) {
                Some(value) => Some(value.clone()),
                None => value_of(read.get("attributes")?.get("choices")?.get(index)?),
            }
        }
        "IntDistribution" => whole(number).map(Value::Integer),
        _ => Some(Value::Number(number)),
    }
}

fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it a float no longer holds every whole number, and Optuna keeps parameters as floats.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

fn value_of(choice: &Json) -> Option<Value> {
    match choice {
        Json::Null => Some(Value::Auto),
        other => serde_json::from_value(other.clone()).ok(),
    }
}

fn parameter(name: &str, values: &[Value]) -> Result<Parameter, String> {
    let mut choices = values.to_vec();
    if !choices.contains(&Value::Auto) {
        // What an unset knob is: the baseline sets nothing.
        choices.push(Value::Auto);
    }
    let written = write_choices(&choices)?;
    let distribution =
        serde_json::json!({"name": "CategoricalDistribution", "attributes": {"choices": written}})
            .to_string();
    Ok(Parameter { name: name.to_string(), choices, distribution })
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

/// Equality as Python sees it: 1 and 1.0 are the same.
fn same(left: &Json, right: &Json) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[&str]) -> Result<String, String> {
        let values: Vec<Value> = values.iter().map(|text| Value::parse(text)).collect();
        let parameters = parameters(&[("knob".to_string(), values)])?;
        let read: Json = serde_json::from_str(&parameters[0].distribution).unwrap();
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
            let chosen = chosen(&parameters, configuration);
            chosen.into_iter().map(|(name, index, _)| (name.to_string(), index)).collect()
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
}
