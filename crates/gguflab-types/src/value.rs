//! The value of one setting.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What a knob is set to.
///
/// In JSON and TOML a value is written as itself (`4`, `0.5`, `true`, `"q8_0"`); `auto` (the engine's own
/// choice: the flag is not passed) is the string `"auto"`, and a ratio of the batch is `"batch/4"`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The engine decides: the flag is not passed.
    Auto,
    /// On or off.
    Switch(bool),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Number(f64),
    /// A word, or free text such as a list of tensor overrides.
    Text(String),
    /// The batch divided by this number, half rounded to even, at least 1 (used by `ubatch`).
    BatchRatio(f64),
}

impl Value {
    /// Reads a value as a person writes it: `auto`, `on`/`off`, `true`/`false`, numbers, `batch/4`, text.
    ///
    /// `on`, `off`, `true` and `false` become switches; a knob whose domain is a list of words takes the
    /// word back with [`Value::to_string`].
    #[must_use]
    pub fn parse(text: &str) -> Value {
        let text = text.trim();
        match text {
            "auto" => return Value::Auto,
            "on" | "true" => return Value::Switch(true),
            "off" | "false" => return Value::Switch(false),
            _ => {}
        }
        if let Some(ratio) = text.strip_prefix("batch/").and_then(|rest| rest.parse::<f64>().ok())
            && ratio.is_finite()
            && ratio > 0.0
        {
            return Value::BatchRatio(ratio);
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Value::Integer(whole);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Number(number),
            _ => Value::Text(text.to_string()),
        }
    }

    /// The whole number in it, if it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(whole) => Some(*whole),
            _ => None,
        }
    }

    /// Whether it is a text that begins like this.
    #[must_use]
    pub fn starts_with(&self, beginning: &str) -> bool {
        matches!(self, Value::Text(text) if text.starts_with(beginning))
    }

    /// The number in it, whole or real.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Integer(whole) => Some(*whole as f64),
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Auto => formatter.write_str("auto"),
            Value::Switch(on) => formatter.write_str(if *on { "on" } else { "off" }),
            Value::Integer(whole) => write!(formatter, "{whole}"),
            Value::Number(number) => write!(formatter, "{number}"),
            Value::Text(text) => formatter.write_str(text),
            Value::BatchRatio(ratio) => write!(formatter, "batch/{ratio}"),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Switch(on) => serializer.serialize_bool(*on),
            Value::Integer(whole) => serializer.serialize_i64(*whole),
            Value::Number(number) => serializer.serialize_f64(*number),
            Value::Auto | Value::Text(_) | Value::BatchRatio(_) => {
                serializer.serialize_str(&self.to_string())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a number, true, false or a word")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Value, E> {
        Ok(Value::Switch(on))
    }

    fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Value, E> {
        Ok(Value::Integer(whole))
    }

    fn visit_u64<E: de::Error>(self, whole: u64) -> Result<Value, E> {
        i64::try_from(whole).map(Value::Integer).map_err(|_| E::custom(format!("{whole} is too large")))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(match Value::parse(text) {
            parsed @ (Value::Auto | Value::BatchRatio(_)) => parsed,
            _ => Value::Text(text.to_string()),
        })
    }
}

/// Rounds half to even, as Python's `round` and IEEE 754 do: 2.5 → 2, 3.5 → 4.
#[must_use]
pub fn round_half_even(number: f64) -> f64 {
    number.round_ties_even()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        for (text, expected) in [
            ("auto", Value::Auto),
            ("on", Value::Switch(true)),
            ("4", Value::Integer(4)),
            ("-1", Value::Integer(-1)),
            ("0.5", Value::Number(0.5)),
            ("batch/4", Value::BatchRatio(4.0)),
            ("q8_0", Value::Text("q8_0".into())),
            ("nan", Value::Text("nan".into())),
            ("batch/0", Value::Text("batch/0".into())),
        ] {
            assert_eq!(Value::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([5.0, 7.0, 1.0].map(|odd| round_half_even(odd / 2.0)), [2.0, 4.0, 0.0]);
    }
}
