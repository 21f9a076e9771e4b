//! Where the time goes: the operations of a request, layer by layer and operator by operator.

mod cost;
mod document;

pub use cost::{Cost, Costs, Least};
pub use document::document;

use crate::active::Active;
use crate::bench::BenchWatcher;
use crate::laboratory::Laboratory;
use gguflab_engine::{Control, Stop};
use gguflab_types::event::Phase;
use gguflab_types::operation::{Anatomy, Limit, Operation, Roof, Stage};
use gguflab_types::{Configuration, Deadlines, Ending, Event, Outcome, Protocol};

/// What is timed.
#[derive(Debug, Clone)]
pub struct OperationsRequest {
    /// The configurations: one, or two that are laid side by side.
    pub configurations: Vec<Configuration>,
    /// How; its repetitions are pairs of a run without stops and one with a stop after every operation.
    pub protocol: Protocol,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// What was found of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Dissected {
    /// The configuration.
    pub configuration: Configuration,
    /// What its operations cost.
    pub anatomy: Anatomy,
    /// What the engine's log says of it.
    pub active: Active,
}

/// Times the operations of each configuration. Two are run in the order A B B A, so that what changes slowly meets both
/// alike.
///
/// # Errors
/// How it ended instead of being measured.
pub fn dissect(
    laboratory: &mut Laboratory,
    request: &OperationsRequest,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Result<Vec<Dissected>, Ending> {
    let Some(_turn) = laboratory.take_turn(stop, &mut || watcher.waiting()) else {
        return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
    };
    let mut found: Vec<Dissected> = Vec::new();
    let mut before = Active::default();
    let forth = request.configurations.iter();
    let back = request.configurations.iter().rev().take(if forth.len() > 1 { forth.len() } else { 0 });
    for configuration in forth.chain(back) {
        if let Some(refusal) = laboratory.refusal(configuration) {
            return Err(refusal);
        }
        let job = laboratory.job(configuration, &request.protocol, request.deadlines);
        let mut active = before.clone();
        let anatomy = laboratory.engine.operations(&job, stop, &mut |event| {
            match event {
                Event::Log(level, text) => {
                    active.take(&text);
                    watcher.line(level, &text);
                }
                Event::Phase(phase) => {
                    // Of a model or a context that stays where it is nothing is said again.
                    if phase == Phase::Load {
                        active = Active::default();
                    }
                    watcher.phase(phase);
                }
                Event::Alive | Event::Measured(_) => {}
            }
            Control::Continue
        })?;
        let active = active.with_gpus(laboratory.facts.gpus);
        before = active.clone();
        match found.iter_mut().find(|known| known.configuration == *configuration) {
            Some(known) => merge(&mut known.anatomy, anatomy),
            None => found.push(Dissected { configuration: configuration.clone(), anatomy, active }),
        }
    }
    Ok(found)
}

/// Puts the runs of a second visit behind those of the first.
fn merge(known: &mut Anatomy, further: Anatomy) {
    let runs: Vec<usize> = known.stages.iter().map(|stage| stage.stopped.len()).collect();
    for ((stage, other), before) in known.stages.iter_mut().zip(further.stages).zip(runs) {
        stage.plain.extend(other.plain);
        stage.stopped.extend(other.stopped);
        for operation in other.operations {
            match stage.operations.iter_mut().find(|one| is_same_kind(one, &operation)) {
                Some(one) => one.seconds.extend(operation.seconds),
                None => {
                    let mut seconds = vec![0.0; before];
                    seconds.extend(&operation.seconds);
                    stage.operations.push(Operation { seconds, ..operation });
                }
            }
        }
        let all = stage.stopped.len();
        stage.operations.iter_mut().for_each(|one| one.seconds.resize(all, 0.0));
    }
    for roof in further.roofs {
        match known.roofs.iter_mut().find(|one| one.device == roof.device) {
            Some(one) => raise(one, roof),
            None => known.roofs.push(roof),
        }
    }
}

/// The best measurement is the roof.
fn raise(known: &mut Roof, further: Roof) {
    for limit in further.limits {
        match known.limits.iter_mut().find(|one| one.work == limit.work) {
            Some(Limit { rate: Ok(rate), .. }) => *rate = limit.rate.map_or(*rate, |other| rate.max(other)),
            Some(one) => *one = limit,
            None => known.limits.push(limit),
        }
    }
}

fn is_same_kind(one: &Operation, other: &Operation) -> bool {
    let kind = |operation: &Operation| {
        let Operation { layer, part, operator, operand, device, .. } = operation.clone();
        (layer, part, operator, operand, device)
    };
    kind(one) == kind(other)
}

/// A word for a stage, such as `generation of 32 tokens`.
fn name(stage: &Stage) -> String {
    let kind = if stage.generation { "generation" } else { "prompt" };
    format!("{kind} of {} tokens", stage.tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::operation::Work;

    fn operation(part: &str, seconds: &[f64]) -> Operation {
        Operation { part: part.to_string(), seconds: seconds.to_vec(), ..Operation::default() }
    }

    #[test]
    fn visits_are_put_together_by_kind() {
        let stage = |operations: Vec<Operation>, seconds: &[f64]| Stage {
            plain: seconds.to_vec(),
            stopped: seconds.to_vec(),
            operations,
            ..Stage::default()
        };
        let mut known = Anatomy {
            stages: vec![stage(vec![operation("a", &[1.0]), operation("b", &[2.0])], &[3.0])],
            ..Anatomy::default()
        };
        let further = vec![stage(vec![operation("a", &[4.0]), operation("c", &[5.0])], &[9.0])];
        merge(&mut known, Anatomy { stages: further, ..Anatomy::default() });
        let found: Vec<&[f64]> =
            known.stages[0].operations.iter().map(|one| one.seconds.as_slice()).collect();
        assert_eq!(found, [&[1.0, 4.0], &[2.0, 0.0], &[0.0, 5.0]]);
        assert_eq!(known.stages[0].plain, [3.0, 9.0]);
    }

    #[test]
    fn the_best_measurement_of_a_device_is_its_roof() {
        let roof = |device: &str, rate: Result<f64, String>| Roof {
            device: device.to_string(),
            limits: vec![Limit { work: Work::Reading, rate }],
            ..Roof::default()
        };
        let failed = || Err("too little memory is free".to_string());
        let mut known = Anatomy {
            roofs: vec![roof("CPU", Ok(3.0)), roof("A", failed()), roof("B", Ok(1.0))],
            ..Anatomy::default()
        };
        let further = vec![roof("CPU", Ok(2.0)), roof("A", Ok(4.0)), roof("B", failed()), roof("C", Ok(5.0))];
        merge(&mut known, Anatomy { roofs: further, ..Anatomy::default() });
        let rates: Vec<Option<f64>> = known.roofs.iter().map(|roof| roof.rate(&Work::Reading)).collect();
        assert_eq!(rates, [Some(3.0), Some(4.0), Some(1.0), Some(5.0)]);
    }
}
