//! What a logit store says of itself, and whether it is of what is wanted now.

use std::fmt;

use gguflab_types::evaluation::{Window, WindowRule, Windowing};
use serde::{Deserialize, Serialize};

use crate::limits;

/// Version of the stores that this program writes.
pub const STORE_FORMAT: u32 = 1;

/// What every logit store says of itself. What a format of others does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreHead {
    /// Version of the store, [`STORE_FORMAT`].
    pub format: u32,
    /// The model whose logits they are.
    pub model: Option<StoredModel>,
    /// Hash of the model's tokenizer.
    pub tokenizer: Option<String>,
    /// Hash of the text.
    pub text: Option<String>,
    /// How the text was cut and what of it is scored.
    pub windowing: Windowing,
    /// The token that was put at the start of each window, where one was and it is known.
    pub start_token: Option<i32>,
    /// Tokens of the model's vocabulary.
    pub vocabulary: u32,
    /// How rows were sketched; `None` when whole rows are stored.
    pub sketch: Option<Sketching>,
    /// Build of the engine that made them.
    pub engine: Option<String>,
    /// Chunks that the whole text makes.
    pub text_chunks: u32,
    /// The number, within the text, of the first chunk that is stored.
    pub first_chunk: u32,
    /// The tokens of every stored chunk, as they were read, the start token included. Empty in the formats that do
    /// not keep them.
    pub tokens: Vec<Vec<i32>>,
}

/// The model of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredModel {
    /// Its name, for people.
    pub name: String,
    /// Hash of its content.
    pub fingerprint: String,
}

/// How rows are sketched: the likeliest tokens exactly, and some of the others drawn by their probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sketching {
    /// Likeliest tokens that are kept (K).
    pub head: u32,
    /// Tokens that are drawn from the others (S).
    pub tail: u32,
    /// Seed of the draws.
    pub seed: u64,
}

/// What a store has to be of to be used; `None` where it does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Fingerprint of the model.
    pub model: Option<String>,
    /// Hash of the tokenizer.
    pub tokenizer: Option<String>,
    /// Hash of the text.
    pub text: Option<String>,
    /// The windowing.
    pub windowing: Option<Windowing>,
    /// Tokens of the vocabulary.
    pub vocabulary: Option<u32>,
}

/// The first thing in which a store differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDifference {
    /// What differs, such as `tokenizer`.
    pub what: String,
    /// In the store.
    pub stored: String,
    /// Now.
    pub wanted: String,
    /// What to do.
    pub advice: &'static str,
}

impl fmt::Display for StoreDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreDifference { what, stored, wanted, advice } = self;
        write!(formatter, "{what}: there {stored}, here {wanted}; {advice}")
    }
}

const OTHER_TOKENIZER: &str = "a model is only compared with a reference of the same tokenizer: record the reference of this model's family";
const OTHER_TEXT: &str = "give the text that was recorded, or record this one";
const OTHER_WINDOWING: &str = "ask for the windowing that was recorded, or record with this one";
const OTHER_MODEL: &str = "give the store of this reference, or record it";
const OTHER_RECORDING: &str = "remove it, or record into another file";

impl StoreHead {
    /// The first thing in which the store differs from what is wanted. What the store does not know of itself is
    /// passed over; its tokens still tell ([`StoreHead::token_difference`]).
    #[must_use]
    pub fn difference(&self, wanted: &Wanted) -> Option<StoreDifference> {
        let vocabulary = wanted.vocabulary.filter(|size| *size != self.vocabulary).map(|size| {
            different("vocabulary size", self.vocabulary.to_string(), size.to_string(), OTHER_TOKENIZER)
        });
        let text = |what, stored: Option<&String>, wanted: &Option<String>, advice| match (stored, wanted) {
            (Some(stored), Some(wanted)) if stored != wanted => {
                Some(different(what, stored.clone(), wanted.clone(), advice))
            }
            _ => None,
        };
        let windowing = wanted.windowing.as_ref().filter(|windowing| **windowing != self.windowing);
        let fingerprint = self.model.as_ref().map(|model| &model.fingerprint);
        vocabulary
            .or_else(|| text("tokenizer", self.tokenizer.as_ref(), &wanted.tokenizer, OTHER_TOKENIZER))
            .or_else(|| text("text", self.text.as_ref(), &wanted.text, OTHER_TEXT))
            .or_else(|| {
                let wanted = said(windowing?);
                Some(different("windowing", said(&self.windowing), wanted, OTHER_WINDOWING))
            })
            .or_else(|| text("model", fingerprint, &wanted.model, OTHER_MODEL))
    }

    /// The first token in which a stored chunk differs from the same window of the text as it is read now. `None`
    /// also where the store keeps no tokens. A file of `llama-perplexity` keeps the text's own first token of each
    /// chunk, which is not compared.
    #[must_use]
    pub fn token_difference(&self, chunk: u32, tokens: &[i32]) -> Option<StoreDifference> {
        let stored = self.stored_tokens(chunk)?;
        let skipped = usize::from(self.hides_start());
        if stored.len() == tokens.len() && stored.get(skipped..) == tokens.get(skipped..) {
            return None;
        }
        let pairs = stored.iter().zip(tokens).enumerate();
        let at = pairs.take_while(|(index, (one, other))| *index < skipped || one == other).count();
        let token = |tokens: &[i32]| {
            tokens
                .get(at)
                .map_or_else(|| format!("no token after {}", tokens.len()), |token| format!("token {token}"))
        };
        let what = format!("text or tokenizer (chunk {chunk}, position {at})");
        Some(different(what, token(stored), token(tokens), OTHER_TEXT))
    }

