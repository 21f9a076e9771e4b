//! A real model on real texts, which `cargo xtask test` fetches and names in `GGUFLAB_TEST_CORPORA`.

use crate::evaluate::{cells, document, number};
use crate::quantised::{quantised, write_dithered};
use crate::support::{Ended, Place, given};
use gguflab_report::{Block, Cell};

/// The model with 16 bits, `F16.gguf`, and what is made of it; `None` where the model, the quantiser or the texts are missing.
fn place(names: &[&str]) -> Option<(Place, String)> {
    let (corpora, model) = (given("GGUFLAB_TEST_CORPORA")?, given("GGUFLAB_TEST_MODEL")?);
    let quantise = given("GGUFLAB_LLAMA_QUANTIZE")?;
    let place = Place::new();
    let reference = place.path("F16.gguf");
    write_dithered(&model, &reference);
    for name in names {
        quantised(&quantise, &reference, name);
    }
    Some((place, corpora.display().to_string()))
}

/// Windows that were scored, and windows that there are.
fn windows(ended: &Ended) -> [f64; 2] {
    let found = document(ended);
    let said = found.blocks.iter().find_map(|block| match block {
        Block::Paragraph { text } => text.split_once(" scored"),
        _ => None,
    });
    let words: Vec<&str> = said.unwrap_or_else(|| panic!("{ended}")).0.split_whitespace().collect();
    [words[0], words[words.len() - 1]].map(|word| word.parse().unwrap())
}

#[test]
fn a_real_model_on_real_texts() {
    let Some((place, corpora)) = place(&["Q8_0", "Q2_K"]) else { return };
    is_decided_on_a_small_part(&place, &corpora);
    is_scored_language_by_language(&place, &corpora);
}

fn is_decided_on_a_small_part(place: &Place, corpora: &str) {
    let line = format!(
        "evaluate Q2_K.gguf Q8_0.gguf --reference F16.gguf --text {corpora}/wikipedia-en-256k.txt --context 128 \
         --decide --set threads=2 --json -q"
    );
    let ended = place.check(&line, 0, "It ended because that was enough");
    let [scored, all] = windows(&ended);
    assert!(all > 400.0 && scored < 0.2 * all, "{scored} of {all}");
    let found = document(&ended);
    let verdicts = cells(&found, "The race", "verdict");
    let names = cells(&found, "The race", "candidate");
    assert!(matches!(names[0], Cell::Text { text } if text == "Q8_0"), "{names:?}");
    assert!(format!("{:?}", verdicts[0]).contains("better"), "{verdicts:?}");
    assert!(format!("{:?}", verdicts[1]).contains("worse"), "{verdicts:?}");
}

fn is_scored_language_by_language(place: &Place, corpora: &str) {
    let sample = format!(
        "dataset sample {corpora}/languages.jsonl --language-field language --languages deu,eng,zho --tokens 500 \
         --model F16.gguf -o sample.jsonl"
    );
    place.check(&sample, 0, "the tokenizer of F16.gguf");
    let line = "evaluate Q2_K.gguf --reference F16.gguf --text sample.jsonl --language-field language --context 128 \
                --set threads=2 --json -q";
    let found = document(&place.check(line, 0, "scored"));
    let texts = cells(&found, "By text", "text");
    let shown: Vec<&str> = texts
        .iter()
        .filter_map(|cell| if let Cell::Text { text } = cell { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(shown, ["deu", "deu", "eng", "eng", "zho", "zho"]);
    let bits: Vec<f64> = cells(&found, "By text", "bits per byte").into_iter().map(number).collect();
    let perplexities: Vec<f64> = cells(&found, "By text", "perplexity").into_iter().map(number).collect();
    // The model has learnt English.
    assert!(bits[2] < bits[0] && bits[2] < bits[4], "{bits:?}");
    for language in 0..3 {
        let [reference, candidate] = [0, 1].map(|side| perplexities[2 * language + side]);
        assert!(reference > 1.0 && candidate > reference, "{perplexities:?}");
        assert!(number(cells(&found, "By text", "KL divergence")[2 * language + 1]) > 0.0);
    }
}
