//! Hashes of a model's content.
//!
//! Up to [`WHOLE`] bytes everything is hashed (half a second with SHA instructions). Larger models would cost
//! minutes of disk, so the header, all sizes and sixteen blocks of 4 KiB from every tensor are hashed: any other
//! quantisation, fine-tune or conversion changes nearly every block of the tensors that it touches, so two
//! models that people would call different do not share this hash. It does not find a single flipped bit; the
//! prefix `sha256-sampled:` says so.

use super::SubjectError;
use gguflab_format::metadata::{Array, Metadata, Value};
use gguflab_format::{Model, TensorRange};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Models up to this many bytes are hashed as a whole.
const WHOLE: u64 = 1 << 30;
/// Blocks taken from a tensor of a larger model.
const BLOCKS: u64 = 16;
/// Bytes of such a block.
const BLOCK: u64 = 4096;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Hash of the content of all files.
pub(super) fn of_content(model: &Model) -> Result<String, SubjectError> {
    let mut hash = Sha256::new();
    if model.bytes() <= WHOLE {
        for file in model.files() {
            add_range(&mut hash, &file.path, 0, file.bytes)?;
        }
        return Ok(format!("sha256:{}", hexadecimal(hash)));
    }
    sampled(model, &mut hash)?;
    Ok(format!("sha256-sampled:{}", hexadecimal(hash)))
}

fn sampled(model: &Model, hash: &mut Sha256) -> Result<(), SubjectError> {
    for file in model.files() {
        hash.update(file.bytes.to_le_bytes());
        add_range(hash, &file.path, 0, file.header.data_offset.min(file.bytes))?;
    }
    for range in model.tensor_ranges() {
        hash.update(range.bytes.to_le_bytes());
        for (offset, bytes) in blocks(&range) {
            add_range(hash, range.path, offset, bytes)?;
        }
    }
    Ok(())
}

/// First and last block and fourteen evenly between; a small tensor as a whole.
fn blocks(range: &TensorRange<'_>) -> Vec<(u64, u64)> {
    if range.bytes <= BLOCKS * BLOCK {
        return vec![(range.offset, range.bytes)];
    }
    let (last, gaps) = (range.bytes - BLOCK, BLOCKS - 1);
    let place = |block: u64| (u128::from(last) * u128::from(block) / u128::from(gaps)) as u64;
    (0..BLOCKS).map(|block| (range.offset.saturating_add(place(block)), BLOCK)).collect()
}

fn add_range(hash: &mut Sha256, path: &Path, offset: u64, bytes: u64) -> Result<(), SubjectError> {
    let failed = |cause| SubjectError::Read { path: path.to_path_buf(), cause };
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut left = bytes;
    let mut buffer = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK)).max(1)];
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(buffer.len()));
        match file.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(failed(io::Error::from(io::ErrorKind::UnexpectedEof))),
            Ok(count) => {
                hash.update(&buffer[..count]);
                left -= count as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(())
}

/// Hash of all that decides how text becomes tokens: the metadata `tokenizer.*` in the order of their keys. The
/// chat template is left out: it is text that is put around, and it changes without the tokens doing so. Empty
/// when there is no tokenizer.
pub(super) fn of_tokenizer(metadata: &Metadata) -> String {
    let mut pairs: Vec<(&str, &Value)> = metadata
        .pairs()
        .filter(|(key, _)| key.starts_with("tokenizer.") && !key.starts_with("tokenizer.chat_template"))
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    pairs.sort_by_key(|(key, _)| *key);
    let mut hash = Sha256::new();
    for (key, value) in pairs {
        add_bytes(&mut hash, key.as_bytes());
        add_value(&mut hash, value);
    }
    format!("sha256:{}", hexadecimal(hash))
}

/// With its length in front, so that no two lists of strings look alike.
fn add_bytes(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn add_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::String(bytes) => add_bytes(hash, bytes),
        Value::Array(array) => add_array(hash, array),
        Value::F32(number) => hash.update(f64::from(*number).to_le_bytes()),
        Value::F64(number) => hash.update(number.to_le_bytes()),
        Value::Bool(flag) => hash.update([u8::from(*flag)]),
        // Whole numbers count by their value: another width means the same.
        _ => match value.unsigned() {
            Some(number) => hash.update(number.to_le_bytes()),
            None => add_bytes(hash, format!("{value:?}").as_bytes()),
        },
    }
}

fn add_array(hash: &mut Sha256, array: &Array) {
    hash.update((array.len() as u64).to_le_bytes());
    match array {
        Array::String(strings) => strings.iter().for_each(|string| add_bytes(hash, string)),
        Array::F32(items) => items.iter().for_each(|item| hash.update(item.to_le_bytes())),
        Array::F64(items) => items.iter().for_each(|item| hash.update(item.to_le_bytes())),
        Array::I32(items) => items.iter().for_each(|item| hash.update(item.to_le_bytes())),
        Array::Array(items) => items.iter().for_each(|item| add_array(hash, item)),
        // The rest is rare in tokenizers and short.
        other => add_bytes(hash, format!("{other:?}").as_bytes()),
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};

    #[test]
    fn sampled_blocks_lie_within_the_tensor_and_reach_both_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        write_tiny(&path, &TinyModel::new(TinyArchitecture::Llama)).unwrap();
        let model = Model::open(&path).unwrap();
        let mut range = model.tensor_ranges().next().unwrap();
        range.bytes = 1_000_003;
        range.offset = 100;
        let blocks = blocks(&range);
        assert_eq!(blocks.len(), 16);
        assert_eq!(blocks[0], (100, BLOCK));
        assert_eq!(blocks[15], (100 + 1_000_003 - BLOCK, BLOCK));
        assert!(blocks.windows(2).all(|pair| pair[0].0 + BLOCK <= pair[1].0));
        range.bytes = 10;
        assert_eq!(super::blocks(&range), [(100, 10)]);
    }

    #[test]
    fn a_sampled_hash_sees_another_header_or_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        write_tiny(&path, &TinyModel::new(TinyArchitecture::Llama)).unwrap();
        let sample = || {
            let mut hash = Sha256::new();
            sampled(&Model::open(&path).unwrap(), &mut hash).map(|()| hexadecimal(hash))
        };
        let first = sample().unwrap();
        assert_eq!(first, sample().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_ne!(first, sample().unwrap());
        std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        let cut = sample().unwrap_err().to_string();
        assert!(cut.contains("a.gguf"), "{cut}");
    }

    #[test]
    fn a_tokenizer_is_its_tokens_not_its_order_or_template() {
        let mut first = Metadata::new();
        first.set("tokenizer.ggml.model", "gpt2");
        first.set("tokenizer.ggml.bos_token_id", 1_u32);
        let mut second = Metadata::new();
        second.set("general.name", "other");
        second.set("tokenizer.chat_template", "{{ x }}");
        second.set("tokenizer.ggml.bos_token_id", 1_u64);
        second.set("tokenizer.ggml.model", "gpt2");
        assert_eq!(of_tokenizer(&first), of_tokenizer(&second));
        second.set("tokenizer.ggml.bos_token_id", 2_u32);
        assert_ne!(of_tokenizer(&first), of_tokenizer(&second));
        assert_eq!(of_tokenizer(&Metadata::new()), "");
    }
}
