//! What is written is read back, in every version and byte order.

use gguflab_format::metadata::{Array, Metadata, StringArray, Value};
use gguflab_format::{Contents, Endian, FormatError, Header, Model, TensorType, write_file};
use proptest::prelude::*;

use crate::{bytes_of, plan};

/// A value of every kind.
fn every_kind() -> Metadata {
    let mut texts = StringArray::new();
    for text in ["", "a", "Ġthe", "日本語"] {
        assert!(texts.push(text.as_bytes()));
    }
    assert!(texts.push(&[0xff, 0xfe]));
    let nested = Array::Array(vec![
        Array::U16(vec![1, 2]),
        Array::Array(vec![Array::String(texts.clone()), Array::Bool(vec![])]),
    ]);
    let mut metadata = Metadata::new();
    let values: Vec<Value> = vec![
        7_u8.into(),
        (-7_i8).into(),
        60_000_u16.into(),
        (-30_000_i16).into(),
        4_000_000_000_u32.into(),
        (-2_000_000_000_i32).into(),
        u64::MAX.into(),
        i64::MIN.into(),
        1.5_f32.into(),
        (-2.25e-300_f64).into(),
        true.into(),
        false.into(),
        "text".into(),
        Value::String(vec![0xff, 0x00, 0x80]),
        texts.into(),
        Array::U8(vec![1, 2, 3]).into(),
        Array::I8(vec![-1]).into(),
        Array::U16(vec![1, 65_535]).into(),
        Array::I16(vec![-1, 258]).into(),
        Array::U32(vec![]).into(),
        Array::I32(vec![-5, 5]).into(),
        Array::U64(vec![u64::MAX]).into(),
        Array::I64(vec![i64::MIN, 1]).into(),
        Array::F32(vec![0.5, -0.0]).into(),
        Array::F64(vec![1e300]).into(),
        Array::Bool(vec![true, false, true]).into(),
        nested.into(),
    ];
    for (index, value) in values.into_iter().enumerate() {
        metadata.set(format!("key.{index}"), value);
    }
    metadata
}

fn contents(version: u32, endian: Endian, alignment: Option<u32>) -> Contents {
    let mut metadata = every_kind();
    if let Some(alignment) = alignment {
        metadata.set("general.alignment", alignment);
    }
    let tensors = vec![
        plan("scalar", &[], TensorType::F32),
        plan("odd", &[3], TensorType::F16),
        plan("empty", &[0, 5], TensorType::F32),
        plan("blocks", &[64, 3], TensorType::Q4_1),
        plan("four", &[256, 2, 1, 2], TensorType::IQ3_XXS),
    ];
    Contents { version, endian, metadata, tensors }
}

#[test]
fn every_version_byte_order_and_alignment_round_trips() {
    for version in [2, 3] {
        for endian in [Endian::Little, Endian::Big] {
            for alignment in [None, Some(1), Some(64), Some(4096)] {
                check_round_trip(&contents(version, endian, alignment), alignment.unwrap_or(32).into());
            }
        }
    }
}

fn check_round_trip(contents: &Contents, alignment: u64) {
    let bytes = bytes_of(contents);
    let header = Header::parse(&bytes).expect("what was written can be read");
    assert_eq!(
        (header.version, header.endian, header.alignment),
        (contents.version, contents.endian, alignment)
    );
    assert_eq!(header.metadata, contents.metadata);
    assert_eq!(header, Header::read(bytes.as_slice(), None).expect("read in pieces"));
    assert_eq!(contents.file_bytes().expect("a length"), bytes.len() as u64);
    assert_eq!(header.tensors.len(), contents.tensors.len());
    for (read, planned) in header.tensors.iter().zip(&contents.tensors) {
        assert_eq!(
            (&read.name, read.dimensions, read.tensor_type),
            (&planned.name, planned.dimensions, planned.tensor_type)
        );
        assert!(read.offset.is_multiple_of(alignment));
        let start = (header.data_offset + read.offset) as usize;
        let data = &bytes[start..start + read.bytes as usize];
        assert!(data.iter().enumerate().all(|(index, byte)| *byte == index as u8), "{}", read.name);
    }
    let sizes: Vec<u64> = header.tensors.iter().map(|tensor| tensor.bytes).collect();
    assert_eq!(sizes, [4, 6, 0, 120, 392]);
}

