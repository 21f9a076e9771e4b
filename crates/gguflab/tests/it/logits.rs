//! Stores of logits through the command line, and the files that are shared with the real llama-perplexity.

use crate::evaluate::{cells, divergence, document, number, place_with_text, text};
use crate::processes::signal;
use crate::support::{Ended, Place, finish, given};
use gguflab_report::{Cell, Document};
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Command;

const TEXT: &str = "--text text.txt --context 64 --chunks 0..12 --set threads=1";

#[test]
fn an_engine_is_compared_with_what_was_recorded() {
    let place = place_with_text();
    place.check(&format!("logits record tiny.gguf {TEXT} -o s.parquet --head 256 --tail 256"), 0, "is whole");
    place.check(&format!("logits record tiny.gguf {TEXT} -o s.kld --form llama"), 0, "is whole");
    place.check("logits show s.parquet", 0, "256 likeliest and 256 drawn");
    place.check("logits show s.kld", 0, "whole rows");
    let other = "'tiny.gguf cache-type-k=q4_0'";
    let run = |words: &str| {
        let words: Vec<String> = gguflab_lab::pasted::split(words).unwrap();
        let ended = place.run_words(&words);
        assert!(ended.status.success(), "{words:?} {ended}");
        ended
    };
    let exact = divergence(&run(&format!("evaluate {other} --reference tiny.gguf {TEXT} --json -q")));
    assert!(exact > 0.0);
    let sketch = divergence(&run(&format!("evaluate {other} --reference s.parquet --json -q")));
    assert!((sketch / exact - 1.0).abs() < 0.1, "{sketch} beside {exact}");
    let encoded = divergence(&run(&format!("evaluate {other} --reference s.kld --json -q")));
    assert!((encoded / exact - 1.0).abs() < 0.1, "{encoded} beside {exact}");
    // The text may be given all the same, and then it has to be the one that was recorded.
    let again = divergence(&run(&format!("evaluate {other} --reference s.parquet {TEXT} --json -q")));
    assert_eq!(again, sketch);
    let itself = run("evaluate tiny.gguf --reference s.parquet --json -q");
    assert!(divergence(&itself).abs() < 1e-6, "{itself}");
    let stores = run("evaluate s.kld --reference s.kld --json -q");
    assert!(divergence(&stores).abs() < 1e-6, "{stores}");
    assert!(!itself.has("two sketches"), "{itself}");
}

/// The words beside every figure of a table, by the names of its rows.
fn marks(ended: &Ended, caption: &str) -> Vec<String> {
    let found = document(ended);
    let words = |cell: &Cell| match cell {
        Cell::Text { text } => text.clone(),
        other => panic!("{other:?}"),
    };
    cells(&found, caption, "made of").into_iter().map(words).collect()
}

#[test]
fn an_engine_never_shows_a_bound_or_16_bits_as_anything_else() {
    let place = place_with_text();
    place.check(&format!("logits record tiny.gguf {TEXT} -o s.parquet"), 0, "is whole");
    place.check(&format!("logits record tiny.gguf {TEXT} -o s.kld --form llama"), 0, "is whole");
    let line = "evaluate s.parquet tiny.gguf s.kld --reference s.parquet --json -q";
    let ended = place.check(line, 0, "two sketches tell only what a divergence is at least");
    let found = document(&ended);
    let of = |caption, column| -> Vec<Option<f64>> {
        let cells = cells(&found, caption, column).into_iter();
        cells.map(|cell| (!matches!(cell, Cell::Missing { .. })).then(|| number(cell))).collect()
    };
    for (caption, column) in [
        ("Distance", "KL divergence"),
        ("Distance", "median"),
        ("Distance", "composite"),
        ("Percentiles", "median"),
        ("Percentiles", "largest"),
    ] {
        let known: Vec<bool> = of(caption, column).iter().map(Option::is_some).collect();
        assert_eq!(known, [false, true, true], "{caption}, {column}");
    }
    assert!(of("Distance", "at least").iter().all(|bound| bound.unwrap().abs() < 1e-3), "{ended}");
    let expected = ["two sketches: at least", "a sketch: estimated", "a sketch and 16 bits: estimated"];
    assert_eq!(marks(&ended, "Distance"), expected);
    assert_eq!(marks(&ended, "Percentiles"), expected);
    // What a bound is not compared with is not ranked either.
    assert_eq!(cells(&found, "In order", "candidate").len(), 2);
    for further in ["--decide", "--width 10%"] {
        place.check(&format!("{line} {further}"), 3, "s.parquet and its reference are both sketches");
    }
    let ended = place.check("evaluate tiny.gguf --reference s.kld --json -q", 0, "kept in 16 bits");
    assert_eq!(marks(&ended, "Distance"), ["16 bits"]);
    assert_eq!(marks(&ended, "Perplexity"), ["16 bits", "16 bits"]);
    assert_eq!(marks(&ended, "Percentiles"), ["16 bits"]);
    let shown = place.check("evaluate tiny.gguf --reference s.kld -q", 0, "16 bits");
    assert!(shown.output.contains("tiny (16 bits)"), "charts say it too: {shown}");
    let plain =
        place.check(&format!("evaluate tiny.gguf --reference tiny.gguf {TEXT} --json -q"), 0, "scored");
    assert!(!plain.has("made of"), "{plain}");
}

