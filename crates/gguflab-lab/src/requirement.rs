//! What a configuration has to keep to: bounds on any figure that is measured, and on how much of what the model says
//! changes.

use crate::objective::{self, Objective};
use crate::quality::{self, QUALITIES, Quality, Said};
use gguflab_search::Violation;
use gguflab_stats::Interval;
use gguflab_types::{DeclaredMetric, Direction, METRICS, Repetition, Unit, Workload};

/// A bound on a figure, such as `memory<12GiB` or `divergence<0.05`.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// As it was written.
    pub text: String,
    /// The figure.
    pub figure: Figure,
    /// Whether it may be at most the bound; otherwise it has to be at least that.
    at_most: bool,
    /// In the figure's base unit, above 0.
    bound: f64,
}

/// What is bounded.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// An objective, or a metric as one.
    Measured(&'static Objective),
    /// What changes of what the model says.
    Quality(&'static Quality),
}

impl Figure {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Figure::Measured(objective) => objective.name,
            Figure::Quality(quality) => quality.name,
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Figure::Measured(objective) => objective.unit,
            Figure::Quality(quality) => quality.unit,
        }
    }

    fn direction(&self) -> Direction {
        match self {
            Figure::Measured(objective) => objective.direction,
            Figure::Quality(quality) => quality.direction,
        }
    }
}

/// What is known of a visit.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// What was measured.
    pub repetitions: &'a [Repetition],
    /// What was run.
    pub workload: &'a Workload,
    /// What is known of its quality, where that is looked at.
    pub said: Option<&'a Said>,
}

/// Where a figure of quality stands beside its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The whole interval keeps to it.
    Held,
    /// The whole interval misses it, or there are positions without a number.
    Missed,
    /// The interval lies on both sides, or there is none yet.
    Open,
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
    /// It asks for what cannot be, or for the worse.
    #[error("requirement `{text}`: {problem}")]
    Senseless {
        /// As it was written.
        text: String,
        /// What is wrong and what to write.
        problem: String,
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
    /// Reads `FIGURE OPERATOR BOUND`; the figure is an objective, a metric of the table or of the engine, or
    /// a figure of quality.
    ///
    /// # Errors
    /// [`RequirementError`] names the text and says what is allowed.
    pub fn parse(text: &str, declared: &[DeclaredMetric]) -> Result<Requirement, RequirementError> {
        let operator = text.find(['<', '>']).ok_or_else(|| RequirementError::Operator(text.to_string()))?;
        let (name, rest) = (text[..operator].trim(), &text[operator + 1..]);
        let bound = rest.strip_prefix('=').unwrap_or(rest).trim();
        let measured = objective::figure(name, declared).map(Figure::Measured);
        let found = measured.or_else(|| quality::find(name).map(Figure::Quality));
        let figure = found.ok_or_else(|| RequirementError::Figure {
            text: text.to_string(),
            name: name.to_string(),
            known: known(declared).join(", "),
        })?;
        let parsed = parse_bound(bound, figure.unit()).ok_or_else(|| RequirementError::Bound {
            text: text.to_string(),
            bound: bound.to_string(),
            units: unit_names(figure.unit()),
        })?;
        let at_most = text[operator..].starts_with('<');
        if let Figure::Quality(quality) = figure {
            check_quality(quality, at_most, parsed)
                .map_err(|problem| RequirementError::Senseless { text: text.to_string(), problem })?;
        }
        Ok(Requirement { text: text.to_string(), figure, at_most, bound: parsed })
    }

    /// Whether it is about what the model says, for which a text has to be scored.
    #[must_use]
    pub fn quality(&self) -> Option<&'static Quality> {
        match self.figure {
            Figure::Measured(_) => None,
            Figure::Quality(quality) => Some(quality),
        }
    }

    /// By how much a visit misses it, in the figure's unit (0 and below: it does not); `None` where the figure was not
    /// measured. Of quality the end of the interval counts that lies on the side of the bound, and where the bound is
    /// surely missed the value itself: the interval may be wide when that is known.
    #[must_use]
    pub fn miss(&self, shown: Shown<'_>) -> Option<f64> {
        match self.figure {
            Figure::Measured(objective) => {
                objective.value(shown.repetitions, shown.workload).map(|value| self.beyond(value))
            }
            Figure::Quality(quality) => self.miss_of_quality(quality, shown.said?),
        }
    }

    fn beyond(&self, value: f64) -> f64 {
        if self.at_most { value - self.bound } else { self.bound - value }
    }

    fn miss_of_quality(&self, quality: &Quality, said: &Said) -> Option<f64> {
        let estimate = said.estimate(quality).filter(|_| said.broken().0 == 0)?;
        let Interval { low, high, .. } = estimate.interval?;
        Some(match self.standing(quality, said) {
            Standing::Missed => self.beyond(estimate.value),
            Standing::Held | Standing::Open => self.beyond(if self.at_most { high } else { low }),
        })
    }

    /// Where a figure of quality stands beside the bound.
    pub(crate) fn standing(&self, quality: &Quality, said: &Said) -> Standing {
        let interval = said.estimate(quality).and_then(|estimate| estimate.interval);
        match interval {
            _ if said.broken().0 > 0 => Standing::Missed,
            Some(interval) if self.at_most && interval.high <= self.bound => Standing::Held,
            Some(interval) if self.at_most && interval.low > self.bound => Standing::Missed,
            Some(interval) if !self.at_most && interval.low >= self.bound => Standing::Held,
            Some(interval) if !self.at_most && interval.high < self.bound => Standing::Missed,
            _ => Standing::Open,
        }
    }

    /// What was found of quality beside the bound, in words; `None` for anything else.
    pub(crate) fn found(&self, said: &Said) -> Option<String> {
        let quality = self.quality()?;
        let stands = match self.standing(quality, said) {
            Standing::Held => "holds",
            Standing::Missed => "is missed",
            Standing::Open => "is open",
        };
        Some(format!("{} {stands}: {}", self.text, self.quality_in_words(quality, said)))
    }

    /// The bound, in the figure's base unit.
    #[must_use]
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Whether the text was left while this was open, because something else was decided.
    fn was_left_open(&self, shown: Shown<'_>) -> bool {
        self.quality().zip(shown.said).is_some_and(|(quality, said)| {
            self.standing(quality, said) == Standing::Open && !said.is_exhausted()
        })
    }

    /// Whether it asks for the worse side: a time that is long enough, a rate that is low enough.
    #[must_use]
    pub fn is_upside_down(&self) -> bool {
        self.at_most == (self.figure.direction() == Direction::Higher)
    }

    fn in_words(&self, shown: Shown<'_>) -> String {
        let requires = format!("requires {}", self.text);
        let (name, unit) = (self.figure.name(), self.figure.unit());
        if let (Some(quality), Some(said)) = (self.quality(), shown.said) {
            return format!("{requires}, and {}", self.quality_in_words(quality, said));
        }
        let Some(miss) = self.miss(shown) else {
            return format!("{requires}, and {name} was not measured");
        };
        let value = if self.at_most { self.bound + miss } else { self.bound - miss };
        format!("{requires}, and has {}", gguflab_report::format::number(value, unit))
    }

    fn quality_in_words(&self, quality: &Quality, said: &Said) -> String {
        let (broken, all) = said.broken();
        let Some(estimate) = said.estimate(quality) else {
            return format!("{} was not measured", quality.name);
        };
        let value = quality.in_words(&estimate);
        let windows = said.windows();
        match self.standing(quality, said) {
            _ if broken > 0 => format!("{broken} of {all} scored positions have no number"),
            Standing::Open if said.is_exhausted() => {
                format!("all {windows} windows of the text leave it open: {value}; take a longer text")
            }
            _ if said.is_itself() => format!("has {value}"),
            _ => format!("has {value} in {windows} windows"),
        }
    }
}

