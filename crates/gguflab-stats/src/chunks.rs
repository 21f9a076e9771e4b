//! Means over the tokens of a text, with the chunk as the unit.
//!
//! Tokens of one chunk share a topic, and what a model finds hard about one it finds hard about the next: a text of
//! 100,000 tokens tells no more than some 20,000 independent ones. A formula that divides by the number of tokens
//! gives intervals that are two to three times too narrow. So the chunks are what is counted (cluster sampling;
//! Cochran, *Sampling Techniques*, 1977, chapter 9A; for evaluations Miller 2024, *Adding Error Bars to Evals*), and
//! since they need not have the same number of tokens, the mean is a ratio of two sums (Cochran, chapter 6).
//!
//! **The text as a whole.** Where the chunks are the first of a random permutation of all chunks of a text, and the
//! question is what the value for this text is, hand over how many there are in all (`population`): intervals shrink to
//! nothing as the end is reached. For what another text of the same kind would give, hand over `None`.
//!
//! A value that is no number (a token whose logits were none) is left out, and so is a chunk without any value.

use crate::CONFIDENCE;
use crate::estimate::{Estimate, Interval};
use crate::special::student_quantile;
use gguflab_types::evaluation::TokenScores;
use serde::Serialize;
use std::f64::consts::LN_2;

const METHOD: &str = "mean of chunks, t interval with skewness";

/// What one chunk adds to a ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Added above: such as the sum of its tokens' values.
    pub sum: f64,
    /// Added below, above 0: such as its number of tokens.
    pub size: f64,
}

/// A ratio of two sums over chunks, such as a mean over tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// Sum of all sums over sum of all sizes.
    pub value: f64,
    /// Its standard error, 0 when the chunks are the whole population; `None` for a single chunk.
    pub standard_error: Option<f64>,
    /// How lopsided the chunks are: skewness of their residuals, 0 for less than three chunks or when nothing varies.
    pub skewness: f64,
    /// Chunks.
    pub chunks: usize,
    /// Chunks of the whole text, if that is what the value is to tell of.
    pub population: Option<usize>,
}

/// A mean over tokens that knows how much its tokens are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClusterMean {
    /// Mean over all tokens.
    pub mean: f64,
    /// 95 % interval: [`Ratio::estimate`]; `None` for a single chunk. It holds for a number of chunks that was fixed
    /// beforehand; where the values decided when it ended, [`crate::ConfidenceSequence`] has the one that holds.
    pub interval: Option<Interval>,
    /// Standard error with the chunk as the unit; 0 when the chunks are the whole population.
    pub standard_error: Option<f64>,
    /// What the standard error would be if tokens were independent: the one that llama-perplexity prints.
    pub naive_standard_error: Option<f64>,
    /// How many times larger the variance is than with independent tokens (Kish 1965, *Survey Sampling*, 8.2; the end of
    /// the population left aside). `None` when nothing varies.
    pub design_effect: Option<f64>,
    /// Independent tokens that the tokens are worth: their number over the design effect.
    pub effective_size: Option<f64>,
    /// How lopsided the chunks are: [`Ratio::skewness`].
    pub skewness: f64,
    /// Chunks with a value.
    pub chunks: usize,
    /// Tokens with a value.
    pub tokens: usize,
    /// Chunks of the whole text, if that is what the mean is to tell of.
    pub population: Option<usize>,
}

impl Ratio {
    /// Of the parts of all chunks; parts that are not finite or without a size are left out. `None` when none is left.
    #[must_use]
    pub fn of(parts: &[Part], population: Option<usize>) -> Option<Ratio> {
        let mut sums = Sums::default();
        parts.iter().for_each(|part| sums.add(*part));
        sums.ratio(population)
    }

    /// The value with Student's t interval, one degree of freedom less than there are chunks, moved out for skewness.
    #[must_use]
    pub fn estimate(&self, confidence: f64) -> Estimate {
        let factor = student_quantile(0.5 + confidence / 2.0, self.chunks as f64 - 1.0);
        let interval = self.interval(factor, confidence);
        Estimate { value: self.value, interval, count: self.chunks, method: METHOD }
    }

