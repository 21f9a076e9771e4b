use super::*;
use crate::requirement::{Requirement, violation};
use crate::study::OpenStudy;
use gguflab_search::Violation;
use gguflab_store::{NewStudy, Objective, Store};
use gguflab_types::{Ending, Outcome, Protocol, Purpose, Subject, Trial, Value};
use serde_json::json;

/// Windows of the text.
const ALL: usize = 40;

fn study(requirements: &[&str]) -> OpenStudy {
    let settings = json!({
        "version": crate::study::SETTINGS_VERSION, "objective": "time", "protocol": Protocol::default(),
        "workload": {"name": "one", "requests": []}, "baseline": {}, "sampler": "auto", "runs": 40,
        "seconds": null, "margin": 0.01, "seed": 42, "layers": 24, "experts": 0,
        "requirements": requirements,
        "quality": {"reference": null, "texts": [], "chunks": null,
                    "windowing": {"rule": "llama-perplexity", "context": 8}},
    });
    let words = |words: &[&str]| words.iter().map(|word| Value::Text((*word).to_string())).collect();
    let new = NewStudy {
        name: "s".into(),
        subject: Subject::default(),
        space: vec![
            ("cache-type-k".into(), words(&["f16", "q8_0", "q4_0"])),
            ("threads".into(), vec![Value::Integer(1), Value::Integer(2)]),
        ],
        objectives: vec![Objective { metric: "time".into(), direction: Direction::Lower }],
        settings,
    };
    let mut store = Store::memory().unwrap();
    store.create_study(&new).unwrap();
    let study = store.find_study("s").unwrap().unwrap();
    OpenStudy::read(study).unwrap()
}

fn configuration(cache: &str, threads: i64) -> Configuration {
    let made = Configuration::new().with("threads", Value::Integer(threads));
    if cache == "f16" { made } else { made.with("cache-type-k", Value::Text(cache.into())) }
}

/// A window of four positions whose divergence scatters around `mean`, and whose perplexity rises by as much.
fn scored(chunk: u32, mean: f64) -> Repetition {
    let scatter = |place: u32| mean * (0.8 + 0.1 * f64::from((chunk * 7 + place * 3) % 5));
    let some = |of: &dyn Fn(u32) -> f64| (0..4).map(|place| Some(of(place))).collect::<Vec<Option<f64>>>();
    let scores = WindowScores {
        chunk,
        reference: Some(TokenScores { nll: some(&|_| 3.0), ..TokenScores::default() }),
        candidates: [(
            0,
            TokenScores {
                nll: some(&|place| 3.0 + scatter(place)),
                divergence: some(&scatter),
                same_top: (0..4).map(|place| Some(mean < 0.2 || place + chunk % 2 > 1)).collect(),
                ..TokenScores::default()
            },
        )]
        .into(),
        ..WindowScores::default()
    };
    window(&scores, ALL, 0.0, 0.5)
}

fn trial(configuration: Configuration, outcome: Outcome, repetitions: Vec<Repetition>) -> Trial {
    Trial {
        number: 0,
        configuration,
        purpose: Purpose::Search,
        round: 0,
        ending: Some(Ending::new(outcome, "")),
        repetitions,
        intermediates: [].into(),
        told: Vec::new(),
        started: 0.0,
        duration: Some(1.0),
    }
}

fn windows(count: u32, mean: f64) -> Vec<Repetition> {
    (0..count).map(|chunk| scored(chunk, mean)).collect()
}

fn misses(study: &OpenStudy, trials: &[Trial]) -> Vec<Option<Violation>> {
    let qualities = study.qualities(trials);
    trials.iter().map(|trial| study.violation(trial, &qualities)).collect()
}

#[test]
fn every_trial_with_the_same_values_is_judged_by_the_windows_of_one() {
    let study = study(&["divergence<0.05"]);
    let trials = [
        trial(configuration("f16", 2), Outcome::Measured, Vec::new()),
        trial(configuration("q8_0", 1), Outcome::Cancelled, windows(6, 0.002)),
        trial(configuration("q8_0", 2), Outcome::Measured, windows(12, 0.002)),
        trial(configuration("q8_0", 1), Outcome::Measured, Vec::new()),
        trial(configuration("q4_0", 2), Outcome::Measured, windows(12, 0.3)),
        trial(configuration("q4_0", 1), Outcome::Measured, Vec::new()),
        trial(configuration("q4_0", 1), Outcome::Crashed, Vec::new()),
    ];
    let found = misses(&study, &trials);
    let misses: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(misses, [false, false, false, false, true, true, false]);
    assert_eq!(found[4], found[5]);
    let missed = found[4].clone().unwrap();
    assert!((missed.excess.unwrap() - 5.0).abs() < 0.2, "{missed:?}");
    assert!(missed.words.starts_with("requires divergence<0.05, and has 0.299 nat ["), "{}", missed.words);
    assert!(missed.words.ends_with("in 12 windows"), "{}", missed.words);
    let qualities = study.qualities(&trials);
    let said = study.said(&configuration("q8_0", 1), &qualities).unwrap();
    assert_eq!((said.windows(), said.all(), said.seconds()), (12, ALL, 6.0), "the same window counts once");
    assert!(study.is_judged(said));
    let baseline = study.said(&configuration("f16", 1), &qualities).unwrap();
    assert!(baseline.is_itself() && study.is_judged(baseline) && baseline.windows() == 0);
    // What the search sees: a value that it may learn from, and how far off it is.
    let visits = study.visits(&trials);
    assert_eq!(visits[5].violation.as_ref().and_then(|one| one.excess), missed.excess);
}

