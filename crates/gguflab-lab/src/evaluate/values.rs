//! What was found, laid out for the statistics: a vector for each window, in the order of their numbers.

use super::{Evaluated, Judged};
use gguflab_stats::{agreements, values};
use gguflab_types::evaluation::{TokenScores, WindowScores};
use std::ops::Range;

/// What one side said; one entry for each window, each with one value for each scored position. What is no number is
/// NaN, which every statistic leaves out and [`Values::broken`] counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// Numbers of the windows.
    pub chunks: Vec<u32>,
    /// −ln of the probability of the token that came, in nats.
    pub nll: Vec<Vec<f64>>,
    /// Divergence from the reference, in nats; empty windows without a reference, and where it is only bounded.
    pub divergence: Vec<Vec<f64>>,
    /// 1 where the likeliest token is the reference's, else 0; empty windows without a reference.
    pub same_top: Vec<Vec<f64>>,
    /// What the divergence is at least, in nats, where the reference is a sketch; else empty windows.
    pub lower_bound: Vec<Vec<f64>>,
    /// Bytes of the text whose tokens have a number.
    pub bytes: Vec<u64>,
}

/// A vector of vectors as the statistics take it.
#[must_use]
pub fn slices(values: &[Vec<f64>]) -> Vec<&[f64]> {
    values.iter().map(Vec::as_slice).collect()
}

impl Values {
    /// Positions without a number.
    #[must_use]
    pub fn broken(&self) -> usize {
        let broken = |values: &[Vec<f64>]| values.iter().flatten().filter(|value| !value.is_finite()).count();
        broken(&self.nll).max(broken(&self.divergence)).max(broken(&self.lower_bound))
    }

    fn add(&mut self, scored: &WindowScores, scores: &TokenScores) {
        self.chunks.push(scored.chunk);
        self.nll.push(values(&scores.nll));
        self.divergence.push(values(&scores.divergence));
        self.same_top.push(agreements(scores));
        self.lower_bound.push(values(&scores.lower_bound));
        // Of what has no number the bytes do not count either.
        let known = scores.nll.iter().zip(&scored.bytes).filter(|(nll, _)| nll.is_some());
        self.bytes.push(known.map(|(_, bytes)| u64::from(*bytes)).sum());
    }

    /// What the side is judged by.
    #[must_use]
    pub fn judged(&self, judged: Judged) -> &[Vec<f64>] {
        match judged {
            Judged::Divergence => &self.divergence,
            Judged::Nll => &self.nll,
        }
    }

    /// Whether the reference is a sketch, so that there is a lower bound.
    #[must_use]
    pub fn is_sketched(&self) -> bool {
        self.lower_bound.iter().any(|window| !window.is_empty())
    }

    /// Whether there are divergences, and not only bounds of them.
    #[must_use]
    pub fn has_divergence(&self) -> bool {
        self.divergence.iter().any(|window| !window.is_empty())
    }

    /// Only these windows.
    #[must_use]
    pub fn within(&self, chunks: &Range<u32>) -> Values {
        self.keep(&|chunk| chunks.contains(&chunk))
    }

    /// Only the windows that the other side has too.
    #[must_use]
    pub fn shared(&self, other: &Values) -> Values {
        self.keep(&|chunk| other.chunks.binary_search(&chunk).is_ok())
    }

    fn keep(&self, wanted: &dyn Fn(u32) -> bool) -> Values {
        let mut kept = Values::default();
        for (index, chunk) in self.chunks.iter().enumerate().filter(|(_, chunk)| wanted(**chunk)) {
            kept.chunks.push(*chunk);
            kept.nll.push(self.nll[index].clone());
            kept.divergence.push(self.divergence[index].clone());
            kept.same_top.push(self.same_top[index].clone());
            kept.lower_bound.push(self.lower_bound[index].clone());
            kept.bytes.push(self.bytes[index]);
        }
        kept
    }
}

impl Evaluated {
    /// What a candidate said.
    #[must_use]
    pub fn candidate(&self, number: usize) -> Values {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.side(|scored| scored.candidates.get(&number))
    }

    /// What the reference said; empty without one.
    #[must_use]
    pub fn reference(&self) -> Values {
        self.side(|scored| scored.reference.as_ref())
    }

    fn side<'a>(&'a self, of: impl Fn(&'a WindowScores) -> Option<&'a TokenScores>) -> Values {
        let mut windows: Vec<(&WindowScores, &TokenScores)> =
            self.scored.iter().filter_map(|scored| Some((scored, of(scored)?))).collect();
        windows.sort_by_key(|(scored, _)| scored.chunk);
        let mut all = Values::default();
        windows.into_iter().for_each(|(scored, scores)| all.add(scored, scores));
        all
    }

    /// The windows of each text, by their numbers.
    #[must_use]
    pub fn windows_of_texts(&self) -> Vec<Range<u32>> {
        let mut from = 0;
        let mut range = |windows: u32| {
            let range = from..from + windows;
            from += windows;
            range
        };
        self.opened.texts.iter().map(|text| range(text.windows)).collect()
    }
}
