//! A process that is killed loses at most the trial that it ran.

use crate::support::{begin, place, repetition, run, store_with_study, texts};
use gguflab_store::Store;
use gguflab_types::{Ending, Outcome};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the copy of this program that is to be killed which file it writes to.
const VARIABLE: &str = "GGUFLAB_STORE_TEST_FILE";

/// Kills at different moments: after this many stored trials, and then wherever the process happens to be.
const ROUNDS: [usize; 8] = [1, 2, 3, 5, 7, 11, 13, 17];

#[test]
fn what_a_killed_process_had_stored_is_there() {
    let (_folder, path) = place();
    store_with_study(&path).0.close().unwrap();
    let mut stored = 0;
    for round in ROUNDS {
        stored += kill_after(&path, round);
        let mut store = Store::open(&path).unwrap();
        let study = store.find_study("tune").unwrap().unwrap().id;
        // Where the death of a process cannot be told at once, a grace of less than nothing stands for waiting.
        let cancelled = store.fail_stale_trials(study, -1.0).unwrap();
        assert!(cancelled.len() <= 1, "at most the running trial: {cancelled:?}");
        let trials = store.trials(study).unwrap();
        let measured = trials.iter().filter(|trial| trial.ending == Some(Ending::measured()));
        let mut count = 0;
        for trial in measured {
            assert_eq!(trial.repetitions, (0..3).map(repetition).collect::<Vec<_>>());
            count += 1;
        }
        assert!(count >= stored, "{stored} were said to be stored, {count} are");
        stored = count;
        assert!(trials.iter().all(|trial| trial.ending.is_some()), "nothing still runs");
        let numbers: Vec<u32> = trials.iter().map(|trial| trial.number).collect();
        assert_eq!(numbers, (0..trials.len() as u32).collect::<Vec<_>>());
        store.close().unwrap();
        assert_eq!(texts(&path, "PRAGMA integrity_check"), ["ok"]);
    }
}

/// Starts a copy of this program that stores trials without end, and kills it after it told of `count` of them.
fn kill_after(path: &Path, count: usize) -> usize {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args(["--exact", "killed::trials_are_stored_until_the_end", "--nocapture"])
        .env(VARIABLE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map(Result::unwrap).filter(|line| line.starts_with("stored")).take(count).count();
    child.kill().unwrap();
    child.wait().unwrap();
    told
}

/// Run by itself, this stores five trials and one that is broken off; run by [`kill_after`], trials without end.
#[test]
fn trials_are_stored_until_the_end() {
    if let Some(path) = std::env::var_os(VARIABLE) {
        let mut store = Store::open(path).unwrap();
        let study = store.find_study("tune").unwrap().unwrap().id;
        loop {
            let number = run(&mut store, study, 1);
            writeln!(std::io::stdout(), "\nstored {number}").unwrap();
        }
    }
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    for number in 0..5 {
        assert_eq!(run(&mut store, study, 1), number);
    }
    let trial = begin(&mut store, study, 1);
    store.finish_trial(&trial, &Ending::new(Outcome::Cancelled, "interrupted"), None, 0.1).unwrap();
    assert_eq!(store.trials(study).unwrap().len(), 6);
}
