//! Any program that reads one trial a line on standard input and answers one line: other engines, remote machines,
//! whatever there is.
//!
//! The protocol is described for those who write such programs in `docs/guides/command-engine.md`.

mod answer;
mod estimate;
mod talk;

use crate::child::Program;
use crate::engine::{Control, Engine, EngineError, EngineSpecification, Estimator, Stop};
use crate::engines::foreign::{self, now};
use crate::telemetry::{Watch, noisy};
use answer::{Figures, Given};
use gguflab_types::event::Phase;
use gguflab_types::machine::{Device, MachineState};
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::{
    Configuration, Declared, Ending, EngineIdentity, Event, Job, Outcome, Repetition, Sample, Workload, knob,
    metric,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use talk::{Heard, Talk};

/// Version of the protocol.
const PROTOCOL: u64 = 1;
/// Files larger than this are no scripts: the command line has to tell them apart.
const LARGEST_SCRIPT: u64 = 16 << 20;

/// Looks for the program; it is started with the first trial.
///
/// # Errors
/// When no command is given, or its program is missing.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    let text = specification.target.clone().unwrap_or_default();
    let refuse =
        |problem: &str| EngineError::Target { name: "command".to_string(), problem: problem.to_string() };
    let words = shlex::split(&text).ok_or_else(|| refuse("has a quote without an end"))?;
    let Some((name, arguments)) = words.split_first() else {
        return Err(refuse("needs a program: write command='PROGRAM ARGUMENTS'"));
    };
    let path = foreign::locate(Path::new(name), "command")?;
    let build = format!("{text} ({})", content(&path, arguments));
    let mut program = foreign::program(specification, &path);
    if let Some(place) = program.arguments.iter().position(|word| word == "--").filter(|&place| place == 1) {
        // The supervisor hands our lines on.
        program.arguments.insert(place, "--pipe".into());
    }
    program.arguments.extend(arguments.iter().map(Into::into));
    let identity = foreign::identity("command", build, specification);
    let (declared, metrics) = (specification.declared.clone(), specification.metrics.clone());
    Ok(Box::new(CommandEngine { program, identity, declared, metrics, talk: None, trials: 0 }))
}

/// A sum over the program and those of its arguments that are files, such as a script: another version of it is
/// another engine.
fn content(program: &Path, arguments: &[String]) -> String {
    let mut sum = Sha256::new();
    for path in std::iter::once(program).chain(arguments.iter().map(Path::new)) {
        let is_script =
            std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST_SCRIPT);
        if let Some(bytes) = is_script.then(|| std::fs::read(path).ok()).flatten() {
            sum.update(bytes);
        }
    }
    let hash: String = sum.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256 {hash}…")
}

struct CommandEngine {
    program: Program,
    identity: EngineIdentity,
    declared: Option<Declared>,
    metrics: Vec<DeclaredMetric>,
    /// The program that runs, with the variables that it was started with.
    talk: Option<Talk>,
    trials: u64,
}

/// One trial on its way.
struct Run<'a> {
    job: &'a Job,
    stop: &'a Stop,
    sink: &'a mut dyn FnMut(Event) -> Control,
    started: Instant,
}

impl Engine for CommandEngine {
    fn identity(&self) -> &EngineIdentity {
        &self.identity
    }

    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        Ok(Vec::new())
    }

    fn needs_model(&self) -> bool {
        false
    }

    fn declared(&self) -> Option<Declared> {
        self.declared.clone()
    }

    fn declared_metrics(&self) -> &[DeclaredMetric] {
        &self.metrics
    }

    fn estimator(&self, model: &Path, workload: &Workload) -> Option<Arc<dyn Estimator + Send + Sync>> {
        estimate::CommandEstimator::start(&self.program, model, workload)
            .map(|estimator| Arc::new(estimator) as Arc<dyn Estimator + Send + Sync>)
    }

    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending {
        let mut run = Run { job, stop, sink, started: Instant::now() };
        let ending = self.trial(&mut run).err().unwrap_or_else(Ending::measured);
        // A program that has answered waits for the next trial; of any other nothing is known.
        if self.talk.as_mut().is_some_and(|talk| !talk.has_answered || talk.has_ended()) {
            self.talk = None;
        }
        ending
    }
}

