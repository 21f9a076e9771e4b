//! The numbers: of each candidate, of each text, of each percentile, and as llama-perplexity prints them.

use super::{Found, Side, mean};
use crate::documents::compare::verdict_cell;
use crate::documents::{change_cell, ends, estimate_cell};
use crate::evaluate::{Judged, SideIdentity, Values, rules, slices};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::elimination::Standing;
use gguflab_stats::llama_perplexity::{self, Statistics};
use gguflab_stats::{ClusterMean, Estimate, Interval, Percentiles, beside, bits_per_byte, parts, top_share};
use gguflab_types::Unit;
use gguflab_types::evaluation::{Kept, WindowRule};

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
        add_kept(found, document);
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

/// What says beside every figure what it is made of: a column at this place, where that is anything but whole rows.
#[derive(Clone, Copy)]
struct Mark {
    place: Option<usize>,
    of: fn(&Side) -> Option<&'static str>,
}

impl Mark {
    fn new(
        found: &Found<'_>,
        of: fn(&Side) -> Option<&'static str>,
        place: usize,
        columns: &mut Vec<Column>,
    ) -> Mark {
        let is_needed = found.reference.iter().chain(&found.candidates).any(|side| of(side).is_some());
        if is_needed {
            let help = "16 bits are those of llama-perplexity's files; a sketch is what was kept of each row";
            columns.insert(place, Column::new("made of").help(help));
        }
        Mark { place: Some(place).filter(|_| is_needed), of }
    }

    /// A row with its mark.
    fn row(self, side: &Side, mut cells: Vec<Cell>) -> Vec<Cell> {
        if let Some(place) = self.place {
            cells.insert(place, Cell::text((self.of)(side).unwrap_or("whole rows")));
        }
        cells
    }
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
    let sketched = found.sketched();
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
    let mark = Mark::new(found, Side::made_of, 1, &mut columns);
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
        table.push(mark.row(side, cells));
    }
    table
}

/// What stores leave open.
fn add_kept(found: &Found<'_>, document: &mut Document) {
    let head = &found.evaluated.head;
    let is = |side: &SideIdentity, kept| side.kept == kept;
    let sketched = head.reference.as_ref().is_some_and(|side| is(side, Kept::Sketch));
    if head.reference.iter().chain(&head.candidates).any(|side| is(side, Kept::SixteenBits)) {
        document.information(
            "Of a side the tokens' probabilities are kept in 16 bits: the divergence of a token can be off by 1e-4 nats and \
             come out below zero, and what lies 16 nats below the likeliest token is one value. The figures that it touches say so.",
        );
    }
    if sketched && head.candidates.iter().any(|side| is(side, Kept::Sketch)) {
        document.warning(
            "two sketches tell only what a divergence is at least, which is in no figure but that one: give the model of one \
             side for an estimate",
        );
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
    let mark = Mark::new(found, Side::nll_made_of, 1, &mut columns);
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
        table.push(mark.row(side, cells));
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
    let mut columns = vec![
        Column::new("candidate"),
        Column::new("windows"),
        Column::with_unit(if found.reference.is_some() { "KL divergence" } else { "−ln p" }, Unit::Nats),
        Column::new(if raced { "beside the best" } else { "beside the one above" })
            .help("divergence or perplexity, on the same windows"),
        Column::new("verdict"),
    ];
    let mark = Mark::new(found, Side::made_of, 1, &mut columns);
    let caption = if raced { "The race, decided on common windows" } else { "In order, on common windows" };
    let mut table = Table::new(caption, columns);
    for (rank, (place, _)) in order.iter().enumerate() {
        let side = &found.candidates[*place];
        let (difference, verdict) = match rank.checked_sub(1).and_then(|before| order.get(before)) {
            _ if raced => standing(found, &standings[*place]),
            Some((before, _)) => pair(found, &judged(side), &judged(&found.candidates[*before])),
            None => (Cell::missing("the best"), Cell::missing("")),
        };
        let cells = vec![
            Cell::text(&side.name),
            Cell::count(side.values.chunks.len() as u64),
            mean_cell(found, mean(&judged(side)), Unit::Nats),
            difference,
            verdict,
        ];
        table.push(mark.row(side, cells));
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
    if found.sketched() {
        columns.push(Column::with_unit("at least", Unit::Nats));
    }
    let mark = Mark::new(found, Side::made_of, 2, &mut columns);
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
                if found.sketched() {
                    cells.push(mean_cell(found, mean(&values.lower_bound), Unit::Nats));
                }
            }
            table.push(mark.row(side, cells));
        }
    }
    table
}

fn percentiles(found: &Found<'_>) -> Table {
    let mut columns = vec![Column::new("candidate")];
    columns.extend(PERCENTILES.map(|(_, name)| Column::with_unit(name, Unit::Nats)));
    columns.push(Column::with_unit("largest", Unit::Nats));
    let mark = Mark::new(found, Side::made_of, 1, &mut columns);
    let mut table = Table::new("Percentiles of the divergence (95 % intervals)", columns);
    let probabilities = PERCENTILES.map(|(probability, _)| probability);
    for side in &found.candidates {
        let mut cells = vec![Cell::text(&side.name)];
        if let Some(percentiles) = super::percentiles(&side.values, &probabilities) {
            let largest = side.values.divergence.iter().flatten().copied().fold(f64::NAN, f64::max);
            cells.extend(percentiles.estimates().into_iter().map(|one| cell(Some(one), Unit::Nats)));
            cells.push(Cell::number(largest, Unit::Nats));
        }
        table.push(mark.row(side, cells));
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
    // That tool knows no bounds.
    let is_shown = |side: &&Side| found.reference.is_none() || side.values.has_divergence();
    for side in found.candidates.iter().filter(is_shown) {
        inside.table(as_printed(found, side));
    }
    document.fold("As llama-perplexity prints it", inside);
}

fn as_printed(found: &Found<'_>, side: &Side) -> Table {
    let columns = [Column::new("figure"), Column::new("value"), Column::new("±")];
    let mut table = Table::new(side.label(), columns);
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