#[test]
fn an_engine_refuses_stores_of_something_else() {
    let place = place_with_text();
    place.check(&format!("logits record tiny.gguf {TEXT} -o s.parquet"), 0, "is whole");
    place.write("other.txt", text().replace("model", "madel"));
    let model = gguflab_format::TinyModel {
        vocabulary: 600,
        ..gguflab_format::TinyModel::new(gguflab_format::TinyArchitecture::Llama)
    };
    gguflab_format::write_tiny(&place.path("wider.gguf"), &model).unwrap();
    std::fs::write(place.path("cut.parquet"), &std::fs::read(place.path("s.parquet")).unwrap()[..5000])
        .unwrap();
    let cases = [
        (
            "evaluate tiny.gguf --reference s.parquet --text other.txt --context 64 --chunks 0..12",
            3,
            "something else",
        ),
        ("evaluate tiny.gguf --reference s.parquet --context 32", 2, "was recorded with"),
        ("evaluate wider.gguf --reference s.parquet", 3, "recorded with another tokenizer"),
        ("evaluate tiny.gguf --reference cut.parquet", 3, "cut.parquet"),
        ("evaluate tiny.gguf", 2, "--text"),
        ("logits record s.parquet --text text.txt -o t.parquet", 3, "from a model"),
        ("logits record tiny.gguf --text text.txt -o t.parquet --form guess", 2, "there are sketch, llama"),
        ("logits record tiny.gguf --text text.txt -o none/t.parquet", 3, "none/t.parquet"),
    ];
    for (line, code, words) in cases {
        place.check(line, code, words);
    }
}

