//! What a check has to keep to.

use crate::bench::Record;
use crate::compare::values;
use crate::quantity::{Quantity, QuantityError};
use crate::requirement::{parse_bound, unit_names};
use gguflab_types::{DeclaredMetric, Direction, Unit, Workload};

/// A bound on a quantity.
#[derive(Debug, Clone)]
pub struct Threshold {
    /// As it was written.
    pub text: String,
    /// What is judged.
    pub quantity: Quantity,
    /// The bound.
    pub bound: Bound,
}

/// Against what a quantity is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// It may be worse than the baseline's by less than this share.
    Relative(f64),
    /// It may be at most this much, in its base unit.
    AtMost(f64),
    /// It has to be at least this much, in its base unit.
    AtLeast(f64),
}

/// Why there is no such threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// It has no operator.
    #[error(
        "threshold `{0}`: write QUANTITY<SHARE% for how much worse it may get, such as decode<10%, or QUANTITY<BOUND or \
         QUANTITY>BOUND for what it has to keep to in itself, such as load-cold<11s"
    )]
    Operator(String),
    /// A share is how much worse something may get.
    #[error("threshold `{0}`: a share of the baseline is written with <, for how much worse it may get")]
    Share(String),
    /// It is kept however slow the build is, or broken by a faster one.
    #[error("threshold `{text}`: {problem}")]
    Senseless {
        /// As it was written.
        text: String,
        /// Why, and what to write.
        problem: String,
    },
    /// Nothing was measured that it could be held against.
    #[error("threshold `{0}`: the engine does not tell it, so no check could ever pass; leave it out")]
    Untold(String),
    /// The quantity is none.
    #[error("threshold `{text}`: {source}")]
    Quantity {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        source: QuantityError,
    },
    /// The bound is none.
    #[error("threshold `{text}`: `{bound}` is no number above 0 with one of these units: %{units}")]
    Bound {
        /// As it was written.
        text: String,
        /// What stands for the bound.
        bound: String,
        /// The units that the quantity may have.
        units: String,
    },
    /// There is no preset of this name.
    #[error("no thresholds `{name}`: there are {known}")]
    Preset {
        /// The unknown name.
        name: String,
        /// What there is.
        known: String,
    },
}

/// One row of the table of thresholds by name; several rows of one name belong together.
#[derive(Debug, Clone, Copy)]
pub struct PresetRow {
    /// The name.
    pub name: &'static str,
    /// The workload that it is meant for; empty for any.
    pub workload: &'static str,
    /// The threshold.
    pub threshold: &'static str,
    /// One line of help.
    pub help: &'static str,
}

/// Thresholds that go without saying.
pub const USUAL: &str = "usual";

/// The thresholds by name.
pub const PRESETS: &[PresetRow] = &[
    row(USUAL, "", "time<10%", "expected time of a request"),
    row(USUAL, "", "prefill<10%", "prompt tokens per second"),
    row(USUAL, "", "decode<10%", "generated tokens per second"),
    row("perf-methodology", SHORT_LONG, "decode@short<12%", "tokens per second behind a short prompt"),
    row("perf-methodology", SHORT_LONG, "decode@long<15%", "tokens per second behind a long prompt"),
    row("perf-methodology", SHORT_LONG, "inter-token-p95@short<10%", "slow tokens behind a short prompt"),
    row("perf-methodology", SHORT_LONG, "inter-token-p95@long<18%", "slow tokens behind a long prompt"),
    row("perf-methodology", SHORT_LONG, "inter-token-p95@long/short<1.3", "slow tokens, long against short"),
    row("perf-methodology", SHORT_LONG, "inter-token-p95@long/short<20%", "the same against the baseline"),
];

/// The workload of one text, short and long.
const SHORT_LONG: &str = "short-long";

const fn row(
    name: &'static str,
    workload: &'static str,
    threshold: &'static str,
    help: &'static str,
) -> PresetRow {
    PresetRow { name, workload, threshold, help }
}

/// The thresholds of a name, with the workload that they are meant for, if they are for one.
///
/// # Errors
/// [`ThresholdError::Preset`] says which names there are.
pub fn preset(name: &str) -> Result<(Vec<&'static str>, Option<&'static str>), ThresholdError> {
    let rows: Vec<&PresetRow> = PRESETS.iter().filter(|row| row.name == name).collect();
    let Some(first) = rows.first() else {
        let mut known: Vec<&str> = PRESETS.iter().map(|row| row.name).collect();
        known.dedup();
        return Err(ThresholdError::Preset { name: name.to_string(), known: known.join(", ") });
    };
    let workload = (!first.workload.is_empty()).then_some(first.workload);
    Ok((rows.iter().map(|row| row.threshold).collect(), workload))
}

