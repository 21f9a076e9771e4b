//! Trials: nothing is changed on the way, and what has ended stays as it is.

use crate::support::{begin, execute, place, repetition, run, store_with_study, texts, visit};
use gguflab_store::{Store, StoreError};
use gguflab_types::{Ending, Outcome, Purpose, Repetition};

#[test]
fn a_trial_comes_back_with_every_sample() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    assert_eq!(run(&mut store, study, 2), 0);
    let running = begin(&mut store, study, 4);
    store.append_repetition(&running, &repetition(0)).unwrap();
    let same_session = store.trials(study).unwrap().to_vec();
    store.close().unwrap();

    let mut store = Store::open_read_only(&path).unwrap();
    let trials = store.trials(study).unwrap();
    assert_eq!(trials, same_session);
    let [finished, unfinished] = trials else { panic!("two trials, not {}", trials.len()) };
    assert_eq!((finished.number, &finished.configuration), (0, &visit(2).configuration));
    assert_eq!((finished.purpose, finished.round), (Purpose::Search, 0));
    assert_eq!((finished.ending.clone(), finished.duration), (Some(Ending::measured()), Some(1.5)));
    assert_eq!(finished.repetitions, (0..3).map(repetition).collect::<Vec<_>>());
    assert_eq!((unfinished.number, &unfinished.ending, unfinished.duration), (1, &None, None));
    assert_eq!(unfinished.repetitions, [repetition(0)]);
    assert_eq!(store.trial(study, 1).unwrap().unwrap().number, 1);
    assert_eq!(store.trial(study, 2).unwrap(), None);
}

#[test]
fn a_running_trial_is_seen_as_it_grows_by_another_store() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let mut other = Store::open(&path).unwrap();
    let trial = begin(&mut store, study, 1);
    for index in 0..3 {
        store.append_repetition(&trial, &repetition(index)).unwrap();
        let seen = other.trials(study).unwrap();
        assert_eq!((seen.len(), seen[0].repetitions.len()), (1, index as usize + 1));
    }
    store.finish_trial(&trial, &Ending::new(Outcome::Crashed, "signal 11"), None, 2.0).unwrap();
    let seen = &other.trials(study).unwrap()[0];
    assert_eq!(seen.ending, Some(Ending::new(Outcome::Crashed, "signal 11")));
    assert_eq!(seen.repetitions.len(), 3);
}

#[test]
fn the_next_visit_is_chosen_with_all_trials_in_view() {
    let mut store = Store::memory().unwrap();
    let study = store.create_study(&crate::support::new_study("tune")).unwrap();
    for expected in 0..4 {
        let mut seen = None;
        let begun = store.begin_trial(study, &mut |trials| {
            seen = Some(trials.iter().map(|trial| trial.number).collect::<Vec<_>>());
            (trials.len() < 3).then(|| visit(1))
        });
        assert_eq!(seen, Some((0..expected.min(3)).collect::<Vec<u32>>()));
        assert_eq!(begun.unwrap().map(|trial| trial.number()), (expected < 3).then_some(expected));
    }
    assert_eq!(store.trials(study).unwrap().len(), 3);
}

#[test]
fn what_has_ended_never_changes() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let trial = begin(&mut store, study, 1);
    store.finish_trial(&trial, &Ending::new(Outcome::TimedOut, "60 s"), None, 60.0).unwrap();
    let before = store.trial(study, 0).unwrap();
    let attempts = [
        store.append_repetition(&trial, &repetition(0)),
        store.append_log(&trial, "late"),
        store.heartbeat(&trial),
        store.append_intermediate(&trial, 0, 1.0),
        store.finish_trial(&trial, &Ending::measured(), Some(&[1.0]), 1.0),
    ];
    for attempt in attempts {
        let refused = attempt.unwrap_err();
        assert!(matches!(refused, StoreError::NotRunning { number: 0, .. }), "{refused}");
    }
    assert_eq!(Store::open(&path).unwrap().trial(study, 0).unwrap(), before);
    assert_eq!(store.log(study, 0).unwrap(), None);
}

#[test]
fn values_must_match_the_objectives() {
    let mut store = Store::memory().unwrap();
    let study = store.create_study(&crate::support::new_study("tune")).unwrap();
    let trial = begin(&mut store, study, 1);
    let refused = store.finish_trial(&trial, &Ending::measured(), Some(&[1.0, 2.0]), 1.0).unwrap_err();
    assert_eq!(refused.to_string(), "trial 0 has 2 values for 1 objectives: give one value for each");
    assert_eq!(store.trial(study, 0).unwrap().unwrap().ending, None, "it still runs");
}

#[test]
fn numbers_that_are_no_numbers_survive() {
    let mut store = Store::memory().unwrap();
    let study = store.create_study(&crate::support::new_study("tune")).unwrap();
    let trial = begin(&mut store, study, 1);
    let strange = Repetition {
        started: f64::NAN,
        duration: f64::INFINITY,
        samples: vec![gguflab_types::Sample {
            metric: "".into(),
            values: vec![f64::NAN, -0.0, f64::NEG_INFINITY],
        }],
        ..Repetition::default()
    };
    store.append_repetition(&trial, &strange).unwrap();
    let read = &store.trials(study).unwrap()[0].repetitions[0];
    assert!(read.started.is_nan());
    assert_eq!(read.duration, f64::INFINITY);
    let bits = |repetition: &Repetition| {
        repetition.values("").iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(read), bits(&strange));
}

