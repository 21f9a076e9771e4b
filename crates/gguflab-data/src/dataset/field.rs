//! Where in a record the text is.

use std::fmt;

use serde_json::Value;

use super::error::DatasetError;
use super::record::{Record, TEXT, kind};

/// A dotted path through a record: `content`, or `messages.0.content`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    steps: Vec<String>,
}

/// Which field was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenField {
    /// The field.
    pub path: FieldPath,
    /// Why this one.
    pub why: WhyField,
}

/// Why a field is the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyField {
    /// It was asked for.
    Given,
    /// It is called `text`.
    Usual,
    /// It is the first text whose name has `text` or `content` in it.
    Named,
    /// It is the first text.
    First,
}

impl WhyField {
    /// In words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            WhyField::Given => "as asked for",
            WhyField::Usual => "the usual one",
            WhyField::Named => "the first text with `text` or `content` in its name",
            WhyField::First => "the first text",
        }
    }
}

impl FieldPath {
    /// Takes `a.0.b` apart. A field whose name has a dot in it can be given as it is where the record has it.
    ///
    /// # Errors
    /// [`DatasetError::Request`] for a path with an empty step.
    pub fn parse(text: &str) -> Result<FieldPath, DatasetError> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            let how = "it is names and numbers with dots between, such as messages.0.content";
            return Err(DatasetError::Request(format!("`{text}` is no field: {how}")));
        }
        Ok(FieldPath { steps })
    }

    fn of_name(name: &str) -> FieldPath {
        FieldPath { steps: vec![name.to_owned()] }
    }

    /// The value in a record; `None` where there is none.
    #[must_use]
    pub fn value<'a>(&self, record: &'a Record) -> Option<&'a Value> {
        if let Some(whole) = record.get(&self.to_string()) {
            return Some(whole);
        }
        let (first, rest) = self.steps.split_first()?;
        let start = record.get(first)?;
        rest.iter().try_fold(start, |value, step| match value {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::Object(members) => members.get(step),
            _ => None,
        })
    }

    /// The text in a record; `None` where there is none or something else.
    #[must_use]
    pub fn text<'a>(&self, record: &'a Record) -> Option<&'a str> {
        self.value(record).and_then(Value::as_str)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.steps.join("."))
    }
}

/// The field that is the text: the given one; else `text`; else the first text whose name has `text` or `content` in
/// it; else the first text.
pub(super) fn choose(
    given: Option<&FieldPath>,
    first: &Record,
    name: &str,
) -> Result<ChosenField, DatasetError> {
    if let Some(path) = given {
        return check(path, first, name).map(|()| ChosenField { path: path.clone(), why: WhyField::Given });
    }
    let texts = || first.fields.iter().filter(|(_, value)| value.is_string()).map(|(field, _)| field);
    let is_named = |field: &str| {
        let lower = field.to_lowercase();
        lower.contains("text") || lower.contains("content")
    };
    let usual = texts().find(|field| *field == TEXT).map(|field| (field, WhyField::Usual));
    let named = || texts().find(|field| is_named(field)).map(|field| (field, WhyField::Named));
    let any = || texts().next().map(|field| (field, WhyField::First));
    let (field, why) = usual
        .or_else(named)
        .or_else(any)
        .ok_or_else(|| DatasetError::NoText { name: name.to_owned(), fields: first.describe() })?;
    Ok(ChosenField { path: FieldPath::of_name(field), why })
}

/// A given field has to be in the first record; that it holds nothing there is no mistake.
fn check(path: &FieldPath, first: &Record, name: &str) -> Result<(), DatasetError> {
    let reason = match path.value(first) {
        Some(Value::String(_) | Value::Null) => return Ok(()),
        Some(Value::Array(items)) => {
            let inner = items.first().map_or(String::new(), |item| format!(" of {}", kind(item)));
            format!("it is a list{inner}, so go on into it, as in `{path}.0`")
        }
        Some(other) => format!("it is a {}", kind(other)),
        None => "the first record has no such field".to_owned(),
    };
    Err(DatasetError::Field {
        name: name.to_owned(),
        field: path.to_string(),
        reason,
        fields: first.describe(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str(json).expect("a record")
    }

    #[test]
    fn the_text_is_chosen_in_the_order_of_the_rules() {
        let cases = [
            (r#"{"a":"x","text":"y"}"#, "text", WhyField::Usual),
            (r#"{"a":"x","text":1,"body_text":"y","content":"z"}"#, "body_text", WhyField::Named),
            (r#"{"n":1,"Content":"y"}"#, "Content", WhyField::Named),
            (r#"{"z":1,"b":"x","a":"y"}"#, "b", WhyField::First),
            (r#""only a text""#, "text", WhyField::Usual),
        ];
        for (json, field, why) in cases {
            let chosen = choose(None, &record(json), "d").expect(json);
            assert_eq!((chosen.path.to_string().as_str(), chosen.why), (field, why), "{json}");
        }
        let none = choose(None, &record(r#"{"a":1,"b":[1]}"#), "d").expect_err("no text").to_string();
        assert!(none.contains("a (number)\n  b (list)"), "{none}");
    }

    #[test]
    fn a_path_goes_into_lists_and_records() {
        let it = record(r#"{"messages":[{"role":"user","content":"hello"}],"a.b":"dotted","n":null,"k":3}"#);
        let text = |path: &str| FieldPath::parse(path).expect(path).text(&it).map(str::to_owned);
        assert_eq!(text("messages.0.content").as_deref(), Some("hello"));
        assert_eq!(text("a.b").as_deref(), Some("dotted"));
        for missing in ["messages.1.content", "messages.x", "k.y", "nothing", "messages.0.content.z"] {
            assert_eq!(text(missing), None, "{missing}");
        }
        assert!(FieldPath::parse("a..b").is_err() && FieldPath::parse("").is_err());
    }

    #[test]
    fn a_given_field_has_to_be_there() {
        let it = record(r#"{"messages":[{"content":"hello"}],"n":null,"k":3}"#);
        let chosen = |path: &str| choose(Some(&FieldPath::parse(path).expect(path)), &it, "d");
        assert!(chosen("messages.0.content").is_ok() && chosen("n").is_ok());
        for (path, expected) in [
            ("messages", "a list of record, so go on into it, as in `messages.0`"),
            ("k", "it is a number"),
            ("x", "no such field; its fields are:\n  messages (list)"),
        ] {
            let error = chosen(path).expect_err(path).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
