//! What a bench measured.

use super::{curve, estimate_cell, subject};
use crate::bench::Record;
use crate::objective::of_request;
use gguflab_report::chart::{Axis, ChartKind, Values};
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::{CONFIDENCE, location, percentile, positive_location};
use gguflab_types::{Outcome, PromptKind, Repetition, Request, Unit, metric};

/// Percentiles of the time between tokens that are shown.
const PERCENTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99")];
/// Metrics of one request that are shown, in this order.
const OF_REQUEST: [&str; 8] = [
    metric::PREFILL,
    metric::FIRST_TOKEN,
    metric::DECODE,
    metric::REQUEST,
    metric::CPU_TIME,
    metric::ENERGY,
    metric::GPU_ENERGY,
    metric::DRAFT_ACCEPTED,
];
/// Metrics of the whole visit that are shown.
const OF_VISIT: [&str; 5] =
    [metric::LOAD, metric::LOAD_COLD, metric::CONTEXT, metric::PEAK_MEMORY, metric::DEVICE_MEMORY];

/// The document of a bench.
#[must_use]
pub fn document(record: &Record, warnings: &[String]) -> Document {
    let mut document = Document::new(format!("Bench of {}", record.subject.model.name));
    for warning in warnings {
        document.warning(warning);
    }
    document.facts(subject::facts(&record.subject));
    document
        .facts([("settings", Cell::code(record.configuration.to_string())), ("protocol", protocol(record))]);
    let repetitions: Vec<Repetition> =
        record.trials.iter().flat_map(|trial| trial.repetitions.clone()).collect();
    failures(record, &mut document);
    let noisy = repetitions.iter().filter(|one| one.noisy.is_some()).count();
    document.table(figures(record, &repetitions));
    curve::add(record, &mut document);
    if let Some(chart) = histogram(record, &repetitions) {
        document.chart(chart);
    }
    if noisy > 0 {
        document.table(noise(&repetitions));
    }
    notes(record, &repetitions, &mut document);
    document
}

fn protocol(record: &Record) -> Cell {
    let protocol = &record.protocol;
    let prompt = match protocol.prompt {
        PromptKind::Text => "text",
        PromptKind::Random => "random tokens",
    };
    Cell::text(format!(
        "{} visits of {} repetitions after {} warm-up; prompts of {prompt}, seed {}",
        record.trials.len(),
        protocol.repetitions,
        protocol.warmup,
        protocol.seed
    ))
}

fn failures(record: &Record, document: &mut Document) {
    let failed = record.trials.iter().filter_map(|trial| trial.ending.as_ref());
    for ending in failed.filter(|ending| ending.outcome != Outcome::Measured) {
        document.warning(format!("a visit ended as {}: {}", ending.outcome, ending.cause));
    }
}

fn figures(record: &Record, repetitions: &[Repetition]) -> Table {
    let columns = [
        Column::new("request"),
        Column::new("metric"),
        Column::new("estimate").help("median or mean with its 95 % interval"),
        Column::new("samples"),
        Column::new("method"),
    ];
    let mut table = Table::new("Figures (95 % intervals)", columns);
    let whole: Vec<&Repetition> = repetitions.iter().filter(|one| one.request.is_none()).collect();
    for row in OF_VISIT
        .iter()
        .filter_map(|name| metric::find(name))
        .filter_map(|known| row("", known.name, known.unit, &whole))
    {
        table.push(row);
    }
    for (index, request) in record.workload.requests.iter().enumerate() {
        let label = request.label();
        let of_request = of_request(repetitions, index);
        for known in OF_REQUEST.iter().filter_map(|name| metric::find(name)) {
            if let Some(row) = row(&label, known.name, known.unit, &of_request) {
                table.push(row);
            }
        }
        for declared in &record.metrics {
            if let Some(row) = row(&label, &declared.name, declared.unit, &of_request) {
                table.push(row);
            }
        }
        percentiles(&label, &of_request, &mut table);
    }
    table
}

