//! What is done to arbitrary bytes, shared by the property tests and the fuzz targets: nothing may panic.

use std::path::PathBuf;

use gguflab_format::{Header, Model, ModelFacts, ModelFile, SplitName, check};

/// Reads bytes as a header both ways, and everything that is read from a header.
pub(crate) fn header(bytes: &[u8]) {
    let parsed = Header::parse(bytes);
    let streamed = Header::read(bytes, None);
    let limited = Header::read(bytes, Some(bytes.len() as u64));
    assert_eq!(parsed.is_ok(), streamed.is_ok());
    assert_eq!(parsed.is_ok(), limited.is_ok());
    let Ok(header) = parsed else {
        return;
    };
    let file = ModelFile { path: PathBuf::from("any.gguf"), bytes: bytes.len() as u64, header };
    let model = Model::from(file);
    let facts = ModelFacts::read(&model);
    let layer = facts.block_count.unwrap_or(u64::MAX).wrapping_sub(1);
    let _ = facts.cache_elements(layer);
    let _ = facts.sliding_window.as_ref().map(|window| window.slides(layer));
    // One finding of each code for a file at most, whatever it holds.
    assert!(check(&model).len() <= 20);
}

/// Takes a name apart; what is put together again is the same.
pub(crate) fn split_name(name: &str) {
    if let Some(split) = SplitName::parse(name) {
        assert_eq!(split.part(split.number), name);
        assert!(split.number >= 1 && split.number <= split.count);
    }
}
