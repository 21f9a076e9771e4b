//! A chart read as a table, and without the numbers that cannot be drawn.

use super::logarithmic;
use super::{Axis, CellMark, Chart, ChartKind, Mark, ParallelAxis, ParallelLine, Row, Series, Values};
use crate::document::{Cell, Column, Interval, Table};

impl Chart {
    /// The numbers of the chart as a table: what a reader gets who cannot see it.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = match &self.kind {
            ChartKind::Intervals { axis, rows, .. } | ChartKind::Bars { axis, rows } => {
                rows_table(axis, rows)
            }
            ChartKind::History { across, axis, series, marks } => history_table(across, axis, series, marks),
            ChartKind::Lines { across, axis, series } | ChartKind::Scatter { across, axis, series } => {
                series_table(across, axis, series)
            }
            ChartKind::Histogram { axis, series } => histogram_table(axis, series),
            ChartKind::Heatmap { axis, row_name, rows, columns, values, marks, .. } => {
                let mut table = heatmap_table(axis, row_name, rows, columns, values);
                add_marks(&mut table, columns, marks);
                table
            }
            ChartKind::Parallel { axis, axes, lines } => parallel_table(axis, axes, lines),
        };
        table.caption.clone_from(&self.title);
        table
    }

    /// The chart without rows, points and intervals that are not finite numbers, or so large that
    /// differences of them are not: what can be computed with.
    #[must_use]
    pub fn finite(&self) -> Chart {
        let mut chart = self.clone();
        match &mut chart.kind {
            ChartKind::Intervals { rows, reference, .. } => {
                keep_rows(rows);
                reference.take_if(|reference| !drawable(reference.value));
            }
            ChartKind::Bars { rows, .. } => keep_rows(rows),
            ChartKind::History { series, marks, .. } => {
                keep_points(series);
                marks.retain(|mark| drawable(mark.x));
            }
            ChartKind::Lines { series, .. } | ChartKind::Scatter { series, .. } => keep_points(series),
            ChartKind::Histogram { series, .. } => {
                for values in series {
                    values.values.retain(|value| drawable(*value));
                }
            }
            ChartKind::Heatmap { values, .. } => {
                for value in values.iter_mut().flatten() {
                    value.take_if(|value| !drawable(*value));
                }
            }
            ChartKind::Parallel { lines, .. } => lines.retain(|line| drawable(line.value)),
        }
        chart
    }

    /// What can be drawn: the finite chart without the values that its logarithmic axes have no place for, linear where
    /// nothing would be left. The remark says what was left out; it stands at the end of the caption too.
    #[must_use]
    pub fn drawn(&self) -> (Chart, Option<String>) {
        let mut chart = self.finite();
        let remark = logarithmic::fit(&mut chart.kind);
        if let Some(remark) = &remark {
            let end = if chart.caption.is_empty() || chart.caption.ends_with('.') { "" } else { "." };
            chart.caption = format!("{}{end} {remark}", chart.caption).trim_start().to_string();
        }
        (chart, remark)
    }
}

fn drawable(value: f64) -> bool {
    value.abs() < 1e100
}

fn keep_rows(rows: &mut Vec<Row>) {
    rows.retain(|row| drawable(row.value));
    for row in rows {
        row.interval = finite_interval(row.interval);
    }
}

fn keep_points(series: &mut [Series]) {
    for series in series {
        series.points.retain(|point| drawable(point.x) && drawable(point.y));
        for point in &mut series.points {
            point.x_interval = finite_interval(point.x_interval);
            point.y_interval = finite_interval(point.y_interval);
        }
    }
}

fn finite_interval(interval: Option<Interval>) -> Option<Interval> {
    interval.filter(|interval| drawable(interval.low) && drawable(interval.high))
}

fn rows_table(axis: &Axis, rows: &[Row]) -> Table {
    let grouped = rows.iter().any(|row| !row.group.is_empty());
    let mut columns = vec![Column::new("configuration")];
    columns.extend(grouped.then(|| Column::new("group")));
    columns.push(value_column(axis));
    let mut table = Table::new("", columns);
    for row in rows {
        let mut cells = vec![Cell::text(&row.label)];
        cells.extend(grouped.then(|| Cell::text(&row.group)));
        cells.push(Cell::Estimate { value: row.value, interval: row.interval, unit: axis.unit });
        table.push(cells);
    }
    table
}

