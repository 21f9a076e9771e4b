//! What several tests need: a study, a trial, a look into the file.

use gguflab_store::{NewStudy, NewTrial, Objective, Store, StudyId, TrialHandle};
use gguflab_types::metric::{DECODE, Direction, INTER_TOKEN};
use gguflab_types::{
    Configuration, Ending, MachineState, ModelIdentity, Purpose, Repetition, Sample, Subject, Value,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that is removed at the end, and a file in it that does not exist yet.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("studies.sqlite");
    (folder, path)
}

pub(crate) fn subject() -> Subject {
    let model =
        ModelIdentity { name: "tiny".into(), fingerprint: "sha256:1".into(), ..ModelIdentity::default() };
    Subject { model, ..Subject::default() }
}

pub(crate) fn new_study(name: &str) -> NewStudy {
    NewStudy {
        name: name.into(),
        subject: subject(),
        space: vec![
            ("threads".into(), [1, 2, 4].map(Value::Integer).to_vec()),
            ("flash-attention".into(), vec![Value::Auto, Value::Text("off".into())]),
            ("repack".into(), vec![Value::Switch(true), Value::Switch(false)]),
        ],
        objectives: vec![Objective { metric: DECODE.into(), direction: Direction::Higher }],
        settings: serde_json::json!({"budget": 80, "workload": "chat"}),
    }
}

/// A store with one study.
pub(crate) fn store_with_study(path: &Path) -> (Store, StudyId) {
    let mut store = Store::open(path).unwrap();
    let study = store.create_study(&new_study("tune")).unwrap();
    (store, study)
}

pub(crate) fn visit(threads: i64) -> NewTrial {
    let configuration = Configuration::new().with("threads", Value::Integer(threads));
    NewTrial { configuration, purpose: Purpose::Search, round: 0, meant: Configuration::new() }
}

pub(crate) fn begin(store: &mut Store, study: StudyId, threads: i64) -> TrialHandle {
    store.begin_trial(study, &mut |_| Some(visit(threads))).unwrap().unwrap()
}

pub(crate) fn repetition(index: u32) -> Repetition {
    Repetition {
        request: (index > 0).then_some(0),
        index,
        started: 1_700_000_000.25,
        duration: 0.5,
        samples: vec![
            Sample::one(DECODE, 20.0 + f64::from(index)),
            Sample {
                metric: INTER_TOKEN.into(),
                values: (0..128).map(|gap| 0.01 * f64::from(gap)).collect(),
            },
        ],
        state: MachineState { load: Some(0.25), throttled: Some("no".into()), ..MachineState::default() },
        noisy: (index == 2).then(|| "busy".to_string()),
    }
}

/// A whole trial with three repetitions.
pub(crate) fn run(store: &mut Store, study: StudyId, threads: i64) -> u32 {
    let trial = begin(store, study, threads);
    for index in 0..3 {
        store.append_repetition(&trial, &repetition(index)).unwrap();
    }
    store.finish_trial(&trial, &Ending::measured(), Some(&[threads as f64]), 1.5).unwrap();
    trial.number()
}

/// Changes a file as another program would.
pub(crate) fn execute(path: &Path, sql: &str) {
    with_connection(path, async |connection| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
    });
}

/// The first column of every row, as text.
pub(crate) fn texts(path: &Path, sql: &str) -> Vec<String> {
    with_connection(path, async |connection| {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.try_get_unchecked::<String, _>(0).unwrap()).collect()
    })
}

fn with_connection<T>(path: &Path, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        let result = work(&mut connection).await;
        sqlx::Connection::close(connection).await.unwrap();
        result
    })
}

/// Names of the files in the folder of a file, sorted.
pub(crate) fn beside(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
