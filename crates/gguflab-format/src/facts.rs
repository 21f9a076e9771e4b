//! What a model's headers say about it: sizes, shape, tensor types, and what kind of model it is.

use std::collections::BTreeMap;

use crate::architecture::{self, Memory, Purpose, SlidingPeriod};
use crate::metadata::Metadata;
use crate::model::Model;
use crate::number::Endian;
use crate::types::{TensorType, file_type_name};

/// Facts of a model, read from its headers. What the file does not say is None.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFacts {
    /// `general.architecture`, as in `llama`; empty if missing.
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// What kind of model it is.
    pub kind: ModelKind,
    /// How its layers keep what they have seen.
    pub memory: Memory,
    /// GGUF version.
    pub version: u32,
    /// Byte order.
    pub endian: Endian,
    /// Number of files.
    pub files: u64,
    /// Length of all files, in bytes.
    pub file_bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Elements used for one token: of expert tensors only the share `experts used / experts`.
    pub active_parameters: u64,
    /// Bytes of all tensors, padding not counted.
    pub tensor_bytes: u64,
    /// Bits per parameter over all tensors; 0 without tensors.
    pub bits_per_weight: f64,
    /// Name of the mix of types, as in `Q4_K_M`; guessed from the largest share if the file does not say.
    pub file_type: String,
    /// Totals per tensor type, most bytes first.
    pub types: Vec<TypeTotal>,
    /// Layers.
    pub block_count: Option<u64>,
    /// Width of the residual stream.
    pub embedding_length: Option<u64>,
    /// Width of the feed-forward part, per layer.
    pub feed_forward_length: Option<LayerValue>,
    /// Attention heads, per layer.
    pub heads: Option<LayerValue>,
    /// Key and value heads, per layer (`heads` if the file does not say; 0 for a layer without attention).
    pub key_value_heads: Option<LayerValue>,
    /// Elements of a key, per head (`embedding / heads` if the file does not say).
    pub key_length: Option<u64>,
    /// Elements of a value, per head (the same default).
    pub value_length: Option<u64>,
    /// Rank of the compressed keys and values (multi-head latent attention, as in deepseek2).
    pub latent_rank: Option<u64>,
    /// Tokens that the model was trained to see at once.
    pub context_length: Option<u64>,
    /// Sliding-window attention.
    pub sliding_window: Option<SlidingWindow>,
    /// Mixture of experts.
    pub experts: Option<Experts>,
    /// Tokens of the vocabulary.
    pub vocabulary: Option<u64>,
    /// `tokenizer.ggml.model`, as in `gpt2`.
    pub tokenizer: Option<String>,
    /// `tokenizer.ggml.pre`, as in `smollm`.
    pub pre_tokenizer: Option<String>,
    /// Whether there is a chat template.
    pub chat_template: bool,
    /// Chunks of text that the importance matrix was made of which the model was quantised with, as llama-quantize
    /// notes it (`quantize.imatrix.chunks_count`).
    pub importance_chunks: Option<u64>,
}

/// What a model is for, so that a caller can refuse by name what it cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelKind {
    /// Predicts the next token.
    Decoder,
    /// Reads a text and then writes one (t5).
    EncoderDecoder,
    /// Turns a text into a vector.
    Embedding,
    /// Scores a pair of texts.
    Reranker,
    /// Writes text by removing noise.
    Diffusion,
    /// Speeds up another model by guessing its tokens; does not run alone.
    Draft,
    /// Makes sound.
    Speech,
    /// Turns images or sound into the embeddings of another model (mmproj).
    Projector,
    /// Changes another model (LoRA).
    Adapter,
    /// Statistics of activations, for quantising.
    ImportanceMatrix,
    /// A tokenizer without weights.
    VocabularyOnly,
}

/// A number that is the same in all layers, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerValue {
    /// All layers.
    Same(u64),
    /// Each layer, in order.
    Each(Vec<u64>),
}

/// Sliding-window attention: some layers see only the last tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Tokens that a sliding layer sees.
    pub tokens: u64,
    layers: SlidingLayers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SlidingLayers {
    /// The file has a window, but llama.cpp uses none for this architecture.
    Unused,
    Each(Vec<bool>),
    Period(SlidingPeriod),
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// Experts in a layer.
    pub count: u64,
    /// Experts used for a token.
    pub used: u64,
    /// Experts used for every token, beside those.
    pub shared: u64,
    /// Width of an expert, if it has one of its own.
    pub feed_forward_length: Option<u64>,
}

