//! A program of one's own through the command line.

use crate::support::Place;
use gguflab_lab::bench::Record;
use gguflab_types::{Trial, metric};

/// Declares a knob and a metric of its own, and takes one knob of llama.cpp.
const SPACE: &str = r#"
version = 1

[[knob]]
name = "slots"
kind = "integer"
least = 1
most = 4
help = "requests at once"

[[knob]]
name = "threads"

[[metric]]
name = "energy"
direction = "lower"
help = "joules for each request"
"#;

/// Faster with more threads up to three; more than six do not fit.
const PROGRAM: &str = r#"
import json, sys
for line in sys.stdin:
    trial = json.loads(line)
    if "estimate" in trial:
        print(json.dumps({"estimates": None}), flush=True)
        continue
    threads = trial["settings"].get("threads", 2)
    if threads > 6:
        print(json.dumps({"outcome": "out_of_memory", "cause": "no room"}), flush=True)
        continue
    rate = 100.0 - 10.0 * abs(threads - 3) + 5.0 * trial["settings"].get("slots", 0)
    values = [rate + 0.01 * index for index in range(trial["repetitions"])]
    metrics = {"decode": values, "prefill": values}
    if "slots" in trial["settings"]:
        metrics["energy"] = [5.0 + abs(trial["settings"]["slots"] - 2) for _ in values]
    print(json.dumps({"metrics": metrics}), flush=True)
"#;

#[test]
fn it_is_measured_without_a_model() {
    let place = Place::new();
    place.write("program.py", PROGRAM);
    place.write("broken.py", "print('no trials for me')\n");
    let bench = |name: &str| {
        let command = format!("command=python3 {}", place.path(name).display());
        let words = [
            "bench",
            "--engine",
            &command,
            "--prompt",
            "8",
            "--generate",
            "4",
            "--visits",
            "2",
            "--retries",
            "0",
            "--set",
            "threads=3",
        ];
        let record = place.path("r.json").display().to_string();
        let words: Vec<&str> = words.into_iter().chain(["--record", record.as_str()]).collect();
        crate::support::finish(piped(place.with_arguments(&words)))
    };
    let ended = bench("program.py");
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    let rates = |trial: &Trial| {
        trial.repetitions.iter().filter_map(|one| one.value(metric::DECODE)).collect::<Vec<f64>>()
    };
    assert_eq!(record.trials.iter().map(rates).collect::<Vec<_>>(), vec![vec![100.0, 100.01]; 2]);
    assert_eq!(record.subject.engine.kind, "command");

    let ended = bench("broken.py");
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.has("ended without an answer: no trials for me"), "{ended}");
}

fn piped(mut command: std::process::Command) -> std::process::Child {
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
}

#[test]
fn it_is_tuned_and_its_failures_are_outcomes() {
    let place = Place::new();
    place.write("program.py", PROGRAM);
    let command = format!("command=python3 {}", place.path("program.py").display());
    let store = place.path("s.db").display().to_string();
    let words = [
        "tune",
        "--engine",
        &command,
        "--prompt",
        "8",
        "--generate",
        "4",
        "--study",
        "s",
        "--store",
        &store,
        "--knob",
        "threads=1..8",
        "--only",
        "threads",
        "--baseline",
        "threads=1",
        "--budget-runs",
        "16",
    ];
    let ended = crate::support::finish(piped(place.with_arguments(&words)));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(ended.has("threads=3"), "{ended}");
    let trials = place.trials("s.db", "s");
    assert!(trials.len() > 4, "{ended}");
}

#[test]
fn its_own_knobs_and_metrics_are_declared_in_a_space_file() {
    let place = Place::new();
    place.write("program.py", PROGRAM);
    place.write("space.toml", SPACE);
    let command = format!("command=python3 {}", place.path("program.py").display());
    let space = place.path("space.toml").display().to_string();
    let common = ["--engine", &command, "--space", &space, "--prompt", "8", "--generate", "4"];
    let run = |verb: &str, more: &[&str]| {
        let words: Vec<&str> = [verb].into_iter().chain(common).chain(more.iter().copied()).collect();
        crate::support::finish(piped(place.with_arguments(&words)))
    };
    let ended = run("bench", &["--set", "slots=2", "--visits", "1", "--retries", "0"]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(ended.has("energy"), "{ended}");
    let ended = run("bench", &["--set", "batch=64"]);
    assert!(ended.status.code() == Some(2) && ended.has("unknown knob `batch`"), "{ended}");
    let ended = run("bench", &["--set", "slots=9"]);
    assert!(ended.status.code() == Some(2) && ended.has("slots"), "{ended}");

    for (metric, reason) in
        [("name = \"decode\"\ndirection = \"lower\"", "known already"), ("name = \"x\"", "direction")]
    {
        place.write("space.toml", format!("version = 1\n[[metric]]\n{metric}\n"));
        let ended = run("bench", &[]);
        assert!(ended.status.code() == Some(3) && ended.has(reason), "{ended}");
    }
}
