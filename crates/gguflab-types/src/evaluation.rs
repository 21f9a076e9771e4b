//! What an evaluation is made of: windows of a text, which of their positions are scored, and what is known of each.

use crate::configuration::Configuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a text is cut into windows and which positions of them are scored. Numbers of different windowings cannot be
/// compared, so every result states its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windowing {
    /// Its rules.
    pub rule: WindowRule,
    /// Tokens of a window; the context that models get.
    pub context: u32,
}

/// The rules by which windows are cut and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowRule {
    /// As llama.cpp's tool of that name: windows that do not overlap, the first token of each overwritten by the start
    /// token where the model adds one, only the second half scored, a last window that is not full dropped.
    LlamaPerplexity,
    /// Windows that do not overlap, the start token put before the text of each where the model adds one, every
    /// position scored, a last window that is not full kept as short as it is.
    EveryPosition,
}

impl WindowRule {
    /// All of them.
    pub const ALL: [WindowRule; 2] = [WindowRule::LlamaPerplexity, WindowRule::EveryPosition];

    /// Its name, as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WindowRule::LlamaPerplexity => "llama-perplexity",
            WindowRule::EveryPosition => "every-position",
        }
    }
}

/// One window: the tokens that are read, and which of them are scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The tokens that are read, the start token included.
    pub tokens: Vec<i32>,
    /// The first position whose prediction is scored. It and all after it but the last are.
    pub first: u32,
}

impl Window {
    /// Positions that are scored.
    #[must_use]
    pub fn scored(&self) -> std::ops::Range<usize> {
        self.first as usize..self.tokens.len().saturating_sub(1)
    }

    /// The token that follows a position: what its prediction is scored by.
    #[must_use]
    pub fn target(&self, position: usize) -> Option<i32> {
        self.tokens.get(position + 1).copied()
    }
}

impl Windowing {
    /// The first position of a window whose prediction is scored.
    #[must_use]
    pub fn first_scored(&self) -> u32 {
        match self.rule {
            WindowRule::LlamaPerplexity => self.context / 2,
            WindowRule::EveryPosition => 0,
        }
    }

    /// Windows that `tokens` tokens make (start tokens that a model adds not among them).
    #[must_use]
    pub fn count(&self, tokens: usize, start: Option<i32>) -> usize {
        let context = self.context as usize;
        match self.rule {
            WindowRule::LlamaPerplexity => tokens / context.max(1),
            WindowRule::EveryPosition => {
                let room = self.room(start);
                // A window of one token predicts nothing.
                let rest = tokens % room;
                tokens / room + usize::from(rest > usize::from(start.is_none()))
            }
        }
    }

    /// One of the windows of a text; `None` past the last.
    #[must_use]
    pub fn window(&self, tokens: &[i32], start: Option<i32>, index: usize) -> Option<Window> {
        if index >= self.count(tokens.len(), start) {
            return None;
        }
        match self.rule {
            WindowRule::LlamaPerplexity => {
                let context = self.context as usize;
                let mut window = tokens.get(index * context..(index + 1) * context)?.to_vec();
                if let (Some(start), Some(first)) = (start, window.first_mut()) {
                    *first = start;
                }
                Some(Window { tokens: window, first: self.first_scored() })
            }
            WindowRule::EveryPosition => {
                let room = self.room(start);
                let end = tokens.len().min((index + 1) * room);
                let text = tokens.get(index * room..end)?;
                let tokens = start.into_iter().chain(text.iter().copied()).collect();
                Some(Window { tokens, first: self.first_scored() })
            }
        }
    }

    /// Tokens of a text that are needed for one window.
    #[must_use]
    pub fn shortest(&self, start: Option<i32>) -> u32 {
        match self.rule {
            WindowRule::LlamaPerplexity => self.context,
            WindowRule::EveryPosition => 2 - u32::from(start.is_some()),
        }
    }

    /// Tokens of the text in a full window of [`WindowRule::EveryPosition`].
    fn room(&self, start: Option<i32>) -> usize {
        (self.context as usize).saturating_sub(usize::from(start.is_some())).max(1)
    }
}

/// What a model said of the scored positions of one window; the vectors have one entry for each, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenScores {
    /// −ln of the probability of the token that came, in nats; `None` where the logits are no numbers.
    pub nll: Vec<Option<f64>>,
    /// KL(reference ‖ this) in nats; `None` where either side's logits are no numbers, empty without a reference and
    /// where it is only bounded.
    pub divergence: Vec<Option<f64>>,
    /// Whether the likeliest token is the reference's; `None` where either side's logits are no numbers, empty without a
    /// reference.
    pub same_top: Vec<Option<bool>>,
    /// What the divergence is at least, in nats, where the reference is a sketch; else empty. Where the candidate is one
    /// too, it is all that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower_bound: Vec<Option<f64>>,
}

/// What a worker is asked to evaluate. It loads everything, cuts the texts into windows, and then scores the windows
/// that it is told to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// What the candidates are held against; without one only their own perplexity is found.
    pub reference: Option<Source>,
    /// What is evaluated.
    pub candidates: Vec<Source>,
    /// Files of UTF-8 text, in order; each is cut into windows for itself. A stored reference has its windows in
    /// itself, and then this is empty.
    pub texts: Vec<PathBuf>,
    /// How texts are cut and scored.
    pub windowing: Windowing,
    /// Where the rows of the reference are kept, if they are.
    pub recording: Option<RecordingOrder>,
}

