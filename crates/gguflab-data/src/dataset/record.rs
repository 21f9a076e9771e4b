//! A record of any format: named values in their order.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The field that a record has when it is nothing but a text.
pub const TEXT: &str = "text";

/// One record. The order of its fields is that of the file, because a dataset's first text may be what counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Names and values from first to last.
    pub fields: Vec<(Cow<'static, str>, Value)>,
}

impl Record {
    /// A record that is nothing but a text.
    #[must_use]
    pub fn of_text(text: String) -> Record {
        Record { fields: vec![(Cow::Borrowed(TEXT), Value::String(text))] }
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Its fields with what they hold, for messages.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        self.fields.iter().map(|(name, value)| format!("{name} ({})", kind(value))).collect()
    }
}

/// What a value is, in a word.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "record",
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_any(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object or a text")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Record, M::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            fields.push((Cow::Owned(name), value));
        }
        Ok(Record { fields })
    }

    fn visit_str<E>(self, text: &str) -> Result<Record, E> {
        Ok(Record::of_text(text.to_owned()))
    }
}
