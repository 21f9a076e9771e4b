//! Names of split files: `NAME-00002-of-00006.gguf` (llama.cpp's `llama_split_path`).

use crate::limits;

/// A file name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitName {
    /// Everything before `-00002-of-00006.gguf`; may be empty.
    pub prefix: String,
    /// Which part, from 1.
    pub number: u32,
    /// Parts in all, at least `number`.
    pub count: u32,
}

/// Metadata key of a part's number, from 0.
pub const NUMBER_KEY: &str = "split.no";
/// Metadata key of the number of parts.
pub const COUNT_KEY: &str = "split.count";
/// Metadata key of the number of tensors in all parts.
pub const TENSORS_KEY: &str = "split.tensors.count";

impl SplitName {
    /// Takes a file name (no folders) apart. None if it is not the name of a part.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<SplitName> {
        let stem = file_name.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let (number, count) = (digits(number)?, digits(count)?);
        let valid = number >= 1 && number <= count && count <= limits::SPLIT_PARTS;
        valid.then(|| SplitName { prefix: prefix.to_owned(), number, count })
    }

    /// The file name of part `number` of the same model.
    #[must_use]
    pub fn part(&self, number: u32) -> String {
        format!("{}-{number:05}-of-{:05}.gguf", self.prefix, self.count)
    }
}

/// Exactly five digits, as llama.cpp writes and expects them.
fn digits(text: &str) -> Option<u32> {
    let five = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if five { text.parse().ok() } else { None }
}
