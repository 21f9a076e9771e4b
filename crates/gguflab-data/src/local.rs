//! The models that other programs have on this machine.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::find::Origin;
use crate::folder::model_bytes;
use crate::places::Places;
use crate::{hub, lm_studio, ollama};

/// A model that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocalModel {
    /// Name with which [`crate::find_model`] finds it.
    pub name: String,
    /// Whose it is.
    pub origin: Origin,
    /// The file to load.
    pub path: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// Every usable model of Ollama, LM Studio and the hub's cache, by origin and name; each name once. Damaged and
/// foreign ones are left out; asking for one by name says what is wrong with it.
#[must_use]
pub fn local_models(places: &Places) -> Vec<LocalModel> {
    let mut models: Vec<LocalModel> = Vec::new();
    models.extend(places.ollama.iter().flat_map(|store| ollama::list(store)).filter_map(of_ollama));
    for root in &places.lm_studio {
        let (firsts, files) = lm_studio::list(root);
        models.extend(firsts.into_iter().map(|first| LocalModel {
            name: format!("lmstudio:{}", first.name),
            origin: Origin::LmStudio,
            bytes: model_bytes(&first, &files),
            path: first.path,
        }));
    }
    models.extend(hub::list(&places.hub));
    // The sort is stable, so that of one name the place that `find_model` prefers stays first.
    models.sort_by(|one, other| (one.origin, &one.name).cmp(&(other.origin, &other.name)));
    models.dedup_by(|one, other| one.name == other.name);
    models
}

fn of_ollama(listed: ollama::Listed) -> Option<LocalModel> {
    let path = listed.file().ok()?;
    let bytes = fs::metadata(&path).ok()?.len();
    Some(LocalModel {
        name: format!("ollama:{}", listed.name.display()),
        origin: Origin::Ollama,
        path,
        bytes,
    })
}
