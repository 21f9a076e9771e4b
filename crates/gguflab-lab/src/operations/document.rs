//! What is said of operations.

use super::{Cost, Costs, Dissected, name};
use crate::documents::subject;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::{Cell, Chart, Column, Document, Table, format};
use gguflab_types::operation::{Operation, Stage, Work};
use gguflab_types::{Subject, Unit};
use std::collections::BTreeMap;

/// Rows of a table that are shown; the rest is summed up.
const MOST_ROWS: usize = 12;
/// How many times the median layer a layer has to take in every run to be pointed out.
const ODD_LAYER: f64 = 1.25;
/// Runs that it takes to tell a slow layer from a slow moment.
const LEAST_RUNS: usize = 3;
/// A run with stops cannot be faster than one without; this much of it is noise.
const NOISE: f64 = 0.95;

/// The document of one configuration, or of two side by side.
#[must_use]
pub fn document(subject: &Subject, found: &[Dissected], warnings: &[String]) -> Document {
    let mut document = Document::new(format!("Profile of {}", subject.model.name));
    warnings.iter().for_each(|warning| {
        document.warning(warning);
    });
    document.facts(subject::facts(subject));
    for one in found {
        for complaint in one.active.complaints(&one.configuration) {
            document.warning(complaint);
        }
    }
    document.table(settings(found));
    document.table(roofs(found));
    let stages = found.first().map_or(0, |first| first.anatomy.stages.len());
    for place in 0..stages {
        let sides: Vec<Side<'_>> = found.iter().filter_map(|one| Side::of(one, place)).collect();
        if let [first, rest @ ..] = sides.as_slice() {
            stage(first, rest.first(), &mut document);
        }
    }
    method(&mut document);
    document
}

/// One configuration's stage.
struct Side<'a> {
    dissected: &'a Dissected,
    stage: &'a Stage,
    costs: Costs<'a>,
}

