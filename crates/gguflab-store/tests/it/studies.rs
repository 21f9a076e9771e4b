//! Studies: what was given comes back, and what cannot be held is refused.

use crate::support::{new_study, place, run, store_with_study, subject};
use gguflab_store::{NewStudy, Objective, Store, StoreError};
use gguflab_types::Value;
use gguflab_types::metric::Direction;

#[test]
fn a_study_comes_back_as_it_was_made() {
    let (_folder, path) = place();
    let (store, id) = store_with_study(&path);
    store.close().unwrap();
    let mut store = Store::open(&path).unwrap();
    let found = store.find_study("tune").unwrap().unwrap();
    let new = new_study("tune");
    assert_eq!(found.id, id);
    assert_eq!((found.name, found.subject, found.space), (new.name, new.subject, new.space));
    assert_eq!((found.objectives, found.settings), (new.objectives, new.settings));
    assert!(found.created > 1.7e9, "seconds since 1970");
    assert_eq!(store.find_study("other").unwrap(), None);
    let again = store.create_study(&new_study("tune")).unwrap_err();
    assert!(matches!(again, StoreError::StudyExists { .. }), "{again}");
}

#[test]
fn studies_are_listed_with_their_best_value() {
    let mut store = Store::memory().unwrap();
    let lower = NewStudy {
        objectives: vec![Objective { metric: "request".into(), direction: Direction::Lower }],
        ..new_study("lower")
    };
    let lower = store.create_study(&lower).unwrap();
    let higher = store.create_study(&new_study("higher")).unwrap();
    store.create_study(&new_study("empty")).unwrap();
    for threads in [2, 4, 1] {
        run(&mut store, lower, threads);
        run(&mut store, higher, threads);
    }
    store.begin_trial(higher, &mut |_| Some(crate::support::visit(1))).unwrap();
    let listed = store.studies().unwrap();
    let rows: Vec<_> = listed
        .iter()
        .map(|row| (row.name.as_str(), row.trials, row.complete, row.running, row.best))
        .collect();
    assert_eq!(
        rows,
        [("lower", 3, 3, 0, Some(1.0)), ("higher", 4, 3, 1, Some(4.0)), ("empty", 0, 0, 0, None)]
    );
    assert!(listed.iter().all(|row| row.subject == Some(subject())));
}

#[test]
fn a_study_that_optuna_cannot_hold_is_refused_with_a_reason() {
    let objective = |direction| vec![Objective { metric: "decode".into(), direction }];
    let space = |values: Vec<Value>| vec![("threads".to_string(), values)];
    let mut store = Store::memory().unwrap();
    for (new, reason) in [
        (new_study(""), "1 to 512 characters"),
        (new_study(&"x".repeat(513)), "1 to 512 characters"),
        (NewStudy { objectives: vec![], ..new_study("a") }, "no objective"),
        (NewStudy { objectives: objective(Direction::Neutral), ..new_study("a") }, "neither better"),
        (
            NewStudy { space: space(vec![Value::Integer(1), Value::Number(1.0)]), ..new_study("a") },
            "knob threads: the choice 1.0 is there twice",
        ),
    ] {
        let refused = store.create_study(&new).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    assert_eq!(store.studies().unwrap(), []);
}

#[test]
fn attributes_are_json_and_can_be_set_again() {
    let (_folder, path) = place();
    let (mut store, study) = store_with_study(&path);
    assert_eq!(store.study_attribute(study, "note").unwrap(), None);
    for value in [serde_json::json!({"a": [1, null]}), serde_json::json!("text"), serde_json::json!(null)] {
        store.set_study_attribute(study, "note", &value).unwrap();
        assert_eq!(store.study_attribute(study, "note").unwrap(), Some(value));
    }
}
