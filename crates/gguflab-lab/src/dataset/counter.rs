//! Tokens as a model counts them.

use super::CountTokens;
use crate::laboratory::Laboratory;
use gguflab_engine::{Control, Stop};
use gguflab_types::{Configuration, Deadlines, Protocol};

/// Counts by the tokenizer of a model, in the engine that runs it.
pub struct EngineCounter {
    laboratory: Laboratory,
    stop: Stop,
}

impl EngineCounter {
    /// Of the model of a laboratory.
    #[must_use]
    pub fn new(laboratory: Laboratory, stop: Stop) -> EngineCounter {
        EngineCounter { laboratory, stop }
    }
}

impl CountTokens for EngineCounter {
    fn name(&self) -> String {
        let model = &self.laboratory.subject.model;
        format!("the tokenizer of {} ({})", model.file, model.tokenizer)
    }

    fn is_estimate(&self) -> bool {
        false
    }

    fn count(&mut self, texts: &[&str]) -> Result<Vec<u64>, String> {
        let job = self.laboratory.job(&Configuration::new(), &Protocol::default(), Deadlines::default());
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_string()).collect();
        let engine = &mut self.laboratory.engine;
        let counted = engine.count_tokens(&job, &texts, &self.stop, &mut |_| Control::Continue);
        counted.map_err(|ending| format!("{}: {}", ending.outcome, ending.cause))
    }
}