impl<'a> Side<'a> {
    fn of(dissected: &'a Dissected, place: usize) -> Option<Side<'a>> {
        let stage = dissected.anatomy.stages.get(place)?;
        Some(Side { dissected, stage, costs: Costs::of(stage, &dissected.anatomy.roofs)? })
    }

    fn label(&self) -> String {
        self.dissected.configuration.to_string()
    }
}

fn settings(found: &[Dissected]) -> Table {
    let mut table = Table::new(
        "Configurations",
        [
            Column::new("settings"),
            Column::new("flash attention").help("as the engine's log says"),
            Column::new("layers on GPUs"),
            Column::new("graph splits")
                .help("parts of the graph that run on one device each, prompt / generation"),
        ],
    );
    for one in found {
        let silent = || Cell::missing("the engine's log does not say");
        let active = &one.active;
        let pair = |pair: Option<(u32, u32)>, between: &str| {
            pair.map_or_else(silent, |(left, right)| Cell::text(format!("{left}{between}{right}")))
        };
        table.push([
            Cell::code(one.configuration.to_string()),
            active.flash_attention.map_or_else(silent, Cell::flag),
            pair(active.gpu_layers, " of "),
            pair(active.splits, " / "),
        ]);
    }
    table
}

/// What was measured of each device that worked.
fn roofs(found: &[Dissected]) -> Table {
    let mut table = Table::new(
        "Roofs",
        [
            Column::new("settings"),
            Column::new("device"),
            Column::new("threads"),
            Column::new("what it does"),
            Column::new("per second").help("the most that was measured here"),
        ],
    );
    for one in found {
        for roof in &one.anatomy.roofs {
            for limit in &roof.limits {
                let work = match &limit.work {
                    Work::Reading => "reads weights".to_string(),
                    Work::Products(weights) => format!("multiplies {weights}"),
                };
                let rate = |rate| match &limit.work {
                    Work::Reading => Cell::text(format::number(rate, Unit::Bytes)),
                    Work::Products(_) => Cell::text(format!("{:.0} GFLOP", rate / 1e9)),
                };
                table.push([
                    Cell::code(one.configuration.to_string()),
                    Cell::text(&roof.device),
                    roof.threads.map_or(Cell::missing(""), |threads| Cell::count(u64::from(threads))),
                    Cell::text(work),
                    limit.rate.clone().map_or_else(Cell::missing, rate),
                ]);
            }
        }
    }
    table
}

fn stage(first: &Side<'_>, second: Option<&Side<'_>>, document: &mut Document) {
    document.heading(1, capital(&name(first.stage)));
    let sides: Vec<&Side<'_>> = std::iter::once(first).chain(second).collect();
    document.table(times(&sides));
    for side in sides.iter().filter(|side| side.costs.stopped < NOISE * side.costs.plain) {
        document.warning(format!(
            "With {} runs took longer without stops than with them: the machine was busy, and these figures are rough",
            side.label()
        ));
    }
    document.table(groups("Operators", "operator", first, second, |one| {
        format!("{} {}", one.operator, one.operand.to_lowercase())
    }));
    document.table(groups("Parts of the model", "part", first, second, |one| match one.part.is_empty() {
        true => one.operator.to_lowercase(),
        false => one.part.clone(),
    }));
    if let Some(chart) = layers(&sides) {
        document.chart(chart);
    }
    sides.iter().filter_map(|side| odd_layer(side)).for_each(|text| {
        document.information(text);
    });
}

fn times(sides: &[&Side<'_>]) -> Table {
    let mut table = Table::new(
        "A run",
        [
            Column::new("settings"),
            Column::with_unit("without stops", Unit::Seconds),
            Column::with_unit("with stops", Unit::Seconds).help("a stop after every operation"),
            Column::new("times as long"),
            Column::new("stops"),
            Column::with_unit("a stop", Unit::Seconds).help("taken off each stopped operation"),
            Column::with_unit("outside", Unit::Seconds).help("outside of all operations"),
            Column::new("runs"),
        ],
    );
    for side in sides {
        let costs = &side.costs;
        let stops: u64 = costs.operations.iter().map(|(one, _)| u64::from(one.count)).sum();
        table.push([
            Cell::code(side.label()),
            Cell::number(costs.plain, Unit::Seconds),
            Cell::number(costs.stopped, Unit::Seconds),
            Cell::number(costs.stopped / costs.plain, Unit::None),
            Cell::count(stops),
            Cell::number(costs.stop, Unit::Seconds),
            Cell::number(costs.outside, Unit::Seconds),
            Cell::count(side.stage.plain.len() as u64),
        ]);
    }
    table
}

/// The costs by some name; of a second configuration only its time is shown, and how it compares. What either of them does has
/// a row: an operation may run on another device there.
fn groups(
    caption: &str,
    what: &str,
    first: &Side<'_>,
    second: Option<&Side<'_>>,
    key: impl Fn(&Operation) -> String,
) -> Table {
    let mut table = Table::new(caption, columns(what, second));
    let with_device = |one: &Operation| (key(one), one.device.clone());
    let rows = rows(first.costs.by(with_device), second.map(|second| second.costs.by(with_device)));
    for row in rows.iter().take(MOST_ROWS) {
        let mut cells = vec![Cell::text(&row.key), Cell::text(&row.device)];
        cells.extend(own_cells(row, first.costs.plain));
        match (second, &row.first) {
            (None, Some(cost)) => cells.extend(against_roof(cost)),
            _ => cells.extend(beside(row.first.as_ref().map_or(0.0, |cost| cost.seconds), row.second)),
        }
        table.push(cells);
    }
    let rest: Vec<&Row> = rows.iter().skip(MOST_ROWS).collect();
    if !rest.is_empty() {
        let here: f64 = rest.iter().filter_map(|row| row.first.as_ref()).map(|cost| cost.seconds).sum();
        let mut cells = vec![Cell::text(format!("{} more", rest.len())), Cell::text(""), Cell::text("")];
        cells.push(Cell::number(here, Unit::Seconds));
        cells.push(Cell::number(here / first.costs.plain, Unit::Fraction));
        if second.is_some() {
            cells.extend(beside(here, Some(rest.iter().filter_map(|row| row.second).sum())));
        }
        table.push(cells);
    }
    table
}

/// A group of operations on a device.
struct Row {
    key: String,
    device: String,
    /// `None` where only the second configuration has it.
    first: Option<Cost>,
    /// Seconds in the second configuration, if it has it.
    second: Option<f64>,
}

/// The dearest first, in whichever configuration.
fn rows(first: Vec<((String, String), Cost)>, second: Option<Vec<((String, String), Cost)>>) -> Vec<Row> {
    let mut others = second.unwrap_or_default();
    let mut rows: Vec<Row> = first
        .into_iter()
        .map(|((key, device), cost)| {
            let place = others.iter().position(|(other, _)| *other == (key.clone(), device.clone()));
            let second = place.map(|place| others.remove(place).1.seconds);
            Row { key, device, first: Some(cost), second }
        })
        .collect();
    rows.extend(others.into_iter().map(|((key, device), cost)| Row {
        key,
        device,
        first: None,
        second: Some(cost.seconds),
    }));
    let dearest =
        |row: &Row| row.first.as_ref().map_or(0.0, |cost| cost.seconds).max(row.second.unwrap_or(0.0));
    rows.sort_by(|one, other| dearest(other).total_cmp(&dearest(one)));
    rows
}

/// How often it runs, how long, and what share of a run that is.
fn own_cells(row: &Row, plain: f64) -> [Cell; 3] {
    match &row.first {
        Some(cost) => [
            Cell::count(u64::from(cost.count)),
            Cell::number(cost.seconds, Unit::Seconds),
            Cell::number(cost.seconds / plain, Unit::Fraction),
        ],
        None => [Cell::missing("it runs only there"), Cell::missing(""), Cell::missing("")],
    }
}

/// What a group is and what it takes; then a second configuration, or the roof.
fn columns(what: &str, second: Option<&Side<'_>>) -> Vec<Column> {
    let mut columns = vec![
        Column::new(what),
        Column::new("device"),
        Column::new("times"),
        Column::with_unit("time", Unit::Seconds),
        Column::new("share"),
    ];
    match second {
        Some(second) => columns.extend([
            Column::with_unit(format!("with {}", second.label()), Unit::Seconds),
            Column::new("change"),
        ]),
        None => columns.extend([
            Column::with_unit("weights", Unit::Bytes),
            Column::with_unit("per second", Unit::Bytes).help("bytes of weights that are read in a second"),
            Column::new("of the roof")
                .help("the least time that this device needs, of the time that it took"),
            Column::new("held by"),
        ]),
    }
    columns
}

fn beside(seconds: f64, theirs: Option<f64>) -> [Cell; 2] {
    match theirs {
        Some(theirs) if seconds > 0.0 => {
            [Cell::number(theirs, Unit::Seconds), Cell::change(theirs / seconds - 1.0, None, Unit::Fraction)]
        }
        Some(theirs) => [Cell::number(theirs, Unit::Seconds), Cell::missing("")],
        None => [Cell::missing("it does not run there"), Cell::missing("")],
    }
}

fn against_roof(cost: &Cost) -> [Cell; 4] {
    let weights = cost.weight_bytes;
    let rate = match cost.seconds > 0.0 {
        true if weights > 0.0 => Cell::number(weights / cost.seconds, Unit::Bytes),
        true => Cell::missing(""),
        false => Cell::missing("too short to be seen beside a stop"),
    };
    let (share, held) = match (cost.share_of_roof(), cost.least) {
        (Some(share), Some(least)) => {
            let held = if least.is_bound_by_memory() { "memory" } else { "arithmetic" };
            (Cell::number(share, Unit::Fraction), Cell::text(held))
        }
        (_, None) => (Cell::missing("not all of its roof could be measured"), Cell::missing("")),
        (None, Some(_)) => (Cell::missing(""), Cell::missing("")),
    };
    [Cell::number(weights, Unit::Bytes), rate, share, held]
}

/// The time of each layer, one curve for each configuration.
fn layers(sides: &[&Side<'_>]) -> Option<Chart> {
    let series: Vec<Series> = sides
        .iter()
        .map(|side| Series {
            name: side.label(),
            shape: Shape::Line,
            points: times_of_layers(side)
                .into_iter()
                .map(|(layer, seconds)| Point { x: f64::from(layer), y: seconds, ..Point::default() })
                .collect(),
        })
        .filter(|series| series.points.len() > 1)
        .collect();
    let first = sides.first()?;
    (!series.is_empty()).then(|| {
        let kind = ChartKind::Lines {
            across: Axis::new("layer", Unit::Count),
            axis: Axis::new("time in a run", Unit::Seconds),
            series,
        };
        Chart::new(format!("Layers: {}", name(first.stage)), "all operations of a layer together", kind)
    })
}

/// The layers in their order with their seconds.
fn times_of_layers(side: &Side<'_>) -> Vec<(u32, f64)> {
    let groups = side.costs.by(|one| one.layer);
    let mut layers: Vec<(u32, f64)> =
        groups.into_iter().filter_map(|(layer, cost)| Some((layer?, cost.seconds))).collect();
    layers.sort_by_key(|(layer, _)| *layer);
    layers
}

/// What makes the slowest layer slow, where it stands out in every run.
fn odd_layer(side: &Side<'_>) -> Option<String> {
    let layers = times_of_layers(side);
    let usual = gguflab_stats::median(&layers.iter().map(|(_, seconds)| *seconds).collect::<Vec<f64>>())?;
    let (layer, seconds) = layers.iter().max_by(|left, right| left.1.total_cmp(&right.1)).copied()?;
    let runs = side.stage.stopped.len();
    let stands_out = |run: usize| is_odd_in(side, layer, run);
    if layers.len() < 3 || runs < LEAST_RUNS || usual <= 0.0 || !(0..runs).all(stands_out) {
        return None;
    }
    let kinds = side.costs.by(|one| (one.part.clone(), one.operator.clone(), one.layer));
    let excess = |part: &str, operator: &str, own: f64| {
        let same =
            kinds.iter().filter(|((name, what, at), _)| name == part && what == operator && at.is_some());
        let others: Vec<f64> = same.map(|(_, cost)| cost.seconds).collect();
        own - gguflab_stats::median(&others).unwrap_or(0.0)
    };
    let own = kinds.iter().filter(|((.., at), _)| *at == Some(layer));
    let (cause, most) = own
        .map(|((part, operator, _), cost)| {
            (format!("{operator} {part}"), excess(part, operator, cost.seconds))
        })
        .max_by(|left, right| left.1.total_cmp(&right.1))?;
    let share = (most / (seconds - usual)).clamp(0.0, 1.0);
    Some(format!(
        "With {} layer {layer} takes {:.2} times the median layer, and stands out in each of {runs} runs; {:.0} % of the \
         difference is {}",
        side.label(),
        seconds / usual,
        100.0 * share,
        cause.trim()
    ))
}

/// Whether a layer stands out in one run.
fn is_odd_in(side: &Side<'_>, layer: u32, run: usize) -> bool {
    let mut layers: BTreeMap<u32, f64> = BTreeMap::new();
    for one in &side.stage.operations {
        if let (Some(layer), Some(seconds)) = (one.layer, one.seconds.get(run)) {
            *layers.entry(layer).or_default() += seconds - f64::from(one.count) * side.costs.stop;
        }
    }
    let all: Vec<f64> = layers.values().copied().collect();
    let usual = gguflab_stats::median(&all).unwrap_or(f64::INFINITY);
    layers.get(&layer).is_some_and(|seconds| *seconds >= ODD_LAYER * usual)
}

fn method(document: &mut Document) {
    document.paragraph(
        "Runs without stops and runs with a stop after every operation take turns. Operations are timed in the latter; from \
         each stop the same time is taken off, so much that the rest adds up to the run without stops. What is small beside \
         a stop is known least. Operations that the engine fuses when it is not stopped are timed one by one here.",
    );
    document.paragraph(
        "The roof of each device was measured through the engine's own products on it, the best of many rounds: weights are \
         read from a matrix that is larger than caches, and multiplied in products large enough to keep the device busy. \
         Weights that stay in a cache can pass it. Attention is held against the fastest products.",
    );
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::operation::{Anatomy, Limit, Roof};
    use gguflab_types::{Configuration, Value};

    /// Five layers of one second in each of three runs, the third with these seconds more in `ffn_down`.
    fn dissected(extra: [f64; 3]) -> Dissected {
        let operation = |layer: u32, part: &str, extra: [f64; 3]| Operation {
            layer: Some(layer),
            part: part.to_string(),
            operator: "MUL_MAT".to_string(),
            operand: "Q4_K".to_string(),
            device: "CPU".to_string(),
            count: 1,
            weight_bytes: 1e9,
            seconds: extra.map(|extra| 0.5 + extra).to_vec(),
            ..Operation::default()
        };
        let layers = 0..5;
        let operations = layers.flat_map(|layer| {
            let own = if layer == 3 { extra } else { [0.0; 3] };
            [operation(layer, "attn_q", [0.0; 3]), operation(layer, "ffn_down", own)]
        });
        let stage = Stage {
            tokens: 8,
            generation: true,
            plain: vec![6.0; 3],
            stopped: vec![6.5; 3],
            operations: operations.collect(),
        };
        let roof = Roof {
            device: "CPU".to_string(),
            threads: Some(2),
            limits: vec![Limit { work: Work::Reading, rate: Ok(4e9) }],
        };
        Dissected {
            configuration: Configuration::new().with("threads", Value::Integer(2)),
            anatomy: Anatomy { stages: vec![stage], roofs: vec![roof] },
            active: crate::active::Active::default(),
        }
    }

    fn markdown(found: &[Dissected]) -> String {
        (gguflab_report::render::find("markdown").unwrap().render)(
            &document(&Subject::default(), found, &[]),
            &gguflab_report::Style::default(),
        )
    }

    #[test]
    fn a_layer_that_is_slow_in_every_run_is_pointed_out_with_what_is_slow_in_it() {
        let text = markdown(&[dissected([0.6, 0.5, 0.7])]);
        assert!(
            text.contains("layer 3 takes 1.60 times the median layer, and stands out in each of 3 runs"),
            "{text}"
        );
        assert!(
            text.contains("100 % of the difference is MUL\\_MAT ffn\\_down")
                || text.contains("MUL_MAT ffn_down"),
            "{text}"
        );
        let once = markdown(&[dissected([0.6, 0.0, 0.7])]);
        assert!(!once.contains("stands out"), "a slow moment is no slow layer: {once}");
    }

    #[test]
    fn weights_are_held_against_the_roof_and_two_configurations_against_each_other() {
        let alone = markdown(&[dissected([0.0; 3])]);
        // 10 GB in 5 s at 4 GB/s.
        assert!(alone.contains("50.0 | memory"), "{alone}");
        let mut without = dissected([0.0; 3]);
        without.anatomy.roofs[0].limits[0].rate = Err("too little memory is free".to_string());
        let without = markdown(&[without]);
        assert!(without.contains("not all of its roof could be measured"), "{without}");
        assert!(without.contains("too little memory is free"), "{without}");
        let other = Dissected { configuration: Configuration::new(), ..dissected([0.5; 3]) };
        let both = markdown(&[dissected([0.0; 3]), other.clone()]);
        assert!(both.contains("+10.0"), "{both}");
        assert!(!both.contains("of the roof"), "{both}");
        let mut moved = other;
        for operation in &mut moved.anatomy.stages[0].operations {
            if operation.part == "ffn_down" {
                operation.device = "CUDA0".to_string();
            }
        }
        let both = markdown(&[dissected([0.0; 3]), moved]);
        let row = |device: &str| {
            let rows = both.lines().filter(|line| line.contains("ffn") && line.contains(device));
            rows.map(str::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(row("CPU").contains("it does not run there"), "{both}");
        assert!(row("CUDA0").contains("it runs only there"), "{both}");
    }
}
