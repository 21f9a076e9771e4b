//! Findings: each is raised by the fault it names, and a sound model has none.

use gguflab_format::metadata::{Array, Metadata, StringArray};
use gguflab_format::{
    Contents, Endian, FindingCode, Header, Severity, TensorPlan, TensorType, TinyArchitecture, TinyModel,
    check,
};

use crate::{bytes_of, in_memory, parse_model, plan};

/// A sound model with one layer, 256 columns and four tokens.
fn sound() -> Contents {
    let mut tokens = StringArray::new();
    for token in ["a", "b", "ab", "c"] {
        assert!(tokens.push(token.as_bytes()));
    }
    let mut merges = StringArray::new();
    assert!(merges.push(b"a b"));
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", "llama");
    metadata.set("llama.block_count", 1_u32);
    metadata.set("tokenizer.ggml.model", "gpt2");
    metadata.set("tokenizer.ggml.tokens", tokens);
    metadata.set("tokenizer.ggml.merges", merges);
    metadata.set("tokenizer.chat_template", "{{ messages }}");
    let tensors = vec![
        plan("token_embd.weight", &[256, 4], TensorType::F32),
        plan("blk.0.attn_q.weight", &[256, 256], TensorType::Q4_K),
        plan("blk.0.attn_norm.weight", &[256], TensorType::F32),
    ];
    Contents::new(metadata, tensors)
}

fn push(contents: &mut Contents, tensor: TensorPlan) {
    contents.tensors.push(tensor);
}

#[test]
fn a_sound_model_has_no_finding() {
    let model = parse_model(&bytes_of(&sound())).expect("a header");
    assert_eq!(check(&model), []);
}

type Fault = fn(&mut Contents);

/// A fault, and the only finding that it must give.
const FAULTS: [(Fault, FindingCode, Severity, &str); 12] = [
    (
        |contents| push(contents, plan("x.bias", &[3], TensorType::F64)),
        FindingCode::DoubleWeights,
        Severity::Error,
        "'x.bias'",
    ),
    (
        |contents| push(contents, plan("blk.0.attn_k.weight", &[576, 4], TensorType::F32)),
        FindingCode::FallbackColumns,
        Severity::Warning,
        "576 columns",
    ),
    (
        |contents| push(contents, plan("blk.0.attn_k.weight", &[100, 4], TensorType::F32)),
        FindingCode::FallbackColumns,
        Severity::Warning,
        "becomes F16",
    ),
    (
        |contents| contents.metadata.remove("tokenizer.ggml.model"),
        FindingCode::MissingTokenizer,
        Severity::Error,
        "tokenizer",
    ),
    (
        |contents| contents.metadata.remove("tokenizer.ggml.merges"),
        FindingCode::MissingMerges,
        Severity::Error,
        "merges",
    ),
    (
        |contents| contents.metadata.remove("tokenizer.chat_template"),
        FindingCode::MissingChatTemplate,
        Severity::Note,
        "--chat-template",
    ),
    (
        |contents| contents.metadata.remove("general.architecture"),
        FindingCode::MissingArchitecture,
        Severity::Error,
        "general.architecture",
    ),
    (
        |contents| contents.metadata.set("llama.block_count", 3_u32),
        FindingCode::MissingLayers,
        Severity::Error,
        "1 of 3 layers",
    ),
    (
        |contents| contents.metadata.set("n", Array::Array(vec![])),
        FindingCode::NestedArray,
        Severity::Error,
        "'n'",
    ),
    (|contents| contents.endian = Endian::Big, FindingCode::BigEndian, Severity::Warning, "big-endian"),
    (
        |contents| push(contents, plan("output.weight", &[256, 5], TensorType::F32)),
        FindingCode::VocabularyMismatch,
        Severity::Error,
        "5 rows",
    ),
    (
        |contents| contents.metadata.set("tokenizer.ggml.merges", Array::String(StringArray::new())),
        FindingCode::MissingMerges,
        Severity::Error,
        "merges",
    ),
];

#[test]
fn each_fault_of_the_contents_is_found_alone() {
    for (fault, code, severity, part) in FAULTS {
        let mut contents = sound();
        fault(&mut contents);
        let findings = check(&parse_model(&bytes_of(&contents)).expect("a header"));
        let found: Vec<(FindingCode, Severity)> =
            findings.iter().map(|finding| (finding.code, finding.severity)).collect();
        assert_eq!(found, [(code, severity)], "{}", code.name());
        assert!(findings[0].message.contains(part), "{}", findings[0].message);
    }
}

