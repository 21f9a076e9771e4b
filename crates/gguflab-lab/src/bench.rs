//! Measures one configuration honestly: several visits, raw samples kept, noise said.

use crate::laboratory::Laboratory;
use crate::run::{Recorder, is_complete, run, without_samples};
use gguflab_engine::Stop;
use gguflab_types::event::{Level, Phase};
use gguflab_types::{
    Configuration, Deadlines, DeclaredMetric, Outcome, Protocol, Purpose, Repetition, Subject, Trial,
    Workload,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a record says that it is.
const RECORD_FORMAT: &str = "gguflab-record";
/// Version of [`Record`]; raised when old readers would misread a new file.
pub const RECORD_VERSION: u32 = 1;

/// What is measured, and how often.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// The configuration.
    pub configuration: Configuration,
    /// Visits: each loads the model anew, in a process of its own.
    pub visits: u32,
    /// How each visit is measured.
    pub protocol: Protocol,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// All that was measured, with all that is needed to measure it again. Written as JSON, it is the raw record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Always `gguflab-record`.
    pub format: String,
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// What was measured.
    pub subject: Subject,
    /// What was run.
    pub workload: Workload,
    /// The configuration.
    pub configuration: Configuration,
    /// How it was measured.
    pub protocol: Protocol,
    /// The metrics that the engine declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<DeclaredMetric>,
    /// The visits.
    pub trials: Vec<Trial>,
}

/// What happens while it is measured.
pub trait BenchWatcher {
    /// A visit begins.
    fn visit(&mut self, _number: u32, _of: u32) {}
    /// Another process measures on this machine, and this one waits.
    fn waiting(&mut self) {}
    /// A phase begins.
    fn phase(&mut self, _phase: Phase) {}
    /// A repetition was measured.
    fn repetition(&mut self, _repetition: &Repetition) {}
    /// The engine said something.
    fn line(&mut self, _level: Level, _text: &str) {}
}

/// Measures a configuration. The record holds as many visits as were made; the last one says why there are fewer
/// than asked for.
pub fn bench(
    laboratory: &mut Laboratory,
    request: &BenchRequest,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Record {
    let mut record = Record::of(laboratory, request);
    let loading = BenchRequest {
        protocol: Protocol { reload: true, fresh: true, ..request.protocol.clone() },
        ..request.clone()
    };
    for number in 0..request.visits.max(1) {
        let Some(_turn) = laboratory.take_turn(stop, &mut || watcher.waiting()) else { break };
        watcher.visit(number, request.visits);
        let place = Place { number, round: number, purpose: Purpose::Bench };
        let trial = visit(laboratory, &loading, place, stop, watcher);
        let measured = trial.is_measured();
        record.trials.push(trial);
        if !measured {
            break;
        }
    }
    record
}

impl Record {
    /// The record of what is about to be measured.
    pub(crate) fn of(laboratory: &Laboratory, request: &BenchRequest) -> Record {
        Record {
            format: RECORD_FORMAT.to_string(),
            version: RECORD_VERSION,
            subject: laboratory.subject.clone(),
            workload: laboratory.workload().clone(),
            configuration: request.configuration.clone(),
            protocol: request.protocol.clone(),
            metrics: laboratory.metrics.clone(),
            trials: Vec::new(),
        }
    }
}

/// Seconds since 1970 (UTC).
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Where a visit stands among the others.
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) round: u32,
    pub(crate) purpose: Purpose,
}

/// One visit.
pub(crate) fn visit(
    laboratory: &mut Laboratory,
    request: &BenchRequest,
    place: Place,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Trial {
    let job = laboratory.job(&request.configuration, &request.protocol, request.deadlines);
    let started = now();
    let mut collector = Collector { repetitions: Vec::new(), watcher };
    let (mut ending, duration) = run(laboratory, &job, stop, &mut collector);
    let repetitions = collector.repetitions;
    if ending.outcome == Outcome::Measured && !is_complete(&repetitions, job.workload.requests.len()) {
        ending = without_samples();
    }
    Trial {
        number: place.number,
        configuration: request.configuration.clone(),
        purpose: place.purpose,
        round: place.round,
        ending: Some(ending),
        repetitions,
        intermediates: BTreeMap::new(),
        told: Vec::new(),
        started,
        duration: Some(duration),
    }
}

struct Collector<'a> {
    repetitions: Vec<Repetition>,
    watcher: &'a mut dyn BenchWatcher,
}

impl Recorder for Collector<'_> {
    fn repetition(&mut self, repetition: &Repetition) {
        self.watcher.repetition(repetition);
        self.repetitions.push(repetition.clone());
    }

    fn line(&mut self, level: Level, text: &str) {
        self.watcher.line(level, text);
    }

    fn phase(&mut self, phase: Phase) {
        self.watcher.phase(phase);
    }
}
