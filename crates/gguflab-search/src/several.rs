//! Several objectives as one, for a while (ParEGO, Knowles 2006).
//!
//! Each proposal looks for the best of another mixture: the augmented Tchebycheff distance of the logarithms of all
//! objectives, each between 0 (the best seen) and 1 (the worst), under weights drawn at random from seed and number of
//! visits. Every point of a front is the best of some mixture, those in its hollows too.

use crate::order::scramble;
use crate::visit::Visit;

/// The share of the weighted sum beside the largest term, which keeps out points that only tie in that.
const SUM: f64 = 0.05;

/// What a search by a model makes smaller: the objective itself, or a mixture of several.
pub(crate) enum Aim {
    /// The logarithm of the one objective.
    Value,
    /// A mixture.
    Mixture(Mixture),
}

/// Weights, and the range of the logarithm of each objective.
pub(crate) struct Mixture {
    weights: Vec<f64>,
    ranges: Vec<(f64, f64)>,
}

impl Aim {
    /// The aim of the next proposal.
    pub(crate) fn next(visits: &[Visit], seed: u64) -> Aim {
        let told: Vec<&Visit> = visits.iter().filter(|visit| visit.exploratory()).collect();
        let several: Vec<&[f64]> = told.iter().filter_map(|visit| costs(visit)).collect();
        let Some(count) = several.iter().map(|costs| costs.len()).min().filter(|count| *count > 1) else {
            return Aim::Value;
        };
        let range = |place: usize| {
            let logs = several.iter().map(|costs| costs[place].ln());
            logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)))
        };
        let weights = weights(count, seed ^ scramble(told.len() as u64));
        Aim::Mixture(Mixture { weights, ranges: (0..count).map(range).collect() })
    }

    /// What a visit comes to; `None` where it says nothing.
    pub(crate) fn of(&self, visit: &Visit) -> Option<f64> {
        match self {
            Aim::Value => visit.informative().map(f64::ln),
            Aim::Mixture(mixture) => costs(visit).map(|costs| mixture.of(costs)),
        }
    }

    /// What a standard deviation of the objectives' logarithms comes to.
    pub(crate) fn noise(&self, noise: f64) -> f64 {
        match self {
            Aim::Value => noise,
            Aim::Mixture(mixture) => {
                let widths: Vec<f64> = mixture.ranges.iter().map(|(low, high)| high - low).collect();
                let usual = gguflab_stats::median(&widths).unwrap_or(1.0);
                noise / usual.max(noise)
            }
        }
    }

    /// Whether it is the logarithm of something.
    pub(crate) fn is_value(&self) -> bool {
        matches!(self, Aim::Value)
    }
}

impl Mixture {
    fn of(&self, costs: &[f64]) -> f64 {
        let share = |(cost, (low, high)): (&f64, &(f64, f64))| {
            if high > low { (cost.ln() - low) / (high - low) } else { 0.0 }
        };
        let shares = costs.iter().zip(&self.ranges).map(share);
        let terms: Vec<f64> = shares.zip(&self.weights).map(|(share, weight)| share * weight).collect();
        terms.iter().copied().fold(0.0, f64::max) + SUM * terms.iter().sum::<f64>()
    }
}

/// All objectives of a visit that was measured, if there are several.
fn costs(visit: &Visit) -> Option<&[f64]> {
    let whole = visit.objectives.len() > 1
        && visit.informative().is_some()
        && visit.objectives.iter().all(|cost| cost.is_finite() && *cost > 0.0);
    whole.then_some(&visit.objectives)
}

/// Weights that are 1 together, every such division as likely as any other (gaps between exponential numbers).
fn weights(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let drawn: Vec<f64> = (0..count)
        .map(|_| {
            state = scramble(state);
            // The upper 53 bits, above 0.
            -(((state >> 11) + 1) as f64 / (1_u64 << 53) as f64).ln() + f64::MIN_POSITIVE
        })
        .collect();
    let sum: f64 = drawn.iter().sum();
    drawn.into_iter().map(|one| one / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Configuration, Outcome, Purpose};

    fn visit(objectives: &[f64]) -> Visit {
        Visit {
            configuration: Configuration::new(),
            purpose: Purpose::Search,
            round: 0,
            outcome: Some(Outcome::Measured),
            cause: String::new(),
            value: Some(objectives[0]),
            load: None,
            cost: 1.0,
            loading: 0.0,
            steps: std::collections::BTreeMap::new(),
            violation: None,
            objectives: objectives.to_vec(),
            second: None,
        }
    }

    #[test]
    fn every_point_of_a_front_is_the_aim_of_some_mixture_and_no_other_one_is() {
        // The third lies in a hollow of the front, which a weighted sum never finds; the last two are beaten.
        let points = [[1.0, 9.0], [9.0, 1.0], [4.0, 4.0], [4.5, 9.0], [9.0, 9.0]];
        let visits: Vec<Visit> = points.iter().map(|point| visit(point)).collect();
        let mut found = [0; 5];
        for seed in 0..500 {
            let aim = Aim::next(&visits, seed);
            let worth = |place: &usize| aim.of(&visits[*place]).unwrap();
            let best = (0..5).min_by(|one, other| worth(one).total_cmp(&worth(other))).unwrap();
            found[best] += 1;
        }
        assert!(found[..3].iter().all(|count| *count > 50) && found[3..] == [0, 0], "{found:?}");
    }

    #[test]
    fn one_objective_is_itself() {
        let visits = [visit(&[2.0])];
        let aim = Aim::next(&visits, 1);
        assert_eq!((aim.of(&visits[0]), aim.noise(0.02)), (Some(2.0_f64.ln()), 0.02));
        assert!(aim.is_value() && Aim::next(&[], 1).is_value());
        let weights = weights(3, 7);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|one| *one > 0.0));
    }
}
