//! Bisection with an oracle that is wrong now and then: is the stated confidence honest, and what does it cost?

use gguflab_search::bisect::{Answer, Builds, Decision, Next, next};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RUNS: usize = 2000;
const CONFIDENCE: f64 = 0.95;

/// What many searches came to.
struct Tally {
    right: usize,
    no_change: usize,
    questions: f64,
    most: usize,
}

/// Searches for culprits that are drawn anew each time (`None`: nothing changed), with answers that are right with this
/// probability and say so.
fn search(count: usize, reliability: f64, change: bool, skipped: &[usize]) -> Tally {
    let mut random = ChaCha8Rng::seed_from_u64(count as u64);
    let builds = Builds { count, skipped: skipped.to_vec() };
    let mut tally = Tally { right: 0, no_change: 0, questions: 0.0, most: 0 };
    for _ in 0..RUNS {
        let culprit = if change { random.random_range(1..count) } else { count };
        let mut answers = Vec::new();
        loop {
            match next(&builds, &answers, CONFIDENCE).unwrap() {
                Next::Ask(build) => {
                    assert!(build > 0 && build < count && !skipped.contains(&build));
                    let honest = random.random_bool(reliability);
                    answers.push(Answer { build, is_bad: (build >= culprit) == honest, reliability });
                    assert!(answers.len() < 200, "it goes on for ever");
                }
                Next::Decided(Decision::Found { first, last, .. }) => {
                    tally.right += usize::from((first..=last).contains(&culprit));
                    break;
                }
                Next::Decided(Decision::NoChange { .. }) => {
                    tally.no_change += 1;
                    tally.right += usize::from(!change);
                    break;
                }
            }
        }
        tally.questions += answers.len() as f64 / RUNS as f64;
        tally.most = tally.most.max(answers.len());
    }
    tally
}

#[test]
fn the_confidence_is_honest_and_costs_little_more_than_halving() {
    for reliability in [0.9, 0.975] {
        for count in [2, 8, 32, 128, 1024] {
            let tally = search(count, reliability, true, &[]);
            let share = tally.right as f64 / RUNS as f64;
            let halving = (count as f64).log2();
            println!(
                "{count} builds, answers right in {:.1} %: culprit right in {:.1} %, {:.1} questions (halving {halving:.1}), at most {}",
                100.0 * reliability,
                100.0 * share,
                tally.questions,
                tally.most
            );
            // Two standard errors of 2,000 runs below.
            assert!(share >= CONFIDENCE - 0.01, "{count} builds at {reliability}: {share}");
            if reliability > 0.95 {
                assert!(tally.questions <= 1.5 * halving + 1.0, "{count}: {}", tally.questions);
            }
        }
    }
}

#[test]
fn where_nothing_changed_no_culprit_is_named() {
    for count in [2, 32, 1024] {
        let tally = search(count, 0.975, false, &[]);
        let share = tally.no_change as f64 / RUNS as f64;
        println!(
            "{count} builds without a change: seen in {:.1} %, {:.1} questions",
            100.0 * share,
            tally.questions
        );
        assert!(share >= CONFIDENCE - 0.015 && tally.questions < 3.0, "{count}: {share}");
    }
}

#[test]
fn builds_that_do_not_run_are_left_out() {
    let skipped: Vec<usize> = (5..20).collect();
    let tally = search(32, 0.975, true, &skipped);
    assert!(tally.right as f64 / RUNS as f64 >= CONFIDENCE - 0.015);
}
