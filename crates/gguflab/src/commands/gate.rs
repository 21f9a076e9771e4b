//! `gguflab gate` and `gguflab history`.

use super::bench::Watcher;
use super::compare::{limits, warnings};
use crate::cli::{BaselineArguments, Gate, GateAccept, GateCalibrate, GateCheck, GateVerb, History};
use crate::exit::{FAILED, FileError, INCONCLUSIVE, STOPPED};
use crate::printer::{Printer, check_targets, write_document, write_file, write_folder};
use crate::{places, settings};
use anyhow::{Context, Result};
use gguflab_lab::baseline::{Accepted, Baseline, Shelf, build, names};
use gguflab_lab::bench::{BenchRequest, Record, bench};
use gguflab_lab::gate::threshold::{Threshold, ThresholdError, preset};
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
    let program = if arguments.keep_build { Some(whole_program(&engine)?) } else { None };
    let mut laboratory = super::laboratory(arguments.model.as_deref(), &engine, &workload, printer)?;
    let asked = !texts.is_empty();
    let texts = if asked { texts } else { gate::usual_thresholds(&laboratory) };
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
    let texts = usable(told(&thresholds, &record, asked))?;
    let model = engine_needs_model(&arguments.model, &laboratory);
    let mut baseline = Baseline::of(record, texts, engine_text(&engine)?, model);
    baseline.build = program.map(|program| shelf.keep_build(&program)).transpose()?;
    let accepted = try_build(&shelf, &baseline, arguments.model.as_deref(), printer)
        .and_then(|()| Ok(shelf.accept(&baseline, arguments.again)?));
    if let (Err(_), Some(build)) = (&accepted, &baseline.build) {
        shelf.drop_build(build);
    }
    let (number, path) = accepted?;
    printer.say(&format!("accepted as number {number} of {}: {}", shelf.name(), path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The thresholds of which something was measured. Of the usual ones the others are left out; one that was asked for and
/// that the engine does not tell would keep every check from passing.
fn told(thresholds: &[Threshold], record: &Record, asked: bool) -> Result<Vec<String>, ThresholdError> {
    let untold = thresholds.iter().find(|one| !one.is_told(record));
    let kept: Vec<String> =
        thresholds.iter().filter(|one| one.is_told(record)).map(|one| one.text.clone()).collect();
    match untold {
        Some(one) if asked || kept.is_empty() => Err(ThresholdError::Untold(one.text.clone())),
        _ => Ok(kept),
    }
}

/// Starts the program that was kept, as each check will: what does not run there has to be known now.
fn try_build(shelf: &Shelf, baseline: &Baseline, model: Option<&str>, printer: &Printer) -> Result<()> {
    let Some(engine) = shelf.kept_engine(baseline, &places::worker()) else { return Ok(()) };
    let engine = as_accepted(engine, baseline);
    super::laboratory(model, &engine, &baseline.record.workload, printer)
        .and_then(|laboratory| Ok(gate::check_build(baseline, &laboratory, &engine_text(&engine)?)?))
        .context(
            "--keep-build: the copy of the program does not run as the program did, so nothing is accepted",
        )
}

/// An engine in the surroundings that the baseline was measured in.
fn as_accepted(engine: EngineSpecification, baseline: &Baseline) -> EngineSpecification {
    let accepted = &baseline.record.subject.engine;
    EngineSpecification {
        environment: accepted.environment.clone(),
        wrapper: accepted.wrapper.clone(),
        library_paths: accepted.library_paths.iter().map(PathBuf::from).collect(),
        ..engine
    }
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

/// The engine as `--engine` takes it, from any folder.
fn engine_text(engine: &EngineSpecification) -> Result<String> {
    Ok(match (&engine.target, engine.program()?) {
        (Some(_), Some(program)) => format!("{}={}", engine.kind, settings::whole_path(&program).display()),
        (Some(target), None) => format!("{}={target}", engine.kind),
        (None, _) => engine.kind.clone(),
    })
}

/// The file that runs, where it is all of the build.
fn whole_program(engine: &EngineSpecification) -> Result<PathBuf> {
    let Some(program) = engine.program()? else {
        return settings::refuse(format!(
            "--keep-build: engine {} is not one program that can be copied",
            engine.kind
        ));
    };
    let needs =
        build::needs(&program).map_err(|source| FileError { what: "read", path: program.clone(), source })?;
    match needs {
        None => Ok(program),
        Some(needs) => settings::refuse(format!(
            "--keep-build: {} also needs {needs}, and a copy of it alone would run what is built there later; copy the \
             folder of the build, and name the program in it to `gate check --reference-engine`",
            program.display()
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
    let (check, mut warnings) = match side.reference(&shelf, &candidate, &checked)? {
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
    warnings.extend(side.lost_build(&shelf));
    let document =
        documents::gate::document(shelf.name(), &accepted, &check, &request.thresholds, &limits, &warnings);
    keep(&shelf, &check, printer);
    printer.document(&document)?;
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

/// Makes a check part of the history. That there is no writing in the folder, as in a CI that mounts it so, takes nothing
/// from what was found.
fn keep(shelf: &Shelf, check: &Check, printer: &Printer) {
    // A check that was stopped says nothing.
    if check.interleaved.reason == Reason::Stopped {
        return;
    }
    match shelf.keep(check) {
        Ok(path) => printer.say(&format!("kept: {}", path.display())),
        Err(error) => printer.warn(&format!("this check will not be in the history: {error}")),
    }
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
    fn reference(
        &self,
        shelf: &Shelf,
        candidate: &EngineSpecification,
        checked: &Side,
    ) -> Result<Option<Side>> {
        if self.arguments.stored {
            return Ok(None);
        }
        let named = self.arguments.reference_engine.as_ref();
        let named = named.map(|text| EngineSpecification::parse(text, places::worker())).transpose()?;
        let found = named.or_else(|| shelf.kept_engine(&self.accepted.baseline, &places::worker()));
        let side = match found {
            Some(engine) => Some(self.accepted_build(engine)?),
            None => self.measured_then(candidate),
        };
        let build = |side: &Side| side.laboratory.subject.engine.build.clone();
        if side.as_ref().is_some_and(|side| build(side) == build(checked)) {
            self.printer.say(
                "the build that is checked tells the same version as the accepted one: unless it has changes that are \
                 not committed, what differs is what is around it",
            );
        }
        Ok(side)
    }

    fn accepted_build(&self, engine: EngineSpecification) -> Result<Side> {
        let baseline = &self.accepted.baseline;
        let engine = as_accepted(engine, baseline);
        let side = self.prepare("baseline", &engine)?;
        gate::check_build(baseline, &side.laboratory, &engine_text(&engine)?)?;
        Ok(side)
    }

    /// The engine that the baseline was measured with, where it is still there and the same. Never the program that is
    /// checked: what was changed in it since, and not committed, does not show in the version that it tells, and it would
    /// be held against itself.
    fn measured_then(&self, candidate: &EngineSpecification) -> Option<Side> {
        let engine = EngineSpecification::parse(&self.accepted.baseline.engine, places::worker()).ok()?;
        let file = |engine: &EngineSpecification| engine.program().ok()??.canonicalize().ok();
        let is_checked = match (file(&engine), file(candidate)) {
            (Some(then), Some(now)) => then == now,
            _ => (&engine.kind, &engine.target) == (&candidate.kind, &candidate.target),
        };
        if is_checked { None } else { self.accepted_build(engine).ok() }
    }

    /// What is to be said when the program that was kept is gone.
    fn lost_build(&self, shelf: &Shelf) -> Option<String> {
        let is_wanted = !self.arguments.stored && self.arguments.reference_engine.is_none();
        let kept = shelf.kept_build(&self.accepted.baseline).filter(|_| is_wanted);
        let path = kept.filter(|path| !path.is_file())?;
        Some(format!("{} is gone, the program that --keep-build kept", path.display()))
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
