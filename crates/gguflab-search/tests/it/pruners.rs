//! What every pruner of the table keeps to, and what the default one saves and never loses.

use crate::machine::{Disturbance, Noise, facts, normal, visit};
use gguflab_search::pruner::find;
use gguflab_search::{PRUNERS, Part, Progress, Pruner, Space, Visit};
use gguflab_types::{Configuration, Outcome, Purpose};
use std::collections::BTreeSet;

const REPETITIONS: u32 = 5;

/// A baseline of five visits, and a configuration of one second more each.
fn past(space: &Space, best: f64, mut noise: impl FnMut() -> f64) -> Vec<Visit> {
    let measured = |configuration: &Configuration, purpose, round, value: f64| Visit {
        cost: value * f64::from(REPETITIONS),
        steps: (1..=REPETITIONS).map(|step| (step, value)).collect(),
        ..visit(configuration, purpose, round, (Outcome::Measured, Some(value)))
    };
    let mut visits: Vec<Visit> = (0..5)
        .map(|round| measured(space.baseline(), Purpose::Baseline, round, best * 1.3 * noise()))
        .collect();
    for (index, configuration) in space.shuffled(3).filter(|one| !one.is_default()).take(8).enumerate() {
        visits.push(measured(
            &configuration,
            Purpose::Search,
            0,
            best * (1.0 + index as f64 / 5.0) * noise(),
        ));
    }
    visits
}

fn progress<'a>(purpose: Purpose, parts: &'a [Part], seconds: f64) -> Progress<'a> {
    let step = parts.iter().map(|part| part.values.len()).sum::<usize>();
    let value = parts.iter().map(|part| Some(part.share * gguflab_stats::median(&part.values)?)).sum();
    let (step, steps) = (u32::try_from(step).unwrap(), REPETITIONS);
    Progress { purpose, parts, value, step, steps, seconds }
}

fn one_request(values: &[f64]) -> Vec<Part> {
    vec![Part { share: 1.0, values: values.to_vec() }]
}

#[test]
fn names_are_unique_and_found() {
    let names: BTreeSet<_> = PRUNERS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), PRUNERS.len());
    assert!(PRUNERS.iter().all(|row| find(row.name).is_some() && !row.help.is_empty()));
}

#[test]
fn only_searching_visits_are_cut_and_only_while_there_is_something_to_save() {
    let space = Space::standard(&facts());
    let visits = past(&space, 1.0, || 1.0);
    let bad = one_request(&[9.0, 9.0, 9.0]);
    let all = one_request(&[9.0; REPETITIONS as usize]);
    for row in PRUNERS {
        let pruner = Pruner::new(row, &visits);
        for purpose in Purpose::ALL {
            let searches = matches!(purpose, Purpose::Grid | Purpose::Screen | Purpose::Search);
            let reason = pruner.judge(&progress(purpose, &bad, 27.0));
            assert_eq!(reason.is_some(), searches && row.name != "none", "{row:?} {purpose:?}: {reason:?}");
            assert_eq!(reason, pruner.judge(&progress(purpose, &bad, 27.0)));
            assert_eq!(pruner.judge(&progress(purpose, &all, 45.0)), None, "{row:?} cuts what is complete");
        }
        let good = one_request(&[0.9, 0.9, 0.9]);
        assert_eq!(pruner.judge(&progress(Purpose::Search, &good, 2.7)), None, "{row:?} cuts the best");
        let first = Pruner::new(row, &[]);
        assert_eq!(first.judge(&progress(Purpose::Search, &bad, 27.0)), None, "{row:?} knows nothing yet");
        let failed: Vec<Visit> =
            visits.iter().map(|one| Visit { outcome: Some(Outcome::Crashed), ..one.clone() }).collect();
        assert_eq!(Pruner::new(row, &failed).judge(&progress(Purpose::Search, &bad, 27.0)), None, "{row:?}");
    }
}

#[test]
fn time_counts_from_the_first_moment() {
    let space = Space::standard(&facts());
    let visits = past(&space, 1.0, || 1.0);
    let auto = Pruner::new(find("auto").unwrap(), &visits);
    let warming = |seconds| auto.judge(&progress(Purpose::Screen, &one_request(&[]), seconds));
    assert_eq!(warming(14.9), None, "the best one takes 5 s");
    assert!(warming(15.1).unwrap().contains("takes 5.0 s"));
    let brief: Vec<Visit> = visits.into_iter().map(|one| Visit { cost: 0.1, ..one }).collect();
    let auto = Pruner::new(find("auto").unwrap(), &brief);
    let hiccup = |seconds| auto.judge(&progress(Purpose::Screen, &one_request(&[]), seconds)).is_some();
    assert!(!hiccup(0.5) && hiccup(0.7));
    let loading: Vec<Visit> = brief.into_iter().map(|one| Visit { cost: 9.0, loading: 8.9, ..one }).collect();
    let auto = Pruner::new(find("auto").unwrap(), &loading);
    assert!(auto.judge(&progress(Purpose::Screen, &one_request(&[]), 0.7)).is_some(), "loading is no work");
}

#[test]
fn a_request_that_was_not_measured_counts_as_nothing() {
    let space = Space::standard(&facts());
    let visits = past(&space, 1.0, || 1.0);
    let auto = Pruner::new(find("auto").unwrap(), &visits);
    let part = |share, value| Part { share, values: vec![value; 2] };
    let unseen = Part { share: 0.5, values: vec![] };
    assert_eq!(auto.judge(&progress(Purpose::Search, &[part(0.5, 2.2), unseen.clone()], 3.0)), None);
    assert!(auto.judge(&progress(Purpose::Search, &[part(0.5, 2.8), unseen], 3.0)).is_some());
}

/// Times are disturbed as on a bad machine: drift, and one visit in twenty up to a fifth too slow.
const BAD: Noise = Noise { white: 0.012, drift: 0.013, ramp: 0.02, outliers: 0.05 };

#[test]
fn what_would_have_won_is_never_cut_and_what_is_slow_is_cut_early() {
    let space = Space::standard(&facts());
    let (mut winners, mut lost, mut slow, mut cut, mut saved) = (0, 0, 0, 0, 0);
    for seed in 0..3000 {
        let mut generator = crate::machine::generator(seed);
        let mut disturbance = Disturbance::new(BAD, seed);
        let visits = past(&space, 1.0, || disturbance.apply(1.0));
        let auto = Pruner::new(find("auto").unwrap(), &visits);
        let truth = [0.97, 0.999, 1.6, 2.5][seed as usize % 4];
        let visit = disturbance.apply(truth);
        let mut values = Vec::new();
        let ended = (1..REPETITIONS).find(|_| {
            values.push(visit * (0.006 * normal(&mut generator)).exp());
            let seconds = values.iter().sum();
            auto.judge(&progress(Purpose::Search, &one_request(&values), seconds)).is_some()
        });
        if truth < 1.0 {
            winners += 1;
            lost += u32::from(ended.is_some());
        } else {
            slow += 1;
            cut += u32::from(ended.is_some());
            saved += ended.map_or(0, |step| REPETITIONS - step);
        }
    }
    println!(
        "lost {lost} of {winners}; cut {cut} of {slow}, saving {saved} of {} repetitions",
        slow * REPETITIONS
    );
    assert_eq!(lost, 0, "of {winners}");
    assert!(cut * 10 >= slow * 8 && saved * 10 >= slow * 5 * 4, "{cut} of {slow}, {saved} saved");
}
