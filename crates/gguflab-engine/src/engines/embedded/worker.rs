//! The worker's process as seen from here: orders in, messages out, its death explained.

use super::Setup;
use crate::child::{Child, Next, Program, Stream, signal_of};
use crate::engine::EngineError;
use crate::telemetry::kernel_kills;
use gguflab_types::event::Level;
use gguflab_types::machine::Device;
use gguflab_types::message::{Command, Hello, Message, Order, PROTOCOL_VERSION};
use std::io::Write;
use std::time::{Duration, Instant};

/// Lines of talk before the first message that are kept to explain a worker that never says hello.
const KEPT_LINES: usize = 20;

pub(super) struct Worker {
    child: Child,
    next_request: u64,
    heard: Instant,
    last_words: Option<String>,
    kills_before: Option<u64>,
}

/// One step of listening.
pub(super) enum Step {
    Message(Message),
    Log(Level, String),
    Quiet,
    Ended,
}

/// How a worker died.
pub(super) struct Death {
    pub(super) signal: Option<i32>,
    pub(super) code: Option<i32>,
    pub(super) last_words: Option<String>,
    /// Whether the kernel has killed for want of memory meanwhile.
    pub(super) out_of_memory_kills: bool,
}

impl Worker {
    /// Starts a worker and waits until it says who it is.
    pub(super) fn start(
        program: &Program,
        setup: &Setup,
        deadline: f64,
    ) -> Result<(Worker, Hello), EngineError> {
        let mut program = program.clone();
        if let Some(strategy) = &setup.numa {
            program.arguments.extend(["--numa".into(), strategy.into()]);
        }
        if let Some(bytes) = setup.address_space {
            program.arguments.extend(["--address-space".into(), bytes.to_string().into()]);
        }
        program.environment.extend(setup.environment.clone());
        // Without this an abort of llama.cpp starts a debugger for a backtrace, which takes seconds.
        program.environment.entry("GGML_NO_BACKTRACE".to_string()).or_insert_with(|| "1".to_string());
        let name = program.path.display().to_string();
        let child = program.spawn().map_err(|source| cannot_start(&program, source))?;
        let kills_before = kernel_kills();
        let mut worker =
            Worker { child, next_request: 0, heard: Instant::now(), last_words: None, kills_before };
        let hello = worker
            .wait_for_hello(deadline)
            .map_err(|problem| EngineError::Unusable { program: name, problem })?;
        Ok((worker, hello))
    }

    fn wait_for_hello(&mut self, deadline: f64) -> Result<Hello, String> {
        let started = Instant::now();
        let mut talk: Vec<String> = Vec::new();
        while started.elapsed().as_secs_f64() < deadline {
            match self.step(Duration::from_millis(50)) {
                Step::Message(Message::Hello(hello)) if hello.protocol == PROTOCOL_VERSION => {
                    return Ok(hello);
                }
                Step::Message(Message::Hello(hello)) => {
                    return Err(format!(
                        "speaks version {} of the worker's protocol, and this program speaks {PROTOCOL_VERSION}: \
                         build both from the same source",
                        hello.protocol
                    ));
                }
                Step::Log(_, text)
                | Step::Message(Message::Log { text, .. } | Message::Aborting { text })
                    if talk.len() < KEPT_LINES =>
                {
                    talk.push(text);
                }
                Step::Ended => return Err(format!("ended before it said hello: {}", in_words(&talk))),
                _ => {}
            }
        }
        Err(format!("did not say hello within {deadline} s: {}", in_words(&talk)))
    }

    /// Sends an order; gives its number.
    pub(super) fn send(&mut self, order: Order) -> std::io::Result<u64> {
        self.next_request += 1;
        // Only kills from here on can be this command's.
        self.kills_before = kernel_kills();
        let command = Command { request: self.next_request, order };
        let mut line = serde_json::to_vec(&command)?;
        line.push(b'\n');
        self.heard = Instant::now();
        match &mut self.child.input {
            Some(input) => input.write_all(&line).and_then(|()| input.flush()).map(|()| self.next_request),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Listens for at most this long.
    pub(super) fn step(&mut self, timeout: Duration) -> Step {
        match self.child.next(timeout) {
            Next::Line(Stream::Output, line) => match serde_json::from_str::<Message>(&line) {
                Ok(message) => {
                    self.heard = Instant::now();
                    if let Message::Aborting { text } = &message {
                        self.last_words = Some(text.clone());
                    }
                    Step::Message(message)
                }
                Err(_) => Step::Log(Level::Information, line),
            },
            Next::Line(Stream::Error, line) => Step::Log(Level::Information, line),
            Next::Closed => Step::Ended,
            Next::Quiet if self.child.ended().is_some() => Step::Ended,
            Next::Quiet => Step::Quiet,
        }
    }

    /// Whether it has died while nothing was asked of it.
    pub(super) fn is_dead(&mut self) -> bool {
        self.child.ended().is_some()
    }

    /// Leaves out a time in which this process itself did not run.
    pub(super) fn forgive(&mut self, gap: Duration) {
        // What it said meanwhile may still be on its way.
        self.heard = (self.heard + gap).min(Instant::now());
    }

    /// How long nothing was heard of it.
    pub(super) fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Asks a command to end early and waits for its answer; `false` when none comes, and then the worker is of
    /// no use any more.
    pub(super) fn abort(&mut self, request: u64, grace: Duration) -> bool {
        let started = Instant::now();
        if self.send(Order::Abort).is_err() {
            return false;
        }
        while started.elapsed() < grace {
            match self.step(Duration::from_millis(20)) {
                Step::Message(Message::Done { request: number }) if number == request => return true,
                Step::Message(Message::Failed { request: number, .. }) if number == request => return true,
                Step::Ended => return false,
                _ => {}
            }
        }
        false
    }

    /// The devices that the engine sees.
    pub(super) fn devices(&mut self, deadline: f64) -> Result<Vec<Device>, String> {
        let started = Instant::now();
        let wanted = self.send(Order::Devices).map_err(|error| error.to_string())?;
        while started.elapsed().as_secs_f64() < deadline {
            match self.step(Duration::from_millis(50)) {
                Step::Message(Message::Devices { request, devices }) if request == wanted => {
                    return Ok(devices);
                }
                Step::Ended => return Err("ended while it listed the devices".to_string()),
                _ => {}
            }
        }
        Err(format!("did not list the devices within {deadline} s"))
    }

    /// How it died; kills what is left of it.
    pub(super) fn death(&mut self) -> Death {
        // Its pipes close a little before its status can be had.
        let waited = Instant::now();
        while self.child.ended().is_none() && waited.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.kill();
        Death {
            signal: status.and_then(signal_of),
            code: status.and_then(|status| status.code()),
            last_words: self.last_words.take(),
            out_of_memory_kills: kernel_kills() > self.kills_before,
        }
    }
}

/// The program that could not be started is the wrapper, where there is one.
fn cannot_start(program: &Program, source: std::io::Error) -> EngineError {
    let (name, hint) = match program.wrapper.first() {
        Some(wrapper) => (wrapper.clone(), "look at --wrapper"),
        None => (
            program.path.display().to_string(),
            "build it with `cargo build --release -p gguflab-worker`, or name it with GGUFLAB_WORKER",
        ),
    };
    EngineError::Start { program: name, source, hint: hint.to_string() }
}

/// What a program that is no worker said, or what else may be wrong.
fn in_words(talk: &[String]) -> String {
    match talk {
        [] => "it said nothing; is it a gguflab-worker?".to_string(),
        lines => lines.join(" / "),
    }
}
