//! Bytes that a configuration needs on the GPUs, all of them together.
//!
//! Layers are counted as llama.cpp b11434 does: from the last one, the output being one more; the experts of the first
//! `cpu-moe-layers` layers stay on the host; the cache of a layer lies where the layer lies. The compute buffer is the
//! estimate of [`crate::memory`], which what was measured corrects. Tensor overrides and the split between several
//! GPUs are not looked at yet: exact placement comes with its own issue.

use crate::memory::{self, CacheType};
use gguflab_format::{Model, ModelFacts};
use gguflab_types::Configuration;

/// Bytes of a model's weights by where llama.cpp can put them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerBytes {
    /// Of each block, without its experts.
    dense: Vec<u64>,
    /// Of each block's experts.
    experts: Vec<u64>,
    /// Of the output layer; the token embeddings where the two are one tensor.
    output: u64,
}

impl LayerBytes {
    /// Sorts the tensors of a model by their names.
    #[must_use]
    pub fn read(model: &Model, blocks: u64) -> LayerBytes {
        // A block has at least one tensor, so a count beyond that is not to be believed.
        let count = usize::try_from(blocks).unwrap_or(usize::MAX).min(model.tensor_ranges().count());
        let mut bytes = LayerBytes { dense: vec![0; count], experts: vec![0; count], output: 0 };
        let mut embeddings = 0;
        for tensor in model.tensor_ranges() {
            let name = tensor.tensor.name.as_str();
            let block =
                name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            match block {
                Some(block) if block < count && name.contains("_exps") => {
                    bytes.experts[block] += tensor.bytes
                }
                Some(block) if block < count => bytes.dense[block] += tensor.bytes,
                _ if name.starts_with("output") => bytes.output += tensor.bytes,
                _ if name.starts_with("token_embd") => embeddings = tensor.bytes,
                _ => {}
            }
        }
        let tied = !model.tensor_ranges().any(|tensor| tensor.tensor.name == "output.weight");
        bytes.output += if tied { embeddings } else { 0 };
        bytes
    }

    /// Bytes that a configuration needs on the GPUs for this many sequences of this many tokens; `None` if the header
    /// does not say enough.
    #[must_use]
    pub fn need(
        &self,
        facts: &ModelFacts,
        configuration: &Configuration,
        tokens: u64,
        sequences: u64,
    ) -> Option<u64> {
        let blocks = self.dense.len();
        let count = |knob: &str| configuration.integer(knob).and_then(|value| usize::try_from(value).ok());
        // Unset: all of them.
        let layers = count("gpu-layers").unwrap_or(blocks + 1).min(blocks + 1);
        let first = blocks + 1 - layers;
        let on_host = count("cpu-moe-layers").unwrap_or(0);
        let dense: u64 = self.dense.iter().skip(first).sum();
        let experts: u64 = self.experts.iter().skip(first.max(on_host)).sum();
        let output = if layers > 0 { self.output } else { 0 };
        let ubatch = memory::physical_batch(configuration, tokens, sequences)?;
        let cache = memory::cache_bytes(facts, tokens, sequences, ubatch, CacheType::of(configuration))?;
        let kept_on_host = configuration.get("kv-offload").to_string() == "off";
        let share = if kept_on_host { 0 } else { (blocks - first.min(blocks)) as u64 };
        let cache = cache.checked_mul(share)? / (blocks as u64).max(1);
        let compute = if layers > 0 { memory::compute_bytes(facts, ubatch) } else { 0 };
        dense.checked_add(experts)?.checked_add(output)?.checked_add(cache)?.checked_add(compute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};
    use gguflab_types::Value;

    fn tiny(architecture: TinyArchitecture) -> (LayerBytes, ModelFacts) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        write_tiny(&path, &TinyModel::new(architecture)).unwrap();
        let model = Model::open(&path).unwrap();
        let facts = ModelFacts::read(&model);
        (LayerBytes::read(&model, facts.block_count.unwrap()), facts)
    }

    fn need(parts: &(LayerBytes, ModelFacts), settings: &[(&str, i64)]) -> u64 {
        let made = settings
            .iter()
            .fold(Configuration::new(), |made, (knob, value)| made.with(knob, Value::Integer(*value)));
        parts.0.need(&parts.1, &made, 512, 1).unwrap()
    }

    #[test]
    fn each_layer_adds_its_weights_and_its_cache() {
        let parts = tiny(TinyArchitecture::Llama);
        let steps: Vec<u64> = (0..=3).map(|layers| need(&parts, &[("gpu-layers", layers)])).collect();
        assert_eq!(steps[0], 0);
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        assert_eq!(steps[3], need(&parts, &[]), "unset is all");
        // The blocks are alike.
        assert_eq!(steps[2] - steps[1], steps[3] - steps[2]);
    }

    #[test]
    fn experts_that_stay_on_the_host_need_nothing() {
        let parts = tiny(TinyArchitecture::Mixtral);
        let all = need(&parts, &[]);
        let one = need(&parts, &[("cpu-moe-layers", 1)]);
        let none = need(&parts, &[("cpu-moe-layers", 9)]);
        assert_eq!(all - one, parts.0.experts[0]);
        assert_eq!(all - none, parts.0.experts.iter().sum::<u64>());
        let without_cache = Configuration::new().with("kv-offload", Value::Switch(false));
        assert!(parts.0.need(&parts.1, &without_cache, 512, 1).unwrap() < all);
    }
}
