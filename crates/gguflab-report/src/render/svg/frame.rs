//! What all pictures share: axes, fonts, legend, and the way from kuva's scene to the text of the SVG.

use super::legend::{Entry, add_legend, add_remark};
use super::ruler::Ruler;
use super::{Picture, opening};
use crate::chart::Chart;
use crate::text::clean;
use kuva::backend::svg::SvgBackend;
use kuva::plot::scatter::MarkerShape;
use kuva::render::layout::{AxisLabelOverlap, ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};
use kuva::render::render_utils::generate_ticks_log;
use kuva::render::theme::Theme;
use std::sync::Arc;

/// Fonts with open, even letters that some machine has; kuva measures with DejaVu Sans, the widest of them.
pub(super) const FONTS: &str = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif";
/// Text and axes.
pub(super) const INK: &str = "#1a1a1a";
/// Pixels of small text.
pub(super) const SMALL: u32 = 12;
/// Pixels that one column of small text takes, a little more than the average letter of DejaVu Sans.
pub(super) const LETTER: f64 = 7.1;
/// Pixels that one column of a picture's title takes.
const TITLE_LETTER: f64 = 9.5;
/// Pixels that one column of an axis title takes.
const LABEL_LETTER: f64 = 7.8;
/// From this width on there is room for values beside rows and for longer labels.
pub(super) const WIDE: f64 = 560.0;

const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const MARKERS: [MarkerShape; 7] = [
    MarkerShape::Circle,
    MarkerShape::Triangle,
    MarkerShape::Square,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
    MarkerShape::Star,
    MarkerShape::Pentagon,
];

/// The colour of the series with this number.
pub(super) fn color(index: usize) -> &'static str {
    COLORS[index % COLORS.len()]
}

/// The colour of what is pointed out: the baseline's is the same in every picture, the others follow by number.
pub(super) fn mark_color(label: &str, index: usize) -> &'static str {
    const OTHERS: [&str; 3] = ["#000000", "#cc79a7", "#56b4e9"];
    if label == "baseline" { "#d55e00" } else { OTHERS[index % OTHERS.len()] }
}

/// The marker of the series with this number: another one when its colour comes again.
pub(super) fn marker(index: usize) -> MarkerShape {
    MARKERS[(index + index / COLORS.len()) % MARKERS.len()]
}

/// Adds shapes to the scene when all places are known.
pub(super) type Overlay = Box<dyn Fn(&ComputedLayout, &mut Scene)>;

/// A picture about to be drawn.
pub(super) struct Frame {
    /// What kuva draws.
    pub(super) plots: Vec<Plot>,
    /// The axes.
    pub(super) layout: Layout,
    /// What is added to kuva's scene.
    pub(super) overlay: Option<Overlay>,
    /// What the legend says; no legend where it is empty.
    pub(super) legend: Vec<Entry>,
    /// What stands under the legend.
    pub(super) remark: Option<String>,
    /// The height of the area inside the axes, in pixels.
    pub(super) inner_height: f64,
}

impl Frame {
    /// A frame whose axes hold these ranges, in shown units.
    pub(super) fn new(x_range: (f64, f64), y_range: (f64, f64), picture: &Picture) -> Frame {
        let theme = Theme {
            background: "#ffffff".to_string(),
            axis_color: "#555555".to_string(),
            tick_color: "#555555".to_string(),
            grid_color: "#e2e2e2".to_string(),
            text_color: INK.to_string(),
            legend_border: "none".to_string(),
            ..Theme::light()
        };
        let mut layout = Layout::new(x_range, y_range)
            .with_width(picture.width)
            .with_theme(theme)
            .with_font_family(FONTS)
            .with_ticks(if picture.width >= WIDE { 6 } else { 4 })
            .with_title_size(16)
            .with_label_size(13)
            .with_tick_size(SMALL)
            .with_body_size(SMALL)
            .with_x_tick_format(ticks(x_range))
            .with_y_tick_format(ticks(y_range));
        layout.legend_box = false;
        let inner_height = if picture.width >= WIDE { 300.0 } else { 240.0 };
        Frame { plots: Vec::new(), layout, overlay: None, legend: Vec::new(), remark: None, inner_height }
    }

    /// A frame with these axes; the horizontal one ends where its ruler does.
    pub(super) fn with_rulers(x: &Ruler, y: &Ruler, picture: &Picture) -> Frame {
        let mut frame = Frame::new(x.ends(), y.ends(), picture);
        frame.fix_across();
        frame.spread_across(x);
        if let Some(format) = y.tick_format() {
            frame.layout.log_y = true;
            frame.layout.y_tick_format = format;
            frame.fix_up();
        }
        frame
    }

    /// Makes the horizontal axis logarithmic where its ruler is.
    pub(super) fn spread_across(&mut self, x: &Ruler) {
        if let Some(format) = x.tick_format() {
            self.layout.log_x = true;
            self.layout.x_tick_format = format;
            self.layout.x_label_overlap = AxisLabelOverlap::Thin;
            self.fix_across();
        }
    }

    /// Keeps the horizontal range as it is: rounded to whole ticks it could end in the middle of a marker.
    pub(super) fn fix_across(&mut self) {
        (self.layout.x_axis_min, self.layout.x_axis_max) =
            (Some(self.layout.x_range.0), Some(self.layout.x_range.1));
    }

    /// Keeps the vertical range as it is.
    pub(super) fn fix_up(&mut self) {
        (self.layout.y_axis_min, self.layout.y_axis_max) =
            (Some(self.layout.y_range.0), Some(self.layout.y_range.1));
    }

