//! `tune --require` on what the model says, with the real worker.

use crate::evaluate::{cells, document, number, place_with_text, text};
use crate::support::Place;
use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};
use gguflab_lab::quality::is_window;
use gguflab_report::Document;
use gguflab_types::{Outcome, Trial};

/// A tune of cache types on the small model, in windows of 64 tokens.
const TUNE: &str = "tune tiny.gguf --store {}/s.db --study s --baseline threads=1 --only cache-type-k \
                    --knob cache-type-k=f16,q8_0,q4_0 --prompt 8 --generate 4 --sampler grid --context 64";

const CAPTION: &str = "What settings change";

/// The rows of what was found of each set of values.
fn judged(page: &Document) -> Vec<String> {
    let table = page.tables().find(|table| table.caption.starts_with(CAPTION)).unwrap();
    table.rows.iter().map(|row| format!("{row:?}")).collect()
}

/// The trials that scored windows, and how many.
fn scorers(trials: &[Trial]) -> Vec<(String, usize)> {
    let windows = |trial: &Trial| trial.repetitions.iter().filter(|one| is_window(one)).count();
    let all =
        trials.iter().map(|trial| (trial.configuration.get("cache-type-k").to_string(), windows(trial)));
    all.filter(|(_, windows)| *windows > 0).collect()
}

/// A bound that q8_0 keeps to and q4_0 misses, by what `evaluate` finds of them.
fn bound(place: &Place) -> f64 {
    let divergence = |cache: &str| {
        let side = format!("tiny.gguf cache-type-k={cache}");
        let mut words = vec!["evaluate", &side, "--reference", "tiny.gguf", "--text", "text.txt"];
        words.extend(["--context", "64", "--chunks", "0..40", "--set", "threads=1", "--json", "-q"]);
        crate::evaluate::divergence(&place.run_words(&words))
    };
    let (fine, coarse) = (divergence("q8_0"), divergence("q4_0"));
    assert!(coarse > 4.0 * fine, "{fine} {coarse}");
    (fine * coarse).sqrt()
}

#[test]
fn an_engines_lossy_settings_are_held_to_what_is_required_and_scored_once() {
    let place = place_with_text();
    let tune = format!("{TUNE} --require divergence<{:.9} --data text.txt", bound(&place));
    place.check(&format!("{tune} --budget-runs 3"), 0, "Quality");
    let first = place.trials("s.db", "s");
    assert_eq!(scorers(&first).len(), 1, "{:?}", scorers(&first));

    // More budget and another file: what was scored is not scored again.
    place.check("study copy s --to {}/t.db --store {}/s.db", 0, "");
    let more = tune.replace("s.db", "t.db");
    let line = format!("{more} --budget-runs 8 --resume --json --report {{}}/r.html");
    let ended = place.check(&line, 0, "Quality");
    let trials = place.trials("t.db", "s");
    let scored = scorers(&trials);
    assert!(trials.len() > first.len() && scored.starts_with(&scorers(&first)), "{scored:?}");
    let mut caches: Vec<&str> = scored.iter().map(|(cache, _)| cache.as_str()).collect();
    caches.sort_unstable();
    assert_eq!(caches, ["q4_0", "q8_0"], "each once, and of the baseline nothing: {scored:?}");
    assert!(scored.iter().all(|(_, windows)| *windows >= 8), "{scored:?}");
    let page = document(&ended);
    let rows = judged(&page);
    let row = |cache: &str| rows.iter().find(|row| row.contains(&format!("cache-type-k={cache}"))).unwrap();
    assert!(row("q4_0").contains("missed") && row("q8_0").contains("held"), "{rows:?}");
    assert_eq!(number(cells(&page, CAPTION, "divergence")[0]), 0.0, "the baseline is its own reference");
    assert!(!ended.has("quality was not checked"), "{ended}");
    place.check("study show s --store {}/t.db", 0, "requires divergence<");
    assert!(place.read("r.html").contains("divergence by settings"));
    let scorer = trials.iter().find(|trial| trial.repetitions.iter().any(is_window)).unwrap();
    let show = format!("study show s {} --store {{}}/t.db", scorer.number);
    place.check(&show, 0, "Windows that were scored");
    place.check("export s --store {}/t.db", 0, "divergence");
    place.write("text.txt", "other words");
    place.check(&format!("{more} --budget-runs 14 --resume"), 3, "has");
    place.write("text.txt", text() + " more");
    place.check(&format!("{more} --budget-runs 14 --resume"), 1, "begun with other settings (quality)");
}

