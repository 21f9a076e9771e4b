//! Text for a terminal: tables that fit its width, charts drawn with characters.
//!
//! Colour only repeats what signs and words already say (<https://no-color.org>).

mod table;

use super::{Style, text_chart};
use crate::document::{Block, Cell, Document, Fact, NoteKind, Tone};
use crate::format;
use crate::text::{clean, clean_lines, pad_right, width, wrap};

/// The narrowest terminal that is laid out for; narrower ones get lines that they break themselves.
const LEAST_WIDTH: usize = 24;

/// The document as text.
#[must_use]
pub fn render(document: &Document, style: &Style) -> String {
    let style = Style { width: style.width.max(LEAST_WIDTH), ..*style };
    let mut parts = Vec::new();
    if !document.title.is_empty() {
        parts.push(heading(0, &document.title, &style));
    }
    parts.extend(document.blocks.iter().map(|item| block(item, &style)));
    parts.retain(|part| !part.is_empty());
    let mut text = parts.join("\n\n");
    text.push('\n');
    text
}

fn block(block: &Block, style: &Style) -> String {
    match block {
        Block::Heading { level, text } => heading(*level, text, style),
        Block::Paragraph { text } => wrap(&clean(text), style.width).join("\n"),
        Block::Note { kind, text } => note(*kind, text, style),
        Block::Facts { facts } => fact_list(facts, style),
        Block::Table(table) => table::render(table, style),
        Block::Chart(chart) => text_chart::render(chart, style),
        Block::Code { text, caption, .. } => code(text, caption, style),
        Block::Fold { summary, blocks } => fold(summary, blocks, style),
    }
}

fn fold(summary: &str, blocks: &[Block], style: &Style) -> String {
    let inside = blocks.iter().map(|inner| block(inner, style)).filter(|part| !part.is_empty());
    std::iter::once(heading(2, summary, style)).chain(inside).collect::<Vec<_>>().join("\n\n")
}

fn heading(level: u8, text: &str, style: &Style) -> String {
    let lines = wrap(&clean(text), style.width);
    let longest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let rule = match level {
        0 => "═",
        1 => "─",
        _ => "",
    };
    let mut shown: Vec<String> = lines.iter().map(|line| paint(line, Paint::Bold, style)).collect();
    if !rule.is_empty() {
        shown.push(rule.repeat(longest));
    }
    shown.join("\n")
}

fn note(kind: NoteKind, text: &str, style: &Style) -> String {
    let (word, color) = match kind {
        NoteKind::Information => ("note: ", Paint::Blue),
        NoteKind::Warning => ("warning: ", Paint::Yellow),
    };
    let lines = wrap(&clean(text), style.width.saturating_sub(word.len()));
    let indent = " ".repeat(word.len());
    let mut shown = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number == 0 {
            shown.push_str(&paint(word, color, style));
        } else {
            shown.push('\n');
            shown.push_str(&indent);
        }
        shown.push_str(line);
    }
    shown
}

fn fact_list(facts: &[Fact], style: &Style) -> String {
    let labels: Vec<String> = facts.iter().map(|fact| clean(&fact.label)).collect();
    let most = (style.width / 2).max(1);
    let column = labels.iter().map(|label| width(label)).max().unwrap_or(0).min(most);
    let mut lines = Vec::new();
    for (fact, label) in facts.iter().zip(&labels) {
        let values = wrap(&clean(&format::lone_cell(&fact.value)), style.width - column - 2);
        let heads = wrap(label, column);
        for number in 0..values.len().max(heads.len()) {
            let head = heads.get(number).map_or("", String::as_str);
            let value = values.get(number).map_or("", String::as_str);
            let head = paint(&pad_right(head, column), Paint::Dim, style);
            lines.push(format!("{head}  {}", paint_cell(value, &fact.value, style)).trim_end().to_string());
        }
    }
    lines.join("\n")
}

/// Code is never broken or cut: a command line must survive copying.
fn code(text: &str, caption: &str, style: &Style) -> String {
    let mut lines: Vec<String> = Vec::new();
    if !caption.is_empty() {
        lines.extend(wrap(&format!("{}:", clean(caption).trim_end_matches(':')), style.width));
    }
    lines.extend(clean_lines(text).lines().map(|line| format!("  {line}").trim_end().to_string()));
    lines.join("\n")
}

/// The few looks that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
}

/// `text` in a colour (ECMA-48 SGR) where colours are wanted.
pub(crate) fn paint(text: &str, paint: Paint, style: &Style) -> String {
    if !style.color || text.trim().is_empty() {
        return text.to_string();
    }
    let code = match paint {
        Paint::Bold => 1,
        Paint::Dim => 2,
        Paint::Red => 31,
        Paint::Green => 32,
        Paint::Yellow => 33,
        Paint::Blue => 34,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn paint_cell(text: &str, cell: &Cell, style: &Style) -> String {
    match cell {
        Cell::Status { tone: Tone::Good, .. } => paint(text, Paint::Green, style),
        Cell::Status { tone: Tone::Bad, .. } => paint(text, Paint::Red, style),
        Cell::Missing { .. } => paint(text, Paint::Dim, style),
        _ => text.to_string(),
    }
}
