//! The numbers: of each candidate, of each text, of each percentile, and as llama-perplexity prints them.

use super::{Found, Side, mean};
use crate::documents::compare::verdict_cell;
use crate::documents::{change_cell, ends, estimate_cell};
use crate::evaluate::{Judged, Values, rules, slices};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::elimination::Standing;
use gguflab_stats::llama_perplexity::{self, Statistics};
use gguflab_stats::{ClusterMean, Estimate, Interval, Percentiles, beside, bits_per_byte, parts, top_share};
use gguflab_types::Unit;
use gguflab_types::evaluation::WindowRule;

/// Percentiles of divergences that are shown.
const PERCENTILES: [(f64, &str); 8] = [
    (0.01, "1 %"),
    (0.05, "5 %"),
    (0.1, "10 %"),
    (0.5, "median"),
    (0.9, "90 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
];

pub(super) fn add(found: &Found<'_>, document: &mut Document) {
    if found.reference.is_some() {
        add_sketched(found, document);
        document.table(divergences(found));
    }
    document.table(perplexities(found));
    if found.candidates.len() > 1 {
        document.table(ranking(found));
    }
    if found.evaluated.head.texts.len() > 1 {
        document.table(texts(found));
    }
    if found.reference.is_some() {
        document.table(percentiles(found));
    }
    add_llama_perplexity(found, document);
}

fn missing() -> Cell {
    Cell::missing("nothing was scored")
}

fn cell(estimate: Option<Estimate>, unit: Unit) -> Cell {
    estimate.map_or_else(missing, |estimate| estimate_cell(&estimate, unit))
}

fn mean_cell(found: &Found<'_>, mean: Option<ClusterMean>, unit: Unit) -> Cell {
    cell(mean.map(|mean| possible(found.estimate(mean), unit)), unit)
}

/// No divergence is below 0 and no share outside of 0 to 1, whatever an interval for few windows says.
fn possible(estimate: Estimate, unit: Unit) -> Estimate {
    let most = if unit == Unit::Fraction { 1.0 } else { f64::INFINITY };
    let cut = |interval: Interval| Interval {
        low: interval.low.max(0.0).min(estimate.value.max(0.0)),
        high: interval.high.min(most),
        ..interval
    };
    Estimate { interval: estimate.interval.map(cut), ..estimate }
}

fn perplexity_cell(found: &Found<'_>, nll: Option<ClusterMean>) -> Cell {
    cell(nll.map(|nll| found.estimate(nll).map(f64::exp)), Unit::None)
}

fn design_cell(mean: Option<ClusterMean>) -> Cell {
    let effect = mean.and_then(|mean| mean.design_effect);
    effect.map_or(Cell::missing("nothing varies"), |effect| Cell::number(effect, Unit::None))
}

fn divergences(found: &Found<'_>) -> Table {
    let sketched = found.candidates.iter().any(|side| side.values.is_sketched());
    let mut columns = vec![
        Column::new("candidate"),
        Column::with_unit("size", Unit::Bytes),
        Column::with_unit("KL divergence", Unit::Nats).help("mean over tokens, with the window as the unit"),
        Column::with_unit("median", Unit::Nats),
        Column::with_unit("99 %", Unit::Nats),
        Column::with_unit("same top token", Unit::Fraction),
        Column::with_unit("RMS Δp", Unit::Fraction)
            .help("root of the mean square of the change of the probability of the token that came"),
        Column::with_unit("composite", Unit::Nats).help("median^(1/3) · (p99 + 4·p95 + 5·p90)^(2/3)"),
        Column::new("design effect")
            .help("how many times larger the variance of the mean is than with independent tokens"),
        Column::with_unit("from the top 1 %", Unit::Fraction).help(
            "share of the mean divergence that comes from the one token in a hundred that is furthest off",
        ),
    ];
    if sketched {
        columns.insert(
            3,
            Column::with_unit("at least", Unit::Nats).help("with all that the sketch left out as one"),
        );
    }
    let mut table = Table::new("Distance from the reference (95 % intervals)", columns);
    for side in &found.candidates {
        let values = &side.values;
        let divergence = mean(&values.divergence);
        let percentiles = side.percentiles.as_ref();
        let at = |probability| percentiles.and_then(|percentiles| percentiles.at(probability));
        let all: Vec<f64> = values.divergence.iter().flatten().copied().collect();
        let mut cells = vec![
            Cell::text(&side.name),
            Cell::number(side.bytes as f64, Unit::Bytes),
            mean_cell(found, divergence, Unit::Nats),
            cell(at(0.5), Unit::Nats),
            cell(at(0.99), Unit::Nats),
            mean_cell(found, mean(&values.same_top), Unit::Fraction),
            rms_cell(found, values),
            cell(percentiles.and_then(Percentiles::composite), Unit::Nats),
            design_cell(divergence),
            top_share(&all, 0.01)
                .map_or(Cell::missing("all are 0"), |share| Cell::number(share, Unit::Fraction)),
        ];
        if sketched {
            cells.insert(3, mean_cell(found, mean(&values.lower_bound), Unit::Nats));
        }
        table.push(cells);
    }
    table
}

/// What a sketch leaves open.
fn add_sketched(found: &Found<'_>, document: &mut Document) {
    let head = &found.evaluated.head;
    let sketched = head.reference.as_ref().is_some_and(|side| side.is_sketch);
    if sketched && head.candidates.iter().any(|side| side.is_sketch) {
        document.warning("two sketches tell only what a divergence is at least: give the model of one side for an estimate");
    } else if sketched {
        document.information(
            "The reference is a sketch. Means are unbiased estimates of the divergence, and single tokens are less certain: \
             percentiles are those of the estimates. What it is at least holds for certain.",
        );
    }
}

/// p(candidate) − p(reference) of the token that came, for each scored position of the windows that both have.
fn probability_changes(found: &Found<'_>, values: &Values) -> Vec<Vec<f64>> {
    let Some(reference) = &found.reference else { return Vec::new() };
    let reference = reference.values.shared(values);
    let change = |(own, other): (&Vec<f64>, &Vec<f64>)| {
        own.iter().zip(other).map(|(own, other)| (-own).exp() - (-other).exp()).collect()
    };
    values.nll.iter().zip(&reference.nll).map(change).collect()
}

fn rms_cell(found: &Found<'_>, values: &Values) -> Cell {
    let mut squares = probability_changes(found, values);
    squares.iter_mut().flatten().for_each(|change| *change *= *change);
    let root = |square: f64| square.max(0.0).sqrt();
    cell(mean(&squares).map(|mean| found.estimate(mean).map(root)), Unit::Fraction)
}

pub(super) fn perplexities(found: &Found<'_>) -> Table {
    let mut columns = vec![
        Column::new("model"),
        Column::new("perplexity"),
        Column::with_unit("bits per byte", Unit::BitsPerByte).help("comparable across tokenizers"),
        Column::new("tokens"),
        Column::new("design effect"),
    ];
    if found.reference.is_some() {
        columns.insert(2, Column::new("beside the reference").help("paired: what both find hard cancels"));
    }
    let mut table = Table::new("Perplexity (95 % intervals)", columns);
    for side in found.reference.iter().chain(&found.candidates) {
        let nll = mean(&side.values.nll);
        let mut cells = vec![
            Cell::text(&side.name),
            perplexity_cell(found, nll),
            cell(bits(found, &side.values), Unit::BitsPerByte),
            nll.map_or_else(missing, |nll| Cell::count(nll.tokens as u64)),
            design_cell(nll),
        ];
        if let Some(reference) = &found.reference {
            let own = std::ptr::eq(reference, side);
            cells.insert(2, if own { Cell::missing("itself") } else { ratio_cell(found, reference, side) });
        }
        table.push(cells);
    }
    table
}

fn bits(found: &Found<'_>, values: &Values) -> Option<Estimate> {
    Some(found.ratio(&bits_per_byte(&slices(&values.nll), &values.bytes, None)?))
}

/// The relative change of the perplexity.
fn ratio_cell(found: &Found<'_>, reference: &Side, side: &Side) -> Cell {
    let reference = reference.values.shared(&side.values);
    let mean = ClusterMean::of_differences(&slices(&side.values.nll), &slices(&reference.nll), None);
    match mean.map(|mean| found.estimate(mean).map(f64::exp_m1)) {
        Some(estimate) => change_cell(&estimate),
        None => missing(),
    }
}

/// The candidates from the best on: who raced against the leader, otherwise each against the one before it.
fn ranking(found: &Found<'_>) -> Table {
    let judged = |side: &'_ Side| side.values.judged(found.evaluated.head.judged()).to_vec();
    let mut order: Vec<(usize, f64)> = (0..found.candidates.len())
        .filter_map(|place| Some((place, mean(&judged(&found.candidates[place]))?.mean)))
        .collect();
    // Who left a race saw fewer windows than those who stayed: they come last, the last to leave first.
    let stayed = |place: usize| found.candidates[place].values.chunks.len();
    order.sort_by(|one, other| stayed(other.0).cmp(&stayed(one.0)).then(one.1.total_cmp(&other.1)));
    let standings = &found.evaluated.standings;
    let raced = standings.len() == found.candidates.len();
    let columns = [
        Column::new("candidate"),
        Column::new("windows"),
        Column::with_unit(if found.reference.is_some() { "KL divergence" } else { "−ln p" }, Unit::Nats),
        Column::new(if raced { "beside the best" } else { "beside the one above" })
            .help("divergence or perplexity, on the same windows"),
        Column::new("verdict"),
    ];
    let caption = if raced { "The race, decided on common windows" } else { "In order, on common windows" };
    let mut table = Table::new(caption, columns);
    for (rank, (place, _)) in order.iter().enumerate() {
        let side = &found.candidates[*place];
        let (difference, verdict) = match rank.checked_sub(1).and_then(|before| order.get(before)) {
            _ if raced => standing(found, &standings[*place]),
            Some((before, _)) => pair(found, &judged(side), &judged(&found.candidates[*before])),
            None => (Cell::missing("the best"), Cell::missing("")),
        };
        table.push([
            Cell::text(&side.name),
            Cell::count(side.values.chunks.len() as u64),
            mean_cell(found, mean(&judged(side)), Unit::Nats),
            difference,
            verdict,
        ]);
    }
    table
}

/// How a candidate stood in the race when it was last looked at.
fn standing(found: &Found<'_>, standing: &Standing) -> (Cell, Cell) {
    let cell = match &standing.difference {
        Some(difference) => difference_cell(found, difference, standing.relative),
        None => Cell::missing("the best"),
    };
    (cell, verdict_cell(standing.verdict))
}

/// A relative difference of divergences or perplexities; in nats where a divergence is 0.
fn difference_cell(found: &Found<'_>, difference: &Estimate, relative: bool) -> Cell {
    match found.evaluated.head.judged() {
        Judged::Nll => change_cell(&difference.map(f64::exp_m1)),
        Judged::Divergence if relative => change_cell(difference),
        Judged::Divergence => Cell::change(difference.value, ends(difference), Unit::Nats),
    }
}

/// One candidate beside another, without a race.
fn pair(found: &Found<'_>, own: &[Vec<f64>], other: &[Vec<f64>]) -> (Cell, Cell) {
    let rules = rules(found.evaluated.rule, found.evaluated.head.judged());
    let (own, other) = (parts(&slices(own)), parts(&slices(other)));
    let beside = beside(&own, &other, &rules, |ratio| found.ratio(ratio));
    match &beside.difference {
        Some(difference) if own.len() == other.len() => {
            (difference_cell(found, difference, beside.relative), verdict_cell(beside.verdict))
        }
        _ => (missing(), missing()),
    }
}

fn texts(found: &Found<'_>) -> Table {
    let mut columns = vec![
        Column::new("text"),
        Column::new("model"),
        Column::new("perplexity"),
        Column::with_unit("bits per byte", Unit::BitsPerByte),
    ];
    if found.reference.is_some() {
        columns.push(Column::with_unit("KL divergence", Unit::Nats));
        columns.push(Column::with_unit("same top token", Unit::Fraction));
    }
    let mut table = Table::new("By text (95 % intervals)", columns);
    let windows = found.evaluated.windows_of_texts();
    for (text, range) in found.evaluated.head.texts.iter().zip(&windows) {
        for side in found.reference.iter().chain(&found.candidates) {
            let values = side.values.within(range);
            let mut cells = vec![
                Cell::text(&text.label),
                Cell::text(&side.name),
                perplexity_cell(found, mean(&values.nll)),
                cell(bits(found, &values), Unit::BitsPerByte),
            ];
            if found.reference.as_ref().is_some_and(|reference| std::ptr::eq(reference, side)) {
                cells.extend([Cell::missing("itself"), Cell::missing("itself")]);
            } else if found.reference.is_some() {
                cells.push(mean_cell(found, mean(&values.divergence), Unit::Nats));
                cells.push(mean_cell(found, mean(&values.same_top), Unit::Fraction));
            }
            table.push(cells);
        }
    }
    table
}

fn percentiles(found: &Found<'_>) -> Table {
    let columns = std::iter::once(Column::new("candidate"))
        .chain(PERCENTILES.map(|(_, name)| Column::with_unit(name, Unit::Nats)))
        .chain([Column::with_unit("largest", Unit::Nats)]);
    let mut table = Table::new("Percentiles of the divergence (95 % intervals)", columns);
    let probabilities = PERCENTILES.map(|(probability, _)| probability);
    for side in &found.candidates {
        let estimates = super::percentiles(&side.values, &probabilities).map(|found| found.estimates());
        let cells = estimates.unwrap_or_default().into_iter().map(|one| cell(Some(one), Unit::Nats));
        let largest = side.values.divergence.iter().flatten().copied().fold(f64::NAN, f64::max);
        table.push(
            std::iter::once(Cell::text(&side.name)).chain(cells).chain([Cell::number(largest, Unit::Nats)]),
        );
    }
    table
}

/// The same values as that tool shows them, for whoever compares with its output.
fn add_llama_perplexity(found: &Found<'_>, document: &mut Document) {
    if found.evaluated.head.windowing.rule != WindowRule::LlamaPerplexity {
        return;
    }
    let mut inside = Document::new("As llama-perplexity prints it");
    inside.information(
        "Its ± takes tokens for independent ones, which they are not: the intervals above are the honest ones.",
    );
    for side in &found.candidates {
        inside.table(as_printed(found, side));
    }
    document.fold("As llama-perplexity prints it", inside);
}

fn as_printed(found: &Found<'_>, side: &Side) -> Table {
    let columns = [Column::new("figure"), Column::new("value"), Column::new("±")];
    let mut table = Table::new(&side.name, columns);
    let nll = flat(&side.values.nll);
    match &found.reference {
        None => {
            if let Some(estimate) = llama_perplexity::final_estimate(&nll) {
                table.push([
                    Cell::text("Final estimate: PPL"),
                    printed(estimate.value, false),
                    printed(estimate.uncertainty, false),
                ]);
            }
        }
        Some(reference) => {
            let base = flat(&reference.values.shared(&side.values).nll);
            let same: Vec<bool> = side.values.same_top.iter().flatten().map(|same| *same > 0.5).collect();
            let found = Statistics::of(&nll, &base, &flat(&side.values.divergence), &same);
            for line in found.iter().flat_map(Statistics::lines) {
                let uncertainty =
                    line.uncertainty.map_or(Cell::missing(""), |value| printed(value, line.percent));
                table.push([Cell::text(words(line.name)), printed(line.value, line.percent), uncertainty]);
            }
        }
    }
    table
}

fn flat(values: &[Vec<f64>]) -> Vec<f64> {
    values.iter().flatten().copied().collect()
}

/// A name without the blanks by which that tool lines them up.
fn words(name: &str) -> String {
    name.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn printed(value: f64, percent: bool) -> Cell {
    let unit = if percent { Unit::Fraction } else { Unit::None };
    Cell::Number { value, unit, digits: Some(7) }
}
