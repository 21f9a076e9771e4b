//! A table that fits the width: words wrap, numbers never do; a table that cannot fit becomes a list.

use super::{Paint, Style, paint, paint_cell};
use crate::document::{Cell, Table};
use crate::format::{self, ColumnFormat};
use crate::text::{clean, pad_left, pad_right, width, wrap};

/// A column of words may be narrowed down to its longest word, if that is between these.
const LEAST_WORDS: (usize, usize) = (10, 20);
/// A space that does not break; it is shown as a plain one.
const HARD_SPACE: &str = "\u{a0}";

/// What one column shows.
struct Column {
    title: String,
    cells: Vec<String>,
    format: ColumnFormat,
}

/// The table as text, its caption above it.
pub(super) fn render(table: &Table, style: &Style) -> String {
    let columns: Vec<Column> = (0..table.columns.len()).map(|index| column(table, index)).collect();
    let mut parts = Vec::new();
    if !table.caption.is_empty() {
        parts.extend(wrap(&clean(&table.caption), style.width));
    }
    if table.rows.is_empty() {
        parts.push("(no rows)".to_string());
    } else if let Some(widths) = fit(&columns, style.width) {
        grid(table, &columns, &widths, style, &mut parts);
    } else {
        list(table, &columns, style, &mut parts);
    }
    parts.join("\n")
}

fn column(table: &Table, index: usize) -> Column {
    let format = format::column_format(table, index);
    Column {
        title: clean(&format::column_title(&table.columns[index], format)),
        cells: table.column_cells(index).map(|cell| breakable(cell, format)).collect(),
        format,
    }
}

/// The cell's text; inside numbers and intervals the spaces do not break.
fn breakable(cell: &Cell, format: ColumnFormat) -> String {
    let (point, interval) = format::cell_parts(cell, format);
    if matches!(cell, Cell::Status { .. }) {
        return clean(&point.replacen(' ', HARD_SPACE, 1));
    }
    if cell.quantity().is_none() {
        return clean(&format!("{point}{interval}"));
    }
    let interval = interval.trim_start().replace(' ', HARD_SPACE);
    clean(&format!("{} {interval}", point.replace(' ', HARD_SPACE))).trim_end().to_string()
}

fn natural(column: &Column) -> usize {
    column.cells.iter().map(|cell| width(cell)).max().unwrap_or(0).max(longest_word(&column.title))
}

/// A title wraps at spaces, so only its longest word asks for room; its unit is such a word.
fn longest_word(title: &str) -> usize {
    title.split(' ').map(width).max().unwrap_or(0)
}

/// The width of every column, `None` where even the narrowest do not fit.
fn fit(columns: &[Column], total: usize) -> Option<Vec<usize>> {
    let frame = 3 * columns.len() + 1;
    let mut widths: Vec<usize> = columns.iter().map(natural).collect();
    let least: Vec<usize> = columns.iter().map(least).collect();
    if least.iter().sum::<usize>() + frame > total {
        return None;
    }
    while widths.iter().sum::<usize>() + frame > total {
        // The widest column that may still shrink gives one column away.
        let widest = (0..widths.len()).filter(|index| widths[*index] > least[*index]);
        let index = widest.max_by_key(|index| widths[*index])?;
        widths[index] -= 1;
    }
    let spare = total - frame - widths.iter().sum::<usize>();
    widen_for_titles(columns, &mut widths, spare);
    Some(widths)
}

/// Numbers stay whole, with the interval on a line of its own at most; words may break, but late.
fn least(column: &Column) -> usize {
    let word = column.cells.iter().map(|cell| longest_word(cell)).max().unwrap_or(0);
    let word = if column.format.numeric { word } else { word.clamp(LEAST_WORDS.0, LEAST_WORDS.1) };
    word.max(longest_word(&column.title)).min(natural(column))
}

/// Room that is left goes to titles that would wrap.
fn widen_for_titles(columns: &[Column], widths: &mut [usize], mut spare: usize) {
    for (column, wide) in columns.iter().zip(widths) {
        let wanted = width(&column.title).saturating_sub(*wide);
        if wanted <= spare {
            *wide += wanted;
            spare -= wanted;
        }
    }
}

fn grid(table: &Table, columns: &[Column], widths: &[usize], style: &Style, lines: &mut Vec<String>) {
    lines.push(rule(widths, "┌", "┬", "┐"));
    let titles: Vec<Vec<String>> =
        columns.iter().zip(widths).map(|(column, width)| wrap(&column.title, *width)).collect();
    push_row(&titles, columns, widths, lines, |text, _| paint(text, Paint::Bold, style));
    lines.push(rule(widths, "├", "┼", "┤"));
    for row in 0..table.rows.len() {
        let cells: Vec<Vec<String>> =
            columns.iter().zip(widths).map(|(column, width)| wrap(&column.cells[row], *width)).collect();
        push_row(&cells, columns, widths, lines, |text, index| {
            paint_cell(text, table.cell(row, index), style)
        });
    }
    lines.push(rule(widths, "└", "┴", "┘"));
}

fn rule(widths: &[usize], left: &str, middle: &str, right: &str) -> String {
    let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    format!("{left}{}{right}", bars.join(middle))
}

fn push_row(
    cells: &[Vec<String>],
    columns: &[Column],
    widths: &[usize],
    lines: &mut Vec<String>,
    look: impl Fn(&str, usize) -> String,
) {
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    for number in 0..height {
        let shown: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(index, cell)| {
                let text = cell.get(number).map_or("", String::as_str).replace(HARD_SPACE, " ");
                let numeric = columns[index].format.numeric;
                let padded =
                    if numeric { pad_left(&text, widths[index]) } else { pad_right(&text, widths[index]) };
                look(&padded, index)
            })
            .collect();
        lines.push(format!("│ {} │", shown.join(" │ ")));
    }
}

/// Each row as `title: value` lines, for tables that are wider than the terminal.
fn list(table: &Table, columns: &[Column], style: &Style, lines: &mut Vec<String>) {
    let longest = columns.iter().map(|column| width(&column.title)).max().unwrap_or(0);
    let room = longest.min(style.width / 2);
    for row in 0..table.rows.len() {
        let head = format!("── {} ", row + 1);
        lines.push(format!("{head}{}", "─".repeat(style.width.min(40).saturating_sub(width(&head)))));
        for (index, column) in columns.iter().enumerate() {
            if !is_blank(table.cell(row, index)) {
                list_line(column, row, room, table.cell(row, index), style, lines);
            }
        }
    }
}

fn is_blank(cell: &Cell) -> bool {
    matches!(cell, Cell::Text { text } if text.is_empty())
}

fn list_line(column: &Column, row: usize, room: usize, cell: &Cell, style: &Style, lines: &mut Vec<String>) {
    let titles = wrap(&column.title, room);
    let values = wrap(&column.cells[row], style.width.saturating_sub(room + 2));
    for number in 0..titles.len().max(values.len()) {
        let title = pad_right(titles.get(number).map_or("", String::as_str), room);
        let value = values.get(number).map_or("", String::as_str);
        let line = format!(
            "{}  {}",
            paint(&title, Paint::Dim, style),
            paint_cell(&value.replace(HARD_SPACE, " "), cell, style)
        );
        lines.push(line.trim_end().to_string());
    }
}