    /// The first thing in which two recordings differ, so that one cannot go on with the other.
    #[must_use]
    pub(super) fn recording_difference(&self, wanted: &StoreHead) -> Option<StoreDifference> {
        let mut difference = self.difference(&wanted.wanted()).or_else(|| {
            let rows = [
                ("sketch", said_sketch(self.sketch.as_ref()), said_sketch(wanted.sketch.as_ref())),
                ("engine build", said_option(self.engine.as_ref()), said_option(wanted.engine.as_ref())),
                ("range of chunks", self.range(), wanted.range()),
            ];
            let (what, stored, wanted) = rows.into_iter().find(|(_, stored, wanted)| stored != wanted)?;
            Some(different(what, stored, wanted, OTHER_RECORDING))
        });
        if difference.is_none() {
            let mut chunks = wanted.chunks().zip(&wanted.tokens);
            difference = chunks.find_map(|(chunk, tokens)| self.token_difference(chunk, tokens));
        }
        if difference.is_none() && self != wanted {
            let stored = format!("version {}", self.format);
            difference =
                Some(different("head", stored, format!("version {}", wanted.format), OTHER_RECORDING));
        }
        difference.map(|difference| StoreDifference { advice: OTHER_RECORDING, ..difference })
    }

    /// Numbers, within the text, of the chunks that are stored.
    #[must_use]
    pub fn chunks(&self) -> std::ops::Range<u32> {
        let count = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        self.first_chunk..self.first_chunk.saturating_add(count)
    }

    /// A stored chunk: its tokens and which of its positions are scored. `None` where it is not stored. `start` is
    /// the token that the model is given at the start of each window, where it is given one; a file of
    /// `llama-perplexity` does not keep it.
    #[must_use]
    pub fn window(&self, chunk: u32, start: Option<i32>) -> Option<Window> {
        let mut tokens = self.stored_tokens(chunk)?.to_vec();
        if let (true, Some(start), Some(first)) = (self.hides_start(), start, tokens.first_mut()) {
            *first = start;
        }
        Some(Window { tokens, first: self.windowing.first_scored() })
    }

    /// Scored positions of a stored chunk; 0 where it is not stored.
    #[must_use]
    pub fn scored_rows(&self, chunk: u32) -> usize {
        let tokens = self.stored_tokens(chunk).map_or(0, <[i32]>::len);
        tokens.saturating_sub(1).saturating_sub(self.windowing.first_scored() as usize)
    }

    /// What a store with this head is wanted to be of.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            model: self.model.as_ref().map(|model| model.fingerprint.clone()),
            tokenizer: self.tokenizer.clone(),
            text: self.text.clone(),
            windowing: Some(self.windowing.clone()),
            vocabulary: Some(self.vocabulary),
        }
    }

    /// What is wrong with the counts and tokens, in words. Whoever passes this is safe to compute with.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.format != STORE_FORMAT {
            let (stored, known) = (self.format, STORE_FORMAT);
            return Err(format!(
                "its format is version {stored}, this program reads version {known}: use that one"
            ));
        }
        within("the vocabulary", self.vocabulary, 1, limits::STORE_VOCABULARY)?;
        within("the context", self.windowing.context, 2, limits::STORE_CONTEXT)?;
        if let Some(sketch) = &self.sketch {
            within("a row's likeliest tokens", sketch.head, 1, limits::SKETCH_ENTRIES)?;
            within("a row's drawn tokens", sketch.tail, 0, limits::SKETCH_ENTRIES)?;
        }
        let chunks = self.chunks();
        if self.tokens.len() != chunks.len() || chunks.end > self.text_chunks {
            let (range, all) = (self.range(), self.text_chunks);
            return Err(format!("its chunks {range} are more than the {all} of the text; record it again"));
        }
        chunks.zip(&self.tokens).try_for_each(|(chunk, tokens)| self.check_tokens(chunk, tokens))
    }

    fn check_tokens(&self, chunk: u32, tokens: &[i32]) -> Result<(), String> {
        let (count, context) = (tokens.len(), self.windowing.context as usize);
        if count > context || self.scored_rows(chunk) == 0 {
            let said = said(&self.windowing);
            return Err(format!(
                "chunk {chunk} has {count} tokens, which {said} does not make; record it again"
            ));
        }
        let is_known = |token: i32| u32::try_from(token).is_ok_and(|token| token < self.vocabulary);
        match tokens.iter().find(|token| !is_known(**token)) {
            Some(token) => Err(format!(
                "chunk {chunk} has the token {token}, and the vocabulary has only {}; record it again",
                self.vocabulary
            )),
            None => Ok(()),
        }
    }

    fn stored_tokens(&self, chunk: u32) -> Option<&[i32]> {
        self.tokens.get(chunk.checked_sub(self.first_chunk)? as usize).map(Vec::as_slice)
    }

    /// Whether the first token of each chunk may be the text's where the model was given its start token.
    fn hides_start(&self) -> bool {
        self.model.is_none() && self.windowing.rule == WindowRule::LlamaPerplexity
    }

    fn range(&self) -> String {
        let chunks = self.chunks();
        format!("{}..{}", chunks.start, chunks.end)
    }
}

fn different(
    what: impl Into<String>,
    stored: String,
    wanted: String,
    advice: &'static str,
) -> StoreDifference {
    StoreDifference { what: what.into(), stored, wanted, advice }
}

fn within(what: &str, value: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{what} of {value} is not between {least} and {most}; record it again"))
}

fn said(windowing: &Windowing) -> String {
    format!("{} with {} tokens", windowing.rule.name(), windowing.context)
}

fn said_sketch(sketch: Option<&Sketching>) -> String {
    let Some(Sketching { head, tail, seed }) = sketch else { return "none".to_owned() };
    format!("{head} likeliest and {tail} drawn tokens, seed {seed}")
}

fn said_option(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "unknown".to_owned())
}
