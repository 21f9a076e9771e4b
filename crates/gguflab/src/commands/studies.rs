//! `gguflab study copy`, `merge`, `export`, `rename` and `delete`: studies as a whole.

use super::study::{find, open};
use crate::cli::{StoreArguments, StudyVerb};
use crate::places;
use crate::printer::{Printer, write_document};
use crate::settings;
use anyhow::Result;
use gguflab_lab::merge::merge;
use gguflab_lab::{Store, documents};
use gguflab_store::{StoreError, StudyId, export_optuna};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Endings of files that become a database of plain Optuna.
const DATABASES: [&str; 3] = ["db", "sqlite", "sqlite3"];

pub(crate) fn run(verb: &StudyVerb, printer: &Printer) -> Result<ExitCode> {
    match verb {
        StudyVerb::Copy { study, name, to, store } => {
            copy(study, name.as_deref(), to.as_deref(), store, printer)
        }
        StudyVerb::Merge { study, files, name, store } => {
            merge_all(study, files, name.as_deref().unwrap_or(study), store, printer)
        }
        StudyVerb::Export { study, output, store } => export(study, output, store, printer),
        StudyVerb::Rename { study, name, store } => {
            change(store, study, |store, id| store.rename_study(id, name))
        }
        StudyVerb::Delete { study, yes: false, .. } => {
            settings::refuse(format!("study `{study}` would be gone with all its samples: say so with --yes"))
        }
        StudyVerb::Delete { study, store, .. } => change(store, study, Store::delete_study),
        StudyVerb::List { .. } | StudyVerb::Show { .. } => super::study::look(verb, printer),
    }
}

fn copy(
    study: &str,
    name: Option<&str>,
    to: Option<&Path>,
    store: &StoreArguments,
    printer: &Printer,
) -> Result<ExitCode> {
    let source = place(store)?;
    let target = to.map_or_else(|| source.clone(), Path::to_path_buf);
    let name = name.unwrap_or(study);
    // What is not there leaves no new file behind.
    let mut reader = Store::open_read_only(&source)?;
    if reader.study_id(study)?.is_none() {
        return Err(StoreError::NoSuchStudy { path: source, name: study.to_string() }.into());
    }
    reader.close()?;
    let mut written = Store::open(&target)?;
    let copied = written.copy_study(&source, study, name);
    written.close()?;
    copied?;
    printer.say(&format!("study `{study}` of {} is now `{name}` in {}", source.display(), target.display()));
    Ok(ExitCode::SUCCESS)
}

fn merge_all(
    study: &str,
    files: &[PathBuf],
    into: &str,
    store: &StoreArguments,
    printer: &Printer,
) -> Result<ExitCode> {
    let path = place(store)?;
    for file in files {
        Store::open_read_only(file)?.close()?;
    }
    let mut target = Store::open(&path)?;
    for file in files {
        let merged = merge(&mut target, into, file, study)?;
        printer.say(&format!(
            "{}: {} trials added, {} were there already, {} are not finished",
            file.display(),
            merged.added,
            merged.doubles,
            merged.unfinished
        ));
    }
    target.close()?;
    Ok(ExitCode::SUCCESS)
}

fn export(study: &str, output: &Path, store: &StoreArguments, printer: &Printer) -> Result<ExitCode> {
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if DATABASES.contains(&ending) {
        export_optuna(&place(store)?, study, output)?;
    } else {
        let (mut store, path) = open(store.store.as_deref())?;
        let study = find(&mut store, study, &path)?;
        write_document(&documents::study::trials(&study, store.trials(study.study.id)?), output)?;
    }
    printer.say(&format!("{}", output.display()));
    Ok(ExitCode::SUCCESS)
}

fn change(
    store: &StoreArguments,
    study: &str,
    work: impl FnOnce(&mut Store, StudyId) -> Result<(), StoreError>,
) -> Result<ExitCode> {
    let path = place(store)?;
    // A file that is not there is not made.
    Store::open_read_only(&path)?.close()?;
    let mut store = Store::open(&path)?;
    let changed = match store.study_id(study)? {
        Some(id) => work(&mut store, id),
        None => Err(StoreError::NoSuchStudy { path, name: study.to_string() }),
    };
    store.close()?;
    changed?;
    Ok(ExitCode::SUCCESS)
}

fn place(store: &StoreArguments) -> Result<PathBuf> {
    match &store.store {
        Some(path) => Ok(path.clone()),
        None => places::default_store(),
    }
}
