//! Configurations from best to worst, and the best for each value of a knob.

use super::{objective_axis, own_value};
use crate::documents;
use crate::documents::{change_cell, estimate_cell};
use crate::effects::Effects;
use crate::survey::{Pooled, Survey, noise};
use gguflab_report::chart::{ChartKind, Reference, Row};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::{CONFIDENCE, group_change, relative};

/// Rows that are shown before the rest is folded away.
const FIRST: usize = 10;
/// Knobs whose best values are drawn; the others are tables.
const MOST_CHARTS: usize = 3;
/// Rows of a chart: more would not be read.
const MOST_ROWS: usize = 24;

/// The ranking, and the best for each value of the knobs.
pub(in crate::documents) fn add(
    survey: &Survey,
    groups: &[Pooled],
    effects: &Effects,
    document: &mut Document,
) {
    let first = groups.len().min(FIRST);
    document.table(table(survey, groups, &groups[..first], "Ranking"));
    if groups.len() > first {
        let mut all = Document::new("");
        all.table(table(survey, groups, groups, "All configurations"));
        document.fold(format!("All {} configurations", groups.len()), all);
    }
    let mut every = Document::new("");
    for (place, knob) in shown_knobs(survey, effects).into_iter().enumerate() {
        let part = if place == 0 { &mut *document } else { &mut every };
        part.table(best_table(survey, groups, knob));
        if let Some(chart) = best_chart(survey, groups, knob).filter(|_| place < MOST_CHARTS) {
            part.chart(chart);
        }
    }
    document.fold("The best for each value of the other knobs", every);
}

/// The knobs that were tried: GPU layers first, then by importance.
fn shown_knobs(survey: &Survey, effects: &Effects) -> Vec<usize> {
    let mut knobs: Vec<usize> = effects.tried().map(|effect| effect.knob).collect();
    knobs.sort_by_key(|knob| survey.knobs[*knob].name != "gpu-layers");
    knobs
}

/// Every configuration with its value, its difference to the baseline and its visits.
pub(in crate::documents) fn table(survey: &Survey, all: &[Pooled], shown: &[Pooled], caption: &str) -> Table {
    let measure = &survey.measure;
    let help = "all visits of the configuration; the interval is of the noise of all that were visited again";
    let mut columns =
        vec![Column::new("configuration"), Column::with_unit(&measure.name, measure.unit).help(help)];
    let baseline = all.iter().find(|group| group.baseline && !group.costs.is_empty());
    if baseline.is_some() {
        let help = "not paired: the race decides; what was tried because it looked good looks too good here";
        columns.push(Column::new("time against the baseline").help(help));
    }
    columns.extend([Column::new("visits"), Column::new("outcome")]);
    let mut table = Table::new(caption, columns);
    let noise = noise(all);
    for group in shown {
        let value = group.cost.as_ref().map(|cost| estimate_cell(&survey.in_own_unit(cost), measure.unit));
        let mut row =
            vec![Cell::code(group.configuration.to_string()), value.unwrap_or_else(|| Cell::missing("none"))];
        if let Some(baseline) = baseline {
            let change = group_change(&[(&baseline.costs, &group.costs)], noise, CONFIDENCE);
            row.push(match change {
                _ if group.baseline => Cell::missing("the baseline"),
                Some(change) => change_cell(&relative(&change.difference)),
                None => Cell::missing("none"),
            });
        }
        row.push(Cell::count(group.visits() as u64));
        row.push(outcome(group));
        table.push(row);
    }
    table
}

fn outcome(group: &Pooled) -> Cell {
    let Some(failure) = group.failures.first() else {
        let cut = group.costs.is_empty() && group.pruned > 0;
        return if cut {
            Cell::status("pruned", Tone::Neutral)
        } else {
            Cell::status("measured", Tone::Good)
        };
    };
    match group.costs.len() {
        0 => Cell::status(failure.to_string(), Tone::Bad),
        _ => Cell::status(format!("{} × {failure}", group.failures.len()), Tone::Bad),
    }
}

/// The best configuration at each level of a knob.
fn best_at<'a>(
    survey: &Survey,
    groups: &'a [Pooled],
    knob: usize,
) -> Vec<(usize, Option<&'a Pooled>, usize)> {
    let at = |level: usize| groups.iter().filter(move |group| group.levels[knob] == level);
    let levels = 0..survey.knobs[knob].values.len();
    // The groups come best first.
    let best = levels.map(|level| (level, at(level).find(|group| group.cost.is_some()), at(level).count()));
    best.filter(|(_, _, tried)| *tried > 0).collect()
}

/// The best for each value of a knob.
pub(in crate::documents) fn best_table(survey: &Survey, groups: &[Pooled], knob: usize) -> Table {
    let (turned, measure) = (&survey.knobs[knob], &survey.measure);
    let columns = [
        Column::new(&turned.name),
        Column::with_unit(format!("best {}", measure.name), measure.unit),
        Column::new("configurations tried"),
        Column::new("with"),
    ];
    let mut table = Table::new(format!("The best for each value of {}", turned.name), columns);
    for (level, best, tried) in best_at(survey, groups, knob) {
        let cost = best.and_then(|group| group.cost.as_ref());
        table.push([
            Cell::text(turned.label(level)),
            cost.map_or(Cell::missing("nothing was measured to its end"), |cost| {
                estimate_cell(&survey.in_own_unit(cost), measure.unit)
            }),
            Cell::count(tried as u64),
            best.map_or(Cell::missing(""), |group| Cell::code(group.configuration.to_string())),
        ]);
    }
    table
}

fn best_chart(survey: &Survey, groups: &[Pooled], knob: usize) -> Option<Chart> {
    let turned = &survey.knobs[knob];
    let row = |(level, best, _): (usize, Option<&Pooled>, usize)| {
        let cost = survey.in_own_unit(best?.cost.as_ref()?);
        Some(documents::row(format!("{}={}", turned.name, turned.label(level)), &cost))
    };
    let rows: Vec<Row> = best_at(survey, groups, knob).into_iter().filter_map(row).take(MOST_ROWS).collect();
    if rows.len() < 2 {
        return None;
    }
    let baseline = groups.iter().find(|group| group.baseline).and_then(|group| own_value(survey, group));
    let reference = baseline.map(|value| Reference { label: "baseline".to_string(), value });
    let caption = "the best configuration at each value; a value that was tried more often had more chances";
    let kind = ChartKind::Intervals { axis: objective_axis(survey), rows, reference };
    Some(Chart::new(format!("Best {} for each {}", survey.measure.name, turned.name), caption, kind))
}
