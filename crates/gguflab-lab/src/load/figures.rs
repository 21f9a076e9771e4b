//! What the courses of a load's requests say.

use super::{Arrivals, Course, FailureKind, Level};
use crate::requirement::{Requirement, Shown};
use gguflab_stats::{
    CONFIDENCE, Estimate, Interval, Percentile, effective_size, mean_interval, percentile, proportion,
};
use gguflab_types::{Repetition, Sample, Workload, metric};
use std::collections::{BTreeMap, BTreeSet};

/// Slices of the window over which rates are averaged: enough for Student's t, few enough that each is long (Schmeiser
/// 1982, "Batch size effects in the analysis of simulation output": 10 to 30).
const SLICES: usize = 10;
/// Percentiles that are shown.
pub const PERCENTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
/// The times of a request that are shown, in this order.
pub const TIMES: [&str; 3] = [metric::FIRST_TOKEN, metric::INTER_TOKEN, metric::REQUEST];

/// The figures of one load.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// When requests were sent.
    pub arrivals: Arrivals,
    /// Requests that were sent in the window and have ended well.
    pub completed: u64,
    /// Those that have failed, by kind, each with its first cause.
    pub failures: BTreeMap<FailureKind, (u64, String)>,
    /// Generated tokens per second: those that came in the window, of requests that ended well.
    pub tokens: Option<Estimate>,
    /// Requests per second that ended well in the window.
    pub requests: Option<Estimate>,
    /// Requests on their way, averaged over the window.
    pub at_once: f64,
    /// The times of [`TIMES`].
    pub times: Vec<Times>,
    /// Share of the requests of the window that ended well and kept all limits; `None` without limits.
    pub good: Option<Estimate>,
    /// Requests per second of the window that did: the goodput (Zhong et al. 2024, "DistServe", section 1).
    pub goodput: Option<f64>,
    /// Tokens that were asked for and that came, of the requests that ended well.
    pub asked_and_produced: (u64, u64),
    /// Tokens of the prompts of requests that ended well, from the least to the most, where they are known.
    pub prompts: Vec<f64>,
    /// Different prompts of the user's own that were sent in the window.
    pub own: usize,
    /// Whether each token had a moment of its own; else the time between tokens is that between events.
    pub each_token: bool,
}

/// One kind of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// Its metric.
    pub name: &'static str,
    /// The mean.
    pub mean: Option<Estimate>,
    /// The percentiles of [`PERCENTILES`].
    pub percentiles: Vec<Percentile>,
}

impl Figures {
    /// The figures of a load.
    #[must_use]
    pub fn of(level: &Level, limits: &[Requirement], workload: &Workload) -> Figures {
        let measured = || level.courses.iter().filter(|course| course.measured);
        let well = || level.courses.iter().filter(|course| course.failure.is_none());
        let good: Vec<&Course> = measured().filter(|course| course.failure.is_none()).collect();
        let kept = good.iter().filter(|course| keeps(course, limits, workload)).count() as u64;
        let share = proportion(kept, measured().count() as u64, CONFIDENCE).filter(|_| !limits.is_empty());
        let mut prompts: Vec<f64> = good.iter().filter_map(|course| Some(course.prompt? as f64)).collect();
        prompts.sort_by(f64::total_cmp);
        let span = (level.to - level.from).max(f64::MIN_POSITIVE);
        Figures {
            arrivals: level.arrivals,
            completed: good.len() as u64,
            failures: failures(measured()),
            tokens: rate(well().flat_map(|course| course.moments.iter().copied()), level),
            requests: rate(well().map(|course| course.end), level),
            at_once: seconds_on_their_way(level) / span,
            times: TIMES.map(|name| times(name, &good)).to_vec(),
            goodput: share.as_ref().map(|_| kept as f64 / span),
            good: share,
            asked_and_produced: good.iter().fold((0, 0), |(asked, produced), course| {
                (asked + u64::from(course.asked), produced + course.produced)
            }),
            prompts,
            own: measured().filter_map(|course| course.own).collect::<BTreeSet<_>>().len(),
            each_token: good.iter().all(|course| course.moments.len() as u64 == course.produced),
        }
    }

    /// The load as a number: clients, or requests per second.
    #[must_use]
    pub fn load(&self) -> f64 {
        match self.arrivals {
            Arrivals::Clients(count) => f64::from(count),
            Arrivals::Rate(rate) => rate,
        }
    }

    /// Whether it is a closed loop.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.arrivals, Arrivals::Clients(_))
    }

    /// One of its times.
    #[must_use]
    pub fn times_of(&self, name: &str) -> Option<&Times> {
        self.times.iter().find(|times| times.name == name)
    }

    /// How many requests have failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }
}

