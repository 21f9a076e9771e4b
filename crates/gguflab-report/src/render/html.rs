//! One self-contained page: styles, pictures and the few lines that sort tables are all inside it.
//!
//! It loads nothing (its content security policy forbids it), follows the reader's light or dark setting, prints,
//! and is laid out for a telephone too: every chart comes in a wide and a narrow form. All text is escaped.

use super::svg::{self, Picture};
use crate::chart::Chart;
use crate::document::{Block, Cell, Document, Fact, NoteKind, Table, Tone};
use crate::format::{self, ColumnFormat};
use crate::text::{escape, escape_lines};
use std::fmt::Write;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/sort.js");
/// Pixels of a chart on a desk and on a telephone.
const WIDE: f64 = 860.0;
const NARROW: f64 = 344.0;
/// Points in a chart up to which its numbers are repeated in a table.
const MOST_ROWS: usize = 400;

/// The document as a page.
#[must_use]
pub fn render(document: &Document) -> String {
    let mut page = Page::default();
    for block in &document.blocks {
        page.block(block);
    }
    let (title, body) = (escape(&document.title), page.body);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\
         </main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

#[derive(Default)]
struct Page {
    body: String,
    charts: usize,
}

impl Page {
    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading { level, text } => {
                let level = (*level).clamp(1, 5) + 1;
                let _ = writeln!(self.body, "<h{level}>{}</h{level}>", escape(text));
            }
            Block::Paragraph { text } => {
                let _ = writeln!(self.body, "<p>{}</p>", escape(text));
            }
            Block::Note { kind, text } => self.note(*kind, text),
            Block::Facts { facts } => self.facts(facts),
            Block::Table(table) => {
                self.body.push_str(&table_html(table));
            }
            Block::Chart(chart) => self.chart(chart),
            Block::Code { language, text, caption } => self.code(language, text, caption),
            Block::Fold { summary, blocks } => {
                let _ = writeln!(self.body, "<details class=\"fold\"><summary>{}</summary>", escape(summary));
                blocks.iter().for_each(|block| self.block(block));
                self.body.push_str("</details>\n");
            }
        }
    }

    fn note(&mut self, kind: NoteKind, text: &str) {
        let (class, word) = match kind {
            NoteKind::Information => ("information", "Note"),
            NoteKind::Warning => ("warning", "Warning"),
        };
        let text = escape(text);
        let _ = writeln!(
            self.body,
            "<p class=\"note {class}\" role=\"note\"><strong>{word}:</strong> {text}</p>"
        );
    }

    fn facts(&mut self, facts: &[Fact]) {
        self.body.push_str("<dl>\n");
        for Fact { label, value } in facts {
            let value = cell_html(value, ColumnFormat::LONE);
            let _ = writeln!(self.body, "<div><dt>{}</dt><dd>{value}</dd></div>", escape(label));
        }
        self.body.push_str("</dl>\n");
    }

    fn chart(&mut self, chart: &Chart) {
        self.charts += 1;
        let number = self.charts;
        let _ = writeln!(self.body, "<figure class=\"chart\">");
        if !chart.title.is_empty() {
            let _ = writeln!(self.body, "<p class=\"title\">{}</p>", escape(&chart.title));
        }
        for (class, width) in [("wide", WIDE), ("narrow", NARROW)] {
            let identifier = format!("chart-{number}-{class}");
            let picture = Picture { width, title: false, identifier: &identifier };
            let drawn = svg::picture(chart, &picture);
            let _ = write!(self.body, "<div class=\"{class}\">{drawn}</div>");
        }
        if !chart.caption.is_empty() {
            let _ = writeln!(self.body, "<figcaption>{}</figcaption>", escape(&chart.caption));
        }
        let numbers = chart.table();
        if (1..=MOST_ROWS).contains(&numbers.rows.len()) {
            let table = table_html(&numbers);
            let _ = writeln!(self.body, "<details><summary>The numbers</summary>\n{table}</details>");
        }
        self.body.push_str("</figure>\n");
    }

    fn code(&mut self, language: &str, text: &str, caption: &str) {
        self.body.push_str("<figure class=\"code\">\n");
        if !caption.is_empty() {
            let _ = writeln!(self.body, "<figcaption>{}</figcaption>", escape(caption));
        }
        let word: String = language.chars().filter(char::is_ascii_alphanumeric).collect();
        let class = if word.is_empty() { String::new() } else { format!(" class=\"language-{word}\"") };
        let text = escape_lines(text);
        let _ = writeln!(self.body, "<pre tabindex=\"0\"><code{class}>{text}</code></pre>\n</figure>");
    }
}

fn table_html(table: &Table) -> String {
    let formats: Vec<_> = (0..table.columns.len()).map(|index| format::column_format(table, index)).collect();
    let name = if table.caption.is_empty() { "table" } else { table.caption.as_str() };
    let mut html = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n<table>\n",
        escape(name)
    );
    if !table.caption.is_empty() {
        let _ = writeln!(html, "<caption>{}</caption>", escape(&table.caption));
    }
    html.push_str("<thead><tr>");
    for (column, format) in table.columns.iter().zip(&formats) {
        let help = if column.help.is_empty() {
            String::new()
        } else {
            format!(" title=\"{}\"", escape(&column.help))
        };
        let class = if format.numeric { " class=\"number\"" } else { "" };
        let title = escape(&format::column_title(column, *format));
        let _ = write!(html, "<th scope=\"col\"{class}{help}>{title}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in 0..table.rows.len() {
        html.push_str(&row_html(table, row, &formats));
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    html
}

fn row_html(table: &Table, row: usize, formats: &[ColumnFormat]) -> String {
    let mut html = String::from("<tr>");
    for (index, format) in formats.iter().enumerate() {
        let cell = table.cell(row, index);
        let class = if format.numeric { " class=\"number\"" } else { "" };
        let order = order(cell).map(|order| format!(" data-order=\"{order}\"")).unwrap_or_default();
        let shown = cell_html(cell, *format);
        // The first column names the row, unless it is a number.
        let (tag, scope) = if index == 0 && !format.numeric { ("th", " scope=\"row\"") } else { ("td", "") };
        let _ = write!(html, "<{tag}{scope}{class}{order}>{shown}</{tag}>");
    }
    html.push_str("</tr>\n");
    html
}

/// What sorting goes by, where that is a number.
fn order(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Count { value } => Some(value.to_string()),
        Cell::Flag { value } => Some(u8::from(*value).to_string()),
        other => other.quantity().map(|(value, _)| format::machine(value)).filter(|order| !order.is_empty()),
    }
}

fn cell_html(cell: &Cell, format: ColumnFormat) -> String {
    let (point, interval) = format::cell_parts(cell, format);
    let shown = escape(&point);
    match cell {
        Cell::Code { .. } => format!("<code>{shown}</code>"),
        Cell::Status { tone, .. } => format!("<span class=\"{}\">{shown}</span>", tone_class(*tone)),
        Cell::Missing { .. } => format!("<span class=\"missing\">{shown}</span>"),
        _ if interval.is_empty() => shown,
        _ => {
            // The space stays outside, so that the interval can stand on a line of its own.
            format!("{shown} <span class=\"interval\">{}</span>", escape(interval.trim_start()))
        }
    }
}

fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Neutral => "neutral",
    }
}
