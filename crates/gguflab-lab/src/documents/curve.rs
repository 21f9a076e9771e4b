//! One request at growing depths: how speed falls as the context fills, prompt and generation apart.

use super::estimate_cell;
use super::words::list;
use crate::bench::Record;
use crate::objective::of_request;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::format::estimate as in_words;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::{CONFIDENCE, Estimate, hodges_lehmann, median, percentile, positive_location};
use gguflab_types::{Repetition, Request, Unit, metric};

/// What is held against the smallest depth: the column, and the value of one visit.
const RATIOS: [(&str, Value); 4] = [
    ("prompt speed", |repetitions| typical(repetitions, metric::PREFILL)),
    ("generation speed", |repetitions| typical(repetitions, metric::DECODE)),
    ("first token", |repetitions| typical(repetitions, metric::FIRST_TOKEN)),
    ("p95 between tokens", |repetitions| quantile(repetitions, 0.95)),
];
/// Percentiles that are drawn.
const DRAWN: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];

type Value = fn(&[&Repetition]) -> Option<f64>;

/// Adds the curve, if the workload is one.
pub(super) fn add(record: &Record, document: &mut Document) {
    if !record.workload.is_curve() {
        return;
    }
    document.heading(1, "Over the context");
    let ratios = ratios(record);
    if let Some(text) = conclusion(record, &ratios) {
        document.paragraph(text);
    }
    document.table(table(record, &ratios));
    let speeds = [(metric::DECODE, "Generation against depth"), (metric::PREFILL, "Prompt against depth")];
    for (name, title) in speeds {
        if let Some(chart) = speed_chart(record, name, title) {
            document.chart(chart);
        }
    }
    if let Some(chart) = times_chart(record) {
        document.chart(chart);
    }
    if let Some(drift) = drift(record) {
        let change = drift.map(|ratio| ratio - 1.0);
        document.information(format!(
            "The first depth was measured again behind the deepest one of each visit: generation changed by {} meanwhile. So \
             much of the differences may come from the time that passed, and not from the depth.",
            super::words::in_words(&change, "it takes two visits")
        ));
    }
}

/// For each depth the ratios of [`RATIOS`] to the smallest one.
fn ratios(record: &Record) -> Vec<Vec<Option<Estimate>>> {
    let ratio = |request: usize, value: Value| {
        let of = |repetitions: &[Repetition], request: usize| value(&of_request(repetitions, request));
        let logarithm = |repetitions: &[Repetition]| {
            Some((of(repetitions, request)? / of(repetitions, 0)?).ln()).filter(|value| value.is_finite())
        };
        let logarithms: Vec<f64> =
            record.trials.iter().filter_map(|trial| logarithm(&trial.repetitions)).collect();
        hodges_lehmann(&logarithms, CONFIDENCE).map(|estimate| estimate.map(f64::exp))
    };
    let requests = 0..record.workload.requests.len();
    requests.map(|request| RATIOS.iter().map(|(_, value)| ratio(request, *value)).collect()).collect()
}

/// The median of a metric over the repetitions of one visit.
fn typical(repetitions: &[&Repetition], name: &str) -> Option<f64> {
    let values: Vec<f64> = repetitions.iter().filter_map(|one| one.value(name)).collect();
    median(&values)
}

/// A percentile of all gaps of one visit, where there are enough of them.
fn quantile(repetitions: &[&Repetition], probability: f64) -> Option<f64> {
    let series: Vec<&[f64]> = repetitions.iter().map(|one| one.values(metric::INTER_TOKEN)).collect();
    percentile(&series, probability, CONFIDENCE).estimate.map(|estimate| estimate.value)
}

fn conclusion(record: &Record, ratios: &[Vec<Option<Estimate>>]) -> Option<String> {
    let (first, last) = (record.workload.requests.first()?, record.workload.requests.last()?);
    let share = |place: usize, what: &str| {
        let estimate = ratios.last()?.get(place)?.as_ref()?;
        let interval = estimate.interval.map(|interval| (interval.low, interval.high).into());
        Some(format!("{what} at {} of its speed", in_words(estimate.value, interval, Unit::Fraction)))
    };
    let parts: Vec<String> =
        [share(0, "a prompt runs"), share(1, "generation")].into_iter().flatten().collect();
    (!parts.is_empty())
        .then(|| format!("At depth {}, {} at depth {}.", last.depth, list(&parts), first.depth))
}

fn table(record: &Record, ratios: &[Vec<Option<Estimate>>]) -> Table {
    let columns = std::iter::once(Column::new("depth"))
        .chain(RATIOS.iter().map(|(name, _)| Column::with_unit(*name, Unit::None)));
    let first = record.workload.requests.first().map_or(0, |request| request.depth);
    let caption =
        format!("Long against short: ratios to depth {first} within each visit (95 % intervals over visits)");
    let mut table = Table::new(caption, columns);
    for (request, row) in record.workload.requests.iter().zip(ratios).skip(1) {
        let cell = |estimate: &Option<Estimate>| match estimate {
            Some(estimate) => estimate_cell(estimate, Unit::None),
            None => Cell::missing("not measured, or too few samples"),
        };
        table.push(std::iter::once(Cell::count(u64::from(request.depth))).chain(row.iter().map(cell)));
    }
    table
}

fn all(record: &Record) -> Vec<Repetition> {
    record.trials.iter().flat_map(|trial| trial.repetitions.clone()).collect()
}

