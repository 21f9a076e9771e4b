//! Scores of rows: the fast code against plain f64, recorded values, and odd rows.

use crate::simulate::generator;
use gguflab_stats::score::{self, NO_TOKEN, Pair, exact, llama};
use rand::{Rng, RngExt};
use serde::Deserialize;

const RULED_OUT: f32 = f32::NEG_INFINITY;

/// A number around zero with variance one, near enough to normal.
fn noise(random: &mut impl Rng) -> f32 {
    (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0
}

fn row(length: usize, spread: f32, random: &mut impl Rng) -> Vec<f32> {
    (0..length).map(|_| spread * noise(random)).collect()
}

fn near(row: &[f32], distance: f32, random: &mut impl Rng) -> Vec<f32> {
    row.iter().map(|logit| logit + distance * noise(random)).collect()
}

/// Rows of many shapes, each with a name.
fn shapes(random: &mut impl Rng) -> Vec<(String, Vec<f32>)> {
    let mut shapes = Vec::new();
    for length in [1, 2, 7, 63, 64, 1000, 49_152, 128_256, 262_144] {
        for spread in [0.0, 0.1, 3.0, 12.0] {
            shapes.push((format!("{length} with spread {spread}"), row(length, spread, random)));
        }
        let mut peaked = row(length, 2.0, random);
        peaked[length / 2] = 40.0;
        shapes.push((format!("{length} with one peak"), peaked));
        let mut equal_tail = vec![0.123_f32; length];
        equal_tail[length / 3] = 10.0;
        shapes.push((format!("{length} with a tail of equals"), equal_tail));
        let far = row(length, 3.0, random).iter().map(|logit| logit - 1000.0).collect();
        shapes.push((format!("{length} far below zero"), far));
        let mut masked = row(length, 3.0, random);
        masked[0] = -1e30;
        shapes.push((format!("{length} with one at −1e30"), masked));
    }
    shapes
}

#[track_caller]
fn close(found: Option<f64>, expected: Option<f64>, tolerance: f64, what: &str) {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            let error = (found - expected).abs();
            assert!(error <= tolerance * (1.0 + expected), "{what}: {found} instead of {expected}");
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

#[track_caller]
fn same(found: Pair, expected: Pair, what: &str) {
    close(found.divergence, expected.divergence, 1e-9, what);
    for (found, expected) in [(found.reference, expected.reference), (found.candidate, expected.candidate)] {
        close(found.nll, expected.nll, 1e-9, what);
        assert_eq!(
            (found.top, found.broken, found.ruled_out),
            (expected.top, expected.broken, expected.ruled_out),
            "{what}"
        );
    }
    assert_eq!((found.same_top, found.infinite), (expected.same_top, expected.infinite), "{what}");
}

#[test]
fn every_shape_scores_as_in_plain_f64() {
    let mut random = generator(1);
    for (name, reference) in shapes(&mut random) {
        let token = random.random_range(0..reference.len()) as u32;
        for distance in [1e-3, 0.1, 3.0] {
            let candidate = near(&reference, distance, &mut random);
            let what = format!("{name}, {distance} apart");
            same(
                score::pair(&reference, &candidate, token),
                exact::pair(&reference, &candidate, token),
                &what,
            );
        }
        let found = score::single(&reference, token);
        close(found.nll, exact::single(&reference, token).nll, 1e-9, &name);
    }
}

#[test]
fn near_and_far_pairs_are_there_to_be_told_apart() {
    let mut random = generator(2);
    let reference = row(49_152, 3.0, &mut random);
    for (distance, low, high) in [(0.001, 1e-7, 2e-6), (0.1, 1e-3, 1e-2), (3.5, 4.0, 9.0)] {
        let found = score::pair(&reference, &near(&reference, distance, &mut random), 0).divergence;
        assert!(found.is_some_and(|found| low < found && found < high), "{distance}: {found:?}");
    }
}

#[test]
fn equal_rows_are_at_no_distance_at_all() {
    let mut random = generator(3);
    for (name, reference) in shapes(&mut random) {
        let mut with_ruled_out = reference.clone();
        with_ruled_out.push(RULED_OUT);
        for row in [reference, with_ruled_out] {
            let found = score::pair(&row, &row.clone(), 0);
            assert_eq!((found.divergence, found.same_top), (Some(0.0), true), "{name}");
        }
    }
}

#[test]
fn tokens_that_are_ruled_out_are_none_of_the_mistakes() {
    let mut random = generator(4);
    let mut reference = row(5000, 3.0, &mut random);
    let mut candidate = near(&reference, 0.3, &mut random);
    let open = score::pair(&reference, &candidate, 17);
    reference[17] = RULED_OUT;
    // By the reference alone: its part of the divergence is zero.
    let found = score::pair(&reference, &candidate, 17);
    same(found, exact::pair(&reference, &candidate, 17), "by the reference");
    assert!(found.divergence.is_some() && found.reference.ruled_out && !found.candidate.ruled_out);
    assert_eq!((found.reference.nll, found.reference.broken), (None, 0));
    assert_eq!(found.reference.top, open.reference.top);
    // By both.
    candidate[17] = RULED_OUT;
    let found = score::pair(&reference, &candidate, 18);
    same(found, exact::pair(&reference, &candidate, 18), "by both");
    assert!(found.divergence.is_some() && found.reference.nll.is_some());
    // By the candidate alone: infinitely far, and no mistake.
    reference[17] = 1.0;
    let found = score::pair(&reference, &candidate, 18);
    assert_eq!((found.divergence, found.infinite, found.candidate.broken), (None, true, 0));
    assert!(found.reference.nll.is_some() && found.candidate.nll.is_some());
}

#[test]
fn what_is_no_number_is_counted_and_has_no_figure() {
    let good: Vec<f32> = (0..2000).map(|place| (place % 83) as f32 * 0.1).collect();
    for place in [0, 999, 1024, 1999] {
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut bad = good.clone();
            bad[place] = wrong;
            bad[700] = f32::NAN;
            let found = score::single(&bad, 3);
            assert_eq!((found.nll, found.top, found.broken, found.ruled_out), (None, None, 2, false));
            for (one, other) in [(&bad, &good), (&good, &bad)] {
                let found = score::pair(one, other, 3);
                same(found, exact::pair(one, other, 3), "one is broken");
                assert_eq!((found.divergence, found.same_top, found.infinite), (None, false, false));
                assert!(found.reference.nll.is_some() != found.candidate.nll.is_some());
            }
        }
    }
    let nothing = score::single(&[RULED_OUT; 9], 0);
    assert_eq!((nothing.nll, nothing.top, nothing.broken, nothing.ruled_out), (None, None, 9, false));
}

#[test]
fn rows_without_a_place_for_the_token_or_for_each_other() {
    let row = [1.0f32, 2.0, 0.5];
    let found = score::single(&row, 3);
    assert_eq!((found.nll, found.top, found.broken, found.ruled_out), (None, Some(1), 0, false));
    assert_eq!(score::single(&row, NO_TOKEN), found);
    assert_eq!(score::single(&[], 0), score::Single::default());
    assert_eq!(score::pair(&[], &[], 0), Pair::default());
    let found = score::pair(&row, &row[..2], 1);
    assert_eq!((found.divergence, found.infinite), (None, false));
    assert!(found.reference.nll.is_some() && found.candidate.nll.is_some());
}

#[test]
fn of_equal_logits_the_lowest_token_is_the_top() {
    let mut row = vec![0.0f32; 5000];
    assert_eq!(score::single(&row, 0).top, Some(0));
    for place in [4999, 3001, 2047] {
        row[place] = 4.0;
        assert_eq!(score::single(&row, 0).top, Some(place as u32));
    }
}

#[derive(Deserialize)]
struct Recorded {
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    divergence: f64,
    reference: Vec<f32>,
    candidate: Vec<f32>,
}

#[test]
fn the_predecessors_recorded_divergences_are_met() {
    let recorded: Recorded = serde_json::from_str(include_str!("../golden/divergences.json")).unwrap();
    assert_eq!(recorded.positions.len(), 32);
    for position in recorded.positions {
        for found in [exact::pair, score::pair].map(|pair| pair(&position.reference, &position.candidate, 0))
        {
            let error = (found.divergence.unwrap() - position.divergence).abs();
            assert!(error <= 1e-9, "{found:?} instead of {}", position.divergence);
        }
    }
}

/// What llama-perplexity's own functions made of a row and a candidate.
#[derive(Deserialize)]
struct Written {
    token: u32,
    reference: Vec<u32>,
    candidate: Vec<u32>,
    scale: u32,
    lowest: u32,
    steps: Vec<u16>,
    nll_while_writing: u32,
    nll: u64,
    divergence: u64,
    candidate_nll: u64,
    base_nll: u64,
    difference: u32,
    same_top: bool,
}

#[derive(Deserialize)]
struct WrittenRows {
    rows: Vec<Written>,
}

#[test]
fn llama_perplexitys_numbers_are_met_to_the_last_bit() {
    let written: WrittenRows = serde_json::from_str(include_str!("../golden/llama_perplexity.json")).unwrap();
    assert_eq!(written.rows.len(), 4);
    let floats = |bits: &[u32]| -> Vec<f32> { bits.iter().copied().map(f32::from_bits).collect() };
    for expected in written.rows {
        let (reference, candidate) = (floats(&expected.reference), floats(&expected.candidate));
        let encoded = llama::encode(&reference).unwrap();
        assert_eq!((encoded.scale.to_bits(), encoded.lowest.to_bits()), (expected.scale, expected.lowest));
        assert_eq!(encoded.steps, expected.steps);
        let nll = llama::nll(&reference, expected.token).unwrap();
        let in_f32 = llama::nll_while_writing(&reference, expected.token).unwrap();
        assert_eq!((nll.to_bits(), in_f32.to_bits()), (expected.nll, expected.nll_while_writing));
        let found = llama::score(&encoded, &candidate, expected.token).unwrap();
        assert_eq!(found.divergence.to_bits(), expected.divergence);
        assert_eq!(f64::from(found.nll).to_bits(), expected.candidate_nll);
        assert_eq!(f64::from(found.base_nll).to_bits(), expected.base_nll);
        assert_eq!((found.difference.to_bits(), found.same_top), (expected.difference, expected.same_top));
    }
}
