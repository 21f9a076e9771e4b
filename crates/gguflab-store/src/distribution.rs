//! What a parameter of an Optuna study may be.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The values that a parameter of an Optuna study may take, as Optuna stores them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", content = "attributes")]
pub enum Distribution {
    /// Whole numbers from `low` to `high` in steps.
    #[serde(rename = "IntDistribution")]
    Integer {
        /// Drawn evenly over the logarithm.
        #[serde(default)]
        log: bool,
        /// Distance of two values, at least 1.
        #[serde(default = "one")]
        step: i64,
        /// The least value.
        low: i64,
        /// The greatest value.
        high: i64,
    },
    /// Real numbers from `low` to `high`.
    #[serde(rename = "FloatDistribution")]
    Float {
        /// Distance of two values; `None`: any number.
        #[serde(default)]
        step: Option<f64>,
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
        /// Drawn evenly over the logarithm.
        #[serde(default)]
        log: bool,
    },
    /// One of these.
    #[serde(rename = "CategoricalDistribution")]
    Categorical {
        /// Nothing, booleans, numbers or words; the parameter is the index.
        choices: Vec<Json>,
    },
}

fn one() -> i64 {
    1
}

impl Distribution {
    /// Reads what Optuna wrote.
    pub(crate) fn read(text: &str) -> Result<Distribution, String> {
        let read: Distribution = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let wrong = match &read {
            Distribution::Integer { step, low, high, .. } => *step < 1 || low > high,
            Distribution::Float { step, low, high, .. } => {
                step.is_some_and(|step| step <= 0.0) || !(low.is_finite() && high.is_finite() && low <= high)
            }
            Distribution::Categorical { choices } => {
                choices.is_empty() || choices.iter().any(|choice| choice.is_array() || choice.is_object())
            }
        };
        if wrong { Err(format!("`{text}` holds no value")) } else { Ok(read) }
    }

    /// Whether a study may have both for one parameter, in the words of Optuna's own refusal if not: kind, logarithm
    /// and choices never change, bounds may.
    pub(crate) fn agrees(&self, other: &Distribution) -> Result<(), &'static str> {
        match (self, other) {
            (Distribution::Integer { log, .. }, Distribution::Integer { log: other, .. })
            | (Distribution::Float { log, .. }, Distribution::Float { log: other, .. }) => {
                if log == other {
                    Ok(())
                } else {
                    Err("another logarithm")
                }
            }
            (Distribution::Categorical { choices }, Distribution::Categorical { choices: others }) => {
                let equal = choices.len() == others.len()
                    && choices.iter().zip(others).all(|(one, other)| same(one, other));
                if equal { Ok(()) } else { Err("other choices (a dynamic value space)") }
            }
            _ => Err("another kind of distribution"),
        }
    }

    /// The value that a stored number stands for; `None` when the distribution does not hold it.
    pub(crate) fn value(&self, number: f64) -> Option<Json> {
        match self {
            Distribution::Integer { .. } => whole(number).map(Json::from),
            Distribution::Float { .. } => number.is_finite().then(|| Json::from(number)),
            Distribution::Categorical { choices } => {
                choices.get(whole(number).and_then(|index| usize::try_from(index).ok())?).cloned()
            }
        }
    }

    /// The number by which a value is stored; `None` when the distribution does not hold it.
    #[must_use]
    pub fn number(&self, value: &Json) -> Option<f64> {
        match self {
            Distribution::Integer { step, low, high, .. } => {
                let whole = whole(value.as_f64()?)?;
                let held = (*low..=*high).contains(&whole) && (whole - low) % step == 0;
                held.then_some(whole as f64)
            }
            Distribution::Float { step, low, high, .. } => {
                let number = value.as_f64()?;
                let on_grid = step.is_none_or(|step| {
                    let steps = (number - low) / step;
                    // Optuna's own tolerance.
                    (steps - steps.round()).abs() < 1e-8
                });
                ((*low..=*high).contains(&number) && on_grid).then_some(number)
            }
            Distribution::Categorical { choices } => {
                choices.iter().position(|choice| same(choice, value)).map(|index| index as f64)
            }
        }
    }

    /// What it holds, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Distribution::Integer { step: 1, low, high, .. } => format!("whole numbers from {low} to {high}"),
            Distribution::Integer { step, low, high, .. } => {
                format!("whole numbers from {low} to {high} in steps of {step}")
            }
            Distribution::Float { step, low, high, .. } => {
                let step = step.map_or(String::new(), |step| format!(" in steps of {step}"));
                format!("numbers from {low} to {high}{step}")
            }
            Distribution::Categorical { choices } => {
                let choices: Vec<String> = choices.iter().map(Json::to_string).collect();
                format!("one of {}", choices.join(", "))
            }
        }
    }
}

