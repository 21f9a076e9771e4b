//! `gguflab report` and `gguflab export`.

use super::study::{find, open};
use crate::cli::{Export, FileArguments, FormatName, Report};
use crate::printer::{Printer, write_document, write_folder};
use anyhow::Result;
use gguflab_lab::documents::Detail;
use gguflab_lab::tune::conclusion;
use gguflab_lab::{Conclusion, OpenStudy, Store, bench_tuner, documents, perf_methodology};
use gguflab_report::Document;
use gguflab_report::render::svg;
use gguflab_types::Trial;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn report(arguments: &Report, printer: &Printer) -> Result<ExitCode> {
    match (&arguments.from, &arguments.study) {
        (Some(file), _) => report_of_file(file, arguments, printer)?,
        (None, Some(study)) => report_of_study(study, arguments, printer)?,
        (None, None) => return crate::settings::refuse("name a study, or a file with --from".to_string()),
    }
    Ok(ExitCode::SUCCESS)
}

fn report_of_study(name: &str, arguments: &Report, printer: &Printer) -> Result<()> {
    let (mut store, path) = open(arguments.store.store.as_deref())?;
    let study = find(&mut store, name, &path)?;
    let trials = store.trials(study.study.id)?.to_vec();
    let model = arguments.model.clone().unwrap_or_else(|| PathBuf::from(&study.study.subject.model.file));
    let conclusion = conclusion(&study, &trials);
    let written = Written {
        study: &study,
        trials: &trials,
        conclusion: conclusion.as_ref(),
        model: &model,
        explain: arguments.files.explain,
    };
    finish(&written.document(Detail::Full), arguments.output.as_deref(), printer)?;
    written.files(&arguments.files, &mut store, printer)
}

fn report_of_file(file: &Path, arguments: &Report, printer: &Printer) -> Result<()> {
    let imported = bench_tuner::read(file)?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let document = documents::imported::document(&name, &imported, arguments.files.explain);
    finish(&document, arguments.output.as_deref(), printer)?;
    if let Some(folder) = &arguments.files.export_dir {
        write_folder(folder, bench_tuner::rankings(&imported))?;
        printer.say(&format!("exported: {}", folder.display()));
    }
    arguments.files.pictures.as_deref().map_or(Ok(()), |folder| pictures(&document, folder, printer))
}

pub(crate) fn export(arguments: &Export, printer: &Printer) -> Result<ExitCode> {
    let (mut store, path) = open(arguments.store.store.as_deref())?;
    let study = find(&mut store, &arguments.study, &path)?;
    if let Some(folder) = &arguments.export_dir {
        let trials = store.trials(study.study.id)?.to_vec();
        export_files(folder, &study, &trials, &mut store, printer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let document = documents::study::trials(&study, store.trials(study.study.id)?);
    finish(&document, arguments.output.as_deref(), &printer.with_default(FormatName::Csv))?;
    Ok(ExitCode::SUCCESS)
}

fn finish(document: &Document, output: Option<&Path>, printer: &Printer) -> Result<()> {
    match output {
        Some(path) => write_document(document, path),
        None => printer.document(document),
    }
}

/// What is written about a study.
pub(super) struct Written<'a> {
    pub(super) study: &'a OpenStudy,
    pub(super) trials: &'a [Trial],
    pub(super) conclusion: Option<&'a Conclusion>,
    /// Where the model lies.
    pub(super) model: &'a Path,
    /// Whether each knob is explained in words.
    pub(super) explain: bool,
}

impl Written<'_> {
    pub(super) fn document(&self, detail: Detail) -> Document {
        documents::tune::document(self.study, self.trials, self.conclusion, self.model, detail, self.explain)
    }

    /// Writes the files that were asked for besides the report.
    pub(super) fn files(
        &self,
        arguments: &FileArguments,
        store: &mut Store,
        printer: &Printer,
    ) -> Result<()> {
        if let Some(folder) = &arguments.take_away {
            self.take_away(folder, printer)?;
        }
        if let Some(folder) = &arguments.export_dir {
            export_files(folder, self.study, self.trials, store, printer)?;
        }
        if let Some(folder) = &arguments.pictures {
            pictures(&self.document(Detail::Full), folder, printer)?;
        }
        Ok(())
    }

    fn take_away(&self, folder: &Path, printer: &Printer) -> Result<()> {
        let Some(files) = documents::tune::take_away_files(self.study, self.conclusion, self.model) else {
            printer.warn("there is no winner yet: nothing to take away");
            return Ok(());
        };
        let files = files.into_iter().map(|(name, text)| (name.to_string(), text.into_bytes()));
        write_folder(folder, files)?;
        printer.say(&format!("to take away: {}", folder.display()));
        Ok(())
    }
}

fn export_files(
    folder: &Path,
    study: &OpenStudy,
    trials: &[Trial],
    store: &mut Store,
    printer: &Printer,
) -> Result<()> {
    let mut problem = None;
    let files = bench_tuner::files(study, trials, |number| {
        store.log(study.study.id, number).unwrap_or_else(|error| {
            problem.get_or_insert(error);
            None
        })
    });
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    write_folder(folder, files.into_iter().chain(perf_methodology::of_study(study, trials)))?;
    printer.say(&format!("exported: {}", folder.display()));
    Ok(())
}

/// Writes each chart as a picture of its own.
fn pictures(document: &Document, folder: &Path, printer: &Printer) -> Result<()> {
    let drawn = svg::pictures(document);
    printer.say(&format!("{} pictures: {}", drawn.len(), folder.display()));
    #[cfg(feature = "png")]
    write_folder(folder, svg::png_pictures(document)?)?;
    #[cfg(not(feature = "png"))]
    printer.say("SVG only: for PNG too, build with `cargo build --release -p gguflab --features png`");
    write_folder(folder, drawn.into_iter().map(|(name, picture)| (name, picture.into_bytes())))
}
