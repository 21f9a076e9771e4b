//! Pictures with two number axes: history, curves, points and histograms.

use super::Picture;
use super::frame::{Frame, color, marker, padded};
use super::legend::{Swatch, entry};
use super::ruler::Ruler;
use crate::chart::{Axis, Mark, Point, Series, Shape, Values};
use crate::document::Interval;
use crate::format::{self, Scale};
use crate::render::text_chart::{Shown, mark_kinds, range};
use kuva::plot::band::BandPlot;
use kuva::plot::line::{LinePlot, LineStyle};
use kuva::plot::scatter::{MarkerShape, ScatterPlot};

const DASHES: [Option<&str>; 4] = [None, Some("8 4"), Some("2 3"), Some("8 3 2 3")];
const FAILURE_MARKERS: [MarkerShape; 4] =
    [MarkerShape::Cross, MarkerShape::Plus, MarkerShape::TriangleDown, MarkerShape::Star];
const FAILURE_COLOR: &str = "#444444";
/// Bins of a histogram: fewer hide its form, more show noise.
const BINS: (f64, f64) = (8.0, 60.0);

/// Both axes.
#[derive(Clone, Copy)]
struct Rulers {
    x: Ruler,
    y: Ruler,
}

/// Values over trial numbers; failures stand below, each kind with a marker of its own.
pub(super) fn history(
    across: &Axis,
    axis: &Axis,
    series: &[Series],
    marks: &[Mark],
    picture: &Picture,
) -> Option<Frame> {
    let xs = points(series).map(|point| point.x).chain(marks.iter().map(|mark| mark.x));
    let x = Ruler::over(across, format::scale_for(across.unit, []), xs)?.padded(0.02);
    let up = |values: Vec<f64>| Ruler::over(axis, y_scale(axis, series), values);
    let y = up(y_ends(series).collect()).or_else(|| up(vec![0.0, 1.0]))?.padded(0.08);
    // Failures have no value: they get a strip of their own under the values.
    let (y, strip) = y.with_strip(if marks.is_empty() { 0.0 } else { 0.1 });
    let rulers = Rulers { x, y };
    let mut frame = Frame::with_rulers(&x, &y, picture);
    frame.fix_up();
    frame.name_axes(&across.titled(x.scale), &axis.titled(y.scale));
    for (index, series) in series.iter().enumerate() {
        add_series(&mut frame, series, index, rulers);
    }
    for (index, kind) in mark_kinds(marks).into_keys().enumerate() {
        let shape = FAILURE_MARKERS[index % FAILURE_MARKERS.len()];
        let these = || marks.iter().filter(|mark| mark.kind == kind);
        let plot = ScatterPlot::new()
            .with_data(these().map(|mark| (x.at(mark.x), strip)))
            .with_color(FAILURE_COLOR)
            .with_size(5.0)
            .with_marker(shape)
            .with_tooltip_labels(these().map(|mark| {
                crate::text::clean(&format!("{} {}: {kind} {}", across.label, mark.x, mark.label))
            }));
        frame.plots.push(plot.into());
        frame.legend.push(entry(kind, FAILURE_COLOR, Swatch::Marker(shape)));
    }
    Some(frame)
}

/// Curves, with a band where the points have intervals.
pub(super) fn lines(across: &Axis, axis: &Axis, series: &[Series], picture: &Picture) -> Option<Frame> {
    let x = Ruler::over(across, x_scale(across, series), points(series).map(|point| point.x))?.padded(0.02);
    let y = Ruler::over(axis, y_scale(axis, series), y_ends(series))?.padded_from_zero(0.06);
    let mut frame = Frame::with_rulers(&x, &y, picture);
    frame.name_axes(&across.titled(x.scale), &axis.titled(y.scale));
    for (index, series) in series.iter().enumerate() {
        // A point alone marks a place on the curves, and would be lost among their own.
        if let (Shape::Points, [point]) = (series.shape, series.points.as_slice()) {
            add_upright(&mut frame, point, index, Rulers { x, y });
        }
        add_series(&mut frame, series, index, Rulers { x, y });
    }
    Some(frame)
}

/// A line from the bottom to the top through a point.
fn add_upright(frame: &mut Frame, point: &Point, index: usize, rulers: Rulers) {
    let (x, (low, high)) = (rulers.x.at(point.x), rulers.y.ends());
    let plot = LinePlot::new()
        .with_data([(x, low), (x, high)])
        .with_color(color(index))
        .with_stroke_width(1.0)
        .with_line_style(LineStyle::Custom("6 4".to_string()));
    frame.plots.push(plot.into());
}

