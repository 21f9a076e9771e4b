//! Tiny models: their shapes and facts, and that the same model gives the same file.

use gguflab_format::{
    Endian, Model, ModelFacts, ModelKind, TensorType, TinyArchitecture, TinyModel, check, write_tiny,
};

/// Tensors and parameters per architecture, counted by hand from the table of shapes:
/// two embeddings of 256 × 2,048 and a norm, then two layers.
const KNOWN: [(TinyArchitecture, &str, u64, u64); 5] = [
    (TinyArchitecture::Llama, "llama", 21, 2_229_504),
    (TinyArchitecture::Mixtral, "llama", 23, 7_738_624),
    (TinyArchitecture::Olmoe, "olmoe", 27, 7_870_720),
    (TinyArchitecture::Qwen2Moe, "qwen2moe", 37, 5_380_864),
    (TinyArchitecture::Qwen3Moe, "qwen3moe", 27, 4_593_152),
];

#[test]
fn facts_of_every_architecture() {
    let folder = tempfile::tempdir().expect("a folder");
    for (architecture, name, tensors, parameters) in KNOWN {
        let path = folder.path().join("tiny.gguf");
        write_tiny(&path, &TinyModel::new(architecture)).expect("written");
        let model = Model::open(&path).expect("a model");
        assert_eq!(check(&model), [], "{name}");
        let facts = ModelFacts::read(&model);
        assert_eq!(
            (facts.architecture.as_str(), facts.tensors, facts.parameters),
            (name, tensors, parameters)
        );
        assert_eq!((facts.kind, facts.bits_per_weight), (ModelKind::Decoder, 32.0));
        assert_eq!(facts.tensor_bytes, 4 * parameters);
        assert!(facts.file_bytes - facts.tensor_bytes < 100_000, "{}", facts.file_bytes);
        assert_eq!(
            (facts.block_count, facts.context_length, facts.vocabulary),
            (Some(2), Some(4096), Some(2048))
        );
        let narrow = if architecture == TinyArchitecture::Olmoe { 256 } else { 128 };
        assert_eq!(facts.cache_elements(1), Some((narrow, narrow)));
        assert!(facts.chat_template);
        assert_eq!(
            (facts.tokenizer.as_deref(), facts.pre_tokenizer.as_deref()),
            (Some("gpt2"), Some("smollm"))
        );
        assert_eq!(
            facts.experts.map(|experts| (experts.count, experts.used)),
            architecture.has_experts().then_some((8, 2))
        );
        assert_eq!(facts.active_parameters < facts.parameters, architecture.has_experts());
        assert_eq!(facts.file_type, "F32");
    }
}

#[test]
fn a_quarter_of_the_experts_is_active() {
    let contents = TinyModel::new(TinyArchitecture::Mixtral).contents().expect("a shape");
    let model = crate::parse_model(&crate::bytes_of(&contents)).expect("a header");
    let facts = ModelFacts::read(&model);
    // Two layers of three expert tensors, 256 × 512 × 8 each.
    let routed = 2 * 3 * 256 * 512 * 8;
    assert_eq!(facts.active_parameters, facts.parameters - routed + routed / 4);
}

#[test]
fn the_same_model_gives_the_same_file_and_another_seed_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = TinyModel { vocabulary: 300, ..TinyModel::new(TinyArchitecture::Llama) };
    let bytes = |model: &TinyModel| {
        let path = folder.path().join("tiny.gguf");
        write_tiny(&path, model).expect("written");
        std::fs::read(&path).expect("readable")
    };
    let first = bytes(&model);
    assert_eq!(first, bytes(&model));
    let other = bytes(&TinyModel { seed: 2, ..model });
    assert_eq!(first.len(), other.len());
    assert_ne!(first, other);
}

#[test]
fn weights_are_spread_as_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    write_tiny(&path, &TinyModel::new(TinyArchitecture::Qwen2Moe)).expect("written");
    let bytes = std::fs::read(&path).expect("readable");
    let model = Model::open(&path).expect("a model");
    let spread = |name: &str| {
        let range = model.tensor_ranges().find(|range| range.tensor.name == name).expect(name);
        let data = &bytes[range.offset as usize..(range.offset + range.bytes) as usize];
        let numbers: Vec<f64> = data
            .chunks_exact(4)
            .map(|raw| f32::from_le_bytes(raw.try_into().expect("four")).into())
            .collect();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        (mean, (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt())
    };
    for (name, mean, deviation) in [
        ("token_embd.weight", 0.0, 0.5),
        ("output.weight", 0.0, 1.0 / 16.0),
        ("blk.1.ffn_down_shexp.weight", 0.0, 1.0 / 512.0_f64.sqrt()),
        ("blk.0.attn_norm.weight", 1.0, 0.0),
        ("blk.0.attn_q.bias", 0.0, 0.0),
    ] {
        let found = spread(name);
        assert!((found.0 - mean).abs() <= 0.01 * deviation, "{name} {found:?}");
        assert!((found.1 - deviation).abs() <= 0.02 * deviation, "{name} {found:?}");
    }
}

#[test]
fn other_types_orders_and_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    let base = TinyModel::new(TinyArchitecture::Qwen3Moe);
    for (weights, bits) in [(TensorType::F16, 16.0), (TensorType::Q8_0, 8.5)] {
        write_tiny(&path, &TinyModel { weights, version: 2, endian: Endian::Big, ..base.clone() })
            .expect("written");
        let facts = ModelFacts::read(&Model::open(&path).expect("a model"));
        assert_eq!((facts.version, facts.endian, facts.file_type.as_str()), (2, Endian::Big, weights.name()));
        assert!((facts.bits_per_weight - bits).abs() < 0.1, "{}", facts.bits_per_weight);
        assert_eq!(facts.types.len(), 2);
    }
}

#[test]
fn the_demo_model_has_its_size() {
    let contents = TinyModel::demo().contents().expect("a shape");
    let bytes = contents.file_bytes().expect("a length");
    assert!((25_000_000..32_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let base = TinyModel::new(TinyArchitecture::Llama);
    let olmoe = TinyModel::new(TinyArchitecture::Olmoe);
    for (model, part) in [
        (TinyModel { layers: 0, ..base.clone() }, "layer"),
        (TinyModel { heads: 3, ..base.clone() }, "heads that divide"),
        (TinyModel { heads: 0, ..base.clone() }, "heads that divide"),
        (TinyModel { key_value_heads: 3, ..base.clone() }, "key and value heads"),
        (TinyModel { key_value_heads: 2, ..olmoe.clone() }, "olmoe"),
        (TinyModel { embedding: 12, ..base.clone() }, "even head length"),
        (TinyModel { vocabulary: 259, ..base.clone() }, "260"),
        (TinyModel { experts_used: 9, ..olmoe }, "used expert"),
        (TinyModel { weights: TensorType::Q4_K, ..base.clone() }, "F32, F16 or Q8_0"),
        (TinyModel { embedding: 16, heads: 2, weights: TensorType::Q8_0, ..base }, "16 columns"),
    ] {
        let message =
            write_tiny(std::path::Path::new("never-written.gguf"), &model).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}
