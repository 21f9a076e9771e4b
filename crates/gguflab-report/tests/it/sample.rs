//! One document with every kind of block and one chart of every kind.

use gguflab_report::chart::{
    Axis, CellMark, ChartKind, Mark, ParallelAxis, ParallelLine, Point, Reference, Row, Series, Shape, Values,
};
use gguflab_report::{Cell, Chart, Column, Document, Table, Tone};
use gguflab_types::Unit;

pub(crate) fn document() -> Document {
    let mut document = Document::new("A bench of tiny.gguf");
    document
        .paragraph("Two configurations were compared; this paragraph is long enough to need a second line in any terminal.")
        .information("All numbers are per machine.")
        .warning("The machine was busy.")
        .heading(1, "Subject")
        .facts([
            ("file", Cell::code("tiny.gguf")),
            ("size", Cell::number(98_304_512.0, Unit::Bytes)),
            ("parameters", Cell::count(134_515_008)),
            ("decode", Cell::estimate(116.1, Some((114.8, 117.5)), Unit::TokensPerSecond)),
            ("tied embeddings", Cell::flag(true)),
            ("GPU memory", Cell::missing("no GPU")),
        ])
        .heading(2, "Results")
        .table(table());
    for chart in charts() {
        document.chart(chart);
    }
    document.code("sh", "llama-server --model tiny.gguf \\\n  --threads 2", "The winner");
    document
}

pub(crate) fn table() -> Table {
    let mut table = Table::new(
        "Fastest first",
        [
            Column::new("configuration"),
            Column::with_unit("decode", Unit::TokensPerSecond).help("tokens generated per second"),
            Column::with_unit("change", Unit::Fraction),
            Column::with_unit("first token", Unit::Seconds),
            Column::with_unit("memory", Unit::Bytes),
            Column::new("trials"),
            Column::new("verdict"),
        ],
    );
    table.push([
        Cell::text("threads=2, \"batch\"=512"),
        Cell::estimate(116.1234, Some((114.8, 117.5)), Unit::TokensPerSecond),
        Cell::change(0.147, Some((0.131, 0.162)), Unit::Fraction),
        Cell::estimate(0.0078, None, Unit::Seconds),
        Cell::number(221_596_623.0, Unit::Bytes),
        Cell::count(12_345),
        Cell::status("better", Tone::Good),
    ]);
    table.push([
        Cell::text("baseline | default"),
        Cell::estimate(101.2, Some((99.8, 102.6)), Unit::TokensPerSecond),
        Cell::change(0.0, Some((-0.014, 0.014)), Unit::Fraction),
        Cell::estimate(0.012, Some((0.0115, 0.0127)), Unit::Seconds),
        Cell::missing("not read"),
        Cell::count(8),
        Cell::status("indistinguishable", Tone::Neutral),
    ]);
    table
}

pub(crate) fn charts() -> Vec<Chart> {
    let decode = || Axis::new("decode", Unit::TokensPerSecond);
    let rows = vec![
        Row::new("threads=2 batch=512 ubatch=128", 116.1, Some((114.8, 117.5))).group("flash attention"),
        Row::new("baseline", 101.2, Some((99.8, 102.6))),
    ];
    let reference = Some(Reference { label: "baseline".to_string(), value: 101.2 });
    let memory = vec![Row::new("weights", 9.2e7, None), Row::new("KV cache", 4.7e7, None)];
    let trials = [70.0, 90.0, 85.0, 110.0].into_iter().enumerate();
    let series = Series::new("trial", Shape::Points, trials.map(|(trial, value)| (trial as f64, value)));
    let best = Series::new("best so far", Shape::Steps, [(0.0, 70.0), (1.0, 90.0), (3.0, 110.0)]);
    let marks = vec![Mark { x: 4.0, kind: "out of memory".to_string(), label: "at 3.9 GiB".to_string() }];
    let latencies = (0..400).map(|index| 0.009 + 1e-5 * f64::from((index * 37) % 101)).collect();
    let points = [(0.0, 118.0), (2048.0, 90.0), (8192.0, 51.0)];
    let curve = points.map(|(x, y)| Point::new(x, y).y_interval(y - 2.0, y + 2.0)).to_vec();
    let places =
        vec![Point::new(116.0, 9e7).x_interval(114.0, 118.0).label("Q4_K_M"), Point::new(80.0, 1.6e8)];
    let across = || Axis::new("trial", Unit::Count);
    let depth = Axis::new("depth", Unit::Tokens);
    let kinds = [
        ("Decode", ChartKind::Intervals { axis: decode(), rows, reference }),
        ("Memory", ChartKind::Bars { axis: Axis::new("memory", Unit::Bytes), rows: memory }),
        (
            "Trials",
            ChartKind::History { across: across(), axis: decode(), series: vec![series, best], marks },
        ),
        (
            "Latency",
            ChartKind::Histogram {
                axis: Axis::new("inter-token", Unit::Seconds),
                series: vec![Values { name: "winner".to_string(), values: latencies }],
            },
        ),
        (
            "Depth",
            ChartKind::Lines {
                across: depth,
                axis: decode(),
                series: vec![Series { name: "f16".to_string(), shape: Shape::Line, points: curve }],
            },
        ),
        (
            "Speed against memory",
            ChartKind::Scatter {
                across: decode(),
                axis: Axis::new("peak memory", Unit::Bytes),
                series: vec![Series { name: "models".to_string(), shape: Shape::Points, points: places }],
            },
        ),
        ("All knobs at once", parallel()),
        ("Prefill", heatmap()),
    ];
    kinds.map(|(title, kind)| Chart::new(title, format!("About {title}."), kind)).to_vec()
}

fn heatmap() -> ChartKind {
    let sizes = || vec!["64".to_string(), "512".to_string()];
    ChartKind::Heatmap {
        axis: Axis::new("prefill", Unit::TokensPerSecond),
        row_name: "batch".to_string(),
        rows: sizes(),
        column_name: "ubatch".to_string(),
        columns: sizes(),
        values: vec![vec![Some(435.0), None], vec![Some(487.0), Some(684.0)]],
        marks: vec![CellMark { row: 1, column: 0, label: "baseline".to_string() }],
    }
}

fn parallel() -> ChartKind {
    let axis = |label: &str, ticks: &[&str]| ParallelAxis {
        label: label.to_string(),
        ticks: ticks.iter().map(ToString::to_string).collect(),
    };
    let line = |label: &str, places: &[usize], value: f64, mark: &str| ParallelLine {
        label: label.to_string(),
        places: places.to_vec(),
        value,
        mark: mark.to_string(),
    };
    ChartKind::Parallel {
        axis: Axis::new("decode", Unit::TokensPerSecond),
        axes: vec![axis("threads", &["1", "2", "4"]), axis("flash-attention", &["off", "auto"])],
        lines: vec![
            line("threads=2", &[1, 1], 116.0, "best measured"),
            line("default", &[2, 1], 101.0, "baseline"),
            line("threads=1 flash-attention=off", &[0, 0], 60.0, ""),
        ],
    }
}