    /// The value, give or take so many standard errors, and more on the side of the long tail.
    ///
    /// Where rare large values are still to come, mean and spread are both too small. So the end on that side is moved out by
    /// skewness·(2z² + 1)/(6√n) standard errors, the first term by which the quantiles of a t statistic differ from those of
    /// normal values (Johnson 1978, *Modified t Tests and Confidence Intervals for Asymmetrical Populations*; Hall 1992, *On
    /// the Removal of Skewness by Transformation*). The other end stays, since skewness is an estimate too. Near the end
    /// of the population the rest is what may surprise, and n is the number of chunks that are left.
    pub(crate) fn interval(&self, factor: f64, confidence: f64) -> Option<Interval> {
        let rest = self.population.and_then(|all| all.checked_sub(self.chunks)).unwrap_or(self.chunks);
        let fewer = rest.min(self.chunks).max(1) as f64;
        let lean = self.skewness * (2.0 * factor * factor + 1.0) / (6.0 * fewer.sqrt());
        let error = self.standard_error?;
        let low = self.value - error * (factor - lean.min(0.0));
        let high = self.value + error * (factor + lean.max(0.0));
        (low.is_finite() && high.is_finite()).then_some(Interval { low, high, confidence })
    }
}

/// What a ratio and its standard error follow from, chunk by chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    chunks: usize,
    sum: f64,
    size: f64,
    /// The first chunk's ratio: residuals are counted from it, so that their squares lose no digits.
    pivot: f64,
    /// Sums of products of residuals and sizes: `moments[i][j]` of residual^i · size^j.
    moments: [[f64; 4]; 4],
}

impl Sums {
    /// Adds a chunk, unless its part is not finite or has no size.
    pub(crate) fn add(&mut self, part: Part) {
        let Part { sum, size } = part;
        if !(sum.is_finite() && size.is_finite() && size > 0.0) {
            return;
        }
        if self.chunks == 0 {
            self.pivot = sum / size;
        }
        let residual = sum - self.pivot * size;
        self.chunks += 1;
        self.sum += sum;
        self.size += size;
        for (above, row) in self.moments.iter_mut().enumerate() {
            for (below, slot) in row.iter_mut().enumerate().take(4 - above) {
                *slot += residual.powi(above as i32) * size.powi(below as i32);
            }
        }
    }

    /// The ratio; `None` without chunks, or where the sums are too large for a number.
    ///
    /// The variance is that of the residuals e = sum − value·size (Cochran 1977, equation 6.13): n/(n−1) · Σe² / (Σ size)²,
    /// times what is left of it near the end of the population. For chunks of equal size it is the variance of the chunks'
    /// means over their number.
    pub(crate) fn ratio(&self, population: Option<usize>) -> Option<Ratio> {
        let Sums { chunks, sum, size, moments, .. } = *self;
        let value = sum / size;
        let shift = value - self.pivot;
        // (e − shift·size)² and ³, summed.
        let squares = moments[2][0] - 2.0 * shift * moments[1][1] + shift * shift * moments[0][2];
        let cubes = moments[3][0] - 3.0 * shift * moments[2][1] + 3.0 * shift.powi(2) * moments[1][2]
            - shift.powi(3) * moments[0][3];
        let factor = chunks as f64 / (chunks as f64 - 1.0) * share_left(chunks, population);
        let standard_error = (chunks > 1).then(|| (factor * squares.max(0.0)).sqrt() / size);
        let skewness = skewness(chunks as f64, squares, cubes);
        value.is_finite().then_some(Ratio { value, standard_error, skewness, chunks, population })
    }
}

/// The adjusted Fisher-Pearson coefficient of n residuals (Joanes & Gill 1998, G₁).
fn skewness(n: f64, squares: f64, cubes: f64) -> f64 {
    let plain = cubes / n / (squares / n).powf(1.5);
    let adjusted = plain * (n * (n - 1.0)).sqrt() / (n - 2.0);
    if n > 2.0 && adjusted.is_finite() { adjusted } else { 0.0 }
}

impl ClusterMean {
    /// Of the values of all tokens, a slice for each chunk; `None` without values.
    #[must_use]
    pub fn of(chunks: &[&[f64]], population: Option<usize>) -> Option<ClusterMean> {
        let ratio = Ratio::of(&parts(chunks), population)?;
        let values = || chunks.iter().flat_map(|chunk| chunk.iter()).filter(|value| value.is_finite());
        let tokens = values().count();
        let squares: f64 = values().map(|value| (value - ratio.value).powi(2)).sum();
        let naive_variance = (tokens > 1).then(|| squares / (tokens - 1) as f64 / tokens as f64);
        // The design effect compares with chunks drawn from a text without end.
        let endless = Ratio::of(&parts(chunks), None)?;
        let design_effect = naive_variance.zip(endless.standard_error).and_then(|(naive, error)| {
            let effect = error * error / naive;
            (effect.is_finite() && effect > 0.0).then_some(effect)
        });
        Some(ClusterMean {
            mean: ratio.value,
            interval: ratio.estimate(CONFIDENCE).interval,
            standard_error: ratio.standard_error,
            naive_standard_error: naive_variance.map(f64::sqrt),
            design_effect,
            effective_size: design_effect.map(|effect| tokens as f64 / effect),
            skewness: ratio.skewness,
            chunks: ratio.chunks,
            tokens,
            population,
        })
    }

