//! Sketches of rows: what is kept, that the estimate is unbiased, and that the bound is one.

use crate::simulate::{generator, normals};
use gguflab_stats::score::exact;
use gguflab_stats::sketch::{Size, SketchScore, lower_bound, score, sketch};
use gguflab_types::evaluation::SketchRow;
use rand_chacha::ChaCha8Rng;

const RULED_OUT: f32 = f32::NEG_INFINITY;

fn row(length: usize, spread: f64, random: &mut ChaCha8Rng) -> Vec<f32> {
    normals(random, length).iter().map(|normal| (normal * spread) as f32).collect()
}

fn near(row: &[f32], distance: f64, random: &mut ChaCha8Rng) -> Vec<f32> {
    let noise = normals(random, row.len());
    row.iter().zip(noise).map(|(logit, noise)| logit + (distance * noise) as f32).collect()
}

fn divergence(reference: &[f32], candidate: &[f32]) -> f64 {
    exact::pair(reference, candidate, 0).divergence.expect("rows of numbers")
}

/// Rows as peaked and as flat as they come.
fn shapes(random: &mut ChaCha8Rng) -> Vec<(&'static str, Vec<f32>)> {
    let mut peaked = row(49_152, 2.0, random);
    peaked[777] = 30.0;
    let mut ties = vec![0.25f32; 4000];
    ties[3000] = 1.0;
    vec![
        ("as of a model", row(49_152, 3.0, random)),
        ("flat", row(20_000, 0.3, random)),
        ("peaked", peaked),
        ("ties", ties),
        ("small", row(100, 2.0, random)),
    ]
}

#[test]
fn the_likeliest_tokens_are_kept_in_order() {
    let mut random = generator(1);
    for (name, row) in shapes(&mut random) {
        for head in [0, 1, 5, 256, 1000] {
            let kept = sketch(&row, 3, Size { head, tail: 8 }, &mut random).unwrap();
            let mut order: Vec<u32> = (0..row.len() as u32).collect();
            order.sort_by(|one, other| row[*other as usize].total_cmp(&row[*one as usize]));
            order.truncate(head);
            assert_eq!(kept.head, order, "{name}, {head}");
            let full = exact::single(&row, order.first().copied().unwrap_or(0)).nll.unwrap();
            assert!(
                kept.head_log_probability.first().is_none_or(|first| (f64::from(*first) + full).abs() < 1e-5)
            );
            let head_mass: f64 =
                kept.head_log_probability.iter().map(|logarithm| f64::from(*logarithm).exp()).sum();
            assert!((head_mass + kept.tail_mass - 1.0).abs() < 1e-5, "{name}, {head}");
            assert!(kept.tail.iter().all(|token| !order.contains(token)), "{name}, {head}");
            assert_eq!(kept.tail.len(), if head >= row.len() { 0 } else { 8 }, "{name}, {head}");
            assert!((kept.nll - exact::single(&row, 3).nll.unwrap()).abs() < 1e-8);
        }
    }
}

#[test]
fn a_row_is_at_no_distance_from_its_own_sketch() {
    let mut random = generator(2);
    for (name, mut row) in shapes(&mut random) {
        row[9] = RULED_OUT;
        let kept = sketch(&row, 3, Size::default(), &mut random).unwrap();
        let found = score(&kept, &row, 3);
        assert_eq!((found.estimate, found.lower_bound), (Some(0.0), Some(0.0)), "{name}");
        assert_eq!((found.standard_error, found.same_top), (Some(0.0), true), "{name}");
        assert_eq!(lower_bound(&kept, &kept), Some(0.0), "{name}");
    }
}

