//! Works that `cargo xtask bench scoring` times from outside: it says each when it is done.
//!
//! `cargo run --release -p gguflab-stats --example scoring_time [ROUNDS]`
//!
//! Pairs of rows of 49,152 logits as a small model has them: about a fifth within 16 nats of the largest.

use gguflab_stats::score::{self, llama};
use gguflab_stats::{simulation, sketch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::hint::black_box;
use std::io::{Write, stdout};

/// Scored positions of a window of 512 tokens.
const ROWS: usize = 255;
const VOCABULARY: usize = 49_152;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(5), |word| word.parse::<usize>())?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let reference = rows(&mut random);
    let candidate: Vec<f32> =
        reference.iter().map(|logit| logit + 0.2 * (random.random::<f32>() - 0.5)).collect();
    let pairs = || reference.chunks(VOCABULARY).zip(candidate.chunks(VOCABULARY));
    let mut out = stdout().lock();
    writeln!(out, "ready")?;
    for _ in 0..rounds {
        pairs().for_each(|(one, other)| {
            black_box(score::pair(one, other, 7));
        });
        writeln!(out, "pair")?;
        pairs().for_each(|(one, other)| {
            black_box(as_llama_perplexity(one, other));
        });
        writeln!(out, "llama-perplexity")?;
        pairs().for_each(|(_, other)| {
            black_box(score::single(other, 7));
        });
        writeln!(out, "single")?;
        let mut sketches = Vec::with_capacity(ROWS);
        sketches.extend(pairs().map(|(one, _)| sketch::sketch(one, 7, sketch::Size::default(), &mut random)));
        writeln!(out, "sketch")?;
        for ((_, other), sketch) in pairs().zip(sketches.iter().flatten()) {
            black_box(sketch::score(sketch, other, 7));
        }
        writeln!(out, "sketch scored")?;
    }
    Ok(())
}

/// That tool's two runs: the reference's row encoded for the file, the candidate's held against it.
fn as_llama_perplexity(reference: &[f32], candidate: &[f32]) -> Option<llama::Score> {
    llama::score(&llama::encode(reference)?, candidate, 7)
}

fn rows(random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut rows: Vec<f32> =
        (0..ROWS * VOCABULARY).map(|_| (2.7 * simulation::normal(&mut || random.random())) as f32).collect();
    for row in rows.chunks_mut(VOCABULARY) {
        row[random.random_range(0..VOCABULARY)] = 18.0;
    }
    rows
}