#[test]
fn an_engine_that_loses_nothing_by_what_is_searched_scores_nothing() {
    let place = place_with_text();
    let tune = TUNE
        .replace("--only cache-type-k", "--only ubatch")
        .replace("cache-type-k=f16,q8_0,q4_0", "ubatch=16,32");
    let held = "what is required of it holds";
    let ended =
        place.check(&format!("{tune} --require divergence<0.05 --text text.txt --budget-runs 4"), 0, held);
    assert!(ended.has("nothing was scored"), "{ended}");
    let trials = place.trials("s.db", "s");
    assert!(scorers(&trials).is_empty());
    assert!(trials.iter().any(|one| one.ending.as_ref().is_some_and(|end| end.outcome == Outcome::Measured)));
}

#[test]
fn an_engine_is_held_against_another_reference_where_one_is_named() {
    let place = place_with_text();
    // The baseline's own cache is coarse; against the model as it is meant to be, it loses something too.
    let tune = TUNE.replace("threads=1", "threads=1 --baseline cache-type-k=q4_0");
    let line =
        format!("{tune} --require divergence<{:.9} --data text.txt --budget-runs 8 --json", bound(&place));
    let line = line.replace("{}", &place.folder().display().to_string());
    let words = line.split_whitespace().chain(["--reference", "tiny.gguf threads=1"]);
    let ended = place.run_words(&words.collect::<Vec<&str>>());
    assert!(ended.status.success(), "{ended}");
    let rows = judged(&document(&ended));
    let row = |cache: &str| rows.iter().find(|row| row.contains(&format!("cache-type-k={cache}"))).unwrap();
    assert!(row("q4_0").contains("missed") && row("q4_0").contains("the baseline"), "{rows:?}");
    assert!(row("q8_0").contains("held") && row("f16").contains("held"), "{rows:?}");
    let said = place.check("study show s --store {}/s.db --json", 0, "requires divergence<");
    assert!(said.has("divergence"), "{said}");
}

#[test]
fn an_engine_refuses_what_quality_cannot_be_judged_by() {
    let place = place_with_text();
    place.write("short.txt", "A few words.");
    place.write("some.txt", text().chars().take(700).collect::<String>());
    let long = "--data text.txt";
    for (words, code, said) in [
        ("--require divergence<0.05".to_string(), 2, "name one with --data FILE"),
        (
            format!("--require memory<9GiB {long}"),
            2,
            "--data says by what quality is judged, and none is required",
        ),
        ("--require memory<9GiB --context 64".to_string(), 2, "--context goes with --workload logits"),
        (format!("--require divergence<0 {long}"), 2, "no number above 0"),
        (format!("--require divergence>0.1 {long}"), 2, "less divergence is better"),
        (format!("--require blunder<1 {long}"), 2, "divergence, perplexity-ratio, same-top"),
        (format!("--require divergence<0.1 {long} --protocol nonsense"), 2, "every-position"),
        (format!("--require divergence<0.1 {long} --chunks 7..3"), 2, "A..B"),
        (format!("--require divergence<0.1 {long} --chunks 9000..9001"), 2, "there are windows"),
        ("--require divergence<0.1 --data nowhere.txt".to_string(), 3, "nowhere.txt"),
        (
            "--require divergence<0.1 --data short.txt".to_string(),
            3,
            "take a longer text, or a smaller --context",
        ),
        ("--require divergence<0.1 --data some.txt --context 128".to_string(), 3, "of the 8 windows"),
        (
            format!("--require divergence<0.1 {long} --engine simulated"),
            2,
            "take --engine embedded or worker",
        ),
    ] {
        let line = TUNE.replace(" --context 64", if said.contains("logits") { "" } else { " --context 64" });
        let line = if words.contains("--context") { line.replace(" --context 64", "") } else { line };
        place.check(&format!("{line} {words}"), code, said);
    }
    assert!(!place.path("s.db").exists(), "what cannot be tuned leaves no file behind");
}

#[test]
fn an_engine_refuses_a_reference_of_another_tokenizer_or_process() {
    let place = place_with_text();
    let wider = TinyModel { vocabulary: 600, ..TinyModel::new(TinyArchitecture::Llama) };
    write_tiny(&place.path("wider.gguf"), &wider).unwrap();
    let record = "logits record wider.gguf --text text.txt --context 64 --chunks 0..9 --set threads=1 -o wider.parquet";
    place.check(record, 0, "is whole");
    let tune =
        format!("{TUNE} --require divergence<0.05").replace("{}", &place.folder().display().to_string());
    for (reference, said) in [
        ("wider.parquet", "recorded with another tokenizer"),
        ("tiny.gguf env:SOMETHING=1", "env:SOMETHING of tiny"),
    ] {
        let data = ["--data", "text.txt", "--reference", reference];
        let words: Vec<&str> = tune.split_whitespace().chain(data).collect();
        let ended = place.run_words(&words);
        assert!(ended.status.code() == Some(3) && ended.has(said), "{reference}: {ended}");
    }
}
