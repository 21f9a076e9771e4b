//! The statistics that llama.cpp's `llama-perplexity` prints, by its own formulas and with its own rounding.
//!
//! They are here so that numbers of the two programs can be laid side by side. Their uncertainties take every token for
//! independent and are two to three times too small for divergences ([`crate::chunks`] has honest ones); only that of the
//! paired logarithm of the ratio is nearly right. Source of every formula: `tools/perplexity/perplexity.cpp` of b11434.
//! That program keeps single values in `f32` and sums in `f64`, and so does this. Where it prints `nan` for an uncertainty
//! that rounding took below zero, as for a model against itself, 0 stands here.

use serde::Serialize;

/// Tokens below which the program prints no statistics at the end.
pub const LEAST_TOKENS: usize = 100;

/// A value with the uncertainty that is printed after ±.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Uncertain {
    /// The value.
    pub value: f64,
    /// Its standard error, as if tokens were independent.
    pub uncertainty: f64,
}

/// What is printed of a value that each token has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: Uncertain,
    /// Largest.
    pub maximum: f64,
    /// (probability, value), from high to low, the median among them at 0.5.
    pub percentiles: Vec<(f64, f64)>,
    /// Smallest.
    pub minimum: f64,
}

/// All that is printed with `--kl-divergence`, in base units: shares where it prints per cent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Scored tokens.
    pub tokens: usize,
    /// PPL(Q): perplexity of the candidate.
    pub perplexity: Uncertain,
    /// PPL(base): perplexity of the reference.
    pub base_perplexity: Uncertain,
    /// Covariance of the two mean −ln p.
    pub covariance: f64,
    /// Cor(ln(PPL(Q)), ln(PPL(base))), from −1 to 1.
    pub correlation: f64,
    /// ln(PPL(Q)/PPL(base)).
    pub log_ratio: Uncertain,
    /// PPL(Q)/PPL(base).
    pub ratio: Uncertain,
    /// PPL(Q) − PPL(base).
    pub difference: Uncertain,
    /// KL divergence of the candidate from the reference, nats per token.
    pub divergence: Spread,
    /// Δp: probability of the token that came, candidate less reference.
    pub probability_difference: Spread,
    /// Root of the mean square of Δp.
    pub rms_probability_difference: Uncertain,
    /// Share of tokens at which both have the same likeliest token.
    pub same_top: Uncertain,
}

/// One printed line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Line {
    /// What stands before the colon.
    pub name: &'static str,
    /// The value, a share where the line has per cent.
    pub value: f64,
    /// What is printed after ±.
    pub uncertainty: Option<f64>,
    /// Whether it is printed in per cent.
    pub percent: bool,
    /// Decimals of the value.
    pub decimals: usize,
    /// Decimals of the uncertainty.
    pub uncertainty_decimals: usize,
}

/// Percentiles of the divergence that are printed, with their names.
const DIVERGENCE: [(&str, f32); 9] = [
    ("99.9%   KLD", 0.999),
    ("99.0%   KLD", 0.99),
    ("95.0%   KLD", 0.95),
    ("90.0%   KLD", 0.9),
    ("Median  KLD", 0.5),
    ("10.0%   KLD", 0.1),
    (" 5.0%   KLD", 0.05),
    (" 1.0%   KLD", 0.01),
    (" 0.1%   KLD", 0.001),
];

/// Percentiles of Δp that are printed, with their names.
const PROBABILITY_DIFFERENCE: [(&str, f32); 11] = [
    ("99.9%   Δp", 0.999),
    ("99.0%   Δp", 0.99),
    ("95.0%   Δp", 0.95),
    ("90.0%   Δp", 0.9),
    ("75.0%   Δp", 0.75),
    ("Median  Δp", 0.5),
    ("25.0%   Δp", 0.25),
    ("10.0%   Δp", 0.1),
    (" 5.0%   Δp", 0.05),
    (" 1.0%   Δp", 0.01),
    (" 0.1%   Δp", 0.001),
];

