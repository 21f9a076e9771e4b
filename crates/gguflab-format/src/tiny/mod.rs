//! The project's own tiny models: random weights from a seed and a byte-level tokenizer of their own, so that
//! tests and the offline demo need no download. llama.cpp loads and runs them; what they write is noise.

mod quantise;
mod random;
mod tensors;
mod tokenizer;

use std::path::Path;

use crate::error::FormatError;
use crate::metadata::{Metadata, Value};
use crate::number::Endian;
use crate::types::TensorType;
use crate::write::{Contents, write_file};

/// Chat template of every tiny model: each message between two control tokens (the ChatML form).
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' \
     + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
     {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// A tiny model: everything that its file depends on. The same value gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TinyModel {
    /// `general.name`.
    pub name: String,
    /// Architecture.
    pub architecture: TinyArchitecture,
    /// Seed of the weights.
    pub seed: u64,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream; a multiple of 32 for `Q8_0`, of 256 to allow every K- and IQ-quant.
    pub embedding: u32,
    /// Attention heads; divide `embedding`.
    pub heads: u32,
    /// Key and value heads; divide `heads`, and equal it for [`TinyArchitecture::Olmoe`].
    pub key_value_heads: u32,
    /// Width of the dense feed-forward part (and of qwen2moe's shared expert).
    pub feed_forward: u32,
    /// Width of an expert.
    pub expert_feed_forward: u32,
    /// Experts in a layer (mixtures only).
    pub experts: u32,
    /// Experts used for a token.
    pub experts_used: u32,
    /// `context_length`, in tokens.
    pub context: u32,
    /// Tokens, at least 260: three control tokens, 256 bytes, one merge.
    pub vocabulary: u32,
    /// Type of the weight matrices: `F32`, `F16` or `Q8_0`. Norms, biases and routers are `F32`.
    pub weights: TensorType,
    /// GGUF version, 2 or 3.
    pub version: u32,
    /// Byte order.
    pub endian: Endian,
}

/// The architectures that tiny models exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TinyArchitecture {
    /// Dense; llama.cpp's `llama`.
    Llama,
    /// Experts in llama.cpp's `llama`.
    Mixtral,
    /// Experts, norms of queries and keys over the full width; `olmoe`.
    Olmoe,
    /// Experts and a shared expert, biases; `qwen2moe`.
    Qwen2Moe,
    /// Experts, norms of queries and keys per head; `qwen3moe`.
    Qwen3Moe,
}

/// Every tiny architecture.
pub const TINY_ARCHITECTURES: [TinyArchitecture; 5] = [
    TinyArchitecture::Llama,
    TinyArchitecture::Mixtral,
    TinyArchitecture::Olmoe,
    TinyArchitecture::Qwen2Moe,
    TinyArchitecture::Qwen3Moe,
];

/// Writes a tiny model. The same model gives the same file.
///
/// # Errors
/// A shape that does not fit together, or the system's refusal; the error names the file.
pub fn write_tiny(path: &Path, model: &TinyModel) -> Result<(), FormatError> {
    let contents = model.contents().map_err(|error| error.in_file(path))?;
    let mut next = 0;
    write_file(path, &contents, |tensor, writer| {
        let seed = random::tensor_seed(model.seed, next);
        next += 1;
        tensors::write_data(tensor, seed, model.endian, writer)
    })
}

impl TinyModel {
    /// The usual tiny model of an architecture: 2 layers, width 256, 4 heads, 8 experts of which 2 are used,
    /// 2,048 tokens, `F32`; 9 to 32 MB.
    #[must_use]
    pub fn new(architecture: TinyArchitecture) -> TinyModel {
        let own_width = matches!(architecture, TinyArchitecture::Qwen2Moe | TinyArchitecture::Qwen3Moe);
        TinyModel {
            name: format!("tiny-{}", architecture.word()),
            architecture,
            seed: 1,
            layers: 2,
            embedding: 256,
            heads: 4,
            key_value_heads: if architecture == TinyArchitecture::Olmoe { 4 } else { 2 },
            feed_forward: 512,
            expert_feed_forward: if own_width { 256 } else { 512 },
            experts: 8,
            experts_used: 2,
            context: 4096,
            vocabulary: 2048,
            weights: TensorType::F32,
            version: 3,
            endian: Endian::Little,
        }
    }

    /// A dense model large enough that knobs show in its speed, for trying the program without a download:
    /// 8 layers of width 512, `Q8_0`, 27 million parameters, 29 MB.
    #[must_use]
    pub fn demo() -> TinyModel {
        TinyModel {
            name: "gguflab-demo".to_owned(),
            layers: 8,
            embedding: 512,
            heads: 8,
            key_value_heads: 4,
            feed_forward: 1536,
            weights: TensorType::Q8_0,
            ..TinyModel::new(TinyArchitecture::Llama)
        }
    }

