//! Files of `llama-perplexity`: read, written, and refused when they are not whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gguflab_data::logits::{LlamaFile, LlamaRecording, LlamaRow, LogitStore, StoreHead};
use gguflab_types::evaluation::WindowRule;

use crate::stores::{Numbers, head, names};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("base.dat");
    (folder, path)
}

fn whole_rows() -> StoreHead {
    StoreHead { sketch: None, ..head(WindowRule::LlamaPerplexity) }
}

/// Scale, smallest log-probability and values of one row.
type Row = (f32, f32, Vec<u16>);

fn rows(head: &StoreHead, chunk: u32) -> Vec<Row> {
    let mut numbers = Numbers::new(u64::from(chunk));
    let row = |index: usize| {
        let values = (0..head.vocabulary).map(|_| numbers.below(65_536) as u16).collect();
        (0.000_25, -17.0 - index as f32, values)
    };
    (0..head.scored_rows(chunk)).map(row).collect()
}

fn lent(rows: &[Row]) -> Vec<LlamaRow<'_>> {
    rows.iter()
        .map(|(scale, least, values)| LlamaRow { scale: *scale, min_log_prob: *least, values })
        .collect()
}

fn record(path: &Path, head: &StoreHead) {
    let (mut recording, done) = LlamaRecording::begin_or_resume(path, head).expect("a recording");
    for chunk in head.chunks().filter(|chunk| !done.contains(chunk)) {
        recording.append(chunk, &lent(&rows(head, chunk))).expect("rows are taken");
    }
    recording.finish().expect("a file");
}

