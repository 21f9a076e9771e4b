//! Where things are kept on this machine, by the platform's conventions.

use anyhow::{Context, Result};
use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};
use std::path::PathBuf;

/// File of studies when none is named.
pub(crate) fn default_store() -> Result<PathBuf> {
    let folder = data("name a file with --store")?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    Ok(folder.join("studies.db"))
}

/// Folder of baselines when none is named.
pub(crate) fn default_baselines() -> Result<PathBuf> {
    Ok(data("name a folder with --baselines")?.join("baselines"))
}

/// Folder of the journals of evaluations; `None` when there is no home folder.
pub(crate) fn evaluations() -> Option<PathBuf> {
    data("").ok().map(|folder| folder.join("evaluations"))
}

fn data(otherwise: &str) -> Result<PathBuf> {
    let strategy =
        choose_base_strategy().with_context(|| format!("cannot find the home folder: {otherwise}"))?;
    Ok(strategy.data_dir().join("gguflab"))
}

/// Folder of this user's settings; `None` when there is no home folder.
pub(crate) fn settings_folder() -> Option<PathBuf> {
    choose_base_strategy().ok().map(|strategy| strategy.config_dir().join("gguflab"))
}

/// Folder for what can be made again; `None` when there is no home folder.
pub(crate) fn cache() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("GGUFLAB_CACHE") {
        return Some(PathBuf::from(folder));
    }
    choose_base_strategy().ok().map(|strategy| strategy.cache_dir().join("gguflab"))
}

/// The worker: `GGUFLAB_WORKER`, or the executable beside this one.
pub(crate) fn worker() -> PathBuf {
    if let Some(path) = std::env::var_os("GGUFLAB_WORKER") {
        return PathBuf::from(path);
    }
    let name = format!("gguflab-worker{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(&name)));
    beside.unwrap_or_else(|| PathBuf::from(name))
}
