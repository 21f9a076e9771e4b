//! Names that exist and are like the one that was not found.

use crate::choose::models;
use crate::folder::{is_gguf, walk};
use crate::limits;
use crate::local::local_models;
use crate::places::Places;

/// Names like `name` that exist: GGUF files in the folder that it points into, models of Ollama, LM Studio and
/// the hub's cache; the most alike first.
pub(crate) fn near_names(name: &str, places: &Places) -> Vec<String> {
    let mut known = neighbours(name, places);
    known.extend(local_models(places).into_iter().map(|model| model.name));
    let mut scored: Vec<(usize, String)> =
        known.into_iter().filter_map(|other| unlikeness(name, &other).map(|score| (score, other))).collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(limits::NEAR_NAMES).map(|(_, other)| other).collect()
}

/// The GGUF files beside the path `name`, written as `name` is.
fn neighbours(name: &str, places: &Places) -> Vec<String> {
    let prefix = name.rfind('/').map_or("", |end| &name[..=end]);
    let files = walk(&places.current.join(prefix), 1, is_gguf).files;
    let names: Vec<String> = files.into_iter().map(|file| file.name).collect();
    models(&names).into_iter().map(|file| format!("{prefix}{file}")).collect()
}

/// How unlike two names are, from 0; None when they are too unlike to be meant. Whole names and their last parts
/// are compared, without origin, case, ending and the tag `latest`.
fn unlikeness(wanted: &str, known: &str) -> Option<usize> {
    let (wanted, known) = (core(wanted), core(known));
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let pairs = [(wanted.clone(), known.clone()), (last(&wanted), last(&known))];
    pairs.iter().filter_map(|(one, other)| unlikeness_of_cores(one, other)).min()
}

fn unlikeness_of_cores(wanted: &str, known: &str) -> Option<usize> {
    let shorter = wanted.len().min(known.len());
    if shorter >= 3 && (known.contains(wanted) || wanted.contains(known)) {
        return Some(1 + wanted.len().abs_diff(known.len()) / 8);
    }
    let distance = distance(wanted, known);
    (distance <= 1 + shorter / 4 && distance < shorter).then_some(distance)
}

fn core(name: &str) -> String {
    let lower: String = name.to_ascii_lowercase().chars().take(limits::COMPARED_CHARACTERS).collect();
    let origins = ["ollama:", "lmstudio:", "hf:"];
    let bare = origins.iter().find_map(|origin| lower.strip_prefix(origin)).unwrap_or(&lower);
    let bare = bare.strip_suffix(":latest").unwrap_or(bare);
    bare.strip_suffix(".gguf").unwrap_or(bare).to_owned()
}

/// Edit distance (Levenshtein 1966): insertions, deletions and substitutions, each 1.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, one) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(one != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_is_judged_as_a_reader_would() {
        for (wanted, known, alike) in [
            ("llama3.2", "ollama:llama3.2:1b", true),
            ("lama3", "ollama:llama3:latest", true),
            ("qwen2.5-0.5b-instruct", "lmstudio:Qwen/Qwen2.5-0.5B-Instruct-GGUF/q.gguf", true),
            ("Qwen/Qwen2.5-0.5B-Instruct", "lmstudio:Qwen/Qwen2.5-0.5B-Instruct-GGUF/q.gguf", true),
            ("modle.gguf", "model.gguf", true),
            ("model.gguf", "phi.gguf", false),
            ("ab", "ollama:abc:latest", true),
            ("x", "y.gguf", false),
        ] {
            assert_eq!(unlikeness(wanted, known).is_some(), alike, "{wanted} {known}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
