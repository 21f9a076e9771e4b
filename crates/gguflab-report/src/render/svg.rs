//! Charts as SVG pictures, drawn by the crate kuva.
//!
//! Kuva places axes, grids, curves, bars and legends. What it has no words for is added to its scene as shapes
//! of the same kind: row labels that wrap and say their full text as a tooltip, values beside rows, and heat
//! map cells that may be missing. Colours are those of Okabe and Ito (2008), which people with any kind of
//! colour vision can tell apart; every colour goes with a marker of its own.
//! The picture brings its white ground along, so that it can be read on a dark page too.

mod curves;
mod frame;
mod heatmap;
mod legend;
mod parallel;
mod rows;
mod ruler;

use crate::chart::{Chart, ChartKind};
use crate::document::Document;
use crate::text::{escape, wrap};
use std::fmt::Write;

/// How a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture<'a> {
    /// Its width in pixels, 280 at least; the height follows from what is shown.
    pub width: f64,
    /// Whether the chart's title stands in the picture; a page has it beside the picture instead.
    pub title: bool,
    /// What the identifiers inside begin with: letters, digits and hyphens. Pictures in one page need
    /// different ones.
    pub identifier: &'a str,
}

impl Default for Picture<'_> {
    fn default() -> Picture<'static> {
        Picture { width: 760.0, title: true, identifier: "chart" }
    }
}

/// All charts of the document, one below another, in one picture.
#[must_use]
pub fn render(document: &Document) -> String {
    const GAP: f64 = 16.0;
    let (mut inner, mut top, mut width) = (String::new(), 0.0, 0.0_f64);
    for (number, chart) in document.charts().enumerate() {
        let identifier = format!("chart-{}", number + 1);
        let picture = Picture { identifier: &identifier, ..Picture::default() };
        let (drawn, size) = drawing(chart, &picture);
        let _ = write!(inner, "<g transform=\"translate(0,{top})\">{drawn}</g>");
        top += size.1 + GAP;
        width = width.max(size.0);
    }
    if inner.is_empty() {
        return empty_picture(&Picture::default(), &document.title, "no charts in this document").0;
    }
    let (height, title) = ((top - GAP).ceil(), escape(&document.title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\"><title>{title}</title>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{inner}</svg>\n"
    )
}

/// Each chart as a picture of its own, with a file name made from its number and title.
#[must_use]
pub fn pictures(document: &Document) -> Vec<(String, String)> {
    let charts = document.charts().enumerate();
    charts
        .map(|(number, chart)| (file_name(number, chart, "svg"), picture(chart, &Picture::default())))
        .collect()
}

fn file_name(number: usize, chart: &Chart, ending: &str) -> String {
    format!("{:02}-{}.{ending}", number + 1, slug(&chart.title))
}

/// Each chart that has something to draw as a PNG file of its own, named as by [`pictures`], with twice the pixels
/// of the SVG.
///
/// # Errors
/// What the drawing library says; it brings the one font that it needs along.
#[cfg(feature = "png")]
pub fn png_pictures(document: &Document) -> Result<Vec<(String, Vec<u8>)>, PngError> {
    let picture = Picture::default();
    let mut files = Vec::new();
    for (number, chart) in document.charts().enumerate() {
        let (chart, frame) = frame(chart, &picture);
        let Some(frame) = frame else { continue };
        let drawn = kuva::backend::raster::RasterBackend { scale: 2.0 }
            .render_scene(&frame.scene(&chart, &picture))
            .map_err(|problem| PngError { title: chart.title.clone(), problem })?;
        files.push((file_name(number, &chart, "png"), drawn));
    }
    Ok(files)
}

/// Why there is no PNG.
#[cfg(feature = "png")]
#[derive(Debug, thiserror::Error)]
#[error("cannot draw `{title}` as PNG: {problem}")]
pub struct PngError {
    /// The chart.
    pub title: String,
    /// What the drawing library says.
    pub problem: String,
}

/// One chart as a picture.
#[must_use]
pub fn picture(chart: &Chart, picture: &Picture) -> String {
    let mut svg = drawing(chart, picture).0;
    svg.push('\n');
    svg
}

/// The picture and its width and height.
fn drawing(chart: &Chart, picture: &Picture) -> (String, (f64, f64)) {
    let picture = Picture { width: picture.width.clamp(280.0, 4000.0), ..*picture };
    let (chart, frame) = frame(chart, &picture);
    match frame {
        Some(frame) => frame.draw(&chart, &picture),
        None => empty_picture(&picture, &chart.title, "nothing to draw"),
    }
}

/// What can be drawn of the chart, and how; `None` where that is nothing.
fn frame(chart: &Chart, picture: &Picture) -> (Chart, Option<frame::Frame>) {
    let (chart, remark) = chart.drawn();
    let frame = shapes(&chart, picture).map(|frame| frame::Frame { remark, ..frame });
    (chart, frame)
}

fn shapes(chart: &Chart, picture: &Picture) -> Option<frame::Frame> {
    match &chart.kind {
        ChartKind::Intervals { axis, rows, reference } => {
            rows::intervals(axis, rows, reference.as_ref(), picture)
        }
        ChartKind::Bars { axis, rows } => rows::bars(axis, rows, picture),
        ChartKind::History { across, axis, series, marks } => {
            curves::history(across, axis, series, marks, picture)
        }
        ChartKind::Lines { across, axis, series } => curves::lines(across, axis, series, picture),
        ChartKind::Scatter { across, axis, series } => curves::scatter(across, axis, series, picture),
        ChartKind::Histogram { axis, series } => curves::histogram(axis, series, picture),
        ChartKind::Heatmap { axis, row_name, rows, column_name, columns, values, marks } => {
            heatmap::heatmap(axis, (row_name, rows), (column_name, columns), values, marks, picture)
        }
        ChartKind::Parallel { axis, axes, lines } => parallel::parallel(axis, axes, lines, picture),
    }
}

/// The opening tag, the accessible name and the description of a picture.
fn opening(size: (f64, f64), title: &str, description: &str, identifier: &str) -> String {
    let (width, height) = size;
    let (title, description) = (escape(title), escape(description));
    let described = if description.is_empty() { String::new() } else { format!(" {identifier}-description") };
    let mut tag = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"{}\" fill=\"{}\" role=\"img\" \
         aria-labelledby=\"{identifier}-title{described}\"><title id=\"{identifier}-title\">{title}</title>",
        frame::FONTS,
        frame::INK,
    );
    if !description.is_empty() {
        let _ = write!(tag, "<desc id=\"{identifier}-description\">{description}</desc>");
    }
    tag
}

/// A card that says why there is no picture.
fn empty_picture(picture: &Picture, title: &str, reason: &str) -> (String, (f64, f64)) {
    let width = picture.width;
    let mut lines = wrap(&crate::text::clean(title), (width / 9.0) as usize);
    lines.retain(|_| picture.title);
    lines.push(format!("({reason})"));
    let height = 24.0 + 20.0 * lines.len() as f64;
    let mut svg = opening((width, height), title, reason, picture.identifier);
    svg.push_str("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
    for (number, line) in lines.iter().enumerate() {
        let (x, y) = (width / 2.0, 26.0 + 20.0 * number as f64);
        let line = escape(line);
        let _ =
            write!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"14\" text-anchor=\"middle\">{line}</text>");
    }
    svg.push_str("</svg>");
    (svg, (width, height))
}

/// Letters, digits and single hyphens, at most 60 of them: safe in a file name everywhere.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars().map(|character| character.to_ascii_lowercase()) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 60 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "chart".to_string() } else { slug.to_string() }
}