fn series_table(across: &Axis, axis: &Axis, series: &[Series]) -> Table {
    let labelled = series.iter().flat_map(|series| &series.points).any(|point| !point.label.is_empty());
    let mut columns = vec![Column::new("series"), value_column(across), value_column(axis)];
    columns.extend(labelled.then(|| Column::new("label")));
    let mut table = Table::new("", columns);
    for series in series {
        for point in &series.points {
            let mut cells = vec![Cell::text(&series.name)];
            cells.push(point_cell(point.x, point.x_interval, across));
            cells.push(point_cell(point.y, point.y_interval, axis));
            cells.extend(labelled.then(|| Cell::text(&point.label)));
            table.push(cells);
        }
    }
    table
}

fn history_table(across: &Axis, axis: &Axis, series: &[Series], marks: &[Mark]) -> Table {
    let mut table = series_table(across, axis, series);
    for Mark { x, kind, label } in marks {
        let reason = if label.is_empty() { kind.clone() } else { format!("{kind}: {label}") };
        table.push([Cell::text(kind), point_cell(*x, None, across), Cell::missing(reason)]);
    }
    table
}

fn histogram_table(axis: &Axis, series: &[Values]) -> Table {
    let names = ["least", "lower quarter", "median", "upper quarter", "most"];
    let columns = [Column::new("series"), Column::new("values")]
        .into_iter()
        .chain(names.into_iter().map(|name| Column::with_unit(name, axis.unit)));
    let mut table = Table::new("", columns);
    for Values { name, values } in series {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let quarters = (0..5).map(|quarter| match sorted.len().checked_sub(1) {
            Some(last) => Cell::number(sorted[(last * quarter + 2) / 4], axis.unit),
            None => Cell::missing("no values"),
        });
        table.push([Cell::text(name), Cell::count(sorted.len() as u64)].into_iter().chain(quarters));
    }
    table
}

fn heatmap_table(
    axis: &Axis,
    row_name: &str,
    rows: &[String],
    columns: &[String],
    values: &[Vec<Option<f64>>],
) -> Table {
    let heads = columns.iter().map(|column| Column::with_unit(column, axis.unit));
    let mut table = Table::new("", std::iter::once(Column::new(row_name)).chain(heads));
    for (row, label) in rows.iter().enumerate() {
        let value = |column: usize| values.get(row).and_then(|values| values.get(column)).copied().flatten();
        let cells = (0..columns.len()).map(|column| match value(column) {
            Some(value) => Cell::number(value, axis.unit),
            None => Cell::missing(""),
        });
        table.push(std::iter::once(Cell::text(label)).chain(cells));
    }
    table
}

/// A column that says what is pointed out in each row; none where nothing is.
fn add_marks(table: &mut Table, columns: &[String], marks: &[CellMark]) {
    if marks.is_empty() {
        return;
    }
    table.columns.push(Column::new("marked"));
    for (row, cells) in table.rows.iter_mut().enumerate() {
        let here = marks.iter().filter(|mark| mark.row == row);
        let notes: Vec<String> = here
            .filter_map(|mark| Some(format!("{} at {}", mark.label, columns.get(mark.column)?)))
            .collect();
        cells.push(Cell::text(notes.join(", ")));
    }
}

fn parallel_table(axis: &Axis, axes: &[ParallelAxis], lines: &[ParallelLine]) -> Table {
    let heads = axes.iter().map(|axis| Column::new(&axis.label));
    let columns = std::iter::once(Column::new("configuration")).chain(heads);
    let mut table = Table::new("", columns.chain([value_column(axis), Column::new("mark")]));
    for line in lines {
        let mut cells = vec![Cell::text(&line.label)];
        cells.extend(axes.iter().enumerate().map(|(index, axis)| {
            let tick = line.places.get(index).and_then(|place| axis.ticks.get(*place));
            tick.map_or(Cell::missing(""), Cell::text)
        }));
        cells.extend([Cell::number(line.value, axis.unit), Cell::text(&line.mark)]);
        table.push(cells);
    }
    table
}

fn value_column(axis: &Axis) -> Column {
    Column::with_unit(&axis.label, axis.unit)
}

/// A plain number where no interval was expected: an axis of trial numbers has none.
fn point_cell(value: f64, interval: Option<Interval>, axis: &Axis) -> Cell {
    match interval {
        Some(_) => Cell::Estimate { value, interval, unit: axis.unit },
        None => Cell::number(value, axis.unit),
    }
}
