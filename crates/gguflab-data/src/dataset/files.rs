//! Which files a dataset has, and what is in each.

use std::path::{Path, PathBuf};

use super::error::DatasetError;
use super::input::Input;
use super::open::ReadRecords;
use super::{json, parquet, table, text};
use crate::error::DataError;
use crate::folder::{WalkedFile, display_name, walk};
use crate::limits;

/// A file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its name within the dataset, with `/` between folders.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its size, packed where it is.
    pub bytes: u64,
}

/// What one record of a plain text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A line.
    Line,
    /// Lines up to an empty one.
    Paragraph,
    /// The whole file.
    File,
}

impl Unit {
    /// All of them.
    pub const ALL: [Unit; 3] = [Unit::Line, Unit::Paragraph, Unit::File];

    /// Its name, as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Line => "line",
            Unit::Paragraph => "paragraph",
            Unit::File => "file",
        }
    }
}

type Open = fn(Option<Unit>, &Path) -> Result<Box<dyn ReadRecords>, DatasetError>;

/// One format of files.
pub struct FormatRow {
    /// Its name.
    pub name: &'static str,
    /// Endings of file names, in lower case; each may be followed by `.gz` where the format is read from its
    /// beginning to its end.
    pub endings: &'static [&'static str],
    open: Open,
}

/// The format that has no records of its own.
const TEXT: &str = "text";

/// All formats. A file with another ending is a text, each file one record.
pub const FORMATS: &[FormatRow] = &[
    FormatRow {
        name: TEXT,
        endings: &["txt", "text"],
        open: |unit, path| text(path, unit.unwrap_or(Unit::Paragraph)),
    },
    FormatRow {
        name: "JSON lines",
        endings: &["jsonl", "ndjson"],
        open: |_, path| Ok(Box::new(json::JsonLines::new(Input::open(path)?))),
    },
    FormatRow { name: "JSON", endings: &["json"], open: |_, path| json::open(Input::open(path)?) },
    FormatRow {
        name: "CSV",
        endings: &["csv"],
        open: |_, path| Ok(Box::new(table::TableReader::new(Input::open(path)?, b',')?)),
    },
    FormatRow {
        name: "TSV",
        endings: &["tsv"],
        open: |_, path| Ok(Box::new(table::TableReader::new(Input::open(path)?, b'\t')?)),
    },
    FormatRow {
        name: "Parquet",
        endings: &["parquet"],
        open: |_, path| Ok(Box::new(parquet::ParquetReader::open(path)?)),
    },
];

fn text(path: &Path, unit: Unit) -> Result<Box<dyn ReadRecords>, DatasetError> {
    Ok(Box::new(text::TextReader::new(Input::open(path)?, unit)))
}

/// The format that a file's name says; `None` for any other text.
pub(crate) fn format_of(name: &str) -> Option<&'static FormatRow> {
    let lower = name.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    let ending = plain.rsplit_once('.').map(|(_, ending)| ending)?;
    FORMATS.iter().find(|format| format.endings.contains(&ending))
}

/// Whether a file's name is that of a text that is read as it is: not packed, and of no format with records.
#[must_use]
pub fn is_plain_text(name: &str) -> bool {
    !name.to_lowercase().ends_with(".gz") && format_of(name).is_none_or(|format| format.name == TEXT)
}

impl DataFile {
    /// The name of its format.
    #[must_use]
    pub fn format(&self) -> &'static str {
        format_of(&self.name).map_or("text, one record", |format| format.name)
    }

    pub(super) fn reader(&self, unit: Option<Unit>) -> Result<Box<dyn ReadRecords>, DatasetError> {
        match format_of(&self.name) {
            Some(format) => (format.open)(unit, &self.path),
            None => text(&self.path, unit.unwrap_or(Unit::File)),
        }
    }
}

/// The files of a dataset on this machine: a file, or all of a folder that have an ending of [`FORMATS`], or where
/// none has, all.
pub(super) fn local(path: &Path) -> Result<Vec<DataFile>, DatasetError> {
    let facts = std::fs::metadata(path).map_err(|cause| DatasetError::system("open", path, cause))?;
    if facts.is_file() {
        return Ok(vec![DataFile { name: display_name(path), path: path.to_owned(), bytes: facts.len() }]);
    }
    let walked = walk(path, limits::DATASET_DEPTH, |_| true);
    if !walked.complete {
        return Err(DataError::TooManyEntries { folder: path.to_owned() }.into());
    }
    let mut files: Vec<DataFile> = walked.files.into_iter().map(DataFile::from).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    if files.iter().any(|file| format_of(&file.name).is_some()) {
        files.retain(|file| format_of(&file.name).is_some());
    }
    Ok(files)
}