    /// Titles of the axes, with the shown units.
    pub(super) fn name_axes(&mut self, x: &str, y: &str) {
        self.layout.x_label = (!x.is_empty()).then(|| literal(x));
        self.layout.y_label = (!y.is_empty()).then(|| literal(y));
    }

    /// The text of the SVG and its size.
    pub(super) fn draw(self, chart: &Chart, picture: &Picture) -> (String, (f64, f64)) {
        let scene = self.scene(chart, picture);
        let size = (scene.width.ceil(), scene.height.ceil());
        (finish(&SvgBackend::new().render_scene(&scene), size, chart, picture), size)
    }

    /// All shapes in their places.
    pub(super) fn scene(mut self, chart: &Chart, picture: &Picture) -> Scene {
        self.place_texts(chart, picture);
        // The margins depend on the texts, and only they say how high the picture has to be.
        self.layout.height = Some(1000.0);
        make_room(&mut self.layout);
        let margins = ComputedLayout::from_layout(&self.layout);
        // Kuva centres titles over and under the plot, whose middle may be far from the picture's.
        let middle = (margins.margin_left + picture.width - margins.margin_right) / 2.0;
        let room = 2.0 * middle.min(picture.width - middle);
        self.layout.title_wrap = Some(((room / TITLE_LETTER) as usize).max(8));
        self.layout.x_label_wrap = Some(((room / LABEL_LETTER) as usize).max(8));
        let margins = ComputedLayout::from_layout(&self.layout);
        self.layout.height = Some((self.inner_height + margins.margin_top + margins.margin_bottom).ceil());
        let computed = ComputedLayout::from_layout(&self.layout);
        let mut scene = render_multiple(self.plots, self.layout);
        if let Some(overlay) = &self.overlay {
            overlay(&computed, &mut scene);
        }
        add_legend(&self.legend, &mut scene);
        add_remark(self.remark.as_deref(), &mut scene);
        scene
    }

    fn place_texts(&mut self, chart: &Chart, picture: &Picture) {
        if picture.title && !chart.title.is_empty() {
            self.layout.title = Some(literal(&chart.title));
        }
        self.layout.y_label_wrap = Some(30);
    }
}

/// Kuva's output with an opening tag of our own: it scales, it names the picture for screen readers, and its
/// identifiers do not depend on how many pictures this process drew before.
fn finish(drawn: &str, size: (f64, f64), chart: &Chart, picture: &Picture) -> String {
    let body = drawn.split_once('>').map_or("", |(_, body)| body);
    let body = match body.split_once("<clipPath id=\"").and_then(|(_, rest)| rest.split_once('"')) {
        Some((clip, _)) if !clip.is_empty() => body
            .replace(&format!("id=\"{clip}\""), &format!("id=\"{}-clip\"", picture.identifier))
            .replace(&format!("\"url(#{clip})\""), &format!("\"url(#{}-clip)\"", picture.identifier)),
        _ => body.to_string(),
    };
    let mut svg = opening(size, &chart.title, &chart.caption, picture.identifier);
    svg.push_str(&body);
    svg
}

/// Text that kuva shows as it is: it takes `$…$` for a formula unless the signs are escaped.
pub(super) fn literal(text: &str) -> String {
    clean(text).replace('$', "\\$")
}

/// Labels of ticks: as many decimals as steps in this range need, no zeros at the end.
fn ticks(range: (f64, f64)) -> TickFormat {
    let step = ((range.1 - range.0).abs() / 5.0).max(1e-9);
    let decimals = (1.0 - step.log10().floor()).clamp(0.0, 9.0) as usize;
    TickFormat::Custom(Arc::new(move |value| {
        let text = format!("{value:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        if text == "-0" { "0".to_string() } else { text.to_string() }
    }))
}

/// Margins for the labels of logarithmic axes: kuva leaves room for labels of its own, which may be shorter.
fn make_room(layout: &mut Layout) {
    let before = ComputedLayout::from_layout(layout);
    if layout.log_y {
        let ticks = generate_ticks_log(layout.y_range.0, layout.y_range.1);
        layout.y_categories = Some(ticks.into_iter().map(|tick| layout.y_tick_format.format(tick)).collect());
        let wanted = ComputedLayout::from_layout(layout).margin_left.max(before.margin_left);
        layout.y_categories = None;
        layout.force_margin_left = Some(wanted);
        layout.y_label_offset.0 -= wanted - before.margin_left;
    }
    if layout.log_x && layout.force_margin_right.is_none() {
        layout.log_x = false;
        layout.force_margin_right = Some(ComputedLayout::from_layout(layout).margin_right);
        layout.log_x = true;
    }
}

/// The range with a margin on both sides, never of no width.
pub(super) fn padded(range: (f64, f64), share: f64) -> (f64, f64) {
    let (low, high) = range;
    let span = high - low;
    if span > 0.0 {
        return (low - span * share, high + span * share);
    }
    let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    (low - around, high + around)
}

/// As [`padded`], but a range of values that are not negative does not go below zero.
pub(super) fn padded_from_zero(range: (f64, f64), share: f64) -> (f64, f64) {
    let (low, high) = padded(range, share);
    if range.0 >= 0.0 { (low.max(0.0), high) } else { (low, high) }
}

/// Small text in the scene.
pub(super) fn small_text(x: f64, y: f64, text: &str, anchor: TextAnchor, color: Option<&str>) -> Primitive {
    Primitive::Text {
        x,
        y,
        content: literal(text),
        size: SMALL,
        anchor,
        rotate: None,
        bold: false,
        color: color.map(Into::into),
    }
}

/// What follows up to [`Primitive::GroupEnd`] says `title` when pointed at.
pub(super) fn tooltip(title: &str) -> Primitive {
    Primitive::GroupStart { transform: None, title: Some(clean(title)), extra_attrs: None }
}
