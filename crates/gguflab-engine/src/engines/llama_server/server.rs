//! One running llama-server: started on a port of its own, watched, ended with its job.

use super::{Run, TURN};
use crate::child::{Child, Next, Program, Stream};
use crate::engines::{death, is_memory};
use crate::http::{self, Answer};
use crate::telemetry::{Usage, device_memory, group_usage, kernel_kills};
use gguflab_types::event::Phase;
use gguflab_types::{Ending, Event, Outcome};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ports that are tried before it is given up: another program may take one between its choice and its use.
const ATTEMPTS: u32 = 5;
/// How often the server is asked whether it is ready: loading is measured this finely.
const POLL: Duration = Duration::from_millis(5);
/// How long a short question may take: a server that loads answers at once, or not at all.
const QUESTION: Duration = Duration::from_secs(2);
/// How long the tokenizer may take for a text.
const TOKENIZE: Duration = Duration::from_secs(60);
/// How long a server whose connection broke is given to end.
const DYING: Duration = Duration::from_secs(2);
/// Lines that are kept to tell why it died.
const KEPT: usize = 200;
/// Phrases by which a port that is taken is told.
const PORT_TAKEN: &[&str] = &["couldn't bind", "could not bind", "address already in use"];

/// A server that is ready.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// What it was started with, address and name aside.
    pub(super) arguments: Vec<String>,
    /// The environment variables of knobs that it was started with.
    pub(super) environment: BTreeMap<String, String>,
    /// Seconds from its start until it was ready.
    pub(super) load: f64,
    said: VecDeque<(Stream, String)>,
    kills_before: Option<u64>,
}

/// What came of trying one port.
enum Attempt {
    Ready(Box<Server>),
    /// Somebody else has it.
    Taken,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// How the trial ends when it never gets ready.
    pub(super) fn start(
        program: &Program,
        arguments: Vec<String>,
        run: &mut Run<'_>,
    ) -> Result<Server, Ending> {
        for _ in 0..ATTEMPTS {
            run.tell(Event::Phase(Phase::Start))?;
            match Server::attempt(program, &arguments, run)? {
                Attempt::Ready(server) => return Ok(*server),
                Attempt::Taken => run.log("the port was taken by another program: trying another one")?,
            }
        }
        let cause = format!("{ATTEMPTS} ports one after the other were taken by other programs");
        Err(Ending::new(Outcome::Crashed, cause))
    }

    fn attempt(program: &Program, arguments: &[String], run: &mut Run<'_>) -> Result<Attempt, Ending> {
        let address = free_address().map_err(|error| {
            Ending::new(Outcome::Crashed, format!("no port for the server can be had: {error}"))
        })?;
        let name = own_name();
        let place = ["--host", "127.0.0.1", "--port", &address.port().to_string(), "--alias", &name]
            .map(String::from);
        let words = arguments.iter().chain(&place).map(Into::into);
        let mut program = Program {
            arguments: program.arguments.iter().cloned().chain(words).collect(),
            ..program.clone()
        };
        let environment: BTreeMap<String, String> = run.job.configuration.environment().collect();
        program.environment.extend(environment.clone());
        let (started, kills_before) = (Instant::now(), kernel_kills());
        let child = program.spawn().map_err(|error| {
            Ending::new(Outcome::Crashed, format!("{} cannot be started any more: {error}", run.name))
        })?;
        let (arguments, said) = (arguments.to_vec(), VecDeque::new());
        let mut server = Server { child, address, arguments, environment, load: 0.0, said, kills_before };
        run.tell(Event::Phase(Phase::Load))?;
        let limit = run.job.deadlines.start + run.job.deadlines.load;
        loop {
            server.listen(run, POLL)?;
            if server.has_ended() {
                server.listen(run, Duration::ZERO)?;
                return if server.lost_its_port() { Ok(Attempt::Taken) } else { Err(server.death(run)) };
            }
            if server.is_ready() {
                break;
            }
            run.check_time(started, limit, "the server was not ready")?;
        }
        server.load = started.elapsed().as_secs_f64();
        Ok(if server.is_called(&name) { Attempt::Ready(Box::new(server)) } else { Attempt::Taken })
    }

    /// Whether it answers that it is ready. It answers 503 while the model is loaded, and not at all before.
    fn is_ready(&self) -> bool {
        http::exchange(self.address, "/health", None, QUESTION).is_ok_and(|answer| answer.status == 200)
    }

    /// Whether it is the one that was started, and not another server on the same port. Versions that do not tell
    /// their name are believed.
    fn is_called(&self, name: &str) -> bool {
        match http::exchange(self.address, "/v1/models", None, QUESTION) {
            Ok(Answer { status: 200, body }) => body.contains(name),
            _ => true,
        }
    }

