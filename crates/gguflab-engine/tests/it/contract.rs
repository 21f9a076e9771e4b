//! The contract of `gguflab_engine::Engine`, over every engine.
//!
//! [`fixtures`] is the one place where an engine is plugged in: how to open it, which model it gets, and whether
//! it must be there.

use gguflab_engine::{Control, ENGINES, Engine, EngineSpecification, Stop, open, scores};
use gguflab_types::evaluation::{Evaluation, WindowRule, Windowing};
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::{
    Configuration, Deadlines, Direction, Ending, Event, Job, METRICS, Outcome, Protocol, Repetition, Request,
    Unit, Value, Workload, metric,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An engine that can be tested here.
struct Fixture {
    /// What a failing test is named by.
    name: &'static str,
    specification: EngineSpecification,
    model: PathBuf,
    /// Kept until the tests are done.
    _folder: Option<tempfile::TempDir>,
}

/// Every engine that can be tested on this machine.
fn fixtures() -> Vec<Fixture> {
    let mut fixtures = vec![simulated("laptop"), simulated("hostile")];
    fixtures.extend(llama_bench_script());
    fixtures.extend(real_program("llama-bench", "GGUFLAB_LLAMA_BENCH"));
    fixtures.extend(llama_server_script());
    fixtures.extend(command());
    fixtures.extend(real_program("llama-server", "GGUFLAB_LLAMA_SERVER"));
    fixtures.extend(embedded());
    fixtures
}

fn simulated(preset: &'static str) -> Fixture {
    let specification = EngineSpecification {
        kind: "simulated".to_string(),
        target: Some(preset.to_string()),
        ..EngineSpecification::default()
    };
    Fixture { name: preset, specification, model: "simulated.gguf".into(), _folder: None }
}

/// A script that behaves as llama-bench does.
#[cfg(unix)]
fn llama_bench_script() -> Option<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let program = crate::scripts::write(&folder, crate::scripts::GOOD);
    let specification = EngineSpecification {
        kind: "llama-bench".to_string(),
        target: Some(program.display().to_string()),
        worker: worker(),
        ..EngineSpecification::default()
    };
    Some(Fixture { name: "llama-bench script", specification, model: "m.gguf".into(), _folder: Some(folder) })
}

#[cfg(not(unix))]
fn llama_bench_script() -> Option<Fixture> {
    None
}

/// A script that behaves as llama-server does.
#[cfg(unix)]
fn llama_server_script() -> Option<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let program = crate::servers::write(&folder, "");
    let specification = EngineSpecification {
        kind: "llama-server".to_string(),
        target: Some(program.display().to_string()),
        worker: worker(),
        ..EngineSpecification::default()
    };
    Some(Fixture {
        name: "llama-server script",
        specification,
        model: "m.gguf".into(),
        _folder: Some(folder),
    })
}

#[cfg(not(unix))]
fn llama_server_script() -> Option<Fixture> {
    None
}

/// A program that takes trials as JSON lines.
#[cfg(unix)]
fn command() -> Option<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let (unit, direction) = (Unit::None, Direction::Higher);
    let score = DeclaredMetric { name: "score".to_string(), unit, direction, help: String::new() };
    let specification =
        EngineSpecification { metrics: vec![score], ..crate::programs::specification(&folder, "") };
    Some(Fixture { name: "command", specification, model: "".into(), _folder: Some(folder) })
}

#[cfg(not(unix))]
fn command() -> Option<Fixture> {
    None
}

/// One of llama.cpp's own programs, where a variable and `GGUFLAB_TEST_MODEL` name it and a model.
fn real_program(kind: &'static str, variable: &str) -> Option<Fixture> {
    let program = std::env::var(variable).ok()?;
    let specification = EngineSpecification {
        kind: kind.to_string(),
        target: Some(program),
        worker: worker(),
        ..EngineSpecification::default()
    };
    Some(Fixture { name: kind, specification, model: test_model()?, _folder: None })
}

