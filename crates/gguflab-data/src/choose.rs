//! Chooses one model among the files of a folder or repository.

use gguflab_format::SplitName;

use crate::error::DataError;
use crate::folder::{is_gguf, part_names};

/// The name among `names` (paths with `/`) that `wanted` chooses, or the only model there. `wanted` is a file's
/// name or path, or a quantisation such as `Q4_K_M`. Of a split model the name of its first part is given, even
/// where that part is missing.
pub(crate) fn choose(names: &[String], wanted: Option<&str>, place: &str) -> Result<String, DataError> {
    let models = models(names);
    let matching = match wanted {
        None => models.clone(),
        Some(wanted) => matching(names, &models, wanted),
    };
    match (matching.as_slice(), wanted) {
        ([only], _) => Ok(only.clone()),
        ([], _) if models.is_empty() => Err(DataError::NoModel { place: place.to_owned() }),
        ([], wanted) => {
            let wanted = wanted.unwrap_or_default().to_owned();
            Err(DataError::NoMatch { place: place.to_owned(), wanted, choices: models })
        }
        (several, _) => Err(DataError::Several { place: place.to_owned(), choices: several.to_vec() }),
    }
}

/// The models among the files: split ones once, by their first part. Projectors of vision models and importance
/// matrices are GGUF files that are no models; they count only where there is nothing else.
pub(crate) fn models(names: &[String]) -> Vec<String> {
    let mut firsts: Vec<String> = Vec::new();
    for name in names.iter().filter(|name| is_gguf(name)) {
        let first = part_names(name).swap_remove(0);
        if !firsts.contains(&first) {
            firsts.push(first);
        }
    }
    let models: Vec<String> = firsts.iter().filter(|name| !is_companion(name)).cloned().collect();
    if models.is_empty() { firsts } else { models }
}

/// Whether the file goes with a model but is none, by the names that llama.cpp's tools give.
fn is_companion(name: &str) -> bool {
    let file = base_name(name).to_ascii_lowercase();
    file.starts_with("mmproj") || file.starts_with("imatrix") || file.contains("-mmproj")
}

/// The most exact kind of agreement that any model has with `wanted` decides: the file itself, then its name
/// without ending, then `wanted` as whole words in the name, then anywhere in it.
fn matching(names: &[String], models: &[String], wanted: &str) -> Vec<String> {
    if let Some(name) = names.iter().find(|name| *name == wanted || base_name(name) == wanted) {
        return vec![part_names(name).swap_remove(0)];
    }
    let wanted = wanted.to_ascii_lowercase();
    let kinds: [fn(&str, &str) -> bool; 3] = [is_stem, has_words, |name, wanted| name.contains(wanted)];
    for agrees in kinds {
        let found: Vec<String> =
            models.iter().filter(|name| agrees(&name.to_ascii_lowercase(), &wanted)).cloned().collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn is_stem(name: &str, wanted: &str) -> bool {
    let file = base_name(name);
    let stem = SplitName::parse(file).map(|split| split.prefix);
    stem.as_deref().or(file.strip_suffix(".gguf")) == Some(wanted) || file == wanted
}

/// Whether `wanted` stands in `name` as whole words, so that `q4_k` is not found in `q4_k_m`.
fn has_words(name: &str, wanted: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.match_indices(wanted).any(|(start, found)| {
        let before = name[..start].chars().next_back();
        let after = name[start + found.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &str, wanted: Option<&str>, expected: &str) {
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let got = match choose(&names, wanted, "here") {
            Ok(name) => name,
            Err(DataError::Several { choices, .. }) => format!("several: {}", choices.join(" ")),
            Err(DataError::NoMatch { choices, .. }) => format!("no match: {}", choices.join(" ")),
            Err(DataError::NoModel { .. }) => "no model".to_owned(),
            Err(other) => other.to_string(),
        };
        assert_eq!(got, expected, "{wanted:?} in {names:?}");
    }

    #[test]
    fn one_model_is_chosen_or_the_choices_are_listed() {
        let quants = "m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q4_K.gguf m-Q8_0.gguf mmproj-f16.gguf readme.md";
        let split = "Q4/m-00002-of-00002.gguf Q4/m-00001-of-00002.gguf";
        for (names, wanted, expected) in [
            ("", None, "no model"),
            ("readme.md model.safetensors", None, "no model"),
            ("readme.md", Some("Q4_0"), "no model"),
            ("m.GGUF readme.md", None, "m.GGUF"),
            (".gguf", None, "no model"),
            ("m.gguf mmproj-m-f16.gguf imatrix.gguf", None, "m.gguf"),
            ("mmproj-m-f16.gguf", None, "mmproj-m-f16.gguf"),
            (split, None, "Q4/m-00001-of-00002.gguf"),
            (split, Some("m-00002-of-00002.gguf"), "Q4/m-00001-of-00002.gguf"),
            (split, Some("m"), "Q4/m-00001-of-00002.gguf"),
            (split, Some("q4"), "Q4/m-00001-of-00002.gguf"),
            ("m-00002-of-00002.gguf", None, "m-00001-of-00002.gguf"),
            (quants, None, "several: m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q4_K.gguf m-Q8_0.gguf"),
            (quants, Some("Q4_K_M"), "m-Q4_K_M.gguf"),
            (quants, Some("q4_k"), "m-Q4_K.gguf"),
            (quants, Some("Q4"), "several: m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q4_K.gguf"),
            (quants, Some("Q8"), "m-Q8_0.gguf"),
            (quants, Some("mmproj-f16.gguf"), "mmproj-f16.gguf"),
            (quants, Some("Q6_K"), "no match: m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q4_K.gguf m-Q8_0.gguf"),
            ("m-Q4_0.gguf m-UD-Q4_0.gguf", Some("Q4_0"), "several: m-Q4_0.gguf m-UD-Q4_0.gguf"),
            ("m-Q4_0.gguf m-UD-Q4_0.gguf", Some("m-Q4_0"), "m-Q4_0.gguf"),
        ] {
            check(names, wanted, expected);
        }
    }
}
