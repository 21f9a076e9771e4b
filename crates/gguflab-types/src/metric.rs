//! What is measured: one table.

use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither: it describes the run.
    Neutral,
}

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name in files, on the command line and in the store.
    pub name: &'static str,
    /// The base unit of its values.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// One line of help.
    pub help: &'static str,
}

/// Seconds from the start of loading until the model is ready, file in the page cache.
pub const LOAD: &str = "load";
/// Seconds from the start of loading until the model is ready, file dropped from the page cache first.
pub const LOAD_COLD: &str = "load-cold";
/// Prompt tokens per second.
pub const PREFILL: &str = "prefill";
/// Standard deviation of [`PREFILL`] where an engine tells only that and the mean.
pub const PREFILL_DEVIATION: &str = "prefill-deviation";
/// Seconds from the request to the first generated token.
pub const FIRST_TOKEN: &str = "first-token";
/// Generated tokens per second after the first token, over all sequences.
pub const DECODE: &str = "decode";
/// Standard deviation of [`DECODE`] where an engine tells only that and the mean.
pub const DECODE_DEVIATION: &str = "decode-deviation";
/// Seconds between neighbouring tokens; one value for each gap.
pub const INTER_TOKEN: &str = "inter-token";
/// Seconds of the whole request.
pub const REQUEST: &str = "request";
/// Processor seconds (user + system) of the request.
pub const CPU_TIME: &str = "cpu-time";
/// Joules that the processors' packages took during the request, everything that ran meanwhile included.
pub const ENERGY: &str = "package-energy";
/// Joules that all NVIDIA GPUs of the machine took during the request, other programs' work on them included.
pub const GPU_ENERGY: &str = "gpu-energy";
/// Peak resident memory of the engine's process.
pub const PEAK_MEMORY: &str = "peak-memory";
/// Bytes taken on devices other than the CPU.
pub const DEVICE_MEMORY: &str = "device-memory";
/// Seconds to make the context.
pub const CONTEXT: &str = "context";
/// Share of the tokens guessed ahead that were right.
pub const DRAFT_ACCEPTED: &str = "draft-accepted";
/// Tokens asked for.
pub const TOKENS_ASKED: &str = "tokens-asked";
/// Tokens produced.
pub const TOKENS_PRODUCED: &str = "tokens-produced";

/// Every metric.
pub const METRICS: &[Metric] = &[
    metric(LOAD, Unit::Seconds, Direction::Lower, "time to load the model, file in the page cache"),
    metric(
        LOAD_COLD,
        Unit::Seconds,
        Direction::Lower,
        "time to load the model, file dropped from the page cache",
    ),
    metric(CONTEXT, Unit::Seconds, Direction::Lower, "time to make a context on the loaded model"),
    metric(PREFILL, Unit::TokensPerSecond, Direction::Higher, "prompt tokens processed per second"),
    metric(
        PREFILL_DEVIATION,
        Unit::TokensPerSecond,
        Direction::Neutral,
        "standard deviation of prefill over repetitions that were not told one by one",
    ),
    metric(
        FIRST_TOKEN,
        Unit::Seconds,
        Direction::Lower,
        "time from the request to the first generated token",
    ),
    metric(
        DECODE,
        Unit::TokensPerSecond,
        Direction::Higher,
        "tokens generated per second after the first one",
    ),
    metric(
        DECODE_DEVIATION,
        Unit::TokensPerSecond,
        Direction::Neutral,
        "standard deviation of decode over repetitions that were not told one by one",
    ),
    metric(INTER_TOKEN, Unit::Seconds, Direction::Lower, "time between neighbouring tokens"),
    metric(REQUEST, Unit::Seconds, Direction::Lower, "time of the whole request"),
    metric(CPU_TIME, Unit::Seconds, Direction::Lower, "processor time (user + system) of the request"),
    metric(
        ENERGY,
        Unit::Joules,
        Direction::Lower,
        "energy of the processors' packages during the request (where RAPL can be read; other programs' included)",
    ),
    metric(
        GPU_ENERGY,
        Unit::Joules,
        Direction::Lower,
        "energy of all NVIDIA GPUs during the request (where NVML counts it; other programs' included)",
    ),
    metric(PEAK_MEMORY, Unit::Bytes, Direction::Lower, "peak resident memory of the engine's process"),
    metric(DEVICE_MEMORY, Unit::Bytes, Direction::Lower, "memory taken on devices other than the CPU"),
    metric(
        DRAFT_ACCEPTED,
        Unit::Fraction,
        Direction::Neutral,
        "share of the tokens guessed ahead (speculation) that were right",
    ),
    metric(TOKENS_ASKED, Unit::Tokens, Direction::Neutral, "tokens that the request asked for"),
    metric(TOKENS_PRODUCED, Unit::Tokens, Direction::Neutral, "tokens that were produced"),
];

const fn metric(name: &'static str, unit: Unit, direction: Direction, help: &'static str) -> Metric {
    Metric { name, unit, direction, help }
}

/// A metric that an engine declares at run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredMetric {
    /// Its name: lower-case letters, digits and `-`, none of [`METRICS`].
    pub name: String,
    /// The base unit of its values.
    #[serde(default = "no_unit")]
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// One line of help.
    #[serde(default)]
    pub help: String,
}

fn no_unit() -> Unit {
    Unit::None
}

impl DeclaredMetric {
    /// Checks declarations against each other and against the table.
    ///
    /// # Errors
    /// A fragment that names the metric and says what is wrong with it.
    pub fn check_all(declared: &[DeclaredMetric]) -> Result<(), String> {
        for (index, metric) in declared.iter().enumerate() {
            let name = &metric.name;
            let plain = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("metric `{name}`: take lower-case letters, digits and `-` for a name"));
            }
            if find(name).is_some() {
                return Err(format!("metric `{name}` is known already: it need not be declared"));
            }
            if declared[..index].iter().any(|other| other.name == *name) {
                return Err(format!("metric `{name}` is declared twice"));
            }
        }
        Ok(())
    }
}

/// The metric of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_lower_case() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
        assert_eq!(find(DECODE).map(|metric| metric.unit), Some(Unit::TokensPerSecond));
    }

    #[test]
    fn declared_metrics_are_checked() {
        let read = |text: &str| serde_json::from_str::<DeclaredMetric>(text);
        let energy = read(r#"{"name":"energy","direction":"lower"}"#).unwrap();
        assert_eq!((energy.unit, energy.direction), (Unit::None, Direction::Lower));
        let rate =
            read(r#"{"name":"rate","unit":"tokens-per-second","direction":"higher","help":"x"}"#).unwrap();
        assert_eq!(DeclaredMetric::check_all(&[energy.clone(), rate]), Ok(()));
        assert!(read(r#"{"name":"energy","direction":"sideways"}"#).is_err());
        for (name, reason) in
            [("decode", "known already"), ("Energy", "lower-case"), ("", "lower-case"), ("energy", "twice")]
        {
            let other = DeclaredMetric { name: name.to_string(), ..energy.clone() };
            let refused = DeclaredMetric::check_all(&[energy.clone(), other]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
