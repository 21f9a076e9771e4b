//! llama-bench as it may be met: missing, old, garbled, hanging, crashing, refusing.

use crate::scripts::{self, CRASH, GARBAGE, GOOD, HANG, MEMORY, OLD};
use crate::support;
use gguflab_engine::{Engine, EngineError, EngineSpecification, open};
use gguflab_types::{Configuration, Ending, Job, Outcome, Protocol, Repetition, Request, Value, metric};
use std::path::Path;
use std::time::{Duration, Instant};

fn specification(program: &Path) -> EngineSpecification {
    let text = format!("llama-bench={}", program.display());
    let worker = std::env::var_os("GGUFLAB_WORKER").map(Into::into).unwrap_or_default();
    EngineSpecification::parse(&text, worker).unwrap()
}

fn opened(body: &str) -> (tempfile::TempDir, Box<dyn Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let engine =
        open(&specification(&scripts::write(&folder, body))).unwrap_or_else(|error| panic!("{error}"));
    (folder, engine)
}

fn job(request: Request) -> Job {
    let protocol = Protocol { repetitions: 3, retries: 10, ..Protocol::default() };
    Job { protocol, ..support::job(request) }
}

fn run(engine: &mut dyn Engine, job: &Job) -> (Ending, Vec<Repetition>, String) {
    let (ending, mut repetitions, log) = support::run(engine, job);
    repetitions.retain(|repetition| repetition.request.is_some());
    (ending, repetitions, log)
}

#[test]
fn a_program_that_is_missing_or_no_llama_bench_is_named_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| match open(&specification(path)) {
        Err(error) => error,
        Ok(_) => panic!("opened"),
    };
    let missing = error(&folder.path().join("no-such-llama-bench"));
    assert!(matches!(missing, EngineError::Start { .. }), "{missing}");
    assert!(missing.to_string().contains("no-such-llama-bench"), "{missing}");
    assert!(error(folder.path()).to_string().contains("give the program in it"));

    let other = scripts::write_plain(&folder, "#!/bin/sh\necho Hello, I am another program\n");
    let stranger = error(&other);
    assert!(matches!(stranger, EngineError::Unusable { .. }), "{stranger}");
    assert!(stranger.to_string().contains("Hello, I am another program"), "{stranger}");
    let crashing = scripts::write_plain(&folder, "#!/bin/sh\nkill -SEGV $$\n");
    assert!(error(&crashing).to_string().contains("SIGSEGV"));
    let no_program = scripts::write_plain(&folder, "\u{7f}ELF no program\n");
    std::fs::set_permissions(&no_program, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(error(&no_program).to_string().contains("chmod +x"));
}

#[test]
fn identity_comes_from_the_program() {
    let (_folder, engine) = opened(GOOD);
    assert_eq!(engine.identity().kind, "llama-bench");
    assert_eq!(engine.identity().build, "1.0 (build 1, commit abc), built with sh for tests");
}

#[test]
fn every_repetition_is_kept_and_talk_is_logged() {
    let (_folder, mut engine) = opened(GOOD);
    let (ending, repetitions, log) = run(&mut *engine, &job(Request { depth: 32, ..Request::new(64, 16) }));
    assert!(log.contains("llama_model_load: loading") && log.contains("says hello"), "{log}");
    assert!(repetitions.len() >= 3 && repetitions.len() % 3 == 0, "{ending:?}");
    for (index, repetition) in repetitions.iter().take(3).enumerate() {
        let seconds = (4_000_000.0 + index as f64 * 10_000.0) / 1e9;
        let near = |name: &str, expected: f64| {
            let value = repetition.value(name).unwrap();
            assert!((value / expected - 1.0).abs() < 1e-9, "{name}: {value} {expected}");
        };
        near(metric::PREFILL, 64.0 / seconds);
        near(metric::DECODE, 16.0 / seconds);
        assert!((repetition.duration - 2.0 * seconds).abs() < 1e-9);
        assert_eq!(repetition.index as usize, index);
        assert_eq!(repetition.value(metric::REQUEST), None, "no request is measured, none is invented");
        assert_eq!(repetition.value(metric::PREFILL_DEVIATION), None);
    }
}

