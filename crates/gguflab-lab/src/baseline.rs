//! Baselines: what a person accepted by name, and the checks against it. Files in a folder, so that a repository or a
//! CI cache can carry them:
//!
//! ```text
//! NAME/baseline-0001.json     accepted first: subject, protocol, thresholds and raw samples
//! NAME/baseline-0002.json     accepted later; this one counts, the others stay
//! NAME/build-0002-PROGRAM     the program that it was measured with, where it was kept
//! NAME/checks/TIME-ID.json    one check each: raw samples of both sides and what was said of them
//! ```
//!
//! Nothing is ever overwritten, by a check least of all: a reference that stays lets slow drift be seen.

pub mod build;

use crate::bench::Record;
use crate::files;
use crate::gate::{Check, GateError};
use gguflab_engine::EngineSpecification;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Version of [`Baseline`]; raised when older programs would misread it.
pub const BASELINE_VERSION: u32 = 1;
const BASELINE_FORMAT: &str = "gguflab-baseline";
/// Longest file that is read: raw samples of hundreds of visits take some megabytes.
const LONGEST: u64 = 256 << 20;

/// What was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Always `gguflab-baseline`.
    pub format: String,
    /// [`BASELINE_VERSION`].
    pub version: u32,
    /// When it was accepted, in seconds since 1970 (UTC).
    pub accepted: f64,
    /// What a check has to keep to, as `--threshold` takes it.
    pub thresholds: Vec<String>,
    /// The engine as `--engine` takes it.
    pub engine: String,
    /// File name of the program that was kept beside it, if it was.
    pub build: Option<String>,
    /// Where the model lay; `None` for an engine that needs none.
    pub model: Option<PathBuf>,
    /// What was measured.
    pub record: Record,
}

impl Baseline {
    /// What is accepted now.
    #[must_use]
    pub fn of(record: Record, thresholds: Vec<String>, engine: String, model: Option<PathBuf>) -> Baseline {
        Baseline {
            format: BASELINE_FORMAT.to_string(),
            version: BASELINE_VERSION,
            accepted: crate::bench::now(),
            thresholds,
            engine,
            build: None,
            model,
            record,
        }
    }
}

/// A baseline with its number.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// 1 for the first of its name.
    pub number: u32,
    /// What was accepted.
    pub baseline: Baseline,
}

/// The baselines of one name.
#[derive(Debug, Clone)]
pub struct Shelf {
    name: String,
    folder: PathBuf,
}

/// The names for which there is a baseline in a folder, in alphabetical order; none when there is no folder.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = named
        .filter(|name| Shelf::open(folder, name).is_ok_and(|shelf| shelf.numbers().next().is_some()))
        .collect();
    names.sort();
    names
}

impl Shelf {
    /// The place of a name's baselines in a folder; nothing is made yet.
    ///
    /// # Errors
    /// [`GateError::Name`]: the name would lead out of the folder, or hide in it.
    pub fn open(folder: &Path, name: &str) -> Result<Shelf, GateError> {
        let plain = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_' | '.' | '+' | ' ');
        if name.is_empty() || name.starts_with(['.', '-']) || name.len() > 100 || !name.chars().all(plain) {
            return Err(GateError::Name(name.to_string()));
        }
        Ok(Shelf { name: name.to_string(), folder: folder.join(name) })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The numbers of the baselines that were accepted, in no order.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let number = |name: &str| name.strip_prefix("baseline-")?.strip_suffix(".json")?.parse().ok();
        entries.filter_map(move |entry| number(&entry.file_name().to_string_lossy()))
    }

    /// The baseline that counts: the one accepted last.
    ///
    /// # Errors
    /// [`GateError`]: there is none, or its file cannot be read.
    pub fn latest(&self) -> Result<Accepted, GateError> {
        let number = self.numbers().max().ok_or_else(|| {
            let folder = self.folder.parent().unwrap_or(&self.folder);
            GateError::Missing { name: self.name.clone(), folder: folder.to_path_buf(), known: names(folder) }
        })?;
        self.read_baseline(number)
    }

    /// All of them, the first one first, and why some cannot be read.
    #[must_use]
    pub fn all(&self) -> (Vec<Accepted>, Vec<GateError>) {
        let mut numbers: Vec<u32> = self.numbers().collect();
        numbers.sort_unstable();
        apart(numbers.into_iter().map(|number| self.read_baseline(number)))
    }

