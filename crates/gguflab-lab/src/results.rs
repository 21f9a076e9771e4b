//! Result files of other tools, and of ours: read, held against each other, and told what they cannot support.
//!
//! llama-bench (JSON, JSONL, CSV, SQL, Markdown; all versions), AIPerf (summary and records), GuideLLM (JSON report)
//! and the records of `gguflab bench --record`. What kind a file is follows from what it holds, not from its name.

mod aiperf;
mod guidellm;
mod judge;
mod llama_bench;
mod record;
#[cfg(test)]
mod tests;
mod text;

pub use judge::{Judged, Pair, judge};

use gguflab_stats::Summary;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Values of one metric of one test, or what was kept of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What was run: `pp512`, `tg128@d4096`, `concurrent 4`.
    pub label: String,
    /// Name of the metric in our table; values are in its base unit.
    pub metric: &'static str,
    /// Everything that the file says of the run: model, build, settings. Tests of the same label are told apart by
    /// what differs here within a file.
    pub about: BTreeMap<String, String>,
    /// The values in the order of time; empty where only a summary was kept.
    pub values: Vec<f64>,
    /// Where a value stands for several of one process, or for the many of a repetition: all of them, by process. Percentiles
    /// are of these.
    pub single: Vec<Vec<f64>>,
    /// What was kept instead of values.
    pub moments: Option<Moments>,
    /// Percentiles that the file states without the values behind them: (0.95, seconds).
    pub percentiles: Vec<(f64, f64)>,
}

/// Mean and spread of values that were not kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Mean in the metric's base unit.
    pub mean: f64,
    /// Standard deviation, if it was kept.
    pub deviation: Option<f64>,
    /// How many values, if it was kept.
    pub count: Option<usize>,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// The file.
    pub file: String,
    /// What wrote it, in words.
    pub kind: &'static str,
    /// Its series, in the order of the file.
    pub series: Vec<Series>,
    /// What the reader should know of this file.
    pub remarks: Vec<String>,
    /// What the protocol of this tool cannot support, in sentences.
    pub limits: Vec<&'static str>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The system does not give it.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ends in the middle.
    #[error("{file} is cut off: {problem}; take the whole file")]
    Cut {
        /// The file.
        file: String,
        /// Where it ends.
        problem: String,
    },
    /// A version that this program does not know.
    #[error(
        "{file} was written by {kind} in format version {found}; known: {known}; write it anew in one of these"
    )]
    Version {
        /// The file.
        file: String,
        /// What wrote it.
        kind: &'static str,
        /// The version that it states.
        found: String,
        /// The versions that are read.
        known: &'static str,
    },
    /// Nothing that is known.
    #[error(
        "{file} is no result file that is known ({problem}): give output of llama-bench (-o json, jsonl, csv, sql or md), \
         AIPerf (profile_export_aiperf.json, profile_export.jsonl), GuideLLM (benchmarks.json) or `gguflab bench --record`"
    )]
    Unknown {
        /// The file.
        file: String,
        /// What it looks like.
        problem: String,
    },
    /// It is understood, and what it says cannot be used.
    #[error("{file}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Two files have nothing in common.
    #[error("{candidate} and {reference} share no test: {problem}")]
    Apart {
        /// One file.
        candidate: String,
        /// The other.
        reference: String,
        /// What each of them has.
        problem: String,
    },
}

/// Why a text cannot be used, before the file's name is known.
#[derive(Debug, Clone, PartialEq)]
enum Flaw {
    Cut(String),
    Version { kind: &'static str, found: String, known: &'static str },
    Unknown(String),
    Content(String),
}

impl Flaw {
    fn of(self, file: &str) -> ResultsError {
        let file = file.to_string();
        match self {
            Flaw::Cut(problem) => ResultsError::Cut { file, problem },
            Flaw::Version { kind, found, known } => ResultsError::Version { file, kind, found, known },
            Flaw::Unknown(problem) => ResultsError::Unknown { file, problem },
            Flaw::Content(problem) => ResultsError::Content { file, problem },
        }
    }
}

