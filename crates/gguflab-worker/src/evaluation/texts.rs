//! The texts of an evaluation as tokens, and the windows that they make.

use gguflab_data::logits::StoreHead;
use gguflab_native::{Model, NativeError};
use gguflab_types::evaluation::{Evaluation, TextSize, Window, WindowRule, Windowing};
use std::path::Path;

/// The windows of all texts.
pub(super) enum Texts {
    /// Cut from tokens.
    Tokens { tokens: Vec<Vec<i32>>, windowing: Windowing, start: Option<i32> },
    /// As a store has them.
    Stored { head: Box<StoreHead>, start: Option<i32> },
}

impl Texts {
    pub(super) fn read(model: &Model, evaluation: &Evaluation) -> Result<Texts, NativeError> {
        let start = model.start_token();
        let windowing = evaluation.windowing.clone();
        let tokens = evaluation
            .texts
            .iter()
            .map(|path| tokens(model, path, windowing.rule))
            .collect::<Result<_, _>>()?;
        Ok(Texts::Tokens { tokens, windowing, start })
    }

    /// The windows that a store was recorded with.
    pub(super) fn of_store(head: &StoreHead, start: Option<i32>) -> Texts {
        Texts::Stored { head: Box::new(head.clone()), start }
    }

    pub(super) fn sizes(&self) -> Vec<TextSize> {
        match self {
            Texts::Tokens { tokens, windowing, start } => {
                let size = |tokens: &Vec<i32>| TextSize {
                    tokens: tokens.len() as u64,
                    windows: windows(windowing, tokens, *start),
                };
                tokens.iter().map(size).collect()
            }
            Texts::Stored { head, .. } => {
                let tokens = head.tokens.iter().map(|tokens| tokens.len() as u64).sum();
                vec![TextSize { tokens, windows: head.text_chunks }]
            }
        }
    }

    /// The token that starts windows, where one does.
    pub(super) fn start(&self) -> Option<i32> {
        match self {
            Texts::Tokens { start, .. } | Texts::Stored { start, .. } => *start,
        }
    }

    /// Windows of all texts together.
    pub(super) fn count(&self) -> u32 {
        self.sizes().iter().map(|size| size.windows).sum()
    }

    /// A window by its number; windows are numbered through all texts.
    pub(super) fn window(&self, chunk: u32) -> Result<Window, NativeError> {
        let found = match self {
            Texts::Tokens { tokens, windowing, start } => {
                let mut index = chunk;
                let mut found = None;
                for tokens in tokens {
                    let there = windows(windowing, tokens, *start);
                    if index < there {
                        found = windowing.window(tokens, *start, index as usize);
                        break;
                    }
                    index -= there;
                }
                found
            }
            Texts::Stored { head, start } => head.window(chunk, *start),
        };
        found.ok_or_else(|| NativeError::Rejected(format!("no window {chunk}")))
    }
}

fn windows(windowing: &Windowing, tokens: &[i32], start: Option<i32>) -> u32 {
    u32::try_from(windowing.count(tokens.len(), start)).unwrap_or(u32::MAX)
}

fn tokens(model: &Model, path: &Path, rule: WindowRule) -> Result<Vec<i32>, NativeError> {
    let cannot = |problem: String| NativeError::Rejected(format!("the text {}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| cannot(format!("no UTF-8 from byte {} on", error.utf8_error().valid_up_to())))?;
    match rule {
        WindowRule::EveryPosition => model.tokenize(&text),
        // That tool leaves out one line end at the end of a file, and starts the whole text with the start token.
        WindowRule::LlamaPerplexity => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(model.start_token().into_iter().chain(model.tokenize(text)?).collect())
        }
    }
}
