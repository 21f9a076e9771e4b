//! The user's own llama-server through the command line.

use crate::processes::signal;
use crate::support::{Place, finish, given};
use gguflab_lab::bench::Record;
use gguflab_types::{Outcome, Trial, metric};
use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Answers as llama-server does when it is asked who it is; then never gets ready.
const NEVER_READY: &str = r#"#!/bin/sh
case "$1" in
  --help)
    for flag in "-m, --model FNAME" "-c, --ctx-size N" "--host HOST" "--port PORT" "-np, --parallel N" \
      "-t, --threads N" "-a, --alias STRING"; do echo "$flag  something"; done
    exit 0;;
esac
: > "$(dirname "$0")/runs"
"$(dirname "$0")/own-grandchild" & wait
"#;
const GRANDCHILD: &str = "#!/bin/sh\nwhile :; do sleep 1; done\n";

/// A model and the real server, under a name that tells its processes from all others.
fn real() -> Option<(Place, PathBuf)> {
    let (program, model) = (given("GGUFLAB_LLAMA_SERVER")?, given("GGUFLAB_TEST_MODEL")?);
    let place = Place::new();
    std::os::unix::fs::symlink(program, place.path("own-server")).unwrap();
    Some((place, model))
}

#[test]
fn one_that_never_gets_ready_is_an_outcome_and_ends_with_the_program() {
    let place = Place::with_model();
    place.write_program("own-grandchild", GRANDCHILD);
    place.write_program("own-server", NEVER_READY);
    let line = "bench tiny.gguf --engine llama-server={}/own-server --prompt 8 --generate 4 --visits 1";
    place.check(&format!("{line} -q --timeout-per-trial 1s"), 1, "the trial took longer than 1 s");
    place.expect_no_children();
    std::fs::remove_file(place.path("runs")).unwrap();
    let child = place.start(line);
    let started = Instant::now();
    while !place.path("runs").exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never started");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), Signal::KILL);
    assert_eq!(finish(child).status.code(), None);
    place.expect_no_children();
}

#[test]
fn the_real_one_is_measured_over_http() {
    let Some((place, model)) = real() else { return };
    let line = format!(
        "bench {} --engine llama-server={{}}/own-server --prompt 32 --depth 16 --generate 8 --concurrency 2 \
         --set threads=1 --visits 2 -r 2 -q --record {{}}/r.json",
        model.display()
    );
    place.check(&line, 0, "first-token");
    place.expect_no_children();
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    assert_eq!(record.subject.engine.kind, "llama-server");
    for trial in &record.trials {
        assert!(has(trial, metric::LOAD) && has(trial, metric::PEAK_MEMORY), "{trial:?}");
        for name in [metric::PREFILL, metric::FIRST_TOKEN, metric::DECODE, metric::REQUEST, metric::CPU_TIME]
        {
            assert!(has(trial, name), "{name}: {trial:?}");
        }
        let produced = trial.repetitions.iter().filter_map(|one| one.value(metric::TOKENS_PRODUCED));
        assert!(produced.clone().count() >= 2 && produced.clone().all(|tokens| tokens == 16.0), "{trial:?}");
    }
}

fn has(trial: &Trial, name: &str) -> bool {
    trial.repetitions.iter().any(|one| one.value(name).is_some_and(|value| value > 0.0))
}

#[test]
fn the_real_ones_own_knobs_are_tuned_and_emitted() {
    let Some((place, model)) = real() else { return };
    let line = format!(
        "tune {} --engine llama-server={{}}/own-server --prompt 16 --generate 8 --concurrency 2 -r 1 --budget-runs 10 \
         --only parallel,continuous-batching --baseline threads=1 --study s --store {{}}/s.db",
        model.display()
    );
    let ended = place.check(&line, 0, "--parallel");
    place.expect_no_children();
    let trials = place.trials("s.db", "s");
    assert!(trials.iter().any(|trial| trial.configuration.integer("parallel") == Some(1)), "{ended}");
    let measured =
        |trial: &&Trial| trial.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Measured);
    assert_eq!(trials.iter().filter(measured).count(), trials.len(), "{trials:?}");
}

#[test]
fn knobs_of_a_server_are_refused_elsewhere_by_name() {
    let place = Place::with_model();
    for engine in ["embedded", "simulated=laptop"] {
        let line = format!("bench tiny.gguf --engine {engine} --set parallel=2");
        place.check(&line, 2, "knob parallel needs a server: take --engine llama-server=PATH");
    }
    let listed = place.check("list knobs --json", 0, "--spec-draft-model");
    assert!(listed.has("--parallel"), "{listed}");
}

#[test]
fn the_real_one_guesses_ahead_with_a_draft_model() {
    let Some((place, model)) = real() else { return };
    // The model itself as its own draft: everything that it guesses is right.
    let line = format!(
        "bench {0} --engine llama-server={{}}/own-server --prompt 16 --generate 24 --set threads=1 \
         --set speculation=draft-simple --set draft-model={0} --set draft-max=4 --visits 1 -r 1 -q --record {{}}/r.json",
        model.display()
    );
    place.check(&line, 0, "decode");
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    let accepted = record.trials[0].repetitions.iter().find_map(|one| one.value(metric::DRAFT_ACCEPTED));
    assert!(accepted.is_some_and(|share| share > 0.9), "{accepted:?}");
}
