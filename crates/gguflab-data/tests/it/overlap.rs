//! What of an evaluation is in a training set, against a count by sets of words.

use std::collections::{BTreeMap, BTreeSet};

use gguflab_data::dataset::overlap::{Overlap, OverlapOptions, overlap};

use crate::Home;
use crate::dataset::named;

const OPTIONS: OverlapOptions =
    OverlapOptions { words: 13, similarity: 0.8, threads: 2, grams_of_a_pass: 1_000_000 };

/// Words at random, of a small vocabulary; the same for the same seed.
fn words(seed: u64, count: usize) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % 5000
    };
    (0..count).map(|_| format!("w{}", next())).collect()
}

fn lines(records: &[Vec<String>]) -> Vec<u8> {
    records.iter().map(|words| words.join(" ") + "\n\n").collect::<String>().into_bytes()
}

fn compare(evaluation: &[Vec<String>], training: &[Vec<String>], options: &OverlapOptions) -> Overlap {
    let home = Home::of(&[("e.txt", &lines(evaluation)), ("t.txt", &lines(training))]);
    let open = |name: &str| home.open(&named(name)).expect(name);
    overlap(&[open("e.txt")], &[open("t.txt")], options).expect("an overlap")
}

fn shingles(words: &[String]) -> BTreeSet<&[String]> {
    words.windows(13).collect()
}

/// Half of the training records are copies of evaluation records with some words changed, more in each.
fn planted() -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let evaluation: Vec<Vec<String>> = (0..120).map(|seed| words(seed + 1, 150 + seed as usize)).collect();
    let changed = evaluation.iter().enumerate().map(|(number, record)| {
        let mut copy = record.clone();
        for change in 0..number % 6 {
            copy[20 + 23 * change] = "changed".to_owned();
        }
        copy
    });
    let others = (0..120).map(|seed| words(seed + 1000, 200));
    let training = changed.zip(others).flat_map(|(copy, other)| [copy, other]).collect();
    (evaluation, training)
}

#[test]
fn pairs_are_those_of_sets_of_words() {
    let (evaluation, training) = planted();
    let mut expected = BTreeMap::new();
    for (one, record) in evaluation.iter().map(|record| shingles(record)).enumerate() {
        for (other, copy) in training.iter().map(|record| shingles(record)).enumerate() {
            let (shared, all) =
                (record.intersection(&copy).count() as u64, record.union(&copy).count() as u64);
            if shared as f64 >= 0.8 * all as f64 {
                expected.insert((one as u64, other as u64), (shared, all));
            }
        }
    }
    assert!(expected.len() > 20 && expected.len() < 100, "{} planted pairs", expected.len());
    for options in [OPTIONS, OverlapOptions { threads: 1, grams_of_a_pass: 5000, ..OPTIONS }] {
        let found = compare(&evaluation, &training, &options);
        let pairs: BTreeMap<_, _> = found
            .pairs
            .iter()
            .map(|pair| ((pair.evaluation.row, pair.training.row), (pair.shared, pair.all)))
            .collect();
        assert_eq!(pairs, expected);
        assert_eq!((found.all_pairs, found.near_duplicates), (expected.len() as u64, expected.len() as u64));
        assert_eq!(found.passes > 1, options.grams_of_a_pass == 5000);
        assert_eq!(found.training.records, 240);
    }
}

#[test]
fn shares_and_passages_are_counted() {
    let own = words(7, 100);
    let common = words(8, 40);
    let with = |before: &[String], after: &[String]| [before, &common, after].concat();
    let evaluation =
        [with(&own[..30], &own[30..60]), words(9, 50), words(10, 5), words(11, 5), common.clone()];
    let training = [words(12, 60), with(&words(13, 50), &[]), words(10, 5)];
    let found = compare(&evaluation, &training, &OPTIONS);
    assert_eq!((found.evaluation.records, found.evaluation.short, found.evaluation.without_words), (5, 2, 0));
    // The first by its passage, the short one that is the same as a whole, and the common one.
    assert_eq!((found.touched, found.near_duplicates), (3, 0));
    assert_eq!((found.grams, found.matched_grams), ((100 - 12) + (50 - 12) + (40 - 12), 2 * (40 - 12)));
    assert_eq!(found.contained, [(10, 3), (50, 2), (80, 2), (100, 2)]);
    let passages: Vec<_> = found
        .passages
        .iter()
        .map(|it| (it.evaluation.row, it.training.row, it.words, it.text.clone()))
        .collect();
    let text = common.join(" ");
    assert_eq!(passages, [(0, 1, 40, text.clone()), (4, 1, 40, text)]);
}

#[test]
fn signs_case_and_line_ends_hide_nothing() {
    let text = words(3, 30);
    let shouted: Vec<String> = text.iter().map(|word| format!("*{},*", word.to_uppercase())).collect();
    let found = compare(&[text], &[shouted], &OPTIONS);
    assert_eq!((found.all_pairs, found.pairs[0].similarity()), (1, 1.0));
}

#[test]
fn nothing_in_common_is_nothing() {
    let found = compare(&[words(1, 100)], &[words(2, 100)], &OPTIONS);
    assert_eq!((found.touched, found.matched_grams, found.all_pairs, found.grams), (0, 0, 0, 88));
    assert!(found.passages.is_empty());
    let home = Home::of(&[("e.txt", b"a b c")]);
    let dataset = [home.open(&named("e.txt")).expect("a dataset")];
    for options in [OverlapOptions { words: 0, ..OPTIONS }, OverlapOptions { similarity: 0.0, ..OPTIONS }] {
        assert!(overlap(&dataset, &dataset, &options).is_err());
    }
}

#[test]
fn an_error_of_the_training_set_ends_it() {
    let home = Home::of(&[("e.txt", b"a b c"), ("t.txt", b"one\n\ntwo \xff")]);
    let open = |name: &str| [home.open(&named(name)).expect(name)];
    let error = overlap(&open("e.txt"), &open("t.txt"), &OPTIONS).expect_err("not UTF-8").to_string();
    assert!(error.contains("byte 9 is 0xff"), "{error}");
}