#[test]
fn a_version_that_prints_means_keeps_their_deviation() {
    let (_folder, mut engine) = opened(OLD);
    let (_, repetitions, _) = run(&mut *engine, &job(Request::new(64, 16)));
    let first = &repetitions[0];
    assert_eq!(
        (first.value(metric::PREFILL), first.value(metric::PREFILL_DEVIATION)),
        (Some(120.5), Some(2.5))
    );
    assert_eq!(
        (first.value(metric::DECODE), first.value(metric::DECODE_DEVIATION)),
        (Some(20.25), Some(0.5))
    );
}

#[test]
fn failures_have_their_outcome_and_cause() {
    for (body, outcome, cause, kept) in [
        (GARBAGE, Outcome::Crashed, "printed no result for pp64 (it begins `Segmentation successful`)", 0),
        (CRASH, Outcome::Crashed, "SIGABRT: ggml.c:123: GGML_ASSERT(tensor) failed", 0),
        (MEMORY, Outcome::OutOfMemory, "cudaMalloc failed: out of memory", 0),
    ] {
        let (_folder, mut engine) = opened(body);
        let (ending, repetitions, log) = run(&mut *engine, &job(Request::new(64, 16)));
        assert_eq!(ending.outcome, outcome, "{ending:?}\n{log}");
        assert!(ending.cause.contains(cause), "{ending:?}");
        assert_eq!(repetitions.len(), kept);
    }
}

#[test]
fn refusals_name_the_flag_or_the_knob() {
    let (_folder, mut engine) = opened(GOOD);
    let mut unknown = job(Request::new(64, 16));
    unknown.configuration = Configuration::new().with("threads-batch", Value::Integer(2));
    let (ending, ..) = run(&mut *engine, &unknown);
    assert_eq!(ending.outcome, Outcome::Rejected);
    assert!(ending.cause.contains("threads-batch"), "{ending:?}");
    unknown.configuration = Configuration::new().with("ubatch", Value::Integer(64));
    let (ending, ..) = run(&mut *engine, &unknown);
    assert!(ending.cause.contains("-ub"), "{ending:?}");

    let folder = tempfile::tempdir().unwrap();
    let lying =
        "case \"$1\" in --help) printf '%s\\n' '-m' '-p' '-n' '-r' '-o, --output <csv>'; exit;; esac\n";
    let refusing = "echo 'error: invalid parameter for argument: -o' >&2; exit 1\n";
    let program = scripts::write_plain(&folder, &format!("#!/bin/sh\n{lying}{refusing}"));
    let mut engine = open(&specification(&program)).unwrap_or_else(|error| panic!("{error}"));
    assert!(engine.identity().build.starts_with("unknown version, sha256 "));
    let (ending, ..) = run(&mut *engine, &job(Request::new(64, 16)));
    assert_eq!(ending.outcome, Outcome::Rejected);
    assert!(ending.cause.contains("`-o`"), "{ending:?}");
}

#[test]
fn a_hang_is_ended_with_all_of_its_processes() {
    let (folder, mut engine) = opened(HANG);
    let mut hasty = job(Request::new(64, 16));
    // Long enough that even a crowded machine has started the script.
    hasty.deadlines.trial = 2.0;
    let started = Instant::now();
    let (ending, ..) = run(&mut *engine, &hasty);
    assert_eq!(ending.outcome, Outcome::TimedOut, "{ending:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let numbers = std::fs::read_to_string(folder.path().join("processes")).unwrap();
    for number in numbers.split_whitespace() {
        assert!(support::ends(number.parse().unwrap()), "{number} is still alive");
    }
}