    /// Hands what it says to the sink: waits at most this long for a first line.
    pub(super) fn listen(&mut self, run: &mut Run<'_>, timeout: Duration) -> Result<(), Ending> {
        let mut timeout = timeout;
        loop {
            match self.child.next(timeout) {
                Next::Line(stream, line) => {
                    run.tell(Event::Log(death::level(stream, &line), line.clone()))?;
                    self.said.push_back((stream, line));
                    if self.said.len() > KEPT {
                        self.said.pop_front();
                    }
                }
                Next::Quiet => return Ok(()),
                // It has closed its pipes: nothing more will come, but the time has to pass.
                Next::Closed => {
                    std::thread::sleep(timeout);
                    return Ok(());
                }
            }
            timeout = Duration::ZERO;
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.ended().is_some()
    }

    /// Processor time and memory so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        group_usage(self.child.id())
    }

    /// Bytes that it has of NVIDIA GPUs' memory, where the driver tells.
    pub(super) fn device_memory(&self) -> Option<u64> {
        device_memory(self.child.id())
    }

    fn lost_its_port(&self) -> bool {
        self.said.iter().any(|(_, line)| {
            let line = line.to_lowercase();
            PORT_TAKEN.iter().any(|phrase| line.contains(phrase))
        })
    }

    /// Why it died; kills what is left of it.
    pub(super) fn death(&mut self, run: &mut Run<'_>) -> Ending {
        let waited = Instant::now();
        while !self.has_ended() && waited.elapsed() < DYING {
            if let Err(ending) = self.listen(run, TURN) {
                return ending;
            }
        }
        if !self.has_ended() {
            return Ending::new(
                Outcome::Crashed,
                "the server closed the connection in the middle of an answer",
            );
        }
        let _ = self.listen(run, Duration::ZERO);
        let Some(status) = self.child.kill() else {
            return Ending::new(Outcome::Crashed, "the server is gone");
        };
        let killed_by_kernel =
            self.kills_before.zip(kernel_kills()).is_some_and(|(before, after)| after > before);
        let lines: Vec<String> = self.said.iter().map(|(_, line)| line.clone()).collect();
        death::of_status("llama-server", status, &lines, killed_by_kernel)
            .unwrap_or_else(|| Ending::new(Outcome::Crashed, "llama-server ended by itself"))
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// How the trial ends when they cannot be had.
    pub(super) fn tokenize(&self, text: &str, special: bool) -> Result<Vec<i32>, Ending> {
        let question = serde_json::json!({ "content": text, "add_special": special }).to_string();
        let answer = http::exchange(self.address, "/tokenize", Some(&question), TOKENIZE);
        let answer = answer.map_err(|error| {
            Ending::new(Outcome::Crashed, format!("the server does not tokenize the prompt: {error}"))
        })?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        let tokens = serde_json::from_str::<Tokenized>(&answer.body);
        Ok(tokens
            .map_err(|error| Ending::new(Outcome::Crashed, format!("the server's tokens: {error}")))?
            .tokens)
    }
}

#[derive(serde::Deserialize)]
struct Tokenized {
    tokens: Vec<i32>,
}

/// What an answer means that is none: llama-server says `{"error":{"code":…,"message":…,"type":…}}`.
pub(super) fn refusal(answer: &Answer) -> Ending {
    let value: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let error = value.get("error").unwrap_or(&value);
    error_ending(error, answer.status).unwrap_or_else(|| {
        let beginning: String = answer.body.chars().take(200).collect();
        Ending::new(outcome_of(answer.status), format!("the server answers {}: {beginning}", answer.status))
    })
}

/// An error that the server told as such, with the status of the answer that it came in.
pub(super) fn error_ending(error: &serde_json::Value, status: u16) -> Option<Ending> {
    let message = error.get("message").and_then(serde_json::Value::as_str)?;
    let code =
        error.get("code").and_then(serde_json::Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let outcome = if is_memory(message) { Outcome::OutOfMemory } else { outcome_of(code.unwrap_or(status)) };
    Some(Ending::new(outcome, format!("the server refuses: {message}")))
}

/// Requests that are at fault (4xx) are refusals; everything else is the server's own failure.
fn outcome_of(status: u16) -> Outcome {
    if (400..500).contains(&status) { Outcome::Rejected } else { Outcome::Crashed }
}

/// A port that nobody uses now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A name that no other server has.
fn own_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("gguflab-{}-{number}-{:x}", std::process::id(), crate::engines::foreign::now().to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_tell_their_kind_and_their_words() {
        for (status, body, outcome, cause) in [
            (
                400,
                r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}"#,
                Outcome::Rejected,
                "too long",
            ),
            (
                500,
                r#"{"error":{"code":500,"message":"Compute error.","type":"server_error"}}"#,
                Outcome::Crashed,
                "Compute error",
            ),
            (500, r#"{"error":{"message":"failed to allocate buffer"}}"#, Outcome::OutOfMemory, "allocate"),
            (404, "File Not Found", Outcome::Rejected, "404: File Not Found"),
            (503, "", Outcome::Crashed, "503"),
        ] {
            let ending = refusal(&Answer { status, body: body.to_string() });
            assert_eq!(ending.outcome, outcome, "{ending:?}");
            assert!(ending.cause.contains(cause), "{ending:?}");
        }
    }

    #[test]
    fn names_and_ports_are_ones_own() {
        assert_ne!(own_name(), own_name());
        assert!(free_address().unwrap().ip().is_loopback());
    }
}
