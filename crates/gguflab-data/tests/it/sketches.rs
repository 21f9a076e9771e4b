//! Sketch stores: what is recorded comes back, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gguflab_data::DataError;
use gguflab_data::logits::{LogitStore, Recording, SketchFile, Sketching, StoreHead, Wanted};
use gguflab_types::evaluation::{SketchRow, WindowRule, Windowing};

use crate::stores::{head, names, rows};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.parquet");
    (folder, path)
}

/// Rows of every chunk; in the middle one a row that is no number, and one with nothing outside of its head.
fn all_rows(head: &StoreHead) -> Vec<(u32, Vec<SketchRow>)> {
    let mut all: Vec<(u32, Vec<SketchRow>)> =
        head.chunks().map(|chunk| (chunk, rows(head, chunk, 3.0))).collect();
    all[1].1[0] = SketchRow { nll: f64::NAN, ..SketchRow::default() };
    let last = &mut all[1].1[1];
    (last.tail, last.tail_log_probability, last.tail_mass) = (vec![], vec![], 0.0);
    last.nll = f64::INFINITY;
    last.head_log_probability[5] = f32::NEG_INFINITY;
    all
}

fn record(path: &Path, head: &StoreHead) {
    let (mut recording, done) = Recording::begin_or_resume(path, head).expect("a recording");
    for (chunk, rows) in all_rows(head).iter().filter(|(chunk, _)| !done.contains(chunk)) {
        recording.append(*chunk, rows).expect("rows are taken");
    }
    recording.finish().expect("a store");
}

/// Rows as bits, so that NaN is equal to itself.
fn bits(rows: &[SketchRow]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let of = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let row = |row: &SketchRow| {
        let logs = (of(&row.head_log_probability), of(&row.tail_log_probability));
        (row.head.clone(), row.tail.clone(), logs, row.tail_mass.to_bits(), row.nll.to_bits())
    };
    rows.iter().map(row).collect()
}

#[test]
fn rows_come_back_exactly() {
    for rule in WindowRule::ALL {
        let (folder, path) = folder();
        let head = head(rule);
        record(&path, &head);
        assert_eq!(names(folder.path()), ["store.parquet"], "the journal's space is free again");
        let LogitStore::Sketch(mut store) = LogitStore::open(&path).expect("a store") else {
            panic!("a sketch is a sketch")
        };
        assert_eq!(store.head(), &head);
        for (chunk, rows) in all_rows(&head).iter().rev() {
            assert_eq!(bits(&store.chunk(*chunk).expect("rows")), bits(rows), "{rule:?} {chunk}");
        }
        assert_eq!(store.chunk(3).expect("no rows"), []);
        assert_eq!(store.chunk(7).expect("no rows"), []);
    }
}

#[test]
fn chunks_come_in_any_order_and_in_blocks() {
    let (_folder, path) = folder();
    let (_other_folder, other) = folder();
    let head = head(WindowRule::EveryPosition);
    record(&other, &head);
    let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
    for (chunk, rows) in all_rows(&head).iter().rev() {
        for block in rows.chunks(2) {
            assert!(!recording.done().contains(chunk));
            recording.append(*chunk, block).expect("rows are taken");
        }
        assert!(recording.done().contains(chunk));
    }
    recording.finish().expect("a store");
    assert!(std::fs::read(&path).expect("bytes") == std::fs::read(&other).expect("bytes"));
}

#[test]
fn a_recording_that_was_cut_anywhere_ends_in_the_same_store() {
    let (_folder, path) = folder();
    let head = head(WindowRule::LlamaPerplexity);
    let journal = path.with_extension("parquet.partial");
    let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
    for (chunk, rows) in all_rows(&head) {
        rows.chunks(2).for_each(|block| recording.append(chunk, block).expect("rows are taken"));
    }
    drop(recording);
    let whole = std::fs::read(&journal).expect("a journal");
    record(&path, &head);
    let expected = std::fs::read(&path).expect("a store");
    let mut seen = BTreeSet::new();
    for length in (0..whole.len()).step_by(31) {
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&journal, &whole[..length]).expect("a cut journal");
        let (recording, done) = Recording::begin_or_resume(&path, &head).expect("a recording");
        drop(recording);
        seen.insert(done.len());
        record(&path, &head);
        assert!(std::fs::read(&path).expect("a store") == expected, "cut at {length}");
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]), "whole chunks are kept");
}

