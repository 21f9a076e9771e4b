//! Damaged, crafted and random input: an error or a finding, never a panic, never memory for what is not there.

use gguflab_format::metadata::{Array, Metadata, StringArray};
use gguflab_format::{Contents, Endian, FindingCode, FormatError, Header, Model, TensorType, check};
use proptest::prelude::*;

use crate::{bytes_of, exercise, parse_model, plan};

/// A small but complete file of either byte order.
fn small(endian: Endian) -> Vec<u8> {
    let mut tokens = StringArray::new();
    for token in ["a", "b", "<s>"] {
        assert!(tokens.push(token.as_bytes()));
    }
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", "llama");
    metadata.set("general.alignment", 32_u32);
    metadata.set("llama.block_count", 1_u32);
    metadata.set("llama.attention.head_count", Array::U32(vec![2]));
    metadata.set("llama.attention.sliding_window", 16_u32);
    metadata.set("llama.expert_count", 2_u32);
    metadata.set("tokenizer.ggml.tokens", tokens);
    metadata.set("nested", Array::Array(vec![Array::Array(vec![Array::U8(vec![1, 2, 3])])]));
    let tensors = vec![
        plan("token_embd.weight", &[32, 3], TensorType::Q8_0),
        plan("blk.0.ffn_up_exps.weight", &[32, 2, 2], TensorType::F64),
        plan("blk.0.attn_norm.weight", &[33], TensorType::F32),
    ];
    bytes_of(&Contents { endian, ..Contents::new(metadata, tensors) })
}

#[test]
fn every_prefix_is_an_error_or_a_finding() {
    for endian in [Endian::Little, Endian::Big] {
        let bytes = small(endian);
        let last_needed = Header::parse(&bytes).expect("a header").needed_bytes() as usize;
        for length in 0..last_needed {
            exercise::header(&bytes[..length]);
            match parse_model(&bytes[..length]) {
                Err(error) => assert!(
                    matches!(error, FormatError::Empty | FormatError::Truncated { .. }),
                    "{length}: {error}"
                ),
                Ok(model) => {
                    let findings = check(&model);
                    let cut = findings.iter().find(|finding| finding.code == FindingCode::TruncatedData);
                    let message = &cut.expect("a finding").message;
                    assert!(
                        message.contains(&format!("{} bytes are missing", last_needed - length)),
                        "{message}"
                    );
                }
            }
        }
        let whole = parse_model(&bytes).expect("a header");
        assert!(check(&whole).iter().all(|finding| finding.code != FindingCode::TruncatedData));
    }
}

/// `GGUF`, version 3, and these counts of tensors and pairs.
fn start(tensors: u64, pairs: u64) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(pairs.to_le_bytes());
    bytes
}

