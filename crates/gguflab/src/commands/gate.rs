//! `gguflab gate` and `gguflab history`.

use super::bench::Watcher;
use super::compare::{limits, warnings};
use crate::cli::{BaselineArguments, Gate, GateAccept, GateCalibrate, GateCheck, GateVerb, History};
use crate::exit::{FAILED, INCONCLUSIVE, STOPPED};
use crate::printer::{Printer, check_targets, write_document, write_file, write_folder};
use crate::{places, settings};
use anyhow::Result;
use gguflab_lab::baseline::{Accepted, Baseline, Shelf, names};
use gguflab_lab::bench::{BenchRequest, bench};
use gguflab_lab::gate::threshold::preset;
use gguflab_lab::gate::{self, Check, CheckRequest, GateError};
use gguflab_lab::interleave::{Reason, Side};
use gguflab_lab::{EngineSpecification, Laboratory, Stop, compare, documents, perf_methodology};
use gguflab_types::{Configuration, Deadlines, Protocol, Workload};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) fn gate(arguments: &Gate, printer: &Printer) -> Result<ExitCode> {
    match &arguments.verb {
        GateVerb::Accept(arguments) => accept(arguments, printer),
        GateVerb::Check(arguments) => check(arguments, printer),
        GateVerb::Calibrate(arguments) => calibrate(arguments, printer),
    }
}

fn folder(arguments: &BaselineArguments) -> Result<PathBuf> {
    arguments.baselines.clone().map_or_else(places::default_baselines, Ok)
}

