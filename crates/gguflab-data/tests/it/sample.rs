//! Samples: balanced, without repeats, and nothing lost without a word.

use std::collections::{BTreeMap, BTreeSet};

use gguflab_data::dataset::sample::{
    Amount, CountTokens, LeftOut, Manifest, Sample, SampleRequest, TokenEstimate, sample,
};
use gguflab_data::dataset::{Dataset, DatasetRequest, FieldPath};

use crate::Home;
use crate::dataset::named;

const REQUEST: SampleRequest =
    SampleRequest { languages: Vec::new(), amount: Amount::Records(20), skip: 0, chunk: None, seed: 42 };

/// Records of three languages, some of them unusable.
fn corpus() -> Home {
    let mut lines = String::new();
    for number in 0..100 {
        for (language, count) in [("en", 30), ("fr", 12), ("de", 5)] {
            let text = vec![format!("{language}{number}"); 1 + (number * 7 + count) % count].join(" ");
            lines += &format!("{{\"lang\":\"{language}\",\"text\":\"{text}\"}}\n");
        }
    }
    lines += "{\"lang\":\"en\",\"text\":\" \"}\n{\"lang\":\"en\"}\n{\"text\":\"none\"}\n{\"lang\":\"it\",\"text\":\"uno\"}\n";
    lines += "{\"lang\":\"de\",\"text\":\"de0 \"}\n{\"lang\":\"de\",\"text\":\"de0\"}\n";
    Home::of(&[("c.jsonl", lines.as_bytes())])
}

fn datasets(home: &Home) -> Vec<Dataset> {
    let language_field = Some(FieldPath::parse("lang").expect("a path"));
    vec![home.open(&DatasetRequest { language_field, ..named("c.jsonl") }).expect("a dataset")]
}

