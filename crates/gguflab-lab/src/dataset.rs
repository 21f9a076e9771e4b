//! Datasets as users name them: several at once, with their languages, and files that are written or not at all.

mod counter;
mod texts;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gguflab_data::dataset::sample::{self, Manifest};
use gguflab_data::dataset::slice::{self, SliceError};
use gguflab_data::sums;
use serde::Serialize;

use crate::files::put;

pub use counter::EngineCounter;
pub use gguflab_data::dataset::overlap::{Overlap, OverlapOptions, Place, overlap};
pub use gguflab_data::dataset::sample::{
    Amount, CountTokens, Sample, SampleRequest, TokenEstimate, languages_of_card,
};
pub use gguflab_data::dataset::slice::{Slice, SliceOptions};
pub use gguflab_data::dataset::survey::{Survey, survey};
pub use gguflab_data::dataset::{
    Dataset, DatasetError, DatasetRequest, FieldPath, Split, Unit, is_plain_text,
};

pub use texts::write_texts;

/// What stands for a language in the name of a dataset.
const LANGUAGE: &str = "{language}";

/// Why datasets did not become a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {cause}", path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// There is something in the way.
    #[error("{}: {reason}", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
        /// What is in the way, and what to do.
        reason: String,
    },
}

impl WriteError {
    fn file(what: &'static str, path: &Path, cause: std::io::Error) -> WriteError {
        WriteError::File { what, path: path.to_path_buf(), cause }
    }
}

/// The datasets that a name stands for: `LANGUAGE=NAME` says the language of all its records, and `{language}` in a
/// name stands for each of `languages` in turn. All else is as in `common`.
///
/// # Errors
/// [`DatasetError::Request`] for `{language}` without languages.
pub fn requests(
    name: &str,
    common: &DatasetRequest,
    languages: &[String],
) -> Result<Vec<DatasetRequest>, DatasetError> {
    let of = |name: String, language: Option<&str>| DatasetRequest {
        name,
        language: language.map(str::to_owned),
        ..common.clone()
    };
    if name.contains(LANGUAGE) {
        if languages.is_empty() {
            let reason = format!("`{name}` needs languages in place of {LANGUAGE}: say which");
            return Err(DatasetError::Request(reason));
        }
        return Ok(languages.iter().map(|it| of(name.replace(LANGUAGE, it), Some(it))).collect());
    }
    let is_language = |word: &str| {
        word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    Ok(match name.split_once('=').filter(|(word, _)| is_language(word)) {
        Some((language, name)) => vec![of(name.to_owned(), Some(language))],
        None => vec![of(name.to_owned(), common.language.as_deref())],
    })
}

/// Writes rows of a dataset as a text file.
///
/// # Errors
/// [`WriteError`]; no file is left then.
pub fn write_slice(dataset: &Dataset, options: SliceOptions, path: &Path) -> Result<Slice, WriteError> {
    let mut done = Ok(Slice::default());
    let written = put(path, |beside| {
        let mut file = BufWriter::new(std::fs::File::create(beside)?);
        done = match slice::slice(dataset, options, &mut file) {
            Err(SliceError::Write(cause)) => return Err(cause),
            Err(SliceError::Dataset(error)) => Err(error),
            Ok(slice) if slice.written == 0 => Err(nothing_left(dataset, &slice)),
            Ok(slice) => Ok(slice),
        };
        // The file is not renamed; the reason is in `done`.
        if done.is_err() { Err(std::io::Error::other("")) } else { file.flush() }
    });
    let slice = done?;
    written.map(|()| slice).map_err(|cause| WriteError::file("write", path, cause))
}

fn nothing_left(dataset: &Dataset, slice: &Slice) -> DatasetError {
    let reason = format!(
        "none of its {} rows has a text ({} empty, {} without one at `{}`)",
        slice.rows,
        slice.empty,
        slice.without_text,
        dataset.field().path
    );
    DatasetError::Empty { name: dataset.request().name.clone(), reason }
}

/// How a sample is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleFile {
    /// Where; JSON lines where it ends in `.jsonl`, else text.
    pub path: PathBuf,
    /// Whether each record has its language in front.
    pub tags: bool,
    /// Whether an earlier sample there is continued.
    pub more: bool,
    /// Whether an earlier sample there may be written over.
    pub overwrite: bool,
}

/// A sample that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSample {
    /// What was taken now.
    pub sample: Sample,
    /// Records of earlier calls.
    pub before: u64,
    /// Bytes of the file, those of earlier calls included.
    pub bytes: u64,
    /// The file that says what it is made of.
    pub manifest: PathBuf,
}

