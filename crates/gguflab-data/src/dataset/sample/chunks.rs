//! Chunks in which all languages are present as they are in the whole.

use std::collections::{BTreeMap, VecDeque};

use super::take::{count, tokens_of};
use super::tokens::CountTokens;
use crate::dataset::error::DatasetError;

/// Pieces of a language that are looked at for one that still fits into a chunk.
const LOOKED_AT: usize = 16;

/// A record that was taken, or a part of one. Pieces are ordered by rank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) rank: u64,
    /// Which part of its record it is, from 0.
    pub(super) part: u64,
    pub(super) source: usize,
    pub(super) row: u64,
    pub(super) language: String,
    pub(super) text: String,
    pub(super) tokens: u64,
}

/// One record after the other, in the order of their ranks.
pub(super) fn one_by_one(taken: Vec<Piece>) -> Vec<(u64, Piece)> {
    (0..).zip(taken).collect()
}

/// Cuts what is longer than a chunk at white space, or within a word where there is none; gives how many records
/// were cut.
pub(super) fn cut_long(
    taken: Vec<Piece>,
    most: u64,
    counter: &mut dyn CountTokens,
) -> Result<(Vec<Piece>, u64), DatasetError> {
    let (mut pieces, mut cut) = (Vec::with_capacity(taken.len()), 0);
    for piece in taken {
        if piece.tokens <= most {
            pieces.push(piece);
            continue;
        }
        cut += 1;
        let texts = cut_text(&piece.text, most, counter)?;
        let of = |(part, text): (u64, String)| Piece { part, text, ..piece.clone() };
        let mut parts: Vec<Piece> = (0..).zip(texts).map(of).collect();
        count(&mut parts, counter)?;
        pieces.extend(parts);
    }
    Ok((pieces, cut))
}

/// A text in parts of at most so many tokens each; a part has at least one character.
fn cut_text(text: &str, most: u64, counter: &mut dyn CountTokens) -> Result<Vec<String>, DatasetError> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = fitting(rest, most, counter)?;
        let (part, after) = rest.split_at(end);
        if !part.trim_end().is_empty() {
            parts.push(part.trim_end().to_owned());
        }
        rest = after.trim_start();
    }
    Ok(parts)
}

/// Where the longest beginning of a text that has at most so many tokens ends, by bisection over its white space;
/// over its characters where not even the first word fits.
fn fitting(text: &str, most: u64, counter: &mut dyn CountTokens) -> Result<usize, DatasetError> {
    let spaces = text.char_indices().filter(|(at, character)| *at > 0 && character.is_whitespace());
    let ends: Vec<usize> = spaces.map(|(at, _)| at).chain([text.len()]).collect();
    let found = longest(text, &ends, most, counter)?;
    if let Some(end) = found {
        return Ok(end);
    }
    let word = &text[..ends.first().copied().unwrap_or(text.len())];
    let ends: Vec<usize> = word.char_indices().skip(1).map(|(at, _)| at).chain([word.len()]).collect();
    let first = ends.first().copied().unwrap_or(text.len());
    Ok(longest(text, &ends, most, counter)?.unwrap_or(first))
}

/// The last of some ends up to which a text has at most so many tokens.
fn longest(
    text: &str,
    ends: &[usize],
    most: u64,
    counter: &mut dyn CountTokens,
) -> Result<Option<usize>, DatasetError> {
    let (mut low, mut high) = (0, ends.len());
    while low < high {
        let middle = (low + high) / 2;
        let beginning = format!("{}\n", text[..ends[middle]].trim_end());
        let tokens = tokens_of(&[&beginning], counter)?.first().copied().unwrap_or(0);
        if tokens <= most { low = middle + 1 } else { high = middle }
    }
    Ok(low.checked_sub(1).map(|last| ends[last]))
}

/// The pieces of one language that are still to be placed.
struct Queue {
    pieces: VecDeque<Piece>,
    /// Tokens of all its pieces, and of those that are placed.
    tokens: u64,
    placed: u64,
}

impl Queue {
    /// How far it is behind its share when `placed` of `all` tokens are placed. In tokens.
    fn behind(&self, placed: u64, all: u64) -> f64 {
        self.tokens as f64 * placed as f64 / all.max(1) as f64 - self.placed as f64
    }

    /// The first of its next pieces that fits.
    fn take(&mut self, room: u64) -> Option<Piece> {
        let fits = self.pieces.iter().take(LOOKED_AT).position(|piece| piece.tokens <= room)?;
        let piece = self.pieces.remove(fits)?;
        self.placed += piece.tokens;
        Some(piece)
    }
}

