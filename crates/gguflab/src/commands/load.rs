//! `gguflab bench` of a server under load.

use super::bench::with_profile;
use crate::cli::{Bench, DatasetArguments, EngineArguments};
use crate::exit::{FAILED, STOPPED};
use crate::printer::{Printer, check_targets, write_document, write_file};
use crate::settings;
use anyhow::Result;
use gguflab_lab::dataset::EngineCounter;
use gguflab_lab::load::{
    Arrivals, Endpoint, FailureKind, Key, LIMITED, Level, LoadRecord, LoadRequest, LoadWatcher, MOST_AT_ONCE,
    OwnPrompts, load as measure, load_endpoint,
};
use gguflab_lab::profile::Profile;
use gguflab_lab::{Stop, documents};
use gguflab_types::event::{Level as Loudness, Phase};
use gguflab_types::{Configuration, Deadlines, Outcome, Request, Workload};
use std::process::ExitCode;

/// Seconds of the window when nothing is said.
const WINDOW: f64 = 30.0;
/// Slots of a server that is started for an open loop: as many as llama-server takes by itself.
const OPEN_SLOTS: u32 = 4;

/// Whether the arguments ask for a load.
pub(super) fn is_wanted(arguments: &Bench) -> bool {
    let load = &arguments.load;
    arguments.workload.concurrency.len() > 1
        || !(load.rate.is_empty() && load.slo.is_empty())
        || load.endpoint.is_some()
        || load.window.is_some()
        || load.requests.is_some()
        || load.timeout_per_request.is_some()
        || load.prompts_from.is_some()
}

/// Measures a server under load.
pub(super) fn load(arguments: &Bench, printer: &Printer) -> Result<ExitCode> {
    let profile = arguments.profile.as_deref().map(Profile::read).transpose()?.unwrap_or_default();
    if arguments.data.data.is_some() {
        return settings::refuse(
            "--data is scored, in a bench without load: prompts come from --prompts-from NAME".to_string(),
        );
    }
    let elsewhere = [
        ("--cold", arguments.cold),
        ("--latency", arguments.latency),
        ("--export-dir", arguments.export_dir.is_some()),
    ];
    if let Some((option, _)) = elsewhere.iter().find(|(_, is_given)| *is_given) {
        return settings::refuse(format!("{option} goes with a bench without load: leave one of them out"));
    }
    let loads = loads(arguments)?;
    let workload = workload(arguments, &profile, &loads)?;
    let configuration = settings::configuration(&arguments.set)?
        .settings()
        .fold(profile.settings.clone(), |made, (name, value)| made.with(name, value.clone()));
    let request = request(arguments, loads, configuration, printer)?;
    check_targets(arguments.report.as_deref(), arguments.record.as_deref())?;
    let (limits, stop) = (request.limits.clone(), super::stop_on_interrupt()?);
    let (record, warnings) = match &arguments.load.endpoint {
        Some(url) => (there(arguments, url, &workload, request, &stop, printer)?, Vec::new()),
        None => here(arguments, &profile, &workload, request, &stop, printer)?,
    };
    let document = documents::load::document(&record, &limits, &warnings);
    // Printed first: what was measured is not lost when a file cannot be written.
    printer.document(&document)?;
    if let Some(path) = &arguments.record {
        write_file(path, &serde_json::to_vec(&record)?)?;
    }
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    Ok(code(&record, printer))
}

/// The texts of the dataset that prompts are taken from.
fn own_prompts(arguments: &Bench, printer: &Printer) -> Result<Option<OwnPrompts>> {
    let Some(name) = &arguments.load.prompts_from else { return Ok(None) };
    let part = DatasetArguments {
        split: arguments.data.split.clone(),
        field: arguments.data.field.clone(),
        language_field: None,
        by: arguments.load.by,
    };
    let dataset = super::dataset::open(&super::dataset::request(name, &part)?, printer)?;
    let field = dataset.field();
    printer.say(&format!("{name}: the prompt is `{}`, {}", field.path, field.why.in_words()));
    Ok(Some(OwnPrompts::of(&dataset)?))
}

/// Most tokens that a request of the workload generates.
fn most_generated(workload: &Workload) -> u32 {
    workload.requests.iter().map(|request| request.generate).max().unwrap_or(0)
}

