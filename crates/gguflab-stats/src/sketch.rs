//! A row of logits kept small: its likeliest tokens exactly, and a sample of the others.
//!
//! Of a divergence Σ p·(ln p − ln q) the head is summed exactly. The rest is the tail's mass times the mean of
//! ln p − ln q over tokens that were drawn from the tail with chances in proportion to p: unbiased, whatever the
//! candidate (importance sampling with the target itself). What q/p comes to over the whole tail is known, so it corrects
//! the draws (a control variate, Owen 2013, *Monte Carlo theory, methods and examples*, section 8.9): without it the scatter
//! of a near-lossless candidate is of the first order of its error, and the divergence of the second. Where the candidate
//! gives much to tokens that are never drawn, because the reference all but rules them out, the ratios that were drawn are
//! surely too small for what is known, and the draws stay as they are. With the tail as one
//! bucket the sum is a lower bound for every candidate: merging outcomes never adds divergence (data-processing inequality,
//! Cover & Thomas 2006, section 2.8).
//!
//! Log-probabilities are kept in f32, and the candidate's are rounded in the same way before they are laid beside them:
//! the row itself comes to exactly zero, and another to within some 1e-7 nats of what f64 would give.

use crate::score::{self, Outline, Single};
use gguflab_types::evaluation::SketchRow;
use rand::{Rng, RngExt};
use std::cmp::Ordering;

/// How much of a row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Likeliest tokens that are kept exactly.
    pub head: usize,
    /// Tokens that are drawn from the others.
    pub tail: usize,
}

impl Default for Size {
    /// 1.6 KB for a token, and within one in a hundred of the exact divergence over a few thousand tokens.
    fn default() -> Size {
        Size { head: 256, tail: 64 }
    }
}

/// What a sketched reference and a candidate's row say of the same position.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SketchScore {
    /// The candidate's row by itself.
    pub candidate: Single,
    /// Unbiased estimate of KL(reference ‖ candidate) in nats; a single one can be below zero. `None` where the candidate
    /// is broken, has not all tokens of the sketch, or is infinitely far, and where the sketch drew nothing of its tail.
    pub estimate: Option<f64>,
    /// Standard error of the estimate in nats, from the spread of the drawn tokens; zero where there is no tail, `None`
    /// without an estimate or with one drawn token.
    pub standard_error: Option<f64>,
    /// What the divergence is at least, in nats; `None` as for the estimate, except that nothing need be drawn.
    pub lower_bound: Option<f64>,
    /// The likeliest token is the same.
    pub same_top: bool,
    /// The candidate rules out a token that the sketch holds possible: infinitely far.
    pub infinite: bool,
}

/// Sketches a row, whose next token was `token`. Of equally likely tokens the lowest come first. `None` where the row is
/// broken or the token is not in the vocabulary; the nll of a token that is ruled out is infinite.
#[must_use]
pub fn sketch(row: &[f32], token: u32, size: Size, random: &mut impl Rng) -> Option<SketchRow> {
    let scale = Scale::of(row, &score::outline(row))?;
    let logit = *row.get(token as usize)?;
    let head = largest(row, size.head);
    let rest = Rest::new(row, &head, &scale);
    let tail = rest.draw(size.tail, random);
    let log_probabilities = |tokens: &[u32]| tokens.iter().map(|token| scale.of_token(row, *token)).collect();
    Some(SketchRow {
        head_log_probability: log_probabilities(&head),
        tail_log_probability: log_probabilities(&tail),
        tail_mass: rest.mass(),
        nll: -scale.log_probability(logit),
        head,
        tail,
    })
}

