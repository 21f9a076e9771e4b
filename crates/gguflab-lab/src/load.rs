//! Measures a server under load: many clients at once, or requests at random moments.

pub mod figures;
pub mod knee;
mod prompts;

use crate::bench::now;
use crate::laboratory::Laboratory;
use crate::requirement::Requirement;
use gguflab_engine::load::{Attend, Busy, Prompts, Service, drive};
use gguflab_engine::{Control, EngineError, Stop, machine};
use gguflab_types::event::{Level as Loudness, Phase};
use gguflab_types::{
    Configuration, Deadlines, Ending, EngineIdentity, Event, ModelIdentity, Outcome, Protocol, Subject,
    Workload, metric,
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

pub use gguflab_engine::load::{
    Arrivals, Course, Endpoint, FailureKind, Key, Level, MOST_AT_ONCE, Plan, Source, Told,
};
pub use prompts::{Origin, OwnPrompts};

/// Version of [`LoadRecord`]; raised when old readers would misread a new file.
pub const LOAD_RECORD_VERSION: u32 = 2;
/// Metrics of one request that a limit may be set on.
pub const LIMITED: [&str; 4] = [metric::FIRST_TOKEN, metric::INTER_TOKEN, metric::REQUEST, metric::DECODE];

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The loads, in the order in which they are tried.
    pub loads: Vec<Arrivals>,
    /// Seconds in which requests are measured, for each load.
    pub window: f64,
    /// Most requests that are measured, for each load.
    pub most: Option<u32>,
    /// What a request has to keep to, so that it counts as good.
    pub limits: Vec<Requirement>,
    /// Prompts of the user's own, in place of those of the protocol.
    pub prompts: Option<OwnPrompts>,
    /// The configuration of a server that is started here.
    pub configuration: Configuration,
    /// Where prompts come from; the seed of everything random.
    pub protocol: Protocol,
    /// How long things may take: `repetition` is that of one request.
    pub deadlines: Deadlines,
}

/// All that was measured, with all that is needed to measure it again. Written as JSON, it is the raw record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRecord {
    /// Always `gguflab-load`.
    pub format: String,
    /// [`LOAD_RECORD_VERSION`].
    pub version: u32,
    /// What was measured. Of a server that ran already it is what that told.
    pub subject: Subject,
    /// The address of a server that ran already, and what it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<(String, Told)>,
    /// What was asked for.
    pub workload: Workload,
    /// The configuration of a server that was started here.
    pub configuration: Configuration,
    /// Where prompts came from.
    pub protocol: Protocol,
    /// Prompts of a dataset, in place of those of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Origin>,
    /// Seconds of the window that were asked for.
    pub window: f64,
    /// Limits, as they were written.
    pub limits: Vec<String>,
    /// Each load that was tried.
    pub levels: Vec<Level>,
    /// Peak resident memory of a server that was started here, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<f64>,
    /// How it ended.
    pub ending: Ending,
    /// Start in seconds since 1970 (UTC).
    pub started: f64,
}

/// What happens while it is measured.
pub trait LoadWatcher {
    /// Another process measures on this machine, and this one waits.
    fn waiting(&mut self) {}
    /// A phase begins.
    fn phase(&mut self, _phase: Phase) {}
    /// A load begins.
    fn begins(&mut self, _load: Arrivals) {}
    /// A load has ended.
    fn ended(&mut self, _level: &Level) {}
    /// The engine said something.
    fn line(&mut self, _loudness: Loudness, _text: &str) {}
}

/// Measures a server that the laboratory's engine starts.
pub fn load(
    laboratory: &mut Laboratory,
    request: &LoadRequest,
    stop: &Stop,
    watcher: &mut dyn LoadWatcher,
) -> LoadRecord {
    let mut record = record(laboratory.subject.clone(), laboratory.workload().clone(), request);
    record.configuration = request.configuration.clone();
    if let Some(refusal) = laboratory.refusal(&request.configuration) {
        return LoadRecord { ending: refusal, ..record };
    }
    let Some(_turn) = laboratory.take_turn(stop, &mut || watcher.waiting()) else {
        return LoadRecord { ending: stopped(), ..record };
    };
    let job = laboratory.job(&request.configuration, &request.protocol, request.deadlines);
    let (mut levels, mut peak_memory) = (Vec::new(), None);
    // Both the server and its load tell the one watcher, never at the same time.
    let watcher = std::cell::RefCell::new(watcher);
    let mut sink = |event| {
        match event {
            Event::Phase(phase) => watcher.borrow_mut().phase(phase),
            Event::Log(loudness, text) => watcher.borrow_mut().line(loudness, &text),
            Event::Measured(one) => peak_memory = one.value(metric::PEAK_MEMORY).or(peak_memory),
            Event::Alive => {}
        }
        Control::Continue
    };
    let mut work = |service: &Service, attend: &mut Attend<'_>| {
        let source = own(request).unwrap_or_else(|| Source::of_service(service));
        let endpoint = Endpoint::local(service.address);
        let target = Target { endpoint: &endpoint, told: None, source: &source };
        run(&target, request, &record.workload, &mut levels, attend, &mut |step| {
            watcher.borrow_mut().step(step)
        })
    };
    let ending = laboratory.engine.serve(&job, stop, &mut sink, &mut work);
    LoadRecord { levels, peak_memory, ending, ..record }
}

