//! What is judged of a visit: a figure or a percentile, of the whole workload, of one of its requests, or of two of them
//! as a ratio.

use crate::objective::{self, Objective, of_request};
use gguflab_stats::quantile::sample_quantile;
use gguflab_types::{DeclaredMetric, Direction, METRICS, Repetition, Unit, Workload, metric};

/// Something to be judged, such as `decode`, `inter-token-p95`, `decode@long` or `inter-token-p95@long/short`.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// As it is written.
    pub text: String,
    /// The unit of its values; none for a ratio.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    figure: Figure,
    scope: Scope,
}

#[derive(Debug, Clone)]
enum Figure {
    Objective(&'static Objective),
    /// A percentile of the time between tokens, from 0 to 1.
    Percentile(f64),
}

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The prompt is processed.
    Prompt,
    /// Tokens are generated.
    Generation,
}

/// Of which requests of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Whole,
    One(Place),
    Ratio(Place, Place),
}

/// One request of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Short,
    Long,
    Number(usize),
}

/// Why there is no such quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing of this name is measured.
    #[error("nothing called `{name}` is measured; there are {known}, and inter-token-p50 to inter-token-p99")]
    Figure {
        /// The unknown name.
        name: String,
        /// What there is.
        known: String,
    },
    /// A metric that is neither good nor bad cannot be judged.
    #[error("`{0}` describes a run: neither more nor less of it is better")]
    Neutral(String),
    /// The part behind `@` is not understood.
    #[error(
        "`{0}`: behind @ stands short, long, the number of a request from 1, or two of them such as long/short"
    )]
    Scope(String),
    /// The workload has no such request.
    #[error("`{text}` does not go with the workload {workload}: {problem}")]
    Workload {
        /// The quantity.
        text: String,
        /// The workload's name.
        workload: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Quantity {
    /// Reads `FIGURE`, `FIGURE@REQUEST` or `FIGURE@REQUEST/REQUEST`.
    ///
    /// # Errors
    /// [`QuantityError`] names the part that is not understood and says what is allowed.
    pub fn parse(text: &str, declared: &[DeclaredMetric]) -> Result<Quantity, QuantityError> {
        let (name, place) = text.split_once('@').map_or((text, None), |(name, place)| (name, Some(place)));
        let (figure, unit, direction) = figure(name.trim(), declared)?;
        if direction == Direction::Neutral {
            return Err(QuantityError::Neutral(name.to_string()));
        }
        let scope = place.map_or(Some(Scope::Whole), Scope::parse);
        let scope = scope.ok_or_else(|| QuantityError::Scope(text.to_string()))?;
        let unit = if matches!(scope, Scope::Ratio(..)) { Unit::None } else { unit };
        Ok(Quantity { text: text.to_string(), unit, direction, figure, scope })
    }

    /// The quantity that an objective is.
    #[must_use]
    pub fn of(objective: &'static Objective) -> Quantity {
        Quantity {
            text: objective.name.to_string(),
            unit: objective.unit,
            direction: objective.direction,
            figure: Figure::Objective(objective),
            scope: Scope::Whole,
        }
    }

    /// The part of a request that it is of; `None`: of the whole.
    pub(crate) fn stage(&self) -> Option<Stage> {
        match &self.figure {
            Figure::Percentile(_) => Some(Stage::Generation),
            Figure::Objective(objective) => match objective.name {
                metric::PREFILL | metric::FIRST_TOKEN => Some(Stage::Prompt),
                metric::DECODE | metric::INTER_TOKEN => Some(Stage::Generation),
                _ => None,
            },
        }
    }

    /// Whether a workload has it at all.
    ///
    /// # Errors
    /// [`QuantityError::Workload`] says what the workload lacks.
    pub fn check(&self, workload: &Workload) -> Result<(), QuantityError> {
        let refuse = |problem| {
            let (text, workload) = (self.text.clone(), workload.name.clone());
            Err(QuantityError::Workload { text, workload, problem })
        };
        let places = self.scope.places();
        if places.iter().any(|place| place.index(workload).is_none()) {
            return refuse("it has no such request; short and long need two requests of different length");
        }
        let parts: Vec<Workload> = match places.is_empty() {
            true => vec![workload.clone()],
            false => places.iter().filter_map(|place| Some(only(workload, place.index(workload)?))).collect(),
        };
        match parts.iter().all(|part| self.figure.applies_to(part)) {
            true => Ok(()),
            false => refuse("its requests do not have this figure"),
        }
    }

    /// Its value in one visit; `None` when something it needs was not measured.
    #[must_use]
    pub fn value(&self, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        let of = |place: Place| {
            let index = place.index(workload)?;
            self.figure.value(&those_of(repetitions, index), &only(workload, index))
        };
        let value = match self.scope {
            Scope::Whole => self.figure.value(repetitions, workload),
            Scope::One(place) => of(place),
            Scope::Ratio(one, other) => Some(of(one)? / of(other)?),
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }

    /// Whether the model has to be loaded anew in each visit for it to be measured.
    #[must_use]
    pub fn needs_loading(&self) -> bool {
        let loading = [metric::LOAD, metric::LOAD_COLD];
        matches!(self.figure, Figure::Objective(objective) if loading.contains(&objective.name))
    }

    /// Whether the file has to be dropped from the page cache first.
    #[must_use]
    pub fn needs_cold_load(&self) -> bool {
        matches!(self.figure, Figure::Objective(objective) if objective.name == metric::LOAD_COLD)
    }
}

fn figure(name: &str, declared: &[DeclaredMetric]) -> Result<(Figure, Unit, Direction), QuantityError> {
    let percentile = name.strip_prefix(metric::INTER_TOKEN).and_then(|rest| rest.strip_prefix("-p"));
    let percent = percentile.and_then(|digits| digits.parse::<f64>().ok());
    if let Some(percent) = percent.filter(|percent| *percent > 0.0 && *percent < 100.0) {
        return Ok((Figure::Percentile(percent / 100.0), Unit::Seconds, Direction::Lower));
    }
    let found = objective::figure(name, declared);
    let found =
        found.ok_or_else(|| QuantityError::Figure { name: name.to_string(), known: known(declared) })?;
    Ok((Figure::Objective(found), found.unit, found.direction))
}

fn known(declared: &[DeclaredMetric]) -> String {
    let objectives = objective::OBJECTIVES.iter().map(|objective| objective.name);
    let metrics =
        METRICS.iter().filter(|metric| metric.direction != Direction::Neutral).map(|metric| metric.name);
    let mut names: Vec<&str> =
        objectives.chain(metrics).chain(declared.iter().map(|metric| metric.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

impl Figure {
    fn value(&self, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        match self {
            Figure::Objective(objective) => objective.mean(repetitions, workload),
            Figure::Percentile(probability) => {
                let requests = 0..workload.requests.len();
                let trusted = requests.flat_map(|index| of_request(repetitions, index));
                let gaps = trusted.flat_map(|one| one.values(metric::INTER_TOKEN)).copied();
                let mut gaps: Vec<f64> = gaps.filter(|gap| gap.is_finite()).collect();
                gaps.sort_unstable_by(f64::total_cmp);
                sample_quantile(&gaps, *probability)
            }
        }
    }

    fn applies_to(&self, workload: &Workload) -> bool {
        match self {
            Figure::Objective(objective) => objective.applies_to(workload),
            Figure::Percentile(_) => workload.requests.iter().any(|request| request.generate > 2),
        }
    }
}

impl Scope {
    fn parse(text: &str) -> Option<Scope> {
        Some(match text.split_once('/') {
            None => Scope::One(Place::parse(text)?),
            Some((one, other)) => Scope::Ratio(Place::parse(one)?, Place::parse(other)?),
        })
    }

    fn places(self) -> Vec<Place> {
        match self {
            Scope::Whole => Vec::new(),
            Scope::One(place) => vec![place],
            Scope::Ratio(one, other) => vec![one, other],
        }
    }
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        match text.trim() {
            "short" => Some(Place::Short),
            "long" => Some(Place::Long),
            number => Some(Place::Number(number.parse::<usize>().ok()?.checked_sub(1)?)),
        }
    }

    /// Which request it is; `short` and `long` are the first of the fewest and of the most tokens.
    fn index(self, workload: &Workload) -> Option<usize> {
        let lengths: Vec<u64> =
            workload.requests.iter().map(gguflab_types::Request::tokens_per_sequence).collect();
        let (least, most) = (lengths.iter().min()?, lengths.iter().max()?);
        let first = |length: &u64| lengths.iter().position(|one| one == length).filter(|_| least < most);
        match self {
            Place::Short => first(least),
            Place::Long => first(most),
            Place::Number(index) => (index < lengths.len()).then_some(index),
        }
    }
}

/// The request that stands behind an `@`: `short`, `long` or a number from 1.
pub(crate) fn request_at(text: &str, workload: &Workload) -> Option<usize> {
    Place::parse(text)?.index(workload)
}

/// The workload of one request alone.
fn only(workload: &Workload, index: usize) -> Workload {
    let requests = workload.requests.get(index).copied().into_iter().collect();
    Workload { name: workload.name.clone(), requests }
}

/// The repetitions of one request and of the visit as a whole, as those of a workload that has only this request.
fn those_of(repetitions: &[Repetition], index: usize) -> Vec<Repetition> {
    let own = repetitions.iter().filter(|one| one.request.is_none_or(|request| request as usize == index));
    own.map(|one| Repetition { request: one.request.map(|_| 0), ..one.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Request, Sample};

    fn workload() -> Workload {
        Workload { name: "two".into(), requests: vec![Request::new(32, 64), Request::new(512, 64)] }
    }

    fn repetition(request: u32, decode: f64, gaps: &[f64]) -> Repetition {
        let gaps = Sample { metric: metric::INTER_TOKEN.to_string(), values: gaps.to_vec() };
        let samples = vec![Sample::one(metric::DECODE, decode), gaps];
        Repetition { request: Some(request), samples, ..Repetition::default() }
    }

    fn value(text: &str) -> Option<f64> {
        let seen = [repetition(0, 20.0, &[0.05; 40]), repetition(1, 10.0, &[0.1; 40])];
        let quantity = Quantity::parse(text, &[]).unwrap();
        quantity.check(&workload()).unwrap();
        quantity.value(&seen, &workload())
    }

    #[test]
    fn a_scope_takes_its_requests_alone() {
        assert_eq!(value("decode@short"), Some(20.0));
        assert_eq!(value("decode@2"), Some(10.0));
        assert_eq!(value("inter-token-p95@long/short"), Some(2.0));
        assert_eq!(value("inter-token-p50@1"), Some(0.05));
        let mixed = value("decode").unwrap();
        assert!((mixed - 2.0 / (1.0 / 20.0 + 1.0 / 10.0)).abs() < 1e-12, "{mixed}");
        assert_eq!(value("prefill"), None, "it was not measured");
    }

    #[test]
    fn what_is_none_is_named() {
        let error = |text: &str| Quantity::parse(text, &[]).unwrap_err().to_string();
        assert!(error("speed").contains("`speed`") && error("speed").contains("decode"));
        assert!(error("inter-token-p100").contains("`inter-token-p100`"));
        assert!(error("tokens-asked").contains("neither more nor less"));
        for text in ["decode@", "decode@0", "decode@middle", "decode@long/"] {
            assert!(error(text).contains("behind @"), "{text}");
        }
    }

    #[test]
    fn a_workload_may_lack_it() {
        let check = |text: &str, workload: &Workload| Quantity::parse(text, &[]).unwrap().check(workload);
        let single = Workload::single("one", Request::new(64, 0));
        for (text, workload) in
            [("decode@long", &single), ("decode", &single), ("decode@3", &self::workload())]
        {
            assert!(check(text, workload).unwrap_err().to_string().contains(text), "{text}");
        }
        assert_eq!(check("prefill", &single), Ok(()));
    }

    #[test]
    fn loading_is_asked_for_by_its_metrics() {
        let quantity = |text: &str| Quantity::parse(text, &[]).unwrap();
        assert!(quantity("load-cold").needs_cold_load() && quantity("load-cold").needs_loading());
        assert!(quantity("load").needs_loading() && !quantity("load").needs_cold_load());
        assert!(!quantity("decode").needs_loading());
    }
}
