//! Files of llama-gguf-optimize: as h5py 3 writes them (`tests/recorded`), and our own.

use std::path::{Path, PathBuf};

use gguflab_data::logits::hdf5::{
    ChunkDivergence, ComparisonFile, Divergences, Hdf5File, Hdf5Recording, Precision, Totals,
};
use gguflab_data::logits::{LogitStore, StoreHead};
use gguflab_types::evaluation::WindowRule;

use crate::stores::{Numbers, head, names};

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("logits.h5");
    (folder, path)
}

fn whole_rows(rule: WindowRule) -> StoreHead {
    StoreHead { sketch: None, ..head(rule) }
}

/// Logits of the scored rows of a chunk, all of which 16 bits can hold.
fn logits(head: &StoreHead, chunk: u32) -> Vec<f32> {
    let mut numbers = Numbers::new(u64::from(chunk));
    let count = head.scored_rows(chunk) * head.vocabulary as usize;
    let mut all: Vec<f32> = (0..count).map(|_| numbers.below(64) as f32 * 0.25 - 8.0).collect();
    all[3] = f32::NEG_INFINITY;
    all
}

fn record(path: &Path, head: &StoreHead, precision: Precision) {
    let (mut recording, done) = Hdf5Recording::begin_or_resume(path, head, precision).expect("a recording");
    for chunk in head.chunks().filter(|chunk| !done.contains(chunk)) {
        recording.append(chunk, &logits(head, chunk)).expect("rows are taken");
    }
    recording.finish().expect("a file");
}

/// Chunk 0 lies at place 1; the place of chunk 1 was taken by chunk 2.
#[test]
fn files_of_h5py_are_read_whatever_their_compression() {
    for name in ["logits-f32.h5", "logits-f16-gzip.h5", "logits-f32-lzf.h5"] {
        let LogitStore::Hdf5(mut file) = LogitStore::open(&recorded(name)).expect("a store") else {
            panic!("{name} is an HDF5 file")
        };
        assert_eq!(file.chunks().collect::<Vec<_>>(), [0, 2], "{name}");
        let head = file.head();
        assert_eq!((head.vocabulary, head.windowing.context, head.text_chunks), (5, 4, 3));
        for chunk in [0, 2] {
            let expected: Vec<f32> = (5..20).map(|index| index as f32 * 0.25 + chunk as f32 * 10.0).collect();
            assert_eq!(file.rows(chunk, 1..4).expect("rows"), expected, "{name}");
            assert_eq!(file.rows(chunk, 1..2).expect("a row"), expected[..5], "{name}");
        }
        assert!(file.rows(0, 2..2).expect("no rows").is_empty());
        for (chunk, rows) in [(1, 0..1), (3, 0..1), (0, 0..5)] {
            assert!(file.rows(chunk, rows).is_err(), "{name}");
        }
    }
}

#[test]
fn logits_come_back_exactly_and_the_head_with_them() {
    for rule in WindowRule::ALL {
        for precision in [Precision::Single, Precision::Half] {
            let (folder, path) = folder();
            let head = whole_rows(rule);
            record(&path, &head, precision);
            assert_eq!(names(folder.path()), ["logits.h5", "logits.h5.head.json"]);
            let mut file = Hdf5File::open(&path).expect("a file");
            assert_eq!(file.head(), &head);
            assert_eq!(file.chunks().collect::<Vec<_>>(), [4, 5, 6]);
            for chunk in head.chunks() {
                let rows = file.rows(chunk, 0..head.scored_rows(chunk)).expect("rows");
                assert_eq!(rows, logits(&head, chunk), "{rule:?} {precision:?}");
            }
            // As the predecessor's programs see it: chunks from 0, positions from 0. Where nothing was scored there
            // is no number.
            std::fs::remove_file(folder.path().join("logits.h5.head.json")).expect("removed");
            let mut bare = Hdf5File::open(&path).expect("a file");
            let first = head.windowing.first_scored() as usize;
            assert_eq!(bare.rows(0, first..first + 1).expect("a row"), logits(&head, 4)[..101]);
            assert!(bare.rows(0, 0..first).expect("rows").iter().all(|logit| logit.is_nan()));
            assert!(Hdf5Recording::begin_or_resume(&path, &head, precision).is_err(), "its model is unknown");
        }
    }
}