/// Where logits come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A model that is run.
    Model {
        /// Its path.
        path: PathBuf,
        /// Settings of all knobs.
        configuration: Configuration,
    },
    /// A file of logits that were recorded.
    Store {
        /// Its path.
        path: PathBuf,
    },
}

/// What is kept of a reference, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingOrder {
    /// The file.
    pub path: PathBuf,
    /// Its form.
    pub form: StoreForm,
    /// Identity of the reference's model: its name and hash.
    pub model: [String; 2],
    /// Hash of the tokenizer.
    pub tokenizer: String,
    /// Hash of the texts.
    pub text: String,
    /// Seed of the draws.
    pub seed: u64,
    /// First and end of the windows that are recorded; `None`: all.
    pub chunks: Option<[u32; 2]>,
}

/// What a store of logits keeps of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreForm {
    /// The likeliest tokens and a sample of the others ([`SketchRow`]).
    Sketch {
        /// Likeliest tokens.
        head: u32,
        /// Draws from the others.
        tail: u32,
    },
    /// Every token with 16 bits, as llama-perplexity writes them.
    Llama,
    /// Every logit, as llama-gguf-optimize writes them.
    Hdf5 {
        /// Whether in 16 bits, else in 32.
        half: bool,
    },
}

/// How much of what a model said there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Every logit as the engine gave it.
    #[default]
    Whole,
    /// Every token, rounded to 16 bits.
    SixteenBits,
    /// A sketch of each row.
    Sketch,
}

/// What a worker says of an evaluation that it has opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Tokens of the vocabulary.
    pub vocabulary: u32,
    /// The token that starts a text, where the model adds one.
    pub start: Option<i32>,
    /// Of each text: its tokens and its windows. Windows are numbered through all texts.
    pub texts: Vec<TextSize>,
    /// First and end of the windows that the stored reference has; `None`: it is run.
    pub stored: Option<[u32; 2]>,
    /// Windows whose rows are in the recording already.
    pub recorded: Vec<u32>,
}

/// How long a text is for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSize {
    /// Tokens, without those that start windows.
    pub tokens: u64,
    /// Windows.
    pub windows: u32,
}

/// What came of one window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowScores {
    /// Its number.
    pub chunk: u32,
    /// First scored position.
    pub first: u32,
    /// The text of each of its tokens; a character that is cut between tokens is a replacement character.
    pub pieces: Vec<String>,
    /// Bytes of text of the token that came after each scored position.
    pub bytes: Vec<u32>,
    /// The reference's, where it was run or stored.
    pub reference: Option<TokenScores>,
    /// Of each candidate that was asked for, by its number.
    pub candidates: BTreeMap<u32, TokenScores>,
    /// Seconds in the engine.
    pub forward: f64,
    /// Seconds in scoring.
    pub scoring: f64,
    /// Peak resident bytes of the worker so far.
    pub peak_memory: u64,
}

/// What is kept of one row of a reference's logits: its likeliest tokens exactly, and a sample of the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SketchRow {
    /// The likeliest tokens, likeliest first.
    pub head: Vec<u32>,
    /// Their log-probabilities, in nats; as many as `head`.
    pub head_log_probability: Vec<f32>,
    /// Tokens that were drawn from the others with replacement, each with the chance that the reference gives it.
    pub tail: Vec<u32>,
    /// Their log-probabilities (of the whole distribution, not of the tail), in nats; as many as `tail`.
    pub tail_log_probability: Vec<f32>,
    /// Probability of all tokens outside of the head.
    pub tail_mass: f64,
    /// −ln of the probability of the token that came, in nats.
    pub nll: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(rule: WindowRule, context: u32, tokens: &[i32], start: Option<i32>) -> Vec<Window> {
        let windowing = Windowing { rule, context };
        (0..).map_while(|index| windowing.window(tokens, start, index)).collect()
    }

    #[test]
    fn llama_perplexity_overwrites_the_first_token_and_drops_the_tail() {
        let tokens: Vec<i32> = (10..21).collect();
        let made = windows(WindowRule::LlamaPerplexity, 4, &tokens, Some(1));
        assert_eq!(made.len(), 2);
        assert_eq!(made[1].tokens, [1, 15, 16, 17]);
        assert_eq!(made[1].scored(), 2..3);
        assert_eq!(made[1].target(2), Some(17));
        assert_eq!(windows(WindowRule::LlamaPerplexity, 4, &tokens, None)[1].tokens, [14, 15, 16, 17]);
    }

    #[test]
    fn every_position_loses_no_token() {
        let tokens: Vec<i32> = (10..17).collect();
        let made = windows(WindowRule::EveryPosition, 4, &tokens, Some(1));
        let texts: Vec<&[i32]> = made.iter().map(|window| window.tokens.as_slice()).collect();
        assert_eq!(texts, [&[1, 10, 11, 12][..], &[1, 13, 14, 15], &[1, 16]]);
        assert_eq!(made.iter().map(|window| window.scored().len()).sum::<usize>(), tokens.len());
        // Without a start token a single token left over predicts nothing and is predicted by nothing.
        assert_eq!(windows(WindowRule::EveryPosition, 3, &tokens, None).len(), 2);
        assert_eq!(windows(WindowRule::EveryPosition, 5, &tokens, None)[1].tokens, [15, 16]);
    }

    #[test]
    fn hostile_sizes_make_no_window() {
        for rule in WindowRule::ALL {
            assert!(windows(rule, 0, &[], Some(1)).is_empty());
            assert!(windows(rule, 0, &[], None).is_empty());
        }
    }
}