fn row(label: &str, name: &str, unit: Unit, repetitions: &[&Repetition]) -> Option<[Cell; 5]> {
    let values: Vec<f64> = repetitions.iter().filter_map(|one| one.value(name)).collect();
    // What an engine declares need not be a time or a rate.
    let positive = values.iter().all(|value| *value > 0.0);
    let estimate = if positive { positive_location(&values) } else { location(&values) }?;
    Some([
        Cell::text(label),
        Cell::text(name),
        estimate_cell(&estimate, unit),
        Cell::count(values.len() as u64),
        Cell::text(estimate.method),
    ])
}

fn percentiles(label: &str, repetitions: &[&Repetition], table: &mut Table) {
    let series: Vec<&[f64]> = repetitions
        .iter()
        .map(|one| one.values(metric::INTER_TOKEN))
        .filter(|values| !values.is_empty())
        .collect();
    if series.is_empty() {
        return;
    }
    for (probability, name) in PERCENTILES {
        let found = percentile(&series, probability, CONFIDENCE);
        let (cell, method) = match &found.estimate {
            Some(estimate) => (estimate_cell(estimate, Unit::Seconds), estimate.method.to_string()),
            None => (
                Cell::missing("too few samples"),
                format!("needs {} effective samples, has {:.0}", found.needed, found.effective),
            ),
        };
        let metric = Cell::text(format!("inter-token {name}"));
        table.push([Cell::text(label), metric, cell, Cell::count(found.count as u64), Cell::text(method)]);
    }
}

fn histogram(record: &Record, repetitions: &[Repetition]) -> Option<Chart> {
    let series: Vec<Values> = record
        .workload
        .requests
        .iter()
        .enumerate()
        .map(|(index, request)| values_of(request, &of_request(repetitions, index)))
        .filter(|series| !series.values.is_empty())
        .collect();
    (!series.is_empty()).then(|| Chart {
        title: "Time between tokens".to_string(),
        caption: "every gap of every repetition that is trusted".to_string(),
        kind: ChartKind::Histogram { axis: Axis::new("inter-token", Unit::Seconds), series },
    })
}

fn values_of(request: &Request, repetitions: &[&Repetition]) -> Values {
    let gaps = repetitions.iter().flat_map(|one| one.values(metric::INTER_TOKEN).iter().copied());
    Values { name: request.label(), values: gaps.collect() }
}

fn noise(repetitions: &[Repetition]) -> Table {
    let columns = [Column::new("request"), Column::new("repetition"), Column::new("why it is not trusted")];
    let mut table = Table::new("Noisy repetitions", columns);
    for one in repetitions {
        if let Some(why) = &one.noisy {
            let request = one.request.map_or(Cell::missing(""), |request| Cell::count(u64::from(request)));
            table.push([request, Cell::count(u64::from(one.index)), Cell::text(why)]);
        }
    }
    table
}

fn notes(record: &Record, repetitions: &[Repetition], document: &mut Document) {
    for (index, request) in record.workload.requests.iter().enumerate() {
        let all = repetitions.iter().filter(|one| one.request == u32::try_from(index).ok());
        if all.clone().count() > 0 && all.clone().all(|one| one.noisy.is_some()) {
            document.warning(format!(
                "every repetition of {} was noisy: its figures describe a busy machine",
                request.label()
            ));
        }
    }
    let cold = repetitions.iter().any(|one| one.value(metric::LOAD_COLD).is_some());
    if record.protocol.cold && !cold && !repetitions.is_empty() {
        document.warning("a cold load was asked for and could not be measured; -vv shows why");
    }
    let asked = repetitions.iter().filter_map(|one| one.value(metric::TOKENS_ASKED)).sum::<f64>();
    let made = repetitions.iter().filter_map(|one| one.value(metric::TOKENS_PRODUCED)).sum::<f64>();
    if made < asked {
        document.warning(format!("{asked} tokens were asked for and {made} produced"));
    }
}
