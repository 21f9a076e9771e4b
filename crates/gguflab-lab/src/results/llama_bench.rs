//! llama-bench in all its formats.

use super::{Flaw, Moments, ONE_PROCESS, Results, Series};
use gguflab_engine::engines::llama_bench::output::{Test, tests};
use gguflab_types::{Request, metric};
use serde_json::Value;

/// What llama-bench does that limits what can be said.
const LIMITS: [&str; 2] =
    [ONE_PROCESS, "llama-bench runs its tests in a fixed order: warming up falls on the first ones."];

/// Whether a JSON value is a test of llama-bench, or an array of them.
pub(super) fn fits(value: &Value) -> bool {
    let test = |value: &Value| value.get("n_prompt").is_some() && value.get("n_gen").is_some();
    value.as_array().map_or_else(|| test(value), |all| all.first().is_some_and(test))
}

pub(super) fn read(text: &str) -> Result<Results, Flaw> {
    let lines: Vec<String> = text.lines().map(str::to_string).collect();
    let tests = tests(&lines);
    if tests.is_empty() {
        let problem = "it has llama-bench's columns, and no row with a rate that is understood";
        return Err(Flaw::Content(problem.to_string()));
    }
    let mut remarks = Vec::new();
    if tests.iter().all(|test| test.rates.is_empty()) {
        remarks.push(
            "it holds means and deviations and not the number of repetitions, so that there is no interval: write \
             `-o jsonl` instead"
                .to_string(),
        );
    }
    Ok(Results {
        kind: "llama-bench",
        series: tests.into_iter().map(series).collect(),
        remarks,
        limits: LIMITS.to_vec(),
        ..Results::default()
    })
}

fn series(test: Test) -> Series {
    let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let request =
        Request { depth: tokens(test.depth), ..Request::new(tokens(test.prompt), tokens(test.generate)) };
    let metric = match (test.prompt, test.generate) {
        (_, 0) => metric::PREFILL,
        (0, _) => metric::DECODE,
        // Prompt and generation in one rate: llama-bench's pg test.
        _ => TOGETHER,
    };
    let moments = Moments { mean: test.mean, deviation: test.deviation, count: None };
    let moments = test.rates.is_empty().then_some(moments);
    Series {
        label: request.label(),
        metric,
        about: test.about,
        values: test.rates,
        moments,
        ..Series::default()
    }
}

/// Tokens of prompt and answer over the time of both.
pub(super) const TOGETHER: &str = "rate";
