//! A seeded model of a machine that runs a model: no model file, no GPU, no waiting.
//!
//! `simulated`, or `simulated=PRESET[,seed=N][,noise=F][,speed=F][,thermal=F][,pace=F]`. Time is virtual: nothing
//! sleeps unless `pace` asks for it, and durations and start times are those of a virtual clock. What it tells
//! depends only on preset, parameters, how many trials ran before on this engine, and the job: searches, gates
//! and resumption are tested against it exactly, and anybody can try the program with it.

mod noise;
mod parameters;
mod physics;
mod preset;

use crate::engine::{Control, Engine, EngineError, EngineSpecification, Estimator, Scene, Stop};
use crate::telemetry::noisy_on;
use gguflab_types::event::{Level, Phase};
use gguflab_types::machine::{Device, MachineState};
use gguflab_types::metric;
use gguflab_types::{
    Configuration, Ending, EngineIdentity, Event, Forecast, Job, Outcome, Repetition, Request, Sample,
};
use gguflab_types::{Workload, knob::Scope};
use noise::{Disturbance, Noise};
use parameters::Parameters;
use physics::{Fault, Rates};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use preset::{PRESETS, PresetRow};

/// The virtual clock starts here (seconds since 1970), so that equal runs are equal to the last bit.
const EPOCH: f64 = 1_700_000_000.0;

/// Opens the engine.
///
/// # Errors
/// [`EngineError::Target`] for an unknown preset or parameter.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    let parameters = Parameters::parse(specification.target.as_deref().unwrap_or_default())
        .map_err(|problem| EngineError::Target { name: specification.kind.clone(), problem })?;
    let preset = parameters.preset;
    let identity = EngineIdentity {
        kind: "simulated".to_string(),
        build: format!("simulated {}", parameters.text()),
        backends: preset.backends(),
        environment: specification.environment.clone(),
        wrapper: specification.wrapper.clone(),
        library_paths: specification.library_paths.iter().map(|path| path.display().to_string()).collect(),
    };
    let scene = Scene {
        machine: preset.machine(),
        model: preset.model(),
        layers: preset.layers,
        experts: preset.experts,
    };
    let noise = Noise::new(&parameters);
    Ok(Box::new(Simulated { parameters, identity, scene, noise, runs: 0, clock: 0.0, loaded: None }))
}

/// The seconds that a workload takes on average on a preset without any noise, weighted by its requests;
/// `None` for an unknown preset and for configurations that fail there.
#[must_use]
pub fn true_seconds(preset: &str, configuration: &Configuration, workload: &Workload) -> Option<f64> {
    let preset = preset::find(preset)?;
    let mut sum = 0.0;
    for request in &workload.requests {
        let rates = physics::rates(preset, configuration, request, workload.context()).ok()?;
        if rates.fault.is_some() {
            return None;
        }
        sum += request.weight * rates.request_seconds(request);
    }
    let weight: f64 = workload.requests.iter().map(|request| request.weight).sum();
    (weight > 0.0).then(|| sum / weight)
}

/// The share of its card's memory that a configuration is foretold to need, as a reading of a model's header would tell
/// it: not quite right, by the same factor everywhere. `None` without a card, and for an unknown preset.
#[must_use]
pub fn forecast(preset: &str, configuration: &Configuration, workload: &Workload) -> Option<Forecast> {
    let preset = preset::find(preset)?;
    let share = physics::card_share(preset, configuration, workload.context())?;
    Some(Forecast { load: share * preset.forecast_error, seconds: None })
}

/// Foretells the load of a preset's card.
struct Foreteller {
    preset: &'static str,
    workload: Workload,
}

impl Estimator for Foreteller {
    fn estimate(&self, configurations: &[Configuration]) -> Vec<Option<Forecast>> {
        configurations.iter().map(|one| forecast(self.preset, one, &self.workload)).collect()
    }
}

struct Simulated {
    parameters: Parameters,
    identity: EngineIdentity,
    scene: Scene,
    noise: Noise,
    /// Trials so far.
    runs: u64,
    /// Virtual seconds so far.
    clock: f64,
    /// Configuration of the model that is loaded.
    loaded: Option<Configuration>,
}

/// One trial on its way.
struct Run<'a> {
    job: &'a Job,
    stop: &'a Stop,
    sink: &'a mut dyn FnMut(Event) -> Control,
    started: f64,
}

impl Engine for Simulated {
    fn identity(&self) -> &EngineIdentity {
        &self.identity
    }

    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        Ok(self.scene.machine.devices.clone())
    }

    fn scene(&self) -> Option<&Scene> {
        Some(&self.scene)
    }

    fn estimator(&self, _: &Path, workload: &Workload) -> Option<Arc<dyn Estimator + Send + Sync>> {
        let preset = self.parameters.preset;
        preset.graphics.as_ref()?;
        Some(Arc::new(Foreteller { preset: preset.name, workload: workload.clone() }))
    }

    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending {
        self.noise.start_trial(self.runs, &job.configuration);
        self.runs += 1;
        let mut run = Run { job, stop, sink, started: self.clock };
        match self.trial(&mut run) {
            Ok(()) => Ending::measured(),
            Err(ending) => {
                // A process that died or was killed has lost its model.
                if matches!(ending.outcome, Outcome::Crashed | Outcome::TimedOut | Outcome::OutOfMemory) {
                    self.loaded = None;
                }
                ending
            }
        }
    }
}

