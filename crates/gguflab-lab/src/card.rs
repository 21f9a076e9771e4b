//! One record of a model: parameters, memory, speeds and perplexity, as hyperbench's `bench.py` writes them, and right.

use crate::bench::Record;
use crate::evaluate::{Evaluated, slices};
use gguflab_stats::{CONFIDENCE, ClusterMean, Estimate, bits_per_byte, positive_location};
use gguflab_types::evaluation::Windowing;
use gguflab_types::{Repetition, metric};
use serde::Serialize;

/// What the file says that it is.
const FORMAT: &str = "gguflab-card";
/// Version of [`Card`].
const VERSION: u32 = 1;

/// The record. Its keys are those of `bench.py` where they mean what they say there, in the units of their names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Always `gguflab-card`.
    pub format: &'static str,
    /// Version of this form.
    pub version: u32,
    /// File of the model.
    pub model: String,
    /// Hash of the model.
    pub fingerprint: String,
    /// Build of the engine.
    pub engine: String,
    /// Parameters, of every type and packing.
    pub params_total: u64,
    /// Parameters that training would change: none of a quantised model.
    pub params_trainable: u64,
    /// Bytes of the model's files.
    pub model_bytes: u64,
    /// Most memory that the process took, in units of 1e9 bytes.
    pub ram_footprint_gb: Option<Number>,
    /// Most memory of devices that it took, in units of 1e9 bytes.
    pub gpu_peak_gb: Option<Number>,
    /// Seconds to load the model.
    pub load_s: Option<Number>,
    /// Tokens of a prompt that are read in a second.
    pub prompt_tok_per_sec: Option<Number>,
    /// Generated tokens per second, without the prompt.
    pub tok_per_sec: Option<Number>,
    /// From the request to the first token, in milliseconds.
    pub latency_ms_first_tok: Option<Number>,
    /// Perplexity of the text.
    pub perplexity: Option<Number>,
    /// Bits for each byte of the text.
    pub bits_per_byte: Option<Number>,
    /// Tokens that were scored.
    pub scored_tokens: u64,
    /// How the text was cut and scored.
    pub protocol: Windowing,
    /// Hashes of the texts.
    pub texts: Vec<String>,
}

/// A number with its 95 % interval, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// The lower end.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

impl Card {
    /// Of what was measured and what was evaluated, both of the same model.
    #[must_use]
    pub fn new(record: &Record, evaluated: &Evaluated) -> Card {
        let values = evaluated.candidate(0);
        let nll = ClusterMean::of(&slices(&values.nll), None);
        let bits = bits_per_byte(&slices(&values.nll), &values.bytes, None);
        let of = |name: &str, factor: f64| location(record, name).map(|found| number(&found, factor));
        let model = &record.subject.model;
        Card {
            format: FORMAT,
            version: VERSION,
            model: model.file.clone(),
            fingerprint: model.fingerprint.clone(),
            engine: record.subject.engine.build.clone(),
            params_total: model.parameters,
            params_trainable: 0,
            model_bytes: model.bytes,
            ram_footprint_gb: of(metric::PEAK_MEMORY, 1e-9),
            gpu_peak_gb: of(metric::DEVICE_MEMORY, 1e-9),
            load_s: of(metric::LOAD, 1.0),
            prompt_tok_per_sec: of(metric::PREFILL, 1.0),
            tok_per_sec: of(metric::DECODE, 1.0),
            latency_ms_first_tok: of(metric::FIRST_TOKEN, 1e3),
            perplexity: nll.map(|nll| number(&nll.perplexity(), 1.0)),
            bits_per_byte: bits.map(|bits| number(&bits.estimate(CONFIDENCE), 1.0)),
            scored_tokens: nll.map_or(0, |nll| nll.tokens as u64),
            protocol: evaluated.head.windowing.clone(),
            texts: evaluated.head.texts.iter().map(|text| text.sha256.clone()).collect(),
        }
    }
}

fn location(record: &Record, name: &str) -> Option<Estimate> {
    let repetitions = record.trials.iter().flat_map(|trial| &trial.repetitions);
    let values: Vec<f64> = repetitions.filter_map(|one: &Repetition| one.value(name)).collect();
    positive_location(&values)
}

fn number(estimate: &Estimate, factor: f64) -> Number {
    Number {
        value: factor * estimate.value,
        low: estimate.interval.map(|interval| factor * interval.low),
        high: estimate.interval.map(|interval| factor * interval.high),
    }
}
