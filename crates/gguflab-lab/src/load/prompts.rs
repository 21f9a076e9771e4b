//! Prompts of a load that come from a dataset, each as long as it is.

use super::{Endpoint, Told};
use crate::dataset::{CountTokens, Dataset, DatasetError};
use gguflab_data::sums;
use gguflab_engine::{EngineError, Stop};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Most prompts of a load, and most bytes of them: what a client that measures may hold in memory.
const MOST_PROMPTS: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;
/// Bytes of text that are counted at once.
const AT_ONCE: usize = 1 << 20;
/// Tokens that a tokenizer may put around a text.
const AROUND: u64 = 8;

/// The prompts, in the order of the dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnPrompts {
    /// Their texts.
    pub texts: Vec<String>,
    /// Where they come from.
    pub origin: Origin,
}

/// Where prompts come from, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The dataset, as it was named.
    pub dataset: String,
    /// Part of it, as it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Where the text is in its records.
    pub field: String,
    /// Records that were read.
    pub records: u64,
    /// Those without a text, or with nothing but white space.
    pub empty: u64,
    /// Those that are longer than a request may be.
    pub too_long: u64,
    /// Tokens that a prompt may have; `None` where nobody could tell or count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Prompts that are left.
    pub prompts: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// SHA-256 of the SHA-256 sums of the prompts in their order, each in hexadecimal and with a line end behind it.
    pub sha256: String,
}

impl OwnPrompts {
    /// The texts of a dataset.
    ///
    /// # Errors
    /// [`DatasetError`] when it cannot be read, has no text, or more than a client should hold in memory.
    pub fn of(dataset: &Dataset) -> Result<OwnPrompts, DatasetError> {
        let request = dataset.request();
        let mut origin = Origin {
            dataset: request.name.clone(),
            split: request.split.as_ref().map(ToString::to_string),
            field: dataset.field().path.to_string(),
            ..Origin::default()
        };
        let (mut texts, mut bytes) = (Vec::new(), 0);
        for record in dataset.records() {
            origin.records += 1;
            match record?.text.filter(|text| !text.trim().is_empty()) {
                None => origin.empty += 1,
                Some(text) => {
                    bytes += text.len();
                    texts.push(text);
                }
            }
            if texts.len() > MOST_PROMPTS || bytes > MOST_BYTES {
                return Err(DatasetError::Request(format!(
                    "{} has more than {MOST_PROMPTS} prompts or {} MiB of them: take a part of it, such as \
                     --split '[:10000]'",
                    origin.dataset,
                    MOST_BYTES >> 20
                )));
            }
        }
        OwnPrompts { texts, origin }.summed()
    }

    /// Without those that a server has no room for. Of one that does not tell its context, or has no tokenizer, none is left
    /// out: it refuses what it cannot take, and that is counted. `longest` is the most tokens that a prompt may have. Counting
    /// ends when it is stopped; then all that were not counted are kept, since nothing will be sent.
    ///
    /// # Errors
    /// [`DatasetError`] when none is left, or the server does not count what it is asked to.
    pub fn fitting_server(
        self,
        endpoint: &Endpoint,
        told: &Told,
        generate: u32,
        longest: Option<u32>,
        stop: &Stop,
    ) -> Result<OwnPrompts, DatasetError> {
        let overhead = if told.is_llama_cpp { endpoint.overhead() } else { None };
        let Some(overhead) = overhead else {
            return match longest {
                None => Ok(self),
                Some(_) => Err(DatasetError::Request(format!(
                    "--longest-prompt: the server at {} has no tokenizer that could count; leave it out",
                    endpoint.host
                ))),
            };
        };
        let Some(limit) = limit(told.context, overhead, generate, longest) else { return Ok(self) };
        // No token is shorter than a byte, but for those that a tokenizer puts around: most prompts need not be counted.
        let count = |text: &String| {
            match text.len() as u64 + AROUND <= limit || stop.is_set() {
            true => Ok(None),
            false => endpoint.tokenize(text, false).map(|tokens| Some(tokens.len() as u64)).ok_or_else(|| {
                DatasetError::Request(format!(
                    "the server at {} stopped counting the tokens of prompts: is it overloaded? Try again, or take shorter prompts",
                    endpoint.host
                ))
            }),
        }
        };
        let lengths: Vec<Option<u64>> = self.texts.iter().map(count).collect::<Result<_, _>>()?;
        self.keep(&lengths, limit)
    }

    /// Without those that are too long for a context of `context` tokens together with `generate` more, and the tokens that
    /// the longest one of the others needs. `lengths` are the tokens of each prompt.
    ///
    /// # Errors
    /// [`DatasetError`] when none is left.
    pub fn fitting_context(
        self,
        lengths: &[u64],
        context: Option<u64>,
        generate: u32,
        longest: Option<u32>,
    ) -> Result<(OwnPrompts, u32), DatasetError> {
        let limit = limit(context, AROUND, generate, longest);
        let room = lengths.iter().copied().filter(|length| limit.is_none_or(|limit| *length <= limit)).max();
        let room = u32::try_from(room.unwrap_or(0) + AROUND).unwrap_or(u32::MAX);
        let Some(limit) = limit else { return Ok((self, room)) };
        let lengths: Vec<Option<u64>> = lengths.iter().copied().map(Some).collect();
        Ok((self.keep(&lengths, limit)?, room))
    }

