//! Optuna's tables: what it would read is what it expects, and what it writes is understood.

use crate::support::{begin, beside, execute, new_study, place, repetition, run, store_with_study, texts};
use gguflab_store::{Claimed, NewStudy, NewTrial, Objective, Store, StoreError};
use gguflab_types::metric::Direction;
use gguflab_types::{Configuration, Ending, Outcome, Purpose, Value};
use std::path::Path;

const PLAIN: &str = include_str!("../../src/schema/optuna.sql");

#[test]
fn a_file_of_plain_optuna_is_taken_over_after_a_backup() {
    let (_folder, path) = place();
    execute(&path, PLAIN);
    execute(&path, "INSERT INTO studies VALUES (1, 'theirs')");
    execute(&path, "INSERT INTO study_directions VALUES (1, 'MINIMIZE', 1, 0)");
    execute(&path, "INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', NULL, NULL)");
    execute(&path, "INSERT INTO trial_values VALUES (1, 1, 0, 2.5, 'FINITE')");
    let refused = Store::open_read_only(&path).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Older { found: 0, .. }), "{refused}");

    let mut store = Store::open(&path).unwrap();
    let listed = store.studies().unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].best, &listed[0].subject), ("theirs", Some(2.5), &None));
    let refused = store.find_study("theirs").unwrap_err();
    assert!(matches!(refused, StoreError::OtherStudy { .. }), "{refused}");
    let study = store.create_study(&new_study("ours")).unwrap();
    assert_eq!(run(&mut store, study, 1), 0);
    store.close().unwrap();

    assert_eq!(beside(&path), ["studies.sqlite", "studies.sqlite.backup-v0"]);
    let backup = path.with_file_name("studies.sqlite.backup-v0");
    assert_eq!(texts(&backup, "SELECT study_name FROM studies"), ["theirs"]);
    assert_eq!(texts(&backup, "SELECT name FROM sqlite_schema WHERE name LIKE 'gguflab%'"), [] as [&str; 0]);
}

#[test]
fn outcomes_become_states_and_values() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let cases: [(Outcome, Option<f64>, &str, &str); 9] = [
        (Outcome::Measured, Some(3.5), "COMPLETE", "3.5 FINITE"),
        (Outcome::Measured, Some(f64::INFINITY), "COMPLETE", "- INF_POS"),
        (Outcome::Measured, Some(f64::NEG_INFINITY), "COMPLETE", "- INF_NEG"),
        (Outcome::Measured, Some(f64::NAN), "FAIL", ""),
        (Outcome::Measured, None, "FAIL", ""),
        (Outcome::Pruned, Some(1.0), "PRUNED", "1.0 FINITE"),
        (Outcome::Pruned, None, "PRUNED", ""),
        (Outcome::OutOfMemory, Some(1.0), "FAIL", ""),
        (Outcome::Crashed, None, "FAIL", ""),
    ];
    for (outcome, value, _, _) in cases {
        let trial = begin(&mut store, study, 1);
        let values = value.map(|value| [value]);
        let ending = Ending::new(outcome, "a \"cause\"");
        store.finish_trial(&trial, &ending, values.as_ref().map(|values| &values[..]), 1.0).unwrap();
    }
    let states = texts(&path, "SELECT state FROM trials ORDER BY number");
    let values = texts(
        &path,
        "SELECT COALESCE(group_concat(COALESCE(value, '-') || ' ' || value_type), '') FROM trials t \
         LEFT JOIN trial_values v ON v.trial_id = t.trial_id GROUP BY t.trial_id ORDER BY t.trial_id",
    );
    let noted =
        texts(&path, "SELECT value_json FROM trial_user_attributes WHERE key = 'outcome' ORDER BY trial_id");
    for (place, (outcome, value, state, row)) in cases.into_iter().enumerate() {
        let found = (states[place].as_str(), values[place].as_str(), noted[place].clone());
        assert_eq!(found, (state, row, format!("\"{}\"", outcome.name())), "{outcome:?} {value:?}");
    }
    let causes = texts(&path, "SELECT DISTINCT value_json FROM trial_user_attributes WHERE key = 'cause'");
    assert_eq!(causes, [r#""a \"cause\"""#]);
    let read = store.trials(study).unwrap();
    assert!(cases.iter().zip(read).all(|(case, trial)| trial.ending.as_ref().unwrap().outcome == case.0));
}

#[test]
fn a_pruned_trial_ends_with_its_last_intermediate_value() {
    type Case<'a> = (&'a [(u32, f64)], usize, &'a [&'a str]);
    let cases: [Case<'_>; 5] = [
        (&[(0, 3.0), (2, 1.5), (1, 2.0)], 1, &["1.5 FINITE"]),
        (&[(0, 3.0), (1, f64::NEG_INFINITY)], 1, &["- INF_NEG"]),
        (&[(0, 3.0), (1, f64::NAN)], 1, &[]),
        (&[], 1, &[]),
        (&[(0, 3.0)], 2, &[]),
    ];
    for (steps, count, expected) in cases {
        let (_folder, path) = place();
        let mut store = Store::open(&path).unwrap();
        let objective = Objective { metric: "decode".into(), direction: Direction::Higher };
        let new = NewStudy { objectives: vec![objective; count], ..new_study("pruned") };
        let study = store.create_study(&new).unwrap();
        let trial = begin(&mut store, study, 1);
        for (step, value) in steps {
            store.append_intermediate(&trial, *step, *value).unwrap();
        }
        store.finish_trial(&trial, &Ending::new(Outcome::Pruned, "cannot win"), None, 1.0).unwrap();
        let values = "SELECT COALESCE(value, '-') || ' ' || value_type FROM trial_values";
        assert_eq!(texts(&path, values), expected, "{steps:?}");
        let kept =
            texts(&path, "SELECT intermediate_value_type FROM trial_intermediate_values ORDER BY step");
        assert_eq!(kept.len(), steps.len());
    }
}

