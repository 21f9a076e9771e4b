//! Whatever comes in, nothing panics and nothing is invented.

use crate::simulate::generator;
use gguflab_stats::{
    Arm, Block, Cell, Design, Run, Sequence, Summary, compare, drift, effective_size, hodges_lehmann,
    location, median, percentile, pooled_difference, residual, robust_spread, sign_flip, special, welch,
};
use gguflab_types::Direction;
use rand::RngExt;

const ODD: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    1e-320,
    1e300,
    3.5,
];

#[test]
fn empty_input_gives_nothing() {
    assert_eq!(location(&[]), None);
    assert_eq!(location(&[f64::NAN]), None);
    assert_eq!((median(&[]), robust_spread(&[]), sign_flip(&[])), (None, None, None));
    assert_eq!(hodges_lehmann(&[], 0.95), None);
    assert_eq!(compare(&[], &[], 0.95), None);
    assert_eq!(percentile(&[], 0.5, 0.95).estimate, None);
    assert_eq!(percentile(&[&[], &[]], 0.5, 0.95).count, 0);
    assert_eq!(residual(&[]), None);
}

#[test]
fn odd_numbers_do_no_harm() {
    let mut generator = generator(7);
    let sequence = Sequence::new(Design::GATE).unwrap();
    for _ in 0..3000 {
        let mut draw = |most: usize| -> Vec<f64> {
            let count = generator.random_range(0..most);
            (0..count).map(|_| ODD[generator.random_range(0..ODD.len())]).collect()
        };
        let (one, other) = (draw(30), draw(30));
        let _ = location(&one);
        let _ = (hodges_lehmann(&one, 0.95), drift(&one, 0.95));
        let _ = sign_flip(&one[..one.len().min(12)]);
        let _ = compare(&one, &other, 0.95);
        let _ = robust_spread(&one);
        for probability in [0.0, 0.5, 0.99, 1.0, f64::NAN] {
            let _ = percentile(&[&one, &other], probability, 0.95);
        }
        assert!(effective_size(&[&one, &other]) <= (one.len() + other.len()) as f64 || one.is_empty());
        let cells: Vec<Cell> = one
            .iter()
            .enumerate()
            .map(|(index, value)| Cell { block: index / 3, treatment: index % 3, value: *value })
            .collect();
        let runs = one.iter().zip(other.iter().chain([&0.5])).map(|(value, covariate)| Run {
            arm: if value > covariate { Arm::Candidate } else { Arm::Reference },
            value: *value,
            covariates: vec![*covariate],
        });
        let runs: Vec<Run> = runs.collect();
        let blocks: Vec<Block> = runs.chunks(4).map(|runs| Block { runs: runs.to_vec() }).collect();
        if let Some(look) = sequence.look(&blocks) {
            let _ = (look.gate(0.1, Direction::Lower), look.verdict(0.1, Direction::Neutral));
        }
        if let (Some(one), Some(other)) = (Summary::of(&one), Summary::of(&other)) {
            let _ = welch(&one, &other, 0.95);
        }
        let _ = pooled_difference(&cells, residual(&cells), (1, 0), 0.95, 2);
    }
}

#[test]
fn arguments_outside_of_the_domain_are_not_numbers() {
    assert!(special::ln_gamma(-1.0).is_nan());
    assert!(special::incomplete_beta(0.0, 1.0, 0.5).is_nan());
    assert!(special::incomplete_beta(1.0, 1.0, 1.5).is_nan());
    assert!(special::normal_quantile(1.5).is_nan());
    assert!(special::student_quantile(0.5, 0.0).is_nan());
    assert_eq!(special::normal_quantile(1.0), f64::INFINITY);
    assert_eq!(special::student_cumulative(f64::NEG_INFINITY, 3.0), 0.0);
    for x in ODD {
        let _ = special::normal_cumulative(x);
        let _ = special::student_quantile(x, x);
        let _ = special::f_exceeds(x, 2.0, x);
    }
}
