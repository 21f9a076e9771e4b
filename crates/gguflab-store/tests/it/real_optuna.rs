//! The real Optuna and the real optuna-dashboard on files of ours.

use crate::support::{begin, new_study, place, repetition, run, store_with_study};
use gguflab_store::{Claimed, NewStudy, NewTrial, Objective, Store, StudyId};
use gguflab_types::metric::Direction;
use gguflab_types::{Configuration, Ending, Outcome, Purpose};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const LOOK: &str = include_str!("python/look.py");
const GO_ON: &str = include_str!("python/go_on.py");
const DASHBOARD: &str = include_str!("python/dashboard.py");
const CLAIM: &str = include_str!("python/claim.py");
const UPGRADE: &str = include_str!("python/upgrade.py");

/// The Python that has Optuna; without it a test cannot run: said so, and under CI a failure.
fn interpreter() -> Option<PathBuf> {
    let path = std::env::var_os("GGUFLAB_PYTHON").map(PathBuf::from).filter(|path| path.is_file());
    if path.is_none() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "GGUFLAB_PYTHON has to name a file in CI: run `cargo xtask test`");
        eprintln!("not run: GGUFLAB_PYTHON names no file (`cargo xtask test` sets it)");
    }
    path
}

fn start(python: &Path, script: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(python);
    command.args(["-W", "ignore", "-c", script]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn output(child: Child) -> String {
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    String::from_utf8(ended.stdout).unwrap()
}

fn python(python: &Path, script: &str, arguments: &[&str]) -> String {
    output(start(python, script, arguments))
}

fn look(interpreter: &Path, path: &Path, study: &str) -> Json {
    serde_json::from_str(&python(interpreter, LOOK, &[path.to_str().unwrap(), study])).unwrap()
}

/// A study with a trial of every kind.
fn every_kind(path: &Path) -> (Store, StudyId) {
    let (mut store, study) = store_with_study(path);
    run(&mut store, study, 1);
    let infinite = begin(&mut store, study, 2);
    store.finish_trial(&infinite, &Ending::measured(), Some(&[f64::INFINITY]), 1.0).unwrap();
    let pruned = begin(&mut store, study, 2);
    for (step, value) in [(0, 1.5), (1, f64::NAN), (2, 2.5)] {
        store.append_intermediate(&pruned, step, value).unwrap();
    }
    store.finish_trial(&pruned, &Ending::new(Outcome::Pruned, "cannot win"), None, 1.0).unwrap();
    let failed = begin(&mut store, study, 7);
    store.finish_trial(&failed, &Ending::new(Outcome::OutOfMemory, "too large"), None, 1.0).unwrap();
    begin(&mut store, study, 4);
    (store, study)
}

#[test]
fn real_optuna_and_its_dashboard_show_our_study() {
    let Some(interpreter) = interpreter() else { return };
    let (_folder, path) = place();
    let (store, _) = every_kind(&path);
    let seen = look(&interpreter, &path, "tune");
    assert_eq!((&seen["metrics"], &seen["directions"]), (&json!(["decode"]), &json!(["MAXIMIZE"])));
    let column = |name: &str| -> Vec<Json> {
        seen["trials"].as_array().unwrap().iter().map(|trial| trial[name].clone()).collect()
    };
    assert_eq!(column("number"), [0, 1, 2, 3, 4].map(Json::from));
    assert_eq!(column("state"), ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING"].map(Json::from));
    let values = [json!(["1.0"]), json!(["inf"]), json!(["2.5"]), Json::Null, Json::Null];
    assert_eq!(column("values"), values);
    assert_eq!(column("intermediate")[2], json!({"0": "1.5", "1": "nan", "2": "2.5"}));
    assert_eq!(column("params")[0], json!({"threads": 1, "flash-attention": "auto", "repack": "auto"}));
    let threads = &column("distributions")[0]["threads"];
    assert_eq!(threads, "CategoricalDistribution(choices=(1, 2, 4, 'auto'))");
    assert_eq!(column("attributes")[3]["cause"], "too large");
    store.close().unwrap();

    let shown: Json =
        serde_json::from_str(&python(&interpreter, DASHBOARD, &[path.to_str().unwrap()])).unwrap();
    assert_eq!(shown["list"]["study_summaries"][0]["study_name"], "tune");
    let trials = shown["study"]["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 5);
    assert_eq!((&trials[2]["state"], &trials[4]["state"]), (&json!("Pruned"), &json!("Running")));
    assert_eq!(shown["study"]["objective_names"], json!(["decode"]), "{}", shown["study"]);
}

#[test]
fn real_optuna_goes_on_with_our_studies_and_we_with_its_trials() {
    let Some(interpreter) = interpreter() else { return };
    let (_folder, path) = place();
    let (mut store, one) = every_kind(&path);
    let objectives = [("decode", Direction::Higher), ("memory", Direction::Lower)];
    let objectives = objectives.map(|(metric, direction)| Objective { metric: metric.into(), direction });
    let two = NewStudy { objectives: objectives.to_vec(), ..new_study("two") };
    let two = store.create_study(&two).unwrap();
    for threads in [1, 2] {
        let trial = begin(&mut store, two, threads);
        store.append_repetition(&trial, &repetition(0)).unwrap();
        store.finish_trial(&trial, &Ending::measured(), Some(&[20.0, 1e9]), 1.0).unwrap();
    }
    for (name, id, before, objectives) in [("tune", one, 5, 1), ("two", two, 2, 2)] {
        python(&interpreter, GO_ON, &[path.to_str().unwrap(), name, "4"]);
        let trials = store.trials(id).unwrap();
        let foreign: Vec<_> = trials.iter().filter(|trial| trial.purpose == Purpose::Foreign).collect();
        assert_eq!(
            foreign.iter().map(|trial| trial.number).collect::<Vec<_>>(),
            Vec::from_iter(before..before + 4)
        );
        for (index, trial) in foreign.iter().enumerate() {
            assert_eq!(trial.told, vec![4.0 + index as f64; objectives]);
            assert!(trial.repetitions.is_empty() && trial.duration.is_some());
        }
        assert_eq!(begin(&mut store, id, 2).number(), before + 4, "and we go on");
        python(&interpreter, GO_ON, &[path.to_str().unwrap(), name, "1"]);
        let seen = look(&interpreter, &path, name);
        assert_eq!(seen["trials"].as_array().unwrap().len() as u32, before + 6);
    }
}

#[test]
fn real_optuna_and_we_give_no_number_twice() {
    const OURS: u32 = 60;
    const THEIRS: u32 = 20;
    let Some(interpreter) = interpreter() else { return };
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    run(&mut store, study, 1);
    let mut worker = start(&interpreter, GO_ON, &[path.to_str().unwrap(), "tune", &THEIRS.to_string()]);
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert_eq!(first, "1", "it is under way");
    let mut numbers: Vec<u32> = (0..OURS).map(|_| run(&mut store, study, 2)).collect();
    numbers.extend(lines.map(|line| line.unwrap().parse::<u32>().unwrap()));
    output(worker);
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(distinct, (2..1 + OURS + THEIRS).collect(), "{numbers:?}");
    assert_eq!(store.trials(study).unwrap().len() as u32, 1 + OURS + THEIRS);
}

#[test]
fn what_real_optuna_enqueued_is_run_once_whoever_takes_it() {
    const COUNT: usize = 24;
    let Some(interpreter) = interpreter() else { return };
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    run(&mut store, study, 1);
    let mut other = start(&interpreter, CLAIM, &[path.to_str().unwrap(), "tune", &COUNT.to_string()]);
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    writeln!(other.stdin.as_mut().unwrap()).unwrap();
    let mut numbers = Vec::new();
    loop {
        let mut fill = |fixed: &Configuration| {
            assert!(fixed.integer("threads").is_some() && fixed.integer("note").is_some(), "{fixed}");
            let (configuration, purpose, meant) = (fixed.clone(), Purpose::Enqueued, Configuration::new());
            Ok(NewTrial { configuration, purpose, round: 0, meant })
        };
        let Claimed { trial: Some((handle, _)), .. } = store.claim_waiting(study, &mut fill).unwrap() else {
            break;
        };
        store.finish_trial(&handle, &Ending::measured(), Some(&[1.0]), 0.1).unwrap();
        numbers.push(handle.number());
    }
    assert!(!numbers.is_empty(), "we took some");
    numbers.extend(lines.map(|line| line.unwrap().parse::<u32>().unwrap()));
    output(other);
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(1..=COUNT as u32));
}

#[test]
fn the_command_that_we_name_upgrades_an_earlier_file() {
    let Some(interpreter) = interpreter() else { return };
    let (_folder, path) = place();
    python(&interpreter, UPGRADE, &[path.to_str().unwrap()]);
    let refused = Store::open(&path).map(|_| ()).unwrap_err().to_string();
    let command = refused.split('`').nth(1).unwrap();
    assert!(command.starts_with("optuna storage upgrade --storage sqlite:///"), "{refused}");
    python(&interpreter, UPGRADE, &[path.to_str().unwrap(), command]);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.studies().unwrap().len(), 1);
}
