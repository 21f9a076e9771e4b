//! Configurations one below another: intervals and bars.

use super::Picture;
use super::frame::{Frame, LETTER, Overlay, SMALL, WIDE, color, marker, padded, small_text, tooltip};
use super::legend::{Swatch, entry};
use super::ruler::Ruler;
use crate::chart::{Axis, Reference, Row};
use crate::document::{Cell, Column, Interval, Table};
use crate::format::{self, Scale};
use crate::render::text_chart::{groups, range};
use crate::text::{clean, width, wrap_at_most};
use kuva::plot::annotations::ReferenceLine;
use kuva::plot::bar::BarPlot;
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::layout::ComputedLayout;
use kuva::render::render::{Primitive, Scene, TextAnchor};

const LINE_HEIGHT: f64 = 14.0;
const REFERENCE: &str = "#444444";
const DASHES: &str = "6 4";

/// A dot with its interval for each row, and a dashed line where the reference is.
pub(super) fn intervals(
    axis: &Axis,
    rows: &[Row],
    reference: Option<&Reference>,
    picture: &Picture,
) -> Option<Frame> {
    let ends = rows.iter().flat_map(|row| {
        let interval = whole_interval(row);
        [row.value, interval.low, interval.high]
    });
    let (scale, values) = shown_values(axis, rows);
    let ends = ends.chain(reference.map(|reference| reference.value));
    let ruler = Ruler::over(axis, scale, ends)?.padded_from_zero(0.06);
    let mut frame = row_frame(axis, rows, values, scale, ruler.ends(), picture)?;
    frame.spread_across(&ruler);
    for (index, group) in groups(rows).into_iter().enumerate() {
        add_group(&mut frame, rows, group, index, &ruler);
        if !group.is_empty() {
            frame.legend.push(entry(group, color(index), Swatch::Marker(marker(index))));
        }
    }
    if let Some(reference) = reference {
        let line = ReferenceLine::vertical(ruler.at(reference.value))
            .with_color(REFERENCE)
            .with_dasharray(DASHES)
            .with_stroke_width(1.5);
        frame.layout.reference_lines.push(line);
        let value = format::scaled_number(reference.value, axis.unit, Some(4), scale);
        let label = format!("{} {}", reference.label, scale.with_symbol(&value));
        frame.legend.push(entry(&label, REFERENCE, Swatch::Line(Some(DASHES))));
    }
    Some(frame)
}

/// A bar from zero for each row, with its interval where there is one.
pub(super) fn bars(axis: &Axis, rows: &[Row], picture: &Picture) -> Option<Frame> {
    let ends = rows.iter().flat_map(|row| {
        let interval = whole_interval(row);
        [row.value, interval.low, interval.high]
    });
    let (scale, values) = shown_values(axis, rows);
    let (low, high) = range(ends.chain([0.0]))?;
    let (low, high) = (scale.apply(low), scale.apply(high));
    let wide = padded((low, high), 0.05);
    let span = (if low < 0.0 { wide.0 } else { 0.0 }, if high > 0.0 || low == high { wide.1 } else { 0.0 });
    let mut frame = row_frame(axis, rows, values, scale, span, picture)?;
    let groups = groups(rows);
    let group_of = |row: &Row| groups.iter().position(|group| *group == row.group).unwrap_or(0);
    // Kuva's first bar stands lowest.
    let upwards = || rows.iter().rev();
    let mut plot = BarPlot::new()
        .with_colored_bars(upwards().map(|row| ("", scale.apply(row.value), color(group_of(row)))))
        .with_horizontal(true)
        .with_width(0.6);
    if rows.iter().any(|row| row.interval.is_some()) {
        let errors = upwards().map(|row| error(row, scale));
        plot = plot.with_asymmetric_error(errors).with_error_color("#1a1a1a").with_error_cap_width(0.5);
    }
    frame.plots.push(plot.into());
    for (index, group) in groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
        frame.legend.push(entry(group, color(index), Swatch::Area));
    }
    Some(frame)
}

fn whole_interval(row: &Row) -> Interval {
    row.interval.unwrap_or(Interval { low: row.value, high: row.value })
}

/// How far the interval reaches below and above the value, in shown units.
fn error(row: &Row, scale: Scale) -> (f64, f64) {
    let interval = whole_interval(row);
    (scale.apply(row.value - interval.low).max(0.0), scale.apply(interval.high - row.value).max(0.0))
}