#[test]
fn a_damaged_journal_is_recorded_again_from_the_damage_on() {
    let (_folder, path) = folder();
    let head = head(WindowRule::LlamaPerplexity);
    let journal = path.with_extension("parquet.partial");
    let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
    all_rows(&head).iter().for_each(|(chunk, rows)| recording.append(*chunk, rows).expect("rows are taken"));
    drop(recording);
    let mut bytes = std::fs::read(&journal).expect("a journal");
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&journal, &bytes).expect("a damaged journal");
    let (_, done) = Recording::begin_or_resume(&path, &head).expect("a recording");
    assert_eq!(done, BTreeSet::from([4, 5]));
}

/// A change of a head, and what the refusal says.
type Change = (&'static str, fn(&mut StoreHead));

type ChangeRow = fn(&mut SketchRow);

const CHANGES: &[Change] = &[
    ("another vocabulary size: there 101, here 102", |head| head.vocabulary = 102),
    ("another tokenizer: there sha256:2, here sha256:9", |head| head.tokenizer = Some("sha256:9".to_owned())),
    ("another text: there sha256:3, here sha256:9", |head| head.text = Some("sha256:9".to_owned())),
    ("another windowing: there llama-perplexity with 8 tokens, here every-position with 8 tokens", |head| {
        head.windowing.rule = WindowRule::EveryPosition;
    }),
    ("another model: there sha256:1, here sha256:9", |head| {
        head.model.as_mut().expect("a model").fingerprint = "sha256:9".to_owned();
    }),
    (
        "another sketch: there 6 likeliest and 3 drawn tokens, seed 7, here 6 likeliest and 3 drawn tokens, seed 8",
        |head| {
            head.sketch.as_mut().expect("a sketch").seed = 8;
        },
    ),
    ("another engine build: there b1, here b2", |head| head.engine = Some("b2".to_owned())),
    ("another range of chunks: there 4..7, here 4..6", |head| head.tokens.truncate(2)),
    ("another text or tokenizer (chunk 5, position 3): there token 11, here token 12", |head| {
        head.tokens[1][3] = 12
    }),
];

#[test]
fn a_recording_of_something_else_is_not_gone_on_with() {
    let wanted = head(WindowRule::LlamaPerplexity);
    for finished in [false, true] {
        let (_folder, path) = folder();
        if finished {
            record(&path, &wanted);
        } else {
            drop(Recording::begin_or_resume(&path, &wanted).expect("a recording"));
        }
        for (expected, change) in CHANGES {
            let mut other = wanted.clone();
            change(&mut other);
            let error = Recording::begin_or_resume(&path, &other).expect_err("another recording").to_string();
            assert!(
                error.contains(expected) && error.contains("record into another file"),
                "{expected}: {error}"
            );
        }
        assert!(Recording::begin_or_resume(&path, &wanted).is_ok());
    }
}

#[test]
fn a_store_is_only_of_what_it_was_recorded_from() {
    let (_folder, path) = folder();
    let head = head(WindowRule::LlamaPerplexity);
    record(&path, &head);
    let store = LogitStore::open(&path).expect("a store");
    store.check(&head.wanted()).expect("the same");
    store.check(&Wanted::default()).expect("nothing is wanted");
    for (expected, change) in &CHANGES[..5] {
        let mut other = head.clone();
        change(&mut other);
        let error = store.check(&other.wanted()).expect_err("another").to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    store.check_tokens(5, &head.tokens[1]).expect("the same");
    store.check_tokens(99, &[1]).expect("nothing is known of it");
    let error = store.check_tokens(5, &[8, 9, 10]).expect_err("a shorter text").to_string();
    assert!(error.contains("(chunk 5, position 3): there token 11, here no token after 3"), "{error}");
    assert_eq!(head.window(5, Some(1)).expect("a window").tokens, head.tokens[1]);
}

#[test]
fn a_finished_recording_is_done_and_left_alone() {
    let (folder, path) = folder();
    let head = head(WindowRule::EveryPosition);
    record(&path, &head);
    let before = std::fs::read(&path).expect("a store");
    // As left by a process that was killed before its last step.
    std::fs::write(folder.path().join("store.parquet.partial"), b"").expect("a journal");
    let (recording, done) = Recording::begin_or_resume(&path, &head).expect("a recording");
    assert_eq!(done.len(), 3);
    recording.finish().expect("nothing to do");
    assert!(std::fs::read(&path).expect("a store") == before);
    assert_eq!(names(folder.path()), ["store.parquet"]);
}

#[test]
fn an_unfinished_recording_is_no_store_and_has_one_writer() {
    let (_folder, path) = folder();
    let head = head(WindowRule::EveryPosition);
    let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
    let error = Recording::begin_or_resume(&path, &head).expect_err("locked").to_string();
    assert!(error.contains("another process"), "{error}");
    recording.append(4, &rows(&head, 4, 3.0)).expect("rows are taken");
    let error = recording.finish().expect_err("two chunks are missing").to_string();
    assert!(error.contains("2 of its 3 chunks are not recorded yet"), "{error}");
    assert!(matches!(LogitStore::open(&path), Err(DataError::System { .. })));
    let error = LogitStore::open(&path.with_extension("parquet.partial")).expect_err("a journal").to_string();
    assert!(error.contains("neither"), "{error}");
}

#[test]
fn rows_that_cannot_be_are_refused_by_their_place() {
    let (_folder, path) = folder();
    let head = head(WindowRule::LlamaPerplexity);
    let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
    let good = rows(&head, 4, 3.0);
    let changes: [(&str, ChangeRow); 8] = [
        ("log-probability", |row| row.head_log_probability[2] = f32::NAN),
        ("log-probability", |row| row.tail_log_probability[0] = 1.0),
        ("not in the vocabulary", |row| row.head[0] = 101),
        ("as many as", |row| row.head.truncate(5)),
        ("more than", |row| {
            row.tail.push(1);
            row.tail_log_probability.push(-9.0);
        }),
        ("impossible", |row| row.tail_mass = 1.5),
        ("impossible", |row| row.nll = -1.0),
        ("no number and has tokens", |row| row.nll = f64::NAN),
    ];
    for (expected, change) in changes {
        let mut bad = good.clone();
        change(&mut bad[1]);
        let error = recording.append(4, &bad).expect_err("impossible rows").to_string();
        assert!(error.contains(expected) && error.contains("chunk 4, position 5"), "{error}");
    }
    for (chunk, count) in [(4, 0), (3, 1), (7, 1)] {
        let error = recording.append(chunk, &good[..count]).expect_err("no place for them").to_string();
        assert!(error.contains("left"), "{error}");
    }
    recording.append(4, &good).expect("good rows");
    assert!(recording.append(4, &good).is_err(), "the chunk is whole");
}

#[test]
fn heads_that_cannot_be_are_refused() {
    let (_folder, path) = folder();
    let changes: [Change; 10] = [
        ("version 2", |head| head.format = 2),
        ("vocabulary of 0", |head| head.vocabulary = 0),
        ("vocabulary of 4294967295", |head| head.vocabulary = u32::MAX),
        ("context of 1", |head| head.windowing.context = 1),
        ("likeliest tokens of 0", |head| head.sketch.as_mut().expect("a sketch").head = 0),
        ("drawn tokens of 100000", |head| head.sketch.as_mut().expect("a sketch").tail = 100_000),
        ("more than the 6 of the text", |head| head.text_chunks = 6),
        ("chunks", |head| head.first_chunk = u32::MAX - 1),
        ("has 9 tokens", |head| head.tokens[0].push(1)),
        ("the token -1", |head| head.tokens[2][0] = -1),
    ];
    for (expected, change) in changes {
        let mut bad = head(WindowRule::LlamaPerplexity);
        change(&mut bad);
        let error = Recording::begin_or_resume(&path, &bad).expect_err("an impossible head").to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let nothing = StoreHead { tokens: vec![], ..head(WindowRule::LlamaPerplexity) };
    assert!(Recording::begin_or_resume(&path, &nothing).is_err());
    assert!(!path.with_extension("parquet.partial").exists(), "nothing was begun");
}

#[test]
fn a_cut_store_is_refused() {
    let (_folder, path) = folder();
    record(&path, &head(WindowRule::LlamaPerplexity));
    let whole = std::fs::read(&path).expect("a store");
    for length in (0..whole.len()).step_by(37) {
        std::fs::write(&path, &whole[..length]).expect("a cut store");
        let error = LogitStore::open(&path).expect_err("a cut store").to_string();
        assert!(error.contains("store.parquet"), "{error}");
    }
}

/// A damaged byte (every second is tried) is found out, or changes nothing that is read. No damage ends in a panic.
#[test]
fn damage_is_found_out() {
    let (_folder, path) = folder();
    let head = head(WindowRule::LlamaPerplexity);
    record(&path, &head);
    let whole = std::fs::read(&path).expect("a store");
    let expected: Vec<_> = all_rows(&head).iter().map(|(_, rows)| bits(rows)).collect();
    let mut found = 0;
    for (place, flip) in (0..whole.len()).step_by(2).zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        let mut bytes = whole.clone();
        bytes[place] ^= flip;
        std::fs::write(&path, &bytes).expect("a damaged store");
        let read = SketchFile::open(&path).and_then(|mut store| {
            assert_eq!(store.head(), &head);
            head.chunks().map(|chunk| store.chunk(chunk)).collect::<Result<Vec<_>, _>>()
        });
        match read {
            Ok(read) => {
                assert_eq!(read.iter().map(|rows| bits(rows)).collect::<Vec<_>>(), expected, "{place}");
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > whole.len() / 4, "{found} of {} were found", whole.len() / 2);
}

#[test]
fn other_files_are_not_stores() {
    let (_folder, path) = folder();
    let cases: [(&[u8], &str); 5] = [
        (b"", "empty"),
        (b"GGUF and more", "neither"),
        (b"PAR1", "cut or damaged"),
        (b"PAR1 and \xff\xff\xff\x7fPAR1", "cut or damaged"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).expect("a file");
        let error = LogitStore::open(&path).expect_err("no store").to_string();
        assert!(error.contains(expected), "{error}");
        // Nothing is overwritten.
        assert!(Recording::begin_or_resume(&path, &head(WindowRule::LlamaPerplexity)).is_err());
        assert_eq!(std::fs::read(&path).expect("the file"), bytes);
    }
}

/// With K = 256 and S = 64 on a vocabulary of 49,152 tokens; everything that another chunk adds to a store.
#[test]
fn a_scored_position_takes_at_most_1600_bytes() {
    let bytes = |chunks: usize| {
        let (_folder, path) = folder();
        let head = StoreHead {
            windowing: Windowing { rule: WindowRule::LlamaPerplexity, context: 128 },
            vocabulary: 49_152,
            sketch: Some(Sketching { head: 256, tail: 64, seed: 1 }),
            tokens: vec![vec![17_000; 128]; chunks],
            ..head(WindowRule::LlamaPerplexity)
        };
        let (mut recording, _) = Recording::begin_or_resume(&path, &head).expect("a recording");
        for chunk in head.chunks() {
            recording.append(chunk, &rows(&head, chunk, 3.0)).expect("rows are taken");
        }
        recording.finish().expect("a store");
        std::fs::metadata(&path).expect("a store").len()
    };
    let each = (bytes(2) - bytes(1)) / 63;
    assert!((1000..=1600).contains(&each), "{each} bytes for each scored position");
}
