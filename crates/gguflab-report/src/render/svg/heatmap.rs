//! A value for each pair of a row and a column.
//!
//! The cells are shapes of our own in kuva's scene: its heat map has no missing cells, and a configuration that
//! failed must not look like a slow one.

use super::Picture;
use super::frame::{Frame, LETTER, SMALL, WIDE, literal, mark_color, small_text, tooltip};
use super::legend::{Swatch, entry};
use crate::chart::{Axis, CellMark};
use crate::format;
use crate::render::text_chart::range;
use crate::text::{clean, truncate, width, wrap_at_most};
use kuva::plot::ColorMap;
use kuva::render::color::Color;
use kuva::render::layout::ComputedLayout;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

const ROW_HEIGHT: f64 = 34.0;
const LINE_HEIGHT: f64 = 14.0;
const MISSING: &str = "#eeeeee";

/// One cell: what it says and how it looks; `None` for a missing one.
struct Cell {
    full: String,
    shown: String,
    look: Option<((u8, u8, u8), &'static str)>,
}

/// Cells from dark (low) to light (high), each with its value where there is room.
pub(super) fn heatmap(
    axis: &Axis,
    (row_name, rows): (&str, &[String]),
    (column_name, columns): (&str, &[String]),
    values: &[Vec<Option<f64>>],
    marks: &[CellMark],
    picture: &Picture,
) -> Option<Frame> {
    let (low, high) = range(values.iter().flatten().copied().flatten())?;
    if rows.is_empty() || columns.is_empty() {
        return None;
    }
    let scale = format::scale_for(axis.unit, values.iter().flatten().copied().flatten());
    let shown = |value: f64| format::scaled_number(value, axis.unit, None, scale);
    let cell = |row: usize, column: usize| {
        let value = values.get(row).and_then(|values| values.get(column)).copied().flatten();
        let text = value.map_or("–".to_string(), shown);
        let full = format!("{row_name} {}, {column_name} {}: ", rows[row], columns[column]);
        let full = full + &value.map_or("no value".to_string(), |_| scale.with_symbol(&text));
        Cell { full, shown: text, look: value.map(|value| look(value, low, high)) }
    };
    let cells: Vec<Vec<Cell>> =
        (0..rows.len()).map(|row| (0..columns.len()).map(|column| cell(row, column)).collect()).collect();
    let (across, down) = (columns.len() as f64, rows.len() as f64);
    let mut frame = Frame::new((0.5, across + 0.5), (0.5, down + 0.5), picture);
    let name = format::titled(&axis.label, scale.symbol);
    let key = format!("{name}: dark {}, light {}", shown(low), shown(high));
    frame.name_axes(&format!("{column_name} ({key})"), "");
    let row_name = row_name.to_string();
    let letters = (picture.width * if picture.width >= WIDE { 0.3 } else { 0.22 } / LETTER) as usize;
    let labels: Vec<Vec<String>> = rows.iter().map(|row| wrap_at_most(&clean(row), letters, 2)).collect();
    let longest = labels.iter().flatten().map(|line| width(line)).max().unwrap_or(0) as f64;
    frame.inner_height = down * ROW_HEIGHT;
    let layout = frame.layout.with_force_margins(longest * LETTER + 40.0, 16.0);
    let layout = layout.with_x_axis_min(0.5).with_x_axis_max(across + 0.5);
    frame.layout = layout.with_y_axis_min(0.5).with_y_axis_max(down + 0.5);
    frame.layout.suppress_y_ticks = true;
    frame.layout.suppress_x_ticks = true;
    frame.layout.show_grid = false;
    let columns: Vec<String> = columns.to_vec();
    let outlined = outlines(marks, &mut frame);
    frame.overlay = Some(Box::new(move |computed, scene| {
        draw_cells(&cells, computed, scene);
        outlined.iter().for_each(|outlined| draw_outline(outlined, cells.len(), computed, scene));
        draw_labels(&labels, &columns, computed, scene);
        // Kuva leaves the title of an axis out where it draws no ticks.
        scene.add(sideways(&row_name, computed));
    }));
    Some(frame)
}

/// The colour of a value (viridis: its lightness alone tells the order), and ink that can be read on it.
fn look(value: f64, low: f64, high: f64) -> ((u8, u8, u8), &'static str) {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    let (red, green, blue) = ColorMap::Viridis.map_rgb(share.clamp(0.0, 1.0)).unwrap_or((128, 128, 128));
    // Relative lightness by the weights of Rec. 709.
    let light = 0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue);
    ((red, green, blue), if light > 110.0 { "#000000" } else { "#ffffff" })
}

