//! Models in LM Studio's folder: `PUBLISHER/REPO/FILE.gguf`.

use std::path::Path;

use crate::choose::models;
use crate::error::DataError;
use crate::find::{FoundModel, Origin};
use crate::folder::{WalkedFile, entry_ignoring_case, is_gguf, model_in, walk};
use crate::limits;
use crate::places::Places;

/// `PUBLISHER/REPO`, `PUBLISHER/REPO/FILE` or `PUBLISHER/REPO:QUANT`, taken apart.
struct LmStudioName<'a> {
    publisher: &'a str,
    repository: &'a str,
    wanted: Option<&'a str>,
}

/// The model `name` in the first of LM Studio's folders that has the repository.
pub(crate) fn find(name: &str, places: &Places) -> Result<Option<FoundModel>, DataError> {
    let Some(wanted) = LmStudioName::parse(name) else {
        let reason = "in LM Studio it is PUBLISHER/REPO, PUBLISHER/REPO/FILE or PUBLISHER/REPO:QUANT";
        return Err(DataError::BadName { name: name.to_owned(), reason: reason.to_owned() });
    };
    for root in &places.lm_studio {
        let publisher = entry_ignoring_case(root, wanted.publisher);
        let repository = publisher.and_then(|folder| entry_ignoring_case(&folder, wanted.repository));
        if let Some(folder) = repository.filter(|folder| folder.is_dir()) {
            let place = format!("lmstudio:{}/{}", wanted.publisher, wanted.repository);
            let file = model_in(&folder, wanted.wanted, &place)?;
            let name = format!("{place}/{}", file.name);
            return Ok(Some(FoundModel { path: file.path, origin: Origin::LmStudio, name }));
        }
    }
    Ok(None)
}

/// Whether `name` could be a model's name in LM Studio.
pub(crate) fn is_name(name: &str) -> bool {
    LmStudioName::parse(name).is_some()
}

/// The first files of the models in one of LM Studio's folders, and all GGUF files that were met.
pub(crate) fn list(root: &Path) -> (Vec<WalkedFile>, Vec<WalkedFile>) {
    let mut files = walk(root, limits::WALK_DEPTH, is_gguf).files;
    files.retain(|file| file.name.matches('/').count() >= 2);
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let models = models(&names);
    let firsts = files.iter().filter(|file| models.contains(&file.name)).cloned().collect();
    (firsts, files)
}

impl LmStudioName<'_> {
    fn parse(text: &str) -> Option<LmStudioName<'_>> {
        let (path, quant) = match text.rsplit_once(':') {
            Some((path, quant)) if !quant.contains('/') => (path, Some(quant)),
            _ => (text, None),
        };
        let mut parts = path.splitn(3, '/');
        let (publisher, repository, file) = (parts.next()?, parts.next()?, parts.next());
        let whole = [Some(publisher), Some(repository), file, quant].into_iter().flatten().all(is_plain);
        let at_most_one = file.is_none() || quant.is_none();
        (whole && at_most_one).then_some(LmStudioName { publisher, repository, wanted: file.or(quant) })
    }
}

/// Whether `text` stays where it is: no empty, hidden or upward step.
fn is_plain(text: &str) -> bool {
    text.split('/')
        .all(|step| !step.is_empty() && !step.starts_with('.') && !step.contains(['\\', '\0', ':']))
}