fn speed_chart(record: &Record, name: &str, title: &str) -> Option<Chart> {
    let all = all(record);
    let point = |(index, request): (usize, &Request)| {
        let values: Vec<f64> = of_request(&all, index).iter().filter_map(|one| one.value(name)).collect();
        Some(place(request, &positive_location(&values)?))
    };
    let points: Vec<Point> = record.workload.requests.iter().enumerate().filter_map(point).collect();
    let series = vec![Series { name: name.to_string(), shape: Shape::Line, points }];
    let axis = Axis::new(name, Unit::TokensPerSecond);
    drawn(title, "medians with 95 % intervals", axis, series)
}

fn times_chart(record: &Record) -> Option<Chart> {
    let all = all(record);
    let point = |probability: f64, index: usize, request: &Request| {
        let repetitions = of_request(&all, index);
        let series: Vec<&[f64]> = repetitions.iter().map(|one| one.values(metric::INTER_TOKEN)).collect();
        Some(place(request, &percentile(&series, probability, CONFIDENCE).estimate?))
    };
    let series = DRAWN.map(|(probability, name)| {
        let requests = record.workload.requests.iter().enumerate();
        let points = requests.filter_map(|(index, request)| point(probability, index, request)).collect();
        Series { name: name.to_string(), shape: Shape::Line, points }
    });
    let axis = Axis::new(metric::INTER_TOKEN, Unit::Seconds);
    let caption = "percentiles with 95 % intervals, where there are enough samples";
    drawn("Time between tokens against depth", caption, axis, series.to_vec())
}

fn place(request: &Request, estimate: &Estimate) -> Point {
    super::point(f64::from(request.depth), estimate).label(request.label())
}

/// A chart against the depth; none where there are not two points.
fn drawn(title: &str, caption: &str, axis: Axis, mut series: Vec<Series>) -> Option<Chart> {
    series.retain(|series| series.points.len() > 1);
    let kind = ChartKind::Lines { across: Axis::new("depth", Unit::Tokens), axis, series: series.clone() };
    (!series.is_empty()).then(|| Chart::new(title, caption, kind))
}

/// How the first depth's generation at the end of a visit stands to that at its beginning.
fn drift(record: &Record) -> Option<Estimate> {
    let logarithm = |repetitions: &[Repetition]| {
        let is_deeper = |one: &Repetition| one.request.is_some_and(|request| request > 0);
        let (turn, end) = (repetitions.iter().position(is_deeper)?, repetitions.iter().rposition(is_deeper)?);
        let decode = |part: &[Repetition]| typical(&of_request(part, 0), metric::DECODE);
        Some((decode(&repetitions[end..])? / decode(&repetitions[..turn])?).ln())
    };
    let logarithms: Vec<f64> =
        record.trials.iter().filter_map(|trial| logarithm(&trial.repetitions)).collect();
    hodges_lehmann(&logarithms, CONFIDENCE).map(|estimate| estimate.map(f64::exp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::RECORD_VERSION;
    use gguflab_types::{Configuration, Ending, Protocol, Purpose, Sample, Subject, Trial, Workload};
    use std::collections::BTreeMap;

    fn repetition(request: u32, index: u32, speed: f64) -> Repetition {
        let samples = vec![
            Sample::one(metric::PREFILL, 100.0 * speed),
            Sample::one(metric::DECODE, 10.0 * speed),
            Sample { metric: metric::INTER_TOKEN.to_string(), values: vec![0.1 / speed; 400] },
        ];
        Repetition { request: Some(request), index, samples, ..Repetition::default() }
    }

    fn record(visits: u32) -> Record {
        let trial = |number: u32| Trial {
            number,
            configuration: Configuration::new(),
            purpose: Purpose::Bench,
            round: number,
            ending: Some(Ending::measured()),
            // Half as fast at the second depth, and 2 % slower at the end of each visit.
            repetitions: vec![repetition(0, 0, 1.0), repetition(1, 0, 0.5), repetition(0, 1, 0.98)],
            intermediates: BTreeMap::new(),
            told: Vec::new(),
            started: 0.0,
            duration: Some(1.0),
        };
        Record {
            format: "gguflab-record".into(),
            version: RECORD_VERSION,
            subject: Subject::default(),
            workload: Workload::curve(Request::new(64, 8), &[0, 512]),
            configuration: Configuration::new(),
            protocol: Protocol::default(),
            metrics: Vec::new(),
            trials: (0..visits).map(trial).collect(),
        }
    }

    #[test]
    fn ratios_are_taken_within_each_visit() {
        let record = record(3);
        let found = ratios(&record);
        for (place, expected) in [(0, 0.5 / 0.99), (1, 0.5 / 0.99), (3, 2.0 * 0.98)] {
            let estimate = found[1][place].as_ref().unwrap();
            assert!((estimate.value / expected - 1.0).abs() < 0.02, "{place}: {estimate:?}");
        }
        assert_eq!(found[1][2], None, "no first token was measured");
        assert!((drift(&record).unwrap().value - 0.98).abs() < 1e-9);
        let mut document = Document::new("x");
        add(&record, &mut document);
        assert_eq!((document.tables().count(), document.charts().count()), (1, 3));
    }

    #[test]
    fn without_a_curve_nothing_is_added() {
        let mut single = record(1);
        single.workload = Workload::single("one", Request::new(64, 8));
        let mut document = Document::new("x");
        add(&single, &mut document);
        assert!(document.blocks.is_empty());
    }
}