/// Fills chunk after chunk: next always comes the language that is furthest behind its share of the whole and has a
/// piece that fits. Where none has, the chunk ends; nothing is left over at the end.
pub(super) fn balanced(taken: Vec<Piece>, most: u64) -> Vec<(u64, Piece)> {
    let all = taken.iter().map(|piece| piece.tokens).sum();
    let mut queues: BTreeMap<String, Queue> = BTreeMap::new();
    for piece in taken {
        let empty = || Queue { pieces: VecDeque::new(), tokens: 0, placed: 0 };
        let queue = queues.entry(piece.language.clone()).or_insert_with(empty);
        queue.tokens += piece.tokens;
        queue.pieces.push_back(piece);
    }
    let mut queues: Vec<Queue> = queues.into_values().collect();
    let (mut done, mut chunk, mut room, mut placed) = (Vec::new(), 0, most, 0);
    while queues.iter().any(|queue| !queue.pieces.is_empty()) {
        queues.sort_by(|one, other| other.behind(placed, all).total_cmp(&one.behind(placed, all)));
        // Into an empty chunk anything goes, so that this ends.
        let allowed = if room == most { u64::MAX } else { room };
        let Some(piece) = queues.iter_mut().find_map(|queue| queue.take(allowed)) else {
            (chunk, room) = (chunk + 1, most);
            continue;
        };
        placed += piece.tokens;
        room = room.saturating_sub(piece.tokens);
        done.push((chunk, piece));
        if room == 0 {
            (chunk, room) = (chunk + 1, most);
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::super::tokens::TokenEstimate;
    use super::*;

    fn piece(language: &str, row: u64, words: usize) -> Piece {
        let text = vec!["abc"; words].join(" ");
        let tokens = words as u64;
        Piece { rank: row, part: 0, source: 0, row, language: language.to_owned(), text, tokens }
    }

    #[test]
    fn chunks_hold_every_language_and_lose_nothing() {
        let sizes = |seed: u64| (0..60).map(move |row| (row, 1 + (row * seed % 37) as usize));
        let mut taken: Vec<Piece> = sizes(7).map(|(row, words)| piece("en", row, words)).collect();
        taken.extend(sizes(11).map(|(row, words)| piece("fr", row, words)));
        taken.extend(sizes(5).take(20).map(|(row, words)| piece("de", row, words)));
        let all: u64 = taken.iter().map(|piece| piece.tokens).sum();
        let placed = balanced(taken.clone(), 100);
        assert_eq!(placed.len(), taken.len());
        let chunks = placed.last().expect("chunks").0 + 1;
        assert!(chunks <= all.div_ceil(100) * 11 / 10 + 1, "{chunks} chunks for {all} tokens");
        for chunk in 0..chunks {
            let inside = || placed.iter().filter(|(number, _)| *number == chunk).map(|(_, piece)| piece);
            assert!(inside().map(|piece| piece.tokens).sum::<u64>() <= 100);
            let has = |language: &str| inside().any(|piece| piece.language == language);
            assert!(chunk + 3 >= chunks || (has("en") && has("fr")), "chunk {chunk}");
        }
        assert_eq!(placed, balanced(taken, 100));
    }

    #[test]
    fn long_records_are_cut_and_whole_in_the_end() {
        let mut counter = TokenEstimate { bytes: 4.0 };
        let mut long = piece("en", 3, 100);
        long.text += &"x".repeat(90);
        count(std::slice::from_mut(&mut long), &mut counter).expect("counted");
        let text = long.text.clone();
        let (pieces, cut) = cut_long(vec![long, piece("en", 4, 2)], 10, &mut counter).expect("cut");
        assert_eq!((cut, pieces.last().map(|piece| piece.row)), (1, Some(4)));
        assert!(pieces.iter().all(|piece| piece.tokens <= 10 && !piece.text.is_empty()), "{pieces:?}");
        let without = |text: &str| text.split_whitespace().collect::<String>();
        let parts: String =
            pieces.iter().filter(|piece| piece.row == 3).map(|piece| without(&piece.text)).collect();
        assert_eq!(parts, without(&text));
    }

    #[test]
    fn what_can_never_fit_still_ends() {
        let mut counter = TokenEstimate { bytes: 0.1 };
        let mut wide = vec![piece("zh", 0, 1)];
        wide[0].text = "語言".to_owned();
        count(&mut wide, &mut counter).expect("counted");
        let (pieces, _) = cut_long(wide, 5, &mut counter).expect("cut");
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, ["語", "言"]);
        assert_eq!(balanced(pieces, 5).len(), 2);
    }
}
