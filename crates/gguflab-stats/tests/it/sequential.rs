//! The sequential comparison: its boundary against published tables, its error rates by simulation.

use crate::simulate::{generator, normal};
use gguflab_stats::simulation::Scenario;
use gguflab_stats::{Arm, Block, Design, Gate, Look, Run, Sequence, Verdict};
use gguflab_types::Direction;
use rand::RngExt;

/// Simulated sequences for each rate.
const RUNS: u64 = 1000;

fn sequence(design: Design) -> Sequence {
    Sequence::new(design).expect("a design")
}

/// The normal boundary at the last look.
fn constant(error: f64, most: usize, shape: f64) -> f64 {
    let level = sequence(Design { error, first: 1, most, shape }).level(most).expect("a look");
    -gguflab_stats::special::normal_quantile(level / 2.0)
}

#[test]
fn boundaries_are_the_published_ones() {
    // Jennison & Turnbull 2000, tables 2.1 (Pocock) and 2.3 (O'Brien & Fleming), two-sided 5 %.
    for (most, pocock, fleming) in [
        (1, 1.960, 1.960),
        (2, 2.178, 1.977),
        (3, 2.289, 2.004),
        (4, 2.361, 2.024),
        (5, 2.413, 2.040),
        (10, 2.555, 2.087),
    ] {
        assert!((constant(0.05, most, 0.5) - pocock).abs() < 6e-4, "Pocock, {most} looks");
        assert!((constant(0.05, most, 0.0) - fleming).abs() < 6e-4, "O'Brien & Fleming, {most} looks");
    }
}

#[test]
fn power_and_what_is_visible_agree_with_random_walks() {
    let sequence = sequence(Design::GATE);
    let (power, half) = sequence.power(0.05, 0.04);
    let mut stopped = Vec::new();
    for seed in 0..4000 {
        let mut generator = generator(seed);
        let mut sum = 0.0;
        let crossing = (1..=Design::GATE.most).find(|&blocks| {
            sum += 0.05 / 0.04 + normal(&mut generator);
            sequence.level(blocks).is_some_and(|level| {
                sum / (blocks as f64).sqrt() > -gguflab_stats::special::normal_quantile(level / 2.0)
            })
        });
        stopped.extend(crossing);
    }
    stopped.sort_unstable();
    assert!((stopped.len() as f64 / 4000.0 - power).abs() < 0.01, "{} of 4000, {power}", stopped.len());
    assert_eq!(stopped.get(2000).copied(), half);
    let visible = sequence.visible(0.04, 0.9);
    assert!((sequence.power(visible, 0.04).0 - 0.9).abs() < 1e-6, "{visible}");
}

#[test]
fn designs_that_are_none_are_refused() {
    let good = Design::GATE;
    for design in [
        Design { error: 0.0, ..good },
        Design { error: f64::NAN, ..good },
        Design { error: 1.0, ..good },
        Design { first: 0, ..good },
        Design { first: 17, ..good },
        Design { most: 1000, ..good },
        Design { shape: -0.1, ..good },
    ] {
        assert_eq!(Sequence::new(design), None, "{design:?}");
    }
    assert_eq!(good.shared_by(4).error, good.error / 4.0);
}

fn block(arms: &str, values: [f64; 4]) -> Block {
    let arm = |letter: char| if letter == 'A' { Arm::Candidate } else { Arm::Reference };
    let run = |(letter, value)| Run { arm: arm(letter), value, covariates: Vec::new() };
    Block { runs: arms.chars().zip(values).map(run).collect() }
}