impl Times {
    /// One of its percentiles.
    #[must_use]
    pub fn percentile(&self, probability: f64) -> Option<&Percentile> {
        self.percentiles.iter().find(|one| (one.probability - probability).abs() < 1e-9)
    }
}

/// Events per second in the window: the mean over its slices with Student's t interval (batch means; Law and Kelton,
/// *Simulation Modeling and Analysis*, 9.5.3). `None` where nothing happened.
fn rate(moments: impl Iterator<Item = f64>, level: &Level) -> Option<Estimate> {
    let span = level.to - level.from;
    let mut counts = [0.0; SLICES];
    for moment in moments.filter(|moment| *moment >= level.from && *moment < level.to) {
        let slice = ((moment - level.from) / span * SLICES as f64) as usize;
        counts[slice.min(SLICES - 1)] += 1.0;
    }
    let rates = counts.map(|count| count * SLICES as f64 / span);
    let estimate = mean_interval(&rates, CONFIDENCE).filter(|estimate| estimate.value > 0.0)?;
    // A rate below 0 is none.
    let interval = estimate.interval.map(|interval| Interval { low: interval.low.max(0.0), ..interval });
    Some(Estimate { interval, method: "mean of ten slices of the window, Student t interval", ..estimate })
}

/// Seconds that requests spent on their way within the window, all together.
fn seconds_on_their_way(level: &Level) -> f64 {
    let within = |course: &Course| (course.end.min(level.to) - course.due.max(level.from)).max(0.0);
    level.courses.iter().map(within).sum()
}

/// One kind of time, in the order in which it was measured: requests that run at once are held up together, and that
/// shows as correlation between neighbours, which the number of independent samples takes account of.
fn times(name: &'static str, good: &[&Course]) -> Times {
    let values: Vec<f64> = match name {
        metric::INTER_TOKEN => {
            let mut gaps: Vec<(f64, f64)> = good.iter().flat_map(|course| gaps(course)).collect();
            gaps.sort_by(|one, other| one.0.total_cmp(&other.0));
            gaps.into_iter().map(|(_, gap)| gap).collect()
        }
        _ => good.iter().filter_map(|course| time(course, name)).collect(),
    };
    let percentiles = PERCENTILES.map(|(probability, _)| percentile(&[&values], probability, CONFIDENCE));
    Times { name, mean: mean(&values), percentiles: percentiles.to_vec() }
}

/// The mean with Student's t interval, widened to the independent samples that the values are worth (Geyer 1992).
fn mean(values: &[f64]) -> Option<Estimate> {
    let estimate = mean_interval(values, CONFIDENCE)?;
    let wider = (values.len() as f64 / effective_size(&[values]).max(1.0)).sqrt();
    let interval = estimate.interval.map(|interval| Interval {
        low: (estimate.value - wider * interval.half_width()).max(0.0),
        high: estimate.value + wider * interval.half_width(),
        ..interval
    });
    Some(Estimate { interval, method: "mean, Student t interval with effective size", ..estimate })
}

/// The moment and the length of each gap between two tokens of a request.
fn gaps(course: &Course) -> impl Iterator<Item = (f64, f64)> + '_ {
    course.moments.windows(2).map(|pair| (pair[1], pair[1] - pair[0]))
}

/// A time of one request: between its tokens it is the mean.
fn time(course: &Course, name: &str) -> Option<f64> {
    let (first, last) = (*course.moments.first()?, *course.moments.last()?);
    let later = (course.moments.len() - 1) as f64;
    match name {
        metric::FIRST_TOKEN => Some(first - course.due),
        metric::REQUEST => Some(course.end - course.due),
        metric::INTER_TOKEN => (later > 0.0).then(|| (last - first) / later),
        metric::DECODE => (last > first).then(|| later / (last - first)),
        _ => None,
    }
}

/// Whether a request kept all limits; a time that it does not have (a single token has no gap) breaks none.
fn keeps(course: &Course, limits: &[Requirement], workload: &Workload) -> bool {
    let samples = super::LIMITED.iter().filter_map(|name| Some(Sample::one(*name, time(course, name)?)));
    let seen = [Repetition { request: Some(0), samples: samples.collect(), ..Repetition::default() }];
    let single =
        Workload { requests: workload.requests.iter().take(1).copied().collect(), ..workload.clone() };
    let shown = Shown { repetitions: &seen, workload: &single, said: None };
    limits.iter().all(|limit| limit.miss(shown).is_none_or(|miss| miss <= 0.0))
}

