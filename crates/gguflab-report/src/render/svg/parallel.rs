//! Parallel axes (Inselberg 1985): one upright axis for each knob, one line for each configuration.
//!
//! Axes, lines and texts are shapes of our own in kuva's scene, which has no such picture.

use super::Picture;
use super::frame::{Frame, LETTER, SMALL, mark_color, small_text, tooltip};
use super::legend::{Swatch, entry};
use crate::chart::{Axis, ParallelAxis, ParallelLine};
use crate::format;
use crate::render::text_chart::range;
use crate::text::{clean, truncate, width};
use kuva::plot::ColorMap;
use kuva::render::color::Color;
use kuva::render::layout::ComputedLayout;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

/// Room on both sides for names and values, in pixels.
const SIDES: (f64, f64) = (58.0, 68.0);
/// Axes that are drawn however long their names are.
const FEWEST: usize = 3;
/// Pixels over which lines through the same value are spread, so that they do not hide each other.
const SPREAD: f64 = 12.0;
/// Pixels between two values of an axis, at least; others are left without their words.
const APART: f64 = 15.0;
/// The light end of the colours would not be seen on white.
const LIGHTEST: f64 = 0.88;
/// Dashes of lines with a mark, by the order of the marks.
const DASHES: [Option<&str>; 3] = [None, Some("7 4"), Some("2 3")];

/// What is drawn of one line.
struct Stroke {
    label: String,
    heights: Vec<f64>,
    shift: f64,
    color: Color,
    wide: f64,
    dashes: Option<&'static str>,
}

/// The axes from left to right with the lines through them; the best lines lie on top.
pub(super) fn parallel(
    axis: &Axis,
    axes: &[ParallelAxis],
    lines: &[ParallelLine],
    picture: &Picture,
) -> Option<Frame> {
    let axes = &axes[..axes.len().min(room(axes, picture))];
    let (low, high) = range(lines.iter().map(|line| line.value))?;
    if axes.len() < 2 {
        return None;
    }
    let scale = format::scale_for(axis.unit, lines.iter().map(|line| line.value));
    let mut frame = Frame::new((0.0, axes.len() as f64 - 1.0), (0.0, 1.0), picture);
    let shown = |value: f64| format::scaled_number(value, axis.unit, None, scale);
    let name = format::titled(&axis.label, scale.symbol);
    frame.name_axes(&format!("{name}: dark {}, light {}", shown(low), shown(high)), "");
    let layout = frame.layout.with_force_margins(SIDES.0, SIDES.1);
    let layout = layout.with_x_axis_min(0.0).with_x_axis_max(axes.len() as f64 - 1.0);
    frame.layout = layout.with_y_axis_min(0.0).with_y_axis_max(1.0);
    frame.layout.suppress_y_ticks = true;
    frame.layout.suppress_x_ticks = true;
    frame.layout.show_grid = false;
    let mut marks: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|line| !line.mark.is_empty()) {
        if !marks.contains(&line.mark.as_str()) {
            marks.push(&line.mark);
        }
    }
    let mark_of = |line: &ParallelLine| marks.iter().position(|mark| *mark == line.mark);
    let mut strokes: Vec<(Option<usize>, Stroke)> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| (mark_of(line), stroke(axes, line, place, mark_of(line), (low, high))))
        .collect();
    // Painted later means on top: from the worst to the best, then those with a mark.
    strokes.reverse();
    strokes.sort_by_key(|(mark, _)| mark.is_some());
    let strokes: Vec<Stroke> = strokes.into_iter().map(|(_, stroke)| stroke).collect();
    for (index, mark) in marks.iter().enumerate() {
        let swatch = Swatch::Line(DASHES[index % DASHES.len()]);
        frame.legend.push(entry(mark, mark_color(mark, index), swatch));
    }
    let axes = axes.to_vec();
    frame.overlay = Some(Box::new(move |computed, scene| {
        strokes.iter().for_each(|stroke| draw_stroke(stroke, computed, scene));
        axes.iter().enumerate().for_each(|(index, axis)| draw_axis(axis, index, axes.len(), computed, scene));
    }));
    Some(frame)
}

/// How many axes have room for their names beside each other; the most important ones come first.
fn room(axes: &[ParallelAxis], picture: &Picture) -> usize {
    let longest = axes.iter().map(|axis| width(&clean(&axis.label))).max().unwrap_or(1);
    let step = (longest as f64 + 1.0) * LETTER;
    let fit = ((picture.width - SIDES.0 - SIDES.1) / step) as usize + 1;
    fit.max(FEWEST)
}