#[test]
fn an_engine_that_was_killed_goes_on_recording_to_the_same_store() {
    let place = place_with_text();
    let line = "logits record tiny.gguf --text text.txt --context 64 --set threads=1 --tail 16 -q -o";
    place.check(&format!("{line} whole.parquet"), 0, "is whole");
    let child = place.start(&format!("{line} killed.parquet"));
    let size = || std::fs::metadata(place.path("killed.parquet.partial")).map_or(0, |facts| facts.len());
    let started = std::time::Instant::now();
    while size() < 100_000 {
        assert!(started.elapsed().as_secs() < 60, "nothing is recorded");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    signal(child.id(), Signal::KILL);
    finish(child);
    assert!(!place.path("killed.parquet").exists());
    place.check(&format!("{line} killed.parquet"), 0, "is whole");
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert!(bytes("whole.parquet") == bytes("killed.parquet"), "the stores differ");
    assert!(!place.path("killed.parquet.partial").exists(), "its space is free again");
}

/// What follows a label in the output of llama-perplexity.
fn printed(output: &str, label: &str) -> f64 {
    let words = |text: &str| text.split_whitespace().collect::<Vec<&str>>().join(" ");
    let split = output.lines().filter_map(|line| line.rsplit_once(':'));
    let found = split.map(|(name, rest)| (words(name), rest)).find(|(name, _)| name == label);
    let (_, rest) = found.unwrap_or_else(|| panic!("no {label} in {output}"));
    let number = rest.split_whitespace().next().unwrap();
    number.trim_end_matches('%').parse().unwrap()
}

/// The real llama-perplexity.
pub(crate) struct Peer {
    pub(crate) program: PathBuf,
    pub(crate) threads: &'static str,
}

impl Peer {
    pub(crate) fn run(&self, place: &Place, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.current_dir(place.folder()).args(arguments).args([
            "--no-escape",
            "-c",
            "256",
            "-t",
            self.threads,
        ]);
        let output = command.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    }
}

/// Lines of llama-perplexity that are held against ours, and half a digit of what it prints.
const FIGURES: [(&str, f64); 17] = [
    ("Mean PPL(Q)", 1.01e-6),
    ("Mean PPL(base)", 1.01e-6),
    ("Cor(ln(PPL(Q)), ln(PPL(base)))", 0.0051),
    ("Mean ln(PPL(Q)/PPL(base))", 1.01e-6),
    ("Mean PPL(Q)/PPL(base)", 1.01e-6),
    ("Mean PPL(Q)-PPL(base)", 1.01e-6),
    ("Mean KLD", 1.01e-6),
    ("Maximum KLD", 1.01e-6),
    ("99.9% KLD", 1.01e-6),
    ("99.0% KLD", 1.01e-6),
    ("90.0% KLD", 1.01e-6),
    ("Median KLD", 1.01e-6),
    ("10.0% KLD", 1.01e-6),
    ("Minimum KLD", 1.01e-6),
    ("Mean Δp", 0.00101),
    ("RMS Δp", 0.00101),
    ("Same top p", 0.00101),
];

/// The table of a document that shows figures as that tool prints them, against what it printed.
pub(crate) fn assert_as_printed(found: &Document, its: &str) {
    let table =
        found.tables().find(|table| table.columns.first().is_some_and(|column| column.name == "figure"));
    let table = table.unwrap();
    for (label, close) in FIGURES {
        let is_it = |row: &usize| matches!(table.cell(*row, 0), Cell::Text { text } if text == label);
        let row = (0..table.rows.len()).find(is_it).unwrap_or_else(|| panic!("no {label}"));
        let (value, unit) = table.cell(row, 1).quantity().unwrap();
        let ours = if unit == gguflab_types::Unit::Fraction { 100.0 * value } else { value };
        let theirs = printed(its, label);
        // What it prints of a large number has fewer digits after the point than the number has digits of an f32.
        let close = close.max(2e-7 * theirs.abs());
        assert!((ours - theirs).abs() <= close, "{label}: it prints {theirs}, ours is {ours}");
    }
}

#[test]
fn the_real_llama_perplexity_and_we_read_each_others_files() {
    let (Some(program), Some(quantise), Some(model)) =
        (given("GGUFLAB_LLAMA_PERPLEXITY"), given("GGUFLAB_LLAMA_QUANTIZE"), given("GGUFLAB_TEST_MODEL"))
    else {
        return;
    };
    let place = Place::new();
    place.write("text.txt", text());
    let made = Command::new(quantise)
        .args(["--allow-requantize"])
        .arg(&model)
        .arg(place.path("other.gguf"))
        .arg("Q8_0")
        .output();
    assert!(made.unwrap().status.success());
    let peer = Peer { program, threads: "2" };
    let model = model.display().to_string();
    // Its file, written from the model; the other form is scored by both.
    peer.run(&place, &["-m", &model, "-f", "text.txt", "--chunks", "4", "--kl-divergence-base", "its.kld"]);
    let its = peer.run(&place, &["-m", "other.gguf", "--kl-divergence-base", "its.kld", "--kl-divergence"]);
    let ours =
        place.check("evaluate other.gguf --reference its.kld --set threads=2 --json -q", 0, "PPL(base)");
    assert_as_printed(&document(&ours), &its);
    // Ours, read by it.
    let record = format!(
        "logits record {model} --text text.txt --context 256 --chunks 0..4 --form llama --set threads=2 -o ours.kld"
    );
    place.check(&record, 0, "is whole");
    let again =
        peer.run(&place, &["-m", "other.gguf", "--kl-divergence-base", "ours.kld", "--kl-divergence"]);
    for (label, _) in FIGURES {
        let (one, other) = (printed(&its, label), printed(&again, label));
        assert!(
            (one - other).abs() < 1e-4 * one.abs().max(1.0),
            "{label}: {one} from its file, {other} from ours"
        );
    }
}