#[test]
fn a_drift_that_is_linear_within_a_block_cancels() {
    // 2 % less for each run, and the candidate 7 % below the reference.
    let drifting = |at: i32| 0.98_f64.powi(at);
    let ours = |at: i32| 93.0 * drifting(at);
    let theirs = |at: i32| 100.0 * drifting(at);
    let blocks = [
        block("ABBA", [ours(0), theirs(1), theirs(2), ours(3)]),
        block("BAAB", [theirs(4), ours(5), ours(6), theirs(7)]),
    ];
    let look = sequence(Design::COMPARISON).look(&blocks).unwrap();
    assert!((look.difference.value + 0.07).abs() < 1e-9, "{look:?}");
    assert!((look.slope.unwrap() + 0.02).abs() < 1e-9 && look.deviation.unwrap() < 1e-6, "{look:?}");
    assert_eq!((look.blocks, look.difference.count, look.last), (2, 8, false));
    assert_eq!(look.verdict(0.01, Direction::Higher), Some(Verdict::Worse));
    assert_eq!(look.verdict(0.01, Direction::Lower), Some(Verdict::Better));
    assert_eq!(look.gate(0.05, Direction::Higher), Some(Gate::Fail));
    assert_eq!(look.gate(0.05, Direction::Lower), Some(Gate::Pass));
    assert_eq!(look.gate(0.1, Direction::Higher), Some(Gate::Pass));
    assert_eq!(look.gate(0.05, Direction::Neutral), Some(Gate::Fail));
}

#[test]
fn unusable_runs_are_left_out_and_blocks_without_an_arm_do_not_count() {
    let sequence = sequence(Design::COMPARISON);
    let nothing = f64::NAN;
    let half = block("ABBA", [1.0, nothing, 0.0, 1.1]);
    assert_eq!(sequence.look(&[]), None);
    assert_eq!(sequence.look(&[half.clone(), Block::default()]), None);
    let whole = block("ABBA", [1.0, 1.1, nothing, 1.05]);
    let look = sequence.look(&[whole.clone(), half, whole]).unwrap();
    assert_eq!((look.blocks, look.difference.count), (2, 6));
    let one = sequence.look(&[block("ABBA", [1.0, 1.1, 1.2, 1.3])]).unwrap();
    assert_eq!((one.difference.interval, one.verdict(0.01, Direction::Higher)), (None, None));
}

#[test]
fn it_ends_at_the_last_look_and_says_what_it_knows() {
    let sequence = sequence(Design::GATE.with_most(3));
    let noisy = block("ABBA", [1.0, 2.0, 1.0, 2.1]);
    let blocks = vec![noisy; 9];
    let look = sequence.look(&blocks).unwrap();
    assert_eq!((look.blocks, look.last), (3, true));
    assert_eq!(look.gate(0.1, Direction::Higher), Some(Gate::Inconclusive));
    assert_eq!(look.verdict(0.01, Direction::Higher), Some(Verdict::Undecided));
    assert_eq!(sequence.look(&blocks[..2]).unwrap().gate(0.1, Direction::Higher), None);
}

/// What each simulated sequence ended with, and after how many runs of each arm.
fn play<T>(design: Design, scenario: Scenario, stop: impl Fn(&Look) -> Option<T>) -> Vec<(T, usize)> {
    let sequence = sequence(design);
    let one = |seed: u64| {
        let mut generator = generator(0xabba ^ seed);
        let blocks = scenario.blocks(design.most, &mut || generator.random());
        let mut looks = (design.first..=design.most)
            .map(|count| (count, sequence.look(&blocks[..count]).expect("blocks")));
        looks.find_map(|(count, look)| Some((stop(&look)?, 2 * count))).expect("an end")
    };
    (0..RUNS).map(one).collect()
}

fn share<T: PartialEq>(found: &[(T, usize)], wanted: &[T]) -> f64 {
    found.iter().filter(|(one, _)| wanted.contains(one)).count() as f64 / found.len() as f64
}

fn median_runs<T>(found: &[(T, usize)]) -> usize {
    let mut runs: Vec<usize> = found.iter().map(|(_, runs)| *runs).collect();
    runs.sort_unstable();
    runs[runs.len() / 2]
}

/// The largest share that a true rate shows in [`RUNS`] simulations but for one time in a thousand.
fn at_most(rate: f64) -> f64 {
    rate + 3.1 * (rate * (1.0 - rate) / RUNS as f64).sqrt()
}

#[track_caller]
fn holds(what: &str, scenario: &Scenario, share: f64, rate: f64) {
    println!("{what}: {:.2} % ({scenario:?})", 100.0 * share);
    assert!(share <= at_most(rate), "{what}: {:.2} % ({scenario:?})", 100.0 * share);
}

