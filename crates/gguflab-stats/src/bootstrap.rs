//! Percentiles of tokens, with intervals from the bootstrap of chunks.
//!
//! A percentile is no mean of chunks, so its interval comes from drawing chunks anew, with all of their tokens (Davison &
//! Hinkley 1997, *Bootstrap Methods and their Application*, 3.8). What is built from several percentiles gets its interval
//! from the same draws.
//!
//! - **Draws**: n − 1 of n chunks with replacement, rescaled (Rao & Wu 1988, *Resampling Inference With Complex Survey
//!   Data*): that variance is unbiased for few chunks too, and it takes the end of the population into account.
//! - **Ends**: the percentiles of the draws at the level that Student's t with n − 1 degrees of freedom has where the
//!   normal distribution stands ("expanded percentile interval"; Hesterberg 2015, *What Teachers Should Know About the
//!   Bootstrap*, section 4.2), since percentiles of draws alone are too narrow for few chunks.
//! - **Cost**: a draw only moves a percentile a little, so its weighted ranks are needed at a few dozen values around it.

use crate::chunks::{Part, Ratio, share_left};
use crate::distribution::interpolated;
use crate::estimate::{Estimate, Interval};
use crate::quantile::samples_needed;
use crate::random::Random;
use crate::special::{normal_cumulative, student_quantile};

/// Draws of chunks.
const DRAWS: usize = 1000;
/// Values around a percentile at which ranks are known.
const CUTS: usize = 64;
/// How far around it they lie, in standard errors of the share of tokens below it.
const REACH: f64 = 6.0;
/// Draws that have to lie outside of an interval on either side.
const LEAST_OUTSIDE: f64 = 2.0;

/// Percentiles of the tokens of a text, with what they would be for other draws of its chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentiles {
    probabilities: Vec<f64>,
    values: Vec<f64>,
    /// Whether the tokens are worth enough for an interval.
    resolved: Vec<bool>,
    /// One row for each draw, in it one value for each percentile.
    draws: Vec<Vec<f64>>,
    /// The share of draws outside of an interval, on either side.
    tail: f64,
    confidence: f64,
    chunks: usize,
}

/// A value with its chunk.
type Token = (f64, usize);

impl Percentiles {
    /// Of the values of all tokens, a slice for each chunk, at probabilities from 0 to 1. The draws follow from the seed.
    /// Values that are not finite are left out. `None` without values or with another probability.
    #[must_use]
    pub fn of(
        chunks: &[&[f64]],
        probabilities: &[f64],
        population: Option<usize>,
        confidence: f64,
        seed: u64,
    ) -> Option<Percentiles> {
        let (sorted, sizes) = sorted(chunks);
        let plain: Vec<f64> = sorted.iter().map(|(value, _)| *value).collect();
        let values: Vec<f64> =
            probabilities.iter().map(|p| interpolated(&plain, *p)).collect::<Option<_>>()?;
        let places: Vec<Place> =
            probabilities.iter().map(|probability| Place::of(&sorted, &sizes, *probability)).collect();
        let resolved = probabilities.iter().zip(&places);
        let resolved = resolved.map(|(p, place)| place.effective >= samples_needed(*p, confidence) as f64);
        let freedom = sizes.len() as f64 - 1.0;
        let tail = normal_cumulative(-student_quantile(0.5 + confidence / 2.0, freedom));
        Some(Percentiles {
            probabilities: probabilities.to_vec(),
            values,
            resolved: resolved.collect(),
            draws: draws(&places, &sizes, population, seed),
            tail,
            confidence,
            chunks: sizes.len(),
        })
    }

    /// One for each probability, in their order: exact values (linear interpolation at p·(n − 1)), with an interval where
    /// the tokens are worth enough ([`samples_needed`], counted as effective ones).
    #[must_use]
    pub fn estimates(&self) -> Vec<Estimate> {
        (0..self.values.len()).map(|place| self.combined(&[place], |values| values[0])).collect()
    }

    /// The percentile at a probability, which has to be one of those asked for.
    #[must_use]
    pub fn at(&self, probability: f64) -> Option<Estimate> {
        Some(self.combined(&[self.place(probability)?], |values| values[0]))
    }

    /// Median^(1/3) · (p99 + 4·p95 + 5·p90)^(2/3): the metric by which the author of llama-gguf-optimize ranks importance
    /// matrices. `None` where one of the four percentiles was not asked for.
    #[must_use]
    pub fn composite(&self) -> Option<Estimate> {
        let places: Option<Vec<usize>> = [0.5, 0.9, 0.95, 0.99].iter().map(|p| self.place(*p)).collect();
        Some(self.combined(&places?, |values| composite(values[0], values[1], values[2], values[3])))
    }

    fn place(&self, probability: f64) -> Option<usize> {
        self.probabilities.iter().position(|known| *known == probability)
    }

    /// What a function makes of some of the percentiles.
    fn combined(&self, places: &[usize], function: impl Fn(&[f64]) -> f64) -> Estimate {
        let of = |row: &[f64]| function(&places.iter().map(|place| row[*place]).collect::<Vec<f64>>());
        let value = of(&self.values);
        let resolved = places.iter().all(|place| self.resolved[*place]);
        if !resolved || self.tail * (DRAWS as f64) < LEAST_OUTSIDE || self.draws.is_empty() {
            return Estimate::bare(value, self.chunks, "too few chunks for an interval");
        }
        let mut drawn: Vec<f64> = self.draws.iter().map(|row| of(row)).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let ends = interpolated(&drawn, self.tail).zip(interpolated(&drawn, 1.0 - self.tail));
        let interval = ends.map(|(low, high)| Interval { low, high, confidence: self.confidence });
        Estimate { value, interval, count: self.chunks, method: "exact, bootstrap of chunks" }
    }
}

