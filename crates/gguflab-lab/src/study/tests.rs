use super::*;

/// Settings as the first version wrote them.
const FIRST: &str = r#"{"version": 1, "workload": {"name": "chat", "requests": []}, "objective": "time",
    "protocol": PROTOCOL, "baseline": {}, "sampler": "auto", "runs": 40, "seconds": null, "margin": 0.01, "seed": 42,
    "layers": 24, "experts": 0}"#;

fn first() -> serde_json::Value {
    let protocol = serde_json::to_string(&Protocol::default()).unwrap();
    serde_json::from_str(&FIRST.replace("PROTOCOL", &protocol)).unwrap()
}

#[test]
fn studies_of_the_first_version_still_open() {
    let settings: StudySettings = serde_json::from_value(first()).unwrap();
    assert_eq!((settings.pruner.as_str(), settings.version), ("none", SETTINGS_VERSION));
    assert!(settings.objectives.is_empty() && settings.requirements.is_empty());
    assert!(settings.tie_break.is_none() && settings.metrics.is_empty());
    // What is written now for the same job differs in nothing that counts.
    let written = serde_json::to_value(&settings).unwrap();
    let differing =
        written.as_object().unwrap().iter().filter(|(name, value)| first().get(name.as_str()) != Some(value));
    let names: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| CHANGEABLE.contains(name)), "{names:?}");
}
