//! The legend under a picture.
//!
//! Kuva's own legend shares the width of the plot among columns, without regard to forced margins: in a picture
//! with long row labels its entries overprint each other. This one flows over the whole width.

use super::frame::{LETTER, small_text, tooltip};
use crate::text::{clean, truncate, width, wrap};
use kuva::plot::scatter::MarkerShape;
use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

const ROW: f64 = 20.0;
const SIDE: f64 = 16.0;
const SWATCH: f64 = 34.0;
const GAP: f64 = 22.0;

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What it is.
    pub(super) label: String,
    /// Its colour.
    pub(super) color: &'static str,
    /// How it is drawn in the picture.
    pub(super) swatch: Swatch,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Swatch {
    /// Markers.
    Marker(MarkerShape),
    /// A line with these dashes.
    Line(Option<&'static str>),
    /// Markers joined by a line.
    Both(MarkerShape, Option<&'static str>),
    /// Filled areas.
    Area,
    /// Frames around areas.
    Frame,
}

/// Adds the legend under what is drawn, and makes the scene higher by it.
pub(super) fn add_legend(entries: &[Entry], scene: &mut Scene) {
    if entries.is_empty() {
        return;
    }
    let room = scene.width - 2.0 * SIDE;
    let letters = ((room - SWATCH) / LETTER) as usize;
    let (mut x, mut y) = (SIDE, scene.height + ROW * 0.7);
    for entry in entries {
        let label = truncate(&clean(&entry.label), letters);
        let wide = SWATCH + width(&label) as f64 * LETTER;
        if x > SIDE && x + wide > scene.width - SIDE {
            (x, y) = (SIDE, y + ROW);
        }
        scene.add(tooltip(&entry.label));
        draw_swatch(entry, x, y, scene);
        scene.add(small_text(x + SWATCH, y + 4.3, &label, TextAnchor::Start, None));
        scene.add(Primitive::GroupEnd);
        x += wide + GAP;
    }
    scene.height = (y + ROW * 0.75).ceil();
}

/// Adds lines of text under all that is drawn, and makes the scene higher by them.
pub(super) fn add_remark(remark: Option<&str>, scene: &mut Scene) {
    let letters = ((scene.width - 2.0 * SIDE) / LETTER) as usize;
    for line in wrap(&clean(remark.unwrap_or_default()), letters).iter().filter(|line| !line.is_empty()) {
        scene.add(small_text(SIDE, scene.height + ROW * 0.5, line, TextAnchor::Start, None));
        scene.height += ROW;
    }
}

fn draw_swatch(entry: &Entry, x: f64, y: f64, scene: &mut Scene) {
    match entry.swatch {
        Swatch::Line(dashes) => draw_line(entry.color, dashes, x, y, scene),
        Swatch::Marker(shape) => draw_marker(shape, entry.color, x + 20.0, y, scene),
        Swatch::Both(shape, dashes) => {
            draw_line(entry.color, dashes, x, y, scene);
            draw_marker(shape, entry.color, x + 14.0, y, scene);
        }
        Swatch::Frame => scene.add(Primitive::Rect {
            x: x + 14.0,
            y: y - 6.0,
            width: 12.0,
            height: 12.0,
            fill: Color::from("#ffffff"),
            stroke: Some(Color::from(entry.color)),
            stroke_width: Some(3.0),
            opacity: None,
        }),
        Swatch::Area => scene.add(Primitive::Rect {
            x: x + 14.0,
            y: y - 6.0,
            width: 12.0,
            height: 12.0,
            fill: Color::from(entry.color),
            stroke: None,
            stroke_width: None,
            opacity: None,
        }),
    }
}

fn draw_line(color: &str, dashes: Option<&str>, x: f64, y: f64, scene: &mut Scene) {
    scene.add(Primitive::Line {
        x1: x,
        y1: y,
        x2: x + 28.0,
        y2: y,
        stroke: Color::from(color),
        stroke_width: 2.0,
        stroke_dasharray: dashes.map(str::to_string),
    });
}

/// The same shapes as kuva's markers, which it does not offer for use elsewhere.
fn draw_marker(shape: MarkerShape, color: &str, x: f64, y: f64, scene: &mut Scene) {
    const RADIUS: f64 = 5.0;
    let corners = corners(shape);
    let color = Color::from(color);
    if corners.is_empty() {
        scene.add(Primitive::Circle {
            cx: x,
            cy: y,
            r: RADIUS,
            fill: color,
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        });
        return;
    }
    let open = matches!(shape, MarkerShape::Cross | MarkerShape::Plus);
    let mut path = String::new();
    for (number, (right, down)) in corners.iter().enumerate() {
        let moves = number == 0 || (open && number.is_multiple_of(2));
        let letter = if moves { 'M' } else { 'L' };
        path.push_str(&format!("{letter} {:.2} {:.2} ", x + right * RADIUS, y + down * RADIUS));
    }
    if !open {
        path.push('Z');
    }
    scene.add(Primitive::Path(Box::new(PathData {
        d: path,
        fill: (!open).then(|| color.clone()),
        stroke: color,
        stroke_width: if open { 1.5 } else { 0.0 },
        opacity: None,
        stroke_dasharray: None,
    })));
}

/// Corners around the middle, in radii to the right and down; for the open shapes pairs of line ends.
fn corners(shape: MarkerShape) -> Vec<(f64, f64)> {
    match shape {
        MarkerShape::Circle | MarkerShape::Hexagon => Vec::new(),
        MarkerShape::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        MarkerShape::Triangle => vec![(0.0, -1.0), (0.95, 0.8), (-0.95, 0.8)],
        MarkerShape::TriangleDown => vec![(0.0, 1.0), (0.95, -0.8), (-0.95, -0.8)],
        MarkerShape::Diamond => vec![(0.0, -1.2), (0.9, 0.0), (0.0, 1.2), (-0.9, 0.0)],
        MarkerShape::Cross => vec![(-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8)],
        MarkerShape::Plus => vec![(0.0, -1.0), (0.0, 1.0), (-1.0, 0.0), (1.0, 0.0)],
        MarkerShape::Pentagon => ring(5, &[1.05]),
        MarkerShape::Star => ring(10, &[1.2, 0.5]),
    }
}

/// Points around the middle, the first one on top, with these distances in turn.
fn ring(count: usize, distances: &[f64]) -> Vec<(f64, f64)> {
    let point = |(number, distance): (usize, &f64)| {
        let angle = std::f64::consts::TAU * number as f64 / count as f64;
        (distance * angle.sin(), -distance * angle.cos())
    };
    distances.iter().cycle().take(count).enumerate().map(point).collect()
}

/// An entry of the legend.
pub(super) fn entry(label: &str, color: &'static str, swatch: Swatch) -> Entry {
    Entry { label: label.to_string(), color, swatch }
}