/// Whether it is known of all that is required of quality, or one of it is surely missed.
pub(crate) fn is_decided(requirements: &[Requirement], said: &Said) -> bool {
    let standings = requirements.iter().filter_map(|one| Some(one.standing(one.quality()?, said)));
    let standings: Vec<Standing> = standings.collect();
    standings.contains(&Standing::Missed) || !standings.contains(&Standing::Open)
}

/// How a measured visit misses what is required, if it does.
#[must_use]
pub fn violation(requirements: &[Requirement], shown: Shown<'_>) -> Option<Violation> {
    let missed = requirements.iter().map(|one| (one, one.miss(shown)));
    let mut missed: Vec<(&Requirement, Option<f64>)> =
        missed.filter(|(_, miss)| miss.is_none_or(|miss| miss > 0.0)).collect();
    if !missed.iter().all(|(one, _)| one.was_left_open(shown)) {
        missed.retain(|(one, _)| !one.was_left_open(shown));
    }
    let words: Vec<String> = missed.iter().map(|(one, _)| one.in_words(shown)).collect();
    let shares: Option<Vec<f64>> = missed.iter().map(|(one, miss)| Some((*miss)? / one.bound)).collect();
    let excess = shares.map(|shares| shares.into_iter().fold(0.0, f64::max));
    (!missed.is_empty()).then(|| Violation { words: words.join("; "), excess })
}

/// What is wrong with a bound on quality, if something is.
fn check_quality(quality: &Quality, at_most: bool, bound: f64) -> Result<(), String> {
    let name = quality.name;
    if at_most != (quality.direction == Direction::Lower) {
        let (more, sign) = if at_most { ("more", '>') } else { ("less", '<') };
        return Err(format!("{more} {name} is better: write {name}{sign}BOUND"));
    }
    match quality.can_pass(bound) {
        true => Ok(()),
        false => Err(format!("{name} is a share, and no share is above that: write {name}>97%, for example")),
    }
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
    let qualities = QUALITIES.iter().map(|quality| quality.name);
    for name in metrics.chain(qualities).chain(declared.iter().map(|metric| metric.name.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Request, Sample};

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
        let shown = Shown { repetitions: &seen, workload: &workload, said: None };
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
            let found = requirement.miss(shown).unwrap();
            assert!((found - miss).abs() < 1e-6, "{text}: {found}");
            let violation = violation(&[requirement], shown);
            assert_eq!(violation.is_some(), miss > 0.0, "{text}: {violation:?}");
        }
        let both = ["memory<2GB", "decode>30"].map(|text| Requirement::parse(text, &[]).unwrap());
        let violation = violation(&both, shown).unwrap();
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
        let seen = [repetition(Some(0), &[("decode", 20.0)])];
        let shown = Shown { repetitions: &seen, workload: &workload, said: None };
        let missed = violation(&[memory], shown).unwrap();
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
            ("divergence<0", "`0` is no number above 0 with one of these units: nat"),
            ("divergence>0.05", "less divergence is better: write divergence<BOUND"),
            ("same-top<97%", "more same-top is better: write same-top>BOUND"),
            ("same-top>97", "no share is above that: write same-top>97%"),
            ("perplexity-ratio<1%", "units: none"),
            ("nll<3", "divergence, perplexity-ratio, same-top"),
        ] {
            let error = Requirement::parse(text, &[]).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
