//! What a model said of one position, and how far another model is from it: rows of logits in, nats out.
//!
//! A row has one logit for each token of the vocabulary. Minus infinity is a token that is ruled out, which some models
//! do; NaN and plus infinity are mistakes, and a row with any of them is *broken* and has no figure. So is a row that
//! rules out everything.
//!
//! [`single`] and [`pair`] work in the widest registers that the processor has (AVX-512, AVX2, SSE, NEON; chosen when
//! the program runs) in f64 with an exponential of their own. [`exact`] is the same in plain scalar code with the
//! system's exponential: what the others are tested against, and what they hand odd rows to.

pub mod exact;
mod lanes;
pub mod llama;

/// No token: what is scored by it has no nll.
pub const NO_TOKEN: u32 = u32::MAX;

/// What one row says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Single {
    /// −ln of the probability of the token that came, in nats. `None` where the row is broken, the token is not in the
    /// vocabulary, or [`Single::ruled_out`].
    pub nll: Option<f64>,
    /// The likeliest token, the lowest of equals; `None` where the row is broken or empty.
    pub top: Option<u32>,
    /// Logits that are NaN or plus infinity; all of them where the row rules out everything.
    pub broken: u32,
    /// The row is sound, and rules out the token that came: its nll is infinite.
    pub ruled_out: bool,
}

/// What two rows say of the same position.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    /// The reference's row.
    pub reference: Single,
    /// The candidate's.
    pub candidate: Single,
    /// KL(reference ‖ candidate) in nats, never below zero, exactly zero for equal rows. `None` where either row is
    /// broken or empty, they differ in length, or [`Pair::infinite`].
    pub divergence: Option<f64>,
    /// The likeliest token is the same; false where either has none.
    pub same_top: bool,
    /// Both are sound, and the candidate rules out a token that the reference holds possible: infinitely far.
    pub infinite: bool,
}

/// Scores one row by the token that came.
#[must_use]
pub fn single(row: &[f32], token: u32) -> Single {
    match lanes::single(row) {
        Some((peak, mass)) => Outline::of(peak).single(row, token, mass),
        None => exact::single(row, token),
    }
}

/// Scores both rows by the token that came, and the candidate by the reference, in one pass.
///
/// The divergence is within 1e-9 nats of [`exact::pair`]'s, times one plus its own size.
#[must_use]
pub fn pair(reference: &[f32], candidate: &[f32], token: u32) -> Pair {
    let found = if reference.len() == candidate.len() { lanes::pair(reference, candidate) } else { None };
    match found {
        Some((one, other, sums)) => {
            assemble((reference, &Outline::of(one)), (candidate, &Outline::of(other)), token, sums)
        }
        None => exact::pair(reference, candidate, token),
    }
}

/// The largest logit and its token, the lowest of equals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Peak {
    pub(crate) value: f32,
    pub(crate) place: usize,
}

/// What is known of a row besides its sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outline {
    /// `None` where the row is broken or empty.
    pub(crate) peak: Option<Peak>,
    broken: u32,
}

/// Sums of one pass over two rows, with p and q the logits less the largest of their rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    /// Σ eᵖ.
    reference: f64,
    /// Σ e^q.
    candidate: f64,
    /// Σ eᵖ·(p − q).
    cross: f64,
}

pub(crate) use lanes::{block_maxima, block_sums, sum};

/// What is known of any row besides its sum.
pub(crate) fn outline(row: &[f32]) -> Outline {
    lanes::peak(row).map_or_else(|| exact::outline(row), Outline::of)
}

impl Outline {
    fn of(peak: Peak) -> Outline {
        Outline { peak: Some(peak), broken: 0 }
    }

    /// What the row says of a token, with Σ e^(logit − largest).
    pub(crate) fn single(&self, row: &[f32], token: u32, mass: f64) -> Single {
        let logit = row.get(token as usize).copied();
        let known = self.peak.zip(logit);
        let nll = known.map(|(peak, logit)| f64::from(peak.value) - f64::from(logit) + mass.ln());
        Single {
            nll: nll.filter(|nll| nll.is_finite()),
            top: self.peak.map(|peak| peak.place as u32),
            broken: self.broken,
            ruled_out: known.is_some_and(|(_, logit)| logit == f32::NEG_INFINITY),
        }
    }
}

/// KL(p‖q) = d/a − ln a + ln c with a = Σ e^(p−max p), c = Σ e^(q−max q) and d = Σ e^(p−max p)·((p−max p) − (q−max q)):
/// the definition (Kullback & Leibler 1951) for softmax distributions, without forming them. Rounding can take it below
/// zero, which it is not.
fn assemble(reference: (&[f32], &Outline), candidate: (&[f32], &Outline), token: u32, sums: Sums) -> Pair {
    let found = sums.cross / sums.reference - sums.reference.ln() + sums.candidate.ln();
    let (one, other) = (
        reference.1.single(reference.0, token, sums.reference),
        candidate.1.single(candidate.0, token, sums.candidate),
    );
    let same_top = one.top.is_some() && one.top == other.top;
    let divergence = found.is_finite().then_some(found.max(0.0));
    Pair { reference: one, candidate: other, divergence, same_top, infinite: found == f64::INFINITY }
}
