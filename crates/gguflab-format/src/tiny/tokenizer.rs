//! A byte-level byte-pair tokenizer of our own: 256 bytes, and merges learnt from a text of our own.
//!
//! Learning is plain byte-pair encoding (Sennrich, Haddow, Birch 2016) on bytes in the printable alphabet of
//! GPT-2 (Radford et al. 2019), which is what llama.cpp's tokenizer model `gpt2` expects.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::metadata::{Array, Metadata, StringArray};

/// Text that the merges are learnt from.
const TEXT: &str = include_str!("text.txt");

const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Tokens of the smallest vocabulary: llama.cpp needs at least one merge.
pub(super) const SMALLEST: usize = CONTROL.len() + 256 + 1;

/// Merges that are learnt at most; a larger vocabulary is filled up with unused tokens.
const MOST_MERGES: usize = 4096;

// Token types of llama.cpp (`llama_token_type` in llama.h).
const NORMAL_TOKEN: i32 = 1;
const CONTROL_TOKEN: i32 = 3;
const UNUSED_TOKEN: i32 = 5;

/// Adds a tokenizer of `size` tokens (at least [`SMALLEST`]) to the metadata.
pub(super) fn describe(size: usize, metadata: &mut Metadata) {
    let learnt = learnt();
    let (mut tokens, mut types, mut merges) = (Vec::new(), Vec::new(), Vec::new());
    tokens.extend(CONTROL.map(str::to_owned));
    types.extend([CONTROL_TOKEN; CONTROL.len()]);
    tokens.extend((0..=255).map(|byte| printable(byte).to_string()));
    for merge in learnt {
        if merge.new {
            if tokens.len() >= size {
                break;
            }
            tokens.push(format!("{}{}", merge.left, merge.right));
        }
        merges.push(format!("{} {}", merge.left, merge.right));
    }
    types.resize(tokens.len(), NORMAL_TOKEN);
    while tokens.len() < size {
        tokens.push(format!("<|unused_{}|>", tokens.len()));
    }
    types.resize(tokens.len(), UNUSED_TOKEN);
    metadata.set("tokenizer.ggml.model", "gpt2");
    metadata.set("tokenizer.ggml.pre", "smollm");
    metadata.set("tokenizer.ggml.tokens", strings(&tokens));
    metadata.set("tokenizer.ggml.token_type", Array::I32(types));
    metadata.set("tokenizer.ggml.merges", strings(&merges));
    metadata.set("tokenizer.ggml.bos_token_id", 1_u32);
    metadata.set("tokenizer.ggml.eos_token_id", 2_u32);
    metadata.set("tokenizer.ggml.unknown_token_id", 0_u32);
    metadata.set("tokenizer.ggml.padding_token_id", 2_u32);
    metadata.set("tokenizer.ggml.add_bos_token", false);
    metadata.set("tokenizer.ggml.add_space_prefix", false);
}

/// One learnt merge. The same text can arise from different parts; only the first makes a token.
struct Merge {
    left: String,
    right: String,
    new: bool,
}

/// The merges in the order learnt; learnt once for the life of the process.
fn learnt() -> &'static [Merge] {
    static MERGES: OnceLock<Vec<Merge>> = OnceLock::new();
    MERGES.get_or_init(|| learn(TEXT, MOST_MERGES))
}

fn learn(text: &str, most: usize) -> Vec<Merge> {
    let mut tokens: Vec<String> = (0..=255).map(|byte| printable(byte).to_string()).collect();
    let mut known: HashMap<String, usize> =
        tokens.iter().enumerate().map(|(index, token)| (token.clone(), index)).collect();
    let mut words = words(text);
    let mut merges = Vec::new();
    while merges.len() < most {
        let Some(pair) = most_frequent(&words) else {
            break;
        };
        let (left, right) = (tokens[pair.0].clone(), tokens[pair.1].clone());
        let joined = format!("{left}{right}");
        let new = !known.contains_key(&joined);
        let index = *known.entry(joined.clone()).or_insert(tokens.len());
        if new {
            tokens.push(joined);
        }
        for (word, _) in &mut words {
            *word = merged(word, pair, index);
        }
        words.retain(|(word, _)| word.len() > 1);
        merges.push(Merge { left, right, new });
    }
    merges
}