    /// Of the differences candidate − reference, token by token: what both find hard cancels (common random numbers;
    /// Miller 2024, section 4). For −ln of the tokens' probabilities it is the logarithm of the ratio of the
    /// perplexities. A token without a value on either side is left out; `None` when the shapes differ.
    #[must_use]
    pub fn of_differences(
        candidate: &[&[f64]],
        reference: &[&[f64]],
        population: Option<usize>,
    ) -> Option<ClusterMean> {
        let same = |(one, other): (&&[f64], &&[f64])| one.len() == other.len();
        if candidate.len() != reference.len() || !candidate.iter().zip(reference).all(same) {
            return None;
        }
        let difference = |(one, other): (&&[f64], &&[f64])| -> Vec<f64> {
            one.iter().zip(other.iter()).map(|(one, other)| one - other).collect()
        };
        let differences: Vec<Vec<f64>> = candidate.iter().zip(reference).map(difference).collect();
        let differences: Vec<&[f64]> = differences.iter().map(Vec::as_slice).collect();
        ClusterMean::of(&differences, population)
    }

    /// The mean with its interval. Of −ln of the tokens' probabilities `.map(f64::exp)` makes the perplexity, of their
    /// differences `.map(f64::exp_m1)` its relative change.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.mean, interval: self.interval, count: self.chunks, method: METHOD }
    }

    /// The mean as what confidence sequences take.
    #[must_use]
    pub fn ratio(&self) -> Ratio {
        let ClusterMean { mean: value, standard_error, skewness, chunks, population, .. } = *self;
        Ratio { value, standard_error, skewness, chunks, population }
    }

    /// The perplexity: exp of the mean of −ln of the tokens' probabilities, and so are the ends of its interval.
    #[must_use]
    pub fn perplexity(&self) -> Estimate {
        Estimate {
            method: "exp of the mean of chunks, t interval with skewness",
            ..self.estimate().map(f64::exp)
        }
    }
}

/// The share of the variance that is left near the end of the population: (N−n)/(N−1) (Cochran 1977, 2.6). A population
/// that is smaller than what was seen of it is none.
pub(crate) fn share_left(chunks: usize, population: Option<usize>) -> f64 {
    match population.and_then(|all| Some((all, all.checked_sub(chunks)?))) {
        Some((all, left)) => left as f64 / (all.max(2) - 1) as f64,
        None => 1.0,
    }
}

/// Values of tokens as the statistics take them: one that is missing is a NaN, which keeps its place and counts nowhere.
#[must_use]
pub fn values(of: &[Option<f64>]) -> Vec<f64> {
    of.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// 1 where the likeliest token is the reference's and 0 where it is not; the mean is the share of agreement. Where either
/// side's logits were no numbers there is no such value.
#[must_use]
pub fn agreements(scores: &TokenScores) -> Vec<f64> {
    let agreement = |same: &Option<bool>| same.map_or(f64::NAN, |same| f64::from(u8::from(same)));
    scores.same_top.iter().map(agreement).collect()
}

/// What each chunk adds to the mean over all tokens; a chunk without values has no size.
#[must_use]
pub fn parts(chunks: &[&[f64]]) -> Vec<Part> {
    let part = |chunk: &&[f64]| {
        let usable = || chunk.iter().filter(|value| value.is_finite());
        Part { sum: usable().sum(), size: usable().count() as f64 }
    };
    chunks.iter().map(part).collect()
}

/// Bits for each byte of text: Σ −ln p / ln 2 / bytes, which can be compared between tokenizers. `nll` has −ln of the
/// probability of each token, in nats; `bytes` the bytes that the tokens of each chunk with a value there spell. `None`
/// without bytes or when the lengths differ.
#[must_use]
pub fn bits_per_byte(nll: &[&[f64]], bytes: &[u64], population: Option<usize>) -> Option<Ratio> {
    if nll.len() != bytes.len() {
        return None;
    }
    let part = |(part, bytes): (Part, &u64)| Part { sum: part.sum / LN_2, size: *bytes as f64 };
    let parts: Vec<Part> = parts(nll).into_iter().zip(bytes).map(part).collect();
    Ratio::of(&parts, population)
}