impl CommandEngine {
    fn trial(&mut self, run: &mut Run<'_>) -> Result<(), Ending> {
        if run.job.workload.requests.is_empty() {
            return Err(Ending::new(Outcome::Rejected, "the workload has no request"));
        }
        run.check_time(run.deadline())?;
        let mut counts = vec![0; run.job.workload.requests.len()];
        let mut retries = run.job.protocol.retries;
        loop {
            let (started, watch) = (now(), Watch::with_gpus(None, f64::INFINITY));
            let begun = Instant::now();
            let answer = self.ask(run)?;
            let duration = begun.elapsed().as_secs_f64();
            let state = watch.finish(answer.cpu_time, duration);
            // What is measured may run elsewhere; only other work on this machine is judged.
            let noisy = noisy(&state, 0);
            let figures = match answer::read(&answer.value, &run.job.workload, &self.metrics)? {
                Given::Figures(figures) => figures,
                Given::Ending(ending) => return Err(ending),
            };
            let again = noisy.is_some() && retries > 0;
            tell(run, figures, &mut counts, &Told { started, duration, state, noisy })?;
            if !again {
                return Ok(());
            }
            retries -= 1;
        }
    }

    /// Asks for the trial. A program that answers one and ends may be met while it ends: then a new one is asked.
    fn ask(&mut self, run: &mut Run<'_>) -> Result<Answered, Ending> {
        let met = self.start(run)?;
        let answered = self.ask_once(run);
        let ended_well = self.talk.as_mut().is_some_and(Talk::has_ended_well);
        match answered {
            Err(ending) if ending.outcome == Outcome::Crashed && met && ended_well => {
                self.start(run)?;
                self.ask_once(run)
            }
            answered => answered,
        }
    }

    /// Asks for the trial and waits for its answer; everything else that the program says is log.
    fn ask_once(&mut self, run: &mut Run<'_>) -> Result<Answered, Ending> {
        let Some(talk) = &mut self.talk else {
            return Err(Ending::new(Outcome::Crashed, "the program is gone"));
        };
        self.trials += 1;
        let number = self.trials;
        run.tell(Event::Phase(Phase::Measure))?;
        let before = talk.cpu_time();
        talk.has_answered = false;
        talk.send(&question(run.job, number));
        let deadline = run.deadline();
        loop {
            match talk.hear() {
                Heard::Line(level, line) => run.tell(Event::Log(level, line))?,
                Heard::Object(value) => match talk::kind(&value, number)? {
                    talk::Kind::Answer => {
                        talk.has_answered = true;
                        let cpu_time = before.zip(talk.cpu_time()).map(|(before, after)| after - before);
                        return Ok(Answered { value, cpu_time: cpu_time.filter(|&seconds| seconds >= 0.0) });
                    }
                    talk::Kind::Talk => run.tell(Event::Log(talk::LEVEL, value.to_string()))?,
                },
                Heard::Nothing => run.tell(Event::Alive)?,
                Heard::End => return Err(talk.death()),
            }
            run.check_time(deadline)?;
        }
    }

    /// Starts the program, unless it runs with the right variables; gives whether it did.
    fn start(&mut self, run: &mut Run<'_>) -> Result<bool, Ending> {
        let mut program = self.program.clone();
        program.environment.extend(run.job.configuration.environment());
        let runs = self
            .talk
            .as_mut()
            .is_some_and(|talk| talk.environment == program.environment && !talk.has_ended());
        if runs && !run.job.protocol.reload && !run.job.protocol.fresh {
            return Ok(true);
        }
        self.talk = None;
        run.tell(Event::Phase(Phase::Start))?;
        let talk = Talk::start(&program).map_err(|error| {
            Ending::new(Outcome::Crashed, format!("the program cannot be started: {error}"))
        })?;
        self.talk = Some(talk);
        Ok(false)
    }
}