/// llama.cpp in the worker, where `GGUFLAB_WORKER` names it; its model is the test model, or a small one of the
/// project's own. Under `CI=true` it has to be there.
fn embedded() -> Option<Fixture> {
    let worker = worker();
    if worker.as_os_str().is_empty() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "GGUFLAB_WORKER has to name the worker in CI");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = test_model().unwrap_or_else(|| {
        let path = folder.path().join("tiny.gguf");
        gguflab_format::write_tiny(&path, &gguflab_format::TinyModel::demo()).unwrap();
        path
    });
    let specification =
        EngineSpecification { kind: "embedded".to_string(), worker, ..EngineSpecification::default() };
    Some(Fixture { name: "embedded", specification, model, _folder: Some(folder) })
}

fn worker() -> PathBuf {
    std::env::var_os("GGUFLAB_WORKER").map(PathBuf::from).unwrap_or_default()
}

fn test_model() -> Option<PathBuf> {
    std::env::var_os("GGUFLAB_TEST_MODEL").map(PathBuf::from)
}

fn job(fixture: &Fixture) -> Job {
    Job {
        model: fixture.model.clone(),
        configuration: Configuration::new().with("threads", Value::Integer(1)),
        workload: Workload {
            name: "contract".to_string(),
            requests: vec![Request::new(16, 4), Request { depth: 8, ..Request::new(8, 2) }],
        },
        protocol: Protocol { repetitions: 2, warmup: 1, ..Protocol::default() },
        deadlines: Deadlines::default(),
        memory_limit: None,
    }
}

/// What an engine told.
#[derive(Default)]
struct Told {
    repetitions: Vec<Repetition>,
    phases: usize,
}

fn run(engine: &mut dyn Engine, job: &Job) -> (Ending, Told) {
    let mut told = Told::default();
    let mut sink = |event| {
        match event {
            Event::Alive => {}
            Event::Measured(repetition) => told.repetitions.push(*repetition),
            Event::Phase(_) => told.phases += 1,
            Event::Log(..) => {}
        }
        Control::Continue
    };
    let ending = engine.run(job, &Stop::default(), &mut sink);
    (ending, told)
}

/// Runs a test on every engine, one after the other, so that they do not disturb each other.
fn with_each(test: impl Fn(&Fixture, &mut dyn Engine)) {
    for fixture in fixtures() {
        let mut engine =
            open(&fixture.specification).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        test(&fixture, &mut *engine);
    }
}

#[test]
fn every_engine_of_the_table_has_its_own_name_and_help() {
    let names: BTreeMap<&str, &str> = ENGINES.iter().map(|row| (row.name, row.help)).collect();
    assert_eq!(names.len(), ENGINES.len());
    assert!(names.values().all(|help| !help.is_empty()));
}

#[test]
fn a_measured_trial_has_known_metrics_and_repetitions_of_every_request() {
    with_each(|fixture, engine| {
        let job = job(fixture);
        let (ending, told) = run(engine, &job);
        assert!(told.phases > 0, "{}", fixture.name);
        for repetition in &told.repetitions {
            check_repetition(fixture, &job, repetition);
        }
        assert_eq!(ending, Ending::measured(), "{}", fixture.name);
        for index in 0..job.workload.requests.len() {
            let index = u32::try_from(index).unwrap();
            let mine: Vec<_> = told.repetitions.iter().filter(|one| one.request == Some(index)).collect();
            assert!(mine.len() >= job.protocol.repetitions as usize, "{}: request {index}", fixture.name);
        }
    });
}

fn check_repetition(fixture: &Fixture, job: &Job, repetition: &Repetition) {
    let name = fixture.name;
    assert!(repetition.duration.is_finite() && repetition.duration > 0.0, "{name}: {repetition:?}");
    assert!(repetition.started > 1.5e9, "{name}: {repetition:?}");
    for sample in &repetition.samples {
        let declared = fixture.specification.metrics.iter().map(|metric| metric.name.as_str());
        let mut known = METRICS.iter().map(|metric| metric.name).chain(declared);
        assert!(known.any(|known| known == sample.metric), "{name}: {}", sample.metric);
        assert!(!sample.values.is_empty(), "{name}: {}", sample.metric);
        let sound = |value: &f64| value.is_finite() && *value >= 0.0;
        assert!(sample.values.iter().all(sound), "{name}: {sample:?}");
    }
    let Some(request) = repetition.request.map(|index| job.workload.requests[index as usize]) else { return };
    for metric in [metric::PREFILL, metric::DECODE] {
        assert!(
            repetition.value(metric).is_some_and(|rate| rate > 0.0),
            "{name}: {metric} of {}",
            request.label()
        );
    }
    let gaps = repetition.values(metric::INTER_TOKEN).len();
    assert!(gaps == 0 || gaps == request.generate as usize - 1, "{name}: {gaps} gaps");
}

