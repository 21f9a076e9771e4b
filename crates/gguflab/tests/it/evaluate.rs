//! Perplexity and divergence through the command line, beside the real llama-perplexity.

use crate::processes::signal;
use crate::quantised::rewrite;
use crate::support::{Ended, Place, finish, given};
use gguflab_format::TinyArchitecture;
use gguflab_report::{Cell, Document};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// The project's own pages are the text: English with tables and code.
const PAGES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

pub(crate) fn text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    PAGES.iter().map(|page| std::fs::read_to_string(root.join(page)).unwrap()).collect()
}

pub(crate) fn document(ended: &Ended) -> Document {
    serde_json::from_value(ended.json()["document"].clone()).unwrap()
}

/// The cells of a column of the table whose caption begins so.
pub(crate) fn cells<'a>(document: &'a Document, caption: &str, column: &str) -> Vec<&'a Cell> {
    let table = document.tables().find(|table| table.caption.starts_with(caption));
    let table = table.unwrap_or_else(|| panic!("no table {caption}"));
    let place = table.columns.iter().position(|one| one.name == column);
    table.column_cells(place.unwrap_or_else(|| panic!("no column {column}"))).collect()
}

pub(crate) fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Count { value } => *value as f64,
        cell => cell.quantity().unwrap_or_else(|| panic!("{cell:?}")).0,
    }
}

/// A place with the small model and the text.
pub(crate) fn place_with_text() -> Place {
    let place = Place::with_model();
    place.write("text.txt", text());
    place
}

/// Of the first candidate.
pub(crate) fn divergence(ended: &Ended) -> f64 {
    number(cells(&document(ended), "Distance", "KL divergence")[0])
}

#[test]
fn an_engine_is_not_far_from_itself() {
    let place = place_with_text();
    let line = "evaluate tiny.gguf --reference tiny.gguf --text text.txt --context 64 --chunks 0..8 --set threads=1 --json";
    let found = document(&place.check(line, 0, "8 windows of 8 scored"));
    let divergences = cells(&found, "Distance", "KL divergence");
    assert_eq!(divergences.iter().map(|cell| number(cell)).collect::<Vec<f64>>(), [0.0]);
    assert_eq!(number(cells(&found, "Distance", "same top token")[0]), 1.0);
    let perplexities = cells(&found, "Perplexity", "perplexity");
    assert_eq!(perplexities.len(), 2);
    assert_eq!(number(perplexities[0]), number(perplexities[1]));
    assert_eq!(number(cells(&found, "Perplexity", "beside the reference")[1]), 0.0);
}

#[test]
fn an_engine_tells_other_settings_and_texts_apart() {
    let place = Place::with_model();
    place.write("en.txt", text());
    place.write("zeros.txt", "0 ".repeat(4000));
    let candidates =
        ["tiny.gguf", "tiny.gguf cache-type-k=q8_0 cache-type-v=q4_0", "tiny.gguf cache-type-k=q4_0"];
    let mut words = vec!["evaluate"];
    words.extend(candidates);
    words.extend([
        "--reference",
        "tiny.gguf",
        "--protocol",
        "every-position",
        "--context",
        "96",
        "--set",
        "threads=1",
    ]);
    words.extend(["--text", "english=en.txt", "--text", "zeros.txt", "--chunks", "0..60", "--json", "-q"]);
    let run = || place.run_words(&words);
    let ended = run();
    assert!(ended.status.success(), "{ended}");
    let found = document(&ended);
    let divergences: Vec<f64> = cells(&found, "Distance", "KL divergence").into_iter().map(number).collect();
    assert!(divergences[0] == 0.0 && divergences[1] > 0.0 && divergences[2] > 0.0, "{divergences:?}");
    // The reference and three candidates on two texts.
    assert_eq!(cells(&found, "By text", "perplexity").len(), 8);
    assert_eq!(cells(&found, "In order", "verdict").len(), 3);
    // A second run has it all already, and says the same.
    let again = run();
    assert!(again.has("of them by an earlier run"), "{again}");
    let again = document(&again);
    let repeated: Vec<f64> = cells(&again, "Distance", "KL divergence").into_iter().map(number).collect();
    assert_eq!(repeated, divergences);
}

