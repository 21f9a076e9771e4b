//! Which model is measured: its identity by content, and its place in the page cache.

mod cache;
mod fingerprint;

use cache::Cache;
use gguflab_format::{FormatError, Model, ModelFacts};
use gguflab_types::ModelIdentity;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model has no identity.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It is no readable GGUF model.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A part of it cannot be read.
    #[error("cannot read {}: {cause}; check the file, or copy it again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// The identity of the model at this path (any part of a split model). Large hashes are remembered in the folder
/// `cache`, keyed by path, size, time of change and inode; `None` hashes anew. A cache that is damaged or cannot
/// be written is passed over.
///
/// # Errors
/// When the model cannot be read; the error names the file.
pub fn model_identity(path: &Path, cache: Option<&Path>) -> Result<ModelIdentity, SubjectError> {
    identity_of(&Model::open(path)?, cache)
}

/// The same for a model that is already open.
///
/// # Errors
/// When its data cannot be read; the error names the file.
pub fn identity_of(model: &Model, cache: Option<&Path>) -> Result<ModelIdentity, SubjectError> {
    let facts = ModelFacts::read(model);
    let path = &model.first().path;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dominant = facts.types.iter().max_by_key(|total| total.parameters);
    Ok(ModelIdentity {
        name: facts.name.unwrap_or_else(|| file.trim_end_matches(".gguf").to_string()),
        file,
        fingerprint: remembered_fingerprint(model, cache)?,
        bytes: model.bytes(),
        architecture: facts.architecture,
        tokenizer: fingerprint::of_tokenizer(model.metadata()),
        parameters: facts.parameters,
        quantisation: dominant.map(|total| total.tensor_type.name().to_string()).unwrap_or_default(),
    })
}

/// Asks the system to forget the file's pages, so that the next load comes from the disk. Pages that some process
/// has mapped stay. Each part of a split model is a file of its own.
///
/// # Errors
/// Why it is impossible, in words.
#[cfg(target_os = "linux")]
pub fn drop_page_cache(path: &Path) -> Result<(), String> {
    let failed = |cause: io::Error| format!("cannot drop {} from the page cache: {cause}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    // Pages that are not yet on the disk cannot be dropped.
    file.sync_all().map_err(failed)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(|errno| failed(errno.into()))
}

/// Asks the system to forget the file's pages, which this system cannot.
///
/// # Errors
/// Always, with the reason in words.
#[cfg(not(target_os = "linux"))]
pub fn drop_page_cache(path: &Path) -> Result<(), String> {
    let system = std::env::consts::OS;
    Err(format!("{system} has no way to drop {} from the page cache", path.display()))
}

fn remembered_fingerprint(model: &Model, folder: Option<&Path>) -> Result<String, SubjectError> {
    let Some(folder) = folder else { return fingerprint::of_content(model) };
    let key = cache::key(model);
    let mut cache = Cache::read(folder);
    if let Some(known) = key.as_deref().and_then(|key| cache.get(key)) {
        return Ok(known);
    }
    let fingerprint = fingerprint::of_content(model)?;
    if let Some(key) = key {
        cache.put(key, fingerprint.clone());
        // A cache that cannot be kept costs time, nothing else.
        let _ = cache.write(folder);
    }
    Ok(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};
    use std::time::{Duration, SystemTime};

    fn tiny(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        write_tiny(&path, &TinyModel::new(TinyArchitecture::Llama)).unwrap();
        // Older than the time within which a change could go unseen.
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        path
    }

    #[test]
    fn content_decides_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (tiny(folder.path(), "a.gguf"), tiny(folder.path(), "b.gguf"));
        let identity = model_identity(&first, None).unwrap();
        assert!(identity.fingerprint.starts_with("sha256:") && identity.fingerprint.len() == 7 + 64);
        assert!(identity.tokenizer.starts_with("sha256:"));
        assert_eq!((identity.file.as_str(), identity.architecture.as_str()), ("a.gguf", "llama"));
        assert_eq!(identity.bytes, std::fs::metadata(&first).unwrap().len());
        assert!(identity.parameters > 0 && !identity.quantisation.is_empty());
        assert_eq!(identity.fingerprint, model_identity(&second, None).unwrap().fingerprint);

        let mut bytes = std::fs::read(&second).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&second, bytes).unwrap();
        let changed = model_identity(&second, None).unwrap();
        assert_ne!(identity.fingerprint, changed.fingerprint);
        assert_eq!(identity.tokenizer, changed.tokenizer);
    }

    #[test]
    fn hashes_are_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = tiny(folder.path(), "a.gguf");
        let cache = folder.path().join("cache");
        let first = model_identity(&path, Some(&cache)).unwrap();
        // A lie in the cache shows whether it is asked.
        let file = cache.join(cache::FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(&first.fingerprint, "sha256:remembered")).unwrap();
        assert_eq!(model_identity(&path, Some(&cache)).unwrap().fingerprint, "sha256:remembered");
        let opened = std::fs::File::options().append(true).open(&path).unwrap();
        opened.set_modified(SystemTime::now() - Duration::from_secs(1800)).unwrap();
        assert_eq!(model_identity(&path, Some(&cache)).unwrap().fingerprint, first.fingerprint);
        std::fs::write(&file, "{ damaged").unwrap();
        assert_eq!(model_identity(&path, Some(&cache)).unwrap().fingerprint, first.fingerprint);
        let nowhere = folder.path().join("a.gguf/not-a-folder");
        assert_eq!(model_identity(&path, Some(&nowhere)).unwrap().fingerprint, first.fingerprint);
    }

    #[test]
    fn what_is_no_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.gguf");
        let missing = model_identity(&path, None).unwrap_err().to_string();
        assert!(missing.contains("no.gguf"), "{missing}");
        std::fs::write(&path, "not a model").unwrap();
        let garbage = model_identity(&path, None).unwrap_err().to_string();
        assert!(garbage.contains("no.gguf"), "{garbage}");
    }

    #[test]
    fn pages_are_dropped_or_it_is_said_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = tiny(folder.path(), "a.gguf");
        let dropped = drop_page_cache(&path);
        assert_eq!(dropped.is_ok(), cfg!(target_os = "linux"), "{dropped:?}");
        let missing = drop_page_cache(&folder.path().join("none.gguf")).unwrap_err();
        assert!(missing.contains("none.gguf"), "{missing}");
    }
}
