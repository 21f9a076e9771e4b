use super::*;
use gguflab_types::knob::find;
use gguflab_types::{Deadlines, Protocol, Value};

fn engine(target: &str) -> Box<dyn Engine> {
    let specification = EngineSpecification {
        kind: "simulated".to_string(),
        target: Some(target.to_string()),
        ..EngineSpecification::default()
    };
    open(&specification).unwrap()
}

fn job(settings: &str, request: Request) -> Job {
    let set = |made: Configuration, part: &str| {
        let (name, value) = part.split_once('=').unwrap();
        made.with(name, find(name).unwrap().check(&Value::parse(value)).unwrap())
    };
    Job {
        model: "simulated.gguf".into(),
        configuration: settings.split_whitespace().fold(Configuration::new(), set),
        workload: Workload::single("test", request),
        protocol: Protocol::default(),
        deadlines: Deadlines::default(),
        memory_limit: None,
    }
}

fn run(engine: &mut dyn Engine, job: &Job) -> (Ending, Vec<Repetition>) {
    let mut repetitions = Vec::new();
    let mut sink = |event| {
        if let Event::Measured(repetition) = event {
            repetitions.push(*repetition);
        }
        Control::Continue
    };
    let ending = engine.run(job, &Stop::default(), &mut sink);
    (ending, repetitions)
}

#[test]
fn equal_engines_tell_equal_stories_and_other_seeds_other_ones() {
    let story = |target: &str| {
        let mut engine = engine(target);
        let first = run(&mut *engine, &job("threads=2", Request::new(64, 16)));
        let second = run(&mut *engine, &job("threads=2", Request::new(64, 16)));
        assert_ne!(first, second, "two visits are two draws");
        (first, second)
    };
    assert_eq!(story("laptop"), story("laptop"));
    assert_ne!(story("laptop"), story("laptop,seed=1"));
}

#[test]
fn without_noise_it_measures_the_truth() {
    for (preset, settings) in [("laptop", "threads=2"), ("gpu", "gpu-layers=20"), ("moe", ""), ("flat", "")] {
        for request in
            [Request::new(128, 32), Request::new(0, 16), Request { concurrency: 4, ..Request::new(64, 8) }]
        {
            let job = job(settings, request);
            let (ending, repetitions) = run(&mut *engine(&format!("{preset},noise=0")), &job);
            assert_eq!(ending, Ending::measured());
            let truth = true_seconds(preset, &job.configuration, &job.workload).unwrap();
            let measured = repetitions.last().unwrap().value(metric::REQUEST).unwrap();
            assert!((measured / truth - 1.0).abs() < 1e-9, "{preset} {settings}: {measured} {truth}");
        }
    }
}

#[test]
fn prefill_decode_and_gaps_agree_with_the_request() {
    let request = Request { concurrency: 2, ..Request::new(64, 33) };
    let (_, repetitions) = run(&mut *engine("laptop"), &job("", request));
    let last = repetitions.last().unwrap();
    let value = |name| last.value(name).unwrap();
    let gaps = last.values(metric::INTER_TOKEN);
    assert_eq!(gaps.len(), 32);
    let decoding: f64 = gaps.iter().sum();
    assert!((value(metric::DECODE) - 64.0 / decoding).abs() < 1e-9);
    assert!((value(metric::PREFILL) - 128.0 / value(metric::FIRST_TOKEN)).abs() < 1e-9);
    assert!((value(metric::REQUEST) - value(metric::FIRST_TOKEN) - decoding).abs() < 1e-9);
    assert_eq!((value(metric::TOKENS_ASKED), value(metric::TOKENS_PRODUCED)), (66.0, 66.0));
    assert_eq!(last.duration, value(metric::REQUEST));
}

#[test]
fn the_model_is_loaded_again_only_when_it_has_to_be() {
    let mut engine = engine("laptop");
    let request = Request::new(16, 4);
    let mut loads = |settings: &str, cold: bool| {
        let mut job = job(settings, request);
        job.protocol.cold = cold;
        let (_, repetitions) = run(&mut *engine, &job);
        let whole = &repetitions[0];
        assert_eq!(whole.request, None);
        assert!(whole.value(metric::CONTEXT).is_some());
        (whole.value(metric::LOAD).is_some(), whole.value(metric::LOAD_COLD).is_some())
    };
    assert_eq!(loads("", false), (true, false));
    assert_eq!(loads("threads=2", false), (false, false));
    assert_eq!(loads("repack=off", false), (true, false));
    assert_eq!(loads("repack=off", true), (false, true));
}

#[test]
fn disturbed_repetitions_are_flagged_and_repeated() {
    let mut engine = engine("laptop,seed=3");
    let (mut flagged, mut repeated) = (0, 0);
    for _ in 0..100 {
        let (ending, repetitions) = run(&mut *engine, &job("", Request::new(16, 4)));
        assert_eq!(ending, Ending::measured());
        let noisy = repetitions.iter().filter(|repetition| repetition.noisy.is_some()).count();
        flagged += noisy;
        repeated += repetitions.len() - 1 - 3;
        assert!(repetitions.iter().filter(|repetition| repetition.request.is_some()).count() <= 3 + 2);
    }
    assert!(flagged >= 3 && repeated >= 3, "{flagged} {repeated}");
}

#[test]
fn failures_end_the_trial_and_the_next_one_runs() {
    let mut engine = engine("hostile");
    let request = Request::new(64, 8);
    for (settings, outcome, measured_before) in [
        ("ubatch=1024", Outcome::OutOfMemory, false),
        ("batch=4096", Outcome::TimedOut, true),
        ("threads=8 flash-attention=off", Outcome::Crashed, true),
        ("load-mode=mlock", Outcome::Rejected, false),
    ] {
        let (ending, repetitions) = run(&mut *engine, &job(settings, request));
        assert_eq!(ending.outcome, outcome, "{settings}");
        assert!(!ending.cause.is_empty());
        assert_eq!(repetitions.iter().any(|one| one.request.is_some()), measured_before, "{settings}");
        let configuration = job(settings, request).configuration;
        assert_eq!(true_seconds("hostile", &configuration, &Workload::single("test", request)), None);
        assert_eq!(run(&mut *engine, &job("", request)).0, Ending::measured());
    }
}

#[test]
fn deadlines_hold_in_virtual_time() {
    let mut slow = job("", Request::new(512, 64));
    slow.deadlines.repetition = 0.5;
    assert_eq!(run(&mut *engine("laptop"), &slow).0.outcome, Outcome::TimedOut);
    slow.deadlines.repetition = 1e6;
    slow.deadlines.trial = 3.0;
    let (ending, _) = run(&mut *engine("laptop,speed=0.5"), &slow);
    assert_eq!(ending.outcome, Outcome::TimedOut);
}

#[test]
fn the_scene_says_what_the_knobs_depend_on() {
    for preset in PRESETS {
        let mut engine = engine(preset.name);
        assert!(engine.identity().build.contains(preset.name));
        let devices = engine.devices().unwrap();
        assert_eq!(devices.len(), usize::from(preset.graphics.is_some()));
        let scene = engine.scene().unwrap();
        assert_eq!(scene.machine.cpu.physical_cores, preset.cores);
        assert_eq!(scene.layers, preset.layers);
        assert!(scene.model.fingerprint.contains(preset.name));
    }
}