/// Holds a candidate's row against a sketch of the reference's.
#[must_use]
pub fn score(reference: &SketchRow, candidate: &[f32], token: u32) -> SketchScore {
    let outline = score::outline(candidate);
    let scale = Scale::of(candidate, &outline);
    let mass = scale.as_ref().map_or(f64::NAN, |scale| scale.mass);
    let single = outline.single(candidate, token, mass);
    let alone = SketchScore { candidate: single, ..SketchScore::default() };
    let fits = |tokens: &[u32]| tokens.iter().all(|token| (*token as usize) < candidate.len());
    let Some(scale) = scale else { return alone };
    if (reference.head.is_empty() && reference.tail.is_empty())
        || !fits(&reference.head)
        || !fits(&reference.tail)
    {
        return alone;
    }
    let differences = |tokens: &[u32], expected: &[f32]| -> Vec<f64> {
        let found = tokens.iter().map(|token| scale.of_token(candidate, *token));
        expected.iter().zip(found).map(|(expected, found)| f64::from(*expected) - f64::from(found)).collect()
    };
    let head_differences = differences(&reference.head, &reference.head_log_probability);
    let weights = reference.head_log_probability.iter().map(|logarithm| f64::from(*logarithm).exp());
    let head: f64 = weights.zip(&head_differences).map(|(weight, difference)| weight * difference).sum();
    let other_mass = Rest::new(candidate, &reference.head, &scale).mass();
    let drawn = differences(&reference.tail, &reference.tail_log_probability);
    let tail = Tail::of(&drawn, reference.tail_mass, other_mass);
    let bound = head + bucket(reference.tail_mass, other_mass);
    let same_top = reference.head.first().is_some_and(|top| single.top == Some(*top));
    let infinite = bound == f64::INFINITY || tail.part == Some(f64::INFINITY);
    SketchScore {
        candidate: single,
        estimate: tail.part.map(|part| head + part).filter(|_| !infinite),
        standard_error: tail.standard_error.filter(|_| !infinite),
        lower_bound: Some(bound.max(0.0)).filter(|_| !infinite),
        same_top,
        infinite,
    }
}

/// What KL(reference ‖ candidate) is at least, in nats, by two sketches: tokens in both heads one by one, all others as
/// one bucket. There is no estimate, since the candidate's probabilities of the reference's other tokens are unknown,
/// and no upper bound, which would need the least probability that the candidate gives to any of them. `None` where the
/// candidate's sketch leaves nothing for what the reference's holds possible.
#[must_use]
pub fn lower_bound(reference: &SketchRow, candidate: &SketchRow) -> Option<f64> {
    let mut known: Vec<(u32, f32)> = pairs(candidate).collect();
    known.sort_unstable_by_key(|(token, _)| *token);
    let mut shared = vec![false; known.len()];
    let (mut bound, mut rest) = (0.0, reference.tail_mass);
    for (token, logarithm) in pairs(reference) {
        let probability = f64::from(logarithm).exp();
        match known.binary_search_by_key(&token, |(token, _)| *token) {
            Ok(place) => {
                shared[place] = true;
                bound += probability * (f64::from(logarithm) - f64::from(known[place].1));
            }
            Err(_) => rest += probability,
        }
    }
    let unshared = known.iter().zip(shared).filter(|(_, shared)| !shared);
    let other: f64 = unshared.map(|((_, logarithm), _)| f64::from(*logarithm).exp()).sum();
    let bound = bound + bucket(rest, other + candidate.tail_mass);
    bound.is_finite().then_some(bound.max(0.0))
}

fn pairs(sketch: &SketchRow) -> impl Iterator<Item = (u32, f32)> {
    sketch.head.iter().copied().zip(sketch.head_log_probability.iter().copied())
}

/// p·ln(p/q) of all tokens outside of the head taken together.
fn bucket(mass: f64, other: f64) -> f64 {
    if mass > 0.0 { mass * (mass / other).ln() } else { 0.0 }
}

/// The tail's part of an estimate; of a tail from which nothing was drawn nothing is known.
struct Tail {
    part: Option<f64>,
    standard_error: Option<f64>,
}

