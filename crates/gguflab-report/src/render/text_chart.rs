//! Charts drawn with characters, for the terminal and for Markdown.

mod parallel;
mod plane;
pub(crate) mod rows;

use super::Style;
use super::terminal::{Paint, paint};
use crate::chart::{Axis, Chart, ChartKind, Mark, Series, Values};
use crate::document::Document;
use crate::format::{self, Scale};
use crate::text::{clean, pad_left, pad_right, truncate, width, wrap};
pub(crate) use rows::groups;
use std::collections::BTreeMap;

/// The signs of the first, second, … series; told apart by shape, not by colour.
pub(crate) const SIGNS: [char; 10] = ['●', '▲', '■', '◆', '○', '△', '□', '◇', '★', '☆'];
/// The signs of the first, second, … kind of failure.
pub(crate) const FAILURES: [char; 4] = ['✗', '+', '▽', '*'];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
/// Series in a chart, bins in a histogram: more would not be read in a terminal.
const BINS: usize = 12;

/// The chart as lines of text: title, picture, caption.
#[must_use]
pub fn render(chart: &Chart, style: &Style) -> String {
    let (chart, _) = chart.drawn();
    let mut lines: Vec<String> =
        wrap(&clean(&chart.title), style.width).iter().map(|line| paint(line, Paint::Bold, style)).collect();
    let picture = picture(&chart, style);
    if picture.is_empty() {
        lines.push("(nothing to draw)".to_string());
    }
    lines.extend(picture.iter().map(|line| truncate(line, style.width)));
    if !chart.caption.is_empty() {
        lines.extend(
            wrap(&clean(&chart.caption), style.width).iter().map(|line| paint(line, Paint::Dim, style)),
        );
    }
    lines.join("\n")
}

fn picture(chart: &Chart, style: &Style) -> Vec<String> {
    match &chart.kind {
        ChartKind::Intervals { axis, rows, reference } => {
            rows::intervals(axis, rows, reference.as_ref(), style.width)
        }
        ChartKind::Bars { axis, rows } => rows::bars(axis, rows, style.width),
        ChartKind::History { across, axis, series, marks } => {
            history(across, axis, series, marks, style.width)
        }
        ChartKind::Histogram { axis, series } => histogram(axis, series, style.width),
        ChartKind::Lines { across, axis, series } | ChartKind::Scatter { across, axis, series } => {
            plane::plane(across, axis, series, style.width)
        }
        ChartKind::Heatmap { rows, columns, values, .. } => heatmap(chart, rows, columns, values, style),
        ChartKind::Parallel { axes, lines, .. } => parallel::parallel(axes, lines, style.width),
    }
}

/// One sparkline for each series over the trial numbers, and one line that marks the failures.
fn history(across: &Axis, axis: &Axis, series: &[Series], marks: &[Mark], total: usize) -> Vec<String> {
    let xs = series.iter().flat_map(|series| &series.points).map(|point| point.x);
    let Some((first, last)) = range(xs.chain(marks.iter().map(|mark| mark.x))) else { return Vec::new() };
    let values: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|point| point.y).collect();
    let scale = format::scale_for(axis.unit, values.iter().copied());
    let span = range(values.iter().copied()).unwrap_or((0.0, 0.0));
    let kinds = mark_kinds(marks);
    let names = series.iter().map(|series| clean(&series.name)).chain(kinds.keys().map(|kind| clean(kind)));
    let label = names.map(|name| width(&name)).max().unwrap_or(0).min(total / 3);
    let room = total.saturating_sub(label + 28).clamp(8, ((last - first) as usize).saturating_add(8));
    let place = |x: f64| cell_of(across.place(x), across.place(first), across.place(last), room);
    let (low, high) = (axis.place(span.0), axis.place(span.1));
    let level = |value: f64| LEVELS[cell_of(axis.place(value), low, high, LEVELS.len())];
    let mut lines = Vec::new();
    for series in series {
        let sparks = sparkline(series, room, place, level);
        let last = series.points.last().map_or(f64::NAN, |point| point.y);
        let shown = format::scaled_number(last, axis.unit, None, scale);
        lines.push(format!("{}  {sparks}  last {shown}", fitted(&clean(&series.name), label)));
    }
    for (number, (kind, places)) in kinds.iter().enumerate() {
        let mut signs = vec!['·'; room];
        for x in places {
            signs[place(*x)] = FAILURES[number % FAILURES.len()];
        }
        let signs: String = signs.into_iter().collect();
        let plural = if places.len() == 1 { "" } else { "s" };
        lines.push(format!("{}  {signs}  {} trial{plural}", fitted(&clean(kind), label), places.len()));
    }
    let (low, high) = (scaled(span.0, axis, scale), scaled(span.1, axis, scale));
    let trial = |x: f64| format::scaled_number(x, across.unit, None, format::scale_for(across.unit, []));
    let ends = format!("{} {} to {}", clean(&across.label), trial(first), trial(last));
    let spread = if axis.logarithmic { ", logarithmic" } else { "" };
    lines.push(format!("{}; ▁ {low}, █ {}{spread}", ends, scale.with_symbol(&high)));
    lines
}

fn sparkline(
    series: &Series,
    room: usize,
    place: impl Fn(f64) -> usize,
    level: impl Fn(f64) -> char,
) -> String {
    let mut sums = vec![(0.0, 0usize); room];
    for point in &series.points {
        let (sum, count) = &mut sums[place(point.x)];
        *sum += point.y;
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| if count == 0 { ' ' } else { level(sum / count as f64) }).collect()
}

