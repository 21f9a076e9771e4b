//! Requests by many clients at once against a server that streams, in the words of the OpenAI API.
//!
//! One thread waits for all connections (`mio`), stamps what arrives as soon as it is read, and only then looks into
//! it: a client that is slower than its server would measure itself. How busy it was is part of the result.

mod answer;
mod chunk;
mod client;
mod clock;
mod endpoint;
mod prompts;

pub use crate::http::Key;
pub use client::drive;
pub use endpoint::{Endpoint, Style, Told};
pub use prompts::{Prompts, Source};

use crate::engine::Control;
use gguflab_types::prompt::Tokens;
use gguflab_types::{Ending, Event};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Most requests that are on their way at once: each takes a descriptor, and systems give 1,024 unless asked.
pub const MOST_AT_ONCE: u32 = 900;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arrivals {
    /// So many clients, each of which sends its next request when the last one has ended (a closed loop).
    Clients(u32),
    /// So many requests a second at random moments (Poisson), whether earlier ones have ended or not (an open loop).
    Rate(f64),
}

/// How one load is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Seconds in which requests that are sent are measured, after a warm-up.
    pub window: f64,
    /// Most requests that are measured: the window ends with the last of them.
    pub most: Option<u32>,
    /// Longest time of one request, in seconds.
    pub patience: f64,
    /// Seed of the moments of an open loop.
    pub seed: u64,
}

/// One request from its sending to its end; times in seconds since its load began, by a monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// When it had to be sent: all its times count from here.
    pub due: f64,
    /// When it was sent, which is later only where the client was busy.
    pub sent: f64,
    /// Whether it was sent in the window.
    pub measured: bool,
    /// Tokens of its prompt: as the server tells, else as they were sent; `None` where nobody counted.
    pub prompt: Option<u64>,
    /// Which of the user's own prompts it had, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<u32>,
    /// Tokens that it asked for.
    pub asked: u32,
    /// Tokens that it got, as the server tells; else the events that brought text.
    pub produced: u64,
    /// When each token came; several that came with one event have the same moment. Where the server does not number
    /// its tokens, one for each event that brought text.
    pub moments: Vec<f64>,
    /// When it ended.
    pub end: f64,
    /// What the server calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Why it failed, if it did: then none of its times are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Of which kind it is.
    pub kind: FailureKind,
    /// The cause in words.
    pub cause: String,
}

/// The ways in which a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No connection could be made.
    NoConnection,
    /// The server refused it, with a status or an error event.
    Refused,
    /// What came is no answer, or no event that can be understood.
    Malformed,
    /// The same token came twice, or more tokens than were made.
    Duplicate,
    /// The connection ended before the answer.
    ClosedEarly,
    /// It took longer than a request may.
    TimedOut,
}

impl FailureKind {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::NoConnection => "no connection",
            FailureKind::Refused => "refused",
            FailureKind::Malformed => "malformed",
            FailureKind::Duplicate => "duplicate events",
            FailureKind::ClosedEarly => "closed early",
            FailureKind::TimedOut => "timed out",
        }
    }
}

/// What came of one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// When requests were sent.
    pub arrivals: Arrivals,
    /// The window, in seconds since the load began.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// All requests that were sent until then, in the order of their sending.
    pub courses: Vec<Course>,
    /// How busy the client was.
    pub client: Busy,
    /// Why it was ended before all of its requests had ended, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// What the client itself took: nothing can be stamped while it is at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// Share of the time of the window in which it was at work and not waiting.
    pub share: f64,
    /// The longest that it was at work at a stretch in the window, in seconds: no stamp is later by more.
    pub longest: f64,
    /// How much later than it came something is stamped that comes at a random moment of the window, in seconds.
    pub late: f64,
}

/// A server that runs and may be asked.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    /// Tokens for prompts, made by its own tokenizer.
    pub tokens: Tokens,
}

/// Looks after a server while others talk to it: tells whether it has to end.
pub type Attend<'a> = dyn FnMut() -> Result<(), Ending> + 'a;

/// What is done with a server that runs.
pub type Work<'a> = dyn FnMut(&Service, &mut Attend<'_>) -> Result<(), Ending> + 'a;

/// Who is told what happens.
pub type Sink<'a> = dyn FnMut(Event) -> Control + 'a;
