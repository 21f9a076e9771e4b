//! The tokens that a request is run with.

use gguflab_native::{Model, NativeError};
use gguflab_types::{PromptKind, Protocol};

/// English prose, dialogue and code written for this project. It is part of the protocol: changing it changes
/// what is measured.
const TEXT: &str = include_str!("prompt.txt");

/// An endless supply of tokens for one model and protocol.
pub(crate) struct Tokens {
    kind: PromptKind,
    /// The protocol's text; empty for the text that comes with the program.
    source: String,
    text: Vec<i32>,
    start: Option<i32>,
    vocabulary: u64,
    seed: u64,
}

impl Tokens {
    pub(crate) fn new(model: &Model, protocol: &Protocol) -> Result<Tokens, NativeError> {
        let text = if protocol.text.is_empty() { TEXT } else { &protocol.text };
        let text = match protocol.prompt {
            PromptKind::Text => model.tokenize(text)?,
            PromptKind::Random => Vec::new(),
        };
        if protocol.prompt == PromptKind::Text && text.is_empty() {
            return Err(NativeError::Rejected("the prompt text has no tokens".to_string()));
        }
        let vocabulary = u64::from(model.vocabulary_size()).max(1);
        let (kind, start, seed) = (protocol.prompt, model.start_token(), protocol.seed);
        Ok(Tokens { kind, source: protocol.text.clone(), text, start, vocabulary, seed })
    }

    /// Whether they are those of this protocol, so that the text need not be read again.
    pub(crate) fn are_of(&self, protocol: &Protocol) -> bool {
        (self.kind, &self.source, self.seed) == (protocol.prompt, &protocol.text, protocol.seed)
    }

    /// The token at a position of a sequence. Sequences read the text from different places, so that requests
    /// that run at once are not the same; the text starts over when it ends.
    pub(crate) fn at(&self, sequence: u32, position: u64) -> i32 {
        if position == 0
            && let Some(start) = self.start
        {
            return start;
        }
        let place = position + u64::from(sequence) * 977;
        match self.kind {
            PromptKind::Text => self.text[usize::try_from(place % self.text.len() as u64).unwrap_or(0)],
            PromptKind::Random => {
                let random = mix(self.seed ^ mix(place ^ (u64::from(sequence) << 40)));
                i32::try_from(random % self.vocabulary).unwrap_or(0)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one random number for each input.
fn mix(input: u64) -> u64 {
    let mut state = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