/// Points in a plane, with their intervals in both directions.
pub(super) fn scatter(across: &Axis, axis: &Axis, series: &[Series], picture: &Picture) -> Option<Frame> {
    let x_ends = points(series).flat_map(|point| ends(point.x, point.x_interval));
    let x = Ruler::over(across, x_scale(across, series), x_ends)?.padded(0.05);
    let y = Ruler::over(axis, y_scale(axis, series), y_ends(series))?.padded_from_zero(0.06);
    let rulers = Rulers { x, y };
    let mut frame = Frame::with_rulers(&x, &y, picture);
    frame.name_axes(&across.titled(x.scale), &axis.titled(y.scale));
    for (index, series) in series.iter().enumerate() {
        if series.shape != Shape::Points {
            add_line(&mut frame, series, index, rulers);
        }
        let mut plot = markers(series, index, rulers);
        if series.points.iter().any(|point| point.x_interval.is_some()) {
            plot = plot.with_x_err_asymmetric(
                series.points.iter().map(|point| rulers.x.error(point.x, point.x_interval)),
            );
        }
        if series.points.iter().any(|point| point.y_interval.is_some()) {
            plot = plot.with_y_err_asymmetric(
                series.points.iter().map(|point| rulers.y.error(point.y, point.y_interval)),
            );
        }
        frame.plots.push(plot.into());
        name_series(&mut frame, series, index);
    }
    Some(frame)
}

/// Outlines of how often values fall where, all series over the same bins.
pub(super) fn histogram(axis: &Axis, series: &[Values], picture: &Picture) -> Option<Frame> {
    let shown = Shown::of(series)?;
    let Shown { low, high, .. } = shown;
    let scale = format::scale_for(axis.unit, series.iter().flat_map(|series| series.values.iter().copied()));
    let count = bins(shown.quartile_distance, high - low, shown.count);
    let edges: Vec<f64> = (0..=count).map(|edge| low + (high - low) * edge as f64 / count as f64).collect();
    let outlines: Vec<Vec<(f64, f64)>> =
        series.iter().map(|series| outline(&series.values, &edges, scale)).collect();
    let (_, most) = range(outlines.iter().flatten().map(|point| point.1))?;
    let x_range = padded((scale.apply(low), scale.apply(high)), 0.02);
    let mut frame = Frame::new(x_range, (0.0, (most * 1.05).max(1.0)), picture);
    let mut name = axis.titled(scale);
    if shown.hidden > 0 {
        let end = format::scaled_number(high, axis.unit, None, scale);
        name = format!("{name}; {} of {} values above {end} not shown", shown.hidden, shown.count);
    }
    frame.name_axes(&name, "values in a bin");
    for (index, (values, outline)) in series.iter().zip(outlines).enumerate() {
        let mut plot = LinePlot::new().with_data(outline).with_color(color(index)).with_stroke_width(2.0);
        plot = dashed(plot, index).with_fill().with_fill_opacity(0.15);
        frame.plots.push(plot.into());
        if series.len() > 1 || !values.name.is_empty() {
            let swatch = Swatch::Line(DASHES[index % DASHES.len()]);
            frame.legend.push(entry(&values.name, color(index), swatch));
        }
    }
    Some(frame)
}

/// Freedman and Diaconis (1981): bins as wide as twice the quartile distance over the cube root of the count.
fn bins(quartile_distance: f64, span: f64, count: usize) -> usize {
    let width = 2.0 * quartile_distance / (count as f64).cbrt();
    let bins = if width > 0.0 && width.is_finite() && span > 0.0 { (span / width).ceil() } else { BINS.0 };
    bins.clamp(BINS.0, BINS.1) as usize
}

/// The corners of the bars, from the first edge at zero to the last edge at zero.
fn outline(values: &[f64], edges: &[f64], scale: Scale) -> Vec<(f64, f64)> {
    let (Some(low), Some(high)) = (edges.first(), edges.last()) else { return Vec::new() };
    let mut counts = vec![0.0; edges.len() - 1];
    for value in values.iter().filter(|value| **value <= *high) {
        counts[crate::render::text_chart::cell_of(*value, *low, *high, edges.len() - 1)] += 1.0;
    }
    let mut corners = vec![(scale.apply(*low), 0.0)];
    for (bin, count) in counts.into_iter().enumerate() {
        corners.extend([(scale.apply(edges[bin]), count), (scale.apply(edges[bin + 1]), count)]);
    }
    corners.push((scale.apply(*high), 0.0));
    corners
}

