//! Requests that run at once, watched to their ends.

use super::server::{Server, error_ending, refusal};
use super::{Run, TURN};
use crate::http;
use gguflab_types::{Ending, Event, Outcome};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// How long a connection to the server may take.
const CONNECT: Duration = Duration::from_secs(10);

/// One completion that is asked for.
pub(super) struct Wish {
    pub(super) prompt: Vec<i32>,
    pub(super) generate: u32,
    /// The slot whose cache is used and kept; without one nothing of the cache is used.
    pub(super) slot: Option<u32>,
}

/// What one completion gave; times in seconds since the round began.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Course {
    /// When tokens came, and how many at once.
    pub(super) tokens: Vec<(f64, u32)>,
    /// When the answer ended.
    pub(super) end: f64,
    /// Tokens of the prompt that were computed, where the server tells it.
    pub(super) computed: Option<u64>,
    /// Tokens that were guessed ahead, and those of them that were right.
    pub(super) drafted: (u64, u64),
}

/// What a reading thread tells of its stream.
enum Said {
    Data(Instant, String),
    Refused(http::Answer),
    Ended,
}

/// Runs all of them at once; each is read by a thread of its own, so that its moments are its own.
///
/// # Errors
/// How the trial ends when one of them fails, or time is up.
pub(super) fn run(server: &mut Server, run: &mut Run<'_>, wishes: &[Wish]) -> Result<Vec<Course>, Ending> {
    let connect = || {
        let stream = TcpStream::connect_timeout(&server.address, CONNECT)?;
        Ok((stream.try_clone()?, stream))
    };
    let streams: std::io::Result<Vec<_>> = wishes.iter().map(|_| connect()).collect();
    let Ok(streams) = streams else { return Err(server.death(run)) };
    let (own, theirs): (Vec<TcpStream>, Vec<TcpStream>) = streams.into_iter().unzip();
    let (sender, receiver) = channel();
    let barrier = Arc::new(Barrier::new(wishes.len() + 1));
    for (index, (wish, stream)) in wishes.iter().zip(theirs).enumerate() {
        read(index, stream, wish.body(), sender.clone(), Arc::clone(&barrier));
    }
    drop(sender);
    barrier.wait();
    let started = Instant::now();
    let courses = watch(server, run, &receiver, wishes.len(), started);
    // Whatever is still being read is given up; the server then gives up the request.
    for stream in &own {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    courses
}

fn read(
    index: usize,
    mut stream: TcpStream,
    body: String,
    sender: Sender<(usize, Said)>,
    barrier: Arc<Barrier>,
) {
    std::thread::spawn(move || {
        barrier.wait();
        let tell = |said| {
            // Nobody listens any more when the round was given up.
            let _ = sender.send((index, said));
        };
        let sent = http::send(&mut stream, "/completion", Some(&body));
        let ended = sent
            .and_then(|()| http::events(stream, &mut |now, data| tell(Said::Data(now, data.to_string()))));
        match ended {
            Ok(Some(answer)) => tell(Said::Refused(answer)),
            // Why it broke is told by the server's own end.
            Ok(None) | Err(_) => tell(Said::Ended),
        }
    });
}

fn watch(
    server: &mut Server,
    run: &mut Run<'_>,
    receiver: &Receiver<(usize, Said)>,
    count: usize,
    started: Instant,
) -> Result<Vec<Course>, Ending> {
    let mut courses = vec![Course::default(); count];
    let mut finished = vec![false; count];
    while finished.contains(&false) {
        match receiver.recv_timeout(TURN) {
            Ok((index, Said::Data(now, data))) => {
                let seconds = now.saturating_duration_since(started).as_secs_f64();
                finished[index] |= courses[index].take(seconds, &data)?;
            }
            Ok((_, Said::Refused(answer))) => return Err(refusal(&answer)),
            Ok((index, Said::Ended)) if finished[index] => {}
            Ok((_, Said::Ended)) => return Err(server.death(run)),
            Err(RecvTimeoutError::Timeout) => run.tell(Event::Alive)?,
            Err(RecvTimeoutError::Disconnected) => return Err(server.death(run)),
        }
        server.listen(run, Duration::ZERO)?;
        run.check_time(started, run.job.deadlines.repetition, "a repetition did not end")?;
    }
    Ok(courses)
}

impl Wish {
    fn body(&self) -> String {
        let mut body = json!({
            "prompt": self.prompt,
            "n_predict": self.generate,
            "stream": true,
            "cache_prompt": self.slot.is_some(),
            "temperature": 0.0,
            "ignore_eos": true,
            "return_tokens": true,
        });
        if let (Some(slot), Some(fields)) = (self.slot, body.as_object_mut()) {
            fields.insert("id_slot".to_string(), json!(slot));
        }
        body.to_string()
    }
}

impl Course {
    /// Takes one event over; gives whether it was the last one.
    fn take(&mut self, seconds: f64, data: &str) -> Result<bool, Ending> {
        let event: Value = serde_json::from_str(data).map_err(|error| {
            let beginning: String = data.chars().take(80).collect();
            Ending::new(Outcome::Crashed, format!("the server's stream is no JSON ({error}): `{beginning}`"))
        })?;
        if let Some(ending) = event.get("error").and_then(|error| error_ending(error, 500)) {
            return Err(ending);
        }
        let last = event.get("stop").and_then(Value::as_bool).unwrap_or(false);
        // The number so far counts those too that were held back because they were half of a character. Versions that do
        // not tell it list tokens, or send one event for each.
        let so_far = event.get("tokens_predicted").and_then(Value::as_u64);
        let text = event.get("content").and_then(Value::as_str).unwrap_or_default();
        let listed = event.get("tokens").and_then(Value::as_array).map(|tokens| tokens.len() as u64);
        let count = match so_far {
            Some(so_far) => so_far.saturating_sub(self.produced()),
            None => listed.unwrap_or_else(|| u64::from(!last || !text.is_empty())),
        };
        if count > 0 {
            self.tokens.push((seconds, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        if last {
            self.end = seconds;
            let timing = |name: &str| event.get("timings").and_then(|timings| timings.get(name)?.as_u64());
            self.computed = timing("prompt_n");
            self.drafted = (timing("draft_n").unwrap_or(0), timing("draft_n_accepted").unwrap_or(0));
        }
        Ok(last)
    }

    /// Tokens that came.
    pub(super) fn produced(&self) -> u64 {
        self.tokens.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// When each token came.
    pub(super) fn moments(&self) -> Vec<f64> {
        self.tokens
            .iter()
            .flat_map(|(seconds, count)| std::iter::repeat_n(*seconds, *count as usize))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_moments() {
        let mut course = Course::default();
        // The second token was half of a character, and came with the third.
        let told = [
            (0.5, r#"{"content":"a","tokens":[1],"stop":false,"tokens_predicted":1}"#),
            (0.6, r#"{"content":"bc","tokens":[3],"stop":false,"tokens_predicted":3}"#),
        ];
        assert!(told.iter().all(|(seconds, data)| course.take(*seconds, data) == Ok(false)));
        let last = r#"{"content":"","tokens":[],"stop":true,"tokens_predicted":4,"timings":{"prompt_n":16,"draft_n":4,"draft_n_accepted":3}}"#;
        assert_eq!(course.take(0.8, last), Ok(true));
        assert_eq!(course.moments(), [0.5, 0.6, 0.6, 0.8]);
        assert_eq!(
            (course.end, course.computed, course.drafted, course.produced()),
            (0.8, Some(16), (4, 3), 4)
        );
    }

    #[test]
    fn older_versions_send_an_event_for_each_token() {
        let mut course = Course::default();
        for data in [r#"{"content":"a","stop":false}"#, r#"{"content":"b","stop":false}"#] {
            assert_eq!(course.take(1.0, data), Ok(false));
        }
        assert_eq!(course.take(2.0, r#"{"content":"","stop":true,"tokens_predicted":2}"#), Ok(true));
        assert_eq!(course.moments(), [1.0, 1.0]);
    }

    #[test]
    fn errors_and_garbage_end_the_trial() {
        let take = |data: &str| Course::default().take(1.0, data).unwrap_err();
        let memory = take(r#"{"error":{"code":500,"message":"out of memory"}}"#);
        assert_eq!(memory.outcome, Outcome::OutOfMemory);
        assert_eq!(take("{ no").outcome, Outcome::Crashed);
    }
}
