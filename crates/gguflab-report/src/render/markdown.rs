//! Markdown (GitHub's flavour, for its tables), with charts drawn in characters.

use super::{Style, text_chart};
use crate::document::{Block, Cell, Document, Fact, NoteKind, Table};
use crate::format;
use crate::text::{clean, clean_lines};

/// Columns of a chart drawn in characters: what GitHub shows without scrolling.
const CHART_WIDTH: usize = 90;

/// The document as Markdown.
#[must_use]
pub fn render(document: &Document) -> String {
    let mut parts = Vec::new();
    if !document.title.is_empty() {
        parts.push(format!("# {}", escape(&document.title)));
    }
    parts.extend(document.blocks.iter().map(block));
    parts.retain(|part| !part.is_empty());
    let mut text = parts.join("\n\n");
    text.push('\n');
    text
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading { level, text } => {
            format!("{} {}", "#".repeat(usize::from((*level).clamp(1, 5)) + 1), escape(text))
        }
        Block::Paragraph { text } => escape(text),
        Block::Note { kind: NoteKind::Information, text } => format!("> **Note:** {}", escape(text)),
        Block::Note { kind: NoteKind::Warning, text } => format!("> **Warning:** {}", escape(text)),
        Block::Facts { facts } => fact_list(facts),
        Block::Table(table) => render_table(table),
        Block::Chart(chart) => {
            fence("text", &text_chart::render(chart, &Style { width: CHART_WIDTH, color: false }))
        }
        Block::Code { language, text, caption } => code(language, text, caption),
        Block::Fold { summary, blocks } => fold(summary, blocks),
    }
}

/// What GitHub folds; blank lines around the inside keep it Markdown (CommonMark 4.6).
fn fold(summary: &str, blocks: &[Block]) -> String {
    let inside: Vec<String> = blocks.iter().map(block).filter(|part| !part.is_empty()).collect();
    let summary = crate::text::escape(summary);
    format!("<details><summary>{summary}</summary>\n\n{}\n\n</details>", inside.join("\n\n"))
}

fn fact_list(facts: &[Fact]) -> String {
    let line = |fact: &Fact| format!("- **{}:** {}", escape(&fact.label), lone(&fact.value));
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn lone(cell: &Cell) -> String {
    shown(cell, &format::lone_cell(cell))
}

fn shown(cell: &Cell, text: &str) -> String {
    match cell {
        Cell::Code { .. } if !text.is_empty() => code_span(text),
        _ => escape(text),
    }
}

fn render_table(table: &Table) -> String {
    let mut lines = Vec::new();
    if !table.caption.is_empty() {
        lines.push(format!("**{}**\n", escape(&table.caption)));
    }
    let formats: Vec<_> = (0..table.columns.len()).map(|index| format::column_format(table, index)).collect();
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let titles = table.columns.iter().zip(&formats);
    lines.push(row(titles.map(|(column, format)| escape(&format::column_title(column, *format))).collect()));
    lines.push(row(formats
        .iter()
        .map(|format| if format.numeric { "---:" } else { ":---" }.to_string())
        .collect()));
    for number in 0..table.rows.len() {
        let cells = formats.iter().enumerate().map(|(index, column)| {
            let cell = table.cell(number, index);
            let text = shown(cell, &format::cell(cell, *column));
            // GitHub splits cells at pipes even inside code spans, and understands `\|` there.
            if matches!(cell, Cell::Code { .. }) { text.replace('|', "\\|") } else { text }
        });
        lines.push(row(cells.collect()));
    }
    lines.join("\n")
}

fn code(language: &str, text: &str, caption: &str) -> String {
    let word: String = language.chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
    let block = fence(&word, &clean_lines(text));
    if caption.is_empty() { block } else { format!("{}\n\n{block}", escape(caption)) }
}

/// A fence longer than any run of backticks inside (CommonMark 4.5).
fn fence(language: &str, text: &str) -> String {
    let ticks = "`".repeat(longest_run(text).max(2) + 1);
    format!("{ticks}{language}\n{text}\n{ticks}")
}

/// A code span with more backticks than inside (CommonMark 6.1).
fn code_span(text: &str) -> String {
    let text = clean(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

fn longest_run(text: &str) -> usize {
    let runs = text.split(|character| character != '`').map(str::len);
    runs.max().unwrap_or(0)
}

/// Words as words: what Markdown or HTML would take for markup is escaped (CommonMark 2.4).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let text = clean(text);
    for (position, character) in text.char_indices() {
        let marks = matches!(character, '\\' | '`' | '*' | '[' | ']' | '|' | '~');
        // An underscore inside a word is no emphasis in GitHub's flavour; elsewhere it may be.
        let underscore = character == '_' && !inside_word(&text, position);
        let starts = position == 0 && matches!(character, '#' | '+' | '-' | '>');
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' if position > 0 => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            _ => {
                if marks || underscore || (starts && text.len() > 1 && !starts_number(&text)) {
                    escaped.push('\\');
                }
                escaped.push(character);
            }
        }
    }
    escaped
}

fn inside_word(text: &str, position: usize) -> bool {
    let before = text[..position].chars().next_back();
    let after = text[position..].chars().nth(1);
    before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
}

/// `-3.2` and `+3.2` are no list items: the digit follows at once.
fn starts_number(text: &str) -> bool {
    text.chars().nth(1).is_some_and(|character| character.is_ascii_digit())
}
