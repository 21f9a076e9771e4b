//! A lower bound for a divergence of which only the likeliest tokens are known.
//!
//! Cells that are put together never raise a divergence (the log sum inequality; Cover and Thomas, *Elements of Information
//! Theory*, theorem 2.7.1). So the tokens that both sides tell stay apart, and the others become two cells: those that the
//! reference alone tells, and the rest. How much the candidate gives to the former is not known, but it is no more than its
//! least likely told token for each of them; the bound takes the amount that makes the divergence smallest.

use std::collections::HashMap;

/// Probability that sums of 32-bit floats do not tell from 0.
const TINY: f64 = 1e-5;

/// Logarithm of the least probability of a 32-bit float: a token that has less was not necessarily ruled out, and no more may
/// be said of it in a lower bound.
const LEAST: f64 = -104.0;
/// How far above 0 the logarithm of a probability may lie by rounding.
const ROUNDED: f32 = 1e-3;

/// What is known of the tokens that may follow one place of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known<'a> {
    /// The logit of each token of the vocabulary.
    All(&'a [f32]),
    /// The likeliest tokens, likeliest first, with the logarithms of their probabilities among all tokens.
    Likeliest(&'a [(i32, f32)]),
}

/// How far two rows are apart at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The Kullback–Leibler divergence is no less than this, in nats.
    pub divergence: f64,
    /// Probability, of the reference or the candidate, beyond the tokens that both tell: whichever is more.
    pub beyond: f64,
    /// Largest absolute difference between the logarithms of two probabilities of the same token.
    pub largest_difference: f64,
    /// Whether both have the same likeliest token.
    pub same_top: bool,
}

impl Known<'_> {
    /// Whether there is nothing, or something that is no number or no probability.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let wrong = |number: f32| number.is_nan() || number == f32::INFINITY;
        match self {
            Known::All(logits) => {
                !logits.iter().any(|logit| logit.is_finite()) || logits.iter().any(|logit| wrong(*logit))
            }
            Known::Likeliest(tokens) => {
                let wrong = |logarithm: f32| wrong(logarithm) || logarithm > ROUNDED;
                !tokens.iter().any(|(_, logarithm)| logarithm.is_finite())
                    || tokens.iter().any(|(_, logarithm)| wrong(*logarithm))
            }
        }
    }

    /// Its tokens with the logarithms of their probabilities, likeliest first.
    fn sorted(&self) -> Vec<(i32, f64)> {
        match self {
            Known::Likeliest(tokens) => {
                tokens.iter().map(|(token, logarithm)| (*token, f64::from(*logarithm))).collect()
            }
            Known::All(logits) => {
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let shifted = || logits.iter().map(|logit| f64::from(*logit) - f64::from(most));
                let total = shifted().map(f64::exp).sum::<f64>().ln();
                let mut tokens: Vec<(i32, f64)> = (0..).zip(shifted().map(|logit| logit - total)).collect();
                tokens.sort_by(|one, other| other.1.total_cmp(&one.1));
                tokens
            }
        }
    }
}