/// What a single process cannot tell, whatever measured in it.
const ONE_PROCESS: &str =
    "All repetitions of a test come from one process: how much a new start changes is not in the interval.";
/// The largest file that is read, in bytes.
const LONGEST: u64 = 512 << 20;

/// Reads a result file.
///
/// # Errors
/// [`ResultsError`] names the file and what is wrong with it: cut off, of an unknown version, of an unknown kind.
pub fn read(path: &Path) -> Result<Results, ResultsError> {
    let file = path.display().to_string();
    let failed = |source| ResultsError::Read { file: file.clone(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST {
        return Err(Flaw::Content(format!("{length} bytes: at most {LONGEST} are read")).of(&file));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Flaw::Unknown("bytes that are not UTF-8".to_string()).of(&file))?;
    let results = parse(&text).map_err(|flaw| flaw.of(&file))?;
    Ok(Results { file, ..results })
}

/// Whether a path is a file that holds results, and no model: [`read`] says what is wrong with it if it does not.
#[must_use]
pub fn is_results(path: &Path) -> bool {
    let begins_otherwise = || {
        let mut beginning = [0; 4];
        let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut beginning));
        read.is_ok() && &beginning != b"GGUF"
    };
    path.is_file() && path.extension().is_none_or(|ending| ending != "gguf") && begins_otherwise()
}

/// One kind of JSON document: how it is known, and how it is read.
struct Kind {
    fits: fn(&Value) -> bool,
    read: fn(&Value) -> Result<Results, Flaw>,
}

/// Documents that are one JSON value.
const DOCUMENTS: &[Kind] = &[
    Kind { fits: record::fits, read: record::read },
    Kind { fits: guidellm::fits, read: guidellm::read },
    Kind { fits: aiperf::fits, read: aiperf::read },
];

fn parse(text: &str) -> Result<Results, Flaw> {
    let text = text.trim_start_matches('\u{feff}');
    let results = match text::shape(text)? {
        text::Shape::Document(value) => match DOCUMENTS.iter().find(|kind| (kind.fits)(&value)) {
            Some(kind) => (kind.read)(&value)?,
            None if llama_bench::fits(&value) => llama_bench::read(text)?,
            None => return Err(Flaw::Unknown("JSON of another program".to_string())),
        },
        text::Shape::Lines(first) if aiperf::is_record(&first) => aiperf::read_records(text)?,
        text::Shape::Lines(first) if llama_bench::fits(&first) => llama_bench::read(text)?,
        text::Shape::Lines(_) => return Err(Flaw::Unknown("JSON lines of another program".to_string())),
        text::Shape::Table => llama_bench::read(text)?,
        text::Shape::Nothing(problem) => return Err(Flaw::Unknown(problem)),
    };
    if results.series.is_empty() {
        return Err(Flaw::Content("it holds no result that succeeded".to_string()));
    }
    Ok(results)
}

impl Series {
    /// What is known of its values on logarithms.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        if self.values.is_empty() {
            let moments = self.moments?;
            let deviation = moments.deviation.unwrap_or(f64::NAN);
            return Summary::of_moments(moments.mean, deviation, moments.count.unwrap_or(1));
        }
        let summary = Summary::of(&self.values)?;
        let logarithms: Vec<f64> =
            self.values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
        // A few values do not show their correlation; many that follow each other do.
        let independent = if summary.count < MANY {
            summary.count
        } else {
            gguflab_stats::effective_size(&[&logarithms]) as usize
        };
        Some(Summary { count: independent.max(2.min(summary.count)), ..summary })
    }
}

/// Values from which on their correlation is taken into account.
const MANY: usize = 30;

/// The number of a field.
fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name).and_then(Value::as_f64).filter(|number| number.is_finite())
}

/// The text of a field, whatever it is.
fn field(value: &Value, name: &str) -> Option<String> {
    match value.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
