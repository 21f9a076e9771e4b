//! The tokens that a request is run with: the same for every engine that takes tokens.

use crate::job::{PromptKind, Protocol};

/// English prose, dialogue and code written for this project. It is part of the protocol: changing it changes
/// what is measured.
pub const TEXT: &str = include_str!("prompt.txt");

/// An endless supply of tokens for one model and protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    kind: PromptKind,
    /// The protocol's text; empty for [`TEXT`].
    source: String,
    text: Vec<i32>,
    start: Option<i32>,
    vocabulary: u64,
    seed: u64,
}

impl Tokens {
    /// Tokens of `text`, as the model's tokenizer makes them of [`Tokens::text_of`] the protocol, without a start
    /// token; `start` is that of the model, if it has one. Random tokens need no text, but the size of the
    /// vocabulary.
    ///
    /// # Errors
    /// A fragment that says what is missing.
    pub fn new(
        protocol: &Protocol,
        text: Vec<i32>,
        start: Option<i32>,
        vocabulary: u64,
    ) -> Result<Tokens, String> {
        if protocol.prompt == PromptKind::Text && text.is_empty() {
            return Err("the prompt text has no tokens".to_string());
        }
        let (kind, source, seed) = (protocol.prompt, protocol.text.clone(), protocol.seed);
        Ok(Tokens { kind, source, text, start, vocabulary: vocabulary.max(1), seed })
    }

    /// The text that a protocol takes its prompts from; `None` when they are random tokens.
    #[must_use]
    pub fn text_of(protocol: &Protocol) -> Option<&str> {
        match protocol.prompt {
            PromptKind::Random => None,
            PromptKind::Text if protocol.text.is_empty() => Some(TEXT),
            PromptKind::Text => Some(&protocol.text),
        }
    }

    /// Whether they are those of this protocol, so that the text need not be read again.
    #[must_use]
    pub fn are_of(&self, protocol: &Protocol) -> bool {
        (self.kind, &self.source, self.seed) == (protocol.prompt, &protocol.text, protocol.seed)
    }

    /// The token at a position of a sequence. Sequences read the text from different places, so that requests
    /// that run at once are not the same; the text starts over when it ends.
    #[must_use]
    pub fn at(&self, sequence: u32, position: u64) -> i32 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_starts_over_and_sequences_differ() {
        let tokens = Tokens::new(&Protocol::default(), vec![5, 6, 7], Some(1), 100).unwrap();
        let first: Vec<i32> = (0..5).map(|position| tokens.at(0, position)).collect();
        assert_eq!(first, [1, 6, 7, 5, 6]);
        assert_eq!((tokens.at(1, 0), tokens.at(1, 1)), (1, 5));
        assert!(Tokens::new(&Protocol::default(), Vec::new(), None, 100).is_err());
    }

    #[test]
    fn random_tokens_follow_from_the_seed_and_stay_in_the_vocabulary() {
        let protocol = Protocol { prompt: PromptKind::Random, ..Protocol::default() };
        let tokens = Tokens::new(&protocol, Vec::new(), None, 100).unwrap();
        let drawn: Vec<i32> = (0..200).map(|position| tokens.at(0, position)).collect();
        assert!(drawn.iter().all(|token| (0..100).contains(token)));
        assert!(drawn.iter().any(|token| *token != drawn[0]));
        assert!(tokens.are_of(&protocol) && !tokens.are_of(&Protocol { seed: 1, ..protocol }));
    }
}