/// Series on which the promises about errors hold: as promised, and with what real machines do besides.
fn scenarios() -> Vec<Scenario> {
    let promised = Scenario::PROMISED;
    vec![
        promised,
        Scenario { drift: 0.0, autocorrelation: 0.0, ..promised },
        Scenario { autocorrelation: 0.8, ..promised },
        Scenario { autocorrelation: -0.3, ..promised },
        Scenario { course: 16, ..promised },
        Scenario { explained: 0.5, ..promised },
        Scenario { explained: 0.5, useless: 3, ..promised },
        Scenario { useless: 3, autocorrelation: 0.0, ..promised },
        Scenario { outliers: 0.1, ..promised },
    ]
}

#[test]
fn a_gate_errs_seldom_at_its_threshold() {
    // As many blocks as usual, and as few as a limit of time may leave.
    let designs = [Design::GATE, Design::GATE.with_most(6)];
    for (design, scenario) in
        designs.iter().flat_map(|design| scenarios().into_iter().map(move |one| (*design, one)))
    {
        let scenario = Scenario { difference: -0.1, ..scenario };
        let found = play(design, scenario, |look| look.gate(0.1, Direction::Higher));
        holds("fails at the threshold", &scenario, share(&found, &[Gate::Fail]), 0.025);
        holds("passes at the threshold", &scenario, share(&found, &[Gate::Pass]), 0.025);
    }
}

#[test]
fn a_comparison_seldom_claims_what_is_not() {
    for scenario in scenarios() {
        let found = play(Design::COMPARISON, scenario, |look| look.verdict(0.01, Direction::Higher));
        let claimed = share(&found, &[Verdict::Better, Verdict::Worse]);
        holds("a difference between equals", &scenario, claimed, 0.025);
    }
}

#[test]
fn a_gate_decides_soon() {
    let promised = Scenario::PROMISED;
    let same = play(Design::GATE, promised, |look| look.gate(0.1, Direction::Higher));
    assert!(share(&same, &[Gate::Pass]) >= 0.95, "{}", share(&same, &[Gate::Pass]));
    let worse = Scenario { difference: -0.15, ..promised };
    let found = play(Design::GATE, worse, |look| look.gate(0.1, Direction::Higher));
    let (failed, runs) = (share(&found, &[Gate::Fail]), median_runs(&found));
    assert!(failed >= 0.95 && runs <= 12, "{failed} after {runs}");
}

#[test]
fn a_comparison_decides_soon_and_sooner_with_covariates() {
    let worse = Scenario { difference: -0.05, ..Scenario::PROMISED };
    for (explained, most) in [(0.0, 14), (0.5, 10)] {
        let scenario = Scenario { explained, ..worse };
        let found = play(Design::COMPARISON, scenario, |look| look.verdict(0.01, Direction::Higher));
        let (seen, runs) = (share(&found, &[Verdict::Worse]), median_runs(&found));
        assert!(seen >= 0.9 && runs <= most, "{seen} after {runs} ({explained} explained)");
    }
}

#[test]
fn what_the_arm_itself_causes_is_not_taken_out() {
    let mut generator = generator(3);
    let mut blocks =
        Scenario { difference: -0.2, ..Scenario::PROMISED }.blocks(16, &mut || generator.random());
    for run in blocks.iter_mut().flat_map(|block| &mut block.runs) {
        run.covariates = vec![-run.value + 0.1 * normal(&mut generator)];
    }
    let look = sequence(Design::COMPARISON).look(&blocks).unwrap();
    assert!(look.covariates.is_empty() && (look.difference.value + 0.2).abs() < 0.03, "{look:?}");
}

#[test]
fn blocks_that_disagree_are_taken_at_their_word() {
    // Within each block everything is in order, but the difference is +10 % in one and −10 % in the next.
    let blocks: Vec<Block> = (0..8)
        .map(|index| {
            let factor = if index % 2 == 0 { 1.1 } else { 0.9 };
            block("ABBA", [factor, 1.0, 1.001, factor * 1.001])
        })
        .collect();
    let look = sequence(Design::COMPARISON).look(&blocks).unwrap();
    assert!(look.uneven && look.difference.interval.unwrap().contains(0.0), "{look:?}");
    assert_eq!(look.verdict(0.01, Direction::Higher), None);
}
