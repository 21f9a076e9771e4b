//! `gguflab dataset`: what is printed, what is written, and what is refused.

use crate::support::Place;

const LINES: &str = "{\"lang\":\"en\",\"content\":\" one two \"}\n{\"lang\":\"fr\",\"content\":\"un deux\"}\n\
                     {\"lang\":\"en\",\"content\":\"\"}\n{\"lang\":\"en\",\"content\":\"three\\nfour\"}\n";

fn place() -> Place {
    let place = Place::new();
    place.write("a.jsonl", LINES);
    place
}

#[test]
fn a_dataset_is_shown_in_every_format() {
    let place = place();
    for format in ["terminal", "markdown", "csv", "json", "html"] {
        let line = format!("dataset show a.jsonl --language-field lang --format {format}");
        let ended = place.check(&line, 0, "");
        assert!(ended.output.contains("content") && ended.output.contains("fr"), "{format}: {ended}");
    }
    let ended = place.check("dataset show a.jsonl --first 1", 0, "");
    assert!(ended.output.contains("the first text with `text` or `content` in its name"), "{ended}");
    assert!(ended.output.contains("one two") && !ended.output.contains("un deux"), "{ended}");
}

#[test]
fn rows_become_a_text() {
    let place = place();
    let ended = place.check("dataset slice a.jsonl --rows 0..3 --strip -o eval_slice.txt", 0, "");
    assert!(ended.output.contains("left out: empty"), "{ended}");
    assert_eq!(place.read("eval_slice.txt"), "one two\nun deux\n");
    place.check("dataset slice a.jsonl --split [-1:] -o last.txt", 0, "");
    assert_eq!(place.read("last.txt"), "three\nfour\n");
    place.check("dataset slice a.jsonl --rows 2..3 -o none.txt", 3, "none of its 1 rows has a text (1 empty");
    place.check("dataset slice a.jsonl --rows 9..12 -o none.txt", 3, "none of its 0 rows");
    assert!(!place.path("none.txt").exists());
}

#[test]
fn a_sample_is_continued_without_repeats() {
    let place = Place::new();
    for language in ["en", "fr"] {
        let text: String = (0..50).map(|number| format!("{language} {number}\n\n")).collect();
        place.write(&format!("{language}.txt"), text);
    }
    place.write("README.md", "---\nlanguage:\n- en\n- fr\n---\n# A model\n");
    let names = "fr=fr.txt en=en.txt --model-card README.md -o sample.txt";
    let ended = place.check(&format!("dataset sample {names} --samples 10 --chunk-size 20"), 0, "");
    assert!(ended.output.contains("an estimate of 4 bytes per token"), "{ended}");
    place.check(
        &format!("dataset sample {names}"),
        3,
        "sample.txt: it is there already; continue it with --more",
    );
    place.check(&format!("dataset sample {names} --more 15 --chunk-size 20"), 0, "records taken before");
    let records =
        |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut taken = records(&place.read("sample.txt"));
    assert_eq!(taken.len(), 50, "{taken:?}");
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 50, "no record is taken twice");
    place.check(&format!("dataset sample {names} --more 1 --seed 7"), 3, "its seed is 42, not 7");
    place.write("sample.txt", "changed");
    place.check(&format!("dataset sample {names} --more 1"), 3, "is not the one that it was written for");
    place.check(&format!("dataset sample {names} --samples 1 --overwrite --tags"), 0, "");
    let taken = records(&place.read("sample.txt"));
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().any(|line| line.starts_with("fr: fr ")), "{taken:?}");
    place.check("dataset sample {language}.txt --languages en,fr --tokens 9 -o lines.jsonl", 0, "");
    let lines = place.read("lines.jsonl");
    assert!(lines.contains("\"language\":\"fr\",\"source\":\"fr.txt\",\"row\":"), "{lines}");
}

#[test]
fn what_two_datasets_have_in_common_is_found() {
    let place = Place::new();
    let words =
        |from: u32, count: u32| (from..from + count).map(|word| format!("w{word} ")).collect::<String>();
    place.write("e.txt", format!("{}\n\n{}\n", words(0, 60), words(1000, 60)));
    place.write("t.jsonl", format!("{{\"text\":\"{}\"}}\n", words(0, 58)));
    let ended = place.check("dataset overlap e.txt t.jsonl --report overlap.md", 0, "");
    assert!(ended.output.contains("w0 w1 w2") && ended.output.contains("0.9583"), "{ended}");
    assert!(place.read("overlap.md").contains("0.9583"), "46 runs of 48: {}", place.read("overlap.md"));
    let several = place.check("dataset overlap e.txt t.jsonl e.txt", 0, "");
    assert!(several.output.contains("t.jsonl:0") && several.output.contains("e.txt:1"), "{several}");
    place.check("dataset overlap e.txt t.jsonl --similarity 2", 2, "a similarity lies above 0");
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let place = place();
    place.write("latin.txt", b"caf\xe9");
    for (line, code, words) in [
        ("show latin.txt", 3, "latin.txt: byte 3 is 0xe9, not UTF-8"),
        ("show missing.jsonl", 3, "missing.jsonl"),
        ("show a.jsonl --field x", 3, "no text at `x`: the first record has no such field"),
        ("show a.jsonl --split test", 3, "a.jsonl has no split `test`"),
        ("show a.jsonl --split train[", 2, "`train[` is no split"),
        ("show a.jsonl --by page", 2, "it is line, paragraph or file"),
        ("show hf:datasets/one", 3, "on the hub it is hf:datasets/OWNER/NAME"),
        ("show hf:datasets/owner/name", 3, "this build cannot download"),
        ("slice a.jsonl -o x.txt", 2, "--rows"),
        ("slice a.jsonl --rows 5 -o x.txt", 2, "`5` are no rows"),
        ("slice a.jsonl --rows 0..1 -o no/x.txt", 3, "cannot write no/x.txt"),
        ("sample a.jsonl -o x.txt --languages en", 2, "nothing can be taken"),
        ("sample {language}.txt -o x.txt", 2, "needs languages"),
        ("sample a.jsonl -o x.txt --bytes-per-token 0", 2, "take a number above 0"),
        ("sample a.jsonl -o x.txt --chunk-size 0", 2, "a chunk has at least one token"),
        ("sample a.jsonl -o x.txt --more 5", 3, "cannot read x.txt.manifest.json"),
        ("sample a.jsonl -o x.txt --model-card a.jsonl", 2, "no front matter"),
        ("overlap a.jsonl", 2, "<TRAINING>"),
    ] {
        place.check(&format!("dataset {line}"), code, words);
    }
    assert!(!place.path("x.txt").exists());
}
