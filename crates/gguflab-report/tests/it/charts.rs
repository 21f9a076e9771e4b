//! Pictures: well-formed, named, and drawn from any numbers.

use crate::sample;
use gguflab_report::chart::{
    Axis, CellMark, ChartKind, Mark, ParallelAxis, ParallelLine, Point, Reference, Row, Series, Shape, Values,
};
use gguflab_report::render::svg::{self, Picture};
use gguflab_report::render::{html, terminal};
use gguflab_report::{Chart, Document, Style, text};
use gguflab_types::Unit;

pub(crate) const SVG: &str = "http://www.w3.org/2000/svg";

/// Checks what holds for every picture, and gives its texts.
pub(crate) fn check(svg: &str, chart: &Chart) -> Vec<String> {
    let parsed = roxmltree::Document::parse(svg).expect("a picture is well-formed XML");
    let root = parsed.root_element();
    assert!(root.has_tag_name((SVG, "svg")) && root.attribute("role") == Some("img"));
    let title =
        root.children().find(|node| node.has_tag_name((SVG, "title"))).expect("a picture has a title");
    assert_eq!(title.text().unwrap_or(""), text::clean(&chart.title));
    let label = root.attribute("aria-labelledby").expect("a picture has a name");
    assert!(label.split(' ').all(|name| parsed.descendants().any(|node| node.attribute("id") == Some(name))));
    for node in parsed.descendants() {
        for attribute in node.attributes() {
            assert!(
                !attribute.value().contains("NaN") && !attribute.value().contains("inf"),
                "{attribute:?}"
            );
        }
    }
    let texts = parsed.descendants().filter(|node| node.has_tag_name((SVG, "text")));
    texts.map(|node| node.text().unwrap_or("").to_string()).collect()
}

pub(crate) fn number(node: roxmltree::Node, name: &str) -> f64 {
    node.attribute(name).and_then(|value| value.parse().ok()).expect("a place is a number")
}

#[test]
fn every_kind_is_a_well_formed_picture_that_says_its_unit() {
    let expected = [
        "decode [tok/s]",
        "memory [MiB]",
        "decode [tok/s]",
        "inter-token [ms]",
        "depth [tok]",
        "peak memory [MiB]",
        "decode [tok/s]: dark 60.0, light 116",
        "ubatch (prefill [tok/s]: dark 435, light 684)",
    ];
    for (chart, axis) in sample::charts().iter().zip(expected) {
        let texts = check(&svg::picture(chart, &Picture::default()), chart);
        assert!(texts.iter().any(|text| text == axis), "{}: {texts:?}", chart.title);
        assert!(texts.contains(&chart.title), "the title is drawn");
        let untitled = Picture { title: false, width: 344.0, identifier: "small" };
        let texts = check(&svg::picture(chart, &untitled), chart);
        assert!(!texts.contains(&chart.title), "the title stands beside the picture");
    }
}

#[test]
fn texts_stay_inside_the_picture() {
    for chart in sample::charts().iter().chain([&long_labels()]) {
        for width in [344.0, 860.0] {
            let svg = svg::picture(chart, &Picture { width, title: true, identifier: "x" });
            let parsed = roxmltree::Document::parse(&svg).unwrap();
            let height = number(parsed.root_element(), "height");
            let texts = parsed.descendants().filter(|node| node.has_tag_name((SVG, "text")));
            for node in texts.filter(|node| node.attribute("transform").is_none()) {
                let (x, y) = (number(node, "x"), number(node, "y"));
                // Half of the size is less than any letter's mean width: what fails here is plainly cut off.
                let long = 0.5 * number(node, "font-size") * node.text().unwrap_or("").chars().count() as f64;
                let (from, to) = match node.attribute("text-anchor") {
                    Some("end") => (x - long, x),
                    Some("middle") => (x - long / 2.0, x + long / 2.0),
                    _ => (x, x + long),
                };
                let inside = from >= 0.0 && to <= width && y >= 8.0 && y <= height - 2.0;
                assert!(inside, "{}: {:?} at {x},{y} of {width}×{height}", chart.title, node.text());
            }
        }
    }
}

fn long_labels() -> Chart {
    let rows = (0..15).map(|index| {
        let label = format!(
            "threads={index} batch=2048 ubatch=512 flash-attention=on cache-type-k=q8_0 {}",
            "x".repeat(60)
        );
        Row::new(label, 100.0 + f64::from(index), Some((99.0, 120.0)))
            .group(format!("group {}", "y".repeat(90)))
    });
    Chart::new(
        "A title of many words ".repeat(9),
        "",
        ChartKind::Intervals {
            axis: Axis::new("a quantity with a long name that explains itself ".repeat(3), Unit::Seconds),
            rows: rows.collect(),
            reference: None,
        },
    )
}