/// A server that runs already.
fn there(
    arguments: &Bench,
    url: &str,
    workload: &Workload,
    mut request: LoadRequest,
    stop: &Stop,
    printer: &Printer,
) -> Result<LoadRecord> {
    let key = arguments.load.api_key_env.as_deref().map(key_in).transpose()?;
    let endpoint = Endpoint { key, ..Endpoint::parse(url)? };
    let told = endpoint.ask()?;
    if let Some(own) = request.prompts.take() {
        let longest = arguments.load.longest_prompt;
        printer.say("the server counts the tokens of long prompts");
        let generated = most_generated(workload);
        request.prompts = Some(own.fitting_server(&endpoint, &told, generated, longest, stop)?);
    }
    let mut watcher = Watcher { printer, workload };
    Ok(load_endpoint(&endpoint, told, workload, &request, stop, &mut watcher)?)
}

/// The key in an environment variable of this name.
fn key_in(name: &str) -> Result<Key> {
    let Some(text) = std::env::var_os(name) else {
        return settings::refuse(format!("--api-key-env {name}: there is no such environment variable"));
    };
    match text.to_str().and_then(|text| Key::new(text.trim())) {
        Some(key) => Ok(key),
        None => settings::refuse(format!("--api-key-env {name}: what the variable holds cannot be a key")),
    }
}

/// Prompts of a dataset that the model has room for, and the workload with as much room as the longest of them needs.
fn fitting(
    arguments: &Bench,
    own: OwnPrompts,
    model: Option<&str>,
    workload: &Workload,
    stop: &Stop,
    printer: &Printer,
) -> Result<(OwnPrompts, Workload)> {
    // The server is not there yet, and how it is started depends on what it will be asked: our own engine counts.
    let engine = settings::engine(&EngineArguments::default())?;
    let single = Workload::single("tokens", Request::new(1, 0));
    let laboratory = super::laboratory(model, &engine, &single, printer)?;
    let context = laboratory.trained_context();
    let lengths = own.lengths(&mut EngineCounter::new(laboratory, stop.clone()))?;
    let (own, room) =
        own.fitting_context(&lengths, context, most_generated(workload), arguments.load.longest_prompt)?;
    let mut workload = workload.clone();
    workload.requests.iter_mut().for_each(|request| request.prompt = room);
    Ok((own, workload))
}

/// A server that is started here.
fn here(
    arguments: &Bench,
    profile: &Profile,
    workload: &Workload,
    mut request: LoadRequest,
    stop: &Stop,
    printer: &Printer,
) -> Result<(LoadRecord, Vec<String>)> {
    let engine = settings::engine(&with_profile(&arguments.engine, profile))?;
    let own = profile.model.as_ref().map(|path| path.to_string_lossy().into_owned());
    let model = arguments.model.clone().or(own);
    let mut workload = workload.clone();
    if let Some(own) = request.prompts.take() {
        let (own, roomy) = fitting(arguments, own, model.as_deref(), &workload, stop, printer)?;
        (request.prompts, workload) = (Some(own), roomy);
    }
    let mut laboratory = super::laboratory(model.as_deref(), &engine, &workload, printer)?;
    request.configuration = match request.configuration.checked(&laboratory.facts) {
        Ok(configuration) => configuration,
        Err(reason) => return settings::refuse(reason),
    };
    let mut watcher = Watcher { printer, workload: &workload };
    let record = measure(&mut laboratory, &request, stop, &mut watcher);
    let warnings = laboratory.warnings.iter().cloned().chain(laboratory.memory_warning()).collect();
    Ok((record, warnings))
}

fn loads(arguments: &Bench) -> Result<Vec<Arrivals>> {
    let (clients, rates) = (&arguments.workload.concurrency, &arguments.load.rate);
    if let Some(wrong) = clients.iter().find(|count| **count == 0 || **count > MOST_AT_ONCE) {
        return settings::refuse(format!("--concurrency {wrong}: take 1 to {MOST_AT_ONCE}"));
    }
    if let Some(wrong) = rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0 && **rate <= 1e4)) {
        return settings::refuse(format!("--rate {wrong}: take a number above 0 and up to 10000"));
    }
    let mut loads: Vec<Arrivals> = clients.iter().map(|count| Arrivals::Clients(*count)).collect();
    loads.extend(rates.iter().map(|rate| Arrivals::Rate(*rate)));
    if loads.is_empty() {
        loads.push(Arrivals::Clients(1));
    }
    Ok(loads)
}

/// What each request asks for. Its concurrency is that of the largest load: the server is started with as many slots.
fn workload(arguments: &Bench, profile: &Profile, loads: &[Arrivals]) -> Result<Workload> {
    let mut single = arguments.workload.clone();
    single.concurrency.clear();
    let mut workload = match profile.workload() {
        Ok(Some(workload)) if !settings::says_workload(&single) => workload,
        _ => settings::workload(&single, None)?,
    };
    let slots = loads.iter().map(|load| match load {
        Arrivals::Clients(count) => *count,
        Arrivals::Rate(_) => OPEN_SLOTS,
    });
    let slots = slots.max().unwrap_or(1);
    for request in &mut workload.requests {
        if request.depth > 0 {
            return settings::refuse(
                "under load each request brings its whole prompt: take one without depth".to_string(),
            );
        }
        if request.generate == 0 || request.prompt == 0 {
            return settings::refuse(
                "under load a request needs a prompt and tokens to generate".to_string(),
            );
        }
        request.concurrency = slots;
    }
    Ok(workload)
}

