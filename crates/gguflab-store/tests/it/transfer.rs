//! Studies as a whole: nothing is lost, nothing is doubled, nothing is changed on the way.

use crate::support::{begin, beside, execute, new_study, place, repetition, run, store_with_study, texts};
use gguflab_store::{Merged, NewTrial, Store, StoreError, StudyId, export_optuna};
use gguflab_types::{Configuration, Ending, Outcome, Purpose, Trial, Value};
use std::path::Path;

/// A study with a trial of each kind, the last one running.
fn full(path: &Path) -> (Store, StudyId) {
    let (mut store, study) = store_with_study(path);
    run(&mut store, study, 1);
    let pruned = begin(&mut store, study, 2);
    store.append_intermediate(&pruned, 0, 1.5).unwrap();
    store.append_log(&pruned, "loading\n").unwrap();
    store.finish_trial(&pruned, &Ending::new(Outcome::Pruned, "cannot win"), None, 1.0).unwrap();
    race(&mut store, study, 4);
    let running = begin(&mut store, study, 4);
    store.append_repetition(&running, &repetition(0)).unwrap();
    (store, study)
}

fn race(store: &mut Store, study: StudyId, threads: i64) {
    let configuration = Configuration::new().with("threads", Value::Integer(threads));
    let meant = Configuration::new();
    let new = NewTrial { configuration, purpose: Purpose::Race, round: 0, meant };
    let trial = store.begin_trial(study, &mut |_| Some(new.clone())).unwrap().unwrap();
    store.append_repetition(&trial, &repetition(1)).unwrap();
    store.finish_trial(&trial, &Ending::measured(), Some(&[2.0]), 1.0).unwrap();
}

fn trials(store: &mut Store, name: &str) -> Vec<Trial> {
    let study = store.find_study(name).unwrap().unwrap().id;
    store.trials(study).unwrap().to_vec()
}

#[test]
fn a_copy_is_the_same_but_for_what_runs() {
    let (_folder, path) = place();
    let (mut store, study) = full(&path);
    let original = store.trials(study).unwrap().to_vec();
    let other = path.with_file_name("a copy #1?.sqlite");
    for (target, name) in [(&path, "again"), (&other, "tune")] {
        let mut copied = Store::open(target).unwrap();
        let id = copied.copy_study(&path, "tune", name).unwrap();
        let copies = copied.trials(id).unwrap().to_vec();
        assert_eq!(copies[..3], original[..3]);
        assert_eq!(copies[3].repetitions, original[3].repetitions);
        let cancelled = Ending::new(Outcome::Cancelled, "it was running when the study was copied");
        assert_eq!(copies[3].ending, Some(cancelled));
        assert_eq!(copied.log(id, 1).unwrap().as_deref(), Some("loading\n"));
        let study = copied.find_study(name).unwrap().unwrap();
        assert_eq!((study.space, study.settings), (new_study("tune").space, new_study("tune").settings));
        assert_eq!(run(&mut copied, id, 2), 4, "it can be gone on with");
        let taken = copied.copy_study(&path, "tune", name).unwrap_err();
        assert!(matches!(taken, StoreError::StudyExists { .. }), "{taken}");
        let missing = copied.copy_study(&path, "nobody", "x").unwrap_err();
        assert!(missing.to_string().contains("no study `nobody`"), "{missing}");
    }
    let samples = |path: &Path, name: &str| {
        let query = format!(
            "SELECT hex(r.samples) FROM gguflab_repetitions r JOIN trials USING (trial_id) \
             JOIN studies USING (study_id) WHERE study_name = '{name}' AND number < 3 ORDER BY number, ordinal"
        );
        texts(path, &query)
    };
    assert_eq!(samples(&other, "tune"), samples(&path, "tune"), "byte for byte");
    assert_eq!(store.trials(study).unwrap(), original, "the original is as it was");
}

