//! Optuna's tables: what it would read is what it expects, and what it writes is understood.

use crate::support::{begin, beside, execute, new_study, place, repetition, run, store_with_study, texts};
use gguflab_store::{NewStudy, Objective, Store, StoreError};
use gguflab_types::metric::Direction;
use gguflab_types::{Ending, Outcome, Value};

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
    let cases: [(&[(u32, f64)], usize, &[&str]); 5] = [
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
        serde_json::json!({"name": "CategoricalDistribution",
            "attributes": {"choices": serde_json::from_str::<serde_json::Value>(choices).unwrap()}})
    };
    let expected = [
        ("threads 2.0", r#"[1, 2, 4, "auto"]"#),
        ("flash-attention 0.0", r#"["auto", "off"]"#),
        ("repack 2.0", r#"[true, false, "auto"]"#),
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
    assert_eq!(added.repetitions.len(), 1);
    assert_eq!(added.repetitions[0].value("decode"), Some(12.5));
    let failed = store.trial(study, 2).unwrap().unwrap();
    assert_eq!(failed.ending.map(|ending| ending.outcome), Some(Outcome::Cancelled));
    assert!((failed.duration.unwrap() - 2.5).abs() < 1e-3 && failed.repetitions.is_empty());
    assert_eq!(run(&mut store, study, 1), 3, "numbers go on behind theirs");
}

#[test]
fn a_parameter_that_is_no_setting_is_an_error_and_not_a_guess() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    execute(&path, "INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', NULL, NULL)");
    execute(&path, "INSERT INTO trial_params VALUES (1, 1, 'threads', 1.0, 'not json')");
    let refused = store.trials(study).unwrap_err();
    assert!(refused.to_string().contains("parameter threads of trial 0"), "{refused}");
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