fn add_series(frame: &mut Frame, series: &Series, index: usize, rulers: Rulers) {
    if series.shape != Shape::Points {
        add_band(frame, series, index, rulers);
        add_line(frame, series, index, rulers);
    }
    if series.shape != Shape::Steps {
        let mut plot = markers(series, index, rulers);
        if series.shape == Shape::Points && series.points.iter().any(|point| point.y_interval.is_some()) {
            plot = plot.with_y_err_asymmetric(
                series.points.iter().map(|point| rulers.y.error(point.y, point.y_interval)),
            );
        }
        frame.plots.push(plot.into());
    }
    name_series(frame, series, index);
}

fn name_series(frame: &mut Frame, series: &Series, index: usize) {
    if series.name.is_empty() {
        return;
    }
    let dashes = DASHES[index % DASHES.len()];
    let swatch = match series.shape {
        Shape::Points => Swatch::Marker(marker(index)),
        Shape::Line => Swatch::Both(marker(index), dashes),
        Shape::Steps => Swatch::Line(dashes),
    };
    frame.legend.push(entry(&series.name, color(index), swatch));
}

fn markers(series: &Series, index: usize, rulers: Rulers) -> ScatterPlot {
    let place = |point: &Point| (rulers.x.at(point.x), rulers.y.at(point.y));
    let plot = ScatterPlot::new()
        .with_data(series.points.iter().map(place))
        .with_color(color(index))
        .with_size(match (series.shape, series.points.len()) {
            (_, 401..) => 2.5,
            (Shape::Points, 1) => 7.0,
            _ => 4.5,
        })
        .with_marker(marker(index));
    let labelled = series.points.iter().any(|point| !point.label.is_empty());
    if labelled {
        plot.with_tooltip_labels(series.points.iter().map(|point| crate::text::clean(&point.label)))
    } else {
        plot
    }
}

fn add_line(frame: &mut Frame, series: &Series, index: usize, rulers: Rulers) {
    let place = |point: &Point| (rulers.x.at(point.x), rulers.y.at(point.y));
    let mut plot = LinePlot::new()
        .with_data(series.points.iter().map(place))
        .with_color(color(index))
        .with_stroke_width(2.0);
    if series.shape == Shape::Steps {
        plot = plot.with_step();
    }
    frame.plots.push(dashed(plot, index).into());
}

fn dashed(plot: LinePlot, index: usize) -> LinePlot {
    match DASHES[index % DASHES.len()] {
        Some(dashes) => plot.with_line_style(LineStyle::Custom(dashes.to_string())),
        None => plot,
    }
}

fn add_band(frame: &mut Frame, series: &Series, index: usize, rulers: Rulers) {
    if series.points.iter().all(|point| point.y_interval.is_none()) {
        return;
    }
    let end = |point: &Point, pick: fn(Interval) -> f64| rulers.y.at(point.y_interval.map_or(point.y, pick));
    let band = BandPlot::new(
        series.points.iter().map(|point| rulers.x.at(point.x)),
        series.points.iter().map(|point| end(point, |interval| interval.low)),
        series.points.iter().map(|point| end(point, |interval| interval.high)),
    );
    frame.plots.push(band.with_color(color(index)).with_opacity(0.18).into());
}

fn points(series: &[Series]) -> impl Iterator<Item = &Point> {
    series.iter().flat_map(|series| &series.points)
}

fn y_ends(series: &[Series]) -> impl Iterator<Item = f64> {
    points(series).flat_map(|point| ends(point.y, point.y_interval))
}

fn ends(value: f64, interval: Option<Interval>) -> [f64; 3] {
    interval.map_or([value; 3], |interval| [value, interval.low, interval.high])
}

fn x_scale(across: &Axis, series: &[Series]) -> Scale {
    format::scale_for(across.unit, points(series).map(|point| point.x))
}

fn y_scale(axis: &Axis, series: &[Series]) -> Scale {
    format::scale_for(axis.unit, points(series).map(|point| point.y))
}