#[test]
fn parameters_times_and_names_are_as_optuna_writes_them() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).unwrap();
    let objectives = [("decode", Direction::Higher), ("first-token", Direction::Lower)];
    let objectives = objectives.map(|(metric, direction)| Objective { metric: metric.into(), direction });
    let two = NewStudy { objectives: objectives.to_vec(), ..new_study("two") };
    let study = store.create_study(&two).unwrap();
    let trial = begin(&mut store, study, 4);
    store.finish_trial(&trial, &Ending::measured(), Some(&[1.0, 2.0]), 1.0).unwrap();
    let parameters = texts(
        &path,
        "SELECT param_name || ' ' || param_value || ' ' || distribution_json FROM trial_params ORDER BY param_id",
    );
    let distribution = |choices: &str| {
        format!(r#"{{"name":"CategoricalDistribution","attributes":{{"choices":{choices}}}}}"#)
    };
    let expected = [
        ("threads 2.0", r#"[1,2,4,"auto"]"#),
        ("flash-attention 0.0", r#"["auto","off"]"#),
        ("repack 2.0", r#"[true,false,"auto"]"#),
    ];
    assert_eq!(parameters, expected.map(|(value, choices)| format!("{value} {}", distribution(choices))));
    assert_eq!(
        texts(&path, "SELECT direction FROM study_directions ORDER BY objective"),
        ["MAXIMIZE", "MINIMIZE"]
    );
    assert_eq!(
        texts(&path, "SELECT key || ' ' || value_json FROM study_system_attributes"),
        [r#"study:metric_names ["decode","first-token"]"#]
    );
    let shape =
        "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]000";
    let well_formed = format!(
        "SELECT CAST(datetime_start GLOB '{shape}' AND datetime_complete GLOB '{shape}' AND heartbeat GLOB '{shape}' \
         AND abs(julianday('now') - julianday(datetime_start)) < 1 AS TEXT) \
         FROM trials JOIN trial_heartbeats USING (trial_id)"
    );
    assert_eq!(texts(&path, &well_formed), ["1"]);
    assert_eq!(
        texts(&path, "SELECT schema_version || ' ' || library_version FROM version_info"),
        ["12 5.0.0"]
    );
}

#[test]
fn trials_that_optuna_adds_to_our_study_are_read() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    run(&mut store, study, 1);
    execute(&path, "INSERT INTO trials VALUES (2, 1, 1, 'WAITING', NULL, NULL)");
    execute(
        &path,
        "INSERT INTO trials VALUES (3, 2, 1, 'FAIL', '2026-01-01 00:00:00', '2026-01-01 00:00:02.5')",
    );
    let numbers = |store: &mut Store| -> Vec<u32> {
        store.trials(study).unwrap().iter().map(|trial| trial.number).collect()
    };
    assert_eq!(numbers(&mut store), [0, 2], "nobody has begun the waiting one");
    execute(&path, "UPDATE trials SET state = 'COMPLETE' WHERE trial_id = 2");
    for (name, index, choices) in [
        ("threads", 1, "[1, 2, 4, \"auto\"]"),
        ("repack", 2, "[true, false, \"auto\"]"),
        ("mine", 1, "[null, 0.5]"),
    ] {
        let distribution =
            format!(r#"{{"name": "CategoricalDistribution", "attributes": {{"choices": {choices}}}}}"#);
        execute(
            &path,
            &format!(
                "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) \
                 VALUES (2, '{name}', {index}, '{distribution}')"
            ),
        );
    }
    let whole =
        r#"{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 9}}"#;
    execute(&path, &format!("INSERT INTO trial_params VALUES (99, 2, 'layers', 7.0, '{whole}')"));
    execute(&path, "INSERT INTO trial_values VALUES (99, 2, 0, 12.5, 'FINITE')");
    assert_eq!(numbers(&mut store), [0, 1, 2]);
    let added = store.trial(study, 1).unwrap().unwrap();
    assert_eq!(added.configuration.key(), "layers=7 mine=0.5 threads=2");
    assert_eq!(*added.configuration.get("layers"), Value::Integer(7));
    assert_eq!(added.ending.map(|ending| ending.outcome), Some(Outcome::Measured));
    assert_eq!((added.purpose, added.told.as_slice()), (Purpose::Foreign, &[12.5][..]));
    assert_eq!(added.repetitions, [], "it has no samples of ours");
    let failed = store.trial(study, 2).unwrap().unwrap();
    assert_eq!(failed.ending.map(|ending| ending.outcome), Some(Outcome::Cancelled));
    assert!((failed.duration.unwrap() - 2.5).abs() < 1e-3 && failed.repetitions.is_empty());
    assert_eq!(run(&mut store, study, 1), 3, "numbers go on behind theirs");
}

const RANGE: &str =
    r#"{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 9}}"#;
const CHOICES: &str = r#"{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 4, "auto"]}}"#;

/// A trial as another program adds it, with one parameter.
fn add_foreign(path: &Path, number: u32, parameter: (&str, f64, &str)) {
    let (name, value, distribution) = parameter;
    let id = number + 1;
    execute(path, &format!("INSERT INTO trials VALUES ({id}, {number}, 1, 'COMPLETE', NULL, NULL)"));
    execute(
        path,
        &format!(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES ({id}, '{name}', {value:?}, '{distribution}')"
        ),
    );
    execute(
        path,
        &format!(
            "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES ({id}, 0, 2.5, 'FINITE')"
        ),
    );
}

#[test]
fn what_does_not_go_together_is_an_error_and_not_a_guess() {
    let other_choices = CHOICES.replace("4, ", "");
    type Change<'a> = &'a dyn Fn(&Path);
    let cases: [(Change<'_>, &[&str]); 7] = [
        (
            &|path| add_foreign(path, 1, ("threads", 0.0, "not json")),
            &["damaged", "parameter threads of trial 1"],
        ),
        (&|path| add_foreign(path, 1, ("threads", 9.0, CHOICES)), &["threads of trial 1 has the value 9"]),
        (&|path| add_foreign(path, 1, ("layers", 2.5, RANGE)), &["layers of trial 1 has the value 2.5"]),
        (
            &|path| add_foreign(path, 1, ("threads", 0.0, &other_choices)),
            &["`threads`", "dynamic value space"],
        ),
        (
            &|path| add_foreign(path, 1, ("threads", 1.0, RANGE)),
            &["`threads`", "another kind of distribution"],
        ),
        (
            &|path| {
                add_foreign(path, 1, ("threads", 1.0, CHOICES));
                execute(path, "DELETE FROM trial_values WHERE trial_id = 2");
            },
            &["trial 1 is COMPLETE with 0 values for 1 objectives"],
        ),
        (
            &|path| {
                add_foreign(path, 1, ("threads", 1.0, CHOICES));
                execute(path, "UPDATE trials SET state = 'DONE' WHERE trial_id = 2");
            },
            &["damaged", "state `DONE`"],
        ),
    ];
    for (change, words) in cases {
        let (_folder, path) = place();
        let (mut store, study) = store_with_study(&path);
        run(&mut store, study, 1);
        change(&path);
        let refused = store.trials(study).unwrap_err().to_string();
        for word in words {
            assert!(refused.contains(word), "`{word}` is not in: {refused}");
        }
        let again = Store::open(&path).unwrap().trials(study).unwrap_err().to_string();
        assert_eq!(again, refused);
    }
}

/// A study of Optuna with two parameters, one trial, and two that wait.
fn theirs(path: &Path) {
    execute(path, PLAIN);
    execute(
        path,
        "INSERT INTO studies VALUES (1, 'theirs'); INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 1, 0)",
    );
    add_foreign(path, 0, ("n_threads", 3.0, RANGE));
    let flash = r#"{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}"#;
    execute(path, &format!("INSERT INTO trial_params VALUES (9, 1, 'fa', 1.0, '{flash}')"));
    execute(
        path,
        "INSERT INTO trials VALUES (2, 1, 1, 'WAITING', NULL, NULL), (3, 2, 1, 'WAITING', NULL, NULL)",
    );
    for (trial, fixed) in [(2, r#"{"n_threads": 12}"#), (3, r#"{"n_threads": 4, "fa": 0}"#)] {
        let query = "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES";
        execute(path, &format!("{query} ({trial}, 'fixed_params', '{fixed}')"));
    }
}

fn adopted() -> NewStudy {
    let space = vec![
        ("threads".into(), (1..=9).map(Value::Integer).collect()),
        ("flash-attention".into(), ["off", "on"].map(|word| Value::Text(word.into())).to_vec()),
    ];
    NewStudy { space, ..new_study("theirs") }
}

#[test]
fn a_study_that_optuna_began_is_adopted_with_its_distributions() {
    let (_folder, path) = place();
    theirs(&path);
    let mut store = Store::open(&path).unwrap();
    let other = store.other_study("theirs").unwrap().unwrap();
    assert_eq!((&other.directions[..], &other.metrics), (&[Direction::Higher][..], &None));
    let knobs: Vec<_> = other.parameters.iter().map(|one| (one.knob.as_str(), one.values())).collect();
    assert_eq!(
        knobs.iter().map(|(knob, values)| (*knob, values.len())).collect::<Vec<_>>(),
        [("flash-attention", 2), ("threads", 9)]
    );
    let two = vec![adopted().objectives[0].clone(); 2];
    let refused = store.adopt_study(other.id, &NewStudy { objectives: two, ..adopted() }).unwrap_err();
    assert!(refused.to_string().contains("1 objectives, not 2"), "{refused}");
    store.adopt_study(other.id, &adopted()).unwrap();
    assert_eq!(store.other_study("theirs").unwrap(), None, "it is ours too now");
    let again = store.adopt_study(other.id, &adopted()).unwrap_err();
    assert!(matches!(again, StoreError::StudyExists { .. }), "{again}");
    assert_eq!(texts(&path, "SELECT value_json FROM study_system_attributes"), [r#"["decode"]"#]);

    let study = store.find_study("theirs").unwrap().unwrap();
    assert_eq!(study.space, adopted().space);
    let trial = store.trial(study.id, 0).unwrap().unwrap();
    assert_eq!(trial.configuration.key(), "flash-attention=on threads=3");
    let meant = Configuration::new().with("threads", Value::Integer(8));
    let configuration = Configuration::new().with("flash-attention", Value::Text("off".into()));
    let new = NewTrial { configuration, purpose: Purpose::Baseline, round: 0, meant };
    store.begin_trial(study.id, &mut |_| Some(new.clone())).unwrap().unwrap();
    let written = "SELECT param_name || ' ' || param_value FROM trial_params WHERE trial_id = 4 ORDER BY 1";
    assert_eq!(texts(&path, written), ["fa 0.0", "n_threads 8.0"]);
    assert_eq!(
        texts(&path, "SELECT DISTINCT distribution_json FROM trial_params WHERE param_name = 'n_threads'"),
        [RANGE]
    );
    let large = Configuration::new().with("threads", Value::Integer(12));
    let objection = store.objection(study.id, &large).unwrap().unwrap();
    assert_eq!(objection, "threads=12: the study's parameter `n_threads` takes whole numbers from 1 to 9");
}

#[test]
fn what_waits_in_optunas_queue_is_taken_once_and_refused_by_name() {
    let (_folder, path) = place();
    theirs(&path);
    let mut store = Store::open(&path).unwrap();
    let id = store.other_study("theirs").unwrap().unwrap().id;
    store.adopt_study(id, &adopted()).unwrap();
    let mut other = Store::open(&path).unwrap();
    let claim = |store: &mut Store| {
        store
            .claim_waiting(id, &mut |fixed| {
                let configuration = fixed.clone();
                let (purpose, meant) = (Purpose::Enqueued, Configuration::new());
                Ok(NewTrial { configuration, purpose, round: 0, meant })
            })
            .unwrap()
    };
    let claimed = claim(&mut store);
    assert_eq!(claimed.refused.len(), 1);
    assert_eq!(claimed.refused[0].0, 1);
    assert!(claimed.refused[0].1.contains("threads=12"), "{:?}", claimed.refused);
    let (handle, new) = claimed.trial.unwrap();
    assert_eq!((handle.number(), new.configuration.key().as_str()), (2, "flash-attention=off threads=4"));
    assert_eq!(claim(&mut other), Claimed::default(), "it is taken");
    store.append_repetition(&handle, &repetition(0)).unwrap();
    store.finish_trial(&handle, &Ending::measured(), Some(&[3.5]), 1.0).unwrap();
    let trials = other.trials(id).unwrap();
    let seen: Vec<_> =
        trials.iter().map(|one| (one.purpose, one.ending.as_ref().map(|end| end.outcome))).collect();
    assert_eq!(
        seen,
        [
            (Purpose::Foreign, Some(Outcome::Measured)),
            (Purpose::Enqueued, Some(Outcome::Rejected)),
            (Purpose::Enqueued, Some(Outcome::Measured)),
        ]
    );
    assert_eq!(texts(&path, "SELECT state FROM trials ORDER BY number"), ["COMPLETE", "FAIL", "COMPLETE"]);
    let written = "SELECT param_name || ' ' || param_value FROM trial_params WHERE trial_id = 3 ORDER BY 1";
    assert_eq!(texts(&path, written), ["fa 0.0", "n_threads 4.0"]);
    assert_eq!(begin(&mut store, id, 2).number(), 3, "numbers go on");
}

#[test]
fn nothing_of_a_study_that_optuna_deleted_is_inherited() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    let trial = begin(&mut store, study, 1);
    store.append_repetition(&trial, &repetition(0)).unwrap();
    store.append_log(&trial, "text").unwrap();
    store.close().unwrap();
    for table in ["trial_params", "trial_user_attributes", "trial_heartbeats", "trials"] {
        execute(&path, &format!("DELETE FROM {table}"));
    }
    for table in ["study_directions", "study_system_attributes", "studies"] {
        execute(&path, &format!("DELETE FROM {table}"));
    }
    for table in ["gguflab_trials", "gguflab_repetitions", "gguflab_logs", "gguflab_studies"] {
        assert_eq!(texts(&path, &format!("SELECT CAST(count(*) AS TEXT) FROM {table}")), ["0"], "{table}");
    }
    let (mut store, study) = store_with_study(&path);
    begin(&mut store, study, 1);
    assert_eq!(store.trials(study).unwrap()[0].repetitions, []);
    assert_eq!(store.log(study, 0).unwrap(), None);
}
