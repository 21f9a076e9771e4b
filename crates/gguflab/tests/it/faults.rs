//! What goes wrong while it runs: signals, dying workers, full disks, two at once.

use crate::processes::{signal, wait_for};
use crate::support::{Place, finish};
use gguflab_lab::bench::Record;
use gguflab_types::{Outcome, Trial};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::process::Stdio;

/// A tune of the simulated engine, slow enough to be met while it runs.
const SIMULATED: &str = "tune --engine simulated=laptop,pace=0.02 --study s --store {}/s.db --budget-runs 14";
/// A tune of the real worker.
pub(crate) const REAL: &str = "tune tiny.gguf --only flash-attention,repack --baseline threads=1 --prompt 32 --generate 96 \
                               --budget-runs 9 --study s --store {}/s.db";

/// Each visit was made at most once, and nothing runs any more.
pub(crate) fn expect_no_doubles(trials: &[Trial]) -> usize {
    let measured: Vec<&Trial> =
        trials.iter().filter(|trial| outcome(trial) == Some(Outcome::Measured)).collect();
    let distinct: BTreeSet<String> = measured
        .iter()
        .map(|trial| format!("{} {} {}", trial.purpose.name(), trial.round, trial.configuration))
        .collect();
    assert_eq!(distinct.len(), measured.len(), "a visit was made twice: {measured:?}");
    measured.len()
}

pub(crate) fn outcome(trial: &Trial) -> Option<Outcome> {
    trial.ending.as_ref().map(|ending| ending.outcome)
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_resume_goes_on() {
    for (line, budget) in [(SIMULATED, 14), (REAL, 9)] {
        let place = Place::with_model();
        let mut child = place.start(line);
        let talk = wait_for(&mut child, " s)", 3);
        signal(child.id(), Signal::INT);
        let (talk, code) = talk.end(child);
        assert_eq!(code, Some(130), "{talk}");
        assert!(talk.contains("--resume"), "{talk}");
        place.expect_no_children();
        let before = place.trials("s.db", "s");
        let measured = expect_no_doubles(&before);
        assert!(measured >= 3, "{before:?}");
        assert!(before.iter().all(|trial| trial.ending.is_some()), "the running trial was ended: {before:?}");

        let ended = finish(place.start(&format!("{line} --resume")));
        assert_eq!(ended.status.code(), Some(0), "{ended}");
        let after = place.trials("s.db", "s");
        assert_eq!(after[..before.len()], before[..], "what was stored stays");
        assert!((measured + 1..=budget).contains(&expect_no_doubles(&after)), "{}", after.len());
        place.expect_no_children();
    }
}

#[test]
fn ctrl_c_stops_a_bench() {
    let place = Place::with_model();
    let line = "bench tiny.gguf --set threads=1 --prompt 16 --generate 8 --visits 100000 --record {}/r.json";
    let mut child = place.start(line);
    let talk = wait_for(&mut child, "decode", 2);
    signal(child.id(), Signal::INT);
    let (talk, code) = talk.end(child);
    assert_eq!(code, Some(130), "{talk}");
    place.expect_no_children();
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    assert_eq!(record.trials.last().and_then(outcome), Some(Outcome::Cancelled));
    assert!(record.trials.iter().any(|trial| !trial.repetitions.is_empty()), "what was measured is kept");
}

#[test]
fn a_worker_that_is_killed_costs_one_trial() {
    let place = Place::with_model();
    // The log of its first context tells that a trial runs, and six hundred tokens keep it running; a worker that is
    // killed between two trials is just started again.
    let mut child = place.start(&format!("{} -vv", REAL.replace("--generate 96", "--generate 600")));
    let talk = wait_for(&mut child, "compute buffer size", 1);
    let workers = place.children();
    assert_eq!(workers.len(), 1, "{workers:?}");
    signal(workers[0], Signal::KILL);
    let (talk, code) = talk.end(child);
    assert_eq!(code, Some(0), "{talk}");
    let trials = place.trials("s.db", "s");
    let failed: Vec<_> = trials.iter().filter(|trial| outcome(trial) != Some(Outcome::Measured)).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let ending = failed[0].ending.as_ref().unwrap();
    assert_eq!(ending.outcome, Outcome::Crashed);
    assert!(ending.cause.contains("killed from outside"), "{ending:?}");
    assert!(trials.last().is_some_and(|last| last.number > failed[0].number), "the next ones went on");
    place.expect_no_children();
}

#[test]
fn two_tunes_share_one_study() {
    let place = Place::new();
    let children = [place.start(SIMULATED), place.start(SIMULATED)];
    let ended = children.map(finish);
    for one in &ended {
        assert_eq!(one.status.code(), Some(0), "{one}");
        assert!(one.talk.contains("baseline"), "both work: {one}");
    }
    let trials = place.trials("s.db", "s");
    let told: usize = ended.iter().map(|one| one.talk.matches(" s)").count()).sum();
    assert_eq!((expect_no_doubles(&trials), told), (trials.len(), trials.len()));
    assert!((8..=14).contains(&trials.len()), "{}", trials.len());
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let place = Place::new();
    let line = SIMULATED.replace(",pace=0.02", "").replace("14", "200");
    // A limit on the size of files stands for a full disk: the write fails in the same place.
    let limited = place.in_shell("trap '' XFSZ; ulimit -f 1500", &line);
    let ended = finish({ limited }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ended.status.code(), Some(5), "{ended}");
    assert!(ended.has("s.db") && ended.has("check the disk, then resume"), "{ended}");
    let before = place.trials("s.db", "s");
    assert!(expect_no_doubles(&before) > 3, "{}", before.len());
    let ended = place.run(&line);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let after = place.trials("s.db", "s");
    assert!(expect_no_doubles(&after) > expect_no_doubles(&before));
    let mut kept = before.iter().filter(|trial| outcome(trial) == Some(Outcome::Measured));
    assert!(kept.all(|trial| after.contains(trial)));
}

#[test]
fn wrappers_and_variables_reach_the_engine_and_are_recorded() {
    let place = Place::with_model();
    // The shell stays in front of the worker, as an activated environment does.
    place.write_program(
        "own-wrapper",
        "#!/bin/sh\nprintf %s \"$MARK\" > \"$(dirname \"$0\")/mark\"\n\"$@\"\nexit $?\n",
    );
    let bench =
        "bench tiny.gguf --set threads=1 --prompt 8 --generate 4 --visits 1 -r 1 -q --record {}/r.json";
    for wrapper in ["env", "{}/own-wrapper"] {
        place.check(&format!("{bench} --env MARK=here --wrapper {wrapper}"), 0, "decode");
        let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
        let engine = &record.subject.engine;
        assert_eq!(engine.wrapper, [wrapper.replace("{}", &place.folder().display().to_string())]);
        assert_eq!(engine.environment.get("MARK").map(String::as_str), Some("here"));
    }
    assert_eq!(place.read("mark"), "here");
    let mut child = place.start(&format!("{REAL} --wrapper {{}}/own-wrapper"));
    let talk = wait_for(&mut child, " s)", 1);
    assert!(place.children().len() >= 2, "wrapper and worker");
    signal(child.id(), Signal::KILL);
    talk.end(child);
    place.expect_no_children();
}