impl Statistics {
    /// Of each token's −ln p of the candidate (`nll`) and of the reference (`base`), its divergence, and whether the
    /// likeliest token is the same; all in nats. A token with a value that is no number is left out (the program itself
    /// would print `nan`). `None` when the lengths differ or no token is left.
    #[must_use]
    pub fn of(nll: &[f64], base: &[f64], divergence: &[f64], same_top: &[bool]) -> Option<Statistics> {
        let same = [base.len(), divergence.len(), same_top.len()].iter().all(|length| *length == nll.len());
        let usable =
            |at: &usize| nll[*at].is_finite() && base[*at].is_finite() && divergence[*at].is_finite();
        let places: Vec<usize> = if same { (0..nll.len()).filter(usable).collect() } else { Vec::new() };
        let pick = |values: &[f64]| -> Vec<f32> { places.iter().map(|at| values[*at] as f32).collect() };
        let (ours, theirs) = (pick(nll), pick(base));
        let tokens = places.len();
        if tokens == 0 {
            return None;
        }
        let same = places.iter().filter(|at| same_top[**at]).count() as f64 / tokens as f64;
        let difference = |(ours, theirs): (&f32, &f32)| (-ours).exp() - (-theirs).exp();
        let differences: Vec<f32> = ours.iter().zip(&theirs).map(difference).collect();
        let divergences: Vec<f64> = places.iter().map(|at| divergence[*at]).collect();
        let perplexities = Perplexities::of(&ours, &theirs);
        Some(Statistics {
            tokens,
            perplexity: perplexities.candidate.exp(),
            base_perplexity: perplexities.reference.exp(),
            covariance: perplexities.covariance,
            correlation: perplexities.correlation(),
            log_ratio: perplexities.log_ratio(),
            ratio: perplexities.log_ratio().exp(),
            difference: perplexities.difference(),
            divergence: Spread::of(moments(&divergences), &pick(divergence), &DIVERGENCE),
            probability_difference: Spread::of(
                single_moments(&differences),
                &differences,
                &PROBABILITY_DIFFERENCE,
            ),
            rms_probability_difference: root_mean_square(&differences),
            same_top: Uncertain {
                value: same,
                uncertainty: (same * (1.0 - same) / (tokens as f64 - 1.0)).sqrt(),
            },
        })
    }

    /// The lines of the tables at the end, in their order, with as many decimals as the program gives them.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let plain = |name, value: Uncertain| Line::of(name, value.value, Some(value.uncertainty));
        let perplexities = [
            plain("Mean PPL(Q)                   ", self.perplexity),
            plain("Mean PPL(base)                ", self.base_perplexity),
            Line {
                decimals: 2,
                ..Line::of("Cor(ln(PPL(Q)), ln(PPL(base)))", self.correlation, None).percent()
            },
            plain("Mean ln(PPL(Q)/PPL(base))     ", self.log_ratio),
            plain("Mean PPL(Q)/PPL(base)         ", self.ratio),
            plain("Mean PPL(Q)-PPL(base)         ", self.difference),
        ];
        let divergence = self.divergence.lines(["Mean    KLD", "Maximum KLD", "Minimum KLD"], &DIVERGENCE);
        let names = ["Mean    Δp", "Maximum Δp", "Minimum Δp"];
        let differences = self.probability_difference.lines(names, &PROBABILITY_DIFFERENCE);
        let last = [plain("RMS Δp    ", self.rms_probability_difference), plain("Same top p", self.same_top)];
        let shares = differences.into_iter().chain(last).map(Line::percent);
        perplexities.into_iter().chain(divergence).chain(shares).collect()
    }
}

/// The "Final estimate" of the program without a reference: perplexity and the ± after it, from −ln p of all tokens.
/// Values that are not finite are left out; `None` without values.
#[must_use]
pub fn final_estimate(nll: &[f64]) -> Option<Uncertain> {
    let values: Vec<f64> = nll.iter().copied().filter(|value| value.is_finite()).collect();
    let Moments { mean, variance } = (!values.is_empty()).then(|| moments(&values))?;
    let error = if variance > 0.0 { (variance / (values.len() as f64 - 1.0)).sqrt() } else { 0.0 };
    Some(Uncertain { value: mean, uncertainty: error }.exp())
}

impl Uncertain {
    /// exp of it, with the uncertainty of the first order.
    fn exp(self) -> Uncertain {
        let value = self.value.exp();
        Uncertain { value, uncertainty: value * self.uncertainty }
    }
}

impl Line {
    fn of(name: &'static str, value: f64, uncertainty: Option<f64>) -> Line {
        Line { name, value, uncertainty, percent: false, decimals: 6, uncertainty_decimals: 6 }
    }

    fn percent(self) -> Line {
        Line { percent: true, decimals: 3, uncertainty_decimals: 3, ..self }
    }
}

impl Spread {
    fn of(moments: Moments, values: &[f32], names: &[(&str, f32)]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |fraction: f32| f64::from(percentile(&sorted, fraction));
        let probability = |fraction: f32| (f64::from(fraction) * 1000.0).round() / 1000.0;
        Spread {
            mean: moments.mean_with_uncertainty(values.len()),
            maximum: at(1.0),
            percentiles: names.iter().map(|(_, fraction)| (probability(*fraction), at(*fraction))).collect(),
            minimum: at(0.0),
        }
    }

