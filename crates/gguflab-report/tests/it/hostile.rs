//! Names come from files and from the network: none of them may break out of its place.

use crate::sample;
use gguflab_report::chart::{Axis, ChartKind, Row, Series, Shape};
use gguflab_report::render::{csv, html, json, markdown, svg, terminal};
use gguflab_report::{Block, Cell, Chart, Column, Document, Style, Table, text};
use gguflab_types::Unit;

const NAMES: [&str; 8] = [
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "</title></svg></code></pre></main>",
    "]]>&amp;&lt;",
    "$\\frac{1}{2}$ and $x$ cost $5",
    "\u{1b}]0;owned\u{7}\u{1b}[2J",
    "line\nbreak\r\n| --- | ```",
    "\u{202e}gpj.exe\u{0}\u{ffff}",
];

fn document(name: &str) -> Document {
    let mut document = Document::new(name);
    let mut table = Table::new(name, [Column::new(name).help(name), Column::with_unit(name, Unit::Seconds)]);
    table.push([Cell::text(name), Cell::number(1.0, Unit::Seconds)]);
    table.push([Cell::code(name), Cell::missing(name)]);
    document
        .heading(1, name)
        .paragraph(name)
        .warning(name)
        .facts([(name, Cell::text(name)), ("code", Cell::code(name))])
        .table(table)
        .code(name, name, name);
    for mut chart in sample::charts() {
        if let ChartKind::Intervals { rows, axis, .. } | ChartKind::Bars { rows, axis } = &mut chart.kind {
            rows.push(Row::new(name, 50.0, None).group(name));
            axis.label = name.to_string();
        }
        if let ChartKind::Heatmap { rows, columns, row_name, .. } = &mut chart.kind {
            (rows[0], columns[0], *row_name) = (name.to_string(), name.to_string(), name.to_string());
        }
        if let ChartKind::Lines { series, .. } | ChartKind::Scatter { series, .. } = &mut chart.kind {
            series[0].name = name.to_string();
            series[0].points[0].label = name.to_string();
        }
        if let ChartKind::Parallel { axes, lines, .. } = &mut chart.kind {
            axes[0].label = name.to_string();
            axes[0].ticks[0] = name.to_string();
            (lines[0].label, lines[0].mark) = (name.to_string(), name.to_string());
        }
        if let ChartKind::History { marks, .. } = &mut chart.kind {
            marks[0].kind = name.to_string();
        }
        document.chart(Chart::new(name, name, chart.kind));
    }
    document.chart(Chart::new(name, name, decades(name)));
    document
}

/// Logarithmic axes with values that have no place on them.
fn decades(name: &str) -> ChartKind {
    let axis = || Axis::new(name, Unit::Nats).logarithmic();
    let points = [(1.0, 0.01), (100.0, 1.0), (0.0, 0.0), (-1.0, 2.0)];
    ChartKind::Scatter {
        across: axis(),
        axis: axis(),
        series: vec![Series::new(name, Shape::Points, points), Series::new(name, Shape::Line, [(0.0, 1.0)])],
    }
}

#[test]
fn names_stay_text_in_the_page() {
    for name in NAMES {
        let page = html::render(&document(name));
        assert_eq!(page.matches("<script").count(), 1, "{name:?}");
        let (start, end) = (page.find("<main>").unwrap(), page.find("</main>\n<script>").unwrap());
        let main = roxmltree::Document::parse(&page[start..end + "</main>".len()]).unwrap();
        for node in main.descendants() {
            assert!(node.attributes().all(|attribute| !attribute.name().starts_with("on")), "{name:?}");
        }
        let heading = main.descendants().find(|node| node.has_tag_name("h1")).unwrap();
        assert_eq!(heading.text(), Some(text::clean(name).as_str()));
    }
}

#[test]
fn names_stay_text_in_pictures_and_are_no_formulas() {
    for name in NAMES {
        let svg = svg::render(&document(name));
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        assert!(!parsed.descendants().any(|node| node.tag_name().name() == "script"));
        let wanted = text::clean(name);
        assert!(parsed.descendants().any(|node| node.text() == Some(wanted.as_str())), "{name:?}");
    }
    let svg = svg::render(&document("costs $5 or $6"));
    assert!(svg.contains(">costs $5 or $6</text>"));
}

#[test]
fn names_send_nothing_to_the_terminal() {
    for name in NAMES {
        let shown = terminal::render(&document(name), &Style { width: 80, color: false });
        assert!(shown.chars().all(|character| character == '\n' || !character.is_control()), "{name:?}");
        assert!(!shown.contains('\u{202e}'));
    }
}

#[test]
fn names_do_not_end_a_markdown_table_or_fence() {
    for name in NAMES {
        let mut document = document(name);
        document.blocks.retain(|block| !matches!(block, Block::Chart(_)));
        let shown = markdown::render(&document);
        let start = shown.lines().position(|line| line.starts_with("| :---")).unwrap() - 1;
        let rows: Vec<&str> = shown.lines().skip(start).take_while(|line| !line.is_empty()).collect();
        assert_eq!(rows.len(), 4, "{shown}");
        for row in rows {
            assert_eq!(row.replace("\\\\", "").replace("\\|", "").matches('|').count(), 3, "{row}");
        }
        // Only as code may a name stand as it is.
        for line in shown.split("\n\n").filter(|part| !part.starts_with("```")).flat_map(str::lines) {
            assert!(line.contains('`') || !line.contains("<script") && !line.contains("</"), "{line}");
        }
    }
}

#[test]
fn programs_get_names_letter_by_letter() {
    for name in NAMES {
        let document = document(name);
        assert_eq!(json::read(&json::render(&document)).unwrap(), document);
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let shown = csv::render(&document);
        assert!(shown.contains(&quoted) || shown.contains(name), "{shown}");
    }
}
