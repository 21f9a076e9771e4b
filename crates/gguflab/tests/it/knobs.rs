//! Every knob can be set from the command line and reaches the engine.

use crate::support::Place;
use gguflab_lab::bench::Record;
use gguflab_lab::{EngineSpecification, open};
use gguflab_types::knob::{Domain, Facts};
use gguflab_types::{KNOBS, Knob, Outcome, Request, Value, Workload};

#[test]
fn every_knob_of_the_table_on_simulated_machines() {
    let place = Place::new();
    for preset in ["gpu", "moe"] {
        let facts = facts(preset);
        for knob in KNOBS {
            for value in values(knob, &facts) {
                simulated(&place, preset, knob, &value, &facts);
            }
        }
    }
}

fn simulated(place: &Place, preset: &str, knob: &Knob, value: &Value, facts: &Facts) {
    let line = format!(
        "bench --engine simulated={preset} --visits 1 -r 1 --prompt 1024 --generate 4 -q --record {{}}/r.json \
         --set {}={value}",
        knob.name
    );
    if !knob.condition.holds(facts) && *value != Value::Auto {
        place.check(&line, 2, knob.condition.need());
        return;
    }
    let ended = place.run(&line);
    let record: Record =
        serde_json::from_str(&place.read("r.json")).unwrap_or_else(|error| panic!("{error}: {ended}"));
    let ending = record.trials[0].ending.as_ref().unwrap();
    // Graphics memory is small on these machines; everything else runs.
    let full = ending.outcome == Outcome::OutOfMemory && ending.cause.starts_with("SIM0");
    assert!(ending.outcome == Outcome::Measured || full, "{line}: {ending:?}");
    assert_eq!(ended.status.code(), Some(i32::from(full)), "{line}: {ended}");
    let written = record.configuration.get(knob.name);
    assert!(written == value || *written == Value::Auto, "{line}: {written}");
}

fn facts(preset: &str) -> Facts {
    let specification = EngineSpecification::parse(&format!("simulated={preset}"), "worker".into()).unwrap();
    let engine = open(&specification).unwrap();
    let scene = engine.scene().unwrap();
    let workload = Workload::single("same", Request::new(1024, 4));
    scene.machine.facts(scene.layers, scene.experts, &workload)
}

/// Candidates and default; all words of a list, since some are not searched.
fn values(knob: &Knob, facts: &Facts) -> Vec<Value> {
    let mut values = knob.candidates(facts);
    values.push(knob.default(facts));
    match knob.domain {
        Domain::Word(words) => values.extend(words.iter().map(|word| Value::Text((*word).to_string()))),
        Domain::Text(_) if knob.name == "tensor-split" => values.push(Value::Text("3/1".to_string())),
        Domain::Text(_) => values.push(Value::Text("ffn_.*=CPU".to_string())),
        Domain::Switch => values.extend([Value::Switch(true), Value::Switch(false)]),
        Domain::Number(low, _) => values.push(Value::Number(low)),
        Domain::Choice(words) => values.extend(words.iter().cloned()),
        Domain::Integer(low, _) => values.push(Value::Integer(low)),
    }
    values.sort_by_key(Value::to_string);
    values.dedup();
    values
}

#[test]
fn processor_knobs_through_the_real_worker() {
    let place = Place::with_model();
    let caches = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"];
    let caches = caches.map(|name| format!("cache-type-k={name} --set cache-type-v={name}"));
    let others = [
        "threads=auto",
        "threads-batch=1",
        "batch=8",
        "batch=32 --set ubatch=batch/4",
        "ubatch=4",
        "flash-attention=on",
        "flash-attention=off",
        "flash-attention=auto",
        "load-mode=none",
        "load-mode=mmap",
        "load-mode=mlock",
        "load-mode=mmap+mlock",
        "load-mode=dio",
        "repack=on",
        "repack=off",
        "tensor-overrides=ffn_.*=CPU",
        "rope-scaling=linear --set rope-freq-scale=0.5",
        "rope-scaling=yarn",
        "rope-freq-base=20000",
    ];
    for set in caches.iter().map(String::as_str).chain(others) {
        let threads = if set.starts_with("threads=") { "" } else { "--set threads=1" };
        let line = format!(
            "bench tiny.gguf --visits 1 -r 1 --prompt 16 --generate 4 -q --record {{}}/r.json {threads} --set {set}"
        );
        place.check(&line, 0, "decode");
        let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
        let ending = record.trials[0].ending.as_ref().unwrap();
        assert_eq!(ending.outcome, Outcome::Measured, "{set}: {ending:?}");
    }
}
