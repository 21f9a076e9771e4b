//! Models of the hub: in its cache on this machine, or downloaded into it.
//!
//! The cache is the one of the hub's own tools: `models--OWNER--REPO/refs/main` holds a commit,
//! `snapshots/COMMIT/FILE` links to `blobs/ETAG`.

#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod exchange;

use std::path::PathBuf;

use crate::choose::models;
use crate::error::DataError;
use crate::find::{DownloadProgress, FoundModel, Origin};
use crate::folder::{WalkedFile, chosen, display_name, is_gguf, model_bytes, part_names, read_bounded, walk};
use crate::local::LocalModel;
use crate::places::{HubPlace, Places};

/// Bytes of a `refs` file at most; a commit has 40.
const REFERENCE_BYTES: u64 = 256;

/// `OWNER/REPO[:FILE-or-QUANT]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubName {
    /// As given, without `hf:`.
    pub(crate) text: String,
    /// `OWNER/REPO`.
    pub(crate) repository: String,
    /// The file or quantisation.
    pub(crate) wanted: Option<String>,
}

/// The model `name`: a file that is named in full and is in the cache is taken from there without asking; else
/// the hub is asked, and where it cannot be, the cache has to do.
pub(crate) fn find(
    name: &str,
    places: &Places,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<FoundModel, DataError> {
    let name = HubName::parse(name)?;
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

#[cfg(feature = "hub")]
use download::download;

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
    fn parse(text: &str) -> Result<HubName, DataError> {
        let (repository, wanted) = match text.split_once(':') {
            Some((repository, wanted)) => (repository, Some(wanted)),
            None => (text, None),
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let [owner, name] = parts.as_slice() else { return Err(bad_name(text)) };
        if ![*owner, *name].into_iter().all(is_plain) || wanted.is_some_and(|file| !is_file_name(file)) {
            return Err(bad_name(text));
        }
        let wanted = wanted.map(str::to_owned);
        Ok(HubName { text: text.to_owned(), repository: repository.to_owned(), wanted })
    }
}

fn bad_name(text: &str) -> DataError {
    let reason = "on the hub it is hf:OWNER/REPO, hf:OWNER/REPO:FILE or hf:OWNER/REPO:QUANT".to_owned();
    DataError::BadName { name: format!("hf:{text}"), reason }
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
    cached_snapshot(hub, repository).map(|folder| walk(&folder, 3, is_gguf).files).unwrap_or_default()
}

fn cached_snapshot(hub: &HubPlace, repository: &str) -> Option<PathBuf> {
    let folder = hub.cache.as_ref()?.join(format!("models--{}", repository.replace('/', "--")));
    let reference = read_bounded(&folder.join("refs").join("main"), REFERENCE_BYTES).ok()?;
    let commit = String::from_utf8(reference).ok()?;
    is_plain(commit.trim()).then(|| folder.join("snapshots").join(commit.trim()))
}

/// `OWNER/REPO` of every repository in the cache.
fn cached_repositories(hub: &HubPlace) -> Vec<String> {
    let Some(cache) = &hub.cache else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(cache) else { return Vec::new() };
    let names = entries.take(crate::limits::WALK_ENTRIES).flatten().map(|entry| display_name(&entry.path()));
    let mut repositories: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix("models--")?.replacen("--", "/", 1))).collect();
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
