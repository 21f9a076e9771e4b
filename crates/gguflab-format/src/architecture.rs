//! What llama.cpp knows about architectures that a GGUF file does not say (b11434: `src/llama-arch.cpp`,
//! `src/models/*.cpp`). An architecture that is not listed is an ordinary decoder.

/// What a model of an architecture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Decoder,
    EncoderDecoder,
    Embedding,
    Diffusion,
    Draft,
    Speech,
    Projector,
}

/// How the layers keep what they have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Keys and values of every token (or of a sliding window).
    Attention,
    /// A state of fixed size.
    Recurrent,
    /// Some layers the one, some the other.
    Hybrid,
}

/// Which layers of an architecture slide when the file has no pattern of its own: with a period of n, every
/// n-th layer sees everything, the first or the last of each n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlidingPeriod {
    pub(crate) layers: u64,
    pub(crate) dense_first: bool,
}

pub(crate) fn purpose(architecture: &str) -> Purpose {
    match architecture {
        "bert" | "modern-bert" | "nomic-bert" | "nomic-bert-moe" | "neo-bert" | "jina-bert-v2"
        | "jina-bert-v3" | "eurobert" | "gemma-embedding" | "llama-embed" | "t5encoder" => Purpose::Embedding,
        "t5" => Purpose::EncoderDecoder,
        "dream" | "llada" | "llada-moe" | "rnd1" => Purpose::Diffusion,
        "eagle3" | "dflash" | "gemma4-assistant" => Purpose::Draft,
        "wavtokenizer-dec" | "qwen3tts" | "pockettts" => Purpose::Speech,
        "clip" => Purpose::Projector,
        _ => Purpose::Decoder,
    }
}

pub(crate) fn memory(architecture: &str) -> Memory {
    match architecture {
        "mamba" | "mamba2" | "rwkv6" | "rwkv6qwen2" | "rwkv7" | "arwkv7" => Memory::Recurrent,
        "jamba" | "falcon-h1" | "plamo2" | "granitehybrid" | "lfm2" | "lfm2moe" | "nemotron_h"
        | "nemotron_h_moe" | "qwen3next" | "kimi-linear" | "bailingmoe3" | "kimi-k3" | "glm5-next"
        | "qwen35" | "qwen35moe" | "qwen4exp" | "deepseek4" | "minimax-01" => Memory::Hybrid,
        _ => Memory::Attention,
    }
}

pub(crate) fn sliding_period(architecture: &str) -> Option<SlidingPeriod> {
    let (layers, dense_first) = match architecture {
        "gemma2" | "gpt-oss" => (2, false),
        "modern-bert" => (3, true),
        "afmoe" | "cohere2" | "exaone-moe" | "exaone4" | "llama4" | "mellum" | "muse-glimmer" | "olmo2" => {
            (4, false)
        }
        "cohere2moe" | "laguna" | "smallthinker" => (4, true),
        "gemma3n" => (5, false),
        "gemma3" | "gemma-embedding" => (6, false),
        "plamo3" => (8, false),
        _ => return None,
    };
    Some(SlidingPeriod { layers, dense_first })
}

impl SlidingPeriod {
    /// Whether this layer slides (`llama_hparams::set_swa_pattern`). A period of 0 means that all do.
    pub(crate) fn slides(self, layer: u64) -> bool {
        let Some(place) = layer.checked_rem(self.layers) else {
            return true;
        };
        if self.dense_first { place != 0 } else { place + 1 < self.layers }
    }
}
