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

/// Version of [`Record`]; raised when old readers would misread a new file.
pub const RECORD_VERSION: u32 = 1;

/// What is measured, and how often.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// The configuration.
    pub configuration: Configuration,
    /// Visits: each loads the model anew.
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
    let mut trials = Vec::new();
    for number in 0..request.visits.max(1) {
        let Some(_turn) = laboratory.take_turn(stop, &mut || watcher.waiting()) else { break };
        watcher.visit(number, request.visits);
        let trial = visit(laboratory, request, number, stop, watcher);
        let measured = trial.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Measured);
        trials.push(trial);
        if !measured {
            break;
        }
    }
    Record {
        format: "gguflab-record".to_string(),
        version: RECORD_VERSION,
        subject: laboratory.subject.clone(),
        workload: laboratory.workload().clone(),
        configuration: request.configuration.clone(),
        protocol: request.protocol.clone(),
        metrics: laboratory.metrics.clone(),
        trials,
    }
}

fn visit(
    laboratory: &mut Laboratory,
    request: &BenchRequest,
    number: u32,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Trial {
    let protocol = Protocol { reload: true, ..request.protocol.clone() };
    let job = laboratory.job(&request.configuration, &protocol, request.deadlines);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let mut collector = Collector { repetitions: Vec::new(), watcher };
    let (mut ending, duration) = run(laboratory, &job, stop, &mut collector);
    let repetitions = collector.repetitions;
    if ending.outcome == Outcome::Measured && !is_complete(&repetitions, job.workload.requests.len()) {
        ending = without_samples();
    }
    Trial {
        number,
        configuration: request.configuration.clone(),
        purpose: Purpose::Bench,
        round: number,
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
