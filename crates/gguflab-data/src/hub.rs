//! Models and datasets of the hub: in its cache on this machine, or downloaded into it.
//!
//! The cache is the one of the hub's own tools: `models--OWNER--REPO/refs/main` (`datasets--…`) holds a commit,
//! `snapshots/COMMIT/FILE` links to `blobs/ETAG`.

#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod exchange;

use std::path::PathBuf;

use crate::choose::models;
use crate::dataset::{DataFile, DatasetError};
use crate::error::DataError;
use crate::find::{DownloadProgress, FoundModel, Origin};
use crate::folder::{WalkedFile, chosen, display_name, is_gguf, model_bytes, part_names, read_bounded, walk};
use crate::local::LocalModel;
use crate::places::{HubPlace, Places};

/// Bytes of a `refs` file at most; a commit has 40.
const REFERENCE_BYTES: u64 = 256;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HubKind {
    Model,
    Dataset,
}

impl HubKind {
    /// What its folders in the cache begin with.
    fn prefix(self) -> &'static str {
        match self {
            HubKind::Model => "models--",
            HubKind::Dataset => "datasets--",
        }
    }
}

/// `OWNER/REPO[:FILE-or-QUANT]` or `datasets/OWNER/NAME[:FILE-or-FOLDER]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubName {
    /// What it is the name of.
    pub(crate) kind: HubKind,
    /// As given, without `hf:`.
    pub(crate) text: String,
    /// `OWNER/REPO`.
    pub(crate) repository: String,
    /// The file, quantisation or folder.
    pub(crate) wanted: Option<String>,
}

