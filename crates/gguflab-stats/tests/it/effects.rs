//! What knobs do: functions whose effects and shares of the variance are known.

use crate::simulate::{coverage, generator, normal};
use gguflab_stats::{Factor, Observation, additive, group_change, group_location, importance, shared_noise};

/// Every point of a lattice with its value.
fn lattice(levels: &[usize], value: impl Fn(&[usize]) -> f64) -> Vec<(Vec<usize>, f64)> {
    let mut points = vec![Vec::new()];
    for count in levels {
        points = points
            .into_iter()
            .flat_map(|point: Vec<usize>| (0..*count).map(move |level| [point.clone(), vec![level]].concat()))
            .collect();
    }
    points.into_iter().map(|point| (point.clone(), value(&point))).collect()
}

fn factors(levels: &[usize], ordered: bool) -> Vec<Factor> {
    levels.iter().map(|&levels| Factor { levels, ordered }).collect()
}

#[test]
fn shares_of_known_functions() {
    // An equally likely level 0…k−1 has the variance (k² − 1)/12.
    let levels = [5, 5, 3];
    for ordered in [true, false] {
        let sum = lattice(&levels, |at| 3.0 * at[0] as f64 + at[1] as f64);
        let found = importance(&factors(&levels, ordered), &sum, 1).unwrap();
        let shares: Vec<f64> = found.alone.iter().map(|share| share.value).collect();
        for (share, expected) in shares.iter().zip([0.9, 0.1, 0.0]) {
            assert!((share - expected).abs() < 0.03, "{shares:?} (ordered: {ordered})");
        }
        assert!(found.together < 0.03, "{found:?}");
        assert!(found.alone.iter().all(|share| share.low <= share.value && share.value <= share.high));
    }
    // A product of two with mean m and variance v: each alone has m²v of 2m²v + v², the rest is in both together.
    let product = lattice(&[6, 6], |at| at[0] as f64 * at[1] as f64);
    let found = importance(&factors(&[6, 6], true), &product, 1).unwrap();
    let shares = [found.alone[0].value, found.alone[1].value, found.together];
    for (share, expected) in shares.iter().zip([0.405, 0.405, 0.189]) {
        assert!((share - expected).abs() < 0.08, "{shares:?}");
    }
}

#[test]
fn shares_from_a_few_noisy_points() {
    let levels = [6, 4, 3, 2];
    let all = lattice(&levels, |at| 0.1 * at[0] as f64 + if at[3] == 1 { 0.2 } else { 0.0 });
    for seed in 0..5 {
        let mut generator = generator(seed);
        let drawn: Vec<(Vec<usize>, f64)> = (0..40)
            .map(|_| {
                let (at, value) = &all[(normal(&mut generator).abs() * 1e6) as usize % all.len()];
                (at.clone(), value + 0.01 * normal(&mut generator))
            })
            .collect();
        let shares: Vec<f64> = importance(&factors(&levels, true), &drawn, 7)
            .unwrap()
            .alone
            .iter()
            .map(|one| one.value)
            .collect();
        // True shares: 0.745, 0, 0, 0.255.
        assert!((0.55..0.95).contains(&shares[0]) && (0.1..0.4).contains(&shares[3]), "{shares:?}");
        assert!(shares[1] < 0.08 && shares[2] < 0.08, "{shares:?}");
    }
}

#[test]
fn nothing_comes_of_nothing() {
    let flat = lattice(&[3, 3], |_| 5.0);
    assert_eq!(importance(&factors(&[3, 3], true), &flat, 1), None);
    assert_eq!(importance(&[], &[], 1), None);
    assert_eq!(importance(&factors(&[2], true), &[(vec![9], 1.0), (vec![0], f64::NAN)], 1), None);
    assert_eq!(shared_noise(&[vec![1.0], vec![], vec![f64::NAN, 2.0]]), None);
    assert_eq!(group_location(&[], None, 0.95), None);
    assert_eq!(group_change(&[(&[], &[1.0])], None, 0.95), None);
    let nothing = additive(&[2, 3], &[0, 0], &[], 0.95);
    assert!(nothing.residual.is_none() && nothing.effects.iter().flatten().all(Option::is_none));
}

#[test]
fn the_additive_model_gives_effects_and_says_what_it_cannot_tell() {
    let observe = |levels: &[usize], value: f64| Observation { levels: levels.to_vec(), value };
    let exact: Vec<Observation> = lattice(&[3, 2], |at| 7.0 + [0.0, 0.5, -0.25][at[0]] + [0.0, 2.0][at[1]])
        .iter()
        .map(|(levels, value)| observe(levels, *value))
        .collect();
    let model = additive(&[3, 2], &[0, 0], &exact, 0.95);
    let effect = |knob: usize, level: usize| model.effects[knob][level].as_ref().map(|one| one.value);
    for (knob, level, expected) in [(0, 1, 0.5), (0, 2, -0.25), (1, 1, 2.0)] {
        assert!((effect(knob, level).unwrap() - expected).abs() < 1e-9);
    }
    assert_eq!((effect(0, 0), effect(1, 0)), (None, None), "the reference has no effect against itself");
    assert!(model.residual.unwrap().variance < 1e-18);
    // Two knobs that were only ever changed together cannot be told apart; a third one can.
    let together: Vec<Observation> = [([0, 0, 0], 1.0), ([1, 1, 0], 2.0), ([0, 0, 1], 1.5), ([1, 1, 1], 2.5)]
        .iter()
        .map(|(levels, value)| observe(levels, *value))
        .collect();
    let model = additive(&[2, 2, 2], &[0, 0, 0], &together, 0.95);
    assert_eq!((&model.effects[0][1], &model.effects[1][1]), (&None, &None));
    assert!((model.effects[2][1].as_ref().unwrap().value - 0.5).abs() < 1e-9);
}

#[test]
fn changes_are_pooled_over_surroundings_and_say_when_these_differ() {
    let noise = shared_noise(&[vec![1.0, 1.02], vec![3.0, 2.98], vec![5.0, 5.02, 4.98]]);
    assert_eq!(noise.unwrap().freedom, 4);
    let same = group_change(&[(&[1.0, 1.02], &[1.11]), (&[3.0], &[3.1])], noise, 0.95).unwrap();
    assert!((same.difference.value - 0.1).abs() < 1e-9 && same.surroundings == 2 && same.varies.is_none());
    assert!(same.difference.interval.unwrap().low > 0.0);
    let other = group_change(&[(&[1.0], &[1.5]), (&[3.0], &[2.5])], noise, 0.95).unwrap();
    assert_eq!(other.varies, Some((-0.5, 0.5)));
    let single = group_location(&[4.0], noise, 0.95).unwrap();
    assert_eq!((single.value, single.interval), (4.0, None));
}

#[test]
fn intervals_of_changes_cover_what_they_promise() {
    let covered = coverage(1500, |generator| {
        let mut draw = |centre: f64, count: usize| -> Vec<f64> {
            (0..count).map(|_| centre + 0.02 * normal(generator)).collect()
        };
        let groups = [draw(1.0, 5), draw(1.3, 2), draw(2.0, 1), draw(2.3, 1), draw(4.0, 3)];
        let pairs = [(&groups[0][..], &groups[1][..]), (&groups[2][..], &groups[3][..])];
        let change = group_change(&pairs, shared_noise(&groups), 0.95).unwrap();
        change.difference.interval.unwrap().contains(0.3)
    });
    assert!((0.93..=0.975).contains(&covered), "{covered}");
}
