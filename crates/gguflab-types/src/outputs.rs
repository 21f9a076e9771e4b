//! What follows fixed tokens: what an engine is asked to read, and the file of logits, or of likeliest tokens, that it writes.

use serde::{Deserialize, Serialize};

/// Passages of the prompt text that are read, and the positions whose logits are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Passages, each read into an empty cache.
    pub passages: u32,
    /// Tokens of a passage.
    pub length: u32,
    /// Tokens at its end that are decoded one at a time, as generation does; those before them go in batches.
    pub steps: u32,
    /// Positions of each passage whose logits are kept, ascending.
    pub positions: Vec<u32>,
}

impl Reading {
    /// Rows of logits that come of it.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let kept = self.positions.iter().filter(|position| **position < self.length).count();
        self.passages.saturating_mul(u32::try_from(kept).unwrap_or(u32::MAX))
    }
}

/// What a row holds of the tokens that may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowForm {
    /// The logit (`f32`) of each token of the vocabulary.
    Logits,
    /// The likeliest tokens, the likeliest first: the token (`i32`) and the logarithm of its probability among all tokens
    /// (`f32`, not a number where the engine gives none).
    Likeliest,
}

impl RowForm {
    const ALL: [RowForm; 2] = [RowForm::Logits, RowForm::Likeliest];

    /// First bytes of a file of such rows.
    fn magic(self) -> [u8; 8] {
        match self {
            RowForm::Logits => *b"GGUFLOG1",
            RowForm::Likeliest => *b"GGUFTOP1",
        }
    }

    /// Bytes of what a row holds of one token.
    fn bytes(self) -> u64 {
        match self {
            RowForm::Logits => 4,
            RowForm::Likeliest => 8,
        }
    }
}

/// The head of a file of outputs. After it come [`Head::rows`] rows, passage after passage: the token that was read (`i32`)
/// and what may follow it; all of it little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What a row holds.
    pub form: RowForm,
    /// Tokens of a row: those of the vocabulary, or the likeliest ones that are kept.
    pub width: u32,
    /// Rows.
    pub rows: u32,
}

impl Head {
    /// Bytes of a head.
    pub const BYTES: usize = 16;

    /// The head as it stands in the file.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Head::BYTES] {
        let mut bytes = [0; Head::BYTES];
        bytes[..8].copy_from_slice(&self.form.magic());
        bytes[8..12].copy_from_slice(&self.width.to_le_bytes());
        bytes[12..].copy_from_slice(&self.rows.to_le_bytes());
        bytes
    }

    /// Reads a head; `None` when the file is no file of outputs.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Head::BYTES]) -> Option<Head> {
        let [magic @ .., v0, v1, v2, v3, r0, r1, r2, r3] = bytes;
        let form = RowForm::ALL.into_iter().find(|form| form.magic() == magic)?;
        Some(Head {
            form,
            width: u32::from_le_bytes([v0, v1, v2, v3]),
            rows: u32::from_le_bytes([r0, r1, r2, r3]),
        })
    }

    /// Bytes of one row.
    #[must_use]
    pub fn row_bytes(self) -> u64 {
        4 + self.form.bytes() * u64::from(self.width)
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn file_bytes(self) -> u64 {
        Head::BYTES as u64 + u64::from(self.rows) * self.row_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_file() {
        let head = Head { form: RowForm::Logits, width: 49_152, rows: 256 };
        let likeliest = Head { form: RowForm::Likeliest, width: 100, rows: 3 };
        for head in [head, likeliest] {
            assert_eq!(Head::from_bytes(head.to_bytes()), Some(head));
        }
        assert_eq!(Head::from_bytes([0; Head::BYTES]), None);
        assert_eq!(head.file_bytes(), 16 + 256 * (4 + 4 * 49_152));
        assert_eq!(likeliest.file_bytes(), 16 + 3 * (4 + 8 * 100));
    }

    #[test]
    fn rows_are_the_positions_inside_of_a_passage() {
        let reading = Reading { passages: 3, length: 8, steps: 2, positions: vec![1, 7, 8] };
        assert_eq!(reading.rows(), 6);
    }
}