    /// What the file holds.
    ///
    /// # Errors
    /// `Invalid` for a shape that does not fit together.
    pub fn contents(&self) -> Result<Contents, FormatError> {
        self.check()?;
        let tensors = tensors::plans(self)?;
        Ok(Contents { version: self.version, endian: self.endian, metadata: self.metadata(), tensors })
    }

    /// Elements of a head.
    fn head_length(&self) -> u32 {
        self.embedding / self.heads
    }

    fn check(&self) -> Result<(), FormatError> {
        let olmoe_heads = self.architecture != TinyArchitecture::Olmoe || self.key_value_heads == self.heads;
        let divides = |part: u32, whole: u32| part > 0 && whole > 0 && whole.is_multiple_of(part);
        let rules = [
            (self.layers > 0, "needs at least one layer"),
            (divides(self.heads, self.embedding), "needs heads that divide the embedding"),
            (divides(self.key_value_heads, self.heads), "needs key and value heads that divide the heads"),
            (olmoe_heads, "needs as many key and value heads as heads (olmoe)"),
            (self.head_length_is_even(), "needs an even head length, because positions rotate pairs"),
            (self.vocabulary as usize >= tokenizer::SMALLEST, "needs at least 260 tokens"),
            (
                !self.architecture.has_experts() || (1..=self.experts).contains(&self.experts_used),
                "needs at least one used expert and no more than there are",
            ),
            (
                matches!(self.weights, TensorType::F32 | TensorType::F16 | TensorType::Q8_0),
                "needs weights of type F32, F16 or Q8_0",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, problem)) => {
                Err(FormatError::invalid(format!("the tiny model '{}'", self.name), problem))
            }
        }
    }

    fn head_length_is_even(&self) -> bool {
        self.embedding.checked_div(self.heads).is_some_and(|length| length.is_multiple_of(2))
    }

    fn metadata(&self) -> Metadata {
        let architecture = self.architecture.name();
        let mut metadata = Metadata::new();
        metadata.set("general.architecture", architecture);
        metadata.set("general.type", "model");
        metadata.set("general.name", self.name.as_str());
        metadata.set("general.size_label", "tiny");
        metadata.set("general.license", "cc0-1.0");
        metadata.set("general.file_type", self.file_type());
        metadata.set("general.quantization_version", 2_u32);
        for (key, value) in self.numbers() {
            metadata.set(format!("{architecture}.{key}"), value);
        }
        tokenizer::describe(self.vocabulary as usize, &mut metadata);
        metadata.set("tokenizer.chat_template", CHAT_TEMPLATE);
        metadata
    }

    /// `llama_ftype` of the weights.
    fn file_type(&self) -> u32 {
        match self.weights {
            TensorType::F16 => 1,
            TensorType::Q8_0 => 7,
            _ => 0,
        }
    }

    fn numbers(&self) -> Vec<(&'static str, Value)> {
        let mut numbers: Vec<(&'static str, Value)> = vec![
            ("block_count", self.layers.into()),
            ("context_length", self.context.into()),
            ("embedding_length", self.embedding.into()),
            ("feed_forward_length", self.feed_forward.into()),
            ("attention.head_count", self.heads.into()),
            ("attention.head_count_kv", self.key_value_heads.into()),
            ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
            ("rope.freq_base", 10_000.0_f32.into()),
            ("rope.dimension_count", self.head_length().into()),
            ("vocab_size", self.vocabulary.into()),
        ];
        if self.architecture.has_experts() {
            numbers.push(("expert_count", self.experts.into()));
            numbers.push(("expert_used_count", self.experts_used.into()));
        }
        let expert_width = ("expert_feed_forward_length", self.expert_feed_forward.into());
        match self.architecture {
            TinyArchitecture::Qwen2Moe => {
                numbers.push(expert_width);
                numbers.push(("expert_shared_feed_forward_length", self.feed_forward.into()));
            }
            TinyArchitecture::Qwen3Moe => {
                numbers.push(expert_width);
                numbers.push(("attention.key_length", self.head_length().into()));
                numbers.push(("attention.value_length", self.head_length().into()));
            }
            _ => {}
        }
        numbers
    }
}

impl TinyArchitecture {
    /// `general.architecture`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TinyArchitecture::Llama | TinyArchitecture::Mixtral => "llama",
            other => other.word(),
        }
    }

    /// The word that tells the five apart, as in `mixtral`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            TinyArchitecture::Llama => "llama",
            TinyArchitecture::Mixtral => "mixtral",
            TinyArchitecture::Olmoe => "olmoe",
            TinyArchitecture::Qwen2Moe => "qwen2moe",
            TinyArchitecture::Qwen3Moe => "qwen3moe",
        }
    }

    /// Whether its layers hold experts.
    #[must_use]
    pub fn has_experts(self) -> bool {
        self != TinyArchitecture::Llama
    }
}