fn stroke(
    axes: &[ParallelAxis],
    line: &ParallelLine,
    place: usize,
    mark: Option<usize>,
    (low, high): (f64, f64),
) -> Stroke {
    let level = |index: usize| line.places.get(index).copied().unwrap_or(0);
    let heights =
        axes.iter().enumerate().map(|(index, axis)| height(level(index), axis.ticks.len())).collect();
    let share = if high > low { (line.value - low) / (high - low) } else { 0.5 };
    let (red, green, blue) =
        ColorMap::Viridis.map_rgb(share.clamp(0.0, 1.0) * LIGHTEST).unwrap_or((128, 128, 128));
    let (color, wide, dashes) = match mark {
        Some(mark) => (Color::from(mark_color(&line.mark, mark)), 3.0, DASHES[mark % DASHES.len()]),
        None => (Color::Rgb(red, green, blue), 1.6, None),
    };
    // Multiples of the golden ratio spread evenly, however many there are.
    let shift = ((place as f64 * 0.618_034).fract() - 0.5) * SPREAD;
    Stroke { label: line.label.clone(), heights, shift, color, wide, dashes }
}

/// Where a value stands on its axis, from 0 to 1.
fn height(level: usize, count: usize) -> f64 {
    if count < 2 { 0.5 } else { 0.05 + 0.9 * level as f64 / (count - 1) as f64 }
}

fn draw_stroke(stroke: &Stroke, computed: &ComputedLayout, scene: &mut Scene) {
    let mut path = String::new();
    for (index, height) in stroke.heights.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let (x, y) = (computed.map_x(index as f64), computed.map_y(*height) + stroke.shift);
        path.push_str(&format!("{letter} {x:.1} {y:.1} "));
    }
    scene.add(tooltip(&stroke.label));
    scene.add(Primitive::Path(Box::new(PathData {
        d: path.trim_end().to_string(),
        fill: None,
        stroke: stroke.color.clone(),
        stroke_width: stroke.wide,
        opacity: None,
        stroke_dasharray: stroke.dashes.map(str::to_string),
    })));
    scene.add(Primitive::GroupEnd);
}

fn draw_axis(axis: &ParallelAxis, index: usize, count: usize, computed: &ComputedLayout, scene: &mut Scene) {
    let x = computed.map_x(index as f64);
    let (top, bottom) = (computed.map_y(1.0), computed.map_y(0.0));
    scene.add(Primitive::Line {
        x1: x,
        y1: top,
        x2: x,
        y2: bottom,
        stroke: Color::from("#555555"),
        stroke_width: 1.5,
        stroke_dasharray: None,
    });
    let step = computed.plot_width() / (count.max(2) - 1) as f64;
    let room = if index + 1 == count { SIDES.1 - 12.0 } else { step - 16.0 };
    let gap = (bottom - top) * 0.9 / (axis.ticks.len().max(2) - 1) as f64;
    let every = (APART / gap.max(0.1)).ceil().max(1.0) as usize;
    for (level, tick) in axis.ticks.iter().enumerate().filter(|(level, _)| level % every == 0) {
        let y = computed.map_y(height(level, axis.ticks.len()));
        draw_tick(tick, x, y, (room / LETTER) as usize, scene);
    }
    let letters = (step / LETTER) as usize;
    scene.add(tooltip(&axis.label));
    let name = truncate(&clean(&axis.label), letters);
    scene.add(small_text(x, bottom + 18.0, &name, TextAnchor::Middle, None));
    scene.add(Primitive::GroupEnd);
}

/// A value beside its axis, on a ground that the lines do not shine through.
fn draw_tick(tick: &str, x: f64, y: f64, letters: usize, scene: &mut Scene) {
    let text = truncate(&clean(tick), letters);
    scene.add(tooltip(tick));
    scene.add(Primitive::Rect {
        x: x + 4.0,
        y: y - 7.0,
        width: width(&text) as f64 * LETTER + 3.0,
        height: 14.0,
        fill: Color::from("#ffffff"),
        stroke: None,
        stroke_width: None,
        opacity: Some(0.8),
    });
    scene.add(small_text(x + 6.0, y + f64::from(SMALL) * 0.36, &text, TextAnchor::Start, None));
    scene.add(Primitive::GroupEnd);
}
