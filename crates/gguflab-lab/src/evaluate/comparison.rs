//! What was found as llama-gguf-optimize's result file.

use super::Evaluated;
use gguflab_data::logits::hdf5::{ChunkDivergence, ComparisonFile, Divergences, Totals};
use gguflab_stats::Distribution;

/// The divergences of a candidate, by window and over all, with exact percentiles. Windows without a number are left
/// out.
#[must_use]
pub fn comparison(evaluated: &Evaluated, candidate: usize) -> ComparisonFile {
    let values = evaluated.candidate(candidate);
    let windows = values.chunks.iter().zip(&values.divergence);
    let chunk = |(chunk, values): (&u32, &Vec<f64>)| {
        Some(ChunkDivergence { chunk: *chunk, divergences: divergences(&Distribution::of(values)?) })
    };
    let all: Vec<f64> = values.divergence.iter().flatten().copied().collect();
    let totals = Distribution::of(&all).map(|all| Totals {
        values: all.count as u64,
        sum: all.sum,
        sum_of_squares: all.sum_of_squares,
        minimum: all.minimum,
        maximum: all.maximum,
        overall: Some(divergences(&all)),
    });
    ComparisonFile { chunks: windows.filter_map(chunk).collect(), totals }
}

fn divergences(found: &Distribution) -> Divergences {
    let [percentile_99, percentile_95, percentile_90, percentile_10, percentile_5, percentile_1] =
        found.percentiles;
    Divergences {
        average: found.average,
        std_dev: found.deviation,
        minimum: found.minimum,
        maximum: found.maximum,
        percentile_99,
        percentile_95,
        percentile_90,
        median: found.median,
        percentile_10,
        percentile_5,
        percentile_1,
    }
}
