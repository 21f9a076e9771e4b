//! What each value of each knob did, and how much of the variation each knob explains.

use super::explain::no_interval;
use crate::documents;
use crate::documents::change_cell;
use crate::effects::{Effects, KnobEffect, LevelEffect};
use crate::survey::Survey;
use gguflab_report::chart::{Axis, ChartKind, Reference, Row};
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_types::Unit;

/// Rows of a chart: more would not be read.
const MOST_ROWS: usize = 24;

/// Charts of effects and shares, and the numbers folded away.
pub(in crate::documents) fn add(survey: &Survey, effects: &Effects, document: &mut Document) {
    if effects.tried().next().is_none() {
        document.paragraph("Only one value of each knob was measured: nothing can be said of what they do.");
        return;
    }
    if let Some(chart) = effect_chart(survey, effects) {
        document.chart(chart);
    }
    if let Some(chart) = share_chart(survey, effects) {
        document.chart(chart);
    }
    let mut numbers = Document::new("");
    numbers.table(table(survey, effects));
    document.fold("Every value of every knob", numbers);
}

fn setting(survey: &Survey, effect: &KnobEffect, level: usize) -> String {
    let knob = &survey.knobs[effect.knob];
    format!("{}={}", knob.name, knob.label(level))
}

fn effect_chart(survey: &Survey, effects: &Effects) -> Option<Chart> {
    let row = |effect: &KnobEffect, level: &LevelEffect| {
        let difference = level.difference()?;
        let how = if level.alone.is_some() { "changed alone" } else { "by an additive model" };
        Some(documents::row(setting(survey, effect, level.level), difference).group(how))
    };
    let mut rows: Vec<Row> = Vec::new();
    for effect in effects.tried() {
        rows.extend(effect.levels.iter().filter_map(|level| row(effect, level)));
    }
    let left_out = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    if rows.is_empty() {
        return None;
    }
    let less = match left_out {
        0 => String::new(),
        count => format!("; {count} more of less important knobs are in the table"),
    };
    let caption = format!(
        "left of the line is faster; 95 % intervals, each for itself; the most important knobs first{less}"
    );
    let kind = ChartKind::Intervals {
        axis: Axis::new("difference in time", Unit::Fraction),
        rows,
        reference: Some(Reference { label: "baseline's value of the knob".to_string(), value: 0.0 }),
    };
    Some(Chart::new("What each value did", caption, kind))
}

fn share_chart(survey: &Survey, effects: &Effects) -> Option<Chart> {
    let row = |effect: &KnobEffect| {
        let share = effect.share?;
        let interval = (rough(share.low), rough(share.high));
        Some(Row::new(&survey.knobs[effect.knob].name, rough(share.value), Some(interval)))
    };
    let mut rows: Vec<Row> = effects.tried().filter_map(row).collect();
    if rows.len() < 2 {
        return None;
    }
    rows.extend(effects.together.map(|together| Row::new("knobs together", rough(together), None)));
    let caption = "of the variance over the whole space, by functional ANOVA of a forest of regression trees \
                   (Hutter, Hoos & Leyton-Brown 2014); the bars hold four fifths of the trees";
    let kind = ChartKind::Bars { axis: Axis::new("share of the variance", Unit::Fraction), rows };
    Some(Chart::new("How much each knob matters", caption, kind))
}

/// To a tenth of a per cent: shares are no better known.
fn rough(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

fn table(survey: &Survey, effects: &Effects) -> Table {
    let columns = [
        Column::new("knob"),
        Column::new("value"),
        Column::new("instead of"),
        Column::new("time, changed alone").help("between configurations that differ in nothing else"),
        Column::new("pairs"),
        Column::new("time, by the model").help("an additive model of all knobs and all visits"),
        Column::new("visits"),
        Column::new("failed"),
    ];
    let mut table = Table::new("Effects", columns);
    for effect in effects.tried() {
        let knob = &survey.knobs[effect.knob];
        for level in &effect.levels {
            let alone = level.alone.as_ref();
            table.push([
                Cell::text(&knob.name),
                Cell::text(knob.label(level.level)),
                Cell::text(knob.label(effect.reference)),
                alone.map_or(Cell::missing("never"), |change| change_cell(&change.difference)),
                Cell::count(alone.map_or(0, |change| change.surroundings) as u64),
                level.modelled.as_ref().map_or(Cell::missing(no_interval()), change_cell),
                Cell::count(level.visits.0 as u64),
                Cell::count(level.visits.1 as u64),
            ]);
        }
    }
    table
}
