//! What the tests of logit stores share: heads, rows, and files that are damaged.

use std::path::Path;

use gguflab_data::logits::{STORE_FORMAT, Sketching, StoreHead, StoredModel};
use gguflab_types::evaluation::{SketchRow, WindowRule, Windowing};

/// Numbers that look random and are always the same.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform below a bound.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(((self.0 >> 33) * u64::from(bound)) >> 31).expect("a number below the bound")
    }

    /// Uniform between 0 and 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (f64::from(self.below(1 << 30)) + 0.5) / f64::from(1 << 30)
    }
}

/// The head of a small store: three chunks, the last of them short.
pub(crate) fn head(rule: WindowRule) -> StoreHead {
    let mut tokens: Vec<Vec<i32>> =
        (0..3).map(|chunk| (0..8).map(|token| chunk * 8 + token).collect()).collect();
    if rule == WindowRule::EveryPosition {
        tokens[2].truncate(3);
    }
    StoreHead {
        format: STORE_FORMAT,
        model: Some(StoredModel { name: "tiny".to_owned(), fingerprint: "sha256:1".to_owned() }),
        tokenizer: Some("sha256:2".to_owned()),
        text: Some("sha256:3".to_owned()),
        windowing: Windowing { rule, context: 8 },
        start_token: Some(0),
        vocabulary: 101,
        sketch: Some(Sketching { head: 6, tail: 3, seed: 7 }),
        engine: Some("b1".to_owned()),
        text_chunks: 9,
        first_chunk: 4,
        tokens,
    }
}

/// Rows as a model of such a vocabulary makes them: `spread` is how far the logits lie apart, in nats.
pub(crate) fn rows(head: &StoreHead, chunk: u32, spread: f64) -> Vec<SketchRow> {
    let mut numbers = Numbers::new(u64::from(chunk) + 1);
    (0..head.scored_rows(chunk)).map(|_| row(head, &mut numbers, spread)).collect()
}

fn row(head: &StoreHead, numbers: &mut Numbers, spread: f64) -> SketchRow {
    let vocabulary = head.vocabulary as usize;
    // Sums of uniform numbers stand in for the bell curve of logits.
    let logits: Vec<f64> =
        (0..vocabulary).map(|_| (0..6).map(|_| numbers.unit()).sum::<f64>() * spread).collect();
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() + largest;
    let mut order: Vec<u32> = (0..head.vocabulary).collect();
    order.sort_by(|one, other| logits[*other as usize].total_cmp(&logits[*one as usize]));
    let of = |token: u32| (logits[token as usize] - total) as f32;
    let sketch = head.sketch.expect("a sketch");
    let (kept, others) = order.split_at(sketch.head as usize);
    let mass: f64 = others.iter().map(|token| f64::from(of(*token)).exp()).sum();
    let tail: Vec<u32> = (0..sketch.tail).map(|_| drawn(others, mass * numbers.unit(), of)).collect();
    SketchRow {
        head: kept.to_vec(),
        head_log_probability: kept.iter().map(|token| of(*token)).collect(),
        tail_log_probability: tail.iter().map(|token| of(*token)).collect(),
        tail,
        tail_mass: mass,
        nll: -f64::from(of(kept[0])),
    }
}

/// The token at which the mass of those before it reaches a part of all.
fn drawn(tokens: &[u32], mut left: f64, of: impl Fn(u32) -> f32) -> u32 {
    for token in tokens {
        left -= f64::from(of(*token)).exp();
        if left < 0.0 {
            return *token;
        }
    }
    *tokens.last().expect("a token outside of the head")
}

/// The files in a folder, by name.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