#[test]
fn intermediate_values_come_back_by_step() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let mut other = Store::open(&path).unwrap();
    let trial = begin(&mut store, study, 1);
    for (step, value) in [(0, 4.0), (7, f64::INFINITY), (3, 2.0), (0, 5.0)] {
        store.append_intermediate(&trial, step, value).unwrap();
        let seen = &other.trials(study).unwrap()[0].intermediates;
        assert_eq!(seen.get(&step), Some(&value), "seen while it runs");
    }
    let expected = [(0, 5.0), (3, 2.0), (7, f64::INFINITY)].into_iter().collect();
    assert_eq!(store.trial(study, 0).unwrap().unwrap().intermediates, expected);
    let whole = serde_json::to_value(&store.trials(study).unwrap()[0]).unwrap();
    assert_eq!(whole["intermediates"]["3"], 2.0);
}

#[test]
fn a_long_log_keeps_its_beginning_and_its_end() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let trial = begin(&mut store, study, 1);
    assert_eq!(store.log(study, 0).unwrap(), None);
    let short = "loading\nä\u{0}ö ready\n";
    store.append_log(&trial, short).unwrap();
    store.append_log(&trial, "").unwrap();
    assert_eq!(store.log(study, 0).unwrap().as_deref(), Some(short));

    let line = |number: u32| format!("line {number:>7} äöü\n");
    let mut whole = short.to_string();
    for block in 0..40 {
        let text: String = (block * 4000..(block + 1) * 4000).map(line).collect();
        store.append_log(&trial, &text).unwrap();
        whole.push_str(&text);
    }
    let log = store.log(study, 0).unwrap().unwrap();
    let (head, rest) = log.split_once("\n[").unwrap();
    let (_, tail) = rest.split_once("not kept]\n").unwrap();
    assert!(whole.starts_with(head) && head.len() >= 512 * 1024, "{} bytes of the beginning", head.len());
    assert!(whole.ends_with(tail) && tail.len() >= 512 * 1024, "{} bytes of the end", tail.len());
    assert!(log.len() < 1300 * 1024, "{} bytes kept of {}", log.len(), whole.len());
    let dropped: usize = rest.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(head.len() + dropped + tail.len(), whole.len());
}

#[test]
fn trials_of_dead_processes_are_cancelled_and_keep_what_they_measured() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    for threads in [1, 2, 4, 1] {
        let trial = begin(&mut store, study, threads);
        store.append_repetition(&trial, &repetition(0)).unwrap();
    }
    // Trial 0 is of this process. Trial 1: its process id was given away again. Trials 2 and 3: another machine.
    execute(&path, "UPDATE gguflab_trials SET worker = worker || '1' WHERE trial_id = 2");
    execute(&path, "UPDATE gguflab_trials SET worker = 'elsewhere 7' WHERE trial_id IN (3, 4)");
    execute(
        &path,
        "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00.000000' WHERE trial_id IN (1, 3)",
    );
    let dead: Vec<u32> = if cfg!(target_os = "linux") { vec![1, 2] } else { vec![0, 2] };
    assert_eq!(store.fail_stale_trials(study, 60.0).unwrap(), dead);
    assert_eq!(store.fail_stale_trials(study, 60.0).unwrap(), [] as [u32; 0]);
    for trial in store.trials(study).unwrap() {
        let cancelled = Ending::new(Outcome::Cancelled, "the process that ran it ended");
        assert_eq!(trial.ending, dead.contains(&trial.number).then_some(cancelled), "trial {}", trial.number);
        assert_eq!(trial.repetitions, [repetition(0)]);
        assert_eq!(trial.duration.is_some(), trial.ending.is_some());
    }
}

#[test]
fn a_heartbeat_keeps_a_trial_of_another_machine_alive() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let trial = begin(&mut store, study, 1);
    execute(&path, "UPDATE gguflab_trials SET worker = 'elsewhere 7'");
    execute(&path, "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00.000000'");
    store.heartbeat(&trial).unwrap();
    assert_eq!(store.fail_stale_trials(study, 60.0).unwrap(), [] as [u32; 0]);
}

#[test]
fn what_a_trial_misses_is_kept_as_optuna_keeps_it() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let trial = begin(&mut store, study, 4);
    store.set_constraints(&trial, &[0.5, -2.0]).unwrap();
    store.set_constraints(&trial, &[1.5, -2.0]).unwrap();
    store.finish_trial(&trial, &Ending::measured(), Some(&[3.0]), 1.0).unwrap();
    assert!(matches!(store.set_constraints(&trial, &[0.0]), Err(StoreError::NotRunning { .. })));
    store.close().unwrap();
    let kept = texts(&path, "SELECT value_json FROM trial_system_attributes WHERE \"key\" = 'constraints'");
    assert_eq!(kept, ["[1.5,-2.0]"]);
}
