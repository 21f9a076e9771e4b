//! How far two models are apart in what they say next: Kullback–Leibler divergence between rows of logits.

use crate::likeliest::{Known, bound};
use crate::score::{NO_TOKEN, exact};
use serde::{Deserialize, Serialize};

/// How far a candidate's logits are from a reference's, over rows that were added one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Rows that were compared.
    pub rows: u64,
    /// Sum of their divergences, in nats; [`Divergence::mean`] divides it.
    sum: f64,
    /// Largest divergence of a row, in nats.
    pub maximum: f64,
    /// Largest absolute difference between two logits of the same token; of logarithms of probabilities where only the
    /// likeliest tokens are known.
    pub largest_difference: f64,
    /// Rows whose likeliest token is another one.
    pub top_changes: u64,
    /// Rows of the reference with logits that are no numbers; they are in no other figure.
    pub broken_reference: u64,
    /// Rows of the candidate with logits that are no numbers; they are in no other figure.
    pub broken_candidate: u64,
    /// Sum over rows of the probability beyond the tokens that are known of both; [`Divergence::hidden`] divides it. 0 where
    /// all are known.
    #[serde(default)]
    beyond: f64,
}

impl Divergence {
    /// Adds a row: the logits of both for the same place of the same text, of the same length.
    pub fn add(&mut self, reference: &[f32], candidate: &[f32]) {
        let pair = exact::pair(reference, candidate, NO_TOKEN);
        let broken = (pair.reference.broken > 0, pair.candidate.broken > 0);
        self.broken_reference += u64::from(broken.0);
        self.broken_candidate += u64::from(broken.1);
        if broken != (false, false) {
            return;
        }
        match pair.divergence {
            Some(divergence) => {
                let difference = largest_difference(reference, candidate);
                self.take(divergence, difference, pair.same_top);
            }
            // The candidate rules out what the reference holds possible (or cannot be laid beside it).
            None => self.broken_candidate += 1,
        }
    }

    /// Adds a row of which only the likeliest tokens are known: the figures are then those of the lower bound of
    /// [`crate::likeliest::bound`]. One of the reference is cut to as many tokens as the candidate has.
    pub fn add_likeliest(&mut self, reference: Known<'_>, candidate: Known<'_>) {
        let broken = (reference.is_broken(), candidate.is_broken());
        self.broken_reference += u64::from(broken.0);
        self.broken_candidate += u64::from(broken.1);
        if broken == (false, false) {
            let bound = bound(reference, candidate);
            self.take(bound.divergence, bound.largest_difference, bound.same_top);
            self.beyond += bound.beyond;
        }
    }

    fn take(&mut self, divergence: f64, difference: f64, same_top: bool) {
        self.rows += 1;
        self.sum += divergence;
        self.maximum = self.maximum.max(divergence);
        self.largest_difference = self.largest_difference.max(difference);
        self.top_changes += u64::from(!same_top);
    }

    /// Mean probability beyond the tokens that were compared: what is not seen. 0 where all tokens are known, or no rows.
    #[must_use]
    pub fn hidden(&self) -> f64 {
        if self.rows > 0 { self.beyond / self.rows as f64 } else { 0.0 }
    }

    /// Mean divergence of a row, in nats; `None` without rows.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.sum / self.rows as f64)
    }
}

/// Of tokens that the reference holds possible.
fn largest_difference(reference: &[f32], candidate: &[f32]) -> f64 {
    let possible = reference.iter().zip(candidate).filter(|(p, _)| **p > f32::NEG_INFINITY);
    possible.map(|(p, q)| (f64::from(*p) - f64::from(*q)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&[f32], &[f32])]) -> Divergence {
        rows.iter().fold(Divergence::default(), |mut sum, (reference, candidate)| {
            sum.add(reference, candidate);
            sum
        })
    }

    #[test]
    fn it_is_the_sum_of_p_times_the_log_ratio() {
        // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2·ln 2 − 1/4·ln 2.
        let p = [0.5f32.ln() + 3.0, 0.25f32.ln() + 3.0, 0.25f32.ln() + 3.0];
        let q = [0.25f32.ln() - 7.0, 0.25f32.ln() - 7.0, 0.5f32.ln() - 7.0];
        let found = of(&[(&p, &q)]);
        assert!((found.mean().unwrap() - 0.25 * 2f64.ln()).abs() < 1e-6, "{found:?}");
        assert_eq!((found.rows, found.top_changes), (1, 1));
        assert!((found.largest_difference - (10.0 + 2f64.ln())).abs() < 1e-5);
    }

    #[test]
    fn the_same_row_is_at_no_distance_and_a_shift_of_all_logits_changes_nothing() {
        let row = [1.0f32, -3.5, 8.25, 8.0];
        let shifted = row.map(|logit| logit + 2.0);
        let found = of(&[(&row, &row), (&row, &shifted)]);
        assert_eq!((found.mean(), found.maximum, found.top_changes), (Some(0.0), 0.0, 0));
        assert_eq!(found.largest_difference, 2.0);
    }

    #[test]
    fn what_is_no_number_is_counted_and_never_part_of_a_figure() {
        const NO: f32 = f32::NEG_INFINITY;
        let good = [1.0f32, 2.0, 3.0];
        for (reference, candidate, broken) in [
            ([1.0, f32::NAN, 3.0], good, (1, 0)),
            (good, [f32::INFINITY, 2.0, 3.0], (0, 1)),
            (good, [f32::NAN; 3], (0, 1)),
            ([NO; 3], good, (1, 0)),
            // Ruled out by the candidate alone: infinitely far.
            (good, [NO, 2.0, 3.0], (0, 1)),
        ] {
            let found = of(&[(&reference, &candidate)]);
            assert_eq!(
                (found.broken_reference, found.broken_candidate),
                broken,
                "{reference:?} {candidate:?}"
            );
            assert_eq!((found.rows, found.mean()), (0, None));
        }
        // Ruled out by both, or by the reference alone.
        let found = of(&[(&[NO, 2.0, 3.0], &[NO, 2.0, 3.0])]);
        assert_eq!((found.rows, found.maximum), (1, 0.0));
        assert!(of(&[(&[NO, 2.0, 3.0], &good)]).maximum > 0.0);
    }

    #[test]
    fn rows_of_other_lengths_are_not_compared() {
        assert_eq!(of(&[(&[1.0, 2.0], &[1.0, 2.0, 3.0])]).broken_candidate, 1);
    }
}
