//! Logarithmic axes: decades take equal room, and what has no place on them is named.

use crate::charts::{SVG, check, logarithmic, number};
use crate::sample;
use gguflab_report::chart::{Axis, ChartKind, Mark, Point, Reference, Row, Series, Shape};
use gguflab_report::render::svg::{self, Picture};
use gguflab_report::render::{html, json, terminal};
use gguflab_report::{Chart, Document, Style};
use gguflab_types::Unit;

fn nats() -> Axis {
    Axis::new("KL divergence", Unit::Nats).logarithmic()
}

fn lines(values: &[f64]) -> Chart {
    let points = values.iter().enumerate().map(|(index, value)| (index as f64, *value));
    let series = vec![Series::new("Q4_K_M", Shape::Line, points)];
    let kind = ChartKind::Lines { across: Axis::new("window", Unit::Count), axis: nats(), series };
    Chart::new("Divergence", "lower is better", kind)
}

/// The same values across and up.
fn diagonal(values: &[f64]) -> Chart {
    let series = vec![Series::new("Q4_K_M", Shape::Points, values.iter().map(|value| (*value, *value)))];
    Chart::new("Divergence", "", ChartKind::Scatter { across: nats(), axis: nats(), series })
}

fn text(chart: &Chart) -> String {
    let mut document = Document::new("");
    document.chart(chart.clone());
    terminal::render(&document, &Style { width: 80, color: false })
}

/// Where the round markers of a picture are.
fn circles(svg: &str) -> Vec<(f64, f64)> {
    let parsed = roxmltree::Document::parse(svg).expect("a picture is well-formed XML");
    let circles = parsed.descendants().filter(|node| node.has_tag_name((SVG, "circle")));
    let markers = circles.filter(|node| number(*node, "r") < 5.0);
    markers.map(|node| (number(node, "cx"), number(node, "cy"))).collect()
}

/// Text, place across and place up of the labels of the upright axis (`end`) or the other one (`middle`).
fn labels(svg: &str, anchor: &str) -> Vec<(String, f64, f64)> {
    let parsed = roxmltree::Document::parse(svg).expect("a picture is well-formed XML");
    let texts = parsed.descendants().filter(|node| node.has_tag_name((SVG, "text")));
    let labels = texts.filter(|node| {
        let numeric = node.text().is_some_and(|text| text.parse::<f64>().is_ok());
        node.attribute("text-anchor") == Some(anchor) && numeric
    });
    labels.map(|node| (node.text().unwrap_or("").to_string(), number(node, "x"), number(node, "y"))).collect()
}

#[test]
fn decades_take_equal_room() {
    for values in [[0.004, 0.04, 0.4], [1e-12, 1e-6, 1.0], [3e-200, 3e-60, 3e80]] {
        let places = circles(&svg::picture(&diagonal(&values), &Picture::default()));
        let [first, second, third] = places[..] else { panic!("{values:?}: {places:?}") };
        assert!((second.0 - first.0 - (third.0 - second.0)).abs() < 0.1, "{values:?}: {places:?}");
        assert!((second.1 - first.1 - (third.1 - second.1)).abs() < 0.1, "{values:?}: {places:?}");
        assert!(third.0 > first.0 + 300.0 && third.1 < first.1 - 200.0, "{values:?}: {places:?}");
        let shown = text(&diagonal(&values));
        let rows: Vec<usize> =
            shown.lines().enumerate().filter(|(_, line)| line.contains('●')).map(|(row, _)| row).collect();
        assert_eq!(rows[2] - rows[0], 13, "{shown}");
        assert!((6..=7).contains(&(rows[1] - rows[0])), "{shown}");
    }
}