fn with(mut bytes: Vec<u8>, more: &[&[u8]]) -> Vec<u8> {
    for part in more {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[test]
fn hostile_counts_are_refused_by_name() {
    let huge = u64::MAX.to_le_bytes();
    let (key, array, one) = (b"\x01\0\0\0\0\0\0\0k", 9_u32.to_le_bytes(), 1_u64.to_le_bytes());
    let (text, byte, numbers) = (8_u32.to_le_bytes(), 0_u32.to_le_bytes(), 10_u32.to_le_bytes());
    let large = (1_u64 << 26).to_le_bytes();
    let nest: Vec<u8> = [array, array].concat().into_iter().chain(one).collect();
    let deep: Vec<u8> =
        array.into_iter().chain([array.to_vec(), one.to_vec()].concat().repeat(10_000)).collect();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (start(0, 1 << 63), "the number of metadata pairs"),
        (start(1 << 63, 0), "the number of tensors"),
        (start(0, u64::MAX), "the number of metadata pairs"),
        (start(0, 60_000), "cut off"),
        (start(1 << 20, 0), "cut off"),
        (with(start(0, 1), &[&(1_u64 << 60).to_le_bytes()]), "metadata key 0"),
        (with(start(0, 1), &[&65_535_u64.to_le_bytes(), b"k"]), "cut off"),
        (with(start(0, 1), &[&0_u64.to_le_bytes()]), "is empty"),
        (with(start(0, 1), &[&one, &[0xff]]), "UTF-8"),
        (with(start(0, 1), &[key, &text, &(1_u64 << 60).to_le_bytes()]), "a string"),
        (with(start(0, 1), &[key, &array, &byte, &huge]), "the length of an array"),
        (with(start(0, 1), &[key, &array, &numbers, &large]), "'k'"),
        (with(start(0, 1), &[key, &array, &text, &large, &[0; 64]]), "'k'"),
        (with(start(0, 1), &[key, &nest]), "cut off"),
        (with(start(0, 1), &[key, &deep]), "the depth of nested arrays"),
        (with(start(0, 1), &[key, &array, &array, &large, &[0; 64]]), "the number of arrays in an array"),
        (with(start(0, 1), &[key, &13_u32.to_le_bytes()]), "value type 13"),
        (with(start(1, 0), &[&(1_u64 << 60).to_le_bytes()]), "tensor name 0"),
        (with(start(1, 0), &[key, &5_u32.to_le_bytes()]), "dimensions of tensor 'k'"),
    ];
    for (bytes, part) in cases {
        exercise::header(&bytes);
        let message = Header::parse(&bytes).expect_err(part).to_string();
        assert!(message.contains(part), "'{message}' should name '{part}'");
    }
}

#[test]
fn hostile_tensors_are_refused_by_name() {
    let tensor = |sizes: &[u64], code: u32, offset: u64| {
        let mut bytes = with(start(1, 0), &[b"\x01\0\0\0\0\0\0\0w", &(sizes.len() as u32).to_le_bytes()]);
        for size in sizes {
            bytes.extend(size.to_le_bytes());
        }
        with(bytes, &[&code.to_le_bytes(), &offset.to_le_bytes()])
    };
    for (bytes, part) in [
        (tensor(&[1 << 32, 1 << 32], 0, 0), "more elements"),
        (tensor(&[u64::MAX], 24, 0), "more elements"),
        (tensor(&[1 << 62], 28, 0), "more elements"),
        (tensor(&[33], 2, 0), "33 columns"),
        (tensor(&[32], 4, 0), "removed from ggml"),
        (tensor(&[32], 31, 0), "use plain Q4_0"),
        (tensor(&[32], 43, 0), "type 43"),
    ] {
        exercise::header(&bytes);
        let message = Header::parse(&bytes).expect_err(part).to_string();
        assert!(message.contains(part) && message.contains("'w'"), "{message}");
    }
    let far = parse_model(&tensor(&[32], 0, u64::MAX - 7)).expect("a header");
    assert!(check(&far).iter().any(|finding| finding.code == FindingCode::TruncatedData));
}

#[test]
fn what_is_no_gguf_is_named() {
    let gguf = |version: u32| with(b"GGUF".to_vec(), &[&version.to_le_bytes(), &[0; 16]]);
    for (bytes, part) in [
        (Vec::new(), "empty"),
        (b"GG".to_vec(), "cut off"),
        (b"GGUF".to_vec(), "cut off"),
        (b"lmgg\x01\0\0\0".to_vec(), "before GGUF"),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), "Git LFS"),
        (b"<!DOCTYPE html>".to_vec(), "web page"),
        (b"PK\x03\x04".to_vec(), "ZIP"),
        (b"\x10\x02\0\0\0\0\0\0{\"__metadata__\"".to_vec(), "safetensors"),
        (b"hello world".to_vec(), "\"hell\""),
        (gguf(1), "version 1"),
        (gguf(1_u32.swap_bytes()), "version 1"),
        (gguf(4), "version 4"),
        (gguf(0), "version 0"),
    ] {
        exercise::header(&bytes);
        let message = Header::parse(&bytes).expect_err(part).to_string();
        assert!(message.contains(part), "'{message}' should name '{part}'");
    }
}

#[test]
fn paths_that_are_no_models_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, b"").expect("written");
    for (path, part) in [
        (folder.path().join("absent.gguf"), "cannot open the file"),
        (folder.path().to_owned(), "folder"),
        (empty, "empty"),
    ] {
        let message = Model::open(&path).expect_err(part).to_string();
        assert!(message.contains(part) && message.contains(path.to_str().expect("text")), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise::header(&bytes);
        exercise::header(&with(start(2, 2), &[&bytes]));
        exercise::header(&with(b"GGUF\0\0\0\x03".to_vec(), &[&bytes]));
    }

    #[test]
    fn mutated_headers_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        spans in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..2),
        big in any::<bool>(),
    ) {
        let mut bytes = small(if big { Endian::Big } else { Endian::Little });
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for (place, number) in spans {
            let place = place.index(bytes.len() - 8);
            bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        exercise::header(&bytes);
    }

    #[test]
    fn names_are_taken_apart_and_put_together(name in "[a-z-]{0,6}-[0-9]{4,6}-of-[0-9]{4,6}(\\.gguf)?", any in ".{0,40}") {
        exercise::split_name(&name);
        exercise::split_name(&any);
    }
}