impl From<WalkedFile> for DataFile {
    fn from(file: WalkedFile) -> DataFile {
        DataFile { name: file.name, path: file.path, bytes: file.bytes }
    }
}

/// Splits and the words that files of them are called by; any other split is called by its own.
const SPLITS: &[&[&str]] = &[
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

/// The files among `names` that a split consists of: those that are called by it as a whole (`test.jsonl`,
/// `test-00000-of-00002.parquet`), else those with its word between other letters; where no name says any split,
/// all are `train`. Indices into `names`; empty where there is no such split.
pub(crate) fn of_split(names: &[String], split: &str) -> Vec<usize> {
    let words = words_of(split);
    let matching = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..names.len()).filter(|index| is(&names[*index].to_lowercase())).collect()
    };
    let whole = matching(&|name| words.iter().any(|word| is_called(name, word)));
    if !whole.is_empty() {
        return whole;
    }
    let with_word = matching(&|name| words.iter().any(|word| has_word(name, word)));
    let says_any = |name: &String| SPLITS.iter().flat_map(|row| *row).any(|word| has_word(name, word));
    if with_word.is_empty() && words.contains(&"train") && !names.iter().any(says_any) {
        return (0..names.len()).collect();
    }
    with_word
}

fn words_of(split: &str) -> Vec<&str> {
    let row = SPLITS.iter().find(|row| row.contains(&split));
    row.map_or_else(|| vec![split], |row| row.to_vec())
}

/// Whether a file of this name is called by a word as a whole, a number of its part aside.
fn is_called(name: &str, word: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').next().unwrap_or(file);
    let rest = stem.strip_prefix(word);
    rest.is_some_and(|rest| rest.is_empty() || is_part_number(rest))
}

/// `-00000-of-00002`, with or without what follows.
fn is_part_number(text: &str) -> bool {
    let mut parts = text.trim_start_matches('-').splitn(4, '-');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.starts_with('-') && is_number(parts.next()) && parts.next().is_none_or(|word| word == "of")
}

fn has_word(name: &str, word: &str) -> bool {
    let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.match_indices(word).any(|(at, _)| {
        let bytes = name.as_bytes();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before).copied());
        !is_letter(before) && !is_letter(bytes.get(at + word.len()).copied())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(names: &[&str], wanted: &str) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        of_split(&names, wanted).into_iter().map(|index| names[index].clone()).collect()
    }

    #[test]
    fn splits_are_told_by_file_names() {
        let plain = ["README.txt", "test.jsonl", "train.jsonl"];
        assert_eq!(split(&plain, "train"), ["train.jsonl"]);
        assert_eq!(split(&plain, "validation"), [""; 0]);
        let parts =
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/val-1.parquet"];
        assert_eq!(split(&parts, "train").len(), 2);
        assert_eq!(split(&parts, "validation"), ["data/val-1.parquet"]);
        let own = ["data/train_sft-00000-of-00001.parquet", "data/train_gen-00000-of-00001.parquet"];
        assert_eq!(split(&own, "train_sft"), [own[0]]);
        assert_eq!(split(&own, "train").len(), 2);
        assert_eq!(split(&["train/a.json", "test/a.json"], "test"), ["test/a.json"]);
        assert_eq!(
            split(&["strained.txt"], "train"),
            ["strained.txt"],
            "no name says a split, so all are train"
        );
        assert_eq!(split(&["a.txt", "b.txt"], "test"), [""; 0]);
    }

    #[test]
    fn formats_are_told_by_endings() {
        for (name, expected) in [
            ("a/B.JSONL", Some("JSON lines")),
            ("x.jsonl.gz", Some("JSON lines")),
            ("x.txt", Some("text")),
            ("x.rs", None),
            ("README", None),
            (".txt", Some("text")),
        ] {
            assert_eq!(format_of(name).map(|format| format.name), expected, "{name}");
        }
        let endings: Vec<&&str> = FORMATS.iter().flat_map(|format| format.endings).collect();
        let mut once = endings.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), endings.len(), "one format for each ending");
    }
}