    fn read_baseline(&self, number: u32) -> Result<Accepted, GateError> {
        let path = self.path(number);
        let baseline: Baseline = read(&path, BASELINE_FORMAT, BASELINE_VERSION)?;
        Ok(Accepted { number, baseline })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("baseline-{number:04}.json"))
    }

    /// The number of the one that is accepted next.
    fn next(&self) -> u32 {
        self.numbers().max().unwrap_or(0) + 1
    }

    /// Whether something of this name was accepted already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.numbers().next().is_some()
    }

    /// Puts a baseline beside those that are there; they are only there `again`. Gives its number and its file.
    ///
    /// # Errors
    /// [`GateError::Taken`]: somebody accepted one, while this one was measured perhaps. [`GateError::Write`] names the
    /// file.
    pub fn accept(&self, baseline: &Baseline, again: bool) -> Result<(u32, PathBuf), GateError> {
        make_folder(&self.folder)?;
        let mut number = self.next();
        loop {
            if number > 1 && !again {
                return Err(GateError::Taken { name: self.name.clone(), number: number - 1 });
            }
            let path = self.path(number);
            match write(&path, baseline) {
                Err(error) if is_there(&error) => number += 1,
                written => return written.map(|()| (number, path)),
            }
        }
    }

    /// Copies a program beside the baselines. Gives the name of the copy, which [`Baseline::build`] is.
    ///
    /// # Errors
    /// [`GateError::Write`] names the file.
    pub fn keep_build(&self, program: &Path) -> Result<String, GateError> {
        make_folder(&self.folder)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let mut number = self.next();
        loop {
            let kept = format!("build-{number:04}-{name}");
            match copy(program, &self.folder.join(&kept)) {
                // Of somebody who accepts at the same time, or did not come to the end of it.
                Err(error) if is_there(&error) => number += 1,
                copied => return copied.map(|()| kept),
            }
        }
    }

    /// Removes the copy of a program that was not accepted after all.
    pub fn drop_build(&self, build: &str) {
        // One that stays is in nobody's way.
        let _ = std::fs::remove_file(self.folder.join(build));
    }

    /// Where the program that was kept with a baseline has to be, if one was.
    #[must_use]
    pub fn kept_build(&self, baseline: &Baseline) -> Option<PathBuf> {
        Some(self.folder.join(baseline.build.as_ref()?))
    }

    /// The engine whose program was kept with a baseline, if it was and is still there.
    #[must_use]
    pub fn kept_engine(&self, baseline: &Baseline, worker: &Path) -> Option<EngineSpecification> {
        let program = self.kept_build(baseline).filter(|program| program.is_file())?;
        make_executable(&program);
        let kind = match baseline.record.subject.engine.kind.as_str() {
            "embedded" => "worker",
            other => other,
        };
        let text = format!("{kind}={}", program.display());
        EngineSpecification::parse(&text, worker.to_path_buf()).ok()
    }

    /// Keeps a check. Gives its file.
    ///
    /// # Errors
    /// [`GateError::Write`] names the file.
    pub fn keep(&self, check: &Check) -> Result<PathBuf, GateError> {
        let folder = self.folder.join("checks");
        make_folder(&folder)?;
        let path = folder.join(format!("{:014.0}-{}.json", check.checked * 1000.0, std::process::id()));
        write(&path, check)?;
        Ok(path)
    }

    /// The checks, the first one first, and why some cannot be read.
    #[must_use]
    pub fn checks(&self) -> (Vec<Check>, Vec<GateError>) {
        let entries = std::fs::read_dir(self.folder.join("checks")).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort();
        apart(paths.iter().map(|path| read(path, crate::gate::CHECK_FORMAT, crate::gate::CHECK_VERSION)))
    }
}

/// What can be read, and what cannot.
fn apart<T>(found: impl Iterator<Item = Result<T, GateError>>) -> (Vec<T>, Vec<GateError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(one) => good.push(one),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

/// Reads a file of ours: format and version first, so that what does not fit is told as such.
fn read<T: DeserializeOwned>(path: &Path, format: &'static str, version: u32) -> Result<T, GateError> {
    let unusable = |problem: String| GateError::File { path: path.to_path_buf(), problem };
    let length = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
    if length > LONGEST {
        return Err(unusable(format!("it has {length} bytes, and at most {LONGEST} are read")));
    }
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
        unusable(format!("it is cut or no JSON ({error}); take it from where it was copied, or accept anew"))
    })?;
    if value["format"] != format {
        let found = &value["format"];
        return Err(unusable(format!("it says that it is {found}, not {format}; put it somewhere else")));
    }
    if value["version"] != version {
        let found = &value["version"];
        return Err(unusable(format!(
            "it is of version {found}, and this program reads version {version}; take the program that wrote it, or accept \
             anew"
        )));
    }
    serde_json::from_value(value).map_err(|error| unusable(error.to_string()))
}

fn write(path: &Path, content: &impl Serialize) -> Result<(), GateError> {
    let failed = |source: std::io::Error| GateError::Write { path: path.to_path_buf(), source };
    let text = serde_json::to_vec_pretty(content).map_err(|error| failed(error.into()))?;
    files::put_new(path, |beside| std::fs::write(beside, &text)).map_err(failed)
}

fn copy(program: &Path, path: &Path) -> Result<(), GateError> {
    files::put_new(path, |beside| std::fs::copy(program, beside).map(|_| ()))
        .map_err(|source| GateError::Write { path: path.to_path_buf(), source })
}

fn is_there(error: &GateError) -> bool {
    matches!(error, GateError::Write { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
}

/// Stores of files, such as the artefacts of a CI, forget that a file can be run.
#[cfg(unix)]
fn make_executable(program: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(facts) = std::fs::metadata(program) else { return };
    let mode = facts.permissions().mode();
    if mode & 0o111 == 0 {
        // Where that is not allowed, starting it says so.
        let _ = std::fs::set_permissions(program, PermissionsExt::from_mode(mode | 0o111));
    }
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) {}

fn make_folder(folder: &Path) -> Result<(), GateError> {
    std::fs::create_dir_all(folder).map_err(|source| GateError::Write { path: folder.to_path_buf(), source })
}