#[test]
fn it_ends_as_soon_as_it_is_decided_and_never_before_there_is_an_interval() {
    let study = study(&["divergence<0.05", "same-top>70%"]);
    let needed = |mean: f64| {
        let mut said = study.known(&configuration("q8_0", 1), &[]);
        let mut chunks = 0..ALL as u32;
        while !study.is_judged(&said) {
            said.add(&scored(chunks.next().unwrap(), mean));
        }
        said.windows()
    };
    assert_eq!(needed(0.002), ConfidenceSequence::DEFAULT.first);
    assert_eq!(needed(0.3), ConfidenceSequence::DEFAULT.first);
    assert_eq!(needed(0.05), ALL, "what lies on the bound takes the whole text");
}

#[test]
fn what_the_text_leaves_open_is_missed_and_says_what_to_do() {
    let study = study(&["divergence<0.05"]);
    let trials = [trial(configuration("q8_0", 1), Outcome::Measured, windows(ALL as u32, 0.0495))];
    let missed = misses(&study, &trials).remove(0).unwrap();
    assert!(missed.words.contains("all 40 windows of the text leave it open: 0.0"), "{}", missed.words);
    assert!(missed.words.ends_with("take a longer text"), "{}", missed.words);
    assert!(missed.excess.is_some_and(|excess| excess > 0.0 && excess < 0.2), "{missed:?}");
}

#[test]
fn positions_without_a_number_are_missed_and_counted() {
    let study = study(&["divergence<0.05"]);
    let mut broken = windows(9, 0.002);
    let divergence = broken[3].samples.iter_mut().find(|sample| sample.metric == DIVERGENCE).unwrap();
    divergence.values[2] = f64::NAN;
    let said = study.known(&configuration("q8_0", 1), &[]);
    let mut one = said.clone();
    one.add(&broken[3]);
    assert!(study.is_judged(&one), "it need not go on");
    let missed = misses(&study, &[trial(configuration("q8_0", 1), Outcome::Measured, broken)]).remove(0);
    let missed = missed.unwrap();
    assert_eq!(missed.excess, None);
    assert!(missed.words.contains("1 of 36 scored positions have no number"), "{}", missed.words);
    let nothing = misses(&study, &[trial(configuration("q8_0", 1), Outcome::Measured, Vec::new())]).remove(0);
    assert!(nothing.unwrap().words.contains("divergence was not measured"));
    assert_eq!(said.windows(), 0);
}

#[test]
fn every_figure_can_be_required_and_what_was_left_open_is_not_called_missed() {
    let both = study(&["perplexity-ratio<1.05", "same-top>70%"]);
    let trials = [
        trial(configuration("f16", 1), Outcome::Measured, Vec::new()),
        trial(configuration("q8_0", 1), Outcome::Measured, windows(8, 0.002)),
        trial(configuration("q4_0", 1), Outcome::Measured, windows(8, 0.3)),
    ];
    let found = misses(&both, &trials);
    assert!(found[0].is_none() && found[1].is_none(), "{found:?}");
    let words = &found[2].as_ref().unwrap().words;
    assert!(words.contains("requires perplexity-ratio<1.05, and has 1.3"), "{words}");
    let qualities = both.qualities(&trials);
    let said = both.said(&configuration("q4_0", 1), &qualities).unwrap();
    for quality in QUALITIES {
        let estimate = said.estimate(quality).unwrap();
        let interval = estimate.interval.unwrap();
        assert!(interval.contains(estimate.value), "{}: {estimate:?}", quality.name);
    }
    // The perplexity is surely too high; of the divergence, whose bound lies at its mean, nothing is known yet.
    let open = study(&["perplexity-ratio<1.05", "divergence<0.3"]);
    let words = misses(&open, &trials).remove(2).unwrap().words;
    assert!(words.contains("perplexity-ratio") && !words.contains("divergence"), "{words}");
}

#[test]
fn intervals_hold_for_all_that_is_searched_and_required_together() {
    let width = |study: &OpenStudy| {
        let trials = [trial(configuration("q8_0", 1), Outcome::Measured, windows(20, 0.002))];
        let qualities = study.qualities(&trials);
        let said = study.said(&configuration("q8_0", 1), &qualities).unwrap();
        let interval = said.estimate(&QUALITIES[0]).unwrap().interval.unwrap();
        (interval.half_width(), interval.confidence)
    };
    let (narrow, alone) = width(&study(&["divergence<0.05"]));
    let (wide, together) = width(&study(&["divergence<0.05", "same-top>70%"]));
    assert!(wide > narrow && (together - (1.0 - 0.05 / 6.0)).abs() < 1e-12, "{narrow} {wide} {together}");
    assert!((alone - (1.0 - 0.05 / 3.0)).abs() < 1e-12, "three values of the one knob that changes anything");
}

#[test]
fn a_requirement_that_is_not_of_quality_needs_no_text() {
    let memory = Requirement::parse("memory<12GiB", &[]).unwrap();
    assert!(memory.quality().is_none());
    let study = study(&["divergence<0.05"]);
    let said = study.known(&configuration("q8_0", 1), &[]);
    assert_eq!(memory.found(&said), None);
    let none = violation(&study.requirements, study.shown(&[], None)).unwrap();
    assert!(none.words.contains("divergence was not measured"), "{}", none.words);
    assert!(QUALITIES.iter().all(|one| gguflab_types::metric::find(one.name).is_none()), "names are unique");
}
