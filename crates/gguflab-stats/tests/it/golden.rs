//! Figures that other programs gave for the same values.

use gguflab_stats::llama_perplexity::{Line, Statistics, final_estimate};
use gguflab_stats::{ConfidenceSequence, Distribution, Goal, Part, Percentiles, Ratio, interpolated};
use serde_json::Value;

const COMPARE_LOGITS: &str = include_str!("../golden/compare_logits.json");
const EARLY_STOP: &str = include_str!("../golden/early_stop_stream.json");
const LLAMA_PERPLEXITY: &str = include_str!("../golden/llama_statistics.json");

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list").iter().map(numbers).collect()
}

#[track_caller]
fn near(ours: f64, golden: &Value, what: &str) {
    let theirs = golden.as_f64().expect("a number");
    assert!((ours - theirs).abs() <= 1e-9, "{what}: {ours}, not {theirs}");
}

fn agree(ours: &Distribution, golden: &Value) {
    let named = ours.named();
    for key in ["Average", "StdDev", "Minimum", "Maximum", "Median"] {
        let (_, value) = named.iter().find(|(name, _)| *name == key).expect("a figure");
        near(*value, &golden[key], key);
    }
}

#[test]
fn distributions_are_those_of_compare_logits_and_percentiles_are_exact() {
    let golden: Value = serde_json::from_str(COMPARE_LOGITS).unwrap();
    let chunks = matrix(&golden["kl"]);
    for (chunk, stats) in chunks.iter().zip(golden["chunk_stats"].as_array().unwrap()) {
        agree(&Distribution::of(chunk).unwrap(), stats);
    }
    let all = chunks.concat();
    let overall = Distribution::of(&all).unwrap();
    agree(&overall, &golden["overall"]);
    let sums = &golden["attrs"];
    near(overall.sum, &sums["overall_sum"], "sum");
    near(overall.sum_of_squares, &sums["overall_sumsq"], "sum of squares");
    near(overall.count as f64, &sums["total_values"], "count");
    let mut sorted = all;
    sorted.sort_unstable_by(f64::total_cmp);
    for (name, percent) in
        [("p1", 1.0), ("p5", 5.0), ("p10", 10.0), ("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)]
    {
        let exact = &golden["exact_overall"][name];
        near(interpolated(&sorted, percent / 100.0).unwrap(), exact, name);
        let key = format!("KLD_{percent:02}");
        if let Some((_, value)) = overall.named().iter().find(|(name, _)| *name == key) {
            near(*value, exact, &key);
        }
    }
    let slices: Vec<&[f64]> = chunks.iter().map(Vec::as_slice).collect();
    let percentiles = Percentiles::of(&slices, &[0.99, 0.5], None, 0.95, 1).unwrap();
    near(percentiles.at(0.99).unwrap().value, &golden["exact_overall"]["p99"], "p99 with its interval");
    assert_eq!(percentiles.at(0.9), None);
}

/// As `printf` would: the tool gives values ten places, percentages six.
fn printed(line: &Line) -> String {
    let Line { name, value, uncertainty, percent, decimals, uncertainty_decimals } = *line;
    let scale = if percent { 100.0 } else { 1.0 };
    let width = if percent { 6 } else { 10 };
    let sign = if percent { "%" } else { "" };
    let value = format!("{name}: {:width$.decimals$}", scale * value);
    match uncertainty {
        Some(it) => {
            let width = if percent { 5 } else { 10 };
            let space = if percent { " " } else { "" };
            format!("{value} ± {:width$.uncertainty_decimals$}{space}{sign}", scale * it)
        }
        None => format!("{value}{sign}"),
    }
}

#[test]
fn every_line_of_llama_perplexity_has_the_same_digits() {
    let golden: Value = serde_json::from_str(LLAMA_PERPLEXITY).unwrap();
    let tokens = matrix(&golden["tokens"]);
    let column = |at: usize| -> Vec<f64> { tokens.iter().map(|token| token[at]).collect() };
    let same_top: Vec<bool> = column(3).iter().map(|same| *same > 0.0).collect();
    let statistics = Statistics::of(&column(0), &column(1), &column(2), &same_top).unwrap();
    let mut lines: Vec<String> = statistics.lines().iter().map(printed).collect();
    let last = final_estimate(&column(0)).unwrap();
    lines.push(format!("Final estimate: PPL = {:.4} +/- {:.5}", last.value, last.uncertainty));
    let expected: Vec<&str> =
        golden["printed"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_model_against_itself_has_no_divergence_and_no_uncertainty_of_it() {
    let nll: Vec<f64> = (0..200).map(|token| f64::from(token % 17) * 0.3).collect();
    let itself = Statistics::of(&nll, &nll, &[0.0; 200], &[true; 200]).unwrap();
    assert_eq!((itself.ratio.value, itself.log_ratio.value, itself.difference.value), (1.0, 0.0, 0.0));
    assert_eq!((itself.divergence.mean.value, itself.divergence.mean.uncertainty), (0.0, 0.0));
    let rms = itself.rms_probability_difference;
    assert_eq!((rms.value, rms.uncertainty, itself.same_top.value), (0.0, 0.0, 1.0));
    assert!(itself.log_ratio.uncertainty < 1e-9 && (itself.correlation - 1.0).abs() < 1e-9, "{itself:?}");
}

#[test]
fn tokens_without_a_number_are_left_out_of_every_figure() {
    let nan = f64::NAN;
    let all = Statistics::of(&[1.0, nan, 3.0, 2.0], &[1.5, 1.0, 2.5, nan], &[0.1, 0.2, 0.3, 0.4], &[true; 4]);
    let some = Statistics::of(&[1.0, 3.0], &[1.5, 2.5], &[0.1, 0.3], &[true; 2]);
    assert_eq!(format!("{all:?}"), format!("{some:?}"));
    assert_eq!(Statistics::of(&[1.0], &[], &[0.1], &[true]), None);
    assert_eq!(Statistics::of(&[nan], &[1.0], &[0.1], &[true]), None);
    assert_eq!((final_estimate(&[]), final_estimate(&[nan])), (None, None));
}

#[test]
fn a_stationary_stream_that_never_stopped_its_maker_stops_when_the_mean_is_known() {
    let golden: Value = serde_json::from_str(EARLY_STOP).unwrap();
    let chunks = matrix(&golden["kl_per_chunk"]);
    let parts: Vec<Part> =
        chunks.iter().map(|chunk| Part { sum: chunk.iter().sum(), size: chunk.len() as f64 }).collect();
    let sequence = ConfidenceSequence::DEFAULT;
    let stops = |goal: Goal| {
        (1..=parts.len()).find(|seen| {
            let ratio = Ratio::of(&parts[..*seen], None).unwrap();
            goal.is_reached(&sequence.estimate(&ratio))
        })
    };
    // The margin of error that its maker asked for, and one that takes more chunks than there are.
    assert_eq!(stops(Goal::RelativeHalfWidth(0.1)), Some(18));
    assert_eq!(stops(Goal::RelativeHalfWidth(0.01)), None);
    assert_eq!(stops(Goal::Beside(0.0)), Some(8));
}