#[test]
fn an_engine_that_was_killed_goes_on_to_the_same_numbers() {
    let place = Place::with_model();
    place.write_model("other.gguf", TinyArchitecture::Llama);
    place.write("text.txt", text());
    let line = "evaluate other.gguf --reference tiny.gguf --set cache-type-k=q8_0 --set threads=1 --text text.txt --context 64 --chunks 0..60 --json -q";
    let whole = place.check(&format!("{line} --journals whole"), 0, "scored");
    let child = place.start(&format!("{line} --journals killed"));
    let journal = || std::fs::read_dir(place.path("killed")).ok()?.next()?.ok().map(|entry| entry.path());
    let lines = || {
        journal()
            .and_then(|path| std::fs::read(path).ok())
            .map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    };
    let started = std::time::Instant::now();
    while lines() < 5 {
        assert!(started.elapsed().as_secs() < 60, "no window was scored");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    signal(child.id(), Signal::KILL);
    finish(child);
    // The line that was being written is cut.
    let path = journal().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    std::fs::write(&path, bytes).unwrap();
    let resumed = place.check(&format!("{line} --journals killed"), 0, "by an earlier run");
    for (caption, column) in
        [("Distance", "KL divergence"), ("Distance", "median"), ("Perplexity", "perplexity")]
    {
        let of = |ended: &Ended| -> Vec<String> {
            cells(&document(ended), caption, column).iter().map(|cell| format!("{cell:?}")).collect()
        };
        assert_eq!(of(&whole), of(&resumed), "{column}");
    }
}

#[test]
fn an_engine_refuses_what_cannot_be_compared() {
    let place = place_with_text();
    place.write("short.txt", "Too short.");
    place.write("latin.txt", b"caf\xe9 ".repeat(500));
    let model = gguflab_format::TinyModel {
        vocabulary: 600,
        ..gguflab_format::TinyModel::new(TinyArchitecture::Llama)
    };
    gguflab_format::write_tiny(&place.path("wider.gguf"), &model).unwrap();
    let cases = [
        ("evaluate tiny.gguf --text short.txt", 3, "short.txt is too short: it has"),
        ("evaluate tiny.gguf --text latin.txt --context 64", 3, "no UTF-8 from byte 3 on"),
        ("evaluate tiny.gguf --text none.txt", 3, "cannot read none.txt"),
        ("evaluate wider.gguf --reference tiny.gguf --text text.txt", 3, "512 tokens against 600"),
        ("evaluate tiny.gguf --text text.txt --context 64 --chunks 9..3", 2, "A below B"),
        ("evaluate tiny.gguf --text text.txt --context 64 --chunks 90000..90001", 2, "there are windows 0.."),
        ("evaluate tiny.gguf --text text.txt --protocol guess", 2, "llama-perplexity and every-position"),
        ("evaluate tiny.gguf --text text.txt --context 2", 3, "take 4 or more"),
        ("evaluate none.gguf --text text.txt", 3, "none.gguf"),
    ];
    for (line, code, words) in cases {
        place.check(line, code, words);
    }
}

#[test]
fn an_engine_refuses_settings_of_a_process_that_differ_between_sides() {
    let place = place_with_text();
    let run = |words: &[&str]| {
        let shared = "--text text.txt --context 64 --chunks 0..1 --set threads=1 -q";
        place.run_words(&words.iter().copied().chain(shared.split_whitespace()).collect::<Vec<&str>>())
    };
    let apart = run(&["evaluate", "tiny.gguf env:GGUFLAB_TEST_VARIABLE=1", "--reference", "tiny.gguf"]);
    assert_eq!(apart.status.code(), Some(3), "{apart}");
    let words = "env:GGUFLAB_TEST_VARIABLE is unset for tiny and 1 for tiny env:GGUFLAB_TEST_VARIABLE=1";
    assert!(apart.has(words), "{apart}");
    let together =
        ["evaluate", "tiny.gguf", "--reference", "tiny.gguf", "--set", "env:GGUFLAB_TEST_VARIABLE=1"];
    assert!(run(&together).status.success());
}

#[test]
fn an_engine_is_heard_by_whoever_wants_to() {
    let place = place_with_text();
    let line = "evaluate tiny.gguf --text text.txt --context 64 --chunks 0..1 --set threads=1";
    place.check(&format!("{line} -vv"), 0, "  engine: ");
    assert!(!place.check(&format!("{line} -v --anew"), 0, "scored").has("  engine: "));
}

#[test]
fn an_engine_tells_texts_of_one_name_apart() {
    let place = Place::with_model();
    for folder in ["a", "b"] {
        std::fs::create_dir(place.path(folder)).unwrap();
        place.write(&format!("{folder}/text.txt"), text());
        let record = |language| serde_json::json!({ "text": text(), "lang": language }).to_string() + "\n";
        place.write(&format!("{folder}/texts.jsonl"), record("en") + &record("fr"));
    }
    let line = "--context 64 --chunks 0..1 --set threads=1 --json -q";
    for (texts, expected) in [
        ("--text a/text.txt --text b/text.txt", vec!["a/text.txt", "b/text.txt"]),
        ("--text a/text.txt --text two=b/text.txt", vec!["text", "two"]),
        (
            "--text a/texts.jsonl --text b/texts.jsonl --language-field lang",
            vec!["a/texts.jsonl en", "a/texts.jsonl fr", "b/texts.jsonl en", "b/texts.jsonl fr"],
        ),
    ] {
        let found = document(&place.check(&format!("evaluate tiny.gguf {texts} {line}"), 0, "scored"));
        let shown: Vec<String> =
            cells(&found, "Texts", "text").iter().map(|cell| format!("{cell:?}")).collect();
        let expected: Vec<String> =
            expected.iter().map(|label| format!("{:?}", Cell::text(*label))).collect();
        assert_eq!(shown, expected);
    }
    for texts in ["--text a/text.txt --text a/text.txt", "--text x=a/text.txt --text x=b/text.txt"] {
        place.check(&format!("evaluate tiny.gguf {texts} {line}"), 3, "two texts are called");
    }
}

/// What llama-perplexity says at the end.
fn final_estimate(output: &str) -> (f64, f64) {
    let line =
        output.lines().find(|line| line.contains("Final estimate")).unwrap_or_else(|| panic!("{output}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "=").unwrap();
    (words[at + 1].parse().unwrap(), words[at + 3].parse().unwrap())
}

#[test]
fn the_real_llama_perplexity_says_the_same() {
    let (Some(program), Some(model)) = (given("GGUFLAB_LLAMA_PERPLEXITY"), given("GGUFLAB_TEST_MODEL"))
    else {
        return;
    };
    let place = Place::new();
    place.write("text.txt", text());
    let peer = Command::new(program)
        .args(["-m", &model.display().to_string(), "-f", &place.path("text.txt").display().to_string()])
        .args(["-c", "256", "--chunks", "4", "--no-escape", "-t", "2"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&peer.stdout).into_owned() + &String::from_utf8_lossy(&peer.stderr);
    let (perplexity, error) = final_estimate(&said);
    let line = format!(
        "evaluate {} --text text.txt --context 256 --chunks 0..4 --set threads=2 --json -q",
        model.display()
    );
    let found = document(&place.check(&line, 0, "4 of"));
    let ours = number(cells(&found, "Perplexity", "perplexity")[0]);
    assert!((ours - perplexity).abs() < 1e-4, "{ours} beside {perplexity}");
    let _ = error;
}

#[test]
fn an_engine_reads_datasets_language_by_language() {
    let place = Place::with_model();
    let page = text();
    let lines: Vec<&str> = page.lines().filter(|line| line.len() > 60).collect();
    let record = |(index, line): (usize, &&str)| {
        let language = ["en", "xx"][index % 2];
        serde_json::json!({ "content": line, "lang": language }).to_string() + "\n"
    };
    place.write("texts.jsonl", lines.iter().enumerate().map(record).collect::<String>());
    let line =
        "evaluate tiny.gguf --text texts.jsonl --language-field lang --context 64 --set threads=1 --json -q";
    let ended = place.check(line, 0, "scored");
    let labels: Vec<String> =
        cells(&document(&ended), "By text", "text").iter().map(|cell| format!("{cell:?}")).collect();
    assert!(labels.len() == 2 && labels[0].contains("en") && labels[1].contains("xx"), "{labels:?}");
    let sampled = "dataset sample texts.jsonl --field content --tokens 200 --model tiny.gguf -o sample.txt";
    place.check(sampled, 0, "the tokenizer of tiny.gguf");
}

#[test]
fn an_engine_decides_which_candidate_is_nearer() {
    let place = place_with_text();
    let run = |words: &[&str]| place.run_words(words);
    let shared = [
        "--reference",
        "tiny.gguf",
        "--text",
        "text.txt",
        "--context",
        "64",
        "--set",
        "threads=1",
        "--decide",
        "--json",
        "-q",
    ];
    let sides = ["evaluate", "tiny.gguf cache-type-k=q8_0", "tiny.gguf cache-type-k=q4_0"];
    let ended = run(&[&sides[..], &shared].concat());
    assert!(ended.status.success() && ended.has("It ended because that was enough"), "{ended}");
    let found = document(&ended);
    let verdicts: Vec<String> =
        cells(&found, "The race", "verdict").iter().map(|cell| format!("{cell:?}")).collect();
    assert!(verdicts[0].contains("better") && verdicts[1].contains("worse"), "{verdicts:?}");
    let windows: Vec<f64> = cells(&found, "The race", "windows").into_iter().map(number).collect();
    assert!(windows[0] < 40.0, "{windows:?}");
    let same = ["evaluate", "tiny.gguf cache-type-k=q8_0", "tiny.gguf cache-type-k=q8_0 repack=off"];
    let tie = run(&[&same[..], &shared].concat());
    assert!(tie.has("indistinguishable"), "{tie}");
    let narrow = place.check(
        "evaluate tiny.gguf --text text.txt --context 64 --set threads=1 --width 10% -q --json",
        0,
        "It ended because that was enough",
    );
    assert!(number(cells(&document(&narrow), "Perplexity", "perplexity")[0]) > 1.0);
    place.check("evaluate tiny.gguf --text text.txt --width wide", 2, "--width wide");
}

#[test]
fn an_engine_draws_the_composite_against_the_chunks_of_importance_matrices() {
    let place = place_with_text();
    place.write_other("other.gguf");
    let files = [place.path("tiny.gguf"), place.path("more.gguf")];
    let titles = |chunks: Option<u64>| {
        let change = |metadata: &mut gguflab_format::Metadata| {
            if let Some(chunks) = chunks {
                metadata.set("quantize.imatrix.chunks_count", chunks);
            }
        };
        rewrite(
            files.each_ref().map(AsRef::as_ref),
            change,
            |kind| kind,
            |_, bytes, writer| writer.write_all(bytes),
        );
        let line = "evaluate tiny.gguf more.gguf --reference other.gguf --text text.txt --context 64 --chunks 0..8 \
                    --set threads=1 --json -q";
        let found = document(&place.check(line, 0, "8 windows"));
        found.charts().map(|chart| chart.title.clone()).collect::<Vec<String>>()
    };
    assert!(titles(None).contains(&"Composite metric".to_string()));
    assert!(titles(Some(120)).contains(&"Composite metric against calibration".to_string()));
    place.check("inspect more.gguf", 0, "importance matrix chunks");
}

#[test]
fn an_engine_puts_speed_and_perplexity_into_one_record() {
    let place = place_with_text();
    let bench = "bench tiny.gguf --prompt 16 --generate 8 --visits 1 -q --data text.txt --out card.json";
    place.check(bench, 0, "bits per byte");
    let card: serde_json::Value = serde_json::from_str(&place.read("card.json")).unwrap();
    for key in
        ["tok_per_sec", "latency_ms_first_tok", "ram_footprint_gb", "load_s", "perplexity", "bits_per_byte"]
    {
        assert!(card[key]["value"].as_f64().is_some_and(|value| value > 0.0), "{key}: {card}");
    }
    assert!(card["params_total"].as_u64().is_some_and(|count| count > 1000), "{card}");
    let alone = document(&place.check("evaluate tiny.gguf --text text.txt --json -q", 0, "scored"));
    let perplexity = number(cells(&alone, "Perplexity", "perplexity")[0]);
    assert_eq!(card["perplexity"]["value"].as_f64(), Some(perplexity));
    place.check("bench tiny.gguf --out card.json", 2, "--data");
}

#[test]
fn an_engine_with_broken_logits_is_told_and_gives_no_figure() {
    let place = place_with_text();
    let mut bytes = std::fs::read(place.path("tiny.gguf")).unwrap();
    let model = gguflab_format::Model::open(&place.path("tiny.gguf")).unwrap();
    let norm = model.tensor_ranges().find(|range| range.tensor.name == "output_norm.weight").unwrap();
    let at = usize::try_from(norm.offset).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    place.write("broken.gguf", bytes);
    let line = "evaluate broken.gguf --reference tiny.gguf --text text.txt --context 64 --chunks 0..4";
    let ended = place.check(
        &format!("{line} --json -q"),
        0,
        "broken: the logits of 124 positions are no finite numbers",
    );
    let found = document(&ended);
    let divergence = cells(&found, "Distance", "KL divergence")[0];
    assert!(matches!(divergence, Cell::Missing { .. }), "{divergence:?}");
    assert!(number(cells(&found, "Perplexity", "perplexity")[0]) > 1.0, "the reference is sound");
    let recorded = "logits record broken.gguf --text text.txt --context 64 --chunks 0..4";
    place.check(&format!("{recorded} -o broken.parquet"), 0, "is whole");
    place.check(&format!("{recorded} --form llama -o broken.kld"), 1, "no numbers");
    place.check("evaluate tiny.gguf --reference broken.parquet", 0, "no finite numbers");
}

#[test]
fn an_engine_tells_of_windows_whose_scores_are_over_a_megabyte() {
    let place = place_with_text();
    place.write_other("other.gguf");
    let sides = "other.gguf ".repeat(7);
    let line = format!(
        "evaluate {sides} --reference tiny.gguf --text text.txt --protocol every-position --context 4096 --chunks 0..1 \
         --set threads=1 --json -q"
    );
    let found = document(&place.check(&line, 0, "1 window of 1 scored"));
    assert_eq!(cells(&found, "Distance", "KL divergence").len(), 7);
    let journal = std::fs::read_dir(place.path("home/gguflab/evaluations")).unwrap().next().unwrap().unwrap();
    assert!(journal.metadata().unwrap().len() > 1 << 20, "the scores are that long");
}
