//! `gguflab compare`.

use super::bench::Watcher;
use crate::cli::{Compare, InterleavedArguments};
use crate::exit::{FAILED, STOPPED};
use crate::printer::{Printer, check_targets, write_document, write_file, write_folder};
use crate::settings;
use crate::side::{self, Shared};
use anyhow::Result;
use gguflab_lab::bench::BenchRequest;
use gguflab_lab::compare::{CompareRequest, compare as measure, usual_quantities};
use gguflab_lab::interleave::{Limits, MOST_BLOCKS, Reason, Side, VISITS_PER_BLOCK};
use gguflab_lab::laboratory::each_once;
use gguflab_lab::quantity::Quantity;
use gguflab_lab::results::{is_results, read};
use gguflab_lab::{documents, perf_methodology};
use gguflab_types::{DeclaredMetric, Workload};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn compare(arguments: &Compare, printer: &Printer) -> Result<ExitCode> {
    check_targets(arguments.report.as_deref(), arguments.record.as_deref())?;
    if !(0.0..1.0).contains(&arguments.margin) {
        return settings::refuse(format!("--margin {}: take a fraction from 0 to 1", arguments.margin));
    }
    if let Some(files) = result_files(arguments)? {
        return judge(arguments, files, printer);
    }
    let mut sides = sides(arguments, printer)?;
    let quantities = quantities(&arguments.metric, &sides)?;
    let limits = limits(&arguments.interleaved, arguments.workload.seed)?;
    let outputs = !arguments.interleaved.no_outputs;
    let request = CompareRequest { quantities, margin: arguments.margin, limits, outputs };
    let stop = super::stop_on_interrupt()?;
    let compared = measure(&mut sides, &request, &stop, &mut Watcher::new(printer));
    let document = documents::compare::document(&compared, &warnings(&sides));
    // Printed first: what was measured is not lost when a file cannot be written.
    printer.document(&document)?;
    if let Some(path) = &arguments.record {
        write_file(path, &serde_json::to_vec_pretty(&compared.interleaved)?)?;
    }
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    if let Some(folder) = &arguments.export_dir {
        write_folder(folder, perf_methodology::of_comparison(&compared))?;
    }
    Ok(code(&compared.interleaved.reason, printer))
}

/// Both sides, if they are files of results: nothing is measured then.
fn result_files(arguments: &Compare) -> Result<Option<[&Path; 2]>> {
    let files = [&arguments.reference, &arguments.candidate].map(Path::new);
    match files.map(is_results) {
        [false, false] => Ok(None),
        [true, true] if arguments.record.is_some() || arguments.export_dir.is_some() => settings::refuse(
            "--record and --export-dir: nothing is measured where two result files are compared".to_string(),
        ),
        [true, true] => Ok(Some(files)),
        [first, _] => {
            let (results, other) = if first { (files[0], files[1]) } else { (files[1], files[0]) };
            let (results, other) = (results.display(), other.display());
            settings::refuse(format!(
                "{results} is a file and {other} is none that holds results: give two of them"
            ))
        }
    }
}

/// Holds two files of results against each other.
fn judge(arguments: &Compare, files: [&Path; 2], printer: &Printer) -> Result<ExitCode> {
    let (reference, candidate) = (read(files[0])?, read(files[1])?);
    let mut judged = gguflab_lab::results::judge(&reference, &candidate, arguments.margin)?;
    if !arguments.metric.is_empty() {
        judged.keep(&arguments.metric).or_else(|[missing, shared]| {
            let (missing, shared) = (missing.join(","), shared.join(", "));
            settings::refuse(format!("--metric {missing}: the files share no such metric, but {shared}"))
        })?;
    }
    let document = documents::results::document(&judged, arguments.margin);
    printer.document(&document)?;
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How a comparison ended, as an exit code.
pub(super) fn code(reason: &Reason, printer: &Printer) -> ExitCode {
    match reason {
        Reason::Stopped => ExitCode::from(STOPPED),
        Reason::Failed(_, ending) => {
            printer.error(&format!("a visit ended as {}: {}", ending.outcome, ending.cause));
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Remarks of both sides, each once.
pub(super) fn warnings(sides: &[Side; 2]) -> Vec<String> {
    let laboratories = sides.iter().map(|side| &side.laboratory);
    let warnings = laboratories.flat_map(|one| one.warnings.iter().cloned().chain(one.memory_warning()));
    each_once(warnings)
}

/// How long two sides are measured in turn.
pub(super) fn limits(arguments: &InterleavedArguments, seed: u64) -> Result<Limits> {
    let blocks = arguments.budget_runs as usize / VISITS_PER_BLOCK;
    if blocks < 2 {
        let text =
            format!("--budget-runs {}: two blocks of two visits each are the least", arguments.budget_runs);
        return settings::refuse(text);
    }
    if blocks > MOST_BLOCKS {
        let most = MOST_BLOCKS * VISITS_PER_BLOCK;
        return settings::refuse(format!("--budget-runs {}: {most} are the most", arguments.budget_runs));
    }
    Ok(Limits { blocks, seconds: Some(arguments.budget_time), seed })
}

fn sides(arguments: &Compare, printer: &Printer) -> Result<[Side; 2]> {
    let shared = Shared {
        model: arguments.model.clone(),
        engine: arguments.engine.clone(),
        workload: arguments.workload.clone(),
        settings: arguments.set.clone(),
    };
    let mut reference = side::parse(&arguments.reference, &shared)?;
    let mut candidate = side::parse(&arguments.candidate, &shared)?;
    // A model that one side names is the other's too, unless that names its own.
    reference.model = reference.model.or_else(|| candidate.model.clone());
    candidate.model = candidate.model.or_else(|| reference.model.clone());
    let names = [arguments.reference.clone(), arguments.candidate.clone()];
    let [one, other] = if names[0] == names[1] { ["A".to_string(), "B".to_string()] } else { names };
    Ok([side(one, &reference, arguments, printer)?, side(other, &candidate, arguments, printer)?])
}

fn side(name: String, said: &Shared, arguments: &Compare, printer: &Printer) -> Result<Side> {
    let workload = settings::workload(&said.workload, None)?;
    let engine = settings::engine(&said.engine)?;
    let laboratory = super::laboratory(said.model.as_deref(), &engine, &workload, printer)?;
    let configuration = match settings::configuration(&said.settings)?.checked(&laboratory.facts) {
        Ok(configuration) => configuration,
        Err(reason) => return settings::refuse(format!("{name}: {reason}")),
    };
    let request = BenchRequest {
        configuration,
        visits: 0,
        protocol: settings::protocol(&said.workload, arguments.interleaved.repetitions)?,
        deadlines: settings::deadlines(&arguments.limits),
    };
    Ok(Side { name, laboratory, request })
}

/// What is compared: what was asked for, as far as both workloads have it, or all that they have.
fn quantities(names: &[String], sides: &[Side; 2]) -> Result<Vec<Quantity>> {
    let workloads = sides.each_ref().map(|side| side.laboratory.workload());
    if names.is_empty() {
        return Ok(usual_quantities(workloads));
    }
    let declared = &sides[0].laboratory.metrics;
    names.iter().map(|name| quantity(name, declared, &workloads)).collect()
}

/// A quantity that these workloads have.
pub(super) fn quantity(name: &str, declared: &[DeclaredMetric], workloads: &[&Workload]) -> Result<Quantity> {
    let found = Quantity::parse(name, declared).and_then(|quantity| {
        workloads.iter().try_for_each(|workload| quantity.check(workload))?;
        Ok(quantity)
    });
    found.or_else(|error| settings::refuse(error.to_string()))
}