impl Tail {
    /// Of ln p − ln q of the drawn tokens, and what both give to the whole tail.
    fn of(differences: &[f64], mass: f64, other: f64) -> Tail {
        if mass == 0.0 {
            return Tail { part: Some(0.0), standard_error: Some(0.0) };
        }
        let corrected = corrected(differences, other / mass);
        let count = corrected.len() as f64;
        let mean = corrected.iter().sum::<f64>() / count;
        let squares: f64 = corrected.iter().map(|difference| (difference - mean).powi(2)).sum();
        let spread = (squares / (count - 1.0) / count).sqrt();
        Tail {
            part: (count > 0.0).then_some(mass * mean),
            standard_error: (count > 1.0).then_some(mass * spread),
        }
    }
}

/// Variance of ln p − ln q from which on q/p corrects nothing: log-normal ratios scatter more than what they correct then.
const MOST_SCATTER: f64 = 2.0;

/// Standard errors by which the mean q/p of the drawn tokens may differ from what is known of it. Ratios are skewed, so that
/// 5 happen by chance, and to leave out the correction then would be a bias; more than these is probability that the
/// candidate gives to tokens that are never drawn.
const MOST_ERRORS: f64 = 12.0;

/// ln p − ln q of the drawn tokens, each corrected by how far its q/p is from what q/p is on average, which is known. By
/// how much is found from the other draws, so that each stays unbiased; where nothing can be found they are as they were.
fn corrected(differences: &[f64], expected: f64) -> Vec<f64> {
    let ratios: Vec<f64> = differences.iter().map(|difference| (-difference).exp()).collect();
    let others = differences.len() as f64 - 1.0;
    // Ratios of 0 are those of tokens that the candidate rules out: infinitely far, whatever corrects them.
    if !ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0) || others < 2.0 {
        return differences.to_vec();
    }
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let (own, own_ratios) = (centred(differences), centred(&ratios));
    let product: f64 = own.iter().zip(&own_ratios).map(|(own, ratio)| own * ratio).sum();
    let sum_of_squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let (square, own_square) = (sum_of_squares(&own_ratios), sum_of_squares(&own));
    let count = ratios.len() as f64;
    let missing = (ratios.iter().sum::<f64>() / count - expected).abs();
    if missing > MOST_ERRORS * (square / others / count).sqrt() {
        return differences.to_vec();
    }
    let one = |((difference, ratio), (own, own_ratio)): ((&f64, &f64), (&f64, &f64))| {
        // Sums over the others: all are centred, so without one of them they come to its negative.
        let without = |sum: f64, one: f64, other: f64| sum - one * other - one * other / others;
        let variance = without(square, *own_ratio, *own_ratio);
        let scatter = without(own_square, *own, *own) / others;
        let is_known = variance > 1e-24 * others * expected * expected && scatter < MOST_SCATTER;
        let share = if is_known { -without(product, *own, *own_ratio) / variance } else { 0.0 };
        difference + share.clamp(0.0, 1.0) * (ratio - expected)
    };
    differences.iter().zip(&ratios).zip(own.iter().zip(&own_ratios)).map(one).collect()
}

/// Logits whose weights are summed together.
const SUMMED: usize = 64;

/// How logits of a row become log-probabilities.
struct Scale {
    largest: f32,
    /// Weights e^(logit − largest) of each block.
    blocks: Vec<f64>,
    /// Of all of them.
    mass: f64,
    /// Its logarithm.
    logarithm: f64,
}

impl Scale {
    /// `None` where the row is broken or empty.
    fn of(row: &[f32], outline: &Outline) -> Option<Scale> {
        let largest = outline.peak?.value;
        let blocks = score::block_sums(row, SUMMED, largest);
        let mass: f64 = blocks.iter().sum();
        Some(Scale { largest, blocks, mass, logarithm: mass.ln() })
    }

    fn log_probability(&self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.largest) - self.logarithm
    }

    fn of_token(&self, row: &[f32], token: u32) -> f32 {
        row.get(token as usize).map_or(f32::NEG_INFINITY, |logit| self.log_probability(*logit) as f32)
    }
}

/// Logits of which the largest is looked for together.
const BLOCK: usize = 32;