fn request(
    arguments: &Bench,
    loads: Vec<Arrivals>,
    configuration: Configuration,
    printer: &Printer,
) -> Result<LoadRequest> {
    let limits = settings::requirements("--slo", &arguments.load.slo, &[])?;
    if let Some(limit) = limits.iter().find(|limit| !LIMITED.contains(&limit.figure.name())) {
        return settings::refuse(format!(
            "--slo {}: a single request has {}",
            limit.text,
            LIMITED.join(", ")
        ));
    }
    if let Some(limit) = limits.iter().find(|limit| limit.is_upside_down()) {
        let (better, operator) = if limit.text.contains('<') { ("more", ">") } else { ("less", "<") };
        let written = limit.text.replace(['<', '>'], operator);
        return settings::refuse(format!("--slo {}: {better} is better there: write {written}", limit.text));
    }
    if arguments.load.requests == Some(0) {
        return settings::refuse("--requests 0 measures nothing: take 1 or more".to_string());
    }
    let usual = settings::deadlines(&arguments.limits);
    let repetition = arguments.load.timeout_per_request.unwrap_or(usual.repetition);
    Ok(LoadRequest {
        loads,
        window: arguments.load.window.unwrap_or(WINDOW),
        most: arguments.load.requests,
        limits,
        prompts: own_prompts(arguments, printer)?,
        configuration,
        protocol: settings::protocol(&arguments.workload, arguments.repetitions)?,
        deadlines: Deadlines { repetition, ..usual },
    })
}

/// Done when at least one request of every load ended well.
fn code(record: &LoadRecord, printer: &Printer) -> ExitCode {
    if record.ending.outcome != Outcome::Measured {
        printer.error(&format!("the load ended as {}: {}", record.ending.outcome, record.ending.cause));
    }
    let is_bad =
        |level: &&Level| !level.courses.iter().any(|course| course.measured && course.failure.is_none());
    let bad = record.levels.iter().find(is_bad);
    if let Some(level) = bad {
        let first = level.courses.iter().find_map(|course| course.failure.as_ref());
        let cause = level.cut.clone().or_else(|| Some(first?.cause.clone())).unwrap_or_default();
        let name = documents::load::name(level.arrivals);
        printer.error(&format!("{name}: no request ended well: {cause}{}", hint(record, level)));
    }
    match record.ending.outcome {
        Outcome::Cancelled => ExitCode::from(STOPPED),
        Outcome::Measured if bad.is_none() => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

/// What to do about a server of which nothing could be had.
fn hint(record: &LoadRecord, level: &Level) -> String {
    let Some(failure) = level.courses.iter().rev().find_map(|course| course.failure.as_ref()) else {
        return String::new();
    };
    match (&record.endpoint, failure.kind) {
        (Some(_), FailureKind::Refused)
            if ["status 401", "status 403"].iter().any(|it| failure.cause.contains(it)) =>
        {
            "; no key is sent: ask a server that wants none".to_string()
        }
        (Some((address, _)), FailureKind::Refused | FailureKind::Malformed) => {
            format!(
                "; does it answer as OpenAI's API does at {address}? Where that has another path, give it with --endpoint"
            )
        }
        (_, FailureKind::TimedOut) => "; --timeout-per-request gives it longer".to_string(),
        _ => String::new(),
    }
}

struct Watcher<'a> {
    printer: &'a Printer,
    workload: &'a Workload,
}

impl LoadWatcher for Watcher<'_> {
    fn waiting(&mut self) {
        self.printer.say("another gguflab measures on this machine: waiting for it");
    }

    fn phase(&mut self, phase: Phase) {
        if self.printer.verbosity() > 0 {
            self.printer.say(&format!("  {}", phase.name()));
        }
    }

    fn begins(&mut self, load: Arrivals) {
        self.printer.say(&documents::load::name(load));
    }

    fn ended(&mut self, level: &Level) {
        self.printer.say(&format!("  {}", documents::load::line(level, self.workload)));
    }

    fn line(&mut self, loudness: Loudness, text: &str) {
        if self.printer.verbosity() > 1 || loudness >= Loudness::Error {
            self.printer.say(&format!("  engine: {text}"));
        }
    }
}
