//! The texts of a dataset as files that an engine can read, one for each language.

use super::WriteError;
use crate::evaluate::Text;
use crate::files::put;
use gguflab_data::dataset::{Dataset, DatasetError};
use gguflab_data::sums;
use std::collections::BTreeMap;
use std::path::Path;

/// Hexadecimal digits of the hash that names a file.
const DIGITS: usize = 24;

/// Writes the texts of a dataset into a folder, a file for each language (and one for all where there are none), each
/// record with a line end behind it. Files are named by their content, so that the same texts are the same files.
///
/// # Errors
/// [`WriteError`] when the dataset cannot be read or has no text, and when a file cannot be written.
pub fn write_texts(dataset: &Dataset, folder: &Path) -> Result<Vec<Text>, WriteError> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for record in dataset.records() {
        let record = record?;
        let Some(text) = record.text.filter(|text| !text.trim().is_empty()) else { continue };
        let of_language = texts.entry(record.language.unwrap_or_default()).or_default();
        of_language.push_str(&text);
        of_language.push('\n');
    }
    let name = &dataset.request().name;
    if texts.is_empty() {
        let reason = format!("none of its records has a text at `{}`", dataset.field().path);
        return Err(DatasetError::Empty { name: name.clone(), reason }.into());
    }
    std::fs::create_dir_all(folder).map_err(|cause| WriteError::file("make the folder", folder, cause))?;
    let mut files = Vec::new();
    for (language, text) in texts {
        let hash = sums::of_bytes(text.as_bytes());
        let digits: String = hash.chars().filter(char::is_ascii_hexdigit).take(DIGITS).collect();
        let path = folder.join(format!("{digits}.txt"));
        put(&path, |beside| std::fs::write(beside, &text))
            .map_err(|cause| WriteError::file("write", &path, cause))?;
        let label = if language.is_empty() { name.clone() } else { language };
        files.push(Text { label, path });
    }
    Ok(files)
}