/// The `count` likeliest tokens of a row, likeliest first, fewer where others are ruled out. As many blocks as tokens are
/// wanted have their largest at or above a bound; so no wanted token lies below it, and few others reach it.
fn largest(row: &[f32], count: usize) -> Vec<u32> {
    let maxima = score::block_maxima(row, BLOCK);
    let bound = count.checked_sub(1).filter(|last| *last < maxima.len()).map(|last| {
        let mut ordered = maxima.clone();
        *ordered.select_nth_unstable_by(last, |one, other| other.total_cmp(one)).1
    });
    let bound = bound.unwrap_or(f32::NEG_INFINITY);
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(4 * count);
    let blocks = row.chunks(BLOCK).zip(&maxima).enumerate();
    for (index, (block, _)) in blocks.filter(|(_, (_, maximum))| **maximum >= bound) {
        let start = (index * BLOCK) as u32;
        let logits = block.iter().copied().zip(start..);
        found.extend(logits.filter(|(logit, _)| *logit >= bound));
    }
    found.retain(|(logit, _)| *logit > f32::NEG_INFINITY);
    if count < found.len() {
        found.select_nth_unstable_by(count, likelier);
        found.truncate(count);
    }
    found.sort_unstable_by(likelier);
    found.into_iter().map(|(_, token)| token).collect()
}

fn likelier(one: &(f32, u32), other: &(f32, u32)) -> Ordering {
    other.0.partial_cmp(&one.0).unwrap_or(Ordering::Equal).then(one.1.cmp(&other.1))
}

/// Weights below this are those of ruled-out tokens, which lanes do not tell from zero.
const NOTHING: f64 = 1e-290;

/// A row without its head, by blocks.
struct Rest {
    logits: Vec<f32>,
    largest: f32,
    /// Weights of all blocks up to each, its own included.
    cumulative: Vec<f64>,
    /// What all weights of the row come to.
    all: f64,
}

impl Rest {
    fn new(row: &[f32], head: &[u32], scale: &Scale) -> Rest {
        let (mut logits, mut cumulative) = (row.to_vec(), scale.blocks.clone());
        for token in head.iter().map(|token| *token as usize).filter(|token| *token < row.len()) {
            logits[token] = f32::NEG_INFINITY;
            cumulative[token / SUMMED] = f64::NAN;
        }
        let mut sum = 0.0;
        for (block, weight) in logits.chunks(SUMMED).zip(&mut cumulative) {
            let known = if weight.is_nan() { score::sum(block, scale.largest) } else { *weight };
            sum += if known > NOTHING { known } else { 0.0 };
            *weight = sum;
        }
        Rest { logits, largest: scale.largest, cumulative, all: scale.mass }
    }

    /// Probability of what is in it.
    fn mass(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0) / self.all
    }

    /// Draws tokens with replacement, each with a chance in proportion to its probability; none from nothing.
    fn draw(&self, count: usize, random: &mut impl Rng) -> Vec<u32> {
        let all = self.cumulative.last().copied().unwrap_or(0.0);
        let count = if all > 0.0 { count } else { 0 };
        (0..count).filter_map(|_| self.token_at(random.random::<f64>() * all)).collect()
    }

    /// The token within whose share of the line of all weights a point lies.
    fn token_at(&self, point: f64) -> Option<u32> {
        let last = self.cumulative.len().checked_sub(1)?;
        let index = self.cumulative.partition_point(|sum| *sum <= point).min(last);
        let before = index.checked_sub(1).map_or(0.0, |index| self.cumulative[index]);
        let (mut left, mut chosen) = (point - before, None);
        for (place, logit) in self.logits.iter().enumerate().skip(index * SUMMED).take(SUMMED) {
            if *logit > f32::NEG_INFINITY {
                chosen = Some(place as u32);
                left -= (f64::from(*logit) - f64::from(self.largest)).exp();
            }
            if left < 0.0 {
                break;
            }
        }
        chosen
    }
}
