//! What a visit of a configuration is worth.
//!
//! Expected improvement over the best that is known (Jones, Schonlau & Welch 1998), as its logarithm (numerically after
//! Ament et al. 2023), times the probability that the configuration runs, divided by what the visit costs.

use super::gaussian::Belief;
use gguflab_stats::special::{normal_cumulative, normal_density};

/// Logarithm of the expected improvement of a lower value over `best`, in the unit of the values.
pub(crate) fn log_improvement(best: f64, belief: Belief) -> f64 {
    let score = (best - belief.mean) / belief.deviation;
    belief.deviation.ln() + log_gain(score)
}

/// Logarithm of φ(z) + zΦ(z).
fn log_gain(score: f64) -> f64 {
    if score > -5.0 {
        return (normal_density(score) + score * normal_cumulative(score)).max(1e-300).ln();
    }
    // φ(z)/z² · (1 − 3/z² + 15/z⁴): the first terms of Mills' ratio, whose other terms cancel.
    let square = score * score;
    -0.5 * square - 0.5 * std::f64::consts::TAU.ln() - square.ln()
        + (1.0 - 3.0 / square + 15.0 / (square * square)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_joins_the_body() {
        let (near, far) = (log_gain(-4.999_999), log_gain(-5.000_001));
        assert!((near - far).abs() < 0.025, "{near} {far}");
        assert!((log_gain(0.0) - normal_density(0.0).ln()).abs() < 1e-12);
        assert!(log_gain(-40.0).is_finite() && log_gain(-40.0) < log_gain(-30.0));
    }

    #[test]
    fn what_is_unsure_is_worth_more() {
        let worth = |mean, deviation| log_improvement(1.0, Belief { mean, deviation });
        assert!(worth(1.0, 0.2) > worth(1.0, 0.1));
        assert!(worth(0.8, 0.1) > worth(0.9, 0.1));
    }
}