impl Simulated {
    fn trial(&mut self, run: &mut Run<'_>) -> Result<(), Ending> {
        if run.job.workload.requests.is_empty() {
            return Err(Ending::new(Outcome::Rejected, "the workload has no request"));
        }
        let preset = self.parameters.preset;
        let rates = run.job.workload.requests.iter().map(|request| {
            physics::rates(preset, &run.job.configuration, request, run.job.workload.context())
        });
        let rates = rates.collect::<Result<Vec<Rates>, Ending>>();
        self.load(run, rates.as_deref().ok())?;
        let rates = rates?;
        for (index, rates) in rates.iter().enumerate() {
            self.request(run, index, rates)?;
        }
        run.tell(Event::Phase(Phase::Free))
    }

    /// Loads the model if something of it changed, and makes the context.
    fn load(&mut self, run: &mut Run<'_>, rates: Option<&[Rates]>) -> Result<(), Ending> {
        let (preset, protocol) = (self.parameters.preset, &run.job.protocol);
        let change = self.loaded.as_ref().map(|loaded| loaded.scope_of_change(&run.job.configuration));
        let fresh = match change {
            None => true,
            Some(scope) => scope >= Some(Scope::Model) || protocol.reload || protocol.cold,
        };
        let mut samples = Vec::new();
        let mut duration = 0.0;
        if fresh {
            run.tell(Event::Phase(Phase::Load))?;
            let seconds = preset.load_seconds(&run.job.configuration, protocol.cold) / self.parameters.speed
                * self.noise.small_factor();
            self.pass(run, seconds, run.job.deadlines.load, Phase::Load)?;
            self.loaded = Some(run.job.configuration.clone());
            self.noise.warm_up();
            samples.push(Sample::one(if protocol.cold { metric::LOAD_COLD } else { metric::LOAD }, seconds));
            duration += seconds;
            run.log(Level::Information, format!("simulated: loaded the model in {seconds:.3} s"))?;
        }
        run.tell(Event::Phase(Phase::Context))?;
        let Some(rates) = rates else { return Ok(()) };
        let seconds = 0.01 / self.parameters.speed * self.noise.small_factor();
        self.pass(run, seconds, run.job.deadlines.context, Phase::Context)?;
        self.loaded = Some(run.job.configuration.clone());
        samples.push(Sample::one(metric::CONTEXT, seconds));
        let largest = |pick: fn(&Rates) -> f64| rates.iter().map(pick).fold(0.0, f64::max);
        samples.push(Sample::one(metric::PEAK_MEMORY, largest(|rates| rates.host_memory)));
        let on_device = largest(|rates| rates.device_memory);
        if on_device > 0.0 {
            samples.push(Sample::one(metric::DEVICE_MEMORY, on_device));
        }
        let started = EPOCH + self.clock - duration - seconds;
        let state = MachineState::default();
        let duration = duration + seconds;
        let values = Repetition { request: None, index: 0, started, duration, samples, state, noisy: None };
        run.tell(Event::Measured(Box::new(values)))
    }

    fn request(&mut self, run: &mut Run<'_>, index: usize, rates: &Rates) -> Result<(), Ending> {
        let (job, request) = (run.job, run.job.workload.requests[index]);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        run.tell(Event::Phase(Phase::Warmup))?;
        for _ in 0..job.protocol.warmup {
            self.repetition(run, number, 0, &request, rates)?;
        }
        run.tell(Event::Phase(Phase::Measure))?;
        let (mut done, mut retries) = (0, job.protocol.retries);
        while done < job.protocol.repetitions {
            if done >= job.protocol.repetitions / 2 {
                self.late_fault(run, rates)?;
            }
            let repetition = self.repetition(run, number, done, &request, rates)?;
            if repetition.noisy.is_none() || retries == 0 {
                done += 1;
            } else {
                retries -= 1;
            }
            run.tell(Event::Measured(Box::new(repetition)))?;
        }
        Ok(())
    }

    /// Hangs and crashes show only once something was measured.
    fn late_fault(&mut self, run: &mut Run<'_>, rates: &Rates) -> Result<(), Ending> {
        match &rates.fault {
            None => Ok(()),
            Some(Fault::Crash(cause)) => {
                run.log(Level::Error, format!("simulated: {cause}"))?;
                Err(Ending::new(Outcome::Crashed, cause.clone()))
            }
            Some(Fault::Hang) => {
                let silence = run.job.deadlines.silence.min(run.job.deadlines.repetition);
                self.clock += silence;
                let cause = format!("{}: no sign of life for {silence} s", Phase::Measure.name());
                Err(Ending::new(Outcome::TimedOut, cause))
            }
        }
    }

