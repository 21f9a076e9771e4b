//! Comma-separated values (RFC 4180): numbers with full precision in base units, the unit in the header.
//!
//! An estimate takes three columns: the value, `low` and `high`. The first line of a section names its table;
//! a document with one table has no such line, so that any program reads it.

use crate::document::{Block, Cell, Column, Document, Fact, Table};
use crate::format;
use gguflab_types::Unit;

/// The document's tables. Without a table its facts, without these the numbers of its charts.
#[must_use]
pub fn render(document: &Document) -> String {
    let mut tables: Vec<Table> = document.tables().cloned().collect();
    if tables.is_empty() {
        tables = document.flat().into_iter().filter_map(fact_table).collect();
    }
    if tables.is_empty() {
        tables = document.charts().map(crate::Chart::table).collect();
    }
    match tables.as_slice() {
        [single] => table(single),
        several => several.iter().map(section).collect::<Vec<_>>().join("\r\n"),
    }
}

/// One table with its header line; lines end with CR LF.
#[must_use]
pub fn table(table: &Table) -> String {
    let shapes: Vec<Shape> = (0..table.columns.len()).map(|index| shape(table, index)).collect();
    let mut text = String::new();
    push_line(
        &mut text,
        table.columns.iter().zip(&shapes).flat_map(|(column, shape)| header(column, *shape)),
    );
    for row in 0..table.rows.len() {
        let cells =
            shapes.iter().enumerate().flat_map(|(index, shape)| fields(table.cell(row, index), *shape));
        push_line(&mut text, cells);
    }
    text
}

fn section(one: &Table) -> String {
    let mut text = String::new();
    push_line(&mut text, [one.caption.clone()]);
    text.push_str(&table(one));
    text
}

fn fact_table(block: &Block) -> Option<Table> {
    let Block::Facts { facts } = block else { return None };
    let mut table = Table::new("facts", [Column::new("name"), Column::new("value")]);
    for Fact { label, value } in facts {
        table.push([Cell::text(label), value.clone()]);
    }
    Some(table)
}

/// Which fields a column takes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    unit: Option<Unit>,
    interval: bool,
    /// Cells differ in unit: one more field says it.
    mixed: bool,
}

fn shape(table: &Table, column: usize) -> Shape {
    let mut units: Vec<Unit> = table.columns[column].unit.into_iter().collect();
    units.extend(table.column_cells(column).filter_map(Cell::quantity).map(|(_, unit)| unit));
    let mixed = units.iter().any(|unit| *unit != units[0]);
    let estimate = |cell: &Cell| matches!(cell, Cell::Estimate { .. } | Cell::Change { .. });
    let interval = table.column_cells(column).any(estimate);
    Shape { unit: units.first().copied().filter(|_| !mixed), interval, mixed }
}

fn header(column: &Column, shape: Shape) -> Vec<String> {
    let symbol = shape.unit.map_or("", Unit::symbol);
    let mut names = vec![format::titled(&column.name, symbol)];
    if shape.interval {
        names.extend(["low", "high"].map(|end| format::titled(&format!("{} {end}", column.name), symbol)));
    }
    if shape.mixed {
        names.push(format!("{} unit", column.name));
    }
    names
}

fn fields(cell: &Cell, shape: Shape) -> Vec<String> {
    let mut fields = vec![field(cell)];
    if shape.interval {
        let interval = cell.interval();
        fields.push(interval.map(|interval| format::machine(interval.low)).unwrap_or_default());
        fields.push(interval.map(|interval| format::machine(interval.high)).unwrap_or_default());
    }
    if shape.mixed {
        fields.push(cell.quantity().map_or("", |(_, unit)| unit.symbol()).to_string());
    }
    fields
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text { text } | Cell::Code { text } | Cell::Status { text, .. } => text.clone(),
        Cell::Number { value, .. } | Cell::Estimate { value, .. } | Cell::Change { value, .. } => {
            format::machine(*value)
        }
        Cell::Count { value } => value.to_string(),
        Cell::Flag { value } => value.to_string(),
        Cell::Missing { .. } => String::new(),
    }
}

fn push_line(text: &mut String, fields: impl IntoIterator<Item = String>) {
    let quoted: Vec<String> = fields.into_iter().map(quote).collect();
    text.push_str(&quoted.join(","));
    text.push_str("\r\n");
}

fn quote(field: String) -> String {
    let special = field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ');
    if special { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