/// Measures a server that runs already; `told` is what it tells of itself ([`Endpoint::ask`]).
///
/// # Errors
/// When it cannot be asked for what is wanted.
pub fn load_endpoint(
    endpoint: &Endpoint,
    told: Told,
    workload: &Workload,
    request: &LoadRequest,
    stop: &Stop,
    watcher: &mut dyn LoadWatcher,
) -> Result<LoadRecord, EngineError> {
    let source = match own(request) {
        Some(own) => own,
        None => Source::of_endpoint(endpoint, &request.protocol)?,
    };
    let mut record = record(subject_of(&told, &endpoint.host), workload.clone(), request);
    let (begun, limit) = (Instant::now(), request.deadlines.trial);
    let mut attend = || {
        if stop.is_set() {
            return Err(stopped());
        }
        match begun.elapsed().as_secs_f64() > limit {
            true => Err(Ending::new(Outcome::TimedOut, format!("the load took longer than {limit} s"))),
            false => Ok(()),
        }
    };
    let target = Target { endpoint, told: Some(&told), source: &source };
    let mut levels = Vec::new();
    let ended = run(&target, request, workload, &mut levels, &mut attend, &mut |step| watcher.step(step));
    record.endpoint = Some((format!("http://{}{}", endpoint.host, endpoint.path), told));
    Ok(LoadRecord { levels, ending: ended.err().unwrap_or_else(Ending::measured), ..record })
}

fn own(request: &LoadRequest) -> Option<Source> {
    request.prompts.as_ref().map(|own| Source::Own(own.texts.clone()))
}

/// Who is asked, and for what.
struct Target<'a> {
    endpoint: &'a Endpoint,
    told: Option<&'a Told>,
    source: &'a Source,
}

/// A load begins or has ended.
enum Step<'a> {
    Begins(Arrivals),
    Ended(&'a Level),
}

impl dyn LoadWatcher + '_ {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Begins(load) => self.begins(load),
            Step::Ended(level) => self.ended(level),
        }
    }
}

fn run(
    target: &Target<'_>,
    request: &LoadRequest,
    workload: &Workload,
    levels: &mut Vec<Level>,
    attend: &mut Attend<'_>,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<(), Ending> {
    let seed = request.protocol.seed;
    // The same for all loads: a server that keeps prompts would not read those of an earlier load again.
    let mut prompts = Prompts::new(target.endpoint, target.told, target.source, &workload.requests, seed);
    for (number, arrivals) in request.loads.iter().enumerate() {
        tell(Step::Begins(*arrivals));
        let plan = Plan {
            arrivals: *arrivals,
            window: request.window,
            most: request.most,
            patience: request.deadlines.repetition,
            seed: seed.wrapping_add(number as u64),
        };
        let level = drive(&plan, &mut prompts, attend)?;
        tell(Step::Ended(&level));
        let hopeless = level.cut.is_some();
        levels.push(level);
        // A larger load would not fare better.
        if hopeless {
            break;
        }
    }
    Ok(())
}

fn stopped() -> Ending {
    Ending::new(Outcome::Cancelled, "stopped by the user")
}

fn record(subject: Subject, workload: Workload, request: &LoadRequest) -> LoadRecord {
    LoadRecord {
        format: "gguflab-load".to_string(),
        version: LOAD_RECORD_VERSION,
        subject,
        endpoint: None,
        workload,
        configuration: Configuration::new(),
        protocol: request.protocol.clone(),
        prompts: request.prompts.as_ref().map(|own| own.origin.clone()),
        window: request.window,
        limits: request.limits.iter().map(|limit| limit.text.clone()).collect(),
        levels: Vec::new(),
        peak_memory: None,
        ending: Ending::measured(),
        started: now(),
    }
}

/// What is known of a server that runs already: what it tells, and the machine that asks it.
fn subject_of(told: &Told, host: &str) -> Subject {
    let unnamed = |name: &str| if name.is_empty() { host.to_string() } else { name.to_string() };
    let model = ModelIdentity {
        name: unnamed(&told.model),
        file: told.file.clone(),
        bytes: told.bytes,
        parameters: told.parameters,
        quantisation: told.quantisation.clone(),
        ..ModelIdentity::default()
    };
    let build = if told.build.is_empty() { "does not tell its version" } else { &told.build };
    let engine = EngineIdentity {
        kind: "endpoint".to_string(),
        build: build.to_string(),
        ..EngineIdentity::default()
    };
    Subject { model, engine, machine: machine::detect() }
}

/// Whether the client was too busy to be believed: at work for most of the time, or late by more than 1 % of the shortest
/// time that was measured (0.2 ms are what clocks and systems allow).
#[must_use]
pub fn is_distorted(client: &Busy, shortest: f64) -> bool {
    client.share > 0.5 || client.late > (0.01 * shortest).max(0.000_2)
}