fn accept(arguments: &GateAccept, printer: &Printer) -> Result<ExitCode> {
    let shelf = Shelf::open(&folder(&arguments.baselines)?, &arguments.name)?;
    if shelf.is_taken() && !arguments.again {
        return Err(GateError::Taken { name: arguments.name.clone(), number: shelf.latest()?.number }.into());
    }
    let (texts, workload) = wanted(arguments)?;
    let engine = settings::engine(&arguments.engine)?;
    let mut laboratory = super::laboratory(arguments.model.as_deref(), &engine, &workload, printer)?;
    let texts = if texts.is_empty() { gate::usual_thresholds(&laboratory) } else { texts };
    let thresholds = usable(gate::thresholds(&texts, &laboratory))?;
    let request = BenchRequest {
        configuration: configuration(&arguments.set, &laboratory)?,
        visits: arguments.visits,
        protocol: gate::protocol_for(
            &thresholds,
            settings::protocol(&arguments.workload, arguments.repetitions)?,
        ),
        deadlines: settings::deadlines(&arguments.limits),
    };
    let stop = super::stop_on_interrupt()?;
    let record = bench(&mut laboratory, &request, &stop, &mut Watcher::new(printer));
    printer.document(&documents::bench::document(&record, &laboratory.warnings))?;
    if stop.is_set() {
        return Ok(ExitCode::from(STOPPED));
    }
    gate::acceptable(&record)?;
    let program = arguments.keep_build.then(|| program(&engine)).transpose()?;
    let model = engine_needs_model(&arguments.model, &laboratory);
    let baseline = Baseline::of(record, texts, engine_text(&engine), model);
    let (number, path) = shelf.accept(baseline, program.as_deref())?;
    printer.say(&format!("accepted as number {number} of {}: {}", shelf.name(), path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The thresholds that were asked for, and what they are judged on.
fn wanted(arguments: &GateAccept) -> Result<(Vec<String>, Workload)> {
    let Some(name) = &arguments.preset else {
        return Ok((arguments.threshold.clone(), settings::workload(&arguments.workload, None)?));
    };
    let (rows, workload) = usable(preset(name))?;
    let texts = rows.into_iter().map(str::to_string).chain(arguments.threshold.iter().cloned());
    Ok((texts.collect(), settings::workload(&arguments.workload, workload)?))
}

/// A threshold that is none is a wrong argument.
fn usable<T>(found: Result<T, gate::threshold::ThresholdError>) -> Result<T> {
    found.or_else(|error| settings::refuse(error.to_string()))
}

fn configuration(set: &[String], laboratory: &Laboratory) -> Result<Configuration> {
    settings::configuration(set)?.checked(&laboratory.facts).or_else(settings::refuse)
}

fn engine_needs_model(named: &Option<String>, laboratory: &Laboratory) -> Option<PathBuf> {
    named.is_some().then(|| settings::whole_path(laboratory.model()))
}

/// The engine as `--engine` takes it.
fn engine_text(engine: &EngineSpecification) -> String {
    match &engine.target {
        Some(target) => format!("{}={target}", engine.kind),
        None => engine.kind.clone(),
    }
}

/// The file that runs.
fn program(engine: &EngineSpecification) -> Result<PathBuf> {
    let path = match (engine.kind.as_str(), &engine.target) {
        ("embedded", None) => Some(engine.worker.clone()),
        ("worker" | "llama-bench" | "llama-server", Some(target)) => Some(PathBuf::from(target)),
        _ => None,
    };
    match path.filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => settings::refuse(format!(
            "--keep-build: engine {} is not one program that can be copied",
            engine.kind
        )),
    }
}

fn check(arguments: &GateCheck, printer: &Printer) -> Result<ExitCode> {
    check_targets(arguments.report.as_deref(), arguments.junit.as_deref())?;
    let shelf = Shelf::open(&folder(&arguments.baselines)?, &arguments.name)?;
    let accepted = shelf.latest()?;
    let baseline = &accepted.baseline;
    let limits = limits(&arguments.interleaved, baseline.record.protocol.seed)?;
    let candidate = settings::engine(&arguments.engine)?;
    let side = Prepared { arguments, accepted: &accepted, printer };
    let mut checked = side.prepare("checked", &candidate)?;
    gate::check_model(shelf.name(), &baseline.record.subject, &checked.laboratory.subject)?;
    let texts = if arguments.threshold.is_empty() { &baseline.thresholds } else { &arguments.threshold };
    let thresholds = usable(gate::thresholds(texts, &checked.laboratory))?;
    checked.request.protocol = gate::protocol_for(&thresholds, checked.request.protocol);
    let outputs = !arguments.interleaved.no_outputs;
    let request = CheckRequest { thresholds, limits, outputs };
    let stop = super::stop_on_interrupt()?;
    let mut watcher = Watcher::new(printer);
    let (check, warnings) = match side.reference(&shelf, &checked)? {
        Some(mut reference) => {
            reference.request.protocol = checked.request.protocol.clone();
            let mut sides = [reference, checked];
            let check = gate::check_in_turn(&mut sides, accepted.number, &request, &stop, &mut watcher);
            (check, warnings(&sides))
        }
        None => {
            let check = gate::check_stored(&mut checked, &accepted, &request, &stop, &mut watcher);
            (check, checked.laboratory.warnings.clone())
        }
    };
    let document =
        documents::gate::document(shelf.name(), &accepted, &check, &request.thresholds, &limits, &warnings);
    printer.document(&document)?;
    // A check that was stopped says nothing; all others are part of the history.
    if check.interleaved.reason != Reason::Stopped {
        printer.say(&format!("kept: {}", shelf.keep(&check)?.display()));
    }
    if let Some(path) = &arguments.junit {
        write_file(path, documents::gate::junit(shelf.name(), &check).as_bytes())?;
    }
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    if let Some(folder) = &arguments.export_dir {
        write_folder(folder, perf_methodology::of_check(&check, &request.thresholds))?;
    }
    Ok(code(&check, printer))
}

fn code(check: &Check, printer: &Printer) -> ExitCode {
    use gguflab_lab::GateVerdict;
    if let Reason::Failed(_, ending) = &check.interleaved.reason {
        printer.error(&format!("a visit ended as {}: {}", ending.outcome, ending.cause));
    }
    match check.verdict {
        _ if check.interleaved.reason == Reason::Stopped => ExitCode::from(STOPPED),
        GateVerdict::Pass => ExitCode::SUCCESS,
        GateVerdict::Fail => ExitCode::from(FAILED),
        GateVerdict::Inconclusive => ExitCode::from(INCONCLUSIVE),
    }
}

/// What both sides of a check are prepared from.
struct Prepared<'a> {
    arguments: &'a GateCheck,
    accepted: &'a Accepted,
    printer: &'a Printer,
}

impl Prepared<'_> {
    fn prepare(&self, name: &str, engine: &EngineSpecification) -> Result<Side> {
        let baseline = &self.accepted.baseline;
        let kept = || baseline.model.as_ref().map(|path| path.to_string_lossy().into_owned());
        let model = self.arguments.model.clone().or_else(kept);
        let record = &baseline.record;
        let laboratory = super::laboratory(model.as_deref(), engine, &record.workload, self.printer)?;
        let configuration =
            record.configuration.clone().checked(&laboratory.facts).or_else(settings::refuse)?;
        let protocol = Protocol { fresh: false, reload: false, ..record.protocol.clone() };
        let deadlines: Deadlines = settings::deadlines(&self.arguments.limits);
        let request = BenchRequest { configuration, visits: 0, protocol, deadlines };
        Ok(Side { name: name.to_string(), laboratory, request })
    }

    /// The accepted build, if it is at hand: named, kept, or the program that the baseline was measured with.
    fn reference(&self, shelf: &Shelf, checked: &Side) -> Result<Option<Side>> {
        if self.arguments.stored {
            return Ok(None);
        }
        let baseline = &self.accepted.baseline;
        let parse = |text: &str| EngineSpecification::parse(text, places::worker());
        let found = match &self.arguments.reference_engine {
            Some(text) => Some(parse(text)?),
            None => shelf.kept_engine(baseline, &places::worker()),
        };
        let Some(mut engine) = found else { return Ok(None) };
        engine.environment = baseline.record.subject.engine.environment.clone();
        engine.wrapper = baseline.record.subject.engine.wrapper.clone();
        engine.library_paths =
            baseline.record.subject.engine.library_paths.iter().map(PathBuf::from).collect();
        let side = self.prepare("baseline", &engine)?;
        gate::check_build(baseline, &side.laboratory, &engine_text(&engine))?;
        if side.laboratory.subject.engine.build == checked.laboratory.subject.engine.build {
            self.printer
                .say("the build that is checked is the accepted one: what differs is what is around it");
        }
        Ok(Some(side))
    }
}