#[test]
fn ticks_are_round_numbers_that_label_what_stands_there() {
    for (values, expected) in [
        (vec![0.02, 0.3], vec!["0.02", "0.05", "0.1", "0.2"]),
        (vec![0.004, 0.48], vec!["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
        (vec![0.00095, 1.1], vec!["0.001", "0.01", "0.1", "1"]),
        (vec![0.06], vec!["0.05", "0.1"]),
        (vec![0.3, 0.3, 0.3], vec!["0.2", "0.5"]),
        (vec![7e-21, 8e-21], vec!["5e-21", "1e-20"]),
        (
            vec![2e-20, 1.0],
            vec![
                "1e-20", "1e-18", "1e-16", "1e-14", "1e-12", "1e-10", "1e-8", "0.000001", "0.0001", "0.01",
                "1",
            ],
        ),
    ] {
        let svg = svg::picture(&diagonal(&values), &Picture::default());
        for anchor in ["end", "middle"] {
            let shown: Vec<String> = labels(&svg, anchor).into_iter().map(|(text, ..)| text).collect();
            assert_eq!(shown, expected, "{values:?} {anchor}");
        }
    }
    // A marker stands as high as the label of its value.
    let svg = svg::picture(&diagonal(&[0.01, 0.05, 0.2]), &Picture::default());
    for (label, (_, y)) in ["0.01", "0.05", "0.2"].into_iter().zip(circles(&svg)) {
        let (.., base) = labels(&svg, "end").into_iter().find(|(text, ..)| text == label).unwrap();
        assert!((base - y - 4.3).abs() < 1.5, "{label}: {base} {y}");
    }
}

#[test]
fn labels_do_not_overlap() {
    for values in
        [vec![0.004, 0.48], vec![1e-5, 2.0], vec![1e-13, 10.0], vec![5e-324, 1e99], vec![1.0, 999.0]]
    {
        for width in [280.0, 344.0, 860.0] {
            let picture = Picture { width, title: true, identifier: "x" };
            let svg = svg::picture(&diagonal(&values), &picture);
            let up = labels(&svg, "end");
            assert!(up.len() > 1 && up.windows(2).all(|pair| pair[0].2 - pair[1].2 > 13.0), "{up:?}");
            let across = labels(&svg, "middle");
            // DejaVu Sans has digits of 0.64 of its size; labels have 12 pixels.
            let half = |text: &str| text.len() as f64 * 7.7 / 2.0;
            let apart = |pair: &[(String, f64, f64)]| {
                pair[1].1 - pair[0].1 > half(&pair[0].0) + half(&pair[1].0) - 2.0
            };
            assert!(across.windows(2).all(apart), "{values:?} {width}: {across:?}");
            for (label, right, _) in &up {
                assert!(right - 2.0 * half(label) > 18.0, "{label} leaves room for the axis title");
            }
            let last = across.last().unwrap();
            assert!(last.1 + half(&last.0) < width + 1.0, "{values:?} {width}: {across:?}");
        }
    }
}

#[test]
fn what_has_no_place_is_named_everywhere() {
    let chart = lines(&[0.1, 0.0, 0.01, -0.5, 0.2]);
    let remark = "Not on the logarithmic axis, because not above zero: 2 of 5 values.";
    assert!(check(&svg::picture(&chart, &Picture::default()), &chart).contains(&remark.to_string()));
    let narrow = Picture { width: 344.0, title: true, identifier: "x" };
    assert!(check(&svg::picture(&chart, &narrow), &chart).join(" ").contains(remark));
    assert!(text(&chart).replace('\n', " ").contains(&format!("lower is better. {remark}")));
    let mut document = Document::new("");
    document.chart(chart.clone());
    assert!(html::render(&document).contains(remark));
    assert_eq!(chart.table().rows.len(), 5, "the numbers stay complete");
    assert_eq!(chart.drawn().0, chart.drawn().0.drawn().0);
}

#[test]
fn intervals_that_reach_zero_leave_the_picture_at_its_lower_edge() {
    let point = |low| Point::new(1.0, 0.1).y_interval(low, 0.2).x_interval(low, 2.0);
    let rows = |low| vec![Row::new("Q8_0", 0.1, Some((low, 0.2))), Row::new("Q2_K", 1.0, Some((0.03, 1.1)))];
    let kinds = |low| {
        let series = |shape| vec![Series { name: String::new(), shape, points: vec![point(low)] }];
        [
            (
                ChartKind::Lines { across: nats(), axis: nats(), series: series(Shape::Line) },
                "the lower end of 1 interval.",
            ),
            (
                ChartKind::Scatter { across: nats(), axis: nats(), series: series(Shape::Points) },
                "the lower ends of 2 intervals.",
            ),
            (
                ChartKind::Intervals { axis: nats(), rows: rows(low), reference: None },
                "the lower end of 1 interval.",
            ),
        ]
    };
    for ((open, said), (closed, _)) in
        kinds(0.0).into_iter().chain(kinds(-3.0)).zip(kinds(0.09).into_iter().chain(kinds(0.08)))
    {
        let (open, closed) = (Chart::new("", "", open), Chart::new("", "", closed));
        let texts = check(&svg::picture(&open, &Picture::default()), &open);
        assert!(texts.iter().any(|text| text.ends_with(said)), "{texts:?}");
        let texts = check(&svg::picture(&closed, &Picture::default()), &closed);
        assert!(!texts.iter().any(|text| text.starts_with("Not on")), "{texts:?}");
    }
    let shown = text(&Chart::new("", "", kinds(-3.0)[2].0.clone()));
    let row = shown.lines().find(|line| line.starts_with("Q8_0")).unwrap();
    assert!(row.starts_with("Q8_0  ├"), "{shown}");
}

#[test]
fn rows_marks_and_references_without_a_place_are_counted() {
    let rows =
        [("a", 0.0), ("b", 0.1), ("c", 3.0)].map(|(label, value)| Row::new(label, value, None)).to_vec();
    let reference = Some(Reference { label: "baseline".to_string(), value: 0.0 });
    let series = vec![Series::new("trial", Shape::Points, [(0.0, 1.0), (1.0, 2.0), (2.0, 0.0)])];
    let marks = [0.0, 3.0].map(|x| Mark { x, kind: "crashed".to_string(), label: String::new() }).to_vec();
    for (kind, expected) in [
        (ChartKind::Intervals { axis: nats(), rows, reference }, "2 of 4 values."),
        (ChartKind::History { across: nats(), axis: nats(), series, marks }, "3 of 5 values."),
    ] {
        let chart = Chart::new("", "", kind);
        let texts = check(&svg::picture(&chart, &Picture::default()), &chart);
        assert!(texts.iter().any(|text| text.ends_with(expected)), "{texts:?}");
        assert!(text(&chart).contains(expected));
    }
}

#[test]
fn without_a_value_above_zero_the_axis_is_linear() {
    for values in [vec![], vec![0.0], vec![0.0, -1.0, -2.5]] {
        for chart in [lines(&values), diagonal(&values)] {
            let mut linear = chart.clone();
            if let ChartKind::Lines { across, axis, .. } | ChartKind::Scatter { across, axis, .. } =
                &mut linear.kind
            {
                (across.logarithmic, axis.logarithmic) = (false, false);
            }
            assert_eq!(chart.drawn(), (linear.finite(), None));
            let picture = svg::picture(&chart, &Picture::default());
            assert_eq!(picture, svg::picture(&linear, &Picture::default()));
            assert!(!picture.contains("logarithmic") && !text(&chart).contains("logarithmic"));
        }
    }
}

#[test]
fn an_axis_says_that_it_is_logarithmic_and_only_where_it_is() {
    for chart in sample::charts() {
        let spreads = matches!(
            chart.kind,
            ChartKind::Intervals { .. }
                | ChartKind::History { .. }
                | ChartKind::Lines { .. }
                | ChartKind::Scatter { .. }
        );
        let chart = Chart { kind: logarithmic(chart.kind), ..chart };
        let texts = check(&svg::picture(&chart, &Picture::default()), &chart);
        assert_eq!(texts.iter().any(|text| text.ends_with("logarithmic")), spreads, "{texts:?}");
        assert_eq!(text(&chart).contains(", logarithmic"), spreads, "{}", text(&chart));
    }
}

#[test]
fn documents_from_before_there_were_logarithmic_axes_still_read() {
    let mut document = Document::new("");
    document.chart(lines(&[0.1]));
    let written = json::render(&document);
    assert_eq!(json::read(&written).unwrap(), document);
    assert_eq!(written.matches("logarithmic").count(), 1, "a linear axis is written as ever: {written}");
    let old: String = written.lines().filter(|line| !line.contains("logarithmic")).collect();
    let old = old.replace("\"nats\",", "\"nats\"");
    let old = json::read(&old).unwrap();
    let ChartKind::Lines { axis, .. } = &old.charts().next().unwrap().kind else {
        panic!("the chart is one of lines")
    };
    assert_eq!(*axis, Axis::new("KL divergence", Unit::Nats));
}