#[test]
fn the_estimate_is_unbiased_and_knows_its_error() {
    let mut random = generator(3);
    let size = Size { head: 64, tail: 32 };
    for (name, reference) in shapes(&mut random) {
        for distance in [0.05, 0.5] {
            let candidate = near(&reference, distance, &mut random);
            let exact = divergence(&reference, &candidate);
            let drawn: Vec<SketchScore> = (0..400)
                .map(|_| sketch(&reference, 0, size, &mut random).unwrap())
                .map(|kept| score(&kept, &candidate, 0))
                .collect();
            let estimates: Vec<f64> = drawn.iter().map(|one| one.estimate.unwrap()).collect();
            let mean = estimates.iter().sum::<f64>() / 400.0;
            let spread =
                (estimates.iter().map(|estimate| (estimate - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
            // Four standard errors of the mean of 400, and what f32 leaves.
            assert!(
                (mean - exact).abs() <= 4.0 * spread / 20.0 + 1e-6,
                "{name}, {distance}: {mean} instead of {exact}, spread {spread}"
            );
            let said =
                (drawn.iter().map(|one| one.standard_error.unwrap().powi(2)).sum::<f64>() / 400.0).sqrt();
            assert!((said - spread).abs() <= 0.2 * spread + 1e-7, "{name}, {distance}: {said} for {spread}");
        }
    }
}

/// Mean and spread of estimates from 400 sketches.
fn estimates(reference: &[f32], candidate: &[f32], random: &mut ChaCha8Rng) -> (f64, f64) {
    let size = Size { head: 1, tail: 64 };
    let one = |_| {
        let kept = sketch(reference, 0, size, random).expect("a row of numbers");
        score(&kept, candidate, 0).estimate.expect("an estimate")
    };
    let found: Vec<f64> = (0..400).map(one).collect();
    let mean = found.iter().sum::<f64>() / 400.0;
    (mean, (found.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 399.0).sqrt())
}

#[test]
fn draws_of_a_near_lossless_candidate_scatter_by_less_than_its_divergence() {
    let mut random = generator(7);
    let reference = row(1792, 0.3, &mut random);
    let candidate = near(&reference, 0.01, &mut random);
    let exact = divergence(&reference, &candidate);
    let (mean, spread) = estimates(&reference, &candidate, &mut random);
    assert!(spread < 0.5 * exact, "{spread} for {exact}: as drawn it would be 20 times the divergence");
    assert!((mean - exact).abs() < 0.2 * exact, "{mean} instead of {exact}");
}

#[test]
fn what_a_candidate_gives_to_tokens_that_are_never_drawn_corrects_nothing() {
    let mut random = generator(8);
    for ruled_out in [RULED_OUT, -40.0] {
        let mut reference = row(1000, 0.3, &mut random);
        reference.push(ruled_out);
        let mut candidate = near(&reference, 0.01, &mut random);
        let all: f64 = candidate[..1000].iter().map(|logit| f64::from(*logit).exp()).sum();
        candidate[1000] = (all / 9.0).ln() as f32;
        let exact = divergence(&reference, &candidate);
        assert!((exact + 0.9f64.ln()).abs() < 0.01, "a tenth goes where nothing was: {exact}");
        let (mean, spread) = estimates(&reference, &candidate, &mut random);
        assert!(
            (mean - exact).abs() <= 4.0 * spread / 20.0 + 1e-6,
            "{mean} instead of {exact}, spread {spread}"
        );
    }
}

#[test]
fn the_bound_holds_and_tightens_with_the_head() {
    let mut random = generator(4);
    for (name, reference) in shapes(&mut random) {
        for distance in [0.01, 0.3, 2.0] {
            let candidate = near(&reference, distance, &mut random);
            let exact = divergence(&reference, &candidate);
            let mut before = 0.0;
            for head in [1, 16, 256, 4096] {
                let size = Size { head, tail: 0 };
                let kept = sketch(&reference, 0, size, &mut random).unwrap();
                let bound = score(&kept, &candidate, 0).lower_bound.unwrap();
                assert!(before - 1e-6 <= bound && bound <= exact + 1e-6, "{name}, {distance}, {head}");
                let other = sketch(&candidate, 0, size, &mut random).unwrap();
                let both = lower_bound(&kept, &other).unwrap();
                assert!((0.0..=bound + 1e-6).contains(&both), "{name}, {distance}, {head}: {both}, {bound}");
                before = bound;
            }
        }
    }
}

#[test]
fn everything_kept_is_the_exact_divergence() {
    let mut random = generator(5);
    let reference = row(300, 2.0, &mut random);
    let candidate = near(&reference, 0.5, &mut random);
    let kept = sketch(&reference, 0, Size { head: 300, tail: 64 }, &mut random).unwrap();
    let found = score(&kept, &candidate, 0);
    let exact = divergence(&reference, &candidate);
    assert!((found.estimate.unwrap() - exact).abs() < 1e-6 && kept.tail.is_empty());
    assert_eq!((kept.tail_mass, found.standard_error), (0.0, Some(0.0)));
    assert!((found.lower_bound.unwrap() - exact).abs() < 1e-6);
}

#[test]
fn draws_come_in_proportion_to_probability() {
    let mut random = generator(6);
    let row: Vec<f32> =
        [8.0f32, 3.0, 2.0, 1.0, 0.0].map(f32::ln).into_iter().chain([RULED_OUT; 60]).collect();
    let kept = sketch(&row, 0, Size { head: 1, tail: 60_000 }, &mut random).unwrap();
    let counts = [1, 2, 3].map(|token| kept.tail.iter().filter(|drawn| **drawn == token).count() as f64);
    assert_eq!(counts.iter().sum::<f64>(), 60_000.0);
    for (count, expected) in counts.into_iter().zip([30_000.0, 20_000.0, 10_000.0]) {
        assert!((count - expected).abs() < 600.0, "{counts:?}");
    }
    assert!((kept.tail_mass - 6.0 / 14.0).abs() < 1e-6);
}

#[test]
fn a_candidate_that_rules_out_what_is_possible_is_infinitely_far() {
    let mut random = generator(7);
    let reference = row(500, 1.0, &mut random);
    let kept = sketch(&reference, 0, Size { head: 10, tail: 20 }, &mut random).unwrap();
    let mut without_tail = vec![RULED_OUT; 500];
    kept.head.iter().for_each(|token| without_tail[*token as usize] = 1.0);
    for ruled_out in [kept.head[3], kept.tail[5]] {
        let mut candidate = reference.clone();
        candidate[ruled_out as usize] = RULED_OUT;
        let found = score(&kept, &candidate, 0);
        assert_eq!((found.estimate, found.standard_error), (None, None));
        assert!(found.infinite && found.candidate.nll.is_some());
    }
    assert!(score(&kept, &without_tail, 0).infinite);
    let other = sketch(&without_tail, kept.head[0], Size { head: 10, tail: 20 }, &mut random).unwrap();
    assert_eq!((other.tail_mass, other.tail.len(), lower_bound(&kept, &other)), (0.0, 0, None));
}

#[test]
fn odd_rows_make_no_sketch_and_no_figure() {
    let mut random = generator(8);
    let good = row(50, 1.0, &mut random);
    let mut bad = good.clone();
    bad[7] = f32::NAN;
    let size = Size { head: 4, tail: 4 };
    for (row, token) in [(bad.as_slice(), 0), (&[], 0), (&[RULED_OUT; 3], 0), (&good, 50)] {
        assert_eq!(sketch(row, token, size, &mut random), None);
    }
    let kept = sketch(&good, 0, size, &mut random).unwrap();
    let found = score(&kept, &bad, 0);
    assert_eq!((found.estimate, found.lower_bound, found.candidate.broken), (None, None, 1));
    // A vocabulary in which tokens of the sketch are missing.
    assert_eq!(score(&kept, &good[..3], 0).estimate, None);
    let nothing = score(&SketchRow::default(), &good, 0);
    assert_eq!((nothing.estimate, nothing.lower_bound, nothing.same_top), (None, None, false));
    let undrawn = sketch(&good, 0, Size { head: 4, tail: 0 }, &mut random).unwrap();
    let found = score(&undrawn, &good, 0);
    assert_eq!((found.estimate, found.standard_error, found.lower_bound), (None, None, Some(0.0)));
    let mut ruled_out = good.clone();
    ruled_out[0] = RULED_OUT;
    assert_eq!(sketch(&ruled_out, 0, size, &mut random).unwrap().nll, f64::INFINITY);
}
