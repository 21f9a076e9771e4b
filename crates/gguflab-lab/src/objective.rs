//! What is made better: one figure for each visit, from its raw samples.

use gguflab_search::Part;
use gguflab_stats::{geometric_mean, median};
use gguflab_types::{DeclaredMetric, Direction, Repetition, Request, Unit, Workload, metric};

/// What a tune makes better.
#[derive(Debug, Clone, Copy)]
pub struct Objective {
    /// Its name on the command line and in the store.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// One line of help.
    pub help: &'static str,
    value: fn(&Seen<'_>, &str) -> Option<f64>,
}

/// Every objective.
pub const OBJECTIVES: &[Objective] = &[
    Objective {
        name: "time",
        unit: Unit::Seconds,
        direction: Direction::Lower,
        help: "expected time of a request of the workload (default)",
        value: |seen, _| request_time(seen),
    },
    Objective {
        name: metric::DECODE,
        unit: Unit::TokensPerSecond,
        direction: Direction::Higher,
        help: "tokens generated per second",
        value: typical,
    },
    Objective {
        name: metric::PREFILL,
        unit: Unit::TokensPerSecond,
        direction: Direction::Higher,
        help: "prompt tokens per second",
        value: typical,
    },
    Objective {
        name: metric::FIRST_TOKEN,
        unit: Unit::Seconds,
        direction: Direction::Lower,
        help: "time to the first token",
        value: typical,
    },
    Objective {
        name: "memory",
        unit: Unit::Bytes,
        direction: Direction::Lower,
        help: "peak memory of the process and of all devices together",
        value: |seen, _| {
            Some(seen.most(metric::PEAK_MEMORY)? + seen.most(metric::DEVICE_MEMORY).unwrap_or(0.0))
        },
    },
];

/// The objective of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Objective> {
    OBJECTIVES.iter().find(|objective| objective.name == name)
}

/// The objective of this name: of the table, or a metric that the engine declares and that has a better direction.
/// A declared one is kept as long as the program runs, as those of the table are.
#[must_use]
pub fn find_among(name: &str, declared: &[DeclaredMetric]) -> Option<&'static Objective> {
    let declared = || {
        let metric = declared.iter().find(|metric| metric.name == name)?;
        let help = if metric.help.is_empty() { metric.name.clone() } else { metric.help.clone() };
        (metric.direction != Direction::Neutral).then(|| Objective {
            name: Box::leak(metric.name.clone().into_boxed_str()),
            unit: metric.unit,
            direction: metric.direction,
            help: Box::leak(help.into_boxed_str()),
            value: typical,
        })
    };
    find(name).or_else(|| declared().map(|objective| &*Box::leak(Box::new(objective))))
}

/// Anything that is measured as an objective, metrics without a better direction included.
#[must_use]
pub fn figure(name: &str, declared: &[DeclaredMetric]) -> Option<&'static Objective> {
    let table = || {
        let metric = metric::find(name)?;
        let (name, unit, direction, help) = (metric.name, metric.unit, metric.direction, metric.help);
        Some(Objective { name, unit, direction, help, value: typical })
    };
    let neutral = || {
        let metric = declared.iter().find(|metric| metric.name == name)?;
        let name: &'static str = Box::leak(metric.name.clone().into_boxed_str());
        Some(Objective { name, unit: metric.unit, direction: metric.direction, help: name, value: typical })
    };
    find_among(name, declared).or_else(|| table().or_else(neutral).map(|made| &*Box::leak(Box::new(made))))
}

impl Objective {
    /// Its value for one visit: each request by the median of its repetitions, then the mean of the requests by
    /// their weights (harmonic for rates, so that it is a rate of the mix). Noisy repetitions count only for a
    /// request that has no other. `None` when something it needs was not measured.
    #[must_use]
    pub fn value(&self, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        self.centred(median, repetitions, workload)
    }

    /// The same with the geometric mean of the repetitions, for statistics that are made of logarithms: what the machine's
    /// state explains of the repetitions, it explains of their mean, and a median would be deaf to it.
    #[must_use]
    pub fn mean(&self, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        self.centred(geometric_mean, repetitions, workload)
    }

