//! `gguflab bisect`.

use super::bench::Watcher;
use super::compare::{limits, quantity};
use crate::cli::{Bisect, EngineArguments};
use crate::exit::{FAILED, of_ending};
use crate::printer::{Printer, check_targets, write_document};
use crate::{places, settings};
use anyhow::Result;
use gguflab_lab::bisect::{
    BisectRequest, Bisected, Conclusion, Finding, Heard, Measured, MeasuredRequest, bisect as search, builds,
    document,
};
use gguflab_lab::laboratory::check_model;
use gguflab_lab::{EngineSpecification, pasted};
use gguflab_types::{Ending, Outcome};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn bisect(arguments: &Bisect, printer: &Printer) -> Result<ExitCode> {
    check_targets(arguments.report.as_deref(), None)?;
    let how = how(arguments)?;
    let source = Source::of(arguments)?;
    let names = source.names();
    let request = request(arguments)?;
    check_model(&request.model)?;
    let model = builds::name(&request.model);
    let stop = super::stop_on_interrupt()?;
    printer.say(&format!("{} builds from {} to {}", names.len(), arguments.good, arguments.bad));
    let mut engine_of = |build: usize| source.engine(build, &arguments.engine);
    let mut watcher = Watcher::new(printer);
    let mut oracle =
        Measured { request, engine_of: &mut engine_of, stop: &stop, watcher: &mut watcher, known: None };
    let found = search(&names, &how, &mut oracle, &mut |heard| printer.say(&in_words(&names, heard)));
    let found = match found {
        Ok(found) => found,
        Err(ending) => {
            printer.error(&ending.cause);
            return Ok(ExitCode::from(of_ending(&ending)));
        }
    };
    let document = document(&found, &model);
    printer.document(&document)?;
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    Ok(code(&found))
}

fn how(arguments: &Bisect) -> Result<BisectRequest> {
    let Bisect { confidence, threshold, questions, .. } = *arguments;
    if !(confidence > 0.5 && confidence < 1.0) {
        return settings::refuse(format!("--confidence {confidence}: take a fraction above 0.5 and below 1"));
    }
    match threshold {
        Some(wrong) if !(wrong > 0.0 && wrong < 1.0) => {
            settings::refuse(format!("--threshold {wrong}: take a fraction above 0 and below 1"))
        }
        _ => Ok(BisectRequest { threshold, confidence, questions }),
    }
}

fn request(arguments: &Bisect) -> Result<MeasuredRequest> {
    let workload = settings::workload(&arguments.workload, None)?;
    Ok(MeasuredRequest {
        model: settings::find_model(&arguments.model)?,
        quantity: quantity(&arguments.metric, &[], &[&workload])?,
        workload,
        configuration: settings::configuration(&arguments.set)?,
        protocol: settings::protocol(&arguments.workload, arguments.interleaved.repetitions)?,
        deadlines: settings::deadlines(&arguments.limits),
        limits: limits(&arguments.interleaved, arguments.workload.seed)?,
        outputs: !arguments.interleaved.no_outputs,
        cache: places::cache(),
    })
}

/// A search that is not sure has not done what was asked for.
fn code(found: &Bisected) -> ExitCode {
    match &found.conclusion {
        Conclusion::Decided(_) => ExitCode::SUCCESS,
        Conclusion::Open(_) => ExitCode::from(FAILED),
        Conclusion::Ended(ending) => ExitCode::from(of_ending(ending)),
    }
}

fn in_words(names: &[String], heard: &Heard) -> String {
    let finding = match &heard.finding {
        Finding::Good => "good".to_string(),
        Finding::Slower => "worse".to_string(),
        Finding::Drifted => "drifted".to_string(),
        Finding::Undecided => "undecided".to_string(),
        Finding::Unusable(ending) => format!("cannot be measured: {}", ending.cause),
    };
    format!("{}: {finding}", names.get(heard.build).map_or("", String::as_str))
}

/// Where builds come from.
enum Source {
    Folder(Vec<PathBuf>),
    Command { names: Vec<String>, command: Vec<String> },
}

impl Source {
    fn of(arguments: &Bisect) -> Result<Source> {
        let (good, bad) = (&arguments.good, &arguments.bad);
        if good == bad {
            return settings::refuse(format!("--good and --bad are both `{good}`: give two builds"));
        }
        let found = match (&arguments.builds, &arguments.command) {
            (Some(folder), _) => builds::in_folder(folder, good, bad).map(Source::Folder),
            (None, Some(command)) => pasted::split(command).and_then(|command| {
                let names = match arguments.names.as_slice() {
                    [] => builds::numbered(good, bad),
                    names => builds::between(names, good, bad),
                };
                Ok(Source::Command { names: names?, command })
            }),
            (None, None) => Err("give --builds DIR, or --command COMMAND".to_string()),
        };
        found.or_else(settings::refuse)
    }

    fn names(&self) -> Vec<String> {
        match self {
            Source::Folder(paths) => paths.iter().map(|path| builds::name(path)).collect(),
            Source::Command { names, .. } => names.clone(),
        }
    }

    /// The engine of a build; a build that cannot be had is left out of the search.
    fn engine(&self, build: usize, arguments: &EngineArguments) -> Result<EngineSpecification, Ending> {
        let without = |cause: String| Ending::new(Outcome::Rejected, cause);
        let path = match self {
            Source::Folder(paths) => paths.get(build).cloned().unwrap_or_default(),
            Source::Command { names, command } => {
                let name = names.get(build).map_or("", String::as_str);
                builds::made_by(command, name).map_err(without)?
            }
        };
        specification(&path, arguments).map_err(without)
    }
}

fn specification(path: &Path, arguments: &EngineArguments) -> Result<EngineSpecification, String> {
    let engine = Some(builds::engine_of(path)?);
    settings::engine(&EngineArguments { engine, ..arguments.clone() }).map_err(|error| error.to_string())
}
