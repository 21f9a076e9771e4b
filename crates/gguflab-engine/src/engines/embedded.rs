//! llama.cpp in our own worker: the model stays loaded while only context settings change.

mod classify;
mod worker;

use crate::child::Program;
use crate::engine::{Control, Engine, EngineError, EngineSpecification, Stop};
use crate::engines::files;
use crate::machine;
use crate::telemetry::{Watch, noisy};
use gguflab_types::evaluation::{Evaluation, Opened, WindowScores};
use gguflab_types::event::{Level, Phase};
use gguflab_types::knob::Scope;
use gguflab_types::machine::Device;
use gguflab_types::message::{Hello, Message, Order};
use gguflab_types::operation::Anatomy;
use gguflab_types::outputs::Reading;
use gguflab_types::{
    Configuration, Deadlines, Ending, EngineIdentity, Event, Job, KNOBS, Outcome, Repetition, Sample, Value,
    metric,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use worker::{Step, Worker};

/// Address space that the worker may take beyond model and memory: code, stacks, arenas that are reserved but
/// not used.
const ADDRESS_SLACK: u64 = 4 << 30;
/// How long a message is waited for before clocks and wishes are looked at.
const TURN: Duration = Duration::from_millis(50);
/// A turn that takes this long was none: the process was stopped meanwhile.
const STOPPED: Duration = Duration::from_secs(3);
/// How long an aborted command may take to return before the worker is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long listing the devices may take.
const DEVICES_DEADLINE: f64 = 30.0;

/// Starts the worker once to learn who it is.
///
/// # Errors
/// When the worker cannot be started, or speaks another version of the protocol.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    let path = specification.target.as_ref().map_or_else(|| specification.worker.clone(), PathBuf::from);
    let program = Program {
        path,
        arguments: Vec::new(),
        environment: specification.environment.clone(),
        wrapper: specification.wrapper.clone(),
        library_paths: specification.library_paths.clone(),
    };
    let threads = machine::detect().cpu.physical_cores.max(1);
    let (worker, hello) = Worker::start(&program, &Setup::default(), Deadlines::default().start)?;
    let identity = identity(specification, &hello);
    Ok(Box::new(Embedded { program, identity, threads, worker: Some(worker), state: State::default() }))
}

fn identity(specification: &EngineSpecification, hello: &Hello) -> EngineIdentity {
    let paths = specification.library_paths.iter().map(|path| path.display().to_string());
    EngineIdentity {
        kind: "embedded".to_string(),
        build: hello.engine.clone(),
        backends: hello.backends.iter().chain(&hello.features).cloned().collect(),
        environment: specification.environment.clone(),
        wrapper: specification.wrapper.clone(),
        library_paths: paths.collect(),
    }
}

/// What the worker's process is started with.
#[derive(Debug, Clone, Default, PartialEq)]
struct Setup {
    numa: Option<String>,
    /// Environment variables of knobs.
    environment: BTreeMap<String, String>,
    address_space: Option<u64>,
}

/// What is in the worker now.
#[derive(Default)]
struct State {
    setup: Setup,
    loaded: Option<(PathBuf, Configuration)>,
    devices: Option<Vec<Device>>,
    /// The model that was read into the page cache.
    warmed: Option<PathBuf>,
    /// Seconds of the last repetition of each request, of whatever job: how long those of the next one may take.
    lasted: BTreeMap<u32, f64>,
}

impl State {
    /// Whether its devices are known and a GPU is among them.
    fn has_gpu(&self) -> bool {
        self.devices.iter().flatten().any(|device| device.gpu)
    }
}

struct Embedded {
    program: Program,
    identity: EngineIdentity,
    /// Threads where a configuration leaves them to the engine: llama.cpp takes the physical cores.
    threads: u32,
    worker: Option<Worker>,
    state: State,
}