impl Threshold {
    /// Reads `QUANTITY<SHARE%`, `QUANTITY<BOUND` or `QUANTITY>BOUND`.
    ///
    /// # Errors
    /// [`ThresholdError`] names the text and says what is allowed.
    pub fn parse(text: &str, declared: &[DeclaredMetric]) -> Result<Threshold, ThresholdError> {
        let operator = text.find(['<', '>']).ok_or_else(|| ThresholdError::Operator(text.to_string()))?;
        let at_most = text[operator..].starts_with('<');
        let rest = &text[operator + 1..];
        let bound = rest.strip_prefix('=').unwrap_or(rest).trim();
        let quantity = Quantity::parse(text[..operator].trim(), declared)
            .map_err(|source| ThresholdError::Quantity { text: text.to_string(), source })?;
        let share = bound.strip_suffix('%').map(|percent| parse_bound(percent, Unit::None));
        let bound = match share {
            Some(Some(_)) if !at_most => return Err(ThresholdError::Share(text.to_string())),
            Some(Some(percent)) => Some(Bound::Relative(percent / 100.0)),
            Some(None) => None,
            None if at_most => parse_bound(bound, quantity.unit).map(Bound::AtMost),
            None => parse_bound(bound, quantity.unit).map(Bound::AtLeast),
        };
        let bound = bound.ok_or_else(|| ThresholdError::Bound {
            text: text.to_string(),
            bound: rest.to_string(),
            units: match unit_names(quantity.unit) {
                names if names == "none" => String::new(),
                names => format!(", {names}"),
            },
        })?;
        let threshold = Threshold { text: text.to_string(), quantity, bound };
        match threshold.problem() {
            Some(problem) => Err(ThresholdError::Senseless { text: text.to_string(), problem }),
            None => Ok(threshold),
        }
    }

    /// Why it would not hold back what became worse, if it would not.
    fn problem(&self) -> Option<String> {
        let name = &self.quantity.text;
        match (self.bound, self.direction()) {
            (Bound::Relative(share), Direction::Higher) if share >= 1.0 => Some(
                "nothing gets worse by 100 % or more where more is better; give a smaller share".to_string(),
            ),
            (Bound::AtMost(_), Direction::Higher) => Some(format!(
                "more of it is better, so a bound is written {name}>BOUND, and how much worse it may get {name}<SHARE%"
            )),
            (Bound::AtLeast(_), Direction::Lower) => Some(format!(
                "less of it is better, so a bound is written {name}<BOUND, and how much worse it may get {name}<SHARE%"
            )),
            _ => None,
        }
    }

    /// Whether a record has something of what it judges.
    #[must_use]
    pub fn is_told(&self, record: &Record) -> bool {
        !values(&self.quantity, record).is_empty()
    }

    /// Whether a workload has what it judges.
    ///
    /// # Errors
    /// [`ThresholdError::Quantity`] says what the workload lacks.
    pub fn check(&self, workload: &Workload) -> Result<(), ThresholdError> {
        let named = |source| ThresholdError::Quantity { text: self.text.clone(), source };
        self.quantity.check(workload).map_err(named)
    }

    /// Which way the quantity may not go.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.quantity.direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_bounds_are_told_apart() {
        let bound = |text: &str| Threshold::parse(text, &[]).unwrap().bound;
        assert_eq!(bound("decode<12%"), Bound::Relative(0.12));
        assert_eq!(bound("load-cold<11s"), Bound::AtMost(11.0));
        assert_eq!(bound("decode>=5tok/s"), Bound::AtLeast(5.0));
        assert_eq!(bound("inter-token-p95@long/short<1.3"), Bound::AtMost(1.3));
    }

    #[test]
    fn what_is_none_is_named() {
        let error = |text: &str| Threshold::parse(text, &[]).unwrap_err().to_string();
        assert!(error("decode").contains("decode<10%"));
        assert!(error("decode>10%").contains("written with <"));
        assert!(error("speed<10%").contains("`speed`"));
        for text in ["decode<fast", "decode<-3%", "load-cold<11tok/s", "decode<"] {
            assert!(error(text).contains("no number above 0"), "{text}: {}", error(text));
        }
        for (text, words) in [
            ("decode<12", "decode>BOUND"),
            ("decode@long<12tok/s", "decode@long<SHARE%"),
            ("first-token>5ms", "first-token<BOUND"),
            ("inter-token-p95@long/short>2", "less of it is better"),
            ("prefill<100%", "smaller share"),
        ] {
            assert!(error(text).contains(words), "{text}: {}", error(text));
        }
        assert!(Threshold::parse("time<300%", &[]).is_ok(), "what takes longer can take any time");
    }

    #[test]
    fn every_preset_can_be_read_and_goes_with_its_workload() {
        for row in PRESETS {
            let threshold = Threshold::parse(row.threshold, &[]).unwrap();
            let workload = gguflab_types::workload::find(row.workload);
            assert_eq!(workload.is_none(), row.workload.is_empty(), "{}", row.name);
            if let Some(workload) = workload {
                threshold.check(&workload).unwrap();
            }
            assert!(!row.help.is_empty());
        }
        assert!(preset("no-such").unwrap_err().to_string().contains("perf-methodology"));
    }
}
