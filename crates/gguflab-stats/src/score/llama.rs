//! A row as llama.cpp's llama-perplexity writes it into a logit file, and its figures from such a row, with the same
//! widths of numbers at every step, so that the digits which that tool prints are those found here.
//!
//! Source of the rules: `tools/perplexity/perplexity.cpp` of llama.cpp b11434. Logits are cut 16 nats below the largest
//! and rounded to 65,535 steps; what lies at or below −16 nats is left out of the divergence, which is not made whole
//! again, so it can be negative. Use [`super::pair`] for a divergence that has neither fault. That tool takes e^x and
//! ln x from the system's mathematics library, and so does this.

/// Nats below the largest logit at which a row is cut.
const REACH: f32 = 16.0;
/// Steps between the cut and the largest logit.
const STEPS: f32 = 65_535.0;

/// One row of log-probabilities of such a file: `scale · step + lowest`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// Nats between two steps; 0 where all logits are equal.
    pub scale: f32,
    /// Log-probability of step 0, in nats.
    pub lowest: f32,
    /// One for each token of the vocabulary.
    pub steps: Vec<u16>,
}

impl Encoded {
    /// Log-probabilities of all tokens, in nats.
    pub fn log_probabilities(&self) -> impl Iterator<Item = f32> {
        self.steps.iter().map(|step| self.decoded(*step))
    }

    /// Log-probability of a token, in nats; `None` outside of the vocabulary.
    #[must_use]
    pub fn log_probability(&self, token: u32) -> Option<f32> {
        self.steps.get(token as usize).map(|step| self.decoded(*step))
    }

    fn decoded(&self, step: u16) -> f32 {
        self.scale * f32::from(step) + self.lowest
    }
}

/// Writes a row in that file's way. `None` where a logit is NaN or plus infinity, or all are ruled out: the tool would
/// write numbers that mean nothing.
#[must_use]
pub fn encode(row: &[f32]) -> Option<Encoded> {
    let mass = Mass::of(row)?;
    let logarithm = mass.sum.ln() as f32;
    let cut = mass.least.max(mass.largest - REACH);
    let scale = (mass.largest - cut) / STEPS;
    let steps = if scale == 0.0 {
        vec![0; row.len()]
    } else {
        let inverse = 1.0 / scale;
        let step = |logit: &f32| if *logit > cut { nearest(inverse * (logit - cut)) } else { 0 };
        row.iter().map(step).collect()
    };
    Some(Encoded { scale, lowest: cut - mass.largest - logarithm, steps })
}

/// The nearest whole number, the even one of two, of a value from 0 to 65,535: added to 1.5 · 2²³ it stands in the last
/// bits.
fn nearest(value: f32) -> u16 {
    (value + 12_582_912.0).to_bits() as u16
}

/// −ln of the probability of a token in nats, as the tool finds it when it only measures perplexity. `None` for a row
/// that [`encode`] refuses, or a token outside of the vocabulary.
#[must_use]
pub fn nll(row: &[f32], token: u32) -> Option<f64> {
    let mass = Mass::of(row)?;
    let logit = row.get(token as usize)?;
    Some(-(f64::from(logit - mass.largest) - mass.sum.ln()))
}

/// −ln of the probability of a token in nats, as the tool finds it while it writes a file: in f32. `None` as for
/// [`nll`].
#[must_use]
pub fn nll_while_writing(row: &[f32], token: u32) -> Option<f32> {
    let mass = Mass::of(row)?;
    Some(mass.largest + mass.sum.ln() as f32 - row.get(token as usize)?)
}

/// The figures of one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Σ p·(ln p − ln q) over the tokens whose ln p is above −16, p from the file: nats, and possibly below zero;
    /// infinite where the candidate rules one of them out.
    pub divergence: f64,
    /// −ln of the probability that the candidate gives the token that came, in nats; infinite where it is ruled out.
    pub nll: f32,
    /// The same of the file's row.
    pub base_nll: f32,
    /// Probability of the token that came, the candidate's less the file's.
    pub difference: f32,
    /// The likeliest token is the same (the lowest of equals, of which rounding makes some).
    pub same_top: bool,
}