    fn repetition(
        &mut self,
        run: &mut Run<'_>,
        number: u32,
        index: u32,
        request: &Request,
        rates: &Rates,
    ) -> Result<Repetition, Ending> {
        let disturbance = self.noise.next_repetition(self.clock);
        let factor = disturbance.factor / self.parameters.speed;
        let samples = self.samples(request, rates, factor);
        let duration = samples.iter().find(|sample| sample.metric == metric::REQUEST);
        let duration = duration.and_then(|sample| sample.values.first().copied()).unwrap_or(0.0);
        let started = EPOCH + self.clock;
        self.pass(run, duration, run.job.deadlines.repetition, Phase::Measure)?;
        let state = self.state(rates, &disturbance);
        let noisy = noisy_on(&state, rates.busy_threads(), self.parameters.preset.logical);
        Ok(Repetition { request: Some(number), index, started, duration, samples, state, noisy })
    }

    /// All values of one request, with `factor` on its times.
    fn samples(&mut self, request: &Request, rates: &Rates, factor: f64) -> Vec<Sample> {
        let sequences = f64::from(request.concurrency.max(1));
        let prompt = rates.prompt_seconds * factor;
        let first = prompt + if request.prompt == 0 { rates.step_seconds * factor } else { 0.0 };
        let gaps = request.generate.saturating_sub(1) as usize;
        let gaps = self.noise.gaps(gaps, rates.step_seconds * factor);
        let decoding: f64 = gaps.iter().sum();
        let mut samples = Vec::new();
        if request.prompt > 0 {
            let tokens = f64::from(request.prompt) * sequences;
            samples.push(Sample::one(metric::PREFILL, tokens / prompt));
        }
        if request.generate > 0 {
            samples.push(Sample::one(metric::FIRST_TOKEN, first));
        }
        if !gaps.is_empty() {
            samples.push(Sample::one(metric::DECODE, gaps.len() as f64 * sequences / decoding));
            samples.push(Sample { metric: metric::INTER_TOKEN.to_string(), values: gaps });
        }
        let asked = f64::from(request.generate) * sequences;
        let total = if request.generate > 0 { first + decoding } else { prompt };
        samples.push(Sample::one(metric::REQUEST, total));
        samples.push(Sample::one(metric::CPU_TIME, total * rates.processors));
        samples.push(Sample::one(metric::TOKENS_ASKED, asked));
        samples.push(Sample::one(metric::TOKENS_PRODUCED, asked));
        samples
    }

    fn state(&self, rates: &Rates, disturbance: &Disturbance) -> MachineState {
        let preset = self.parameters.preset;
        let foreign = disturbance.foreign_processors;
        MachineState {
            load: Some(rates.processors + foreign),
            pressure: Some((0.01 + 0.4 * foreign).min(1.0)),
            steal: Some(0.0),
            foreign: Some(foreign / f64::from(preset.logical)),
            cpu_per_wall: Some(rates.processors),
            clock: Some(3.5e9 * disturbance.clock),
            temperature: Some(55.0 + 35.0 * (1.0 - disturbance.clock).clamp(0.0, 1.0)),
            energy: None,
            gpu_energy: None,
            foreign_prompt: None,
            foreign_generation: None,
            throttled: None,
            memory_available: Some((preset.memory as f64 - rates.host_memory).max(0.0) as u64),
        }
    }

    /// Lets virtual time pass, and real time if asked for; watches stop and deadlines.
    fn pass(&mut self, run: &Run<'_>, seconds: f64, deadline: f64, phase: Phase) -> Result<(), Ending> {
        let left = (run.job.deadlines.trial - (self.clock - run.started)).max(0.0);
        let limit = deadline.min(left);
        self.clock += seconds.min(limit);
        self.wait(run.stop, seconds.min(limit))?;
        if seconds > limit {
            let cause = format!("{} took longer than {limit:.0} s", phase.name());
            return Err(Ending::new(Outcome::TimedOut, cause));
        }
        Ok(())
    }

    fn wait(&self, stop: &Stop, seconds: f64) -> Result<(), Ending> {
        const SLICE: f64 = 0.05;
        let mut left = seconds * self.parameters.pace;
        while left > 0.0 && !stop.is_set() {
            std::thread::sleep(Duration::from_secs_f64(left.min(SLICE)));
            left -= SLICE;
        }
        match stop.is_set() {
            true => Err(Ending::new(Outcome::Cancelled, "stopped by the user")),
            false => Ok(()),
        }
    }
}

impl Run<'_> {
    fn tell(&mut self, event: Event) -> Result<(), Ending> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::End(ending) => Err(ending),
        }
    }

    fn log(&mut self, level: Level, text: String) -> Result<(), Ending> {
        self.tell(Event::Log(level, text))
    }
}

#[cfg(test)]
mod tests;
