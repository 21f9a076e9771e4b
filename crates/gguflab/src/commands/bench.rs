//! `gguflab bench`.

use crate::cli::{Bench, EngineArguments};
use crate::exit::{FAILED, STOPPED};
use crate::printer::{Printer, check_targets, write_document, write_file, write_folder};
use crate::{settings, space};
use anyhow::Result;
use gguflab_lab::active::Active;
use gguflab_lab::bench::{BenchRequest, BenchWatcher, Record, bench as measure};
use gguflab_lab::card::Card;
use gguflab_lab::evaluate::{Evaluated, Reason};
use gguflab_lab::profile::Profile;
use gguflab_lab::{EngineSpecification, Stop, documents, perf_methodology};
use gguflab_report::Document;
use gguflab_types::event::{Level, Phase};
use gguflab_types::{Configuration, Outcome, Protocol, Repetition, Value, metric};
use std::process::ExitCode;

pub(crate) fn bench(arguments: &Bench, printer: &Printer) -> Result<ExitCode> {
    if super::load::is_wanted(arguments) {
        return super::load::load(arguments, printer);
    }
    let profile = arguments.profile.as_deref().map(Profile::read).transpose()?.unwrap_or_default();
    let workload = match profile.workload() {
        Ok(Some(workload)) if !settings::says_workload(&arguments.workload) => workload,
        _ => settings::workload(&arguments.workload, None)?,
    };
    let mut engine = settings::engine(&with_profile(&arguments.engine, &profile))?;
    space::read(arguments.space.as_deref(), &mut engine)?;
    let model = arguments.model.clone().or(profile.model.map(|path| path.to_string_lossy().into_owned()));
    let protocol = settings::protocol(&arguments.workload, arguments.repetitions)?;
    let asked = settings::configuration(&arguments.set)?
        .settings()
        .fold(profile.settings, |made, (name, value)| made.with(name, value.clone()));
    if arguments.visits == 0 {
        return settings::refuse("0 visits measure nothing: take 1 or more".to_string());
    }
    check_targets(arguments.report.as_deref(), arguments.record.as_deref())?;
    check_targets(None, arguments.data.out.as_deref())?;
    let mut laboratory = super::laboratory(model.as_deref(), &engine, &workload, printer)?;
    let configuration = match asked.checked(&laboratory.facts) {
        Ok(configuration) => configuration,
        Err(reason) => return settings::refuse(reason),
    };
    let request = BenchRequest {
        configuration,
        visits: arguments.visits,
        protocol: Protocol { cold: arguments.cold, retries: arguments.retries, ..protocol },
        deadlines: settings::deadlines(&arguments.limits),
    };
    let stop = super::stop_on_interrupt()?;
    let mut watcher = Watcher::new(printer);
    let record = measure(&mut laboratory, &request, &stop, &mut watcher);
    let active = watcher.active.with_gpus(laboratory.facts.gpus);
    let warnings = laboratory.warnings.iter().cloned().chain(laboratory.memory_warning());
    let warnings: Vec<String> = warnings.chain(active.complaints(&request.configuration)).collect();
    let mut document = documents::bench::document(&record, &warnings);
    if let Some(words) = active.in_words() {
        document.information(words);
    }
    if arguments.latency {
        documents::latency::add(&record, &mut document);
    }
    let scored = card(arguments, &request.configuration, model.as_deref(), &engine, &record, &stop, printer);
    // What was measured is not lost.
    let card = scored.inspect_err(|_| drop(printer.document(&document)))?;
    if let Some((evaluated, _)) = &card {
        document.blocks.extend(documents::evaluate::perplexities(evaluated).blocks);
    }
    // Printed first: what was measured is not lost when a file cannot be written.
    printer.document(&document)?;
    write_files(arguments, &record, &document, card.as_ref().map(|(_, card)| card))?;
    say_failures(&record, printer);
    Ok(code(&record))
}

fn write_files(arguments: &Bench, record: &Record, document: &Document, card: Option<&Card>) -> Result<()> {
    if let Some(path) = &arguments.record {
        write_file(path, &serde_json::to_vec_pretty(record)?)?;
    }
    if let (Some(path), Some(card)) = (&arguments.data.out, card) {
        write_file(path, &serde_json::to_vec_pretty(card)?)?;
    }
    if let Some(path) = &arguments.report {
        write_document(document, path)?;
    }
    match &arguments.export_dir {
        Some(folder) => write_folder(folder, perf_methodology::of_bench(record)),
        None => Ok(()),
    }
}

