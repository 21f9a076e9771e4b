//! What a dataset holds, after one pass through it.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use twox_hash::XxHash3_64;

use super::error::DatasetError;
use super::open::{Dataset, TextRecord};
use super::record::{Record, kind};
use crate::limits::{COUNTED_FIELDS, COUNTED_LANGUAGES, REMEMBERED_RECORDS, SHOWN_CHARACTERS};

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// Records, those without a text included.
    pub records: u64,
    /// Records that have no text at the field.
    pub without_text: u64,
    /// Records whose text is empty or white space.
    pub empty: u64,
    /// Bytes of the texts.
    pub bytes: u64,
    /// Characters of the texts.
    pub characters: u64,
    /// Words of the texts: what stands between white space.
    pub words: u64,
    /// Records whose text, neither missing nor empty, is the same as that of an earlier one.
    pub duplicates: u64,
    /// Whether duplicates were still looked for at the end; if not, there may be more.
    pub all_compared: bool,
    /// Fields and what they hold, in the order in which they came.
    pub fields: Vec<FieldCount>,
    /// Languages with records and bytes; empty without a language field.
    pub languages: BTreeMap<String, LanguageCount>,
    /// Records without a language, where others have one.
    pub without_language: u64,
    /// The longest text.
    pub longest: Option<Extreme>,
    /// The shortest text that is not empty.
    pub shortest: Option<Extreme>,
    /// The first texts, cut.
    pub first: Vec<(u64, String)>,
}

/// A field of the records.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldCount {
    /// Its name.
    pub name: String,
    /// What it holds, and in how many records.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// What there is of a language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LanguageCount {
    /// Its records.
    pub records: u64,
    /// Bytes of their texts.
    pub bytes: u64,
}

/// A text of unusual length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extreme {
    /// Its record.
    pub row: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Reads the dataset once and counts; the first `shown` texts are kept, cut.
///
/// # Errors
/// Those of its records.
pub fn survey(dataset: &Dataset, shown: usize) -> Result<Survey, DatasetError> {
    let mut survey = Survey { all_compared: true, ..Survey::default() };
    let mut seen = HashSet::new();
    for record in dataset.raw() {
        let (row, file, record) = record?;
        survey.count_fields(&record);
        let record = dataset.text_record(row, file, &record);
        survey.count(&record, shown, &mut seen);
    }
    if survey.languages.is_empty() {
        survey.without_language = 0;
    }
    Ok(survey)
}

impl Survey {
    fn count(&mut self, record: &TextRecord, shown: usize, seen: &mut HashSet<u64>) {
        self.records += 1;
        let Some(text) = &record.text else {
            self.without_text += 1;
            return;
        };
        let bytes = text.len() as u64;
        self.bytes += bytes;
        self.characters += text.chars().count() as u64;
        self.count_language(record.language.as_deref(), bytes);
        if self.first.len() < shown {
            self.first.push((record.row, cut(text)));
        }
        let words = text.split_whitespace().count() as u64;
        if words == 0 {
            self.empty += 1;
            return;
        }
        self.words += words;
        self.look_for_duplicate(text, seen);
        let extreme = Extreme { row: record.row, bytes };
        self.longest = self.longest.filter(|longest| longest.bytes >= bytes).or(Some(extreme));
        self.shortest = self.shortest.filter(|shortest| shortest.bytes <= bytes).or(Some(extreme));
    }

    fn count_language(&mut self, language: Option<&str>, bytes: u64) {
        let Some(language) = language else {
            self.without_language += 1;
            return;
        };
        let name = if self.languages.len() < COUNTED_LANGUAGES { language } else { "others" };
        let count = self.languages.entry(name.to_owned()).or_default();
        count.records += 1;
        count.bytes += bytes;
    }

    /// Two texts are taken for the same when 64 bits of their hashes are.
    fn look_for_duplicate(&mut self, text: &str, seen: &mut HashSet<u64>) {
        let hash = XxHash3_64::oneshot(text.as_bytes());
        if seen.contains(&hash) {
            self.duplicates += 1;
        } else if seen.len() < REMEMBERED_RECORDS {
            seen.insert(hash);
        } else {
            self.all_compared = false;
        }
    }

    fn count_fields(&mut self, record: &Record) {
        for (name, value) in &record.fields {
            if let Some(field) = self.fields.iter_mut().find(|field| field.name == *name) {
                *field.kinds.entry(kind(value)).or_default() += 1;
            } else if self.fields.len() < COUNTED_FIELDS {
                self.fields.push(FieldCount::new(name, value));
            }
        }
    }
}

impl FieldCount {
    fn new(name: &str, value: &Value) -> FieldCount {
        FieldCount { name: name.to_owned(), kinds: BTreeMap::from([(kind(value), 1)]) }
    }
}

/// The beginning of a text, on one line.
#[must_use]
pub fn cut(text: &str) -> String {
    let mut line = String::new();
    for (number, character) in on_one_line(text).enumerate() {
        if number == SHOWN_CHARACTERS {
            return line + " …";
        }
        line.push(character);
    }
    line
}

/// The words with one space between.
fn on_one_line(text: &str) -> impl Iterator<Item = char> {
    let words = text.split_whitespace().enumerate();
    words.flat_map(|(number, word)| (number > 0).then_some(' ').into_iter().chain(word.chars()))
}
