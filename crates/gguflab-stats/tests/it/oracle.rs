//! The distribution functions against an independent library, to 1e-10.

use gguflab_stats::special;
use statrs::distribution::{
    Binomial, ContinuousCDF, Discrete, DiscreteCDF, FisherSnedecor, Normal, StudentsT,
};
use statrs::function::{beta::beta_reg, gamma::ln_gamma};

#[track_caller]
fn close(ours: f64, theirs: f64, what: &str) {
    let tolerance = 1e-10 * theirs.abs().max(1.0);
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours} instead of {theirs}");
}

#[test]
fn gamma_and_beta() {
    for x in [1e-6, 0.1, 0.5, 1.0, 1.5, 2.0, 7.3, 14.9, 15.1, 120.0, 5e4] {
        close(special::ln_gamma(x), ln_gamma(x), &format!("ln_gamma({x})"));
    }
    for a in [0.5, 1.0, 2.5, 17.0, 300.0] {
        for b in [0.5, 1.0, 4.0, 60.0, 1000.0] {
            for x in [0.0, 1e-9, 0.01, 0.2, 0.5, 0.77, 0.99, 1.0] {
                close(special::incomplete_beta(a, b, x), beta_reg(a, b, x), &format!("I_{x}({a}, {b})"));
            }
        }
    }
}

#[test]
fn normal() {
    let theirs = Normal::new(0.0, 1.0).unwrap();
    for step in -160..=160 {
        let x = f64::from(step) / 20.0;
        close(special::normal_cumulative(x), theirs.cdf(x), &format!("Φ({x})"));
    }
    for probability in [1e-8, 1e-4, 0.005, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999] {
        let quantile = special::normal_quantile(probability);
        close(special::normal_cumulative(quantile), probability, &format!("Φ(q({probability}))"));
        close(quantile, theirs.inverse_cdf(probability), &format!("q({probability})"));
    }
}

#[test]
fn student() {
    for freedom in [1.0, 2.0, 3.0, 4.5, 10.0, 33.0, 1000.0] {
        let theirs = StudentsT::new(0.0, 1.0, freedom).unwrap();
        for x in [-50.0, -4.0, -1.0, -1e-3, 0.0, 0.3, 2.0, 12.7, 1e3] {
            close(special::student_cumulative(x, freedom), theirs.cdf(x), &format!("t({x}; {freedom})"));
        }
        for probability in [1e-5, 0.00625, 0.025, 0.4, 0.9, 0.975, 0.9995] {
            let quantile = special::student_quantile(probability, freedom);
            close(
                special::student_cumulative(quantile, freedom),
                probability,
                &format!("t({probability}; {freedom}) there and back"),
            );
            close(theirs.cdf(quantile), probability, &format!("their t of our quantile, {freedom}"));
        }
    }
}

#[test]
fn f_and_binomial() {
    for (numerator, denominator) in [(1.0, 1.0), (2.0, 8.0), (5.0, 40.0)] {
        let theirs = FisherSnedecor::new(numerator, denominator).unwrap();
        for x in [0.01, 0.5, 1.0, 3.0, 30.0] {
            close(special::f_exceeds(x, numerator, denominator), theirs.sf(x), &format!("F({x})"));
        }
    }
    for (trials, probability) in [(1_u64, 0.5), (6, 0.5), (36, 0.9), (400, 0.99), (5000, 0.95)] {
        let theirs = Binomial::new(probability, trials).unwrap();
        for share in [0, 1, 5, 9, 10] {
            let successes = trials * share / 10;
            close(
                special::binomial_cumulative(successes, trials, probability),
                theirs.cdf(successes),
                &format!("P(≤ {successes} of {trials})"),
            );
            close(
                special::binomial_mass(successes, trials, probability),
                theirs.pmf(successes),
                &format!("P({successes} of {trials})"),
            );
        }
    }
}