fn failures<'a>(courses: impl Iterator<Item = &'a Course>) -> BTreeMap<FailureKind, (u64, String)> {
    let mut found = BTreeMap::new();
    for failure in courses.filter_map(|course| course.failure.as_ref()) {
        found.entry(failure.kind).or_insert((0, failure.cause.clone())).0 += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_engine::load::{Busy, Failure};
    use gguflab_types::Request;

    /// Requests of half a second, one after the other: a token each eighth of a second; in one of them all come late
    /// and close together.
    fn level() -> Level {
        let course = |number: u32| {
            let due = f64::from(number) * 0.5;
            let moments = vec![due + 0.125, due + 0.25, due + 0.375, due + 0.5];
            let (measured, end) = (number > 0, due + 0.5);
            Course { due, sent: due, measured, asked: 4, produced: 4, moments, end, ..Course::default() }
        };
        let mut courses: Vec<Course> = (0..101).map(course).collect();
        courses[7].failure = Some(Failure { kind: FailureKind::ClosedEarly, cause: "gone".into() });
        courses[8].moments = [4.40625, 4.4375, 4.46875, 4.5].to_vec();
        let (arrivals, client) = (Arrivals::Clients(1), Busy::default());
        Level { arrivals, from: 0.5, to: 50.5, courses, client, cut: None }
    }

    fn figures(limits: &[&str]) -> Figures {
        let limits: Vec<Requirement> =
            limits.iter().map(|text| Requirement::parse(text, &[]).unwrap()).collect();
        Figures::of(&level(), &limits, &Workload::single("one", Request::new(8, 4)))
    }

    #[test]
    fn rates_count_the_window_and_failures_count_as_such() {
        let figures = figures(&[]);
        assert_eq!((figures.completed, figures.failed()), (99, 1));
        assert_eq!(figures.failures[&FailureKind::ClosedEarly], (1, "gone".to_string()));
        let tokens = figures.tokens.as_ref().unwrap();
        assert!((tokens.value - 8.0 * 0.99).abs() < 0.1 && tokens.interval.is_some(), "{tokens:?}");
        assert!((figures.requests.as_ref().unwrap().value - 2.0).abs() < 0.05);
        assert!((figures.at_once - 1.0).abs() < 1e-9, "Little's law: {}", figures.at_once);
        assert_eq!((figures.good, figures.goodput, figures.asked_and_produced), (None, None, (396, 396)));
    }

    #[test]
    fn times_are_those_of_requests_that_ended_well() {
        let figures = figures(&[]);
        let median = |name: &str| {
            figures.times_of(name).unwrap().percentile(0.5).unwrap().estimate.as_ref().unwrap().value
        };
        for (name, value) in
            [(metric::FIRST_TOKEN, 0.125), (metric::INTER_TOKEN, 0.125), (metric::REQUEST, 0.5)]
        {
            assert!((median(name) - value).abs() < 1e-9, "{name}: {}", median(name));
        }
        let gaps = figures.times_of(metric::INTER_TOKEN).unwrap();
        assert_eq!(gaps.percentiles[0].count, 99 * 3);
        // 99 requests are too few for the p99 of a request.
        assert_eq!(figures.times_of(metric::REQUEST).unwrap().percentile(0.99).unwrap().estimate, None);
    }

    #[test]
    fn goodput_counts_what_keeps_every_limit_and_no_failure() {
        for (limits, good) in [
            (&["first-token<250ms"][..], 98),
            (&["first-token<450ms", "inter-token<130ms"], 99),
            (&["inter-token<60ms"], 1),
            (&["decode>=15", "request<600ms"], 1),
            (&["request<100ms"], 0),
        ] {
            let figures = figures(limits);
            let share = figures.good.unwrap();
            assert!((share.value - f64::from(good) / 100.0).abs() < 1e-9, "{limits:?}: {share:?}");
            assert!((figures.goodput.unwrap() - f64::from(good) / 50.0).abs() < 1e-9);
            assert!(share.interval.is_some_and(|interval| interval.contains(share.value)));
        }
    }

    #[test]
    fn a_load_in_which_nothing_ended_has_no_figures() {
        let empty = Level { courses: Vec::new(), to: 0.5, ..level() };
        let figures = Figures::of(&empty, &[], &Workload::single("one", Request::new(8, 4)));
        assert_eq!((figures.tokens, figures.requests, figures.at_once), (None, None, 0.0));
        assert!(figures.times.iter().all(|times| times.mean.is_none()));
    }
}
