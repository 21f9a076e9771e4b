//! Configurations one below another, as intervals or as bars.

use super::{SIGNS, cell_of, fitted, range};
use crate::chart::{Axis, Reference, Row};
use crate::document::{Cell, Column, Interval, Table};
use crate::format::{self, ColumnFormat, Scale};
use crate::text::{clean, pad_left, width};

/// Columns that the picture itself needs at least.
const LEAST_PICTURE: usize = 12;

/// `label  ├──●──┤  value [low, high]` for each row; `┊` stands where the reference is.
pub(super) fn intervals(
    axis: &Axis,
    rows: &[Row],
    reference: Option<&Reference>,
    total: usize,
) -> Vec<String> {
    let ends = rows.iter().flat_map(|row| {
        let interval = row.interval.unwrap_or(Interval { low: row.value, high: row.value });
        [row.value, interval.low, interval.high]
    });
    let ends = ends.chain(reference.map(|reference| reference.value));
    let Some((low, high)) = range(ends.filter(|end| axis.shows(*end))) else {
        return Vec::new();
    };
    let layout = layout(axis, rows, total);
    let groups = groups(rows);
    let mut lines = Vec::new();
    for (row, value) in rows.iter().zip(&layout.values) {
        let place = |at: f64| cell_of(axis.place(at), axis.place(low), axis.place(high), layout.picture);
        let sign = SIGNS[groups.iter().position(|group| *group == row.group).unwrap_or(0) % SIGNS.len()];
        let mut cells = vec![' '; layout.picture];
        if let Some(reference) = reference {
            cells[place(reference.value)] = '┊';
        }
        if let Some(interval) = row.interval {
            let (from, to) = (place(interval.low.min(interval.high)), place(interval.high));
            cells[from..=to.max(from)].fill('─');
            cells[from] = '├';
            cells[to.max(from)] = '┤';
        }
        cells[place(row.value)] = sign;
        lines.push(layout.line(&row.label, &cells.into_iter().collect::<String>(), value));
    }
    lines.extend(foot(axis, &layout, low, high, total));
    lines.extend(key(&groups));
    lines.extend(reference.map(|reference| {
        let value = format::scaled_number(reference.value, axis.unit, Some(4), layout.scale);
        format!("┊ {} {}", clean(&reference.label), layout.scale.with_symbol(&value))
    }));
    lines
}

/// `label  █████  value [low, high]` for each row, bars from zero.
pub(super) fn bars(axis: &Axis, rows: &[Row], total: usize) -> Vec<String> {
    let Some((low, high)) = range(rows.iter().map(|row| row.value).chain([0.0])) else { return Vec::new() };
    if rows.is_empty() {
        return Vec::new();
    }
    let layout = layout(axis, rows, total);
    let mut lines = Vec::new();
    for (row, value) in rows.iter().zip(&layout.values) {
        let (zero, end) =
            (cell_of(0.0, low, high, layout.picture), cell_of(row.value, low, high, layout.picture));
        let mut cells = vec![' '; layout.picture];
        if row.value != 0.0 {
            cells[zero.min(end)..=zero.max(end)].fill('█');
        }
        lines.push(layout.line(&row.label, &cells.into_iter().collect::<String>(), value));
    }
    lines.extend(foot(axis, &layout, low, high, total));
    lines
}

struct Layout {
    label: usize,
    picture: usize,
    value: usize,
    values: Vec<String>,
    scale: Scale,
}

impl Layout {
    fn line(&self, label: &str, picture: &str, value: &str) -> String {
        let label = fitted(&clean(label), self.label);
        format!("{label}  {picture}  {}", pad_left(value, self.value)).trim_end().to_string()
    }
}

fn layout(axis: &Axis, rows: &[Row], total: usize) -> Layout {
    let mut table = Table::new("", [Column::with_unit(&axis.label, axis.unit)]);
    for row in rows {
        table.push([Cell::Estimate { value: row.value, interval: row.interval, unit: axis.unit }]);
    }
    let format: ColumnFormat = format::column_format(&table, 0);
    let mut values: Vec<String> = table.column_cells(0).map(|cell| format::cell(cell, format)).collect();
    if rows.iter().all(|row| row.interval.is_none()) {
        values = values.iter().map(|value| value.replace(" (no interval)", "")).collect();
    }
    let value = values.iter().map(|value| width(value)).max().unwrap_or(0);
    let longest = rows.iter().map(|row| width(&clean(&row.label))).max().unwrap_or(0);
    let room = total.saturating_sub(value + 4);
    let label = longest.min(room.saturating_sub(LEAST_PICTURE)).min(room * 3 / 5);
    let picture = room.saturating_sub(label).max(LEAST_PICTURE);
    let scale =
        format.scale.unwrap_or_else(|| format::scale_for(axis.unit, rows.iter().map(|row| row.value)));
    Layout { label, picture, value, values, scale }
}

/// The ends of the axis and its name, on a line of its own where that is too long.
fn foot(axis: &Axis, layout: &Layout, low: f64, high: f64, total: usize) -> Vec<String> {
    let (left, right) = (scale_text(axis, layout.scale, low), scale_text(axis, layout.scale, high));
    let gap = layout.picture.saturating_sub(width(&left) + width(&right)).max(1);
    let name = axis.titled(layout.scale);
    let indent = " ".repeat(layout.label + 2);
    let ends = format!("{indent}{left}{}{right}", " ".repeat(gap));
    let whole = format!("{ends}  {name}");
    if width(&whole) <= total { vec![whole] } else { vec![ends, format!("{indent}{name}")] }
}

fn scale_text(axis: &Axis, scale: Scale, value: f64) -> String {
    format::scaled_number(value, axis.unit, None, scale)
}

/// The groups in the order in which they come first.
pub(crate) fn groups(rows: &[Row]) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for row in rows {
        if !groups.contains(&row.group.as_str()) {
            groups.push(&row.group);
        }
    }
    groups
}

fn key(groups: &[&str]) -> Option<String> {
    let named = groups.iter().any(|group| !group.is_empty());
    let entry = |(index, group): (usize, &&str)| {
        let name = if group.is_empty() { "other".to_string() } else { clean(group) };
        format!("{} {name}", SIGNS[index % SIGNS.len()])
    };
    named.then(|| groups.iter().enumerate().map(entry).collect::<Vec<_>>().join("   "))
}
