//! The times of single tokens: percentiles, and how often they fall where.

use super::estimate_cell;
use crate::bench::Record;
use crate::objective::of_request;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::{CONFIDENCE, mean, percentile};
use gguflab_types::{Repetition, Unit, metric};

/// Percentiles that are shown.
const PERCENTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
/// Rows of the table of how often times fall where.
const BINS: usize = 12;
/// The share of the times that its rows span evenly; the rest lies in the last one.
const SPANNED: f64 = 0.99;

/// Adds both tables.
pub fn add(record: &Record, document: &mut Document) {
    let all: Vec<Repetition> =
        record.trials.iter().flat_map(|trial| trial.repetitions.iter().cloned()).collect();
    if all.is_empty() {
        return;
    }
    document.heading(1, "Times of single tokens");
    document.table(times(record, &all));
    if let Some(table) = frequencies(record, &all) {
        document.table(table);
    }
}

fn times(record: &Record, all: &[Repetition]) -> Table {
    let names = ["mean"].into_iter().chain(PERCENTILES.map(|(_, name)| name));
    let columns = ["request", "metric"].map(Column::new).into_iter();
    let columns = columns.chain(names.map(|name| Column::with_unit(name, Unit::Seconds)));
    let samples = Column::new("samples").help("and the independent ones that they are worth at the median");
    let mut table = Table::new("Percentiles (95 % intervals)", columns.chain([samples]));
    for (index, request) in record.workload.requests.iter().enumerate() {
        let repetitions = of_request(all, index);
        for name in [metric::FIRST_TOKEN, metric::INTER_TOKEN] {
            let series: Vec<&[f64]> = match name {
                metric::INTER_TOKEN => repetitions.iter().map(|one| one.values(name)).collect(),
                _ => Vec::new(),
            };
            // One value for each repetition: they are one series.
            let firsts: Vec<f64> = repetitions.iter().filter_map(|one| one.value(name)).collect();
            let series = if series.is_empty() { vec![firsts.as_slice()] } else { series };
            if let Some(row) = row(&series) {
                table.push([Cell::text(request.label()), Cell::text(name)].into_iter().chain(row));
            }
        }
    }
    table
}

fn row(series: &[&[f64]]) -> Option<Vec<Cell>> {
    let all: Vec<f64> = series.iter().flat_map(|one| one.iter().copied()).collect();
    let mut row = vec![Cell::number(mean(&all)?, Unit::Seconds)];
    let found = PERCENTILES.map(|(probability, _)| percentile(series, probability, CONFIDENCE));
    row.extend(found.iter().map(|one| match &one.estimate {
        Some(estimate) => estimate_cell(estimate, Unit::Seconds),
        None => Cell::missing(format!("has {:.0} of {}", one.effective.floor(), one.needed)),
    }));
    row.push(Cell::text(format!("{} ({:.0})", all.len(), found[0].effective.floor())));
    Some(row)
}

/// How many times between tokens fall into each of some even spans, for each request.
fn frequencies(record: &Record, all: &[Repetition]) -> Option<Table> {
    let of = |index: usize| -> Vec<f64> {
        let repetitions = of_request(all, index);
        repetitions.iter().flat_map(|one| one.values(metric::INTER_TOKEN).iter().copied()).collect()
    };
    let values: Vec<Vec<f64>> = (0..record.workload.requests.len()).map(of).collect();
    let mut sorted: Vec<f64> = values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let low = *sorted.first()?;
    let high = sorted[((sorted.len() - 1) as f64 * SPANNED) as usize];
    let width = (high - low) / (BINS - 1) as f64;
    let columns = ["from", "to"].map(|name| Column::with_unit(name, Unit::Seconds));
    let requests = record.workload.requests.iter().map(|request| Column::new(request.label()));
    let caption = "How often the time between tokens falls where (tokens)";
    let mut table = Table::new(caption, columns.into_iter().chain(requests));
    let bin = |value: f64| if width > 0.0 { (((value - low) / width) as usize).min(BINS - 1) } else { 0 };
    for place in 0..BINS {
        let from = low + width * place as f64;
        let last = place + 1 == BINS;
        let to = if last { Cell::missing("no end") } else { Cell::number(from + width, Unit::Seconds) };
        let counts = values
            .iter()
            .map(|values| Cell::count(values.iter().filter(|value| bin(**value) == place).count() as u64));
        table.push([Cell::number(from, Unit::Seconds), to].into_iter().chain(counts));
        if width <= 0.0 {
            break;
        }
    }
    Some(table)
}
