//! Files that cannot be used: each is named with what to do, and left as it is.

use crate::support::{begin, beside, execute, place, repetition, run, store_with_study};
use gguflab_store::{Store, StoreError};
use std::fs;
use std::path::Path;

/// Makes a file with `make`, and expects that it is refused with these words and not touched.
fn check_refused(make: impl Fn(&Path), words: &[&str]) {
    let (_folder, path) = place();
    make(&path);
    let (before, names) = (fs::read(&path).unwrap(), beside(&path));
    for open in [|path: &Path| Store::open(path), |path: &Path| Store::open_read_only(path)] {
        let Err(refused) = open(&path) else { panic!("not refused: {words:?}") };
        let message = refused.to_string();
        for word in words.iter().copied().chain(["studies.sqlite"]) {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
        assert_eq!(fs::read(&path).unwrap(), before, "the file was changed: {message}");
        assert_eq!(beside(&path), names, "something was left beside it: {message}");
    }
}

fn good_file(path: &Path) {
    let (mut store, study) = store_with_study(path);
    for _ in 0..20 {
        run(&mut store, study, 1);
    }
    store.close().unwrap();
}

#[test]
fn files_of_others_and_of_other_versions_are_refused_and_left_alone() {
    let tampered = |sql: &'static str| {
        move |path: &Path| {
            good_file(path);
            execute(path, sql);
        }
    };
    check_refused(|path| fs::write(path, "not a database ".repeat(1000)).unwrap(), &["not a study file"]);
    check_refused(|path| fs::write(path, "short").unwrap(), &["not a study file"]);
    check_refused(|path| execute(path, "CREATE TABLE songs (name TEXT)"), &["another program"]);
    check_refused(
        tampered("UPDATE gguflab_meta SET value = '99' WHERE key = 'schema_version'"),
        &["newer gguflab", "99"],
    );
    check_refused(
        tampered("UPDATE gguflab_meta SET value = 'x' WHERE key = 'schema_version'"),
        &["damaged", "schema_version `x`"],
    );
    check_refused(
        tampered("UPDATE alembic_version SET version_num = 'v3.0.0.d'"),
        &["v3.0.0.d", "optuna storage upgrade"],
    );
    check_refused(
        tampered("UPDATE alembic_version SET version_num = 'v9.9.9.a'"),
        &["v9.9.9.a", "newer Optuna"],
    );
}

#[test]
fn paths_that_cannot_be_opened_are_named_with_the_reason() {
    let (folder, path) = place();
    fs::write(&path, "").unwrap();
    let inside = |name: &str| folder.path().join(name);
    let mut refusals = vec![
        (Store::open(inside("missing/new.sqlite")), "does not exist: create it first"),
        (Store::open(path.join("new.sqlite")), "does not exist: create it first"),
        (Store::open(folder.path()), "it is a folder"),
        (Store::open_read_only(inside("missing.sqlite")), "does not exist: check the path"),
        (Store::open_read_only(&path), "open it once for writing"),
    ];
    if cfg!(target_os = "linux") {
        // A folder in which nobody, not even root, can make a file.
        refusals.push((Store::open("/proc/studies.sqlite"), "cannot be opened"));
    }
    for (opened, words) in refusals {
        let Err(refused) = opened else { panic!("opened: {words}") };
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert_eq!(beside(&path), ["studies.sqlite"], "nothing was made");
}

#[test]
fn a_store_that_only_reads_changes_nothing() {
    let (_folder, path) = place();
    good_file(&path);
    let before = fs::read(&path).unwrap();
    let mut store = Store::open_read_only(&path).unwrap();
    let study = store.find_study("tune").unwrap().unwrap().id;
    assert_eq!(store.trials(study).unwrap().len(), 20);
    let refused = store.begin_trial(study, &mut |_| Some(crate::support::visit(1))).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    store.close().unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Opens and reads everything; whatever is found must be an answer or an error, never a panic.
fn read_all(path: &Path) -> Result<usize, StoreError> {
    let mut store = Store::open(path)?;
    let Some(study) = store.find_study("tune")? else { return Ok(0) };
    store.log(study.id, 0)?;
    store.studies()?;
    Ok(store.trials(study.id)?.len())
}

#[test]
fn a_truncated_file_is_refused_wherever_it_was_cut() {
    let (_folder, path) = place();
    good_file(&path);
    let whole = fs::read(&path).unwrap();
    for cut in (1..40).map(|part| whole.len() * part / 40).chain([1, 15, 16, 99, 100, 4095, 4096]) {
        let cut_file = path.with_file_name(format!("{cut}-studies.sqlite"));
        fs::write(&cut_file, &whole[..cut]).unwrap();
        let refused = read_all(&cut_file).expect_err("a cut file");
        assert!(refused.to_string().contains("studies.sqlite"), "{refused}");
    }
    assert_eq!(read_all(&path).unwrap(), 20, "the whole file");
}

#[test]
fn flipped_bytes_never_make_it_panic() {
    let (_folder, path) = place();
    good_file(&path);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for step in 0..150 {
        // A prime stride visits every kind of page and every place in it.
        let at = step * 7919 % whole.len();
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(at).take(16) {
            *byte ^= 0xff;
        }
        let damaged_file = path.with_file_name(format!("{step}-studies.sqlite"));
        fs::write(&damaged_file, &damaged).unwrap();
        if let Err(error) = read_all(&damaged_file) {
            assert!(error.to_string().contains("studies.sqlite"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0, "some of these files cannot be read");
}

#[test]
fn a_file_that_is_removed_or_replaced_is_noticed_before_anything_is_lost_silently() {
    for replaced in [false, true] {
        let (_folder, path) = place();
        let (mut store, study) = store_with_study(&path);
        let trial = begin(&mut store, study, 1);
        fs::rename(&path, path.with_extension("moved")).unwrap();
        if replaced {
            fs::write(&path, "").unwrap();
        }
        let refusals = [
            store.append_repetition(&trial, &repetition(0)),
            store.append_log(&trial, "text"),
            store.heartbeat(&trial),
            store.begin_trial(study, &mut |_| None).map(|_| ()),
        ];
        for refused in refusals {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, StoreError::Vanished { .. }), "{refused}");
        }
    }
}
