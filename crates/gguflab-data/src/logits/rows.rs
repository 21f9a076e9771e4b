//! Rows of a sketch: what they may be, and how the journal holds them.

use gguflab_types::evaluation::SketchRow;

use super::head::{Sketching, StoreHead};

/// How far a log-probability may lie above 0, and a mass above 1, by rounding.
const ROUNDING: f64 = 1e-4;

/// What is wrong with the rows of a chunk, in words. A row whose `nll` is NaN stands for logits that were no numbers:
/// it has no tokens.
pub(super) fn check_rows(
    chunk: u32,
    first: usize,
    rows: &[SketchRow],
    head: &StoreHead,
) -> Result<(), String> {
    let sketch =
        head.sketch.ok_or("it keeps whole rows, and sketched ones were given; record into another file")?;
    for (index, row) in rows.iter().enumerate() {
        if let Some(reason) = wrong(row, &sketch, head.vocabulary) {
            let position = first + index + head.windowing.first_scored() as usize;
            return Err(format!("chunk {chunk}, position {position}: {reason}; record it again"));
        }
    }
    Ok(())
}

fn wrong(row: &SketchRow, sketch: &Sketching, vocabulary: u32) -> Option<&'static str> {
    let counts = [
        (&row.head, &row.head_log_probability, sketch.head),
        (&row.tail, &row.tail_log_probability, sketch.tail),
    ];
    let is_log = |value: f64| value <= ROUNDING;
    if counts
        .iter()
        .any(|(tokens, values, most)| tokens.len() != values.len() || tokens.len() > *most as usize)
    {
        Some("the tokens are not as many as their probabilities, or more than the head says")
    } else if row.nll.is_nan() {
        (!row.head.is_empty() || !row.tail.is_empty())
            .then_some("it is no number and has tokens all the same")
    } else if counts.iter().any(|(tokens, _, _)| tokens.iter().any(|token| *token >= vocabulary)) {
        Some("a token is not in the vocabulary")
    } else if !counts.iter().all(|(_, values, _)| values.iter().all(|value| is_log(f64::from(*value)))) {
        Some("a log-probability is not a number of at most 0")
    } else if !is_log(-row.nll) || !(-ROUNDING..=1.0 + ROUNDING).contains(&row.tail_mass) {
        Some("the mass or the score of the token that came is impossible")
    } else {
        None
    }
}

/// Writes a record of the journal: some rows of one chunk. Layout, little endian: `u32` chunk, first, rows; for each row `f64` nll, tail mass, then head and
/// tail, each a `u32` count, that many `u32` tokens and as many `f32` log-probabilities.
pub(super) fn encode(chunk: u32, first: u32, rows: &[SketchRow]) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(rows.iter().map(|row| 24 + 8 * (row.head.len() + row.tail.len())).sum());
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    [chunk, first, count].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    for row in rows {
        bytes.extend(row.nll.to_le_bytes());
        bytes.extend(row.tail_mass.to_le_bytes());
        for (tokens, values) in
            [(&row.head, &row.head_log_probability), (&row.tail, &row.tail_log_probability)]
        {
            bytes.extend(u32::try_from(tokens.len()).unwrap_or(u32::MAX).to_le_bytes());
            tokens.iter().for_each(|token| bytes.extend(token.to_le_bytes()));
            values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
    }
    bytes
}

/// Chunk, first row and number of rows of a record; `None` when it is none.
pub(super) fn decode_place(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let mut bytes = bytes;
    Some((number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?))
}

/// The rows of a record; `None` when it is none.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<SketchRow>> {
    let (_, _, count) = decode_place(bytes)?;
    let mut bytes = bytes.get(12..)?;
    let rows: Option<Vec<SketchRow>> = (0..count).map(|_| decode_row(&mut bytes)).collect();
    rows.filter(|_| bytes.is_empty())
}

fn decode_row(bytes: &mut &[u8]) -> Option<SketchRow> {
    let nll = f64::from_le_bytes(take(bytes)?);
    let tail_mass = f64::from_le_bytes(take(bytes)?);
    let (head, head_log_probability) = decode_entries(bytes)?;
    let (tail, tail_log_probability) = decode_entries(bytes)?;
    Some(SketchRow { head, head_log_probability, tail, tail_log_probability, tail_mass, nll })
}

fn decode_entries(bytes: &mut &[u8]) -> Option<(Vec<u32>, Vec<f32>)> {
    let count = number(bytes)? as usize;
    let length = count.checked_mul(4)?;
    let (tokens, rest) = bytes.split_at_checked(length)?;
    let (values, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    let tokens = tokens.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect();
    let values = values.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    Some((tokens, values))
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
