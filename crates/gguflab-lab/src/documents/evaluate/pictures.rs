//! The pictures: divergence by percentile, window by window, against size, by text, against depth.

use super::{Found, Side, mean, percentiles, window_means};
use crate::documents::{point, row};
use crate::evaluate::slices;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::{Chart, Document};
use gguflab_stats::{Depth, by_depth as by_depth_of};
use gguflab_types::Unit;

/// Percentiles that are drawn.
const DRAWN: [f64; 12] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
/// Parts of a window that are told apart when scores are drawn against depth.
const DEPTHS: u32 = 16;
/// Shortest window for which depth is worth a picture.
const DEEP: u32 = 1024;

pub(super) fn add(found: &Found<'_>, document: &mut Document) {
    let known = found.candidates.iter().any(|side| side.values.has_divergence());
    if found.reference.is_some() && !known {
        // There are only bounds, of which a picture would be taken for one of divergences.
        return;
    }
    if found.reference.is_some() {
        document.chart(by_percentile(found));
        let title = "Divergence window by window";
        document.chart(by_chunk(found, title, divergence(), |side| &side.values.divergence));
        if found.candidates.len() > 1 {
            document.chart(by_size(found));
            document.chart(by_composite(found));
        }
        if found.evaluated.head.texts.len() > 1 {
            document.chart(by_text(found));
        }
    } else {
        let axis = Axis::new("−ln p", Unit::Nats);
        document.chart(by_chunk(found, "−ln p window by window", axis, |side| &side.values.nll));
    }
    if found.evaluated.head.windowing.context >= DEEP {
        let title = "Against depth in the window";
        match found.reference {
            Some(_) => {
                document.chart(by_depth(found, title, "KL divergence", |side| &side.values.divergence))
            }
            None => document.chart(by_depth(found, title, "−ln p", |side| &side.values.nll)),
        };
    }
}

/// Quantised models lie decades apart: on a linear axis the good ones would all be one flat line.
fn divergence() -> Axis {
    Axis::new("KL divergence", Unit::Nats).logarithmic()
}

fn series(found: &Found<'_>, points: impl Fn(&Side) -> Vec<Point>) -> Vec<Series> {
    let one = |side: &Side| Series { name: side.label(), shape: Shape::Line, points: points(side) };
    found.candidates.iter().map(one).filter(|series| !series.points.is_empty()).collect()
}

fn by_percentile(found: &Found<'_>) -> Chart {
    let points = |side: &Side| {
        let estimates = percentiles(&side.values, &DRAWN).map(|found| found.estimates()).unwrap_or_default();
        DRAWN.iter().zip(&estimates).map(|(probability, estimate)| point(*probability, estimate)).collect()
    };
    let across = Axis::new("share of tokens", Unit::Fraction);
    let kind = ChartKind::Lines { across, axis: divergence(), series: series(found, points) };
    Chart::new("Divergence by percentile", "that share of the tokens is no further off", kind)
}

fn by_chunk(found: &Found<'_>, title: &str, axis: Axis, of: impl Fn(&Side) -> &Vec<Vec<f64>>) -> Chart {
    let points = |side: &Side| {
        let means = window_means(&side.values.chunks, of(side));
        means.into_iter().map(|(chunk, mean)| Point::new(f64::from(chunk), mean)).collect()
    };
    let kind =
        ChartKind::Lines { across: Axis::new("window", Unit::Count), axis, series: series(found, points) };
    Chart::new(title, "a window far off the others has unusual text", kind)
}

fn by_size(found: &Found<'_>) -> Chart {
    let candidate = |side: &Side| {
        let estimate = found.estimate(mean(&side.values.divergence)?);
        let points = vec![point(side.bytes as f64, &estimate)];
        Some(Series { name: side.label(), shape: Shape::Points, points })
    };
    let kind = ChartKind::Scatter {
        across: Axis::new("size", Unit::Bytes),
        axis: divergence(),
        series: found.candidates.iter().filter_map(candidate).collect(),
    };
    Chart::new("Divergence against size", "down and to the left is better", kind)
}

/// Against the chunks of their importance matrices where the files tell them apart by it, else in the order in which the
/// candidates were given: with more and more of something it shows where more changes nothing.
fn by_composite(found: &Found<'_>) -> Chart {
    let axis = Axis::new("composite", Unit::Nats).logarithmic();
    let composite = |side: &Side| side.percentiles.as_ref()?.composite();
    if !tells_chunks(&found.candidates) {
        let row = |side: &Side| Some(row(side.label(), &composite(side)?));
        let rows = found.candidates.iter().filter_map(row).collect();
        let kind = ChartKind::Intervals { axis, rows, reference: None };
        return Chart::new("Composite metric", "in the order in which they were named; less is nearer", kind);
    }
    let dot = |side: &Side| {
        let points = vec![point(side.importance_chunks.unwrap_or(0) as f64, &composite(side)?)];
        Some(Series { name: side.label(), shape: Shape::Points, points })
    };
    let kind = ChartKind::Scatter {
        across: Axis::new("chunks in the importance matrix", Unit::Count),
        axis,
        series: found.candidates.iter().filter_map(dot).collect(),
    };
    Chart::new("Composite metric against calibration", "0: made without an importance matrix", kind)
}

fn tells_chunks(candidates: &[Side]) -> bool {
    candidates.windows(2).any(|pair| pair[0].importance_chunks != pair[1].importance_chunks)
}

/// Text by text (languages, for example), candidate by candidate: before and after, say, an importance matrix.
fn by_text(found: &Found<'_>) -> Chart {
    let windows = found.evaluated.windows_of_texts();
    let texts = found.evaluated.head.texts.iter().zip(&windows);
    let rows = texts.flat_map(|(text, range)| {
        found.candidates.iter().filter_map(move |side| {
            let estimate = found.estimate(mean(&side.values.within(range).divergence)?);
            Some(row(&text.label, &estimate).group(side.label()))
        })
    });
    let kind = ChartKind::Intervals { axis: divergence(), rows: rows.collect(), reference: None };
    Chart::new("Divergence by text", "means with 95 % intervals", kind)
}

/// The mean over the positions of each part of the windows.
fn by_depth(found: &Found<'_>, title: &str, what: &str, of: impl Fn(&Side) -> &Vec<Vec<f64>>) -> Chart {
    let windowing = &found.evaluated.head.windowing;
    let first = windowing.first_scored();
    let width = (windowing.context - first).div_ceil(DEPTHS);
    let edges: Vec<u32> = (0..=DEPTHS).map(|part| first + part * width).collect();
    let points = |side: &Side| {
        let depths = by_depth_of(&slices(of(side)), first, &edges, None);
        let middle = |depth: &Depth| f64::from(depth.from + width / 2);
        depths.iter().map(|depth| point(middle(depth), &found.estimate(depth.mean))).collect()
    };
    let kind = ChartKind::Lines {
        across: Axis::new("position", Unit::Tokens),
        axis: Axis::new(what, Unit::Nats),
        series: series(found, points),
    };
    Chart::new(title, "means with 95 % intervals", kind)
}
