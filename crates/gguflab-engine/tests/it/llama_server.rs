//! llama-server as it may be met: dying, never ready, without a port, refusing, hanging.

use crate::scripts::write_named;
use crate::servers;
use crate::support::{ends, is_alive, job, run};
use gguflab_engine::{Engine, EngineError, EngineSpecification, open};
use gguflab_types::{
    Configuration, Deadlines, Ending, Outcome, Repetition, Request, Value, Workload, metric,
};
use std::path::Path;
use std::time::{Duration, Instant};

fn specification(program: &Path) -> EngineSpecification {
    let text = format!("llama-server={}", program.display());
    let worker = std::env::var_os("GGUFLAB_WORKER").map(Into::into).unwrap_or_default();
    EngineSpecification::parse(&text, worker).unwrap()
}

fn opened(fault: &str) -> (tempfile::TempDir, Box<dyn Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let engine =
        open(&specification(&servers::write(&folder, fault))).unwrap_or_else(|error| panic!("{error}"));
    (folder, engine)
}

/// Each start of the server: process number, port, slots and context.
fn starts(folder: &tempfile::TempDir) -> Vec<[u32; 4]> {
    let text = std::fs::read_to_string(folder.path().join("starts")).unwrap_or_default();
    let numbers = |line: &str| line.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<u32>>();
    text.lines().map(|line| numbers(line).try_into().unwrap()).collect()
}

#[test]
fn a_program_that_is_missing_or_no_llama_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| match open(&specification(path)) {
        Err(error) => error,
        Ok(_) => panic!("opened"),
    };
    let missing = error(&folder.path().join("no-such-server"));
    assert!(matches!(missing, EngineError::Start { .. }), "{missing}");
    assert!(missing.to_string().contains("llama-server=/path/to/llama-server"), "{missing}");
    let other = write_named(&folder, "llama-server", "#!/bin/sh\necho Hello, I am another program\n");
    let stranger = error(&other);
    assert!(matches!(stranger, EngineError::Unusable { .. }), "{stranger}");
    assert!(stranger.to_string().contains("Hello, I am another program"), "{stranger}");
}

#[test]
fn all_that_a_client_sees_is_measured() {
    let (_folder, mut engine) = opened("");
    assert_eq!(engine.identity().build, "7 (abc), built with python for tests");
    assert_eq!(engine.devices().unwrap().len(), 1);
    let request = Request { concurrency: 3, depth: 32, ..Request::new(64, 8) };
    let (ending, repetitions, log) = run(&mut *engine, &job(request));
    assert_eq!(ending, Ending::measured(), "{log}");
    assert!(log.contains("main: loading model"), "{log}");
    let measured: Vec<&Repetition> = repetitions.iter().filter(|one| one.request.is_some()).collect();
    assert_eq!(measured.len(), 2);
    for one in measured {
        for name in [metric::PREFILL, metric::FIRST_TOKEN, metric::DECODE, metric::REQUEST] {
            assert!(one.value(name).is_some_and(|value| value > 0.0), "{name}: {one:?}");
        }
        assert_eq!(one.values(metric::INTER_TOKEN).len(), 3 * 7);
        let produced = (one.value(metric::TOKENS_ASKED), one.value(metric::TOKENS_PRODUCED));
        assert_eq!(produced, (Some(24.0), Some(24.0)));
        assert!(one.value(metric::FIRST_TOKEN) < one.value(metric::REQUEST));
    }
    let whole = |name: &str| repetitions.iter().find_map(|one| one.value(name));
    assert!(whole(metric::LOAD).is_some_and(|seconds| seconds > 0.0));
    if cfg!(target_os = "linux") {
        assert!(whole(metric::PEAK_MEMORY).is_some_and(|bytes| bytes > 1e6));
    }
}

#[test]
fn it_stays_until_flags_change_and_then_nothing_is_left() {
    let (folder, mut engine) = opened("");
    let first = job(Request::new(16, 4));
    for _ in 0..2 {
        assert_eq!(run(&mut *engine, &first).0, Ending::measured());
    }
    assert_eq!(starts(&folder).len(), 1, "the same flags are the same server");
    let mut other = first.clone();
    other.configuration = Configuration::new().with("threads", Value::Integer(2));
    assert_eq!(run(&mut *engine, &other).0, Ending::measured());
    let mut reload = other.clone();
    reload.protocol.reload = true;
    assert_eq!(run(&mut *engine, &reload).0, Ending::measured());
    let mut several = other.clone();
    several.workload = Workload::single("several", Request { concurrency: 4, ..Request::new(200, 100) });
    several.configuration = other.configuration.with("parallel", Value::Integer(2));
    assert_eq!(run(&mut *engine, &several).0, Ending::measured());
    let seen = starts(&folder);
    assert_eq!(
        seen.iter().map(|start| start[2..].to_vec()).collect::<Vec<_>>(),
        [[1, 256], [1, 256], [1, 256], [2, 1024]]
    );
    assert!(seen[..3].iter().all(|start| ends(start[0])));
    assert!(is_alive(seen[3][0]));
    drop(engine);
    assert!(ends(seen[3][0]));
}