#[test]
fn rows_keep_their_order_and_say_their_full_label() {
    let chart = long_labels();
    let svg = svg::picture(&chart, &Picture::default());
    let parsed = roxmltree::Document::parse(&svg).unwrap();
    let titles: Vec<&str> = parsed
        .descendants()
        .filter(|node| node.has_tag_name((SVG, "title")))
        .filter_map(|node| node.text())
        .collect();
    let ChartKind::Intervals { rows, .. } = &chart.kind else { panic!("the chart has rows") };
    for row in rows {
        assert!(titles.contains(&row.label.as_str()));
    }
    let tops: Vec<f64> = rows.iter().map(|row| top(&parsed, &row.label)).collect();
    assert!(tops.is_sorted(), "{tops:?}");
}

/// Where the first line of the label stands that has this tooltip.
fn top(parsed: &roxmltree::Document, label: &str) -> f64 {
    let said =
        |group: &roxmltree::Node| group.first_element_child().and_then(|title| title.text()) == Some(label);
    let groups = parsed.descendants().filter(|node| node.has_tag_name((SVG, "g")));
    let texts = |group: roxmltree::Node<'_, '_>| {
        group.children().find(|node| node.has_tag_name((SVG, "text"))).map(|text| number(text, "y"))
    };
    groups.filter(said).find_map(texts).expect("every row has a label")
}

#[test]
fn any_numbers_can_be_drawn() {
    let odd = [
        vec![],
        vec![0.0],
        vec![-1.0, -2.0],
        vec![5.0, 5.0, 5.0],
        vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        vec![1.0, f64::NAN, 3.0],
        vec![1e300, -1e300],
        vec![f64::MIN_POSITIVE, f64::MIN_POSITIVE * 2.0],
        vec![1e-12, 1.0, 1e12],
        vec![1_000_000.0, 1_000_000.000_001],
        vec![0.0, -3.0, 0.25],
        vec![5e-324, 9e99],
        vec![1e-9, 3e-9, 0.0, 7.0, f64::NAN],
    ];
    for values in odd {
        for kind in kinds(&values).into_iter().flat_map(|kind| [logarithmic(kind.clone()), kind]) {
            let chart = Chart::new("odd", "", kind);
            check(&svg::picture(&chart, &Picture::default()), &chart);
            let mut document = Document::new("odd");
            document.chart(chart);
            let shown = terminal::render(&document, &Style { width: 80, color: false });
            assert!(shown.lines().all(|line| text::width(line) <= 80), "{values:?}: {shown}");
            assert!(html::render(&document).contains("</html>"));
        }
    }
}

/// The same chart on logarithmic axes.
pub(crate) fn logarithmic(mut kind: ChartKind) -> ChartKind {
    match &mut kind {
        ChartKind::History { across, axis, .. }
        | ChartKind::Lines { across, axis, .. }
        | ChartKind::Scatter { across, axis, .. } => {
            (across.logarithmic, axis.logarithmic) = (true, true);
        }
        ChartKind::Intervals { axis, .. }
        | ChartKind::Bars { axis, .. }
        | ChartKind::Histogram { axis, .. }
        | ChartKind::Heatmap { axis, .. }
        | ChartKind::Parallel { axis, .. } => axis.logarithmic = true,
    }
    kind
}

fn kinds(values: &[f64]) -> Vec<ChartKind> {
    let axis = |unit| Axis::new("quantity", unit);
    let rows: Vec<Row> =
        values.iter().map(|value| Row::new("row", *value, Some((value - 1.0, value * 2.0)))).collect();
    let points: Vec<Point> = values
        .iter()
        .map(|value| {
            Point::new(*value, -value).y_interval(*value, value + 1.0).x_interval(value / 2.0, *value)
        })
        .collect();
    let series = [Shape::Points, Shape::Line, Shape::Steps]
        .map(|shape| Series { name: "series".to_string(), shape, points: points.clone() })
        .to_vec();
    let marks: Vec<Mark> =
        values.iter().map(|x| Mark { x: *x, kind: "crashed".to_string(), label: String::new() }).collect();
    let labels = vec!["a".to_string(), "b".to_string()];
    let cells = vec![values.iter().copied().map(Some).collect(), Vec::new()];
    let reference = values.first().map(|value| Reference { label: "baseline".to_string(), value: *value });
    vec![
        ChartKind::Intervals { axis: axis(Unit::Seconds), rows: rows.clone(), reference },
        ChartKind::Bars { axis: axis(Unit::Bytes), rows },
        ChartKind::History {
            across: axis(Unit::Count),
            axis: axis(Unit::Hertz),
            series: series.clone(),
            marks,
        },
        ChartKind::Lines { across: axis(Unit::Tokens), axis: axis(Unit::Fraction), series: series.clone() },
        ChartKind::Scatter { across: axis(Unit::Seconds), axis: axis(Unit::None), series },
        ChartKind::Histogram {
            axis: axis(Unit::Seconds),
            series: vec![Values { name: "values".to_string(), values: values.to_vec() }],
        },
        ChartKind::Heatmap {
            axis: axis(Unit::Seconds),
            row_name: "row".to_string(),
            rows: labels.clone(),
            column_name: "column".to_string(),
            columns: labels,
            values: cells,
            marks: vec![
                CellMark { row: 0, column: 1, label: "baseline".to_string() },
                CellMark { row: 7, column: 9, label: "nowhere".to_string() },
            ],
        },
        parallel(values),
    ]
}