    fn centred(&self, centre: Centre, repetitions: &[Repetition], workload: &Workload) -> Option<f64> {
        let mut sum = 0.0;
        let mut weights = 0.0;
        for (index, request) in workload.requests.iter().enumerate() {
            let seen =
                Seen { request, repetitions: of_request(repetitions, index), all: repetitions, centre };
            let Some(value) =
                (self.value)(&seen, self.name).filter(|value| value.is_finite() && *value > 0.0)
            else {
                // A request without a prompt has no first token; it says nothing of that objective.
                if self.applies(request) {
                    return None;
                }
                continue;
            };
            sum += request.weight * self.to_cost(value);
            weights += request.weight;
        }
        (weights > 0.0).then(|| self.to_cost(sum / weights))
    }

    /// What was seen of each request, for a pruner: its share, and each repetition's value as a cost. Noisy repetitions
    /// are left out.
    #[must_use]
    pub fn parts(&self, repetitions: &[Repetition], workload: &Workload) -> Vec<Part> {
        let applicable = || workload.requests.iter().enumerate().filter(|(_, request)| self.applies(request));
        let total: f64 = applicable().map(|(_, request)| request.weight).sum();
        let part = |(index, request): (usize, &Request)| {
            let own = repetitions.iter().filter(|one| one.noisy.is_none() && is_of(one, index));
            let value = |one| (self.value)(&Seen::of(request, one), self.name);
            let costs = own.filter_map(value).map(|value| self.to_cost(value));
            let values = costs.filter(|cost| cost.is_finite() && *cost > 0.0).collect();
            Part { share: request.weight / total, values }
        };
        applicable().map(part).collect()
    }

    /// The value as something of which less is better: rates as seconds per token. It is its own inverse.
    #[must_use]
    pub fn to_cost(&self, value: f64) -> f64 {
        if self.direction == Direction::Higher { 1.0 / value } else { value }
    }

    /// Whether a request has this figure at all.
    fn applies(&self, request: &Request) -> bool {
        match self.name {
            metric::DECODE => request.generate > u32::from(request.prompt > 0),
            metric::PREFILL => request.prompt > 0,
            metric::FIRST_TOKEN => request.prompt > 0 && request.generate > 0,
            _ => true,
        }
    }

    /// Whether the workload has this figure at all.
    #[must_use]
    pub fn applies_to(&self, workload: &Workload) -> bool {
        workload.requests.iter().any(|request| self.applies(request))
    }
}

/// What stands for several repetitions.
type Centre = fn(&[f64]) -> Option<f64>;

/// What was seen of one request in one visit.
struct Seen<'a> {
    request: &'a Request,
    repetitions: Vec<&'a Repetition>,
    /// Those of the whole visit, with values that belong to no request.
    all: &'a [Repetition],
    centre: Centre,
}

impl<'a> Seen<'a> {
    fn of(request: &'a Request, repetition: &'a Repetition) -> Seen<'a> {
        Seen { request, repetitions: vec![repetition], all: &[], centre: median }
    }

    fn typical(&self, metric: &str) -> Option<f64> {
        let values = self.repetitions.iter().filter_map(|one| median(one.values(metric)));
        (self.centre)(&values.collect::<Vec<f64>>()).or_else(|| self.most(metric))
    }

    /// The largest value of something that belongs to no request.
    fn most(&self, metric: &str) -> Option<f64> {
        let whole = self.all.iter().filter(|one| one.request.is_none());
        whole.filter_map(|one| one.value(metric)).max_by(f64::total_cmp)
    }
}

/// The repetitions of one request that are trusted, or all of them when none is.
#[must_use]
pub fn of_request(repetitions: &[Repetition], request: usize) -> Vec<&Repetition> {
    let all: Vec<&Repetition> = repetitions.iter().filter(|one| is_of(one, request)).collect();
    let quiet: Vec<&Repetition> = all.iter().copied().filter(|one| one.noisy.is_none()).collect();
    if quiet.is_empty() { all } else { quiet }
}

