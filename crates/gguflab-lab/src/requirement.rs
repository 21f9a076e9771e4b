//! What a configuration has to keep to: bounds on any figure that is measured.

use crate::objective::{self, Objective};
use gguflab_search::Violation;
use gguflab_types::{DeclaredMetric, METRICS, Repetition, Unit, Workload};

/// A bound on a figure, such as `memory<12GiB`.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// As it was written.
    pub text: String,
    /// The figure: an objective, or a metric as one.
    pub figure: &'static Objective,
    /// Whether it may be at most the bound; otherwise it has to be at least that.
    at_most: bool,
    /// In the figure's base unit, above 0.
    bound: f64,
}

/// What is wrong with a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// It has no operator.
    #[error(
        "requirement `{0}`: write FIGURE<BOUND or FIGURE>BOUND, such as memory<12GiB; the operators are <, <=, > and >="
    )]
    Operator(String),
    /// Nothing of this name is measured.
    #[error("requirement `{text}`: nothing called `{name}` is measured; there are {known}")]
    Figure {
        /// As it was written.
        text: String,
        /// The unknown name.
        name: String,
        /// What there is.
        known: String,
    },
    /// The bound is no number above 0.
    #[error("requirement `{text}`: `{bound}` is no number above 0 with one of these units: {units}")]
    Bound {
        /// As it was written.
        text: String,
        /// What stands for the bound.
        bound: String,
        /// The units that the figure may have.
        units: String,
    },
}