fn parallel(values: &[f64]) -> ChartKind {
    let line = |value: &f64| ParallelLine {
        label: "line".to_string(),
        places: vec![1, 5],
        value: *value,
        mark: "baseline".to_string(),
    };
    let axis = |label: &str| ParallelAxis {
        label: label.to_string(),
        ticks: vec!["a".to_string(), "b".to_string()],
    };
    ChartKind::Parallel {
        axis: Axis::new("quantity", Unit::Seconds),
        axes: ["one", "two", "three"].map(axis).to_vec(),
        lines: values.iter().map(line).collect(),
    }
}

#[test]
fn a_histogram_says_what_it_leaves_out() {
    let mut values: Vec<f64> = (0..1000).map(|index| 0.010 + 1e-6 * f64::from(index)).collect();
    values.extend([0.5, 0.6]);
    let series = vec![Values { name: "winner".to_string(), values }];
    let kind = ChartKind::Histogram { axis: Axis::new("inter-token", Unit::Seconds), series };
    let chart = Chart::new("latency", "", kind);
    let texts = check(&svg::picture(&chart, &Picture::default()), &chart);
    let said = texts.iter().find(|text| text.starts_with("inter-token")).unwrap();
    assert!(said.contains("of 1002 values above 11.0 not shown"), "{said}");
}

#[test]
fn pictures_have_safe_distinct_file_names() {
    let mut document = Document::new("");
    for title in ["Decode: ../../etc/passwd", "größe <b>", ""] {
        document.chart(Chart::new(title, "", sample::charts().remove(0).kind));
    }
    let names: Vec<String> = svg::pictures(&document).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["01-decode-etc-passwd.svg", "02-gr-e-b.svg", "03-chart.svg"]);
}

#[test]
fn a_chart_reads_as_a_table() {
    let rows: Vec<usize> = sample::charts().iter().map(|chart| chart.table().rows.len()).collect();
    assert_eq!(rows, [2, 2, 8, 1, 3, 2, 3, 2]);
}

#[test]
fn what_is_marked_is_marked_once() {
    for chart in sample::charts() {
        let marked = matches!(chart.kind, ChartKind::Heatmap { .. } | ChartKind::Parallel { .. });
        for width in [344.0, 860.0] {
            let texts =
                check(&svg::picture(&chart, &Picture { width, title: true, identifier: "x" }), &chart);
            let count = texts.iter().filter(|text| *text == "baseline").count();
            assert!(count == 1 || !marked, "{}: {texts:?}", chart.title);
        }
    }
}

#[cfg(feature = "png")]
#[test]
fn pictures_as_png_have_letters_in_them() {
    let mut document = Document::new("");
    for chart in sample::charts() {
        document.chart(chart);
    }
    document.chart(Chart::new(
        "nothing",
        "",
        ChartKind::Bars { axis: Axis::new("x", Unit::None), rows: vec![] },
    ));
    let files = svg::png_pictures(&document).unwrap();
    assert_eq!(files.len(), sample::charts().len(), "what has nothing to draw has no picture");
    let untitled = |chart: &mut Chart| chart.title = String::new();
    let mut bare = document.clone();
    for block in &mut bare.blocks {
        if let gguflab_report::Block::Chart(chart) = block {
            untitled(chart);
        }
    }
    for ((name, titled), (_, bare)) in files.iter().zip(svg::png_pictures(&bare).unwrap()) {
        assert!(titled.starts_with(b"\x89PNG") && name.ends_with(".png"), "{name}");
        assert!(titled.len() > bare.len() + 500, "{name}: the title is drawn in letters");
    }
}