/// The words of a text as byte tokens, with how often each occurs. A word is letters with the blank before
/// them, or a run of other marks; digits and line ends stay alone, because llama.cpp's splitting (`smollm`)
/// never joins them with others.
fn words(text: &str) -> Vec<(Vec<usize>, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut word = String::new();
    for letter in text.chars() {
        let joins = match word.chars().last() {
            None => true,
            Some(' ') => letter.is_alphabetic() || letter.is_ascii_punctuation(),
            Some(last) if last.is_alphabetic() => letter.is_alphabetic(),
            Some(last) => last.is_ascii_punctuation() && letter.is_ascii_punctuation(),
        };
        if !joins {
            *counts.entry(std::mem::take(&mut word)).or_default() += 1;
        }
        word.push(letter);
    }
    *counts.entry(word).or_default() += 1;
    counts.into_iter().map(|(word, count)| (word.bytes().map(usize::from).collect(), count)).collect()
}

/// The pair of neighbours that occurs most often; of equals the one that is first by its tokens, so that the
/// result does not depend on any hash.
fn most_frequent(words: &[(Vec<usize>, u64)]) -> Option<(usize, usize)> {
    let mut counts: HashMap<(usize, usize), u64> = HashMap::new();
    for (word, count) in words {
        for [left, right] in word.array_windows() {
            *counts.entry((*left, *right)).or_default() += count;
        }
    }
    let best = counts.into_iter().max_by_key(|(pair, count)| (*count, std::cmp::Reverse(*pair)));
    best.map(|(pair, _)| pair)
}

fn merged(word: &[usize], pair: (usize, usize), index: usize) -> Vec<usize> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        if *first == pair.0 && tail.first() == Some(&pair.1) {
            out.push(index);
            rest = &tail[1..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// The letter that stands for a byte in GPT-2's alphabet: printable Latin-1 for itself, the others from U+0100
/// on in order.
fn printable(byte: u8) -> char {
    let shows = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if shows(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|other| !shows(*other)).count() as u32;
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn strings(items: &[String]) -> StringArray {
    let mut strings = StringArray::new();
    for item in items {
        // A few thousand short tokens are far below the limit, so nothing is ever refused.
        let _ = strings.push(item.as_bytes());
    }
    strings
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn alphabet_is_that_of_gpt2() {
        let cases = [(b'a', 'a'), (b' ', 'Ġ'), (b'\n', 'Ċ'), (0, 'Ā'), (255, 'ÿ'), (173, 'Ń'), (127, 'ġ')];
        for (byte, letter) in cases {
            assert_eq!(printable(byte), letter, "{byte}");
        }
        let all: HashSet<char> = (0..=255).map(printable).collect();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn learns_the_pairs_in_order_of_frequency() {
        let merges = learn("low low low lower lower newest newest newest newest", 4);
        let shown: Vec<String> =
            merges.iter().map(|merge| format!("{}+{}", merge.left, merge.right)).collect();
        // "we" occurs 6 times, then "Ġ l", "lo", … by count and then by token number.
        assert_eq!(shown.len(), 4);
        assert_eq!(shown[0], "w+e");
        assert!(merges.iter().all(|merge| merge.new));
    }

    #[test]
    fn every_part_and_result_of_a_merge_is_a_token_and_tokens_are_distinct() {
        for size in [SMALLEST, 1000, 2048, 10_000] {
            let mut metadata = Metadata::new();
            describe(size, &mut metadata);
            let texts = |key: &str| -> Vec<String> {
                let array = metadata.strings(key).expect("an array");
                array.iter().map(|text| String::from_utf8(text.to_vec()).expect("text")).collect()
            };
            let tokens = texts("tokenizer.ggml.tokens");
            let distinct: HashSet<&str> = tokens.iter().map(String::as_str).collect();
            assert_eq!((tokens.len(), distinct.len()), (size, size));
            let merges = texts("tokenizer.ggml.merges");
            assert!(!merges.is_empty());
            for merge in merges {
                let (left, right) = merge.split_once(' ').expect("two parts");
                for part in [left, right, &format!("{left}{right}")] {
                    assert!(distinct.contains(part), "{merge}");
                }
            }
        }
    }

    #[test]
    fn the_text_fills_the_usual_vocabulary() {
        let mut metadata = Metadata::new();
        describe(2048, &mut metadata);
        let Some(Array::I32(types)) = metadata.array("tokenizer.ggml.token_type") else {
            panic!("no types");
        };
        let count = |kind: i32| types.iter().filter(|found| **found == kind).count();
        assert_eq!((count(CONTROL_TOKEN), count(NORMAL_TOKEN), count(UNUSED_TOKEN)), (3, 2045, 0));
    }
}