#[test]
fn what_is_refused_has_a_cause_and_the_next_job_runs() {
    with_each(|fixture, engine| {
        let mut refused = job(fixture);
        refused.configuration = Configuration::new()
            .with("cache-type-v", Value::Text("q8_0".to_string()))
            .with("flash-attention", Value::Text("off".to_string()));
        let (ending, _) = run(engine, &refused);
        assert_eq!(ending.outcome, Outcome::Rejected, "{}: {ending:?}", fixture.name);
        assert!(!ending.cause.is_empty(), "{}", fixture.name);
        let (ending, _) = run(engine, &job(fixture));
        assert_eq!(ending, Ending::measured(), "{}", fixture.name);
    });
}

#[test]
fn the_users_stop_and_the_sinks_end_are_obeyed() {
    with_each(|fixture, engine| {
        let stop = Stop::default();
        stop.set();
        let ending = engine.run(&job(fixture), &stop, &mut |_| Control::Continue);
        assert_eq!(ending.outcome, Outcome::Cancelled, "{}", fixture.name);
        let pruned = Ending::new(Outcome::Pruned, "enough");
        let ending = engine.run(&job(fixture), &Stop::default(), &mut |event| match event {
            Event::Measured(_) => Control::End(pruned.clone()),
            _ => Control::Continue,
        });
        assert_eq!(ending, pruned, "{}", fixture.name);
        let (ending, _) = run(engine, &job(fixture));
        assert_eq!(ending, Ending::measured(), "{}", fixture.name);
    });
}

#[test]
fn a_trial_ends_with_its_deadline() {
    with_each(|fixture, engine| {
        let mut hasty = job(fixture);
        hasty.deadlines.trial = 1e-4;
        hasty.workload = Workload::single("long", Request::new(256, 200));
        let started = Instant::now();
        let (ending, _) = run(engine, &hasty);
        assert_eq!(ending.outcome, Outcome::TimedOut, "{}: {ending:?}", fixture.name);
        assert!(started.elapsed() < Duration::from_secs(20), "{}", fixture.name);
    });
}

#[test]
fn whoever_scores_no_texts_says_so_as_the_table_does() {
    let windowing = Windowing { rule: WindowRule::EveryPosition, context: 64 };
    let nothing =
        Evaluation { reference: None, candidates: Vec::new(), texts: Vec::new(), windowing, recording: None };
    with_each(|fixture, engine| {
        let opened = engine
            .open_evaluation(&job(fixture), &nothing, &Stop::default(), &mut |_| Control::Continue)
            .unwrap_err();
        assert_eq!(opened.outcome, Outcome::Rejected, "{}: {opened:?}", fixture.name);
        let lacking = opened.cause.contains("shows no logits");
        assert_ne!(lacking, scores(&engine.identity().kind), "{}: {opened:?}", fixture.name);
    });
}

#[test]
fn a_workload_without_requests_is_refused() {
    with_each(|fixture, engine| {
        let mut empty = job(fixture);
        empty.workload.requests.clear();
        assert_eq!(run(engine, &empty).0.outcome, Outcome::Rejected, "{}", fixture.name);
    });
}

#[test]
fn identity_and_devices_stay_the_same() {
    with_each(|fixture, engine| {
        let identity = engine.identity().clone();
        assert!(!identity.kind.is_empty() && !identity.build.is_empty(), "{}: {identity:?}", fixture.name);
        let devices = engine.devices().unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        assert!(devices.iter().all(|device| !device.name.is_empty()), "{}", fixture.name);
        run(engine, &job(fixture));
        assert_eq!(*engine.identity(), identity, "{}", fixture.name);
    });
}