fn draw_cells(cells: &[Vec<Cell>], computed: &ComputedLayout, scene: &mut Scene) {
    for (row, line) in cells.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let (left, right) = (computed.map_x(column as f64 + 0.5), computed.map_x(column as f64 + 1.5));
            let middle = computed.map_y((cells.len() - row) as f64);
            let (fill, ink) = match cell.look {
                Some(((red, green, blue), ink)) => (Color::Rgb(red, green, blue), ink),
                None => (Color::from(MISSING), "#555555"),
            };
            scene.add(tooltip(&cell.full));
            scene.add(Primitive::Rect {
                x: left,
                y: middle - ROW_HEIGHT / 2.0,
                width: right - left,
                height: ROW_HEIGHT,
                fill,
                stroke: Some(Color::from("#ffffff")),
                stroke_width: Some(1.0),
                opacity: None,
            });
            if width(&cell.shown) as f64 * LETTER <= right - left {
                let (x, y) = ((left + right) / 2.0, middle + f64::from(SMALL) * 0.36);
                scene.add(small_text(x, y, &cell.shown, TextAnchor::Middle, Some(ink)));
            }
            scene.add(Primitive::GroupEnd);
        }
    }
}

/// A cell with a frame around it: row, column, colour, and how far inside the cell the frame lies.
type Outline = (usize, usize, &'static str, f64);

/// A frame for each mark, in a colour for each label, which the legend explains.
fn outlines(marks: &[CellMark], frame: &mut Frame) -> Vec<Outline> {
    let mut labels: Vec<&str> = Vec::new();
    for mark in marks {
        if !labels.contains(&mark.label.as_str()) {
            labels.push(&mark.label);
        }
    }
    for (index, label) in labels.iter().enumerate() {
        frame.legend.push(entry(label, mark_color(label, index), Swatch::Frame));
    }
    let outline = |mark: &CellMark| {
        let index = labels.iter().position(|label| *label == mark.label).unwrap_or(0);
        (mark.row, mark.column, mark_color(&mark.label, index), 2.0 + 4.0 * index as f64)
    };
    marks.iter().map(outline).collect()
}

fn draw_outline(outline: &Outline, rows: usize, computed: &ComputedLayout, scene: &mut Scene) {
    let (row, column, color, inset) = *outline;
    let (left, right) = (computed.map_x(column as f64 + 0.5), computed.map_x(column as f64 + 1.5));
    let middle = computed.map_y(rows as f64 - row as f64);
    // A white rim keeps the frame visible on every colour of the map.
    for (color, wide) in [("#ffffff", 5.0), (color, 3.0)] {
        let (x, y) = (left + inset, middle - ROW_HEIGHT / 2.0 + inset);
        let (right, bottom) = (right - inset, middle + ROW_HEIGHT / 2.0 - inset);
        scene.add(Primitive::Path(Box::new(PathData {
            d: format!("M {x:.1} {y:.1} L {right:.1} {y:.1} L {right:.1} {bottom:.1} L {x:.1} {bottom:.1} Z"),
            fill: None,
            stroke: Color::from(color),
            stroke_width: wide,
            opacity: None,
            stroke_dasharray: None,
        })));
    }
}

fn sideways(title: &str, computed: &ComputedLayout) -> Primitive {
    Primitive::Text {
        x: 18.0,
        y: computed.margin_top + computed.plot_height() / 2.0,
        content: literal(title),
        size: SMALL + 1,
        anchor: TextAnchor::Middle,
        rotate: Some(-90.0),
        bold: false,
        color: None,
    }
}

fn draw_labels(labels: &[Vec<String>], columns: &[String], computed: &ComputedLayout, scene: &mut Scene) {
    for (row, lines) in labels.iter().enumerate() {
        let middle = computed.map_y((labels.len() - row) as f64) + f64::from(SMALL) * 0.36;
        let first = middle - LINE_HEIGHT * (lines.len() as f64 - 1.0) / 2.0;
        for (number, line) in lines.iter().enumerate() {
            let y = first + LINE_HEIGHT * number as f64;
            scene.add(small_text(computed.margin_left - 8.0, y, line, TextAnchor::End, None));
        }
    }
    let room = (computed.plot_width() / columns.len().max(1) as f64 / LETTER) as usize;
    let y = computed.height - computed.margin_bottom + 16.0;
    for (column, label) in columns.iter().enumerate() {
        let x = computed.map_x(column as f64 + 1.0);
        scene.add(tooltip(label));
        scene.add(small_text(x, y, &truncate(&clean(label), room), TextAnchor::Middle, None));
        scene.add(Primitive::GroupEnd);
    }
}