#[test]
fn studies_are_merged_and_no_trial_is_doubled() {
    let (_folder, path) = place();
    let (mut store, study) = full(&path);
    let other = path.with_file_name("other.sqlite");
    let mut there = Store::open(&other).unwrap();
    let id = there.copy_study(&path, "tune", "theirs").unwrap();
    run(&mut there, id, 2);
    race(&mut there, id, 1);
    begin(&mut there, id, 1);
    there.close().unwrap();
    let before = store.trials(study).unwrap().to_vec();
    // Four of theirs are ours: the one that was cancelled in the copy still runs here, as the same trial.
    let merged = store.merge_study(&other, "theirs", study).unwrap();
    assert_eq!(merged, Merged { added: 2, doubles: 4, unfinished: 1 });
    let after = store.trials(study).unwrap().to_vec();
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.iter().map(|trial| trial.number).collect::<Vec<_>>(), (0..6).collect::<Vec<_>>());
    assert_eq!(after[4].repetitions, (0..3).map(repetition).collect::<Vec<_>>());
    assert_eq!(after[5].purpose, Purpose::Search, "a race has one field of contenders");
    let again = store.merge_study(&other, "theirs", study).unwrap();
    assert_eq!(again, Merged { added: 0, doubles: 6, unfinished: 1 });
    assert_eq!(beside(&path).iter().filter(|name| name.starts_with("other")).count(), 1, "nothing is left");
}

#[test]
fn trials_of_other_programs_are_not_doubled_either() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    for (id, number) in [(1, 0), (2, 1)] {
        let times = format!("'2026-01-01 00:00:0{number}', '2026-01-01 00:00:0{number}.5'");
        execute(&path, &format!("INSERT INTO trials VALUES ({id}, {number}, 1, 'COMPLETE', {times})"));
        execute(&path, &format!("INSERT INTO trial_values VALUES ({id}, {id}, 0, 2.5, 'FINITE')"));
    }
    let other = path.with_file_name("other.sqlite");
    let mut there = Store::open(&other).unwrap();
    there.copy_study(&path, "tune", "tune").unwrap();
    there.close().unwrap();
    execute(
        &other,
        "INSERT INTO trials VALUES (9, 2, 1, 'FAIL', '2026-01-02 00:00:00', '2026-01-02 00:00:01')",
    );
    let merged = store.merge_study(&other, "tune", study).unwrap();
    assert_eq!(merged, Merged { added: 1, doubles: 2, unfinished: 0 });
    assert_eq!(trials(&mut store, "tune").len(), 3);
}

#[test]
fn plain_optuna_has_its_tables_and_nothing_else() {
    let (_folder, path) = place();
    let (store, _) = full(&path);
    let target = path.with_file_name("plain.db");
    export_optuna(&path, "tune", &target).unwrap();
    let own = "SELECT name FROM sqlite_schema WHERE name LIKE 'gguflab%'";
    assert_eq!(texts(&target, own), [] as [&str; 0]);
    let states = "SELECT state FROM trials ORDER BY number";
    assert_eq!(texts(&target, states), ["COMPLETE", "PRUNED", "COMPLETE", "FAIL"]);
    let parameters =
        "SELECT trial_id || param_name || param_value || distribution_json FROM trial_params ORDER BY 1";
    assert_eq!(texts(&target, parameters), texts(&path, parameters));
    assert_eq!(texts(&target, "SELECT study_name FROM studies"), ["tune"]);
    let refused = export_optuna(&path, "tune", &target).unwrap_err();
    assert!(refused.to_string().contains("it exists already"), "{refused}");
    let missing = path.with_file_name("missing.db");
    assert!(export_optuna(&path, "nobody", &missing).is_err() && !missing.exists());
    store.close().unwrap();
    assert_eq!(beside(&path), ["plain.db", "studies.sqlite"]);
}

#[test]
fn a_study_is_renamed_or_deleted_whole() {
    let (_folder, path) = place();
    let (mut store, study) = full(&path);
    let second = store.create_study(&new_study("second")).unwrap();
    run(&mut store, second, 1);
    let taken = store.rename_study(study, "second").unwrap_err();
    assert!(matches!(taken, StoreError::StudyExists { .. }), "{taken}");
    store.rename_study(study, "first").unwrap();
    assert_eq!(trials(&mut store, "first").len(), 4);
    let running = store.delete_study(study).unwrap_err();
    assert!(running.to_string().contains("trial 3"), "{running}");
    store.delete_study(second).unwrap();
    assert_eq!(store.study_id("second").unwrap(), None);
    for table in ["trials", "gguflab_trials"] {
        assert_eq!(texts(&path, &format!("SELECT CAST(count(*) AS TEXT) FROM {table}")), ["4"], "{table}");
    }
    assert_eq!(texts(&path, "PRAGMA foreign_key_check"), [] as [&str; 0]);
}