    /// The tokens of each prompt.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub fn lengths(&self, counter: &mut dyn CountTokens) -> Result<Vec<u64>, EngineError> {
        let mut lengths = Vec::with_capacity(self.texts.len());
        let mut rest = self.texts.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let within = rest.iter().take_while(|text| {
                let takes = bytes < AT_ONCE;
                bytes += text.len();
                takes
            });
            let some: Vec<&str> = within.map(String::as_str).collect();
            rest = &rest[some.len()..];
            lengths.extend(counter.count(&some).map_err(|problem| EngineError::Unusable {
                program: counter.name(),
                problem: format!("does not count the tokens of the prompts: {problem}"),
            })?);
        }
        Ok(lengths)
    }

    /// Those of at most `limit` tokens; one whose length nobody knows stays.
    fn keep(mut self, lengths: &[Option<u64>], limit: u64) -> Result<OwnPrompts, DatasetError> {
        let before = self.texts.len();
        let mut fits = lengths.iter().map(|length| length.is_none_or(|length| length <= limit));
        self.texts.retain(|_| fits.next().unwrap_or(true));
        self.origin.too_long += (before - self.texts.len()) as u64;
        self.origin.limit = Some(limit);
        self.summed()
    }

    /// Counts what there is.
    fn summed(mut self) -> Result<OwnPrompts, DatasetError> {
        let Origin { records, empty, too_long, .. } = self.origin;
        if self.texts.is_empty() {
            let longer = match (too_long, self.origin.limit) {
                (1.., Some(limit)) => format!(", {too_long} longer than {limit} tokens"),
                _ => String::new(),
            };
            let reason = format!(
                "none of its {records} records can be a prompt ({empty} without a text at `{}`{longer})",
                self.origin.field
            );
            return Err(DatasetError::Empty { name: self.origin.dataset, reason });
        }
        let sums: Vec<String> = self.texts.iter().map(|text| sums::of_bytes(text.as_bytes())).collect();
        self.origin.prompts = self.texts.len() as u64;
        self.origin.distinct = sums.iter().collect::<HashSet<_>>().len() as u64;
        let lines: String = sums.iter().map(|sum| format!("{sum}\n")).collect();
        self.origin.sha256 = sums::of_bytes(lines.as_bytes());
        Ok(self)
    }
}

/// Tokens that a prompt may have; `None` where nothing bounds them.
fn limit(context: Option<u64>, overhead: u64, generate: u32, longest: Option<u32>) -> Option<u64> {
    let room = context.map(|context| context.saturating_sub(overhead + u64::from(generate)));
    match (room, longest.map(u64::from)) {
        (Some(room), Some(longest)) => Some(room.min(longest)),
        (room, longest) => room.or(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetRequest, TokenEstimate};
    use gguflab_data::Places;

    fn prompts(lines: &str) -> Result<OwnPrompts, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.jsonl"), lines).unwrap();
        let places = Places { current: folder.path().to_path_buf(), ..Places::system() };
        let request = DatasetRequest { name: "p.jsonl".into(), ..DatasetRequest::default() };
        OwnPrompts::of(&Dataset::open(&request, &places, &mut |_| ())?)
    }

    const LINES: &str = "{\"text\":\"one two\"}\n{\"text\":\" \"}\n{\"text\":\"three\"}\n{\"other\":1}\n{\"text\":\"one two\"}\n";

    #[test]
    fn records_become_prompts_and_what_is_left_out_is_counted() {
        let own = prompts(LINES).unwrap();
        assert_eq!(own.texts, ["one two", "three", "one two"]);
        let origin = &own.origin;
        assert_eq!((origin.records, origin.empty, origin.prompts, origin.distinct), (5, 2, 3, 2));
        assert_eq!((origin.field.as_str(), origin.limit, origin.too_long), ("text", None, 0));
        let other = prompts("{\"text\":\"one two\"}\n{\"text\":\"three\"}\n").unwrap();
        assert_ne!(own.origin.sha256, other.origin.sha256);
        let error = prompts("{\"text\":\" \"}\n").unwrap_err().to_string();
        assert!(
            error.contains("none of its 1 records can be a prompt (1 without a text at `text`)"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_longest_of_the_rest_is_known() {
        let own = prompts(LINES).unwrap();
        let lengths = own.lengths(&mut TokenEstimate { bytes: 1.0 }).unwrap();
        assert_eq!(lengths, [7, 5, 7]);
        for (context, longest, kept, room) in [
            (None, None, 3, 7 + AROUND),
            (Some(100), None, 3, 7 + AROUND),
            (Some(AROUND + 10 + 6), None, 1, 5 + AROUND),
            (Some(100), Some(5), 1, 5 + AROUND),
        ] {
            let (fitting, found) = own.clone().fitting_context(&lengths, context, 10, longest).unwrap();
            assert_eq!((fitting.texts.len(), u64::from(found)), (kept, room), "{context:?} {longest:?}");
            assert_eq!(fitting.origin.too_long, 3 - kept as u64);
        }
        let error = own.fitting_context(&lengths, Some(20), 10, None).unwrap_err().to_string();
        assert!(error.contains("3 longer than 2 tokens"), "{error}");
    }

    #[test]
    fn long_lists_are_counted_piece_by_piece() {
        let texts = vec!["x".repeat(AT_ONCE / 2 + 1); 5];
        let own = OwnPrompts { texts, origin: Origin::default() };
        let lengths = own.lengths(&mut TokenEstimate { bytes: 1.0 }).unwrap();
        assert_eq!(lengths, [AT_ONCE as u64 / 2 + 1; 5]);
    }
}
