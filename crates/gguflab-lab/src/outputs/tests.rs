//! The check of outputs on a real engine.

use super::*;
use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};

/// What a variable names; under `CI=true` it has to be there.
fn named(variable: &str) -> Option<String> {
    let program = std::env::var(variable).unwrap_or_default();
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!required || !program.is_empty(), "{variable} has to name a program in CI");
    Some(program).filter(|program| !program.is_empty())
}

fn worker() -> Option<EngineSpecification> {
    let worker = named("GGUFLAB_WORKER")?;
    Some(EngineSpecification {
        kind: "embedded".to_string(),
        worker: worker.into(),
        ..EngineSpecification::default()
    })
}

fn settings(text: &str) -> Configuration {
    text.split_whitespace().fold(Configuration::new(), |made, part| {
        let (name, value) = part.split_once('=').unwrap();
        // The words of this knob are no switches.
        let word = name == "flash-attention";
        made.with(name, if word { Value::Text(value.to_string()) } else { Value::parse(value) })
    })
}

fn open(engine: &EngineSpecification, model: &Path) -> Laboratory {
    let workload = workload();
    Laboratory::prepare(&Parts { model: Some(model), engine, workload: &workload, cache: None }).unwrap()
}

#[test]
fn a_real_engine_says_the_same_twice_and_another_file_something_else() {
    let Some(engine) = worker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, model: &TinyModel| {
        let path = folder.path().join(name);
        write_tiny(&path, model).unwrap();
        path
    };
    let tiny = TinyModel { vocabulary: 512, ..TinyModel::new(TinyArchitecture::Llama) };
    let model = write("a.gguf", &tiny);
    let quantised =
        write("quantised.gguf", &TinyModel { weights: gguflab_format::TensorType::Q8_0, ..tiny.clone() });
    let perturbed = write("perturbed.gguf", &TinyModel { seed: 2, ..tiny.clone() });
    let wide = write("wide.gguf", &TinyModel { vocabulary: 600, ..tiny });
    let default = settings("threads=1");
    let mut laboratory = open(&engine, &model);
    let reference = Reference::read(&mut laboratory, &default, folder.path(), &Stop::default()).unwrap();
    let check = |laboratory: &mut Laboratory, text: &str| {
        reference.check(laboratory, &settings(text), &Stop::default())
    };
    let same = check(&mut laboratory, "threads=1");
    let evidence = same.evidence.unwrap();
    assert_eq!((same.verdict, evidence.divergence.maximum), (DriftVerdict::Same, 0.0), "{same:?}");
    assert_eq!(evidence.divergence.rows, 256);
    for text in ["threads=2", "threads=1 ubatch=16", "threads=1 flash-attention=off"] {
        let drift = check(&mut laboratory, text);
        assert_eq!(drift.verdict, DriftVerdict::Same, "{text}: {drift:?}");
    }
    for file in [&quantised, &perturbed] {
        let drift = check(&mut open(&engine, file), "threads=1");
        assert_eq!(drift.verdict, DriftVerdict::Drifted, "{}: {drift:?}", file.display());
    }
    let drift = check(&mut open(&engine, &wide), "threads=1");
    assert_eq!(drift.verdict, DriftVerdict::Drifted, "{drift:?}");
    assert!(drift.reason.contains("512 and 600 tokens"), "{drift:?}");
    let refused = check(&mut laboratory, "threads=1 cache-type-v=q8_0 flash-attention=off");
    assert_eq!(refused.verdict, DriftVerdict::Unchecked, "{refused:?}");
    // The worker lives on after all of that.
    assert_eq!(check(&mut laboratory, "threads=1").verdict, DriftVerdict::Same);
    drop(reference);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 4, "only the models are left");
}

fn server() -> Option<EngineSpecification> {
    let program = named("GGUFLAB_LLAMA_SERVER")?;
    Some(EngineSpecification {
        kind: "llama-server".to_string(),
        target: Some(program),
        ..EngineSpecification::default()
    })
}

#[test]
fn a_real_server_tells_enough_to_be_held_against_itself_and_against_logits() {
    let (Some(server), Some(engine)) = (server(), worker()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, model: &TinyModel| {
        let path = folder.path().join(name);
        write_tiny(&path, model).unwrap();
        path
    };
    // More tokens than a server tells.
    let tiny = TinyModel { vocabulary: 5000, ..TinyModel::new(TinyArchitecture::Llama) };
    let model = write("a.gguf", &tiny);
    let perturbed = write("perturbed.gguf", &TinyModel { seed: 2, ..tiny });
    let (stop, default) = (Stop::default(), settings("threads=1"));
    let mut served = open(&server, &model);
    let reference = Reference::read(&mut served, &default, folder.path(), &stop).unwrap();
    let same = reference.check(&mut served, &default, &stop);
    let evidence = same.evidence.unwrap();
    let divergence = evidence.divergence;
    assert_eq!(
        (same.verdict, divergence.rows, divergence.maximum),
        (DriftVerdict::Same, 76, 0.0),
        "{same:?}"
    );
    assert!(divergence.hidden() > 0.0 && same.reason.contains("of probability lies beyond"), "{same:?}");
    assert!(evidence.floor.rows == 76 && evidence.floor.largest_difference > 0.0, "{evidence:?}");
    let smaller = reference.check(&mut served, &settings("threads=1 ubatch=16"), &stop);
    assert_eq!(smaller.verdict, DriftVerdict::Same, "{smaller:?}");
    let other = reference.check(&mut open(&server, &perturbed), &default, &stop);
    assert_eq!(other.verdict, DriftVerdict::Drifted, "{other:?}");
    // The same model in our own engine, and the other way round.
    let mut own = open(&engine, &model);
    let found = reference.check(&mut own, &default, &stop);
    assert_eq!(found.verdict, DriftVerdict::Same, "{found:?}");
    let known = Reference::read(&mut own, &default, folder.path(), &stop).unwrap();
    let found = known.check(&mut served, &default, &stop);
    assert_eq!(
        (found.verdict, found.evidence.unwrap().divergence.rows),
        (DriftVerdict::Same, 256),
        "{found:?}"
    );
    let other = known.check(&mut open(&server, &perturbed), &default, &stop);
    assert_eq!(other.verdict, DriftVerdict::Drifted, "{other:?}");
}

#[test]
fn an_engine_without_logits_is_said_to_be_unchecked() {
    let engine = EngineSpecification {
        kind: "simulated".to_string(),
        target: Some("laptop".to_string()),
        ..EngineSpecification::default()
    };
    let workload = workload();
    let parts = Parts { model: None, engine: &engine, workload: &workload, cache: None };
    let mut laboratory = Laboratory::prepare(&parts).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let found = Reference::read(&mut laboratory, &Configuration::new(), folder.path(), &Stop::default());
    let unread = found.err().unwrap();
    assert_eq!(unread, Unread::Unavailable("simulated shows no logits".to_string()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_floor_is_read_in_batches_of_another_size() {
    for (text, expected) in [
        ("", "ubatch=43"),
        ("ubatch=512", "ubatch=43"),
        ("batch=64", "batch=64 ubatch=21"),
        ("ubatch=32 threads=4", "threads=4 ubatch=11"),
        ("ubatch=1", "batch=128 ubatch=128"),
        ("batch=2 ubatch=2", "batch=128 ubatch=128"),
    ] {
        assert_eq!(other_batches(&settings(text)).to_string(), expected, "{text}");
    }
}
