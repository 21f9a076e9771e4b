//! Several stores' studies of one subject and one space become one.

use crate::study::StudyError;
use gguflab_store::{Merged, Store, Study};
use std::path::Path;

/// Settings that two studies may have of their own and still measure the same: they say how it was searched.
const OF_THE_SEARCH: &[&str] = &["runs", "seconds", "sampler", "margin", "seed", "adopted"];

/// Adds the finished trials of study `name` in the file `source` to study `into` of this store, which is made as a copy
/// if it is not there. A trial that is there already is not added again.
///
/// # Errors
/// [`StudyError::Merge`] says what differs; or a store does not work.
pub fn merge(store: &mut Store, into: &str, source: &Path, name: &str) -> Result<Merged, StudyError> {
    let mut other = Store::open_read_only(source)?;
    let theirs = other.find_study(name)?;
    other.close()?;
    let Some(theirs) = theirs else {
        let (path, name) = (source.to_path_buf(), name.to_string());
        return Err(gguflab_store::StoreError::NoSuchStudy { path, name }.into());
    };
    let ours = match store.find_study(into)? {
        Some(ours) => ours,
        None => {
            let id = store.copy_study(source, name, into)?;
            let added = store.trials(id)?.len() as u64;
            return Ok(Merged { added, ..Merged::default() });
        }
    };
    let differences = differences(&ours, &theirs);
    if differences.is_empty() {
        return Ok(store.merge_study(source, name, ours.id)?);
    }
    let file = source.display().to_string();
    let differences = differences.join("\n");
    Err(StudyError::Merge { name: name.to_string(), file, into: into.to_string(), differences })
}

/// What keeps two studies apart, a line each.
fn differences(ours: &Study, theirs: &Study) -> Vec<String> {
    let essential = ours.subject.differences(&theirs.subject).into_iter().filter(|row| row.essential);
    let mut lines: Vec<String> = essential
        .map(|row| format!("  {}: here `{}`, there `{}`", row.what, row.first, row.second))
        .collect();
    if ours.objectives != theirs.objectives {
        lines.push("  the objective".to_string());
    }
    if ours.space != theirs.space {
        lines.push("  the knobs that are searched, or their values".to_string());
    }
    let names = ours.settings.as_object().into_iter().chain(theirs.settings.as_object());
    let names: std::collections::BTreeSet<&String> = names.flat_map(|settings| settings.keys()).collect();
    for name in names.into_iter().filter(|name| !OF_THE_SEARCH.contains(&name.as_str())) {
        if without_seed(ours, name) != without_seed(theirs, name) {
            lines.push(format!("  {name}"));
        }
    }
    lines
}

/// A setting without the seed of the prompts: other text of the same length is the same measurement.
fn without_seed(study: &Study, name: &str) -> Option<serde_json::Value> {
    let mut setting = study.settings.get(name).cloned();
    if let Some(fields) = setting.as_mut().and_then(serde_json::Value::as_object_mut) {
        fields.remove("seed");
    }
    setting
}