fn is_of(repetition: &Repetition, request: usize) -> bool {
    repetition.request.is_some_and(|index| index as usize == request)
}

/// What is measured, as it is.
fn typical(seen: &Seen<'_>, name: &str) -> Option<f64> {
    seen.typical(name)
}

/// The time of a request; engines that measure prompt and generation apart (llama-bench) give it as their sum.
fn request_time(seen: &Seen<'_>) -> Option<f64> {
    if let Some(time) = seen.typical(metric::REQUEST) {
        return Some(time);
    }
    let sequences = f64::from(seen.request.concurrency.max(1));
    let part = |tokens: u32, metric: &str| match tokens {
        0 => Some(0.0),
        tokens => Some(f64::from(tokens) * sequences / seen.typical(metric)?),
    };
    Some(part(seen.request.prompt, metric::PREFILL)? + part(seen.request.generate, metric::DECODE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::Sample;

    fn repetition(request: u32, noisy: bool, samples: &[(&str, f64)]) -> Repetition {
        Repetition {
            request: Some(request),
            samples: samples.iter().map(|(name, value)| Sample::one(*name, *value)).collect(),
            noisy: noisy.then(|| "busy".to_string()),
            ..Repetition::default()
        }
    }

    #[test]
    fn requests_are_weighed_and_noise_is_left_out() {
        let workload = Workload {
            name: "mix".into(),
            requests: vec![
                Request { weight: 3.0, ..Request::new(10, 10) },
                Request { weight: 1.0, ..Request::new(100, 10) },
            ],
        };
        let seen = [
            repetition(0, false, &[("request", 1.0), ("decode", 10.0)]),
            repetition(0, false, &[("request", 3.0), ("decode", 10.0)]),
            repetition(0, true, &[("request", 100.0), ("decode", 1.0)]),
            repetition(1, true, &[("request", 6.0), ("decode", 5.0)]),
        ];
        assert_eq!(find("time").unwrap().value(&seen, &workload), Some(3.0));
        let decode = find("decode").unwrap().value(&seen, &workload).unwrap();
        assert!((decode - 1.0 / (0.75 / 10.0 + 0.25 / 5.0)).abs() < 1e-12);
        assert_eq!(find("prefill").unwrap().value(&seen, &workload), None);
        let mean = find("time").unwrap().mean(&seen, &workload).unwrap();
        assert!((mean - (0.75 * 3f64.sqrt() + 0.25 * 6.0)).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn a_declared_metric_with_a_direction_is_an_objective() {
        let metric = |name: &str, direction| DeclaredMetric {
            name: name.to_string(),
            unit: Unit::None,
            direction,
            help: String::new(),
        };
        let declared = [metric("energy", Direction::Lower), metric("phase", Direction::Neutral)];
        let workload = Workload::single("one", Request::new(10, 10));
        let seen = [repetition(0, false, &[("energy", 3.0)]), repetition(0, false, &[("energy", 5.0)])];
        let energy = find_among("energy", &declared).unwrap();
        assert_eq!((energy.value(&seen, &workload), energy.to_cost(4.0)), (Some(4.0), 4.0));
        assert!(find_among("phase", &declared).is_none() && find_among("energy", &[]).is_none());
        assert_eq!(find_among("decode", &declared).map(|objective| objective.name), Some("decode"));
    }

    #[test]
    fn engines_that_measure_phases_apart_give_the_sum() {
        let workload = Workload::single("one", Request::new(100, 50));
        let seen = [repetition(0, false, &[("prefill", 200.0), ("decode", 25.0)])];
        assert_eq!(find("time").unwrap().value(&seen, &workload), Some(2.5));
        assert_eq!(find("first-token").unwrap().value(&seen, &workload), None);
        let only_prompt = Workload::single("prompt", Request::new(100, 0));
        assert!(!find("decode").unwrap().applies_to(&only_prompt));
    }
}
