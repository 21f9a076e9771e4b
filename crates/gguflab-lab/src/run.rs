//! One trial from its job to its record.

use crate::laboratory::Laboratory;
use gguflab_engine::{Control, Stop};
use gguflab_types::event::{Level, Phase};
use gguflab_types::{Ending, Event, Job, Outcome, Repetition, Sample, metric};
use std::time::Instant;

/// What comes of a trial, piece by piece, to be kept or shown.
pub trait Recorder {
    /// A repetition was measured.
    fn repetition(&mut self, repetition: &Repetition);
    /// A line for the trial's log.
    fn line(&mut self, level: Level, text: &str);
    /// A phase began.
    fn phase(&mut self, _phase: Phase) {}
    /// The engine lives and works.
    fn alive(&mut self) {}
    /// So many windows of a text are scored, of so many.
    fn scored(&mut self, _done: usize, _all: usize) {}
    /// Why the trial should end early, if it should (the record cannot be kept any more, or it is not worth its time);
    /// asked at every event. `elapsed` is its wall seconds so far (of its virtual clock, where the engine has one).
    fn objection(&mut self, _elapsed: f64) -> Option<Ending> {
        None
    }
}

/// Runs a trial, handing on everything as it happens; gives how it ended and how many seconds it took.
pub fn run(
    laboratory: &mut Laboratory,
    job: &Job,
    stop: &Stop,
    recorder: &mut dyn Recorder,
) -> (Ending, f64) {
    let started = Instant::now();
    if let Some(refusal) = laboratory.refusal(&job.configuration) {
        return (refusal, started.elapsed().as_secs_f64());
    }
    let mut virtual_time = 0.0;
    let simulated = laboratory.engine.scene().is_some();
    let ending = laboratory.engine.run(job, stop, &mut |event| {
        match event {
            Event::Alive => recorder.alive(),
            Event::Phase(phase) => recorder.phase(phase),
            Event::Log(level, text) => recorder.line(level, &text),
            Event::Measured(mut repetition) => {
                let energy = energy(&repetition);
                repetition.samples.extend(energy);
                virtual_time += repetition.duration;
                recorder.repetition(&repetition);
            }
        }
        let elapsed = if simulated { virtual_time } else { started.elapsed().as_secs_f64() };
        match recorder.objection(elapsed) {
            Some(ending) => Control::End(ending),
            None => Control::Continue,
        }
    });
    // A simulated engine does not wait, but its trials cost what they pretend to take.
    let duration = if simulated { virtual_time } else { started.elapsed().as_secs_f64() };
    (ending, duration)
}

/// What a request took, where the machine shows it; never guessed.
fn energy(repetition: &Repetition) -> Vec<Sample> {
    let state = &repetition.state;
    let counted = [(metric::ENERGY, state.energy), (metric::GPU_ENERGY, state.gpu_energy)];
    let counted = counted.into_iter().filter(|_| repetition.request.is_some());
    counted.filter_map(|(name, joules)| Some(Sample::one(name, joules?))).collect()
}

/// Whether a trial that is measured has what its workload asks for: a quiet repetition of each request, or at
/// least a noisy one.
#[must_use]
pub fn is_complete(repetitions: &[Repetition], requests: usize) -> bool {
    (0..requests).all(|request| repetitions.iter().any(|one| one.request == u32::try_from(request).ok()))
}

/// The ending of a trial that says it was measured and has nothing to show for it.
#[must_use]
pub fn without_samples() -> Ending {
    Ending::new(Outcome::Crashed, "the engine ended without a sample for every request")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::MachineState;

    #[test]
    fn energy_is_a_sample_where_the_machine_shows_it() {
        let state = MachineState { energy: Some(3.0), gpu_energy: Some(250.0), ..MachineState::default() };
        let of = |request, state: &MachineState| {
            let samples = energy(&Repetition { request, state: state.clone(), ..Repetition::default() });
            samples.into_iter().map(|sample| (sample.metric, sample.values)).collect::<Vec<_>>()
        };
        let both = [(metric::ENERGY, 3.0), (metric::GPU_ENERGY, 250.0)];
        assert_eq!(of(Some(0), &state), both.map(|(name, joules)| (name.to_string(), vec![joules])));
        assert!(of(None, &state).is_empty(), "loading is no request");
        assert!(of(Some(0), &MachineState::default()).is_empty());
    }
}