/// How far a candidate is from a reference at least. Neither may be broken ([`Known::is_broken`]).
#[must_use]
pub fn bound(reference: Known<'_>, candidate: Known<'_>) -> Bound {
    let (mut expected, found) = (reference.sorted(), candidate.sorted());
    let same_top = expected.first().map(|top| top.0) == found.first().map(|top| top.0);
    // A token that the candidate does not tell is no likelier than the last one that it tells; one that tells all gives
    // nothing to others.
    let told_all = matches!(candidate, Known::All(_));
    let least = if told_all { 0.0 } else { found.last().map_or(0.0, |last| last.1.exp()) };
    if matches!(reference, Known::All(_)) && !told_all {
        expected.truncate(found.len());
    }
    let found: HashMap<i32, f64> = found.into_iter().collect();
    let (mut divergence, mut largest_difference) = (0.0, 0.0f64);
    let (mut shared, mut alone, mut number_alone) = ((0.0, 0.0), 0.0, 0.0);
    for (token, logarithm) in expected {
        let p = logarithm.exp();
        match found.get(&token) {
            Some(other) => {
                // A token that is ruled out costs what an all but impossible one does, so that the sum stays a number.
                let difference = logarithm - other.max(LEAST);
                divergence += if p > 0.0 { p * difference } else { 0.0 };
                largest_difference = largest_difference.max(if p > 0.0 { difference.abs() } else { 0.0 });
                shared = (shared.0 + p, shared.1 + other.exp());
            }
            None => (alone, number_alone) = (alone + p, number_alone + 1.0),
        }
    }
    let rest = (1.0 - shared.0 - alone).max(TINY);
    let others = (1.0 - shared.1).max(TINY);
    // Of what the candidate gives to others, the share that makes the divergence least, as far as it may reach.
    let share = (others * alone / (alone + rest)).min(number_alone * least);
    if alone > 0.0 {
        divergence += alone * (alone / share.max(TINY)).ln();
    }
    divergence += rest * (rest / (others - share).max(TINY)).ln();
    let beyond = (1.0 - shared.0).max(1.0 - shared.1);
    let beyond = if beyond < TINY { 0.0 } else { beyond };
    Bound { divergence: divergence.max(0.0), beyond, largest_difference, same_top }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Divergence;

    fn likeliest(logits: &[f32], kept: usize) -> Vec<(i32, f32)> {
        let sorted = Known::All(logits).sorted();
        sorted.into_iter().take(kept).map(|(token, logarithm)| (token, logarithm as f32)).collect()
    }

    /// Logits that look like those of a text, and others that are `noise` away from them.
    fn rows(seed: u32, noise: f32) -> (Vec<f32>, Vec<f32>) {
        let wave = |index: u32, step: u32| ((index * step + seed * 7919) % 1009) as f32 / 1009.0 - 0.5;
        let reference: Vec<f32> = (0..1000).map(|index| 14.0 * wave(index, 271)).collect();
        let candidate =
            reference.iter().zip(0..).map(|(logit, index)| logit + noise * wave(index, 613)).collect();
        (reference, candidate)
    }

    #[test]
    fn the_bound_is_never_above_the_divergence_and_close_to_it_where_most_is_known() {
        for seed in 0..20 {
            for noise in [0.0, 0.1, 1.0, 5.0] {
                let (reference, candidate) = rows(seed, noise);
                let mut exact = Divergence::default();
                exact.add(&reference, &candidate);
                let exact = exact.maximum;
                for kept in [10, 100, 500, 1000] {
                    let (one, other) = (likeliest(&reference, kept), likeliest(&candidate, kept));
                    for known in [
                        bound(Known::Likeliest(&one), Known::Likeliest(&other)),
                        bound(Known::All(&reference), Known::Likeliest(&other)),
                        bound(Known::Likeliest(&one), Known::All(&candidate)),
                    ] {
                        assert!(known.divergence <= exact + 2e-4, "{seed} {noise} {kept}: {known:?} {exact}");
                        let most = kept >= 500 && noise <= 1.0;
                        assert!(
                            !most || known.divergence >= 0.8 * exact - 1e-6,
                            "{seed} {noise} {kept}: {known:?} {exact}"
                        );
                        assert!(noise > 0.0 || (known.divergence < 1e-6 && known.same_top), "{known:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_candidate_does_not_tell_is_not_taken_for_likely() {
        let (reference, _) = rows(1, 0.0);
        // All tokens are as likely as each other, and the tokens that are told are not those of the reference.
        let even: Vec<(i32, f32)> = (0..50).map(|token| (token, -(1000f32.ln()))).collect();
        let own: Vec<(i32, f32)> =
            likeliest(&reference, 60).into_iter().filter(|(token, _)| *token >= 50).collect();
        let found = bound(Known::Likeliest(&own), Known::Likeliest(&even));
        assert!(found.divergence > 0.5 && !found.same_top && found.beyond > 0.9, "{found:?}");
    }

    #[test]
    fn what_is_no_number_is_broken() {
        let mut sum = Divergence::default();
        let fine = [(1, -0.1f32), (2, -3.0)];
        sum.add_likeliest(Known::Likeliest(&fine), Known::Likeliest(&[(1, f32::NAN)]));
        sum.add_likeliest(Known::Likeliest(&[]), Known::All(&[1.0, 2.0]));
        sum.add_likeliest(Known::Likeliest(&fine), Known::Likeliest(&fine));
        assert_eq!((sum.rows, sum.broken_candidate, sum.broken_reference), (1, 1, 1));
        assert_eq!((sum.maximum, sum.largest_difference, sum.top_changes), (0.0, 0.0, 0));
        assert!((sum.hidden() - (1.0 - (-0.1f64).exp() - (-3.0f64).exp())).abs() < 1e-6);
        // Ruled out by the candidate: far, and still a number.
        let ruled_out = bound(Known::Likeliest(&fine), Known::Likeliest(&[(2, -0.01), (1, f32::MIN)]));
        assert!(ruled_out.divergence > 90.0 && ruled_out.divergence.is_finite(), "{ruled_out:?}");
        // What both all but rule out says nothing of how far they are apart.
        let unlikely =
            bound(Known::Likeliest(&[(1, 0.0), (2, -92.0)]), Known::Likeliest(&[(1, 0.0), (2, f32::MIN)]));
        assert!(unlikely.divergence < 1e-6 && unlikely.beyond == 0.0, "{unlikely:?}");
        let broken = [Known::All(&[f32::NEG_INFINITY; 3]), Known::Likeliest(&[(1, 0.5)]), Known::All(&[])];
        assert!(broken.iter().all(Known::is_broken) && !Known::All(&[f32::NEG_INFINITY, 0.0]).is_broken());
    }
}
