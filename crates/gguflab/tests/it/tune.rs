//! `tune` and what is done with its study, on the simulated engine.

use crate::support::Place;
use gguflab_types::{Configuration, Outcome, Purpose, Trial};

/// What a search did: why, which round, which configuration.
fn steps(trials: &[Trial]) -> Vec<(Purpose, u32, Configuration)> {
    trials.iter().map(|trial| (trial.purpose, trial.round, trial.configuration.clone())).collect()
}

#[test]
fn a_tune_ends_with_a_verdict_that_can_be_shown_again() {
    let place = Place::new();
    let tune = "tune --engine simulated=laptop --study s --store {}/s.db --workload long-prompt";
    let ended = place.check(&format!("{tune} --json --report {{}}/r.html"), 0, "llama-server");
    let verdict = ended.json()["document"]["blocks"][0]["text"].as_str().unwrap().to_string();
    assert!(verdict.contains("interval"), "{verdict}");
    assert!(ended.talk.contains("study `s` in") && !ended.output.contains("study `s` in"), "{ended}");
    assert!(place.read("r.html").contains("<svg"), "the report has charts");
    assert!(!place.path("s.db-wal").exists(), "everything is in the one file that people copy");
    let trials = place.trials("s.db", "s");
    assert!((20..=40).contains(&trials.len()), "{}", trials.len());
    assert!(
        trials.iter().all(|trial| trial.ending.as_ref().is_some_and(|one| one.outcome == Outcome::Measured))
    );

    let report = place.check("report s --store {}/s.db --json", 0, "llama-server").json();
    assert_eq!(report["document"]["blocks"][0]["text"], verdict.as_str());
    place.check("report s --store {}/s.db --output {}/again.html", 0, "");
    assert!(place.read("again.html").contains("<svg"));
    place.check("study list --store {}/s.db", 0, "simulated laptop");
    place.check("study show s --store {}/s.db", 0, "race");
    place.check("study show s 0 --log --store {}/s.db", 0, "simulated: loaded the model in");
    let csv = place.check("export s --store {}/s.db", 0, "trial,purpose,round,outcome").output;
    assert_eq!(csv.trim_end().lines().count(), 1 + trials.len());
    let json = place.check("export s --store {}/s.db --format json", 0, "").json();
    let rows = json["document"]["blocks"][0]["rows"].as_array().map(Vec::len);
    assert_eq!(rows, Some(trials.len()));
    place.check("export s --store {}/s.db --output {}/s.csv", 0, "");
    assert_eq!(place.read("s.csv"), csv);

    place.check(tune, 0, "llama-server");
    assert_eq!(place.trials("s.db", "s"), trials, "a study that is over is only shown");
}

#[test]
fn a_dry_run_runs_nothing_and_leaves_nothing() {
    let place = Place::new();
    for (budget, preset) in [(1, "laptop"), (12, "laptop"), (40, "gpu"), (200, "moe")] {
        let line = format!(
            "tune --engine simulated={preset} --budget-runs {budget} --store {{}}/s.db --dry-run --json"
        );
        let blocks = place.check(&line, 0, "baseline").json()["document"]["blocks"].clone();
        let table = blocks.as_array().unwrap().iter().find(|block| block["block"] == "table").unwrap();
        let count = table["rows"].as_array().unwrap().len();
        assert!((1..=budget).contains(&count), "{count} trials of {budget}");
    }
    assert!(!place.path("s.db").exists());
    assert!(!place.path("home/gguflab").exists());
}

#[test]
fn the_same_seed_gives_the_same_search() {
    let place = Place::new();
    for (store, seed) in [("a.db", 7), ("b.db", 7), ("c.db", 8)] {
        let line = format!("tune --engine simulated=gpu --study s --store {{}}/{store} --seed {seed} -q");
        place.check(&line, 0, "default");
    }
    let [first, second, other] = ["a.db", "b.db", "c.db"].map(|store| steps(&place.trials(store, "s")));
    assert_eq!(first, second);
    assert_ne!(first, other, "the order within the race's rounds comes from the seed");
}

#[test]
fn where_nothing_matters_the_default_stays() {
    let place = Place::new();
    for seed in 0..5 {
        let line = format!(
            "tune --engine simulated=flat,seed={seed} --study {seed} --store {{}}/s.db -q --budget-runs 30"
        );
        place.check(&line, 0, "keep llama.cpp's defaults");
    }
}