/// A file written by hand after the layout: 2 chunks of 4 tokens, so 1 row each, of 3 tokens and 1 that pads.
fn by_hand() -> Vec<u8> {
    let mut bytes = b"_logits_".to_vec();
    [4, 3, 2, 0, 1, 2, 0, 1, 1, 2, 2].iter().for_each(|number: &i32| bytes.extend(number.to_le_bytes()));
    for (scale, least, values) in [(0.5_f32, -2.0_f32, [1_u16, 2, 3, 0]), (f32::NAN, -2.0, [0, 0, 0, 0])] {
        bytes.extend(scale.to_le_bytes());
        bytes.extend(least.to_le_bytes());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    bytes
}

#[test]
fn the_layout_is_that_of_the_tool() {
    let (_folder, path) = folder();
    std::fs::write(&path, by_hand()).expect("a file");
    let store = LogitStore::open(&path).expect("a store");
    assert_eq!(store.chunks(), 0..2);
    assert_eq!(store.head().vocabulary, 3);
    assert_eq!(store.head().windowing.context, 4);
    assert_eq!(store.head().tokens, [[0, 1, 2, 0], [1, 1, 2, 2]]);
    let LogitStore::Llama(file) = store else { panic!("a file of llama-perplexity") };
    let blocks: Result<Vec<_>, _> = file.blocks(0, 64).collect();
    let block = &blocks.expect("rows")[0];
    assert_eq!(block.rows(), 1);
    assert_eq!(block.row(0), Some(LlamaRow { scale: 0.5, min_log_prob: -2.0, values: &[1, 2, 3] }));
    assert_eq!(block.row(1), None);
    // A row that is no number is none, and nothing takes its place.
    let block = file.blocks(1, 64).next().expect("a block").expect("rows");
    assert_eq!((block.rows(), block.row(0)), (1, None));
    assert!(file.blocks(2, 64).next().is_none());
}

#[test]
fn the_start_token_of_a_chunk_is_the_models() {
    let (_folder, path) = folder();
    std::fs::write(&path, by_hand()).expect("a file");
    let store = LogitStore::open(&path).expect("a store");
    assert_eq!(store.head().window(1, Some(0)).expect("a window").tokens, [0, 1, 2, 2]);
    assert_eq!(store.head().window(1, None).expect("a window").tokens, [1, 1, 2, 2]);
    store.check_tokens(1, &[0, 1, 2, 2]).expect("the first token is not the text's");
    assert!(store.check_tokens(1, &[0, 1, 2, 0]).is_err());
}

#[test]
fn rows_come_back_exactly_and_the_head_with_them() {
    for vocabulary in [100, 101] {
        let (folder, path) = folder();
        let head = StoreHead { vocabulary, ..whole_rows() };
        record(&path, &head);
        assert_eq!(names(folder.path()), ["base.dat", "base.dat.head.json"]);
        let file = LlamaFile::open(&path).expect("a file");
        assert_eq!(file.head(), &head);
        for chunk in head.chunks() {
            let blocks: Vec<_> = file.blocks(chunk, 2).map(|block| block.expect("rows")).collect();
            assert_eq!(blocks.iter().map(|block| block.rows()).collect::<Vec<_>>(), [2, 1]);
            let read: Vec<LlamaRow<'_>> =
                blocks.iter().flat_map(|block| (0..block.rows()).filter_map(|row| block.row(row))).collect();
            assert_eq!(read, lent(&rows(&head, chunk)));
        }
        // As a file of the tool itself: without what lies beside it.
        std::fs::remove_file(folder.path().join("base.dat.head.json")).expect("removed");
        let bare = LlamaFile::open(&path).expect("a file");
        assert_eq!((bare.head().model.as_ref(), &bare.head().tokens), (None, &head.tokens));
        assert!(LlamaRecording::begin_or_resume(&path, &head).is_err(), "its model is unknown");
    }
}

#[test]
fn recording_goes_on_with_what_is_whole() {
    let (folder, path) = folder();
    let head = whole_rows();
    let (mut recording, _) = LlamaRecording::begin_or_resume(&path, &head).expect("a recording");
    for chunk in [6, 4] {
        let rows = rows(&head, chunk);
        lent(&rows).chunks(2).for_each(|block| recording.append(chunk, block).expect("rows are taken"));
    }
    recording.append(5, &lent(&rows(&head, 5))[..1]).expect("rows are taken");
    assert!(LlamaRecording::begin_or_resume(&path, &head).is_err(), "it is locked");
    drop(recording);
    let (recording, done) = LlamaRecording::begin_or_resume(&path, &head).expect("a recording");
    assert_eq!(done, BTreeSet::from([4, 6]));
    let error = recording.finish().expect_err("a chunk is missing").to_string();
    assert!(error.contains("1 of its 3 chunks"), "{error}");
    // Rows that were lost with the power, though the journal has them.
    let partial = folder.path().join("base.dat.partial");
    let mut bytes = std::fs::read(&partial).expect("rows");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(&partial, &bytes).expect("damaged rows");
    let (recording, done) = LlamaRecording::begin_or_resume(&path, &head).expect("a recording");
    assert_eq!(done, BTreeSet::from([4]));
    drop(recording);
    record(&path, &head);
    let (_other_folder, other) = self::folder();
    record(&other, &head);
    assert!(std::fs::read(&path).expect("bytes") == std::fs::read(&other).expect("bytes"));
    let (recording, done) = LlamaRecording::begin_or_resume(&path, &head).expect("a finished recording");
    assert_eq!(done.len(), 3);
    recording.finish().expect("nothing to do");
}

#[test]
fn what_has_no_place_in_the_format_is_refused() {
    let (_folder, path) = folder();
    let every = StoreHead { sketch: None, ..head(WindowRule::EveryPosition) };
    let mut short = whole_rows();
    short.tokens[2].truncate(7);
    for bad in [every, short, head(WindowRule::LlamaPerplexity), StoreHead { tokens: vec![], ..whole_rows() }]
    {
        assert!(LlamaRecording::begin_or_resume(&path, &bad).is_err());
    }
    let head = whole_rows();
    let (mut recording, _) = LlamaRecording::begin_or_resume(&path, &head).expect("a recording");
    let rows = rows(&head, 4);
    let narrow = LlamaRow { values: &rows[0].2[1..], ..lent(&rows)[0] };
    for (chunk, bad) in [(4, vec![]), (4, vec![narrow]), (4, lent(&rows).repeat(2)), (7, lent(&rows))] {
        assert!(recording.append(chunk, &bad).is_err());
    }
    drop(recording);
    let mut other = head.clone();
    other.model.as_mut().expect("a model").fingerprint = "sha256:9".to_owned();
    let error = LlamaRecording::begin_or_resume(&path, &other).expect_err("another model").to_string();
    assert!(error.contains("another model: there sha256:1, here sha256:9"), "{error}");
}

#[test]
fn files_that_are_not_whole_are_refused_by_what_is() {
    let (_folder, path) = folder();
    let head = whole_rows();
    record(&path, &head);
    let whole = std::fs::read(&path).expect("a file");
    let (start, chunk) = (20 + 4 * 24, 3 * 2 * 106);
    assert_eq!(whole.len(), start + 3 * chunk);
    let cases = [
        (start + 3 * chunk - 1, "cut: 2 of its 3 chunks are whole"),
        (start + 2 * chunk, "cut: 2 of its 3 chunks are whole"),
        (start + 5, "cut: 0 of its 3 chunks are whole"),
        (30, "cut: 0 of its 3 chunks are whole"),
        (19, "within its first 20 bytes"),
    ];
    for (length, expected) in cases {
        std::fs::write(&path, &whole[..length]).expect("a cut file");
        let error = LogitStore::open(&path).expect_err("a cut file").to_string();
        assert!(error.contains(expected) && error.contains("base.dat"), "{length}: {error}");
    }
    std::fs::write(&path, [whole.as_slice(), b"more"].concat()).expect("a longer file");
    let error = LogitStore::open(&path).expect_err("a longer file").to_string();
    assert!(error.contains("4 bytes longer"), "{error}");
}

#[test]
fn absurd_counts_are_refused_before_memory_is_taken() {
    let (_folder, path) = folder();
    let cases = [
        ([2, 3, 2], "2 tokens in a chunk"),
        ([-1, 3, 2], "4294967295 tokens in a chunk"),
        ([4, 0, 2], "0 tokens in its vocabulary"),
        ([4, i32::MAX, 2], "2147483647 tokens in its vocabulary"),
        ([4, 3, 0], "0 chunks"),
        ([4, 3, -5], "4294967291 chunks"),
        ([1 << 24, 1 << 24, i32::MAX], "cut: 0 of its 2147483647 chunks"),
        ([4, 3, 3], "cut: 1 of its 3 chunks"),
        ([4, 2, 2], "chunk 0 has the token 2"),
    ];
    for (counts, expected) in cases {
        let mut bytes = by_hand();
        for (place, count) in [8, 12, 16].into_iter().zip(counts) {
            bytes[place..place + 4].copy_from_slice(&i32::to_le_bytes(count));
        }
        if counts == [4, 2, 2] {
            bytes.truncate(bytes.len() - 8);
        }
        std::fs::write(&path, &bytes).expect("a file");
        let error = LogitStore::open(&path).expect_err("absurd counts").to_string();
        assert!(error.contains(expected), "{counts:?}: {error}");
    }
}

#[test]
fn a_head_beside_it_must_be_its_own() {
    let (folder, path) = folder();
    record(&path, &whole_rows());
    let place = folder.path().join("base.dat.head.json");
    let good = std::fs::read_to_string(&place).expect("a head");
    for bad in
        ["", "{}", &good.replace("\"vocabulary\":101", "\"vocabulary\":102"), &good.replace("[8,9", "[8,8")]
    {
        std::fs::write(&place, bad).expect("another head");
        let error = LogitStore::open(&path).expect_err("another head").to_string();
        assert!(error.contains("head.json") && error.contains("is not the head of"), "{error}");
    }
}
