//! Takes commands one after the other. A model lives until the next one is loaded; its context lives as long as
//! the settings allow.

use crate::channel::Output;
use crate::measure::{self, Session};
use crate::{evaluation, operations, outputs};
use gguflab_native::{Backend, Model, ModelSettings, NativeError, usage};
use gguflab_types::event::Phase;
use gguflab_types::message::{Command, Failure, FailureKind, Message, Order};
use gguflab_types::{Sample, metric};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// The commands as they come.
pub(crate) type Commands = Receiver<Result<Command, String>>;

/// Serves until it is told to quit.
pub(crate) fn serve(backend: &Backend, commands: &Commands, output: &Output) {
    let mut next = None;
    loop {
        let Some(Command { request, order }) = next.take().or_else(|| wait(commands, output)) else { return };
        match order {
            Order::Load { path, configuration } => {
                let before = free_device_memory(backend);
                match load(backend, output, request, Path::new(&path), &configuration) {
                    Ok(model) => next = with_model(backend, &model, before, commands, output),
                    Err(error) => output.send(&failed(request, &error)),
                }
                if next.is_none() {
                    continue;
                }
            }
            Order::OpenEvaluation { evaluation, threads } => {
                next = evaluation::serve(backend, &evaluation, threads, commands, output, request);
            }
            Order::Devices => devices(backend, output, request),
            Order::Quit => return,
            Order::Abort => {}
            _ => output.send(&failed(request, &NativeError::Rejected("no model is loaded".to_string()))),
        }
    }
}

/// Serves while one model is loaded; gives back the command that ends that.
fn with_model(
    backend: &Backend,
    model: &Model,
    free_before: u64,
    commands: &Commands,
    output: &Output,
) -> Option<Command> {
    let mut session: Option<Session<'_>> = None;
    loop {
        let command = wait(commands, output)?;
        let request = command.request;
        let result = match command.order {
            Order::Load { .. } | Order::OpenEvaluation { .. } | Order::Quit => return Some(command),
            Order::Devices => {
                devices(backend, output, request);
                continue;
            }
            Order::Abort => continue,
            Order::Bench { configuration, workload, protocol, threads } => {
                let wanted = measure::Wanted { configuration, workload, protocol, threads, observed: false };
                let device_memory = || free_before.saturating_sub(free_device_memory(backend));
                measure::bench(model, &mut session, wanted, &device_memory, output, request)
            }
            Order::Read { configuration, protocol, threads, reading, path } => {
                let workload = outputs::workload(&reading);
                let wanted = measure::Wanted { configuration, workload, protocol, threads, observed: false };
                let file = Path::new(&path);
                let told = outputs::write(model, &mut session, wanted, &reading, file, output, request);
                // Its context is of another size than any workload's.
                session = None;
                told
            }
            Order::Operations { configuration, workload, protocol, threads } => {
                let wanted = measure::Wanted { configuration, workload, protocol, threads, observed: true };
                operations::tell(model, &mut session, wanted, output, request)
            }
            Order::Repeat { index } => measure::repeat(&mut session, index, output, request),
            Order::CountTokens { texts } => count(model, &texts, output, request),
            Order::Score { .. } | Order::FinishRecording => {
                Err(NativeError::Rejected("no evaluation is open".to_string()))
            }
        };
        match result {
            Ok(()) => output.send(&Message::Done { request }),
            Err(error) => {
                // A context in which a decode failed is in an unknown state.
                session = None;
                output.send(&failed(request, &error));
            }
        }
    }
}

/// The next command; `None` when none will come. What cannot be read is answered here.
pub(crate) fn wait(commands: &Commands, output: &Output) -> Option<Command> {
    loop {
        match commands.recv().ok()? {
            Ok(command) => return Some(command),
            Err(problem) => {
                let reason = format!("unreadable command: {problem}");
                output.send(&failed(0, &NativeError::Rejected(reason)));
            }
        }
    }
}

fn load(
    backend: &Backend,
    output: &Output,
    request: u64,
    path: &Path,
    configuration: &gguflab_types::Configuration,
) -> Result<Model, NativeError> {
    usage::give_back_memory();
    usage::reset_peak();
    let settings = ModelSettings::from_configuration(configuration)?;
    output.send(&Message::Phase { request, phase: Phase::Load });
    let (started, before) = (Instant::now(), usage::now());
    let model = Model::load(backend, path, &settings)?;
    let duration = started.elapsed().as_secs_f64();
    output.send(&Message::Repetition {
        request,
        index: None,
        duration,
        cpu_time: usage::now().cpu_time - before.cpu_time,
        samples: vec![Sample::one(metric::LOAD, duration)],
    });
    output.send(&Message::Done { request });
    Ok(model)
}

fn devices(backend: &Backend, output: &Output, request: u64) {
    output.send(&Message::Devices { request, devices: backend.devices() });
    output.send(&Message::Done { request });
}

fn free_device_memory(backend: &Backend) -> u64 {
    backend.devices().iter().filter(|device| device.gpu).map(|device| device.memory_free).sum()
}

fn count(model: &Model, texts: &[String], output: &Output, request: u64) -> Result<(), NativeError> {
    let count = |text: &String| model.tokenize(text).map(|tokens| tokens.len() as u64);
    let counts = texts.iter().map(count).collect::<Result<_, _>>()?;
    output.send(&Message::TokensCounted { request, counts });
    Ok(())
}

/// The answer that a command was not carried out.
pub(crate) fn failed(request: u64, error: &NativeError) -> Message {
    let kind = match error {
        NativeError::Rejected(_) => FailureKind::Rejected,
        NativeError::OutOfMemory(_) => FailureKind::OutOfMemory,
        NativeError::Aborted => FailureKind::Aborted,
    };
    Message::Failed { request, failure: Failure { kind, reason: error.to_string() } }
}