impl Engine for Embedded {
    fn identity(&self) -> &EngineIdentity {
        &self.identity
    }

    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        if let Some(devices) = &self.state.devices {
            return Ok(devices.clone());
        }
        let setup = self.state.setup.clone();
        let worker = match &mut self.worker {
            Some(worker) => worker,
            empty => {
                self.state.loaded = None;
                empty.insert(Worker::start(&self.program, &setup, Deadlines::default().start)?.0)
            }
        };
        let devices = worker.devices(DEVICES_DEADLINE).map_err(|problem| EngineError::Unusable {
            program: self.program.path.display().to_string(),
            problem,
        })?;
        self.state.devices = Some(devices.clone());
        Ok(devices)
    }

    fn release(&mut self) {
        if self.state.has_gpu() {
            self.worker = None;
            self.state.loaded = None;
        }
    }

    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending {
        let order = Order::Bench {
            configuration: job.configuration.clone(),
            workload: job.workload.clone(),
            protocol: job.protocol.clone(),
            threads: self.threads,
        };
        self.conduct(job, order, stop, sink).0
    }

    fn read(
        &mut self,
        job: &Job,
        reading: &Reading,
        file: &Path,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Ending {
        let order = Order::Read {
            configuration: job.configuration.clone(),
            protocol: job.protocol.clone(),
            threads: self.threads,
            reading: reading.clone(),
            path: file.display().to_string(),
        };
        self.conduct(job, order, stop, sink).0
    }

    fn operations(
        &mut self,
        job: &Job,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Anatomy, Ending> {
        let order = Order::Operations {
            configuration: job.configuration.clone(),
            workload: job.workload.clone(),
            protocol: job.protocol.clone(),
            threads: self.threads,
        };
        match self.asked(job, order, stop, sink)? {
            Message::Operations { anatomy, .. } => Ok(*anatomy),
            _ => Err(unexpected()),
        }
    }

    fn open_evaluation(
        &mut self,
        job: &Job,
        evaluation: &Evaluation,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Opened, Ending> {
        let order = Order::OpenEvaluation { evaluation: Box::new(evaluation.clone()), threads: self.threads };
        match self.asked(job, order, stop, sink)? {
            Message::EvaluationOpened { opened, .. } => Ok(opened),
            _ => Err(unexpected()),
        }
    }

    fn score(
        &mut self,
        job: &Job,
        chunk: u32,
        candidates: &[u32],
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<WindowScores, Ending> {
        let order = Order::Score { chunk, candidates: candidates.to_vec() };
        match self.asked(job, order, stop, sink)? {
            Message::Scored { scores, .. } => Ok(*scores),
            _ => Err(unexpected()),
        }
    }

    fn finish_recording(
        &mut self,
        job: &Job,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<(), Ending> {
        match self.conduct(job, Order::FinishRecording, stop, sink).0 {
            ending if ending.outcome == Outcome::Measured => Ok(()),
            ending => Err(ending),
        }
    }

    fn count_tokens(
        &mut self,
        job: &Job,
        texts: &[String],
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Vec<u64>, Ending> {
        match self.asked(job, Order::CountTokens { texts: texts.to_vec() }, stop, sink)? {
            Message::TokensCounted { counts, .. } => Ok(counts),
            _ => Err(unexpected()),
        }
    }
}

/// A worker that answers another question than it was asked.
fn unexpected() -> Ending {
    Ending::new(Outcome::Crashed, "the worker told something else than it was asked")
}

/// Whether an order is about the model of the job, which has to be loaded for it.
fn needs_model(order: &Order) -> bool {
    !matches!(order, Order::OpenEvaluation { .. } | Order::Score { .. } | Order::FinishRecording)
}

impl Embedded {
    /// Sees an order through that is answered by a message of its own kind.
    fn asked(
        &mut self,
        job: &Job,
        order: Order,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Message, Ending> {
        match self.conduct(job, order, stop, sink) {
            (ending, Some(told)) if ending.outcome == Outcome::Measured => Ok(told),
            (ending, None) if ending.outcome == Outcome::Measured => Err(unexpected()),
            (ending, _) => Err(ending),
        }
    }

    /// Sees an order through; gives what was told in answer too.
    fn conduct(
        &mut self,
        job: &Job,
        order: Order,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> (Ending, Option<Message>) {
        let gpu = self.devices().is_ok() && self.state.has_gpu();
        // With a GPU the processor's threads mostly wait, so their use says nothing.
        let threads = if gpu { 0 } else { busy_threads(&job.configuration, self.threads) };
        let lasted = std::mem::take(&mut self.state.lasted);
        let mut run = Run { lasted, gpu, ..Run::new(job, stop, sink, threads) };
        let ending = self.steps(job, order, &mut run).err().unwrap_or_else(Ending::measured);
        self.state.lasted = std::mem::take(&mut run.lasted);
        // After anything but a clean answer nothing is known of the worker's state.
        if !matches!(ending.outcome, Outcome::Measured | Outcome::Rejected) && !run.answered {
            self.worker = None;
        }
        if self.worker.is_none() {
            self.state.loaded = None;
        }
        (ending, run.told)
    }

    fn steps(&mut self, job: &Job, order: Order, run: &mut Run<'_>) -> Result<(), Ending> {
        self.prepare(job, run)?;
        let wanted = (job.model.clone(), part(&job.configuration, Scope::Model));
        let Some(worker) = &mut self.worker else {
            return Err(Ending::new(Outcome::Crashed, "the worker is gone"));
        };
        if !needs_model(&order) {
            // What an evaluation loads takes the place of the model.
            self.state.loaded = None;
        } else if self.state.loaded.as_ref() != Some(&wanted) {
            self.state.loaded = None;
            let path = job.model.display().to_string();
            run.command(worker, Order::Load { path, configuration: wanted.1.clone() })?;
            self.state.loaded = Some(wanted);
        }
        run.command(worker, order)?;
        run.repeat_noisy(worker)
    }

    /// Brings the worker's process into the state that the job needs: started, with the right NUMA strategy and
    /// limits, and without the model when loading is to be measured.
    fn prepare(&mut self, job: &Job, run: &mut Run<'_>) -> Result<(), Ending> {
        let numa = match job.configuration.get("numa") {
            Value::Text(strategy) => Some(strategy.clone()),
            _ => None,
        };
        // Killed while it was idle: that is nobody's failure.
        if self.worker.as_mut().is_some_and(Worker::is_dead) {
            self.worker = None;
        }
        let bytes = files::bytes(&job.model);
        // GPU drivers reserve huge address spaces, so a limit would only get in their way.
        let limit = job.memory_limit.filter(|_| !run.gpu);
        let environment: BTreeMap<String, String> = job.configuration.environment().collect();
        let same = self.state.setup.numa == numa && self.state.setup.environment == environment;
        if !same || self.state.setup.address_space.is_some() != limit.is_some() {
            self.worker = None;
        }
        if job.protocol.reload && !job.protocol.cold && self.state.warmed.as_ref() != Some(&job.model) {
            // `load` is the time with the file in the page cache, the first time too.
            files::warm(&job.model, job.memory_limit);
            self.state.warmed = Some(job.model.clone());
        }
        if job.protocol.cold {
            // Pages that are mapped stay in the cache, so the old process has to go first.
            self.worker = None;
            run.make_cold(job)?;
        } else if job.protocol.fresh {
            self.worker = None;
        } else if job.protocol.reload {
            self.state.loaded = None;
        }
        if self.worker.is_none() {
            self.state.loaded = None;
            run.phase(Phase::Start)?;
            let address_space = limit.map(|limit| limit + bytes + ADDRESS_SLACK);
            let setup = Setup { numa, environment, address_space };
            let started = Worker::start(&self.program, &setup, job.deadlines.start);
            let (worker, _) = started.map_err(|error| Ending::new(Outcome::Crashed, error.to_string()))?;
            self.worker = Some(worker);
            self.state.setup = setup;
        }
        Ok(())
    }
}

/// Threads that are busy all the time: the fewer of those for prompts and those for generation.
fn busy_threads(configuration: &Configuration, default: u32) -> u32 {
    let count = |name: &str| configuration.integer(name).and_then(|count| u32::try_from(count).ok());
    let generation = count("threads").unwrap_or(default);
    generation.min(count("threads-batch").unwrap_or(generation))
}

/// The settings of the knobs of one scope.
fn part(configuration: &Configuration, scope: Scope) -> Configuration {
    let knobs = KNOBS.iter().filter(|knob| knob.scope == scope);
    knobs.fold(Configuration::new(), |made, knob| made.with(knob.name, configuration.get(knob.name).clone()))
}

/// One trial on its way.
struct Run<'a> {
    job: &'a Job,
    stop: &'a Stop,
    sink: &'a mut dyn FnMut(Event) -> Control,
    threads: u32,
    started: Instant,
    phase: (Phase, Instant),
    watch: Option<Watch>,
    /// Seconds of the last repetition of each request.
    lasted: BTreeMap<u32, f64>,
    /// Whether the engine has a GPU.
    gpu: bool,
    counts: Vec<u32>,
    noisy: Vec<u32>,
    cold: bool,
    /// Whether the worker has answered the last command, so that it can take another.
    answered: bool,
    /// What it told in answer to a question.
    told: Option<Message>,
}

impl<'a> Run<'a> {
    fn new(job: &'a Job, stop: &'a Stop, sink: &'a mut dyn FnMut(Event) -> Control, threads: u32) -> Run<'a> {
        Run {
            job,
            stop,
            sink,
            threads,
            started: Instant::now(),
            phase: (Phase::Start, Instant::now()),
            watch: None,
            lasted: BTreeMap::new(),
            gpu: false,
            counts: vec![0; job.workload.requests.len()],
            noisy: Vec::new(),
            cold: false,
            answered: true,
            told: None,
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), Ending> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::End(ending) => Err(ending),
        }
    }

    /// Watches a repetition of a request; one that nothing is known of may be long.
    fn start_watch(&self, request: u32) -> Watch {
        match self.gpu {
            true => Watch::with_gpus(None, self.lasted.get(&request).copied().unwrap_or(f64::INFINITY)),
            false => Watch::start(None),
        }
    }

    fn phase(&mut self, phase: Phase) -> Result<(), Ending> {
        self.phase = (phase, Instant::now());
        self.tell(Event::Phase(phase))
    }

    fn make_cold(&mut self, job: &Job) -> Result<(), Ending> {
        let dropped = files::drop_from_cache(&job.model);
        self.cold = dropped.is_ok();
        match dropped {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.tell(Event::Log(Level::Warning, format!("a cold load cannot be measured: {reason}")))
            }
        }
    }

    /// Gives a command and sees it through to its answer, its deadline, the stop or the sink's wish to end.
    fn command(&mut self, worker: &mut Worker, order: Order) -> Result<(), Ending> {
        self.answered = false;
        let request = worker.send(order).map_err(|_| self.lost(worker))?;
        loop {
            let before = Instant::now();
            let step = worker.step(TURN);
            self.forgive(worker, before.elapsed());
            let result = match step {
                Step::Message(message) => match self.take(request, message) {
                    Ok(Some(end)) => {
                        self.answered = true;
                        return end;
                    }
                    Ok(None) => Ok(()),
                    Err(ending) => Err(ending),
                },
                Step::Log(level, text) => self.tell(Event::Log(level, text)),
                Step::Quiet => Ok(()),
                Step::Ended => return Err(self.lost(worker)),
            };
            if let Err(ending) = result.and_then(|()| self.check_time(worker)) {
                self.answered = worker.abort(request, GRACE);
                return Err(ending);
            }
        }
    }

    /// A turn that took far longer than it may means that this process itself was stopped, by Ctrl-Z for example:
    /// that time is nobody's fault.
    fn forgive(&mut self, worker: &mut Worker, turn: Duration) {
        if turn > STOPPED {
            self.started += turn;
            self.phase.1 += turn;
            worker.forgive(turn);
        }
    }

    /// Takes a message over; gives the command's result when it is the answer.
    fn take(&mut self, request: u64, message: Message) -> Result<Option<Result<(), Ending>>, Ending> {
        match message {
            Message::Done { request: number } if number == request => return Ok(Some(Ok(()))),
            Message::Failed { request: number, failure } if number == request || number == 0 => {
                return Ok(Some(Err(classify::failure(&failure))));
            }
            Message::Phase { phase, .. } => self.phase(phase)?,
            Message::Log { level, text } => self.tell(Event::Log(level, text))?,
            Message::Heartbeat { .. } => self.tell(Event::Alive)?,
            Message::Operations { .. }
            | Message::EvaluationOpened { .. }
            | Message::Scored { .. }
            | Message::TokensCounted { .. } => self.told = Some(message),
            Message::RepetitionStarted { index, .. } => self.watch = Some(self.start_watch(index)),
            Message::PromptDone { cpu_time, .. } => {
                self.watch.iter_mut().for_each(|watch| watch.lap(cpu_time))
            }
            Message::Repetition { index, duration, cpu_time, samples, .. } => {
                self.repetition(index, duration, cpu_time, samples)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn repetition(
        &mut self,
        request: Option<u32>,
        duration: f64,
        cpu_time: f64,
        mut samples: Vec<Sample>,
    ) -> Result<(), Ending> {
        let state = match self.watch.take() {
            Some(watch) => watch.finish(Some(cpu_time), duration),
            None => gguflab_types::MachineState::default(),
        };
        let mut index = 0;
        let mut reason = None;
        if let Some(request) = request {
            self.lasted.insert(request, duration);
        }
        if let Some(count) = request.and_then(|request| self.counts.get_mut(request as usize)) {
            index = *count;
            *count += 1;
            reason = noisy(&state, self.threads);
        } else if self.cold {
            rename(&mut samples, metric::LOAD, metric::LOAD_COLD);
        }
        if let (Some(request), true) = (request, reason.is_some()) {
            self.noisy.push(request);
        }
        // Each repetition has its own deadline, so the phase's clock starts over.
        self.phase.1 = Instant::now();
        let ended = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let started = ended - duration;
        let repetition = Repetition { request, index, started, duration, samples, state, noisy: reason };
        self.tell(Event::Measured(Box::new(repetition)))
    }

    /// Measures anew what was noisy, as often as the protocol allows.
    fn repeat_noisy(&mut self, worker: &mut Worker) -> Result<(), Ending> {
        let mut left = self.job.protocol.retries;
        while left > 0 && !self.noisy.is_empty() {
            left -= 1;
            let index = self.noisy.remove(0);
            self.command(worker, Order::Repeat { index })?;
        }
        Ok(())
    }

    fn check_time(&self, worker: &Worker) -> Result<(), Ending> {
        if self.stop.is_set() {
            return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
        }
        let deadlines = &self.job.deadlines;
        let (phase, since) = self.phase;
        let limit = match phase {
            Phase::Start => deadlines.start,
            Phase::Load => deadlines.load,
            Phase::Context | Phase::Free => deadlines.context,
            Phase::Warmup | Phase::Measure => deadlines.repetition,
        };
        let rows = [
            (since.elapsed(), limit, format!("{} took longer than {limit} s", phase.name())),
            (
                self.started.elapsed(),
                deadlines.trial,
                format!("the trial took longer than {} s", deadlines.trial),
            ),
            (worker.silence(), deadlines.silence, format!("no sign of life for {} s", deadlines.silence)),
        ];
        match rows.into_iter().find(|(elapsed, limit, _)| elapsed.as_secs_f64() > *limit) {
            Some((_, _, cause)) => Err(Ending::new(Outcome::TimedOut, cause)),
            None => Ok(()),
        }
    }

    fn lost(&self, worker: &mut Worker) -> Ending {
        classify::death(worker.death(), self.phase.0)
    }
}

fn rename(samples: &mut [Sample], from: &str, to: &str) {
    for sample in samples.iter_mut().filter(|sample| sample.metric == from) {
        sample.metric = to.to_string();
    }
}
