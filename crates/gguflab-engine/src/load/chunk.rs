//! What one event of a streamed completion says.

use super::{Course, Failure, FailureKind};
use serde::Deserialize;
use serde_json::Value;

/// One event, of a completion or of a chat. Fields that nobody needs here are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    id: String,
    choices: Vec<Choice>,
    usage: Option<Usage>,
    timings: Option<Timings>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    text: Option<String>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    /// What a model thinks is generated like what it says.
    reasoning_content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// What llama.cpp adds to each event when it is asked to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Timings {
    /// Tokens generated so far.
    predicted_n: Option<u64>,
}

/// How far the stream of one request is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The server told why it stopped, or that it is done.
    finished: bool,
    /// The server told that nothing more will come.
    pub(super) done: bool,
    /// Events that brought text.
    events: u64,
    /// The server numbers its tokens.
    numbered: bool,
    /// Tokens in all, as the server told at the end.
    told: Option<u64>,
}

impl Progress {
    /// Takes the data of one event into the course of its request.
    ///
    /// # Errors
    /// Why the request has failed with this event.
    pub(super) fn take(&mut self, course: &mut Course, moment: f64, data: &str) -> Result<(), Failure> {
        if data == "[DONE]" {
            self.done = true;
            self.finish(course, moment);
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            let beginning: String = data.chars().take(80).collect();
            failure(FailureKind::Malformed, format!("an event that cannot be read: {error}: `{beginning}`"))
        })?;
        if let Some(error) = chunk.error {
            return Err(failure(FailureKind::Refused, error_words(&error)));
        }
        if course.id.is_empty() {
            course.id = chunk.id;
        }
        if let Some(usage) = chunk.usage {
            course.prompt = usage.prompt_tokens.or(course.prompt);
            self.told = usage.completion_tokens.or(self.told);
        }
        let choice = chunk.choices.into_iter().next();
        let has_text = choice.as_ref().is_some_and(Choice::has_text);
        let so_far = chunk.timings.and_then(|timings| timings.predicted_n);
        self.tokens(course, moment, has_text, so_far)?;
        if choice.is_some_and(|choice| choice.finish_reason.is_some()) {
            self.finish(course, moment);
        }
        Ok(())
    }

    fn tokens(
        &mut self,
        course: &mut Course,
        moment: f64,
        has_text: bool,
        so_far: Option<u64>,
    ) -> Result<(), Failure> {
        let known = course.moments.len() as u64;
        if has_text && self.finished {
            return Err(failure(FailureKind::Duplicate, "text came after the end of the answer"));
        }
        self.events += u64::from(has_text);
        self.numbered |= so_far.is_some();
        let new = match so_far {
            Some(so_far) if has_text && so_far <= known => {
                let cause = format!("an event with token {so_far} came after token {known}");
                return Err(failure(FailureKind::Duplicate, cause));
            }
            // A server that numbers more tokens than were asked for counts something else.
            Some(so_far) => so_far.saturating_sub(known).min(u64::from(course.asked.max(1))),
            None if self.numbered => 0,
            None => u64::from(has_text),
        };
        course.moments.extend(std::iter::repeat_n(moment, usize::try_from(new).unwrap_or(0)));
        Ok(())
    }

    fn finish(&mut self, course: &mut Course, moment: f64) {
        if !self.finished {
            course.end = moment;
        }
        self.finished = true;
    }

    /// Closes the account of a request whose answer has ended.
    ///
    /// # Errors
    /// Why the request has failed all the same.
    pub(super) fn close(&self, course: &mut Course) -> Result<(), Failure> {
        if !self.finished {
            let cause = format!("the connection ended after {} tokens", course.moments.len());
            return Err(failure(FailureKind::ClosedEarly, cause));
        }
        let seen = course.moments.len() as u64;
        course.produced = self.told.unwrap_or(seen);
        if course.asked > 0 && course.produced.min(seen) == 0 {
            return Err(failure(FailureKind::Malformed, "the answer ended without a token"));
        }
        if self.events > course.produced {
            let cause = format!("{} events with text for {} tokens", self.events, course.produced);
            return Err(failure(FailureKind::Duplicate, cause));
        }
        Ok(())
    }
}

