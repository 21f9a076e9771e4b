//! Several stores on one file at once.

use crate::support::{begin, new_study, place, repetition, run, store_with_study, visit};
use gguflab_store::Store;
use gguflab_types::{Ending, Value};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let threads: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn(move || {
                    start.wait();
                    work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn two_stores_give_every_trial_a_number_of_its_own() {
    const EACH: usize = 200;
    let (_folder, path) = place();
    store_with_study(&path).0.close().unwrap();
    let numbers = together(2, |_| {
        let mut store = Store::open(&path).unwrap();
        let study = store.find_study("tune").unwrap().unwrap().id;
        (0..EACH).map(|_| run(&mut store, study, 1)).collect::<Vec<u32>>()
    });
    let distinct: BTreeSet<u32> = numbers.concat().into_iter().collect();
    assert_eq!(distinct, (0..2 * EACH as u32).collect());
    let mut store = Store::open_read_only(&path).unwrap();
    let study = store.find_study("tune").unwrap().unwrap().id;
    let trials = store.trials(study).unwrap();
    assert_eq!(trials.len(), 2 * EACH);
    for trial in trials {
        assert_eq!((trial.ending.clone(), trial.repetitions.len()), (Some(Ending::measured()), 3));
    }
}

#[test]
fn no_visit_is_taken_twice_and_none_is_left() {
    const VISITS: i64 = 60;
    let (_folder, path) = place();
    store_with_study(&path).0.close().unwrap();
    let taken = together(3, |_| {
        let mut store = Store::open(&path).unwrap();
        let study = store.find_study("tune").unwrap().unwrap().id;
        let mut count = 0;
        let next = |trials: &[gguflab_types::Trial]| {
            let taken: BTreeSet<i64> =
                trials.iter().filter_map(|trial| trial.configuration.integer("threads")).collect();
            (1..=VISITS).find(|threads| !taken.contains(threads)).map(visit)
        };
        while let Some(trial) = store.begin_trial(study, &mut |trials| next(trials)).unwrap() {
            store.finish_trial(&trial, &Ending::measured(), Some(&[1.0]), 0.1).unwrap();
            count += 1;
        }
        count
    });
    assert_eq!(taken.iter().sum::<i64>(), VISITS);
    let visited = visited(&path);
    assert_eq!(visited, (1..=VISITS).map(Value::Integer).map(|value| value.to_string()).collect());
}

fn visited(path: &Path) -> BTreeSet<String> {
    let mut store = Store::open_read_only(path).unwrap();
    let study = store.find_study("tune").unwrap().unwrap().id;
    store.trials(study).unwrap().iter().map(|trial| trial.configuration.get("threads").to_string()).collect()
}

#[test]
fn a_file_can_be_created_by_several_at_once() {
    let (_folder, path) = place();
    let studies = together(4, |index| {
        let mut store = Store::open(&path).unwrap();
        store.create_study(&new_study(&format!("study {index}"))).unwrap()
    });
    assert_eq!(studies.into_iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(Store::open(&path).unwrap().studies().unwrap().len(), 4);
}

#[test]
fn two_studies_in_one_file_do_not_mix() {
    let (_folder, path) = place();
    let (mut store, first) = store_with_study(&path);
    let second = store.create_study(&new_study("second")).unwrap();
    for round in 0..3 {
        assert_eq!(run(&mut store, first, 1), round);
        let trial = begin(&mut store, second, 2);
        assert_eq!(trial.number(), round);
        store.append_repetition(&trial, &repetition(0)).unwrap();
    }
    assert!(store.trials(first).unwrap().iter().all(|trial| trial.repetitions.len() == 3));
    assert!(store.trials(second).unwrap().iter().all(|trial| trial.repetitions.len() == 1));
}
