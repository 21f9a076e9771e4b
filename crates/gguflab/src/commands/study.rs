//! `gguflab study`.

use crate::cli::{Study, StudyVerb};
use crate::printer::Printer;
use crate::{places, settings};
use anyhow::{Context, Result};
use gguflab_lab::{OpenStudy, Store, documents};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn study(arguments: &Study, printer: &Printer) -> Result<ExitCode> {
    super::studies::run(&arguments.verb, printer)
}

/// Shows what is stored.
pub(crate) fn look(verb: &StudyVerb, printer: &Printer) -> Result<ExitCode> {
    match verb {
        StudyVerb::List { store } => {
            let (mut store, path) = open(store.store.as_deref())?;
            printer.document(&documents::study::list(&path.display().to_string(), &store.studies()?))?;
        }
        StudyVerb::Show { study, trial, log, store } => {
            let (mut store, path) = open(store.store.as_deref())?;
            let study = find(&mut store, study, &path)?;
            let document = match trial {
                None => documents::study::trials(&study, store.trials(study.study.id)?),
                Some(number) => one_trial(&mut store, &study, *number, *log)?,
            };
            printer.document(&document)?;
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn one_trial(
    store: &mut Store,
    study: &OpenStudy,
    number: u32,
    log: bool,
) -> Result<gguflab_report::Document> {
    let Some(trial) = store.trial(study.study.id, number)? else {
        return settings::refuse(format!("study `{}` has no trial {number}", study.study.name));
    };
    let text = if log { store.log(study.study.id, number)? } else { None };
    let qualities = study.qualities(store.trials(study.study.id)?);
    Ok(documents::study::trial(study, &trial, &qualities, text.as_deref()))
}

/// Opens the store for reading: a study that runs meanwhile is not held up.
pub(super) fn open(path: Option<&Path>) -> Result<(Store, PathBuf)> {
    let path = match path {
        Some(path) => path.to_path_buf(),
        None => places::default_store()?,
    };
    let store = Store::open_read_only(&path)?;
    Ok((store, path))
}

pub(super) fn find(store: &mut Store, name: &str, path: &Path) -> Result<OpenStudy> {
    if let Some(study) = OpenStudy::find(store, name).with_context(|| format!("in {}", path.display()))? {
        return Ok(study);
    }
    let names: Vec<String> = store.studies()?.into_iter().map(|study| format!("`{}`", study.name)).collect();
    let known =
        if names.is_empty() { "it holds none".to_string() } else { format!("it holds {}", names.join(", ")) };
    settings::refuse(format!("no study `{name}` in {}: {known}", path.display()))
}
