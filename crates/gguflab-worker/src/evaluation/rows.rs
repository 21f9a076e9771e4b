//! Scores the rows of a batch, a share of them on each thread.

use super::side::{Logits, Rows};
use gguflab_native::NativeError;
use gguflab_stats::score::llama::{self, Encoded};
use gguflab_stats::score::{self, Single};
use gguflab_stats::sketch::{self, SketchScore};
use gguflab_types::evaluation::{SketchRow, TokenScores};

/// What is scored, and by how many threads.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    /// The token that came after each scored position.
    pub(super) targets: &'a [u32],
    pub(super) threads: usize,
}

/// What rows, one for each target, say of the tokens that came.
pub(super) fn alone(rows: &Rows<'_>, batch: Batch<'_>, scores: &mut TokenScores) {
    let nll: Vec<Option<f64>> = match rows {
        Rows::Logits(logits) => batch.each(&|index, token| score::single(logits.row(index), token).nll),
        Rows::Sketches(rows) => {
            batch.each(&|index, _| rows.get(index).map(|row| row.nll).filter(|nll| nll.is_finite()))
        }
        Rows::Encoded(rows) => {
            batch.each(&|index, token| Some(-f64::from(rows.get(index)?.as_ref()?.log_probability(token)?)))
        }
    };
    scores.nll.extend(nll);
}

/// What the rows of a candidate say of the tokens that came, and how far they are from those of the reference.
pub(super) fn compared(
    reference: &Rows<'_>,
    candidate: &Rows<'_>,
    batch: Batch<'_>,
    scores: &mut TokenScores,
) -> Result<(), NativeError> {
    let found: Vec<Found> = match (reference, candidate) {
        (Rows::Logits(one), Rows::Logits(other)) => {
            batch.each(&|index, token| pair(*one, other.row(index), index, token))
        }
        (Rows::Logits(one), Rows::Encoded(other)) => {
            batch.each(&|index, token| pair(*one, &decoded(other, index), index, token))
        }
        (Rows::Sketches(one), Rows::Logits(other)) => {
            batch.each(&|index, token| sketched(one, other.row(index), index, token))
        }
        (Rows::Sketches(one), Rows::Encoded(other)) => {
            batch.each(&|index, token| sketched(one, &decoded(other, index), index, token))
        }
        (Rows::Encoded(one), Rows::Logits(other)) => {
            batch.each(&|index, token| encoded(one, other.row(index), index, token))
        }
        (Rows::Encoded(one), Rows::Encoded(other)) => {
            batch.each(&|index, token| encoded(one, &decoded(other, index), index, token))
        }
        (Rows::Sketches(one), Rows::Sketches(other)) => batch.each(&|index, _| bounded(one, other, index)),
        (_, Rows::Sketches(_)) => {
            let text =
                "a sketch holds too little of a candidate: give its model, or record it with --form llama";
            return Err(NativeError::Rejected(text.to_string()));
        }
    };
    // A bound is no divergence, and never stands in the place of one.
    let only_bounded = matches!((reference, candidate), (Rows::Sketches(_), Rows::Sketches(_)));
    for found in found {
        scores.nll.push(found.nll);
        if !only_bounded {
            scores.divergence.push(found.divergence);
        }
        scores.same_top.push(found.same_top);
        scores.lower_bound.extend(found.lower_bound);
    }
    Ok(())
}

/// What is kept of a candidate's row.
#[derive(Default)]
struct Found {
    nll: Option<f64>,
    divergence: Option<f64>,
    same_top: Option<bool>,
    /// What the divergence is at least, where the reference is a sketch.
    lower_bound: Option<Option<f64>>,
}

impl Found {
    /// Of a row of which nothing is known, by a sketch.
    const NO_SKETCH: Found = Found { nll: None, divergence: None, same_top: None, lower_bound: Some(None) };
}

fn pair(reference: Logits<'_>, candidate: &[f32], index: usize, token: u32) -> Found {
    let pair = score::pair(reference.row(index), candidate, token);
    let sound = pair.reference.top.is_some() && pair.candidate.top.is_some();
    Found {
        nll: pair.candidate.nll,
        divergence: pair.divergence,
        same_top: sound.then_some(pair.same_top),
        lower_bound: None,
    }
}

fn sketched(reference: &[SketchRow], candidate: &[f32], index: usize, token: u32) -> Found {
    let Some(row) = reference.get(index) else { return Found::NO_SKETCH };
    let SketchScore { candidate: Single { nll, top, .. }, estimate, lower_bound, same_top, .. } =
        sketch::score(row, candidate, token);
    let sound = top.is_some() && !row.head.is_empty();
    Found { nll, divergence: estimate, same_top: sound.then_some(same_top), lower_bound: Some(lower_bound) }
}

fn encoded(reference: &[Option<Encoded>], candidate: &[f32], index: usize, token: u32) -> Found {
    let row = reference.get(index).and_then(Option::as_ref);
    match row.and_then(|row| llama::score(row, candidate, token)) {
        Some(score) => Found {
            nll: Some(f64::from(score.nll)),
            divergence: Some(score.divergence),
            same_top: Some(score.same_top),
            lower_bound: None,
        },
        None => Found::default(),
    }
}

fn bounded(reference: &[SketchRow], candidate: &[SketchRow], index: usize) -> Found {
    let (Some(one), Some(other)) = (reference.get(index), candidate.get(index)) else {
        return Found::NO_SKETCH;
    };
    // Rows that were no numbers are kept without tokens.
    if one.head.is_empty() || other.head.is_empty() {
        return Found::NO_SKETCH;
    }
    let bound = sketch::lower_bound(one, other);
    Found {
        nll: Some(other.nll).filter(|nll| nll.is_finite()),
        divergence: None,
        same_top: Some(one.head.first() == other.head.first()),
        lower_bound: Some(bound),
    }
}

/// The log-probabilities of a row of 16 bits; empty for one that is no numbers.
fn decoded(rows: &[Option<Encoded>], index: usize) -> Vec<f32> {
    let row = rows.get(index).and_then(Option::as_ref);
    row.map(|row| row.log_probabilities().collect()).unwrap_or_default()
}

impl Batch<'_> {
    /// Calls `score` for each target with its place, on several threads; gives the results in order.
    pub(super) fn each<T: Send>(self, score: &(dyn Fn(usize, u32) -> T + Sync)) -> Vec<T> {
        let count = self.targets.len();
        let share = count.div_ceil(self.threads.max(1)).max(1);
        let part = |from: usize| -> Vec<T> {
            let targets = self.targets.iter().enumerate().skip(from).take(share);
            targets.map(|(index, token)| score(index, *token)).collect()
        };
        if count <= share {
            return part(0);
        }
        std::thread::scope(|scope| {
            let part = &part;
            let handles: Vec<_> =
                (0..count).step_by(share).map(|from| scope.spawn(move || part(from))).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
                handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            handles.into_iter().flat_map(join).collect()
        })
    }
}
