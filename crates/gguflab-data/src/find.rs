//! Finds the model that a user names.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gguflab_format::SplitName;
use serde::Serialize;

use crate::error::DataError;
use crate::folder::{self, display_name};
use crate::places::{self, Places};
use crate::{hub, lm_studio, near, ollama};

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundModel {
    /// The file to load; of a split model its first part, with the other parts beside it.
    pub path: PathBuf,
    /// How it was found.
    pub origin: Origin,
    /// The full name under which it would be found again.
    pub name: String,
}

/// How a model was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The path of a file.
    File,
    /// The only model, or the chosen one, of a folder.
    Folder,
    /// Ollama's store.
    Ollama,
    /// LM Studio's folder.
    LmStudio,
    /// A file that was already in the hub's cache.
    HubCache,
    /// Downloaded from the hub into its cache, or confirmed by it to be there.
    Hub,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Origin::File => "file",
            Origin::Folder => "folder",
            Origin::Ollama => "Ollama",
            Origin::LmStudio => "LM Studio",
            Origin::HubCache => "hub cache",
            Origin::Hub => "hub",
        })
    }
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadProgress {
    /// The file in the repository.
    pub file: String,
    /// Which file of the model, from 1.
    pub part: usize,
    /// Files of the model; more than 1 for a split one.
    pub parts: usize,
    /// Bytes of this file that are here, those of an earlier, broken download included.
    pub done_bytes: u64,
    /// Bytes of this file in all.
    pub total_bytes: u64,
}

/// Finds the model `name` as [`find_model_with`] does, and reports no progress.
///
/// # Errors
/// As [`find_model_with`].
pub fn find_model(name: &str, places: &Places) -> Result<FoundModel, DataError> {
    find_model_with(name, places, &mut |_| {})
}

/// Finds the model `name`:
/// - the path of a file, or of one part of a split model (its first part is given);
/// - a folder with one model, or `FOLDER:QUANT` with a file name or quantisation that chooses one;
/// - `ollama:[[HOST/]NAMESPACE/]NAME[:TAG]`, a model that Ollama has pulled;
/// - `lmstudio:PUBLISHER/REPO[/FILE]` or `lmstudio:PUBLISHER/REPO:QUANT`, a model of LM Studio;
/// - `hf:OWNER/REPO[:FILE-or-QUANT]`, from the hub's cache or, with the cargo feature `hub`, downloaded into it;
/// - a bare name: a path when it exists, else a name in Ollama or LM Studio.
///
/// `progress` is called while something is downloaded. The file's content is looked at only in Ollama's store
/// (whose files have no ending); opening the model says what is wrong with any other.
///
/// # Errors
/// [`DataError`]: nothing of that name (with the places where was looked and near names), several models, a
/// broken store, or the hub's refusal.
pub fn find_model_with(
    name: &str,
    places: &Places,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<FoundModel, DataError> {
    if name.trim().is_empty() {
        let reason =
            "it is empty; give a path, a folder, ollama:NAME, lmstudio:PUBLISHER/REPO or hf:OWNER/REPO";
        return Err(DataError::BadName { name: name.to_owned(), reason: reason.to_owned() });
    }
    let found = match name.split_once(':') {
        Some(("hf", rest)) => return hub::find(rest, places, progress),
        Some(("ollama", rest)) => ollama::find(rest, places)?,
        Some(("lmstudio", rest)) => lm_studio::find(rest, places)?,
        _ => match by_path(name, places)? {
            Some(found) => Some(found),
            None => by_bare_name(name, places)?,
        },
    };
    found.ok_or_else(|| not_found(name, places))
}

fn by_path(name: &str, places: &Places) -> Result<Option<FoundModel>, DataError> {
    let path = places.current.join(name);
    match fs::metadata(&path) {
        Ok(facts) if facts.is_dir() => in_folder(name, &path, None).map(Some),
        Ok(_) => {
            let path = first_part(path)?;
            Ok(Some(FoundModel { path, origin: Origin::File, name: name.to_owned() }))
        }
        Err(cause) if is_absent(&cause) => by_folder_and_choice(name, places),
        Err(cause) => Err(DataError::System { action: "open", path, cause }),
    }
}

/// `FOLDER:QUANT`.
fn by_folder_and_choice(name: &str, places: &Places) -> Result<Option<FoundModel>, DataError> {
    let Some((folder, wanted)) = name.rsplit_once(':') else { return Ok(None) };
    let path = places.current.join(folder);
    if folder.is_empty() || wanted.is_empty() || !path.is_dir() {
        return Ok(None);
    }
    in_folder(name, &path, Some(wanted)).map(Some)
}

fn in_folder(name: &str, path: &Path, wanted: Option<&str>) -> Result<FoundModel, DataError> {
    let file = folder::model_in(path, wanted, &path.display().to_string())?;
    Ok(FoundModel { path: file.path, origin: Origin::Folder, name: name.to_owned() })
}

/// The first part of the split model that `path` is a part of; any other path as it is.
fn first_part(path: PathBuf) -> Result<PathBuf, DataError> {
    let Some(split) = SplitName::parse(&display_name(&path)) else { return Ok(path) };
    let first = path.with_file_name(split.part(1));
    if first.is_file() {
        return Ok(first);
    }
    Err(DataError::MissingPart { place: path.display().to_string(), missing: split.part(1) })
}

fn by_bare_name(name: &str, places: &Places) -> Result<Option<FoundModel>, DataError> {
    let ollama = if ollama::is_name(name) { ollama::find(name, places)? } else { None };
    let lm_studio = if lm_studio::is_name(name) { lm_studio::find(name, places)? } else { None };
    match (ollama, lm_studio) {
        (Some(one), Some(other)) => {
            let choices = vec![one.name, other.name];
            Err(DataError::Several { place: format!("the name `{name}`"), choices })
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// Whether the system says that there is no such file, or that there can be none of this name.
fn is_absent(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(cause.kind(), NotFound | NotADirectory | InvalidInput | InvalidFilename)
}

fn not_found(name: &str, places: &Places) -> DataError {
    let mut looked = Vec::new();
    let prefix = name.split_once(':').map_or("", |(prefix, _)| prefix);
    if !matches!(prefix, "ollama" | "lmstudio") {
        looked.push(format!("the file or folder {}", places.current.join(name).display()));
    }
    if prefix != "lmstudio" {
        looked.extend(places.ollama.iter().map(|root| places::describe("Ollama's models in", root)));
    }
    if prefix != "ollama" {
        looked.extend(places.lm_studio.iter().map(|root| places::describe("LM Studio's models in", root)));
    }
    DataError::NotFound { name: name.to_owned(), looked, near: near::near_names(name, places) }
}