/// The markers of one group, each on a line as long as its interval.
fn add_group(frame: &mut Frame, rows: &[Row], group: &str, index: usize, ruler: &Ruler) {
    let members = || rows.iter().enumerate().filter(|(_, row)| row.group == group);
    let height = |position: usize| (rows.len() - position) as f64;
    for (position, row) in members().filter(|(_, row)| row.interval.is_some()) {
        let interval = whole_interval(row);
        let ends = [interval.low, interval.high].map(|end| (ruler.at(end), height(position)));
        frame
            .plots
            .push(LinePlot::new().with_data(ends).with_color(color(index)).with_stroke_width(2.5).into());
    }
    let points = members().map(|(position, row)| (ruler.at(row.value), height(position)));
    let errors: Vec<(f64, f64)> = members().map(|(_, row)| ruler.error(row.value, row.interval)).collect();
    let mut plot = ScatterPlot::new()
        .with_data(points)
        .with_color(color(index))
        .with_size(5.0)
        .with_marker(marker(index))
        .with_tooltip_labels(members().map(|(_, row)| clean(&row.label)));
    if errors.iter().any(|error| *error != (0.0, 0.0)) {
        plot = plot.with_x_err_asymmetric(errors);
    }
    frame.plots.push(plot.into());
}

/// The scale of the axis, and what stands beside each row.
fn shown_values(axis: &Axis, rows: &[Row]) -> (Scale, Vec<String>) {
    let mut table = Table::new("", [Column::with_unit(&axis.label, axis.unit)]);
    for row in rows {
        table.push([Cell::Estimate { value: row.value, interval: row.interval, unit: axis.unit }]);
    }
    let format = format::column_format(&table, 0);
    let without = rows.iter().all(|row| row.interval.is_none());
    let shown = table.column_cells(0).map(|cell| match format::cell_parts(cell, format) {
        (point, _) if without => point,
        (point, interval) => format!("{point}{interval}"),
    });
    let scale = format.scale.unwrap_or_else(|| format::scale_for(axis.unit, []));
    (scale, shown.collect())
}

/// Axes with room for the labels on the left and the values on the right.
fn row_frame(
    axis: &Axis,
    rows: &[Row],
    values: Vec<String>,
    scale: Scale,
    span: (f64, f64),
    picture: &Picture,
) -> Option<Frame> {
    if rows.is_empty() {
        return None;
    }
    let wide = picture.width >= WIDE;
    let letters = (picture.width * if wide { 0.38 } else { 0.42 } / LETTER) as usize;
    let labels: Vec<Vec<String>> =
        rows.iter().map(|row| wrap_at_most(&clean(&row.label), letters, if wide { 2 } else { 5 })).collect();
    let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as f64 * LETTER;
    let left = longest(&mut labels.iter().flatten().map(|line| width(line))) + 18.0;
    let right = if wide { longest(&mut values.iter().map(|value| width(value))) + 14.0 } else { 22.0 };
    let lines = labels.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let count = rows.len() as f64;
    let mut frame = Frame::new(span, (0.5, count + 0.5), picture);
    frame.inner_height = count * (lines * LINE_HEIGHT + 12.0);
    frame.name_axes(&axis.titled(scale), "");
    frame.layout =
        frame.layout.with_force_margins(left, right).with_y_axis_min(0.5).with_y_axis_max(count + 0.5);
    frame.layout.y_tick_step = Some(1.0);
    frame.layout.suppress_y_ticks = true;
    let full: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
    frame.overlay = Some(row_texts(labels, full, if wide { values } else { Vec::new() }));
    Some(frame)
}

/// The label on the left of each row, with the full text as its tooltip, and the value on its right.
fn row_texts(labels: Vec<Vec<String>>, full: Vec<String>, values: Vec<String>) -> Overlay {
    Box::new(move |computed: &ComputedLayout, scene: &mut Scene| {
        for (position, (lines, full)) in labels.iter().zip(&full).enumerate() {
            let middle = computed.map_y((labels.len() - position) as f64);
            // Half the height of a capital letter puts the text's middle on the row's middle.
            let base = middle + f64::from(SMALL) * 0.36;
            let first = base - LINE_HEIGHT * (lines.len() as f64 - 1.0) / 2.0;
            scene.add(tooltip(full));
            for (number, line) in lines.iter().enumerate() {
                let (x, y) = (computed.margin_left - 8.0, first + LINE_HEIGHT * number as f64);
                scene.add(small_text(x, y, line, TextAnchor::End, None));
            }
            scene.add(Primitive::GroupEnd);
            if let Some(value) = values.get(position) {
                let x = computed.width - computed.margin_right + 8.0;
                scene.add(small_text(x, base, value, TextAnchor::Start, None));
            }
        }
    })
}