/// All tensors of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeTotal {
    /// The type.
    pub tensor_type: TensorType,
    /// Tensors of it.
    pub tensors: u64,
    /// Their elements.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ModelFacts {
    /// Reads the facts from a model's headers. Never fails: what is missing or senseless is None.
    #[must_use]
    pub fn read(model: &Model) -> ModelFacts {
        let keys = Keys::new(model.metadata());
        let metadata = model.metadata();
        let header = &model.first().header;
        let types = type_totals(model);
        let sum = |part: fn(&TypeTotal) -> u64| types.iter().map(part).fold(0, u64::saturating_add);
        let (parameters, tensor_bytes) = (sum(|total| total.parameters), sum(|total| total.bytes));
        let heads = keys.layers("attention.head_count");
        let embedding_length = keys.unsigned("embedding_length");
        let head_length = || embedding_length?.checked_div(heads.as_ref()?.largest());
        let experts = experts(&keys);
        ModelFacts {
            name: metadata.text("general.name").map(Into::into),
            kind: kind(model, &keys),
            memory: architecture::memory(&keys.architecture),
            version: header.version,
            endian: header.endian,
            files: model.files().count() as u64,
            file_bytes: model.bytes(),
            tensors: sum(|total| total.tensors),
            parameters,
            active_parameters: active_parameters(model, parameters, experts),
            tensor_bytes,
            bits_per_weight: bits_per_weight(tensor_bytes, parameters),
            file_type: file_type(metadata, &types),
            block_count: keys.unsigned("block_count"),
            feed_forward_length: keys.layers("feed_forward_length"),
            key_value_heads: keys.layers("attention.head_count_kv").or_else(|| heads.clone()),
            key_length: keys.unsigned("attention.key_length").or_else(head_length),
            value_length: keys.unsigned("attention.value_length").or_else(head_length),
            latent_rank: keys.unsigned("attention.kv_lora_rank"),
            context_length: keys.unsigned("context_length"),
            sliding_window: sliding_window(&keys),
            vocabulary: vocabulary(model, &keys),
            tokenizer: metadata.text("tokenizer.ggml.model").map(Into::into),
            pre_tokenizer: metadata.text("tokenizer.ggml.pre").map(Into::into),
            chat_template: metadata.text("tokenizer.chat_template").is_some_and(|text| !text.is_empty()),
            importance_chunks: metadata.unsigned("quantize.imatrix.chunks_count"),
            types,
            heads,
            embedding_length,
            experts,
            architecture: keys.architecture,
        }
    }

    /// Elements of keys and of values that one token adds to the cache of one layer, 0 for a layer without
    /// attention. None if the file does not say enough. With latent attention llama.cpp's file already
    /// states one head of the compressed length.
    #[must_use]
    pub fn cache_elements(&self, layer: u64) -> Option<(u64, u64)> {
        if self.memory == Memory::Recurrent {
            return Some((0, 0));
        }
        let heads = self.key_value_heads.as_ref()?.at(layer)?;
        Some((heads.checked_mul(self.key_length?)?, heads.checked_mul(self.value_length?)?))
    }
}

impl ModelKind {
    /// The word shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Decoder => "decoder",
            ModelKind::EncoderDecoder => "encoder-decoder",
            ModelKind::Embedding => "embedding model",
            ModelKind::Reranker => "reranker",
            ModelKind::Diffusion => "diffusion language model",
            ModelKind::Draft => "draft model",
            ModelKind::Speech => "speech model",
            ModelKind::Projector => "vision or audio projector",
            ModelKind::Adapter => "adapter (LoRA)",
            ModelKind::ImportanceMatrix => "importance matrix",
            ModelKind::VocabularyOnly => "vocabulary without weights",
        }
    }
}

impl LayerValue {
    /// The value of one layer; None beyond the layers that are listed.
    #[must_use]
    pub fn at(&self, layer: u64) -> Option<u64> {
        match self {
            LayerValue::Same(value) => Some(*value),
            LayerValue::Each(values) => values.get(usize::try_from(layer).ok()?).copied(),
        }
    }

    /// The largest value of any layer; 0 if there is none.
    #[must_use]
    pub fn largest(&self) -> u64 {
        match self {
            LayerValue::Same(value) => *value,
            LayerValue::Each(values) => values.iter().copied().max().unwrap_or(0),
        }
    }
}

impl SlidingWindow {
    /// Whether llama.cpp lets this layer slide.
    #[must_use]
    pub fn slides(&self, layer: u64) -> bool {
        match &self.layers {
            SlidingLayers::Unused => false,
            SlidingLayers::Period(period) => period.slides(layer),
            SlidingLayers::Each(layers) => {
                usize::try_from(layer).ok().and_then(|layer| layers.get(layer)).copied().unwrap_or(false)
            }
        }
    }
}

/// Metadata with the architecture's prefix put before each key.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: String,
}

