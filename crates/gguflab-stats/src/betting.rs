//! Means of values between 0 and 1, such as the share of tokens of each chunk at which two models agree, with a confidence
//! sequence that assumes nothing of their distribution.

use crate::estimate::{Estimate, Interval};
use crate::location::{finite, mean};

/// The variance that values are taken to have before any was seen, counted as one value: shares of the tokens of a chunk
/// scatter by about 0.05. Another number would cost width, not truth.
const EXPECTED_VARIANCE: f64 = 0.0025;
/// The share of its capital that a bet may lose.
const MOST_LOST: f64 = 0.75;
/// Halvings with which an end is found: more than a double can tell apart.
const HALVINGS: u32 = 55;

/// The mean of values from 0 to 1, one for each chunk (each counts the same), with an interval that holds at all looks
/// together with probability 1 − `error`, however the values are distributed: hedged capital by betting (Waudby-Smith &
/// Ramdas 2024, *Estimating means of bounded random variables by betting*, theorem 3; without replacement their section 5).
///
/// A gambler bets on each value being above (below) a supposed mean, with stakes that follow from the values before; a mean
/// against which he would have turned 1 into 2/error is refused (Ville 1939). `population` is the number of chunks of the
/// whole text when the chunks are drawn from it in a random order and the mean is to tell of it; `None`: of texts like it.
/// Values that are not finite are left out. `None` without values or with one that is not from 0 to 1.
#[must_use]
pub fn bounded_mean(values: &[f64], population: Option<usize>, error: f64) -> Option<Estimate> {
    let values = finite(values);
    let value = mean(&values)?;
    if !values.iter().all(|value| (0.0..=1.0).contains(value)) {
        return None;
    }
    let population = population.filter(|all| *all >= values.len());
    let above = Bets::of(&values, population, error);
    let mirrored: Vec<f64> = values.iter().map(|value| 1.0 - value).collect();
    let below = Bets::of(&mirrored, population, error);
    let low = above.lower_end(value);
    let high = 1.0 - below.lower_end(1.0 - value);
    let whole = population == Some(values.len());
    let (low, high) = if whole { (value, value) } else { (low, high) };
    let interval = Some(Interval { low, high, confidence: 1.0 - error });
    Some(Estimate {
        value,
        interval,
        count: values.len(),
        method: "mean of chunks, betting confidence sequence",
    })
}

/// Bets that the mean is above what is supposed.
struct Bets<'a> {
    values: &'a [f64],
    /// What is staked on each value, unless that might lose too much.
    stakes: Vec<f64>,
    population: Option<usize>,
    /// The logarithm of the capital from which on a mean is refused.
    enough: f64,
}

impl Bets<'_> {
    /// Stakes by the predictable plug-in rule (Waudby-Smith & Ramdas, equation 26).
    fn of(values: &[f64], population: Option<usize>, error: f64) -> Bets<'_> {
        let enough = (2.0 / error).ln();
        let (mut sum, mut squares) = (0.0, EXPECTED_VARIANCE);
        let stakes = values.iter().zip(1_u32..).map(|(value, number)| {
            let number = f64::from(number);
            let variance = squares / number;
            sum += value;
            squares += (value - sum / number).powi(2);
            (2.0 * enough / (variance * number * (number + 1.0).ln())).sqrt()
        });
        Bets { stakes: stakes.collect(), values, population, enough }
    }

    /// The smallest mean that is not refused; the capital falls as the supposed mean rises.
    fn lower_end(&self, value: f64) -> f64 {
        if !self.refuses(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, value);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.refuses(middle) { low = middle } else { high = middle }
        }
        low
    }

    fn refuses(&self, supposed: f64) -> bool {
        let mut capital = 0.0;
        let mut seen = 0.0;
        for (number, (value, stake)) in self.values.iter().zip(&self.stakes).enumerate() {
            // What the rest of the text would have to have on average.
            let rest = match self.population {
                Some(all) => (all as f64 * supposed - seen) / (all - number) as f64,
                None => supposed,
            };
            if rest < 0.0 {
                return true;
            }
            let stake = stake.min(MOST_LOST / rest);
            capital += (stake * (value - rest)).ln_1p();
            seen += value;
        }
        capital >= self.enough
    }
}