#[test]
fn several_at_once_do_not_meet() {
    let mut engines: Vec<_> = (0..4).map(|_| opened("")).collect();
    for (_, engine) in &mut engines {
        assert_eq!(run(&mut **engine, &job(Request::new(16, 4))).0, Ending::measured());
    }
    let mut ports: Vec<u32> =
        engines.iter().flat_map(|(folder, _)| starts(folder)).map(|start| start[1]).collect();
    ports.dedup();
    assert_eq!(ports.len(), 4, "all four serve at the same time");
}

#[test]
fn failures_have_their_outcome_and_cause() {
    for (fault, outcome, cause) in [
        ("dies", Outcome::Crashed, "SIGABRT: ggml.c:123: GGML_ASSERT(tensor) failed"),
        ("closes", Outcome::Crashed, "closed the connection in the middle"),
        ("error", Outcome::Crashed, "Compute error"),
        ("garbage", Outcome::Crashed, "no JSON"),
        ("refuses", Outcome::Rejected, "prompt is too long"),
        ("memory", Outcome::OutOfMemory, "cudaMalloc failed: out of memory"),
        ("taken", Outcome::Crashed, "ports one after the other were taken"),
        ("stranger", Outcome::Crashed, "ports one after the other were taken"),
        ("forgets", Outcome::Rejected, "computed 96 tokens of the prompt instead of 64"),
    ] {
        let (folder, mut engine) = opened(fault);
        let (ending, repetitions, log) =
            run(&mut *engine, &job(Request { depth: 32, ..Request::new(64, 8) }));
        assert_eq!(ending.outcome, outcome, "{fault}: {ending:?}\n{log}");
        assert!(ending.cause.contains(cause), "{fault}: {ending:?}\n{log}");
        assert!(repetitions.iter().all(|one| one.request.is_none()), "{fault}: nothing is invented");
        drop(engine);
        assert!(starts(&folder).iter().all(|start| ends(start[0])), "{fault}");
    }
}

#[test]
fn a_port_that_was_taken_is_followed_by_another() {
    for fault in ["taken once", "stranger once"] {
        let (folder, mut engine) = opened(fault);
        let (ending, _, log) = run(&mut *engine, &job(Request::new(16, 4)));
        assert_eq!(ending, Ending::measured(), "{log}");
        assert_eq!(starts(&folder).len(), 2);
        assert!(log.contains("the port was taken"), "{log}");
    }
}

#[test]
fn what_never_comes_ends_with_its_deadline() {
    for (fault, cause) in
        [("never ready", "the server was not ready within 1.5 s"), ("hangs", "did not end within 1.5 s")]
    {
        let (folder, mut engine) = opened(fault);
        let mut hasty = job(Request::new(16, 4));
        hasty.deadlines = Deadlines { start: 1.0, load: 0.5, repetition: 1.5, ..Deadlines::default() };
        if fault == "hangs" {
            hasty.deadlines.load = 60.0;
        }
        let started = Instant::now();
        let (ending, ..) = run(&mut *engine, &hasty);
        assert_eq!(ending.outcome, Outcome::TimedOut, "{fault}: {ending:?}");
        assert!(ending.cause.contains(cause), "{fault}: {ending:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(starts(&folder).iter().all(|start| ends(start[0])), "{fault}");
    }
}

#[test]
fn flags_that_a_version_lacks_are_refused_by_name() {
    let (folder, mut engine) = opened("");
    let mut unknown = job(Request::new(16, 4));
    unknown.configuration = Configuration::new().with("threads-batch", Value::Integer(2));
    let (ending, ..) = run(&mut *engine, &unknown);
    assert_eq!(ending.outcome, Outcome::Rejected);
    assert!(ending.cause.contains("--threads-batch"), "{ending:?}");
    let mut deep = job(Request { depth: 8, concurrency: 2, ..Request::new(16, 4) });
    deep.configuration = Configuration::new().with("parallel", Value::Integer(1));
    let (ending, ..) = run(&mut *engine, &deep);
    assert!(ending.outcome == Outcome::Rejected && ending.cause.contains("a slot each"), "{ending:?}");
    assert_eq!(starts(&folder), Vec::<[u32; 4]>::new(), "nothing was started for that");
}