    fn lines(&self, [mean, maximum, minimum]: [&'static str; 3], names: &[(&'static str, f32)]) -> Vec<Line> {
        let first = [
            Line::of(mean, self.mean.value, Some(self.mean.uncertainty)),
            Line::of(maximum, self.maximum, None),
        ];
        let percentiles = names.iter().zip(&self.percentiles);
        let percentiles = percentiles.map(|((name, _), (_, value))| Line::of(name, *value, None));
        first.into_iter().chain(percentiles).chain([Line::of(minimum, self.minimum, None)]).collect()
    }
}

/// Mean, and the mean of squares less the square of the mean.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    /// With the standard error of independent values, which is 0 up to ten of them.
    fn mean_with_uncertainty(self, count: usize) -> Uncertain {
        let known = self.variance > 0.0 && count > 10;
        let error = if known { (self.variance / (count as f64 - 1.0)).sqrt() } else { 0.0 };
        Uncertain { value: self.mean, uncertainty: error }
    }
}

fn moments(values: &[f64]) -> Moments {
    let squares = values.iter().map(|value| value * value);
    from_sums(values.iter().sum(), squares.sum(), values.len())
}

/// The same with squares that are rounded to `f32`.
fn single_moments(values: &[f32]) -> Moments {
    let squares = values.iter().map(|value| f64::from(value * value));
    from_sums(values.iter().copied().map(f64::from).sum(), squares.sum(), values.len())
}

fn from_sums(sum: f64, squares: f64, count: usize) -> Moments {
    let mean = sum / count as f64;
    Moments { mean, variance: squares / count as f64 - mean * mean }
}

/// The two mean −ln p and how they vary together.
struct Perplexities {
    candidate: Uncertain,
    reference: Uncertain,
    covariance: f64,
}

impl Perplexities {
    fn of(candidate: &[f32], reference: &[f32]) -> Perplexities {
        let count = candidate.len();
        let (ours, theirs) = (single_moments(candidate), single_moments(reference));
        let products = candidate.iter().zip(reference).map(|(ours, theirs)| f64::from(ours * theirs));
        let together = products.sum::<f64>() / count as f64 - ours.mean * theirs.mean;
        Perplexities {
            candidate: ours.mean_with_uncertainty(count),
            reference: theirs.mean_with_uncertainty(count),
            covariance: if count < 10 { 0.0 } else { together / (count as f64 - 1.0) },
        }
    }

    fn correlation(&self) -> f64 {
        self.covariance / (self.candidate.uncertainty * self.reference.uncertainty)
    }

    /// The variance of a difference of both, each times its own factor.
    fn error(&self, ours: f64, theirs: f64) -> f64 {
        let (one, other) = (ours * self.candidate.uncertainty, theirs * self.reference.uncertainty);
        (one * one + other * other - 2.0 * (ours * theirs * self.covariance)).max(0.0).sqrt()
    }

    fn log_ratio(&self) -> Uncertain {
        Uncertain { value: self.candidate.value - self.reference.value, uncertainty: self.error(1.0, 1.0) }
    }

    fn difference(&self) -> Uncertain {
        let (ours, theirs) = (self.candidate.value.exp(), self.reference.value.exp());
        Uncertain { value: ours - theirs, uncertainty: self.error(ours, theirs) }
    }
}

fn root_mean_square(values: &[f32]) -> Uncertain {
    let squares: Vec<f64> = values.iter().map(|value| f64::from(value * value)).collect();
    let mean = moments(&squares).mean_with_uncertainty(squares.len());
    let value = mean.value.sqrt();
    let uncertainty = if value > 0.0 { 0.5 / value * mean.uncertainty } else { 0.0 };
    Uncertain { value, uncertainty }
}

/// Linear interpolation at fraction · (n − 1), in `f32` throughout; the median is the mean of the middle two.
fn percentile(sorted: &[f32], fraction: f32) -> f32 {
    let last = sorted.len() - 1;
    if fraction == 0.5 {
        return 0.5 * (sorted[last / 2] + sorted[last.div_ceil(2)]);
    }
    if fraction <= 0.0 || fraction >= 1.0 {
        return sorted[if fraction <= 0.0 { 0 } else { last }];
    }
    let position = fraction * last as f32;
    let below = (position as usize).min(last);
    let share = position - below as f32;
    (1.0 - share) * sorted[below] + share * sorted[(below + 1).min(last)]
}
