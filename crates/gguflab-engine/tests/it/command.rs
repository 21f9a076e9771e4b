//! Engines by command as they may be met.

use crate::programs::specification;
use crate::support::{self, ends, run};
use gguflab_engine::{Engine, EngineSpecification, open};
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::{Configuration, Direction, Ending, Forecast, Job, Outcome, Request, Unit, Value, metric};
use std::path::Path;
use std::time::{Duration, Instant};

fn opened(fault: &str) -> (tempfile::TempDir, Box<dyn Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let (unit, direction) = (Unit::None, Direction::Higher);
    let metrics = vec![DeclaredMetric { name: "score".into(), unit, direction, help: String::new() }];
    let specification = EngineSpecification { metrics, ..specification(&folder, fault) };
    let engine = open(&specification).unwrap_or_else(|error| panic!("{error}"));
    (folder, engine)
}

fn job(threads: i64) -> Job {
    let configuration = Configuration::new().with("threads", Value::Integer(threads));
    Job { model: "".into(), configuration, ..support::job(Request::new(16, 4)) }
}

fn noted(folder: &tempfile::TempDir, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_string).collect()
}

/// The processes that the program started and that do not end.
fn lasting(folder: &tempfile::TempDir) -> usize {
    let number = |line: &String| line.split(' ').next().unwrap().parse().unwrap();
    noted(folder, "starts").iter().filter(|line| !ends(number(line))).count()
}

#[test]
fn what_cannot_be_a_program_is_refused_with_a_hint() {
    let error = |text: &str| match EngineSpecification::parse(text, "".into()).and_then(|made| open(&made)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{text} opened"),
    };
    for (text, reason) in [
        ("command", "needs a program"),
        ("command=", "needs a program"),
        ("command='a b", "a quote without an end"),
        ("command=no-such-program -x", "no-such-program"),
    ] {
        assert!(error(text).contains(reason), "{text}: {}", error(text));
    }
}

#[test]
fn trials_go_out_and_figures_come_in() {
    let (folder, mut engine) = opened("");
    assert!(engine.identity().build.contains("sha256 "), "{:?}", engine.identity());
    let (ending, repetitions, log) = run(&mut *engine, &job(3));
    assert_eq!(ending, Ending::measured(), "{log}");
    for words in ["warming up, no JSON", "on standard error", "hello"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    let of_request: Vec<_> = repetitions.iter().filter(|one| one.request == Some(0)).collect();
    let values = |name: &str| of_request.iter().filter_map(|one| one.value(name)).collect::<Vec<f64>>();
    assert_eq!(values(metric::DECODE), [30.0, 31.0], "the late answer of another trial does not count");
    assert_eq!((values(metric::PREFILL), values("score")), (vec![300.0, 301.0], vec![0.0, 1.0]));
    let load = repetitions.iter().filter(|one| one.request.is_none()).find_map(|one| one.value(metric::LOAD));
    assert_eq!(load, Some(0.25));
    let asked: serde_json::Value = serde_json::from_str(&noted(&folder, "trials")[0]).unwrap();
    assert_eq!(asked["protocol"], 1);
    assert_eq!(asked["model"], serde_json::Value::Null);
    assert_eq!(asked["settings"]["threads"], 3);
    assert_eq!(asked["workload"]["requests"][0]["prompt"], 16);
}

#[test]
fn it_stays_until_it_fails_or_its_variables_change() {
    let (folder, mut engine) = opened("");
    for threads in [1, 2] {
        assert_eq!(run(&mut *engine, &job(threads)).0, Ending::measured());
    }
    assert_eq!(noted(&folder, "starts").len(), 1);
    let mut marked = job(1);
    marked.configuration = marked.configuration.with("env:MARK", Value::Text("here".into()));
    assert_eq!(run(&mut *engine, &marked).0, Ending::measured());
    let starts = noted(&folder, "starts");
    assert!(starts.len() == 2 && starts[1].ends_with("here"), "{starts:?}");
    drop(engine);
    assert_eq!(lasting(&folder), 0);

    let (folder, mut engine) = opened("one at a time");
    for threads in [1, 2] {
        assert_eq!(run(&mut *engine, &job(threads)).0, Ending::measured());
    }
    assert_eq!(noted(&folder, "starts").len(), 2, "a program may answer once and end");
}

#[test]
fn failures_have_their_outcome_and_cause() {
    for (fault, outcome, cause) in [
        ("dies", Outcome::Crashed, "SIGABRT"),
        ("memory", Outcome::OutOfMemory, "CUDA out of memory"),
        ("leaves", Outcome::Crashed, "ended without an answer"),
        ("garbage", Outcome::Crashed, "`decode` is \"fast\" and not a number"),
        ("says", Outcome::OutOfMemory, "no room for 9 GiB"),
        ("another version", Outcome::Rejected, "speaks version 2 of the protocol"),
    ] {
        let (folder, mut engine) = opened(fault);
        let (ending, repetitions, log) = run(&mut *engine, &job(1));
        assert_eq!(ending.outcome, outcome, "{fault}: {ending:?}\n{log}");
        assert!(ending.cause.contains(cause), "{fault}: {ending:?}\n{log}");
        assert_eq!(repetitions, [], "{fault}: nothing is invented");
        drop(engine);
        assert_eq!(lasting(&folder), 0, "{fault}");
    }
}

#[test]
fn a_metric_that_nobody_declared_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = open(&specification(&folder, "")).unwrap();
    let (ending, ..) = run(&mut *engine, &job(1));
    assert!(ending.outcome == Outcome::Crashed && ending.cause.contains("`score`"), "{ending:?}");
}

#[test]
fn silence_is_ended_with_all_of_its_processes() {
    let (folder, mut engine) = opened("hangs");
    let mut hasty = job(1);
    hasty.deadlines.trial = 2.0;
    let started = Instant::now();
    let (ending, ..) = run(&mut *engine, &hasty);
    assert_eq!(ending.outcome, Outcome::TimedOut, "{ending:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(lasting(&folder), 0);
}

#[test]
fn forecasts_come_from_an_instance_of_its_own() {
    let (folder, mut engine) = opened("");
    let workload = job(1).workload;
    let estimator = engine.estimator(Path::new(""), &workload).unwrap();
    let configurations: Vec<Configuration> =
        (1..=250).map(|threads| Configuration::new().with("threads", Value::Integer(threads % 5))).collect();
    let forecasts = estimator.estimate(&configurations);
    assert_eq!(forecasts.len(), 250);
    assert_eq!(forecasts[0], Some(Forecast { load: 0.25, seconds: Some(0.5) }));
    assert_eq!(forecasts[2], None, "what it cannot tell stays open");
    assert_eq!(run(&mut *engine, &job(1)).0, Ending::measured());
    assert_eq!(noted(&folder, "starts").len(), 2);
    assert_eq!(noted(&folder, "trials").len(), 1);
    drop((engine, estimator));
    assert_eq!(lasting(&folder), 0);
    for fault in ["no estimates", "dies"] {
        let (folder, engine) = opened(fault);
        assert!(engine.estimator(Path::new(""), &workload).is_none(), "{fault}");
        assert_eq!(lasting(&folder), 0, "{fault}");
    }
}
