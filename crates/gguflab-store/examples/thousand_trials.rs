//! Measures what storing costs: 1,000 trials with 3 repetitions of 10 samples each (one of them with 128 values).
//!
//!     cargo run --release -p gguflab-store --example thousand_trials -- [FILE]
//!
//! The file must not exist yet; without one, a file in the folder for temporary files is used and removed.

use gguflab_store::{NewStudy, NewTrial, Objective, Store, StoreError};
use gguflab_types::metric::{DECODE, Direction, INTER_TOKEN};
use gguflab_types::{Configuration, Ending, Purpose, Repetition, Sample, Subject, Value};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

const TRIALS: u32 = 1000;
const THREADS: [i64; 4] = [1, 2, 4, 8];

fn main() -> Result<(), Box<dyn Error>> {
    let named = std::env::args().nth(1).map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("gguflab-thousand-trials-{}.sqlite", std::process::id()))
    });
    let begin = Instant::now();
    write(&path)?;
    let written = begin.elapsed();
    let begin = Instant::now();
    let read = read(&path)?;
    let mut output = std::io::stdout();
    writeln!(output, "stored {TRIALS} trials in {:.3} s", written.as_secs_f64())?;
    writeln!(output, "opened and read {read} trials in {:.3} s", begin.elapsed().as_secs_f64())?;
    writeln!(output, "file: {} bytes", path.metadata()?.len())?;
    if named.is_none() {
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

fn write(path: &Path) -> Result<(), StoreError> {
    let mut store = Store::open(path)?;
    let study = store.create_study(&NewStudy {
        name: "thousand".into(),
        subject: Subject::default(),
        space: vec![
            ("threads".into(), THREADS.map(Value::Integer).to_vec()),
            ("flash-attention".into(), vec![Value::Auto, Value::Text("off".into())]),
            ("repack".into(), vec![Value::Switch(true), Value::Switch(false)]),
        ],
        objectives: vec![Objective { metric: DECODE.into(), direction: Direction::Higher }],
        settings: serde_json::json!({"seed": 1}),
    })?;
    for round in 0..TRIALS {
        let threads = THREADS[round as usize % THREADS.len()];
        let mut choose = |_: &[_]| {
            let configuration = Configuration::new().with("threads", Value::Integer(threads));
            Some(NewTrial { configuration, purpose: Purpose::Search, round, meant: Configuration::new() })
        };
        let Some(trial) = store.begin_trial(study, &mut choose)? else { continue };
        for index in 0..3 {
            store.append_repetition(&trial, &repetition(index))?;
        }
        let value = 10.0 * threads as f64 + f64::from(round % 7);
        store.finish_trial(&trial, &Ending::measured(), Some(&[value]), 1.0)?;
    }
    store.close()
}

fn repetition(index: u32) -> Repetition {
    let mut samples: Vec<Sample> =
        (0..9).map(|number| Sample::one(format!("metric-{number}"), f64::from(number))).collect();
    samples.push(Sample { metric: INTER_TOKEN.into(), values: vec![0.01; 128] });
    Repetition { request: Some(0), index, started: 1.0, duration: 1.0, samples, ..Repetition::default() }
}

fn read(path: &Path) -> Result<usize, StoreError> {
    let mut store = Store::open_read_only(path)?;
    match store.find_study("thousand")? {
        Some(study) => Ok(store.trials(study.id)?.len()),
        None => Ok(0),
    }
}