impl Choice {
    fn has_text(&self) -> bool {
        let delta = self.delta.as_ref();
        let parts = [
            self.text.as_ref(),
            delta.and_then(|delta| delta.content.as_ref()),
            delta.and_then(|delta| delta.reasoning_content.as_ref()),
        ];
        parts.into_iter().flatten().any(|text| !text.is_empty())
    }
}

/// A failure with its cause.
pub(super) fn failure(kind: FailureKind, cause: impl Into<String>) -> Failure {
    Failure { kind, cause: cause.into() }
}

/// An error as a server tells it: an object with a message, or a text.
pub(super) fn error_words(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(events: &[(f64, &str)], asked: u32) -> (Course, Result<(), Failure>) {
        let (mut course, mut progress) = (Course { asked, ..Course::default() }, Progress::default());
        for (moment, data) in events {
            if let Err(failure) = progress.take(&mut course, *moment, data) {
                return (course, Err(failure));
            }
        }
        let closed = progress.close(&mut course);
        (course, closed)
    }

    #[test]
    fn tokens_are_numbered_where_the_server_does_it() {
        // The second token was half of a character, and came with the third.
        let (course, closed) = run(
            &[
                (0.5, r#"{"id":"c-1","choices":[{"text":"a"}],"timings":{"predicted_n":1}}"#),
                (0.6, r#"{"id":"c-1","choices":[{"text":"é\n"}],"timings":{"predicted_n":3}}"#),
                (
                    0.7,
                    r#"{"choices":[{"text":"","finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":4},"timings":{"predicted_n":4}}"#,
                ),
                (0.8, "[DONE]"),
            ],
            4,
        );
        assert_eq!(closed, Ok(()));
        assert_eq!((course.moments.as_slice(), course.end), ([0.5, 0.6, 0.6, 0.7].as_slice(), 0.7));
        assert_eq!((course.produced, course.prompt, course.id.as_str()), (4, Some(9), "c-1"));
    }

    #[test]
    fn a_chat_is_counted_by_its_events_and_by_what_the_server_tells() {
        let (course, closed) = run(
            &[
                (0.1, r#"{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#),
                (0.5, r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#),
                (0.6, r#"{"choices":[{"delta":{"content":"b"}}]}"#),
                (0.7, r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#),
                (0.7, r#"{"choices":[],"usage":{"completion_tokens":3}}"#),
            ],
            8,
        );
        assert_eq!((closed, course.moments.len(), course.produced), (Ok(()), 2, 3));
    }

    #[test]
    fn what_a_server_does_wrong_has_its_kind() {
        let text = r#"{"choices":[{"text":"a"}]}"#;
        let done = r#"{"choices":[{"text":"","finish_reason":"length"}],"usage":{"completion_tokens":1}}"#;
        let first = r#"{"choices":[{"text":"a"}],"timings":{"predicted_n":1}}"#;
        let cases: [(&[&str], FailureKind); 8] = [
            (&[text], FailureKind::ClosedEarly),
            (&["{ no"], FailureKind::Malformed),
            (&["[1, 2]"], FailureKind::Malformed),
            (&["[DONE]"], FailureKind::Malformed),
            (&[first, first], FailureKind::Duplicate),
            (&[text, text, done], FailureKind::Duplicate),
            (&[text, done, text], FailureKind::Duplicate),
            (&[r#"{"error":{"code":500,"message":"Compute error."}}"#], FailureKind::Refused),
        ];
        for (events, kind) in cases {
            let events: Vec<(f64, &str)> = events.iter().map(|data| (1.0, *data)).collect();
            let (_, closed) = run(&events, 2);
            assert_eq!(closed.clone().map_err(|failure| failure.kind), Err(kind), "{events:?}: {closed:?}");
        }
    }
}
