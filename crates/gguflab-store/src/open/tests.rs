//! What only the inside can provoke: later versions, a full disk, a lock that is held.

use super::*;
use crate::study::{NewStudy, Objective};
use crate::trial::{NewTrial, TrialHandle};
use crate::{Store, StudyId};
use gguflab_types::metric::Direction;
use gguflab_types::{Configuration, Ending, Purpose, Repetition, Sample, Subject};
use std::path::PathBuf;

const SECOND: &[&str] = &[
    MIGRATIONS[0],
    "ALTER TABLE gguflab_studies ADD COLUMN note TEXT; UPDATE gguflab_studies SET note = 'new';",
];
const BROKEN: &[&str] =
    &[MIGRATIONS[0], "CREATE TABLE gguflab_more (id INTEGER); SELECT nothing FROM nowhere;"];

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("studies.sqlite");
    (folder, path)
}

fn study(store: &mut Store) -> StudyId {
    let objectives = vec![Objective { metric: "decode".into(), direction: Direction::Higher }];
    let new = NewStudy {
        name: "tune".into(),
        subject: Subject::default(),
        space: Vec::new(),
        objectives,
        settings: serde_json::Value::Null,
    };
    store.create_study(&new).unwrap()
}

fn begin(store: &mut Store, study: StudyId) -> Result<TrialHandle, StoreError> {
    let new = || NewTrial {
        configuration: Configuration::new(),
        purpose: Purpose::Bench,
        round: 0,
        meant: Configuration::new(),
    };
    store.begin_trial(study, &mut |_| Some(new())).map(Option::unwrap)
}

fn run(store: &mut Store, study: StudyId, values: usize) -> Result<(), StoreError> {
    let trial = begin(store, study)?;
    let samples = vec![Sample { metric: "inter-token".into(), values: vec![0.5; values] }];
    store.append_repetition(&trial, &Repetition { samples, ..Repetition::default() })?;
    store.finish_trial(&trial, &Ending::measured(), Some(&[1.0]), 1.0)
}

fn own_tables(path: &Path, migrations: &'static [&'static str]) -> Vec<String> {
    let mut session = open_read_only(path, migrations).unwrap();
    let names = table_names(&mut session).unwrap();
    names.into_iter().filter(|name| name.starts_with("gguflab_")).collect()
}

#[test]
fn an_older_file_is_migrated_after_a_backup_and_the_older_program_then_refuses_it() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).unwrap();
    let tune = study(&mut store);
    run(&mut store, tune, 4).unwrap();
    store.close().unwrap();

    let mut migrated = open(&path, SECOND).unwrap();
    let row = migrated.row(sqlx::query("SELECT note FROM gguflab_studies")).unwrap().unwrap();
    assert_eq!(column::<String>(&migrated, &row, "note").unwrap(), "new");
    assert_eq!(own_version(&mut migrated).unwrap(), 2);
    migrated.close().unwrap();
    let backup = path.with_file_name("studies.sqlite.backup-v1");
    let mut old = Store::open_read_only(&backup).unwrap();
    assert_eq!(old.trials(tune).unwrap().len(), 1, "the backup is a whole study file of version 1");

    let refused = Store::open(&path).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 2, known: 1, .. }), "{refused}");
    open(&path, SECOND).unwrap().close().unwrap();
    assert!(!path.with_file_name("studies.sqlite.backup-v1-2").exists(), "migrated once");
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let (_folder, path) = place();
    Store::open(&path).unwrap().close().unwrap();
    let before = own_tables(&path, MIGRATIONS);
    for backup in ["studies.sqlite.backup-v1", "studies.sqlite.backup-v1-2"] {
        assert!(open(&path, BROKEN).is_err());
        assert_eq!(own_tables(&path, MIGRATIONS), before);
        assert!(path.with_file_name(backup).exists(), "an earlier backup is never overwritten");
    }
    let partial = format!("studies.sqlite.backup-partial-{}", std::process::id());
    assert!(!path.with_file_name(partial).exists());
}

#[test]
fn a_full_disk_is_said_and_what_was_stored_stays_readable() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).unwrap();
    let tune = study(&mut store);
    run(&mut store, tune, 100).unwrap();
    store.session.script("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA max_page_count = 1").unwrap();
    let stored = (1..).map(|_| run(&mut store, tune, 5000)).take_while(Result::is_ok).count();
    let refused = run(&mut store, tune, 5000).unwrap_err();
    assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
    assert!(refused.to_string().contains("studies.sqlite"), "{refused}");
    let measured = |store: &mut Store| {
        store.trials(tune).unwrap().iter().filter(|trial| trial.ending == Some(Ending::measured())).count()
    };
    assert_eq!(measured(&mut store), 1 + stored, "in the same store");
    assert_eq!(measured(&mut Store::open_read_only(&path).unwrap()), 1 + stored, "from the file");
    store.session.script("PRAGMA max_page_count = 100000").unwrap();
    run(&mut store, tune, 5000).unwrap();
    assert_eq!(measured(&mut store), 2 + stored, "it goes on once there is space");
}

#[test]
fn a_lock_that_is_held_too_long_is_said_and_nothing_is_lost() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).unwrap();
    let tune = study(&mut store);
    let mut other = Store::open(&path).unwrap();
    other.session.script("PRAGMA busy_timeout = 1").unwrap();
    let refused = store.session.transaction(|_| begin(&mut other, tune)).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    run(&mut other, tune, 1).unwrap();
    assert_eq!(store.trials(tune).unwrap().len(), 1);
}

#[test]
fn a_choice_that_panics_leaves_a_store_that_works() {
    let mut store = Store::memory().unwrap();
    let tune = study(&mut store);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.begin_trial(tune, &mut |_| panic!("no choice"))
    }));
    assert!(unwound.is_err());
    run(&mut store, tune, 1).unwrap();
    assert_eq!(store.trials(tune).unwrap().len(), 1);
}
