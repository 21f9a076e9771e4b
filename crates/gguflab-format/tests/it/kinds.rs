//! Facts read from headers: kinds of models, values per layer, sliding windows, defaults.

use gguflab_format::architecture::Memory;
use gguflab_format::metadata::{Array, Metadata, StringArray};
use gguflab_format::{Contents, LayerValue, ModelFacts, ModelKind, TensorType};

use crate::{bytes_of, parse_model, plan};

fn facts(metadata: Metadata, tensors: &[&str]) -> ModelFacts {
    let tensors = tensors.iter().map(|name| plan(name, &[32, 2], TensorType::Q8_0)).collect();
    ModelFacts::read(&parse_model(&bytes_of(&Contents::new(metadata, tensors))).expect("a header"))
}

fn architecture(name: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", name);
    metadata
}

#[test]
fn kinds_of_models() {
    let with = |name: &str, key: &str, value: u32| {
        let mut metadata = architecture(name);
        metadata.set(key, value);
        metadata
    };
    let typed = |kind: &str| {
        let mut metadata = architecture("llama");
        metadata.set("general.type", kind);
        metadata
    };
    let mut vocabulary = architecture("llama");
    vocabulary.set("tokenizer.ggml.model", "gpt2");
    let embedding = ["token_embd.weight"];
    let score = ["token_embd.weight", "cls.output.weight"];
    let cases: Vec<(Metadata, &[&str], ModelKind)> = vec![
        (architecture("llama"), &embedding, ModelKind::Decoder),
        (architecture("an-unknown-one"), &embedding, ModelKind::Decoder),
        (architecture("bert"), &embedding, ModelKind::Embedding),
        (architecture("nomic-bert"), &embedding, ModelKind::Embedding),
        (with("qwen3", "qwen3.pooling_type", 3), &embedding, ModelKind::Embedding),
        (with("qwen3", "qwen3.pooling_type", 0), &embedding, ModelKind::Decoder),
        (with("bert", "bert.pooling_type", 4), &embedding, ModelKind::Reranker),
        (architecture("qwen3"), &score, ModelKind::Reranker),
        (architecture("t5"), &embedding, ModelKind::EncoderDecoder),
        (architecture("llada"), &embedding, ModelKind::Diffusion),
        (architecture("eagle3"), &embedding, ModelKind::Draft),
        (architecture("wavtokenizer-dec"), &embedding, ModelKind::Speech),
        (architecture("clip"), &embedding, ModelKind::Projector),
        (typed("mmproj"), &embedding, ModelKind::Projector),
        (typed("adapter"), &embedding, ModelKind::Adapter),
        (typed("imatrix"), &embedding, ModelKind::ImportanceMatrix),
        (with("", "imatrix.chunk_count", 5), &embedding, ModelKind::ImportanceMatrix),
        (vocabulary.clone(), &[], ModelKind::VocabularyOnly),
        (vocabulary, &embedding, ModelKind::Decoder),
    ];
    for (metadata, tensors, kind) in cases {
        let shown = format!("{metadata:?}");
        assert_eq!(facts(metadata, tensors).kind, kind, "{shown}");
    }
}

#[test]
fn numbers_may_differ_between_layers_and_have_defaults() {
    let mut metadata = architecture("lfm2");
    metadata.set("lfm2.block_count", 3_u32);
    metadata.set("lfm2.embedding_length", 512_u32);
    metadata.set("lfm2.attention.head_count", 8_u32);
    metadata.set("lfm2.attention.head_count_kv", Array::I32(vec![0, 4, 0]));
    metadata.set("lfm2.attention.value_length", 32_u32);
    let facts = facts(metadata, &["token_embd.weight"]);
    assert_eq!(facts.memory, Memory::Hybrid);
    assert_eq!(facts.heads, Some(LayerValue::Same(8)));
    assert_eq!((facts.key_length, facts.value_length), (Some(64), Some(32)));
    let cache: Vec<_> = (0..4).map(|layer| facts.cache_elements(layer)).collect();
    assert_eq!(cache, [Some((0, 0)), Some((256, 128)), Some((0, 0)), None]);
}

#[test]
fn without_key_value_heads_all_heads_have_their_own() {
    let mut metadata = architecture("gpt2");
    metadata.set("gpt2.embedding_length", 768_u32);
    metadata.set("gpt2.attention.head_count", 12_u32);
    assert_eq!(facts(metadata, &[]).cache_elements(0), Some((768, 768)));
    assert_eq!(facts(architecture("mamba"), &[]).cache_elements(0), Some((0, 0)));
    assert_eq!(facts(architecture("llama"), &[]).cache_elements(0), None);
}

#[test]
fn sliding_windows_follow_the_file_then_the_architecture() {
    let window = |name: &str, pattern: Option<Array>, period: Option<u32>| {
        let mut metadata = architecture(name);
        metadata.set(format!("{name}.attention.sliding_window"), 512_u32);
        if let Some(pattern) = pattern {
            metadata.set(format!("{name}.attention.sliding_window_pattern"), pattern);
        }
        if let Some(period) = period {
            metadata.set(format!("{name}.attention.sliding_window_pattern"), period);
        }
        let window = facts(metadata, &[]).sliding_window.expect("a window");
        assert_eq!(window.tokens, 512);
        (0..7).map(|layer| if window.slides(layer) { 's' } else { '-' }).collect::<String>()
    };
    assert_eq!(window("gemma3", None, None), "sssss-s");
    assert_eq!(window("gemma3", None, Some(3)), "ss-ss-s");
    assert_eq!(window("gemma3", None, Some(0)), "sssssss");
    assert_eq!(window("gpt-oss", None, None), "s-s-s-s");
    assert_eq!(window("smallthinker", None, None), "-sss-ss");
    assert_eq!(window("gemma4", Some(Array::Bool(vec![true, false, true])), None), "s-s----");
    assert_eq!(window("mimo2", Some(Array::I32(vec![0, 1])), None), "-s-----");
    assert_eq!(window("llama", None, None), "-------");
    assert_eq!(facts(architecture("gemma3"), &[]).sliding_window, None);
}

#[test]
fn file_type_is_stated_or_guessed() {
    let mut metadata = architecture("llama");
    assert_eq!(facts(metadata.clone(), &["a.weight"]).file_type, "mostly Q8_0");
    assert_eq!(facts(metadata.clone(), &[]).file_type, "none");
    metadata.set("general.file_type", 15_u32);
    assert_eq!(facts(metadata.clone(), &[]).file_type, "Q4_K_M");
    metadata.set("general.file_type", 1024_u32 + 7);
    assert_eq!(facts(metadata, &[]).file_type, "Q8_0");
}

#[test]
fn vocabulary_is_counted_before_it_is_believed() {
    let mut metadata = architecture("llama");
    metadata.set("llama.vocab_size", 9_u32);
    assert_eq!(facts(metadata.clone(), &[]).vocabulary, Some(9));
    let mut tokens = StringArray::new();
    assert!(tokens.push(b"a"));
    metadata.set("tokenizer.ggml.tokens", tokens);
    assert_eq!(facts(metadata, &[]).vocabulary, Some(1));
}