#[test]
fn each_fault_of_the_places_is_found() {
    let bytes = bytes_of(&sound());
    type HeaderFault = fn(&mut Header);
    let cases: [(HeaderFault, FindingCode); 6] = [
        (|header| header.tensors[1].offset += 1, FindingCode::MisalignedTensor),
        (|header| header.tensors[1].offset -= 32, FindingCode::OverlappingTensors),
        (|header| header.tensors.swap(0, 1), FindingCode::UnpackedTensors),
        (|header| header.tensors[2].name = "blk.0.attn_q.weight".to_owned(), FindingCode::DuplicateTensor),
        (|header| header.tensors[2].name = "n".repeat(64), FindingCode::LongTensorName),
        (|header| header.tensors[2].offset += 32, FindingCode::TruncatedData),
    ];
    for (fault, code) in cases {
        let mut header = Header::parse(&bytes).expect("a header");
        fault(&mut header);
        let findings = check(&in_memory(header, bytes.len() as u64));
        assert!(findings.iter().any(|finding| finding.code == code), "{}: {findings:?}", code.name());
        assert!(findings.is_sorted_by(|a, b| a.severity >= b.severity));
    }
}

#[test]
fn a_cut_file_names_the_first_tensor_and_the_missing_bytes() {
    let bytes = bytes_of(&sound());
    let header = Header::parse(&bytes).expect("a header");
    let end_of_second = header.data_offset + header.tensors[1].end();
    let findings = check(&in_memory(header, end_of_second - 10));
    // 1024 bytes of the third tensor (the second ends aligned) and 10 of the second.
    let expected = "1034 bytes are missing, from tensor 'blk.0.attn_q.weight' on (2 of 3 tensors)";
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains(expected), "{}", findings[0].message);
}

#[test]
fn duplicate_keys_and_trailing_bytes_are_found() {
    let mut contents = sound();
    contents.metadata.set("general.nam1", 1_u8);
    contents.metadata.set("general.nam2", 1_u8);
    let mut bytes = bytes_of(&contents);
    let place = bytes.windows(12).position(|window| window == b"general.nam2").expect("the key");
    bytes[place + 11] = b'1';
    bytes.extend([0; 100]);
    let codes: Vec<FindingCode> =
        check(&parse_model(&bytes).expect("a header")).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [FindingCode::DuplicateKey, FindingCode::TrailingBytes]);
}

#[test]
fn many_faults_of_a_kind_are_one_finding() {
    let mut header = Header::parse(&bytes_of(&sound())).expect("a header");
    for tensor in &mut header.tensors {
        tensor.name = "n".repeat(70);
    }
    let findings = check(&in_memory(header, 1 << 30));
    let of = |code: FindingCode| findings.iter().filter(move |finding| finding.code == code);
    let messages: Vec<&str> =
        of(FindingCode::LongTensorName).map(|finding| finding.message.as_str()).collect();
    assert!(messages.len() == 1 && messages[0].contains("(and 2 more)"), "{messages:?}");
    assert!(of(FindingCode::DuplicateTensor).all(|finding| finding.message.contains("(and 1 more)")));
    assert_eq!(of(FindingCode::DuplicateTensor).count(), 1);
}

#[test]
fn a_lone_file_named_as_a_part_is_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m-00001-of-00002.gguf");
    std::fs::write(&path, bytes_of(&sound())).expect("written");
    let model = gguflab_format::Model::open(&path).expect("a model");
    let codes: Vec<FindingCode> = check(&model).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [FindingCode::SplitNameOnly]);
}

#[test]
fn widths_that_are_no_multiple_of_256_are_counted() {
    let wide =
        TinyModel { embedding: 576, heads: 9, key_value_heads: 3, ..TinyModel::new(TinyArchitecture::Llama) };
    let contents = wide.contents().expect("a shape");
    let model = parse_model(&bytes_of(&contents)).expect("a header");
    let findings = check(&model);
    assert_eq!(findings.len(), 1);
    // Two embeddings and, in each of two layers, all but ffn_down (512 columns).
    assert!(findings[0].message.contains("14 of 16 weight tensors"), "{}", findings[0].message);
    assert!(findings[0].message.contains("Q4_K becomes Q5_0"), "{}", findings[0].message);
}