fn calibrate(arguments: &GateCalibrate, printer: &Printer) -> Result<ExitCode> {
    let workload = settings::workload(&arguments.workload, None)?;
    let engine = settings::engine(&arguments.engine)?;
    let limits = limits(&arguments.interleaved, arguments.workload.seed)?;
    let side = |name: &str| -> Result<Side> {
        let laboratory = super::laboratory(arguments.model.as_deref(), &engine, &workload, printer)?;
        let request = BenchRequest {
            configuration: configuration(&arguments.set, &laboratory)?,
            visits: 0,
            protocol: settings::protocol(&arguments.workload, arguments.interleaved.repetitions)?,
            deadlines: settings::deadlines(&arguments.limits),
        };
        Ok(Side { name: name.to_string(), laboratory, request })
    };
    let mut sides = [side("A")?, side("A again")?];
    let stop: Stop = super::stop_on_interrupt()?;
    let calibration = compare::calibrate(&mut sides, &limits, &stop, &mut Watcher::new(printer));
    printer.document(&documents::calibration::document(&calibration, &warnings(&sides)))?;
    Ok(super::compare::code(&calibration.interleaved.reason, printer))
}

pub(crate) fn history(arguments: &History, printer: &Printer) -> Result<ExitCode> {
    let folder = folder(&arguments.baselines)?;
    let named = match &arguments.name {
        Some(name) => {
            let shelf = Shelf::open(&folder, name)?;
            if !shelf.is_taken() {
                // It says which names there are.
                shelf.latest()?;
            }
            vec![name.clone()]
        }
        None => names(&folder),
    };
    let shelves: Vec<Shelf> =
        named.iter().map(|name| Shelf::open(&folder, name)).collect::<Result<_, _>>()?;
    let (document, problems) = documents::history::document(&shelves);
    match &arguments.output {
        Some(path) => write_document(&document, path)?,
        None => printer.document(&document)?,
    }
    problems.into_iter().next().map_or(Ok(ExitCode::SUCCESS), |problem| Err(problem.into()))
}