impl<'a> Keys<'a> {
    fn new(metadata: &'a Metadata) -> Keys<'a> {
        let architecture = metadata.text("general.architecture").map(Into::into).unwrap_or_default();
        Keys { metadata, architecture }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn unsigned(&self, key: &str) -> Option<u64> {
        self.metadata.unsigned(&self.full(key))
    }

    fn each(&self, key: &str) -> Option<Vec<u64>> {
        self.metadata.array(&self.full(key))?.unsigned()
    }

    fn layers(&self, key: &str) -> Option<LayerValue> {
        self.unsigned(key).map(LayerValue::Same).or_else(|| self.each(key).map(LayerValue::Each))
    }
}

fn type_totals(model: &Model) -> Vec<TypeTotal> {
    let mut totals = BTreeMap::new();
    for range in model.tensor_ranges() {
        let tensor_type = range.tensor.tensor_type;
        let empty = TypeTotal { tensor_type, tensors: 0, parameters: 0, bytes: 0 };
        let total: &mut TypeTotal = totals.entry(tensor_type).or_insert(empty);
        total.tensors += 1;
        total.parameters = total.parameters.saturating_add(range.tensor.elements());
        total.bytes = total.bytes.saturating_add(range.bytes);
    }
    let mut totals: Vec<TypeTotal> = totals.into_values().collect();
    totals.sort_by_key(|total| std::cmp::Reverse(total.bytes));
    totals
}

fn bits_per_weight(bytes: u64, parameters: u64) -> f64 {
    if parameters == 0 { 0.0 } else { 8.0 * bytes as f64 / parameters as f64 }
}

fn file_type(metadata: &Metadata, types: &[TypeTotal]) -> String {
    // llama.cpp marks a guessed type with the bit 1024 (LLAMA_FTYPE_GUESSED); it is a guess here too.
    let stated = metadata.unsigned("general.file_type").map(|code| code & !1024);
    match stated.and_then(file_type_name) {
        Some(name) => name.to_owned(),
        None => types.first().map_or("none".to_owned(), |total| format!("mostly {}", total.tensor_type)),
    }
}

fn experts(keys: &Keys<'_>) -> Option<Experts> {
    let count = keys.unsigned("expert_count").filter(|count| *count > 0)?;
    Some(Experts {
        count,
        used: keys.unsigned("expert_used_count").unwrap_or(0),
        shared: keys.unsigned("expert_shared_count").unwrap_or(0),
        feed_forward_length: keys.unsigned("expert_feed_forward_length"),
    })
}

fn active_parameters(model: &Model, parameters: u64, experts: Option<Experts>) -> u64 {
    let Some(experts) = experts else {
        return parameters;
    };
    let routed = model
        .tensor_ranges()
        .filter(|range| range.tensor.name.contains("_exps."))
        .fold(0, |sum: u64, range| sum.saturating_add(range.tensor.elements()));
    let used = u128::from(routed) * u128::from(experts.used.min(experts.count)) / u128::from(experts.count);
    parameters.saturating_sub(routed).saturating_add(u64::try_from(used).unwrap_or(u64::MAX))
}

fn sliding_window(keys: &Keys<'_>) -> Option<SlidingWindow> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    let tokens = keys.unsigned("attention.sliding_window").filter(|tokens| *tokens > 0)?;
    let layers = match (keys.each(PATTERN), architecture::sliding_period(&keys.architecture)) {
        (Some(pattern), _) => SlidingLayers::Each(pattern.iter().map(|slides| *slides != 0).collect()),
        (None, Some(period)) => {
            let layers = keys.unsigned(PATTERN).unwrap_or(period.layers);
            SlidingLayers::Period(SlidingPeriod { layers, ..period })
        }
        (None, None) => SlidingLayers::Unused,
    };
    Some(SlidingWindow { tokens, layers })
}

fn vocabulary(model: &Model, keys: &Keys<'_>) -> Option<u64> {
    let tokens = model.metadata().array("tokenizer.ggml.tokens").map(|tokens| tokens.len() as u64);
    tokens.or_else(|| keys.unsigned("vocab_size"))
}

fn kind(model: &Model, keys: &Keys<'_>) -> ModelKind {
    let metadata = model.metadata();
    match metadata.text("general.type").as_deref() {
        Some("adapter") => return ModelKind::Adapter,
        Some("imatrix") => return ModelKind::ImportanceMatrix,
        Some("mmproj") => return ModelKind::Projector,
        _ => {}
    }
    if metadata.get("imatrix.chunk_count").is_some() {
        return ModelKind::ImportanceMatrix;
    }
    if model.tensor_ranges().next().is_none() && metadata.get("tokenizer.ggml.model").is_some() {
        return ModelKind::VocabularyOnly;
    }
    let purpose = architecture::purpose(&keys.architecture);
    // Pooling as in llama.h: 0 none, 1 mean, 2 first token, 3 last token, 4 rank.
    match (purpose, keys.unsigned("pooling_type")) {
        (Purpose::Projector, _) => ModelKind::Projector,
        (Purpose::Speech, _) => ModelKind::Speech,
        (Purpose::Draft, _) => ModelKind::Draft,
        (_, Some(4)) => ModelKind::Reranker,
        _ if has_score(model) => ModelKind::Reranker,
        (Purpose::Embedding, _) | (Purpose::Decoder, Some(1..=3)) => ModelKind::Embedding,
        (Purpose::Diffusion, _) => ModelKind::Diffusion,
        (Purpose::EncoderDecoder, _) => ModelKind::EncoderDecoder,
        (Purpose::Decoder, _) => ModelKind::Decoder,
    }
}

/// Whether the model ends in a classifier, which llama.cpp uses for rerankers only.
fn has_score(model: &Model) -> bool {
    model.tensor_ranges().any(|range| range.tensor.name == "cls.output.weight")
}