/// The units that bounds may have, each with its size in the base unit; a bound without one is in the base unit.
fn units(unit: Unit) -> &'static [(&'static str, f64)] {
    match unit {
        Unit::Seconds => {
            &[("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("min", 60.0), ("h", 3600.0), ("s", 1.0)]
        }
        Unit::Bytes => &[
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
            ("TiB", 1_099_511_627_776.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("TB", 1e12),
            ("B", 1.0),
        ],
        Unit::TokensPerSecond => &[("tok/s", 1.0), ("t/s", 1.0)],
        Unit::Tokens => &[("tok", 1.0)],
        Unit::Fraction => &[("%", 0.01)],
        Unit::Hertz => &[("GHz", 1e9), ("MHz", 1e6), ("Hz", 1.0)],
        Unit::Celsius => &[("°C", 1.0)],
        Unit::Joules => &[("mJ", 1e-3), ("kJ", 1e3), ("J", 1.0)],
        Unit::Nats => &[("nat", 1.0)],
        Unit::Count | Unit::BitsPerWeight | Unit::BitsPerByte | Unit::None => &[],
    }
}

impl Requirement {
    /// Reads `FIGURE OPERATOR BOUND`; the figure is an objective, or a metric of the table or of the engine.
    ///
    /// # Errors
    /// [`RequirementError`] names the text and says what is allowed.
    pub fn parse(text: &str, declared: &[DeclaredMetric]) -> Result<Requirement, RequirementError> {
        let operator = text.find(['<', '>']).ok_or_else(|| RequirementError::Operator(text.to_string()))?;
        let (name, rest) = (text[..operator].trim(), &text[operator + 1..]);
        let bound = rest.strip_prefix('=').unwrap_or(rest).trim();
        let figure = objective::figure(name, declared).ok_or_else(|| RequirementError::Figure {
            text: text.to_string(),
            name: name.to_string(),
            known: known(declared).join(", "),
        })?;
        let parsed = parse_bound(bound, figure.unit).ok_or_else(|| RequirementError::Bound {
            text: text.to_string(),
            bound: bound.to_string(),
            units: unit_names(figure.unit),
        })?;
        let at_most = text[operator..].starts_with('<');
        Ok(Requirement { text: text.to_string(), figure, at_most, bound: parsed })
    }

    /// By how much a visit misses it, in the figure's unit (0 and below: it does not); `None` where the figure was not
    /// measured.
    #[must_use]
    pub fn miss(&self, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        let value = self.figure.value(repetitions, workload)?;
        Some(if self.at_most { value - self.bound } else { self.bound - value })
    }

    fn in_words(&self, miss: Option<f64>) -> String {
        let Some(miss) = miss else {
            return format!("requires {}, and {} was not measured", self.text, self.figure.name);
        };
        let value = if self.at_most { self.bound + miss } else { self.bound - miss };
        format!("requires {}, and has {}", self.text, gguflab_report::format::number(value, self.figure.unit))
    }
}

/// How a measured visit misses what is required, if it does.
#[must_use]
pub fn violation(
    requirements: &[Requirement],
    repetitions: &[Repetition],
    workload: &Workload,
) -> Option<Violation> {
    let misses = requirements.iter().map(|one| (one, one.miss(repetitions, workload)));
    let missed: Vec<(&Requirement, Option<f64>)> =
        misses.filter(|(_, miss)| miss.is_none_or(|miss| miss > 0.0)).collect();
    let words: Vec<String> = missed.iter().map(|(one, miss)| one.in_words(*miss)).collect();
    let shares: Option<Vec<f64>> = missed.iter().map(|(one, miss)| Some((*miss)? / one.bound)).collect();
    let excess = shares.map(|shares| shares.into_iter().fold(0.0, f64::max));
    (!missed.is_empty()).then(|| Violation { words: words.join("; "), excess })
}

pub(crate) fn parse_bound(text: &str, unit: Unit) -> Option<f64> {
    let found = units(unit).iter().find_map(|(name, size)| Some((text.strip_suffix(name)?, *size)));
    let (number, size) = found.unwrap_or((text, 1.0));
    let number = number.trim().parse::<f64>().ok()?;
    (number.is_finite() && number > 0.0).then_some(number * size)
}

pub(crate) fn unit_names(unit: Unit) -> String {
    let names: Vec<&str> = units(unit).iter().map(|(name, _)| *name).collect();
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}

fn known(declared: &[DeclaredMetric]) -> Vec<&str> {
    let objectives = objective::OBJECTIVES.iter().map(|objective| objective.name);
    let mut names: Vec<&str> = objectives.collect();
    let metrics = METRICS.iter().map(|metric| metric.name);
    for name in metrics.chain(declared.iter().map(|metric| metric.name.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Direction, Request, Sample};

    fn repetition(request: Option<u32>, samples: &[(&str, f64)]) -> Repetition {
        Repetition {
            request,
            samples: samples.iter().map(|(name, value)| Sample::one(*name, *value)).collect(),
            ..Repetition::default()
        }
    }

    #[test]
    fn bounds_have_units_and_either_direction() {
        let workload = Workload::single("one", Request::new(100, 50));
        let seen = [
            repetition(Some(0), &[("first-token", 0.25), ("decode", 20.0), ("energy", 7.0)]),
            repetition(None, &[("peak-memory", 3e9), ("device-memory", 1e9), ("load", 2.0)]),
        ];
        let declared = [DeclaredMetric {
            name: "energy".into(),
            unit: Unit::None,
            direction: Direction::Neutral,
            help: String::new(),
        }];
        for (text, miss) in [
            ("memory<4GB", 0.0),
            ("memory <= 3 GB", 1e9),
            ("memory<4096MiB", 4e9 - 4_294_967_296.0),
            ("peak-memory<1000000000", 2e9),
            ("first-token<300ms", -0.05),
            ("first-token>0.3s", 0.05),
            ("decode>=25", 5.0),
            ("decode>5tok/s", -15.0),
            ("load<1s", 1.0),
            ("energy<5", 2.0),
        ] {
            let requirement = Requirement::parse(text, &declared).unwrap();
            let found = requirement.miss(&seen, &workload).unwrap();
            assert!((found - miss).abs() < 1e-6, "{text}: {found}");
            let violation = violation(&[requirement], &seen, &workload);
            assert_eq!(violation.is_some(), miss > 0.0, "{text}: {violation:?}");
        }
        let both = ["memory<2GB", "decode>30"].map(|text| Requirement::parse(text, &[]).unwrap());
        let violation = violation(&both, &seen, &workload).unwrap();
        assert_eq!(violation.excess, Some(1.0));
        assert_eq!(
            violation.words,
            "requires memory<2GB, and has 3.73 GiB; requires decode>30, and has 20.0 tok/s"
        );
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let workload = Workload::single("one", Request::new(100, 50));
        let memory = Requirement::parse("memory<12GiB", &[]).unwrap();
        let missed = violation(&[memory], &[repetition(Some(0), &[("decode", 20.0)])], &workload).unwrap();
        assert_eq!((missed.excess, missed.words.contains("was not measured")), (None, true));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_can() {
        for (text, words) in [
            ("memory", "the operators are <, <=, > and >="),
            ("memory=12GiB", "the operators are"),
            ("speed>20", "nothing called `speed` is measured; there are time, decode, prefill"),
            ("memory<12s", "`12s` is no number above 0 with one of these units: KiB, MiB"),
            ("decode>20GiB", "tok/s"),
            ("first-token<-1s", "`-1s`"),
            ("first-token<", "us, µs, ms, min, h, s"),
            ("decode>nan", "`nan`"),
            ("<3", "nothing called ``"),
        ] {
            let error = Requirement::parse(text, &[]).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
