//! The files of a model and the page cache.

use crate::subject::drop_page_cache;
use gguflab_format::Model;
use std::path::{Path, PathBuf};

/// Reads the model once, so that the system keeps it in memory; a model that does not fit cannot be kept.
pub(super) fn warm(model: &Path, memory: Option<u64>) {
    if memory.is_some_and(|memory| bytes(model) > memory) {
        return;
    }
    for part in parts(model) {
        // What cannot be read here, the engine cannot load either, and it says why.
        let _ = std::fs::File::open(part).and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink()));
    }
}

/// Takes the model out of the page cache.
///
/// # Errors
/// Why it cannot be done.
pub(super) fn drop_from_cache(model: &Path) -> Result<(), String> {
    parts(model).iter().try_for_each(|part| drop_page_cache(part))
}

/// Bytes of all parts.
pub(super) fn bytes(model: &Path) -> u64 {
    parts(model).iter().filter_map(|part| std::fs::metadata(part).ok()).map(|file| file.len()).sum()
}

/// The files of the model; just the named one when it cannot be read (the engine then says why).
fn parts(model: &Path) -> Vec<PathBuf> {
    match Model::open(model) {
        Ok(model) => model.files().map(|file| file.path.clone()).collect(),
        Err(_) => vec![model.to_path_buf()],
    }
}
