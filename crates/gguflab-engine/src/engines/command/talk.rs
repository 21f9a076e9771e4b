//! One running program, lines in and lines out.

use super::PROTOCOL;
use crate::child::{Child, Next, Program, Stream};
use crate::engines::death;
use crate::telemetry::{group_usage, kernel_kills};
use gguflab_types::event::Level;
use gguflab_types::{Ending, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long a line is waited for before stop and deadlines are looked at.
const TURN: Duration = Duration::from_millis(50);
/// How long a program that has closed its output is given to end.
const DYING: Duration = Duration::from_secs(2);
/// Lines that are kept to tell why it died.
const KEPT: usize = 100;
/// Level of what it says on standard output without answering.
pub(super) const LEVEL: Level = Level::Information;

/// A running program.
pub(super) struct Talk {
    child: Child,
    /// Variables that it was started with.
    pub(super) environment: BTreeMap<String, String>,
    /// Whether it has answered the last question, so that it can take another.
    pub(super) has_answered: bool,
    said: VecDeque<String>,
    kills_before: Option<u64>,
}

/// What came of waiting.
pub(super) enum Heard {
    /// A line for the log.
    Line(Level, String),
    /// An object on standard output.
    Object(Value),
    /// Nothing yet.
    Nothing,
    /// It will say nothing more.
    End,
}

/// What an object is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer to this trial.
    Answer,
    /// Something else: a greeting, or of its own.
    Talk,
}

/// What an object on standard output is to the trial of this number.
///
/// # Errors
/// How the trial ends when the program speaks another version of the protocol.
pub(super) fn kind(value: &Value, trial: u64) -> Result<Kind, Ending> {
    let greeting = value.get("hello").and_then(|hello| hello.get("protocol"));
    if let Some(version) =
        greeting.or_else(|| value.get("protocol")).filter(|version| version.as_u64() != Some(PROTOCOL))
    {
        let cause =
            format!("the program speaks version {version} of the protocol, and gguflab speaks {PROTOCOL}");
        return Err(Ending::new(Outcome::Rejected, cause));
    }
    let answers = ["metrics", "requests", "outcome", "error"].iter().any(|key| value.get(*key).is_some());
    let another = value.get("trial").is_some_and(|number| number.as_u64() != Some(trial));
    Ok(if answers && !another { Kind::Answer } else { Kind::Talk })
}

impl Talk {
    /// Starts it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(program: &Program) -> io::Result<Talk> {
        let kills_before = kernel_kills();
        let environment = program.environment.clone();
        Ok(Talk {
            child: program.spawn()?,
            environment,
            has_answered: true,
            said: VecDeque::new(),
            kills_before,
        })
    }

    /// Hands it a line. One that does not take it has ended or will end; that is heard then.
    pub(super) fn send(&mut self, question: &Value) {
        if let Some(input) = &mut self.child.input {
            let _ = input.write_all(format!("{question}\n").as_bytes()).and_then(|()| input.flush());
        }
    }

    pub(super) fn hear(&mut self) -> Heard {
        match self.child.next(TURN) {
            Next::Line(stream, line) => {
                let value = match stream {
                    Stream::Output => serde_json::from_str::<Value>(&line).ok().filter(Value::is_object),
                    Stream::Error => None,
                };
                self.said.push_back(line.clone());
                if self.said.len() > KEPT {
                    self.said.pop_front();
                }
                value.map_or_else(|| Heard::Line(death::level(stream, &line), line), Heard::Object)
            }
            // What it left behind may keep the pipes open.
            Next::Quiet if self.has_ended() => Heard::End,
            Next::Quiet => Heard::Nothing,
            Next::Closed => Heard::End,
        }
    }

    /// Whether it has ended, and by itself and well.
    pub(super) fn has_ended_well(&mut self) -> bool {
        self.child.ended().is_some_and(|status| status.success())
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.ended().is_some()
    }

    /// Processor seconds so far.
    pub(super) fn cpu_time(&self) -> Option<f64> {
        group_usage(self.child.id()).map(|usage| usage.cpu_time)
    }

    /// Why it ended without an answer; kills what is left of it.
    pub(super) fn death(&mut self) -> Ending {
        let waited = Instant::now();
        while !self.has_ended() && waited.elapsed() < DYING {
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed_by_kernel =
            self.kills_before.zip(kernel_kills()).is_some_and(|(before, after)| after > before);
        let lines: Vec<String> = self.said.iter().cloned().collect();
        let status = self.child.kill();
        let ending =
            status.and_then(|status| death::of_status("the program", status, &lines, killed_by_kernel));
        ending.unwrap_or_else(|| {
            let words = death::last_words(&lines);
            let words = if words.is_empty() { String::new() } else { format!(": {words}") };
            Ending::new(Outcome::Crashed, format!("the program ended without an answer{words}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_told_from_talk_and_other_versions() {
        for (value, expected) in [
            (json!({"metrics": {"decode": 1}}), Kind::Answer),
            (json!({"trial": 3, "outcome": "crashed"}), Kind::Answer),
            (json!({"trial": 2, "metrics": {}}), Kind::Talk),
            (json!({"hello": {"protocol": 1, "name": "x"}}), Kind::Talk),
            (json!({"progress": 0.5}), Kind::Talk),
        ] {
            assert_eq!(kind(&value, 3), Ok(expected), "{value}");
        }
        for value in [json!({"hello": {"protocol": 2}}), json!({"protocol": 9, "metrics": {}})] {
            let ending = kind(&value, 3).unwrap_err();
            assert!(ending.outcome == Outcome::Rejected && ending.cause.contains("version"), "{ending:?}");
        }
    }
}