fn languages(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn rows(sample: &Sample) -> BTreeSet<u64> {
    sample.parts.iter().map(|part| part.row).collect()
}

#[test]
fn so_many_of_each_language_are_taken_and_the_rest_is_accounted_for() {
    let home = corpus();
    let request = SampleRequest { languages: languages(&["en", "FR", "de", "pt"]), ..REQUEST };
    let taken = sample(&datasets(&home), &request, None, &mut TokenEstimate::default()).expect("a sample");
    let counts: BTreeMap<&str, u64> =
        taken.languages.iter().map(|(name, count)| (name.as_str(), count.taken)).collect();
    assert_eq!(counts, BTreeMap::from([("en", 20), ("FR", 20), ("de", 20), ("pt", 0)]));
    let left: u64 = taken.left_out.values().sum();
    assert_eq!(left + 60, 306, "every record is taken or counted: {:?}", taken.left_out);
    for (reason, count) in [
        (LeftOut::Empty, 1),
        (LeftOut::WithoutText, 1),
        (LeftOut::WithoutLanguage, 1),
        (LeftOut::OtherLanguage, 1),
        (LeftOut::NotNeeded, 240),
    ] {
        assert_eq!(taken.left_out.get(&reason), Some(&count), "{reason:?}");
    }
    let other = SampleRequest { seed: 43, ..request.clone() };
    let other = sample(&datasets(&home), &other, None, &mut TokenEstimate::default()).expect("a sample");
    assert_ne!(rows(&taken), rows(&other));
}

#[test]
fn a_later_call_goes_on_without_repeats() {
    let home = corpus();
    let datasets = datasets(&home);
    let mut counter = TokenEstimate::default();
    let mut manifest = Manifest::begin(&datasets, &REQUEST, counter.name()).expect("a manifest");
    let mut all = BTreeSet::new();
    for round in 1..=3 {
        let more = sample(&datasets, &REQUEST, Some(&manifest), &mut counter).expect("more");
        assert!(all.is_disjoint(&rows(&more)));
        all.extend(rows(&more));
        manifest.add(&REQUEST, &more.parts);
        let read = Manifest::parse(&manifest.to_text().expect("text")).expect("a manifest");
        assert_eq!(read, manifest);
        assert_eq!(manifest.sources[0].rows.len(), all.len(), "round {round}");
    }
    // What three calls of 20 take is what one of 60 takes.
    let whole = SampleRequest { amount: Amount::Records(60), ..REQUEST };
    assert_eq!(rows(&sample(&datasets, &whole, None, &mut counter).expect("a sample")), all);

    let again = |request: &SampleRequest, datasets: &[Dataset], by: &str| {
        let now = Manifest::begin(datasets, request, by.to_owned()).expect("a manifest");
        now.differs_from(&manifest)
    };
    assert_eq!(again(&REQUEST, &datasets, &counter.name()), None);
    let seed = again(&SampleRequest { seed: 1, ..REQUEST }, &datasets, &counter.name());
    assert_eq!(seed.as_deref(), Some("its seed is 42, not 1"));
    assert!(
        again(&REQUEST, &datasets, "a tokenizer").is_some_and(|text| text.contains("tokens were counted by"))
    );
    home.write("here/c.jsonl", b"{\"text\":\"another\"}");
    let changed = again(&REQUEST, &datasets[..1], &counter.name());
    assert!(changed.is_some_and(|text| text.contains("c.jsonl has changed since")));
}

#[test]
fn a_budget_of_tokens_is_the_same_for_each_language() {
    let home = corpus();
    let request = SampleRequest { amount: Amount::Tokens(150), chunk: Some(64), ..REQUEST };
    let request = SampleRequest { languages: languages(&["en", "fr", "de"]), ..request };
    let taken = sample(&datasets(&home), &request, None, &mut TokenEstimate::default()).expect("a sample");
    for (name, count) in &taken.languages {
        assert!((150..200).contains(&count.tokens), "{name}: {count:?}");
    }
    let mut chunks: BTreeMap<u64, u64> = BTreeMap::new();
    taken.parts.iter().for_each(|part| *chunks.entry(part.chunk).or_default() += part.tokens);
    assert_eq!(chunks.len() as u64, taken.chunks);
    assert!(chunks.values().all(|tokens| *tokens <= 64), "{chunks:?}");
}

#[test]
fn records_longer_than_a_chunk_are_cut_and_said() {
    let long = vec!["word"; 400].join(" ");
    let home = Home::of(&[("a.txt", format!("{long}\n\nshort one\n").as_bytes())]);
    let datasets = [home.open(&named("a.txt")).expect("a dataset")];
    let request = SampleRequest { chunk: Some(100), ..REQUEST };
    let taken = sample(&datasets, &request, None, &mut TokenEstimate::default()).expect("a sample");
    assert_eq!((taken.cut, taken.languages[""].taken), (1, 2));
    let words: usize = taken.parts.iter().map(|part| part.text.split(' ').count()).sum();
    assert_eq!(words, 402, "nothing is lost");
}

#[test]
fn skipping_and_nothing_to_take() {
    let home = corpus();
    let datasets = datasets(&home);
    let mut counter = TokenEstimate::default();
    let request = SampleRequest { skip: 90, ..REQUEST };
    let taken = sample(&datasets, &request, None, &mut counter).expect("a sample");
    assert!(rows(&taken).iter().all(|row| *row >= 270), "the first 90 of each language are passed over");
    assert_eq!(taken.left_out.get(&LeftOut::Skipped), Some(&(270 + 2)));
    let none = SampleRequest { languages: languages(&["xx"]), ..REQUEST };
    let error = sample(&datasets, &none, None, &mut counter).expect_err("no such language").to_string();
    assert!(error.contains("nothing can be taken") && error.contains("another language"), "{error}");
    let none = SampleRequest { chunk: Some(0), ..REQUEST };
    assert!(sample(&datasets, &none, None, &mut counter).is_err());
}

#[test]
fn a_field_that_is_no_language_is_noticed() {
    let lines: String =
        (0..1100).map(|id| format!("{{\"lang\":\"{id}\",\"text\":\"text {id}\"}}\n")).collect();
    let home = Home::of(&[("c.jsonl", lines.as_bytes())]);
    let error =
        sample(&datasets(&home), &REQUEST, None, &mut TokenEstimate::default()).expect_err("too many");
    assert!(error.to_string().contains("more than 1000 languages"), "{error}");
}

/// A counter that fails, and one that miscounts.
struct Broken(Result<Vec<u64>, String>);

impl CountTokens for Broken {
    fn name(&self) -> String {
        "broken".to_owned()
    }
    fn is_estimate(&self) -> bool {
        false
    }
    fn count(&mut self, _: &[&str]) -> Result<Vec<u64>, String> {
        self.0.clone()
    }
}

#[test]
fn tokens_that_cannot_be_counted_are_an_error() {
    let home = corpus();
    for (counter, expected) in
        [(Err("the engine died".to_owned()), "the engine died"), (Ok(vec![1]), "1 counts came for")]
    {
        let error =
            sample(&datasets(&home), &REQUEST, None, &mut Broken(counter)).expect_err("broken").to_string();
        assert!(error.contains("the tokens cannot be counted") && error.contains(expected), "{error}");
    }
}