#[test]
fn failures_are_outcomes_with_causes() {
    let place = Place::new();
    // The whole grid, so that each region of failures is met whatever a search would prefer.
    let line = "tune --engine simulated=hostile --study s --store {}/s.db --workload long-prompt --budget-runs 60 \
                --sampler grid --only threads,batch,ubatch,flash-attention --knob threads=2,4,8 \
                --knob batch=512,2048,4096 --knob ubatch=512,1024 --knob flash-attention=auto,off";
    place.check(line, 0, "default");
    let trials = place.trials("s.db", "s");
    let failed = |outcome: Outcome| {
        let endings = trials.iter().filter_map(|trial| trial.ending.as_ref());
        let causes: Vec<_> =
            endings.filter(|ending| ending.outcome == outcome).map(|ending| &ending.cause).collect();
        assert!(causes.iter().all(|cause| !cause.is_empty()), "{outcome}");
        causes.len()
    };
    let counts = [Outcome::OutOfMemory, Outcome::Crashed, Outcome::TimedOut].map(failed);
    assert!(counts.iter().all(|count| *count > 0), "out of memory, crashed, timed out: {counts:?}");
    place.check("export s --store {}/s.db", 0, "killed by signal 11");

    let hopeless =
        "tune --engine simulated=hostile --store {}/s.db --baseline load-mode=mlock --only threads -q";
    place.check(hopeless, 1, "every trial failed, most as rejected: memory cannot be locked");
}

#[test]
fn a_study_takes_no_other_subject_and_no_other_settings() {
    let place = Place::new();
    let tune = |engine: &str, extra: &str, code: i32, words: &str| {
        let line = format!("tune --engine {engine} --study s --store {{}}/s.db --budget-runs 8 {extra}");
        place.check(&line, code, words);
    };
    tune("simulated=laptop", "--resume", 1, "there is no study `s`");
    assert!(!place.path("s.db").exists(), "--resume makes no file");
    tune("simulated=laptop", "", 0, "default");
    let before = place.trials("s.db", "s");
    tune("simulated=gpu", "", 1, "model fingerprint: there `simulated:laptop`, here `simulated:gpu`");
    tune("simulated=laptop,speed=2", "", 1, "engine build");
    tune("simulated=laptop", "--env A=1", 1, "engine environment");
    tune("simulated=laptop", "--wrapper env", 1, "engine wrapper");
    for (extra, difference) in [
        ("--seed 3", "seed"),
        ("--margin 0.05", "margin"),
        ("--objective decode", "objective"),
        ("--workload batch", "workload"),
        ("--only threads", "the knobs that are searched"),
        ("--baseline threads=2", "baseline"),
        ("-r 2", "protocol"),
    ] {
        tune("simulated=laptop", extra, 1, difference);
    }
    tune("simulated=laptop", "--study t --resume", 2, "cannot be used multiple times");
    assert_eq!(place.trials("s.db", "s"), before);
}

#[test]
fn a_larger_budget_goes_on_where_the_study_ended() {
    let place = Place::new();
    let mut before = Vec::new();
    for budget in [6, 8, 10] {
        let line =
            format!("tune --engine simulated=laptop --study s --store {{}}/s.db --budget-runs {budget} -q");
        place.check(&line, 0, "default");
        let trials = place.trials("s.db", "s");
        assert!(trials.len() > before.len() && trials.len() <= budget, "{} of {budget}", trials.len());
        assert_eq!(trials[..before.len()], before[..], "what was measured stays");
        before = trials;
    }
}

#[test]
fn a_budget_of_time_ends_the_search() {
    let place = Place::new();
    // A trial takes 4.5 s of virtual time here.
    place.check(
        "tune --engine simulated=laptop --study s --store {}/s.db --budget-time 60s -q",
        0,
        "default",
    );
    let trials = place.trials("s.db", "s");
    let spent: f64 = trials.iter().filter_map(|trial| trial.duration).sum();
    assert!((20.0..=70.0).contains(&spent), "{spent} s in {} trials", trials.len());
}

#[test]
fn a_tune_of_a_real_model_with_the_default_store() {
    let place = Place::with_model();
    let line = "tune tiny.gguf --only flash-attention,repack --baseline threads=1 --prompt 16 --generate 8 \
                --budget-runs 9 -q";
    place.check(line, 0, "llama-server");
    let store = place.path("home/gguflab/studies.db");
    assert!(store.is_file(), "the store lies in the data folder of the user");
    let list = place.check("study list --json", 0, "tiny-llama").json();
    assert_eq!(list["document"]["blocks"][0]["rows"].as_array().map(Vec::len), Some(1));
}
