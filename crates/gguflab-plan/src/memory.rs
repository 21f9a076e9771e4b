//! Bytes that a model needs, from its header: weights, KV cache and compute buffers.
//!
//! Cache sizes follow llama.cpp b11434 (`llama-kv-cache`): cells are padded to 256, and a layer with a sliding
//! window keeps, for each sequence, the window plus one physical batch. The compute buffer is an upper estimate,
//! not llama.cpp's own number: the logits of one physical batch plus the widest intermediate results of one
//! layer, in f32 (`docs/design/memory.md` compares it with the engine's log).

use gguflab_format::{ModelFacts, TensorType};
use gguflab_types::Configuration;

/// Tokens that llama.cpp rounds a cache up to.
const PADDING: u64 = 256;
/// llama.cpp's default physical batch.
const DEFAULT_UBATCH: u64 = 512;
/// Bytes of the engine itself: code, buffers that do not depend on the model, allocator overhead.
const ENGINE_BYTES: u64 = 48 << 20;
/// Intermediate results of one layer that are alive at once, as multiples of the widest one.
const LIVE_RESULTS: u64 = 4;

/// Types of the K and the V cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheType {
    /// Keys.
    pub key: TensorType,
    /// Values.
    pub value: TensorType,
}

impl Default for CacheType {
    /// llama.cpp's default: f16.
    fn default() -> CacheType {
        CacheType { key: TensorType::F16, value: TensorType::F16 }
    }
}

impl CacheType {
    /// The types that a configuration asks for.
    #[must_use]
    pub fn of(configuration: &Configuration) -> CacheType {
        let find = |knob: &str| {
            TensorType::from_name(&configuration.get(knob).to_string().to_uppercase())
                .unwrap_or(TensorType::F16)
        };
        CacheType { key: find("cache-type-k"), value: find("cache-type-v") }
    }
}

/// What a configuration needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Weights.
    pub weights: u64,
    /// KV cache.
    pub cache: u64,
    /// Compute buffers and the engine itself; an upper estimate.
    pub compute: u64,
}

impl Need {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.compute)
    }
}

/// Bytes of the KV cache for this many sequences of this many tokens each; `None` if the header does not say
/// enough. `ubatch` is the physical batch in tokens.
#[must_use]
pub fn cache_bytes(
    facts: &ModelFacts,
    tokens: u64,
    sequences: u64,
    ubatch: u64,
    types: CacheType,
) -> Option<u64> {
    let sequences = sequences.max(1);
    let all = pad(tokens)?.checked_mul(sequences)?;
    let mut bytes = 0u64;
    // A layer has at least one tensor, so a count beyond that is not to be believed (nor to be looped over).
    for layer in 0..facts.block_count.filter(|layers| *layers <= facts.tensors)? {
        let (keys, values) = facts.cache_elements(layer)?;
        let window = facts.sliding_window.as_ref().filter(|window| window.slides(layer));
        let cells = match window {
            Some(window) => {
                let one = pad(window.tokens.checked_add(ubatch)?)?.min(pad(tokens)?);
                one.checked_mul(sequences)?
            }
            None => all,
        };
        let of = |elements: u64, kind: TensorType| kind.bytes_of(elements.checked_mul(cells)?);
        bytes = bytes.checked_add(of(keys, types.key)?)?.checked_add(of(values, types.value)?)?;
    }
    Some(bytes)
}

/// What a configuration needs for this many sequences of this many tokens; `None` if the header does not say.
#[must_use]
pub fn need(facts: &ModelFacts, configuration: &Configuration, tokens: u64, sequences: u64) -> Option<Need> {
    let ubatch = physical_batch(configuration, tokens, sequences)?;
    let cache = cache_bytes(facts, tokens, sequences, ubatch, CacheType::of(configuration))?;
    Some(Need { weights: facts.tensor_bytes, cache, compute: compute_bytes(facts, ubatch) })
}