/// Takes a sample and writes it, with a manifest beside it that a later call goes on from.
///
/// # Errors
/// [`WriteError`]: among others where there is a sample already that may not be written over, or where it cannot be
/// continued because datasets, seed or tokenizer are others.
pub fn write_sample(
    datasets: &[Dataset],
    request: &SampleRequest,
    file: &SampleFile,
    counter: &mut dyn CountTokens,
) -> Result<WrittenSample, WriteError> {
    let manifest_path = manifest_of(&file.path);
    if !file.more && !file.overwrite && file.path.exists() {
        let reason = "it is there already; continue it with --more, or give --overwrite".to_owned();
        return Err(WriteError::InTheWay { path: file.path.clone(), reason });
    }
    let mut manifest = Manifest::begin(datasets, request, counter.name())?;
    let mut content = Vec::new();
    if file.more {
        let before = read_manifest(&manifest_path)?;
        content = std::fs::read(&file.path).map_err(|cause| WriteError::file("read", &file.path, cause))?;
        check_continued(&manifest, &before, &content, &manifest_path)?;
        manifest = before;
    }
    let before = manifest.sources.iter().map(|source| source.rows.len() as u64).sum();
    let sample = sample::sample(datasets, request, file.more.then_some(&manifest), counter)?;
    append(&sample, manifest.chunks, datasets, file, &mut content)?;
    manifest.add(request, &sample.parts);
    manifest.chunks += sample.chunks;
    manifest.output_sha256 = sums::of_bytes(&content);
    write(&file.path, &content)?;
    let text = manifest.to_text().map_err(std::io::Error::other);
    write(
        &manifest_path,
        text.map_err(|cause| WriteError::file("write", &manifest_path, cause))?.as_bytes(),
    )?;
    Ok(WrittenSample { sample, before, bytes: content.len() as u64, manifest: manifest_path })
}

fn write(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    put(path, |beside| std::fs::write(beside, content))
        .map_err(|cause| WriteError::file("write", path, cause))
}

/// The manifest of a sample: the same name with `.manifest.json` behind it.
fn manifest_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".manifest.json");
    path.with_file_name(name)
}

fn read_manifest(path: &Path) -> Result<Manifest, WriteError> {
    let text = std::fs::read_to_string(path).map_err(|cause| WriteError::file("read", path, cause))?;
    Manifest::parse(&text).map_err(|reason| WriteError::InTheWay {
        path: path.to_path_buf(),
        reason: format!("no manifest of a sample: {reason}"),
    })
}

fn check_continued(
    now: &Manifest,
    before: &Manifest,
    content: &[u8],
    manifest: &Path,
) -> Result<(), WriteError> {
    let changed = (sums::of_bytes(content) != before.output_sha256)
        .then(|| "the sample beside it is not the one that it was written for".to_owned());
    match changed.or_else(|| now.differs_from(before)) {
        None => Ok(()),
        Some(reason) => {
            let reason = format!("{reason}: the sample cannot be continued; make a new one with --overwrite");
            Err(WriteError::InTheWay { path: manifest.to_path_buf(), reason })
        }
    }
}

/// A line of a sample in JSON lines.
#[derive(Serialize)]
struct Line<'a> {
    chunk: u64,
    language: &'a str,
    source: &'a str,
    row: u64,
    tokens: u64,
    text: &'a str,
}

/// Appends the parts; in a text an empty line stands between chunks. Earlier calls wrote `chunks` of them.
fn append(
    sample: &Sample,
    chunks: u64,
    datasets: &[Dataset],
    file: &SampleFile,
    content: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let as_lines = file.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("jsonl"));
    let mut last = if content.is_empty() { Some(0) } else { None };
    for part in &sample.parts {
        let tagged = match file.tags && !part.language.is_empty() {
            true => format!("{}: {}", part.language, part.text),
            false => part.text.clone(),
        };
        if as_lines {
            let source = datasets.get(part.source).map_or("", |dataset| dataset.request().name.as_str());
            let (chunk, language, row) = (chunks + part.chunk, part.language.as_str(), part.row);
            let line = Line { chunk, language, source, row, tokens: part.tokens, text: &tagged };
            let written = serde_json::to_writer(&mut *content, &line);
            written.map_err(|cause| WriteError::file("write", &file.path, cause.into()))?;
        } else {
            if last != Some(part.chunk) {
                content.push(b'\n');
            }
            last = Some(part.chunk);
            content.extend_from_slice(tagged.as_bytes());
        }
        content.push(b'\n');
    }
    Ok(())
}