#[test]
fn recording_goes_on_with_what_is_whole() {
    let (_folder, path) = folder();
    let head = whole_rows(WindowRule::EveryPosition);
    let (mut recording, _) =
        Hdf5Recording::begin_or_resume(&path, &head, Precision::Single).expect("a recording");
    for block in logits(&head, 5).chunks(2 * 101) {
        recording.append(5, block).expect("rows are taken");
    }
    recording.append(4, &logits(&head, 4)[..101]).expect("rows are taken");
    assert!(recording.append(4, &[0.0; 100]).is_err(), "no row of the vocabulary");
    assert!(recording.append(5, &[0.0; 101]).is_err(), "the chunk is whole");
    drop(recording);
    let (recording, done) =
        Hdf5Recording::begin_or_resume(&path, &head, Precision::Single).expect("a recording");
    assert_eq!(done.into_iter().collect::<Vec<_>>(), [5]);
    assert!(recording.finish().is_err(), "two chunks are missing");
    record(&path, &head, Precision::Single);
    let (_other_folder, other) = folder();
    record(&other, &head, Precision::Single);
    assert!(std::fs::read(&path).expect("bytes") == std::fs::read(&other).expect("bytes"));
}

/// Damage and cuts end in an error or in other logits, never in a panic or in memory that is not there.
#[test]
fn damage_does_no_harm() {
    let (_folder, path) = folder();
    for name in ["logits-f32.h5", "logits-f16-gzip.h5"] {
        let whole = std::fs::read(recorded(name)).expect("a file");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a damaged file");
            let mut file = Hdf5File::open(&path)?;
            file.chunks()
                .collect::<Vec<_>>()
                .into_iter()
                .try_for_each(|chunk| file.rows(chunk, 0..4).map(drop))
        };
        for length in (0..whole.len()).step_by(97) {
            assert!(read(&whole[..length]).is_err(), "{name} cut at {length}");
        }
        let mut found = 0;
        for (place, flip) in (0..whole.len()).step_by(29).zip([0xff, 0x01, 0x80].into_iter().cycle()) {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            found += usize::from(read(&bytes).is_err());
        }
        assert!(found > 3, "{name}: {found} of {} were found", whole.len());
    }
}

#[test]
fn other_hdf5_files_are_refused_by_what_they_are() {
    let error = LogitStore::open(&recorded("comparison.h5")).expect_err("no logits").to_string();
    assert!(error.contains("comparison.h5: its format is `nothing`"), "{error}");
    let error = ComparisonFile::read(&recorded("logits-f32.h5")).expect_err("no comparison").to_string();
    assert!(error.contains("no file of compare_logits.py"), "{error}");
    assert!(ComparisonFile::read(&recorded("missing.h5")).is_err());
}

fn divergences(of: impl Fn(usize) -> f64) -> Divergences {
    Divergences {
        average: of(0),
        std_dev: of(1),
        minimum: of(2),
        maximum: of(3),
        median: of(4),
        percentile_99: of(5),
        percentile_95: of(6),
        percentile_90: of(7),
        percentile_10: of(8),
        percentile_5: of(9),
        percentile_1: of(10),
    }
}

fn comparison() -> ComparisonFile {
    let chunk = |chunk: u32| {
        let of = |index: usize| 0.01 * (index as f64 + 1.0) + f64::from(chunk);
        ChunkDivergence { chunk, divergences: divergences(of) }
    };
    let totals = Totals {
        values: 256,
        sum: 11.201_803_793_014_365,
        sum_of_squares: 0.817_697_465_508_762_3,
        minimum: 0.000_309_964_986_502_686_97,
        maximum: 0.265_548_544_976_716_87,
        overall: Some(divergences(|index| 0.5 * (index as f64 + 1.0))),
    };
    ComparisonFile { chunks: vec![chunk(0), chunk(1)], totals: Some(totals) }
}

#[test]
fn comparisons_of_h5py_are_read_and_our_own_come_back() {
    assert_eq!(ComparisonFile::read(&recorded("comparison.h5")).expect("a comparison"), comparison());
    let (folder, path) = folder();
    let unfinished = ComparisonFile { totals: None, ..comparison() };
    for file in [comparison(), unfinished] {
        file.write(&path).expect("written");
        assert_eq!(ComparisonFile::read(&path).expect("a comparison"), file);
    }
    let mut bad = comparison();
    bad.chunks[0].divergences.average = f64::NAN;
    assert!(bad.write(&path).is_err(), "a failure is no number");
    assert_eq!(names(folder.path()), ["logits.h5"]);
}