/// A whole number that a float holds exactly, as Optuna keeps parameters.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// Equality as Python sees it: 1, 1.0 and True are the same.
pub(crate) fn same(left: &Json, right: &Json) -> bool {
    let number = |json: &Json| match json {
        Json::Bool(on) => Some(f64::from(u8::from(*on))),
        other => other.as_f64(),
    };
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const THREADS: &str =
        r#"{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": 2, "high": 8}}"#;
    const SHARE: &str = r#"{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 1.0, "log": true}}"#;
    const FLASH: &str =
        r#"{"name": "CategoricalDistribution", "attributes": {"choices": [null, true, "q8_0", 2]}}"#;

    #[test]
    fn numbers_and_values_go_both_ways() {
        for (text, number, value) in [
            (THREADS, 4.0, json!(4)),
            (SHARE, 0.25, json!(0.25)),
            (FLASH, 0.0, json!(null)),
            (FLASH, 1.0, json!(true)),
            (FLASH, 2.0, json!("q8_0")),
        ] {
            let distribution = Distribution::read(text).unwrap();
            assert_eq!(distribution.value(number), Some(value.clone()), "{text} {number}");
            assert_eq!(distribution.number(&value), Some(number), "{text} {value}");
        }
        for (text, value) in
            [(THREADS, json!(3)), (THREADS, json!(10)), (SHARE, json!(2.0)), (FLASH, json!("x"))]
        {
            assert_eq!(Distribution::read(text).unwrap().number(&value), None, "{text} {value}");
        }
        for (text, number) in [(THREADS, 2.5), (FLASH, 4.0), (FLASH, 0.5), (FLASH, -1.0), (SHARE, f64::NAN)] {
            assert_eq!(Distribution::read(text).unwrap().value(number), None, "{text} {number}");
        }
    }

    #[test]
    fn what_is_written_is_what_optuna_writes() {
        for text in [THREADS, SHARE, FLASH] {
            let written = serde_json::to_value(Distribution::read(text).unwrap()).unwrap();
            assert_eq!(written, serde_json::from_str::<Json>(text).unwrap());
        }
    }

    #[test]
    fn what_may_change_and_what_may_not() {
        let read = |text: &str| Distribution::read(text).unwrap();
        assert!(read(THREADS).agrees(&read(&THREADS.replace("8}", "16}"))).is_ok(), "bounds may");
        assert!(read(FLASH).agrees(&read(&FLASH.replace("true", "1"))).is_ok(), "equal for Python");
        for (one, other, words) in [
            (THREADS, THREADS.replace("\"log\": false", "\"log\": true"), "logarithm"),
            (THREADS, SHARE.to_string(), "kind"),
            (FLASH, FLASH.replace(", 2", ""), "dynamic value space"),
        ] {
            assert!(read(one).agrees(&read(&other)).unwrap_err().contains(words), "{other}");
        }
        for broken in [
            "",
            "{}",
            r#"{"name": "LogUniformDistribution", "attributes": {}}"#,
            &FLASH.replace("null", "[1]"),
        ] {
            assert!(Distribution::read(broken).is_err(), "{broken}");
        }
    }
}
