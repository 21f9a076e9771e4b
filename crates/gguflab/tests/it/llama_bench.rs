//! The user's own llama-bench through the command line: one that works, and those that do not.

use crate::processes::signal;
use crate::support::{Place, finish, given};
use gguflab_lab::bench::Record;
use gguflab_types::{Outcome, metric};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Answers as llama-bench does when it is asked who it is; what it does with a model follows.
const HEAD: &str = r#"#!/bin/sh
case "$1" in
  --help)
    echo "usage: llama-bench [options]"
    for flag in "-m, --model <filename>" "-p, --n-prompt <n>" "-n, --n-gen <n>" "-d, --n-depth <n>" \
      "-t, --threads <n>" "-r, --repetitions <n>" "-o, --output <csv|json|jsonl|md|sql>"; do echo "  $flag"; done
    exit 0;;
  -*=*|--version|--list-devices) exit 1;;
esac
"#;

const GRANDCHILD: &str = "#!/bin/sh\n: > \"$(dirname \"$0\")/grandchild-runs\"\nwhile :; do sleep 1; done\n";
/// Never ends, and neither does what it started.
const HANG: &str = "\"$(dirname \"$0\")/own-grandchild\" & wait";

const FAILURES: [(&str, &str, &str); 4] = [
    ("garbage", "echo 'Segmentation successful'; echo '{ not json'", ""),
    ("hang", HANG, "timed out"),
    ("crash", "echo 'ggml.c:1: GGML_ASSERT(tensor) failed' >&2; kill -ABRT $$", "crashed"),
    ("refusal", "echo 'error: failed to load model' >&2; exit 1", "failed to load model"),
];

#[test]
fn programs_that_fail_are_outcomes() {
    let place = Place::with_model();
    place.write_program("own-silent", "#!/bin/sh\necho hello\n");
    place.check("bench tiny.gguf --engine llama-bench={}/own-silent", 4, "does not look like llama-bench");
    // A bare name that lies here is that file, and not what is on PATH.
    place.check("bench tiny.gguf --engine llama-bench=own-silent", 4, "does not look like llama-bench");
    place.write_program("own-grandchild", GRANDCHILD);
    for (name, body, words) in FAILURES {
        place.write_program(&format!("own-{name}"), &format!("{HEAD}{body}\n"));
        let line = format!(
            "bench tiny.gguf --engine llama-bench={{}}/own-{name} --prompt 8 --generate 4 --visits 1 -q \
             --timeout-per-trial 2s --record {{}}/r.json"
        );
        let ended = place.check(&line, 1, words);
        let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
        let ending = record.trials[0].ending.as_ref().unwrap();
        assert!(ending.outcome != Outcome::Measured && !ending.cause.is_empty(), "{name}: {ending:?}");
        assert!(ended.talk.contains(&ending.cause), "{name}: {ended}");
        place.expect_no_children();
    }
}

#[test]
fn it_ends_with_the_program_that_started_it() {
    let place = Place::with_model();
    place.write_program("own-grandchild", GRANDCHILD);
    place.write_program("own-hang", &format!("{HEAD}{HANG}\n"));
    let child = place.start("bench tiny.gguf --engine llama-bench={}/own-hang --prompt 8 --generate 4");
    let started = Instant::now();
    while !place.path("grandchild-runs").exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never started");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(place.children().len() >= 2, "{:?}", place.children());
    signal(child.id(), Signal::KILL);
    assert_eq!(finish(child).status.code(), None);
    place.expect_no_children();
}

#[test]
fn the_real_one_measures_prompt_and_generation() {
    let (Some(program), Some(model)) = (given("GGUFLAB_LLAMA_BENCH"), given("GGUFLAB_TEST_MODEL")) else {
        return;
    };
    let place = Place::new();
    let line = format!(
        "bench {} --engine llama-bench={} --prompt 32 --generate 8 --set threads=1 --visits 1 -r 2 -q --record {{}}/r.json",
        model.display(),
        program.display()
    );
    place.check(&line, 0, "prefill");
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    let trial = &record.trials[0];
    for name in [metric::PREFILL, metric::DECODE] {
        let count =
            trial.repetitions.iter().filter(|one| one.value(name).is_some_and(|rate| rate > 0.0)).count();
        assert!(count >= 2, "{name}: {trial:?}");
    }
    let build = &record.subject.engine.build;
    assert!(build.chars().any(|character| character.is_ascii_digit()), "its build is recorded: {build}");
    assert_eq!(record.subject.engine.kind, "llama-bench");
}