/// Holds a candidate's logits against a row of a file. `None` for a row that [`encode`] refuses, one of another length,
/// or a token outside of the vocabulary.
#[must_use]
pub fn score(base: &Encoded, candidate: &[f32], token: u32) -> Option<Score> {
    let mass = Mass::of(candidate).filter(|_| base.steps.len() == candidate.len())?;
    let shift = mass.largest + mass.sum.ln() as f32;
    let nll = shift - candidate.get(token as usize)?;
    let base_nll = -base.log_probability(token)?;
    let (mut divergence, mut top, mut likeliest) = (0.0, 0, f32::NEG_INFINITY);
    for (place, (log_probability, logit)) in base.log_probabilities().zip(candidate).enumerate() {
        if log_probability > likeliest {
            (top, likeliest) = (place, log_probability);
        }
        if log_probability > -REACH {
            divergence += f64::from(log_probability.exp() * (log_probability - logit + shift));
        }
    }
    let difference = (-nll).exp() - (-base_nll).exp();
    Some(Score { divergence, nll, base_nll, difference, same_top: top == mass.top })
}

/// What one pass over a row finds, and Σ e^(logit − largest) of a second: each term in f32, the sum in f64.
struct Mass {
    largest: f32,
    /// The token of the largest, the lowest of equals.
    top: usize,
    least: f32,
    sum: f64,
}

impl Mass {
    fn of(row: &[f32]) -> Option<Mass> {
        let (mut largest, mut top, mut least) = (f32::NEG_INFINITY, 0, f32::INFINITY);
        for (place, logit) in row.iter().copied().enumerate() {
            if logit > largest {
                (largest, top) = (logit, place);
            }
            if logit < least {
                least = logit;
            }
        }
        let sum: f64 = row.iter().map(|logit| f64::from((logit - largest).exp())).sum();
        // No number, plus infinity, and minus infinity throughout all leave a sum that is none; no row leaves zero.
        (sum >= 1.0).then_some(Mass { largest, top, least, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_sixteen_nats_below_its_largest() {
        let row = [3.0f32, -20.0, 1.0, f32::NEG_INFINITY];
        let encoded = encode(&row).unwrap();
        assert_eq!(encoded.scale, 16.0 / 65_535.0);
        assert_eq!((encoded.steps[0], encoded.steps[1], encoded.steps[3]), (65_535, 0, 0));
        assert_eq!(encoded.steps[2], (14.0f32 * 65_535.0 / 16.0).round_ties_even() as u16);
        let exact = super::super::exact::single(&row, 2).nll.unwrap();
        assert!((f64::from(-encoded.log_probability(2).unwrap()) - exact).abs() < 2e-4);
        assert_eq!(encoded.log_probability(4), None);
    }

    #[test]
    fn a_row_of_equals_has_no_steps() {
        let encoded = encode(&[-2.5; 4]).unwrap();
        assert_eq!((encoded.scale, encoded.steps.as_slice()), (0.0, [0; 4].as_slice()));
        assert!((encoded.lowest + 4f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let good = [1.0f32, 2.0];
        let base = encode(&good).unwrap();
        for bad in [[f32::NAN, 1.0], [f32::INFINITY, 1.0], [f32::NEG_INFINITY; 2]] {
            assert_eq!((encode(&bad), nll(&bad, 0), nll_while_writing(&bad, 0)), (None, None, None));
            assert_eq!(score(&base, &bad, 0), None);
        }
        assert_eq!((encode(&[]), nll(&good, 2), score(&base, &[1.0; 3], 0)), (None, None, None));
        assert_eq!(score(&base, &good, 2), None);
    }

    #[test]
    fn a_candidate_is_held_against_the_rounded_row() {
        let base: Vec<f32> = (0..64).map(|place| (place as f32 * 0.7).sin() * 4.0).collect();
        let candidate: Vec<f32> = base.iter().map(|logit| logit * 1.1).collect();
        let found = score(&encode(&base).unwrap(), &candidate, 9).unwrap();
        let exact = super::super::exact::pair(&base, &candidate, 9);
        assert!((found.divergence - exact.divergence.unwrap()).abs() < 1e-4);
        assert!((f64::from(found.nll) - exact.candidate.nll.unwrap()).abs() < 1e-5);
        assert!((f64::from(found.base_nll) - exact.reference.nll.unwrap()).abs() < 2e-4);
        assert!((found.difference - ((-found.nll).exp() - (-found.base_nll).exp())).abs() < 1e-9);
        assert!(found.same_top);
        assert_eq!(nll_while_writing(&candidate, 9), Some(found.nll));
        assert!((nll(&candidate, 9).unwrap() - f64::from(found.nll)).abs() < 1e-5);
    }
}