/// The model `name`: a file that is named in full and is in the cache is taken from there without asking; else
/// the hub is asked, and where it cannot be, the cache has to do.
pub(crate) fn find(
    name: &str,
    places: &Places,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<FoundModel, DataError> {
    let name = HubName::of_model(name)?;
    let cached = cached_files(&places.hub, &name.repository);
    if let Some(wanted) = name.wanted.as_deref()
        && cached.iter().any(|file| file.name == wanted)
        && let Some(found) = from_cache(&cached, &name)
    {
        return Ok(found);
    }
    match download(&name, &places.hub, progress) {
        Err(error @ (DataError::HubNotBuilt { .. } | DataError::HubUnreachable { .. })) => {
            from_cache(&cached, &name).ok_or(error)
        }
        answered => answered,
    }
}

/// The files of the dataset `name` (without `hf:`) that `choose` picks by their names. A file that is named in full
/// and is in the cache is taken from there without asking. Of others only the hub knows whether all are there.
pub(crate) fn dataset_files(
    name: &str,
    choose: &ChooseFiles<'_>,
    places: &Places,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<Vec<DataFile>, DatasetError> {
    let name = HubName::of_dataset(name)?;
    if let Some(wanted) = name.wanted.as_deref()
        && let Some(folder) = cached_snapshot(&places.hub, name.kind, &name.repository)
        && let path = folder.join(wanted)
        && let Ok(facts) = std::fs::metadata(&path)
        && facts.is_file()
    {
        return Ok(vec![DataFile { name: wanted.to_owned(), path, bytes: facts.len() }]);
    }
    download_dataset(&name, &places.hub, choose, progress)
}

/// Picks among the names of a dataset's files: indices into them.
pub(crate) type ChooseFiles<'a> = dyn Fn(&[String]) -> Result<Vec<usize>, DatasetError> + 'a;

#[cfg(feature = "hub")]
use download::{download, download_dataset};

#[cfg(not(feature = "hub"))]
fn download_dataset(
    name: &HubName,
    _: &HubPlace,
    _: &ChooseFiles<'_>,
    _: &mut dyn FnMut(&DownloadProgress),
) -> Result<Vec<DataFile>, DatasetError> {
    Err(DataError::HubNotBuilt { name: name.text.clone() }.into())
}

#[cfg(not(feature = "hub"))]
fn download(
    name: &HubName,
    _: &HubPlace,
    _: &mut dyn FnMut(&DownloadProgress),
) -> Result<FoundModel, DataError> {
    Err(DataError::HubNotBuilt { name: name.text.clone() })
}

/// The models in the hub's cache whose parts are all there.
pub(crate) fn list(hub: &HubPlace) -> Vec<LocalModel> {
    let mut models = Vec::new();
    for repository in cached_repositories(hub) {
        let files = cached_files(hub, &repository);
        models.extend(complete_models(&files).into_iter().map(|first| LocalModel {
            name: format!("hf:{repository}:{}", first.name),
            origin: Origin::HubCache,
            bytes: model_bytes(&first, &files),
            path: first.path,
        }));
    }
    models
}

impl HubName {
    fn of_model(text: &str) -> Result<HubName, DataError> {
        let how = "on the hub it is hf:OWNER/REPO, hf:OWNER/REPO:FILE or hf:OWNER/REPO:QUANT";
        HubName::parse(HubKind::Model, text, text).ok_or_else(|| bad_name(text, how))
    }

    fn of_dataset(text: &str) -> Result<HubName, DataError> {
        let how =
            "on the hub it is hf:datasets/OWNER/NAME, with :FILE or :FOLDER where only some of it is meant";
        let rest = text.strip_prefix("datasets/");
        let parsed = rest.and_then(|rest| HubName::parse(HubKind::Dataset, text, rest));
        parsed.ok_or_else(|| bad_name(text, how))
    }

    fn parse(kind: HubKind, text: &str, rest: &str) -> Option<HubName> {
        let (repository, wanted) = match rest.split_once(':') {
            Some((repository, wanted)) => (repository, Some(wanted)),
            None => (rest, None),
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let [owner, name] = parts.as_slice() else { return None };
        if ![*owner, *name].into_iter().all(is_plain) || wanted.is_some_and(|file| !is_file_name(file)) {
            return None;
        }
        let wanted = wanted.map(str::to_owned);
        Some(HubName { kind, text: text.to_owned(), repository: repository.to_owned(), wanted })
    }
}

fn bad_name(text: &str, how: &str) -> DataError {
    DataError::BadName { name: format!("hf:{text}"), reason: how.to_owned() }
}

/// Whether `text` is one plain step of a path and of an address.
pub(crate) fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+=,@()".contains(&byte);
    !text.is_empty() && text.len() <= 255 && !text.starts_with('.') && text.bytes().all(plain)
}

/// Whether `text` is a file's path in a repository that can neither leave the cache nor change an address.
pub(crate) fn is_file_name(text: &str) -> bool {
    text.len() <= 1024 && text.split('/').all(is_plain)
}

fn from_cache(cached: &[WalkedFile], name: &HubName) -> Option<FoundModel> {
    let file = chosen(cached, name.wanted.as_deref(), &name.repository).ok()?;
    let complete = complete_models(cached).contains(&file) || part_names(&file.name).len() == 1;
    let full = format!("hf:{}:{}", name.repository, file.name);
    complete.then_some(FoundModel { path: file.path, origin: Origin::HubCache, name: full })
}

/// The GGUF files of the cached revision `main` of a repository.
fn cached_files(hub: &HubPlace, repository: &str) -> Vec<WalkedFile> {
    let folder = cached_snapshot(hub, HubKind::Model, repository);
    folder.map(|folder| walk(&folder, 3, is_gguf).files).unwrap_or_default()
}

fn cached_snapshot(hub: &HubPlace, kind: HubKind, repository: &str) -> Option<PathBuf> {
    let folder = format!("{}{}", kind.prefix(), repository.replace('/', "--"));
    let folder = hub.cache.as_ref()?.join(folder);
    let reference = read_bounded(&folder.join("refs").join("main"), REFERENCE_BYTES).ok()?;
    let commit = String::from_utf8(reference).ok()?;
    is_plain(commit.trim()).then(|| folder.join("snapshots").join(commit.trim()))
}

/// `OWNER/REPO` of every repository in the cache.
fn cached_repositories(hub: &HubPlace) -> Vec<String> {
    let Some(cache) = &hub.cache else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(cache) else { return Vec::new() };
    let names = entries.take(crate::limits::WALK_ENTRIES).flatten().map(|entry| display_name(&entry.path()));
    let mut repositories: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix(HubKind::Model.prefix())?.replacen("--", "/", 1)))
        .collect();
    repositories.sort();
    repositories
}

/// The models among the files whose parts are all there, each by its first file.
fn complete_models(files: &[WalkedFile]) -> Vec<WalkedFile> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let is_complete = |first: &str| part_names(first).iter().all(|part| names.contains(part));
    let firsts: Vec<String> = models(&names).into_iter().filter(|first| is_complete(first)).collect();
    files.iter().filter(|file| firsts.contains(&file.name)).cloned().collect()
}