/// The trial numbers of each kind of failure.
pub(crate) fn mark_kinds(marks: &[Mark]) -> BTreeMap<&str, Vec<f64>> {
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for mark in marks {
        kinds.entry(&mark.kind).or_default().push(mark.x);
    }
    kinds
}

fn histogram(axis: &Axis, series: &[Values], total: usize) -> Vec<String> {
    let Some(shown) = Shown::of(series) else { return Vec::new() };
    let Shown { low, high, .. } = shown;
    let scale = format::scale_for(axis.unit, series.iter().flat_map(|series| series.values.iter().copied()));
    let bins = if high > low { BINS } else { 1 };
    let edge = |step: usize| scaled(low + (high - low) * step as f64 / bins as f64, axis, scale);
    let labels: Vec<String> =
        (0..bins).map(|bin| scale.with_symbol(&format!("{} – {}", edge(bin), edge(bin + 1)))).collect();
    let label = labels.iter().map(|label| width(label)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for Values { name, values } in series {
        let mut counts = vec![0usize; bins];
        for value in values.iter().filter(|value| **value <= high) {
            counts[cell_of(*value, low, high, bins)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        lines.push(truncate(&format!("{} ({} values)", clean(name), values.len()), total));
        for (text, count) in labels.iter().zip(&counts) {
            let room = total.saturating_sub(label + 10).max(8);
            let bar = "█".repeat((count * room).div_ceil(most));
            lines.push(format!("{} │{bar} {count}", pad_left(text, label)).trim_end().to_string());
        }
    }
    if shown.hidden > 0 {
        let end = scale.with_symbol(&scaled(high, axis, scale));
        lines.push(format!("{} of {} values above {end} not shown", shown.hidden, shown.count));
    }
    lines
}

/// What a histogram shows of its values.
pub(crate) struct Shown {
    /// The least value.
    pub(crate) low: f64,
    /// The greatest value that is shown.
    pub(crate) high: f64,
    /// How many values are greater than that.
    pub(crate) hidden: usize,
    /// How many values there are.
    pub(crate) count: usize,
    /// From the lower to the upper quarter of the narrowest series; infinite where none has a width.
    pub(crate) quartile_distance: f64,
}

impl Shown {
    /// Leaves out the highest half per cent where it would squeeze the rest into half of the picture: one
    /// stall among a thousand tokens does that.
    pub(crate) fn of(series: &[Values]) -> Option<Shown> {
        const SHARE: f64 = 0.995;
        let all = sorted(series.iter().flat_map(|series| &series.values));
        let at = |share: f64| share_of(&all, share);
        let (low, most, last) = (at(0.0)?, at(SHARE)?, at(1.0)?);
        let high = if last - low < 2.0 * (most - low) { last } else { most };
        let hidden = all.iter().filter(|value| **value > high).count();
        let distances = series.iter().filter_map(|series| {
            let one = sorted(&series.values);
            Some(share_of(&one, 0.75)? - share_of(&one, 0.25)?)
        });
        let quartile_distance = distances.filter(|distance| *distance > 0.0).fold(f64::INFINITY, f64::min);
        Some(Shown { low, high, hidden, count: all.len(), quartile_distance })
    }
}

fn sorted<'a>(values: impl IntoIterator<Item = &'a f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value that this share of the others does not exceed.
fn share_of(sorted: &[f64], share: f64) -> Option<f64> {
    sorted.get((sorted.len().checked_sub(1)? as f64 * share).ceil() as usize).copied()
}

/// The table of the values, each with a shade in front: light is low, full is high.
fn heatmap(
    chart: &Chart,
    rows: &[String],
    columns: &[String],
    values: &[Vec<Option<f64>>],
    style: &Style,
) -> Vec<String> {
    let Some((low, high)) = range(values.iter().flatten().copied().flatten()) else { return Vec::new() };
    let mut table = chart.table();
    table.caption.clear();
    let ChartKind::Heatmap { axis, .. } = &chart.kind else { return Vec::new() };
    let scale = format::scale_for(axis.unit, values.iter().flatten().copied().flatten());
    for row in 0..rows.len() {
        for column in 0..columns.len() {
            let value = values.get(row).and_then(|values| values.get(column)).copied().flatten();
            if let (Some(value), Some(cell)) = (value, table.rows[row].get_mut(column + 1)) {
                let shade = SHADES[cell_of(value, low, high, SHADES.len())];
                let text = format!("{shade} {}", scaled(value, axis, scale));
                *cell = crate::document::Cell::text(text);
            }
        }
    }
    for column in table.columns.iter_mut().skip(1) {
        column.unit = None;
    }
    let mut document = Document::new("");
    document.table(table);
    let mut lines: Vec<String> =
        super::terminal::render(&document, style).trim_end().lines().map(str::to_string).collect();
    let (low, high) = (scaled(low, axis, scale), scaled(high, axis, scale));
    let name = axis.titled(scale);
    lines.push(format!("{name}: {} {low} to █ {high}", "blank").trim_start().to_string());
    lines
}

/// The least and the greatest of finite values, `None` for no values.
pub(crate) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |range, value| {
        Some(range.map_or((value, value), |(low, high): (f64, f64)| (low.min(value), high.max(value))))
    })
}

/// Which of `cells` equal parts of `low..=high` holds `value`.
pub(crate) fn cell_of(value: f64, low: f64, high: f64, cells: usize) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share.clamp(0.0, 1.0) * cells as f64) as usize).min(cells.saturating_sub(1))
}

fn scaled(value: f64, axis: &Axis, scale: Scale) -> String {
    format::scaled_number(value, axis.unit, None, scale)
}

/// `text` in exactly `columns` columns.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    pad_right(&truncate(text, columns), columns)
}