#[test]
fn a_file_is_put_in_place_only_when_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let contents = contents(3, Endian::Little, None);
    let too_short = write_file(&path, &contents, |_, writer| writer.write_all(&[1]));
    let message = too_short.expect_err("a tensor of the wrong length").to_string();
    assert!(message.contains("model.gguf") && message.contains("'scalar'"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);

    std::fs::write(&path, b"old").expect("written");
    let failing = write_file(&path, &contents, |_, _| Err(std::io::Error::other("no more space")));
    assert!(failing.expect_err("the source failed").to_string().contains("no more space"));
    assert_eq!(std::fs::read(&path).expect("still there"), b"old");

    write_file(&path, &contents, |tensor, writer| writer.write_all(&vec![7; tensor.bytes as usize]))
        .expect("written");
    let model = Model::open(&path).expect("a model");
    assert_eq!(model.bytes(), contents.file_bytes().expect("a length"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
    let nowhere = folder.path().join("missing").join("model.gguf");
    assert!(matches!(write_file(&nowhere, &contents, |_, _| Ok(())), Err(FormatError::File { .. })));
}

#[test]
fn ranges_point_at_the_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let contents = contents(3, Endian::Big, Some(64));
    write_file(&path, &contents, |tensor, writer| {
        writer.write_all(&vec![tensor.name.len() as u8; tensor.bytes as usize])
    })
    .expect("written");
    let bytes = std::fs::read(&path).expect("readable");
    let model = Model::open(&path).expect("a model");
    for range in model.tensor_ranges() {
        let data = &bytes[range.offset as usize..(range.offset + range.bytes) as usize];
        assert!(data.iter().all(|byte| usize::from(*byte) == range.tensor.name.len()));
        assert_eq!((range.file, range.path), (0, path.as_path()));
    }
}

#[test]
fn contents_that_break_a_rule_are_refused() {
    let with = |change: fn(&mut Contents)| {
        let mut contents = contents(3, Endian::Little, None);
        change(&mut contents);
        contents.file_bytes().expect_err("a broken rule").to_string()
    };
    for (message, part) in [
        (with(|contents| contents.version = 1), "version 1"),
        (with(|contents| contents.metadata.set("general.alignment", 24_u32)), "power of two"),
        (with(|contents| contents.metadata.set("general.alignment", 64_u64)), "32-bit"),
        (with(|contents| contents.metadata.set("", 1_u8)), "empty"),
        (with(|contents| contents.tensors.push(plan("odd", &[1], TensorType::F32))), "twice"),
        (with(|contents| contents.tensors.push(plan(&"n".repeat(64), &[1], TensorType::F32))), "63"),
        (with(|contents| contents.tensors.push(plan("rows", &[33, 2], TensorType::Q8_0))), "33 columns"),
        (
            with(|contents| contents.tensors.push(plan("vast", &[1 << 40, 1 << 40], TensorType::F32))),
            "64 bits",
        ),
        (
            with(|contents| {
                let deep = (0..4).fold(Array::U8(vec![]), |inner, _| Array::Array(vec![inner]));
                contents.metadata.set("deep", deep);
            }),
            "depth",
        ),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn setting_a_key_again_keeps_its_place() {
    let mut metadata = Metadata::new();
    metadata.set("a", 1_u32);
    metadata.set("b", "text");
    metadata.set("a", -2_i64);
    let keys: Vec<&str> = metadata.pairs().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!((metadata.get("a"), metadata.unsigned("a")), (Some(&Value::I64(-2)), None));
    assert_eq!(metadata.text("b").as_deref(), Some("text"));
    metadata.remove("a");
    assert_eq!(metadata.len(), 1);
}

#[test]
fn a_large_header_is_read_whole() {
    let mut tokens = StringArray::new();
    for index in 0..128_000 {
        assert!(tokens.push(format!("token{index}").as_bytes()));
    }
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.tokens", tokens);
    metadata.set("tokenizer.ggml.scores", Array::F32((0..128_000).map(|index| index as f32).collect()));
    let tensors =
        (0..1_200).map(|index| plan(&format!("blk.{index}.weight"), &[32], TensorType::Q8_0)).collect();
    let bytes = bytes_of(&Contents::new(metadata, tensors));
    for header in [Header::parse(&bytes), Header::read(bytes.as_slice(), None)] {
        let header = header.expect("a header");
        assert_eq!(header.tensors.len(), 1_200);
        assert_eq!(header.tensors[1_199].name, "blk.1199.weight");
        let tokens = header.metadata.strings("tokenizer.ggml.tokens").expect("tokens");
        assert_eq!(tokens.len(), 128_000);
        assert_eq!(tokens.text(127_999).as_deref(), Some("token127999"));
        assert_eq!(tokens.get(128_000), None);
    }
}

/// Gives bytes of a header and then zeros without end, and counts what was taken.
struct Endless<'a> {
    bytes: &'a [u8],
    taken: usize,
}

impl std::io::Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        buffer[count..].fill(0);
        self.taken += buffer.len();
        Ok(buffer.len())
    }
}

#[test]
fn only_the_header_of_a_huge_file_is_read() {
    let bytes = bytes_of(&contents(3, Endian::Little, None));
    let mut reader = Endless { bytes: &bytes, taken: 0 };
    Header::read(&mut reader, Some(20_000_000_000)).expect("a header");
    assert!(reader.taken <= 1 << 20, "{} bytes read", reader.taken);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_texts_and_numbers_round_trip(
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40),
        numbers in proptest::collection::vec(any::<i64>(), 0..40),
        big in any::<bool>(),
    ) {
        let mut array = StringArray::new();
        for text in &texts {
            prop_assert!(array.push(text));
        }
        let mut metadata = Metadata::new();
        metadata.set("texts", array);
        metadata.set("numbers", Array::I64(numbers.clone()));
        metadata.set("first", Value::String(texts.first().cloned().unwrap_or_default()));
        let endian = if big { Endian::Big } else { Endian::Little };
        let bytes = bytes_of(&Contents { endian, ..Contents::new(metadata.clone(), Vec::new()) });
        let header = Header::parse(&bytes).expect("a header");
        prop_assert_eq!(header.metadata.strings("texts").expect("texts").iter().collect::<Vec<_>>(), texts);
        prop_assert_eq!(&header.metadata, &metadata);
    }
}
