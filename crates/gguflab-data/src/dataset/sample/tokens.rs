//! How many tokens a text has.

/// Counts tokens, as a model's tokenizer does or by an estimate. Models are loaded elsewhere; this is all that
/// sampling needs of one.
pub trait CountTokens {
    /// What counts, for reports and manifests: a tokenizer, or the rule of an estimate.
    fn name(&self) -> String;

    /// Whether the counts are estimates.
    fn is_estimate(&self) -> bool;

    /// Tokens of each text, without start and end tokens.
    ///
    /// # Errors
    /// Why they cannot be counted.
    fn count(&mut self, texts: &[&str]) -> Result<Vec<u64>, String>;
}

/// Takes every so many bytes for a token. Off by a factor of two for languages that a tokenizer does not know well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenEstimate {
    /// Bytes of a token.
    pub bytes: f64,
}

impl Default for TokenEstimate {
    /// 4 bytes: what tokenizers of 32,000 to 150,000 tokens reach in English prose, about.
    fn default() -> TokenEstimate {
        TokenEstimate { bytes: 4.0 }
    }
}

impl CountTokens for TokenEstimate {
    fn name(&self) -> String {
        format!("an estimate of {} bytes per token", self.bytes)
    }

    fn is_estimate(&self) -> bool {
        true
    }

    fn count(&mut self, texts: &[&str]) -> Result<Vec<u64>, String> {
        Ok(texts.iter().map(|text| (text.len() as f64 / self.bytes).ceil() as u64).collect())
    }
}