/// The perplexity of a text, where one is named, and the record of all.
fn card(
    arguments: &Bench,
    configuration: &Configuration,
    model: Option<&str>,
    engine: &EngineSpecification,
    record: &Record,
    stop: &Stop,
    printer: &Printer,
) -> Result<Option<(Evaluated, Card)>> {
    match (&arguments.data.data, model) {
        (None, _) => Ok(None),
        (Some(_), None) => settings::refuse("--data needs a model that reads it".to_string()),
        (Some(_), Some(model)) => {
            let pair = |(name, value): (&str, &Value)| format!("{name}={value}");
            let set: Vec<String> = configuration.settings().map(pair).collect();
            let evaluated =
                super::evaluate::beside_bench(model, &arguments.data, engine, &set, stop, printer)?;
            match &evaluated.reason {
                Reason::All | Reason::Decided => {}
                Reason::Stopped => anyhow::bail!("stopped by the user before the text was scored"),
                Reason::Failed(ending) => {
                    anyhow::bail!("a window ended as {}: {}", ending.outcome, ending.cause)
                }
            }
            let card = Card::new(record, &evaluated);
            Ok(Some((evaluated, card)))
        }
    }
}

/// The engine of a profile; what the command line says goes first.
pub(super) fn with_profile(arguments: &EngineArguments, profile: &Profile) -> EngineArguments {
    let mut merged = arguments.clone();
    merged.engine = merged.engine.or_else(|| profile.engine.clone());
    // A comma would stand between several values.
    let pair = |(name, value): (&String, &String)| format!("{name}={}", value.replace(',', r"\,"));
    merged.env.splice(0..0, profile.environment.iter().map(pair));
    if merged.wrapper.is_none() && !profile.wrapper.is_empty() {
        merged.wrapper = Some(profile.wrapper.join(" "));
    }
    if merged.library_path.is_empty() {
        merged.library_path.clone_from(&profile.library_paths);
    }
    merged
}

/// Not every format of the result has room for the causes.
fn say_failures(record: &Record, printer: &Printer) {
    let endings = record.trials.iter().filter_map(|trial| trial.ending.as_ref());
    for ending in endings.filter(|ending| ending.outcome != Outcome::Measured) {
        printer.error(&format!("a visit ended as {}: {}", ending.outcome, ending.cause));
    }
}

fn code(record: &Record) -> ExitCode {
    let endings = || record.trials.iter().filter_map(|trial| trial.ending.as_ref());
    if endings().any(|ending| ending.outcome == Outcome::Cancelled) {
        return ExitCode::from(STOPPED);
    }
    match endings().all(|ending| ending.outcome == Outcome::Measured) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}

/// Says what happens, and listens to the engine.
pub(super) struct Watcher<'a> {
    printer: &'a Printer,
    /// What the engine's log says of the settings.
    active: Active,
}

impl Watcher<'_> {
    pub(super) fn new(printer: &Printer) -> Watcher<'_> {
        Watcher { printer, active: Active::default() }
    }
}

impl BenchWatcher for Watcher<'_> {
    fn visit(&mut self, number: u32, of: u32) {
        let of = if of > 0 { format!(" of {of}") } else { String::new() };
        self.printer.say(&format!("visit {}{of}", number + 1));
    }

    fn waiting(&mut self) {
        self.printer.say("another gguflab measures on this machine: waiting for it");
    }

    fn phase(&mut self, phase: Phase) {
        if self.printer.verbosity() > 0 {
            self.printer.say(&format!("  {}", phase.name()));
        }
    }

    fn repetition(&mut self, repetition: &Repetition) {
        let Some(request) = repetition.request else { return };
        let show = |name: &str| {
            let value = repetition.value(name)?;
            let unit = metric::find(name)?.unit;
            Some(format!("{name} {}", gguflab_report::format::number(value, unit)))
        };
        let usual = [metric::PREFILL, metric::FIRST_TOKEN, metric::DECODE];
        let declared = repetition.samples.iter().filter(|sample| metric::find(&sample.metric).is_none());
        let declared =
            declared.filter_map(|sample| Some(format!("{} {}", sample.metric, sample.values.first()?)));
        let figures: Vec<String> = usual.iter().filter_map(|name| show(name)).chain(declared).collect();
        let noisy = repetition.noisy.as_ref().map(|why| format!(" (noisy: {why})")).unwrap_or_default();
        self.printer.say(&format!("  request {request}: {}{noisy}", figures.join(", ")));
    }

    fn line(&mut self, level: Level, text: &str) {
        self.active.take(text);
        if self.printer.verbosity() > 1 || level >= Level::Error {
            self.printer.say(&format!("  engine: {text}"));
        }
    }
}