/// An answer, and the processor seconds that the program used for it.
struct Answered {
    value: Value,
    cpu_time: Option<f64>,
}

/// When and how an answer came.
struct Told {
    started: f64,
    duration: f64,
    state: MachineState,
    noisy: Option<String>,
}

/// One trial as the program gets it.
fn question(job: &Job, number: u64) -> Value {
    json!({
        "protocol": PROTOCOL,
        "trial": number,
        "model": model_of(&job.model),
        "settings": settings(&job.configuration),
        "workload": job.workload,
        "repetitions": job.protocol.repetitions.max(1),
        "warmup": job.protocol.warmup,
        "seed": job.protocol.seed,
    })
}

/// The settings without the environment variables, which the program has already.
fn settings(configuration: &Configuration) -> Configuration {
    let all = configuration.settings().filter(|(name, _)| knob::variable(name).is_none());
    all.fold(Configuration::new(), |made, (name, value)| made.with(name, value.clone()))
}

/// The model's path, null when there is none.
fn model_of(model: &Path) -> Option<String> {
    (!model.as_os_str().is_empty()).then(|| model.display().to_string())
}

/// Tells all that an answer gave: the repetitions of each request, numbered on, and what is of the whole trial.
fn tell(run: &mut Run<'_>, figures: Figures, counts: &mut [u32], told: &Told) -> Result<(), Ending> {
    let repetitions = figures.requests.iter().map(Vec::len).sum::<usize>().max(1);
    let share = told.duration / repetitions as f64;
    let mut started = told.started;
    for (index, request) in figures.requests.into_iter().enumerate() {
        for samples in request {
            let seconds = value_of(&samples, metric::REQUEST).filter(|&seconds| seconds > 0.0);
            let repetition = Repetition {
                request: u32::try_from(index).ok(),
                index: counts[index],
                started,
                duration: seconds.unwrap_or(share),
                samples,
                state: told.state.clone(),
                noisy: told.noisy.clone(),
            };
            counts[index] += 1;
            started += share;
            run.tell(Event::Measured(Box::new(repetition)))?;
        }
    }
    if figures.whole.is_empty() {
        return Ok(());
    }
    run.tell(Event::Measured(Box::new(Repetition {
        started: told.started,
        duration: told.duration,
        samples: figures.whole,
        ..Repetition::default()
    })))
}

fn value_of(samples: &[Sample], name: &str) -> Option<f64> {
    samples.iter().find(|sample| sample.metric == name)?.values.first().copied()
}

impl Run<'_> {
    fn tell(&mut self, event: Event) -> Result<(), Ending> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::End(ending) => Err(ending),
        }
    }

    /// Start, loading and every repetition of every request, within what is left of the trial.
    fn deadline(&self) -> Duration {
        let deadlines = &self.job.deadlines;
        let requests = self.job.workload.requests.len() as f64;
        let rounds = f64::from(self.job.protocol.repetitions) + f64::from(self.job.protocol.warmup);
        let needed =
            deadlines.start + deadlines.load + requests * (deadlines.context + rounds * deadlines.repetition);
        Duration::try_from_secs_f64(needed.min(deadlines.trial).max(0.0)).unwrap_or(Duration::MAX)
    }

    fn check_time(&self, deadline: Duration) -> Result<(), Ending> {
        if self.stop.is_set() {
            return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
        }
        match self.started.elapsed() > deadline {
            true => {
                let cause = format!("no answer within {:.1} s", deadline.as_secs_f64());
                Err(Ending::new(Outcome::TimedOut, cause))
            }
            false => Ok(()),
        }
    }
}