/// Tokens that are computed at once: llama.cpp cuts the physical batch to the logical one and to the context.
pub(crate) fn physical_batch(configuration: &Configuration, tokens: u64, sequences: u64) -> Option<u64> {
    let size = |knob: &str| configuration.integer(knob).and_then(|size| u64::try_from(size).ok());
    let batch = size("batch").unwrap_or(u64::MAX);
    let context = pad(tokens)?.saturating_mul(sequences.max(1));
    Some(size("ubatch").unwrap_or(DEFAULT_UBATCH).min(batch).min(context))
}

/// Bytes of the logits that one call of the engine hands back: a row of f32 over the vocabulary for each of so many
/// tokens (`llama_context::output_reserve` of b11434). 0 when the header does not tell the vocabulary.
#[must_use]
pub fn logits_bytes(facts: &ModelFacts, tokens: u64) -> u64 {
    facts.vocabulary.unwrap_or(0).saturating_mul(tokens).saturating_mul(4)
}

/// The longest context of one sequence that fits into this many bytes with default settings, at most what the
/// model was trained for; 0 when not even the weights fit, `None` if the header does not say enough.
#[must_use]
pub fn largest_context(facts: &ModelFacts, usable: u64) -> Option<u64> {
    let default = Configuration::new();
    let fits = |tokens: u64| need(facts, &default, tokens, 1).map(|need| need.total() <= usable);
    let trained = facts.context_length?;
    if fits(trained)? {
        return Some(trained);
    }
    let (mut low, mut high) = (0, trained.div_ceil(PADDING));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits(middle * PADDING)? { low = middle } else { high = middle }
    }
    Some(low * PADDING)
}

/// Upper estimate of the compute buffer and of the engine itself.
pub(crate) fn compute_bytes(facts: &ModelFacts, ubatch: u64) -> u64 {
    let widest = [
        facts.embedding_length.unwrap_or(0),
        facts.feed_forward_length.as_ref().map_or(0, |width| width.largest()),
        facts.heads.as_ref().map_or(0, |heads| heads.largest()).saturating_mul(facts.key_length.unwrap_or(0)),
    ];
    let widest = widest.into_iter().max().unwrap_or(0);
    let row = facts.vocabulary.unwrap_or(0).saturating_add(widest.saturating_mul(LIVE_RESULTS));
    row.saturating_mul(ubatch).saturating_mul(4).saturating_add(ENGINE_BYTES)
}

fn pad(tokens: u64) -> Option<u64> {
    tokens.max(1).checked_next_multiple_of(PADDING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_format::{Model, TinyArchitecture, TinyModel, write_tiny};

    fn tiny() -> ModelFacts {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        write_tiny(&path, &TinyModel::new(TinyArchitecture::Llama)).unwrap();
        ModelFacts::read(&Model::open(&path).unwrap())
    }

    #[test]
    fn the_cache_grows_with_tokens_sequences_and_type() {
        let facts = tiny();
        // 2 layers, 2 KV heads of 64, keys and values, f16.
        let cell = 2 * 2 * 64 * 2 * 2;
        let bytes = |tokens, sequences, types| cache_bytes(&facts, tokens, sequences, 512, types).unwrap();
        assert_eq!(bytes(1000, 1, CacheType::default()), 1024 * cell);
        assert_eq!(bytes(256, 4, CacheType::default()), 4 * 256 * cell);
        let half = CacheType { key: TensorType::Q8_0, value: TensorType::F16 };
        assert_eq!(bytes(256, 1, half), 256 * (cell / 2 + cell / 4 * 34 / 32));
        assert_eq!(cache_bytes(&facts, u64::MAX, 1, 512, CacheType::default()), None);
    }

    #[test]
    fn the_largest_context_fits_and_the_next_one_does_not() {
        let facts = tiny();
        let total = |tokens| need(&facts, &Configuration::new(), tokens, 1).unwrap().total();
        assert_eq!(largest_context(&facts, u64::MAX), Some(4096));
        let limit = total(2048);
        assert_eq!(largest_context(&facts, limit), Some(2048));
        assert_eq!(largest_context(&facts, limit - 1), Some(1792));
        assert_eq!(largest_context(&facts, 1), Some(0));
    }
}
