//! What the server says may follow fixed tokens: the likeliest of them, with their probabilities before sampling.
//!
//! It tells them for the last token of a request only, so each place is a request of its own that reads all before it. Where
//! tokens are to be read one at a time, a slot keeps what it has read, and each request is one token longer.

use super::Run;
use super::server::{Server, refusal};
use crate::http;
use gguflab_types::event::Phase;
use gguflab_types::outputs::{Head, Reading, RowForm};
use gguflab_types::prompt::Tokens;
use gguflab_types::{Ending, Event, Outcome};
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Likeliest tokens that are asked for: of text, all but a few hundredths of the probability.
const KEPT: u32 = 2048;

/// What makes a token the likeliest of all, added to its logit.
const CERTAIN: f32 = 1e4;

/// The part of an answer that is needed.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    completion_probabilities: Vec<Place>,
    timings: Option<Timings>,
}

#[derive(Debug, Deserialize)]
struct Place {
    #[serde(default)]
    top_logprobs: Vec<Likely>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Likely {
    id: i32,
    /// `null` where it is no number.
    logprob: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Timings {
    prompt_n: Option<u64>,
}

/// Reads, and writes what was asked for.
///
/// # Errors
/// How the reading ends when it cannot be had.
pub(super) fn read(
    server: &Server,
    tokens: &Tokens,
    run: &mut Run<'_>,
    reading: &Reading,
    path: &Path,
) -> Result<(), Ending> {
    let cannot = |error: std::io::Error| {
        let cause = format!("cannot write what the server says to {}: {error}", path.display());
        Ending::new(Outcome::Rejected, cause)
    };
    let mut file = BufWriter::new(File::create(path).map_err(cannot)?);
    let letter = server.tokenize("a", false)?.first().copied();
    let mut width = None;
    for passage in 0..reading.passages {
        run.tell(Event::Phase(Phase::Measure))?;
        let mut asking = Asking { server, tokens, run: &mut *run, passage, letter };
        for (token, row) in asking.rows(reading)? {
            if width.is_none() {
                let head = Head { form: RowForm::Likeliest, width: count(row.len()), rows: reading.rows() };
                file.write_all(&head.to_bytes()).map_err(cannot)?;
            }
            if *width.get_or_insert(row.len()) != row.len() {
                let cause = "the server tells more likeliest tokens at one place than at another";
                return Err(Ending::new(Outcome::Rejected, cause));
            }
            file.write_all(&bytes(token, &row)).map_err(cannot)?;
        }
    }
    file.flush().map_err(cannot)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn bytes(token: i32, row: &[Likely]) -> Vec<u8> {
    let mut bytes = token.to_le_bytes().to_vec();
    for likely in row {
        bytes.extend(likely.id.to_le_bytes());
        bytes.extend(likely.logprob.unwrap_or(f32::NAN).to_le_bytes());
    }
    bytes
}

/// One passage that is asked about.
struct Asking<'a, 'run> {
    server: &'a Server,
    tokens: &'a Tokens,
    run: &'a mut Run<'run>,
    passage: u32,
    /// A token that is a whole character. It is what the server is made to choose: of half of one it tells nothing yet, and what
    /// is likely is told as it was before the choice.
    letter: Option<i32>,
}

impl Asking<'_, '_> {
    /// Each kept token of the passage with what may follow it.
    fn rows(&mut self, reading: &Reading) -> Result<Vec<(i32, Vec<Likely>)>, Ending> {
        let single = reading.length - reading.steps.min(reading.length);
        let mut rows = Vec::new();
        for position in reading.positions.iter().copied().filter(|position| *position < single) {
            rows.push(self.row(position, false)?);
        }
        if reading.steps > 0 {
            self.ask(single, true, 0)?;
        }
        for position in single..reading.length {
            let kept = reading.positions.contains(&position);
            let told = self.ask(position + 1, true, if kept { KEPT } else { 0 })?;
            let computed = told.timings.as_ref().and_then(|timings| timings.prompt_n);
            if let Some(more) = computed.filter(|computed| *computed != 1) {
                let cause = format!(
                    "the server does not read a single token: it computed {more} of them, because its cache cannot keep what \
                     it has read with this model or these settings"
                );
                return Err(Ending::new(Outcome::Rejected, cause));
            }
            if kept {
                rows.push(self.named(position, told)?);
            }
        }
        Ok(rows)
    }

    fn row(&mut self, position: u32, keeps: bool) -> Result<(i32, Vec<Likely>), Ending> {
        let told = self.ask(position + 1, keeps, KEPT)?;
        self.named(position, told)
    }

    fn named(&self, position: u32, told: Told) -> Result<(i32, Vec<Likely>), Ending> {
        let likeliest = told.completion_probabilities.into_iter().next().map(|place| place.top_logprobs);
        match likeliest.filter(|likeliest| !likeliest.is_empty()) {
            Some(likeliest) => Ok((self.tokens.at(self.passage, u64::from(position)), likeliest)),
            None => {
                let cause = "this llama-server does not tell the likeliest tokens by their numbers: use a newer build";
                Err(Ending::new(Outcome::Rejected, cause))
            }
        }
    }

    /// Asks about the first tokens of the passage.
    fn ask(&mut self, length: u32, keeps: bool, likeliest: u32) -> Result<Told, Ending> {
        let started = Instant::now();
        let limit = self.run.job.deadlines.repetition;
        let prompt: Vec<i32> =
            (0..u64::from(length)).map(|place| self.tokens.at(self.passage, place)).collect();
        let body = json!({
            "prompt": prompt,
            "n_predict": u32::from(likeliest > 0),
            "n_probs": likeliest,
            "post_sampling_probs": false,
            "temperature": 0.0,
            "logit_bias": self.letter.map(|letter| (letter, CERTAIN)).into_iter().collect::<Vec<_>>(),
            "cache_prompt": keeps,
            "id_slot": 0,
            "stream": false,
        });
        let address = self.server.address;
        let answer =
            http::exchange(address, "/completion", Some(&body.to_string()), Duration::from_secs_f64(limit));
        self.run.tell(Event::Alive)?;
        self.run.check_time(started, limit, "what the server says did not come")?;
        let answer = answer.map_err(|error| {
            Ending::new(Outcome::Crashed, format!("the server does not answer any more: {error}"))
        })?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        serde_json::from_str(&answer.body).map_err(|error| {
            Ending::new(Outcome::Crashed, format!("the server's answer is no completion: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeliest_tokens_are_read_and_what_is_no_number_stays_none() {
        let told: Told = serde_json::from_str(
            r#"{"content":"x","completion_probabilities":[{"id":3,"logprob":-0.25,"top_logprobs":[
                {"id":3,"token":"x","bytes":[120],"logprob":-0.25},{"id":7,"token":"y","bytes":[121],"logprob":null}]}],
                "timings":{"prompt_n":1,"prompt_ms":2.5}}"#,
        )
        .unwrap();
        let row = &told.completion_probabilities[0].top_logprobs;
        assert_eq!(told.timings.unwrap().prompt_n, Some(1));
        let bytes = bytes(5, row);
        assert_eq!(bytes.len() as u64, Head { form: RowForm::Likeliest, width: 2, rows: 1 }.row_bytes());
        assert_eq!(bytes[..12], [5i32.to_le_bytes(), 3i32.to_le_bytes(), (-0.25f32).to_le_bytes()].concat());
        assert!(f32::from_le_bytes(bytes[16..].try_into().unwrap()).is_nan());
        let older: Told =
            serde_json::from_str(r#"{"completion_probabilities":[{"probs":[{"tok_str":"x"}]}]}"#).unwrap();
        assert!(older.completion_probabilities[0].top_logprobs.is_empty());
    }
}
