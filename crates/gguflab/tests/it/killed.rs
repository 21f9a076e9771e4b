//! `kill -9` at fifty random moments: nothing is lost but the running trial, nothing is doubled, nobody stays behind.

use crate::faults::{REAL, expect_no_doubles, outcome};
use crate::processes::{signal, wait_for};
use crate::support::{Place, Random, finish};
use gguflab_types::{Outcome, Trial};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const SIMULATED: &str =
    "tune --engine simulated=laptop,pace=0.002 --study s --store {}/s.db --budget-runs 12";

#[test]
fn simulated_at_thirty_five_moments() {
    kill_at_random_moments(SIMULATED, 12, 35, 1);
}

#[test]
fn real_worker_at_fifteen_moments() {
    kill_at_random_moments(REAL, 9, 15, 2);
}

/// Kills runs of the same studies until there were this many kills; a study that is over makes place for a new one.
fn kill_at_random_moments(line: &str, budget: usize, kills: usize, seed: u64) {
    let mut moments = Moments::of(line, seed);
    let (mut done, mut runs, mut struck) = (0, 0, 0);
    while done < kills {
        let place = Place::with_model();
        let (mut known, mut here) = (Vec::new(), 0);
        while done < kills && here < 5 {
            runs += 1;
            assert!(runs < 4 * kills, "only {done} kills in {runs} runs: the moments lie too late");
            let killed = kill_after(&place, line, moments.next());
            place.expect_no_children();
            known = check(&place, &known);
            if !killed {
                break;
            }
            done += 1;
            here += 1;
            struck += known.iter().filter(|trial| trial.ending.is_none()).count();
        }
        finish_study(&place, line, budget, &known, here);
    }
    assert!(struck * 5 >= kills, "only {struck} of {kills} kills met a running trial");
}

/// Runs a study to its end and counts what the kills cost.
fn finish_study(place: &Place, line: &str, budget: usize, known: &[Trial], kills: usize) {
    let ended = finish(place.start(line));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let trials = check(place, known);
    let measured = expect_no_doubles(&trials);
    assert!(measured <= budget && measured >= budget / 2, "{measured} of {budget}");
    let lost = trials.iter().filter(|trial| outcome(trial) == Some(Outcome::Cancelled)).count();
    assert_eq!(lost + measured, trials.len(), "{trials:?}");
    assert!(lost <= kills, "{lost} trials were lost by {kills} kills");
    place.expect_no_children();
}

/// When to kill: mostly while trials run, sometimes while the program starts.
struct Moments {
    random: Random,
    /// How long a run takes to its first trial, and in all.
    first: Duration,
    whole: Duration,
}

impl Moments {
    /// Takes the time of a run that is left alone.
    fn of(line: &str, seed: u64) -> Moments {
        let place = Place::with_model();
        let started = Instant::now();
        let mut child = place.start(line);
        let talk = wait_for(&mut child, "study `s`", 1);
        let first = started.elapsed();
        let (talk, code) = talk.end(child);
        assert_eq!(code, Some(0), "{talk}");
        Moments { random: Random(seed), first, whole: started.elapsed() }
    }

    fn next(&mut self) -> Duration {
        match self.random.next() < 0.2 {
            true => self.first.mul_f64(self.random.next()),
            false => self.first + (self.whole - self.first).mul_f64(self.random.next() * 0.7),
        }
    }
}

/// Whether it was killed; a run that was over by then has to have ended well, which shows that resuming works.
fn kill_after(place: &Place, line: &str, moment: Duration) -> bool {
    let child = place.start(line);
    // Not to wait for anything: the moment itself is what is tested.
    std::thread::sleep(moment);
    signal(child.id(), Signal::KILL);
    let ended = finish(child);
    match ended.status.code() {
        None => true,
        Some(code) => {
            assert_eq!(code, 0, "{ended}");
            false
        }
    }
}

/// What is stored can be read, has all that was known before, and at most one trial that seems to run.
fn check(place: &Place, known: &[Trial]) -> Vec<Trial> {
    if let Err(error) = gguflab_lab::Store::open_read_only(place.path("s.db")) {
        // Killed before the tables were made: there was nothing to lose, and the next run makes them.
        let empty = ["does not exist", "is of an older version (0"];
        assert!(known.is_empty() && empty.iter().any(|words| error.to_string().contains(words)), "{error}");
        return Vec::new();
    }
    let trials = place.trials("s.db", "s");
    expect_no_doubles(&trials);
    for old in known.iter().filter(|trial| trial.ending.is_some()) {
        assert!(trials.contains(old), "lost or changed: {old:?}");
    }
    let running = trials.iter().filter(|trial| trial.ending.is_none()).count();
    assert!(running <= 1, "{running} trials seem to run");
    let measured = trials.iter().filter(|trial| outcome(trial) == Some(Outcome::Measured));
    assert!(measured.clone().all(|trial| !trial.repetitions.is_empty()), "samples are kept");
    trials
}