/// The composite metric of four percentiles.
fn composite(median: f64, p90: f64, p95: f64, p99: f64) -> f64 {
    median.cbrt() * (p99 + 4.0 * p95 + 5.0 * p90).cbrt().powi(2)
}

/// All values in order, and the number of values of each chunk that has one.
fn sorted(chunks: &[&[f64]]) -> (Vec<Token>, Vec<f64>) {
    let mut tokens = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    let mut sizes = Vec::new();
    for chunk in chunks {
        let before = tokens.len();
        tokens.extend(chunk.iter().filter(|value| value.is_finite()).map(|value| (*value, sizes.len())));
        if tokens.len() > before {
            sizes.push((tokens.len() - before) as f64);
        }
    }
    tokens.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    (tokens, sizes)
}

/// The surroundings of a percentile.
struct Place {
    probability: f64,
    /// Independent tokens that the tokens are worth for it.
    effective: f64,
    /// Some of the values around it, in order.
    values: Vec<f64>,
    /// For each of these values the tokens of each chunk that do not exceed it.
    below: Vec<Vec<f64>>,
}

impl Place {
    fn of(sorted: &[Token], sizes: &[f64], probability: f64) -> Place {
        let last = sorted.len().saturating_sub(1);
        let rank = probability * last as f64;
        let mut counts = vec![0.0; sizes.len()];
        let middle = (rank as usize).min(last);
        sorted.iter().take(middle + 1).for_each(|(_, chunk)| counts[*chunk] += 1.0);
        let parts: Vec<Part> =
            counts.iter().zip(sizes).map(|(sum, size)| Part { sum: *sum, size: *size }).collect();
        let error = Ratio::of(&parts, None).and_then(|ratio| ratio.standard_error).unwrap_or(0.0);
        let independent = probability * (1.0 - probability);
        let effective = if error > 0.0 {
            (independent / (error * error)).min(sorted.len() as f64)
        } else {
            sorted.len() as f64
        };
        let reach = REACH * error * sorted.len() as f64 + 1.0;
        let (values, below) = cuts(sorted, sizes.len(), rank, reach);
        Place { probability, effective, values, below }
    }

    /// The percentile when the chunks have these weights; `total` is the weight of all tokens.
    fn weighted(&self, weights: &[f64], total: f64) -> f64 {
        // So that equal weights give the linear interpolation at p·(n − 1).
        let wanted = self.probability * (total - 1.0) + 1.0;
        let reached = |cut: usize| dot(&self.below[cut], weights);
        let Some(last) = self.values.len().checked_sub(1) else { return f64::NAN };
        let (mut low, mut high) = ((0, reached(0)), (last, reached(last)));
        if wanted <= low.1 || last == 0 {
            return self.values[0];
        }
        if wanted >= high.1 {
            return self.values[last];
        }
        while high.0 - low.0 > 1 {
            let share = (wanted - low.1) / (high.1 - low.1) * (high.0 - low.0) as f64;
            let cut = (low.0 + share as usize).clamp(low.0 + 1, high.0 - 1);
            let here = (cut, reached(cut));
            if here.1 <= wanted { low = here } else { high = here }
        }
        let share = (wanted - low.1) / (high.1 - low.1);
        self.values[low.0] + share * (self.values[high.0] - self.values[low.0])
    }
}

/// Some of the values around a rank (from 0), those right below and above it among them, each with the tokens of every
/// chunk up to it.
fn cuts(sorted: &[Token], chunks: usize, rank: f64, reach: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let last = sorted.len().saturating_sub(1);
    let middle = (rank as usize).min(last);
    let (from, to) = ((rank - reach).max(0.0) as usize, ((rank + reach).ceil() as usize).min(last));
    let mut ranks = spaced(from, middle);
    ranks.extend(spaced((middle + 1).min(last), to));
    ranks.dedup();
    let mut counts = vec![0.0; chunks];
    let mut counted = 0;
    let below = ranks.iter().map(|rank| {
        sorted[counted..=*rank].iter().for_each(|(_, chunk)| counts[*chunk] += 1.0);
        counted = *rank + 1;
        counts.clone()
    });
    let below = below.collect();
    (ranks.into_iter().map(|rank| sorted[rank].0).collect(), below)
}

/// Both ends and numbers evenly spaced between them, half of [`CUTS`] at most.
fn spaced(from: usize, to: usize) -> Vec<usize> {
    let span = to.saturating_sub(from);
    let steps = span.min(CUTS / 2 - 1);
    (0..=steps).map(|step| from + span * step / steps.max(1)).collect()
}

/// The percentiles for each draw of chunks.
fn draws(places: &[Place], sizes: &[f64], population: Option<usize>, seed: u64) -> Vec<Vec<f64>> {
    let Some(drawn) = sizes.len().checked_sub(1).filter(|drawn| *drawn > 0) else { return Vec::new() };
    let mut random = Random(seed);
    let left = share_left(sizes.len(), population).sqrt();
    let once = left * sizes.len() as f64 / drawn as f64;
    let draw = |_| {
        let mut weights = vec![1.0 - left; sizes.len()];
        (0..drawn).for_each(|_| weights[random.below(sizes.len())] += once);
        let total = dot(sizes, &weights);
        places.iter().map(|place| place.weighted(&weights, total)).collect()
    };
    (0..DRAWS).map(draw).collect()
}

/// The sum of products, eight at a time.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (ours, theirs) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f64 = ours.remainder().iter().zip(theirs.remainder()).map(|(one, other)| one * other).sum();
    let mut sums = [0.0; LANES];
    for (ours, theirs) in ours.zip(theirs) {
        for lane in 0..LANES {
            sums[lane] += ours[lane] * theirs[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}
