//! The whole document for programs: full precision, base units, a format name and a version.

use crate::chart::Chart;
use crate::document::{Block, Cell, Document, Interval};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name that the file gives itself.
pub const NAME: &str = "gguflab-document";
/// The version that is written. A reader takes this one and refuses newer ones.
pub const VERSION: u32 = 2;

/// Why text is not a document.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not JSON, or not of this shape.
    #[error("the text is not a gguflab document: {0}; give a file that was written with the format json")]
    Shape(#[from] serde_json::Error),
    /// JSON of another kind.
    #[error("the file says that its format is {0:?}, wanted is \"gguflab-document\"")]
    Format(String),
    /// From a later program.
    #[error("the document has version {0}, this program reads up to version {VERSION}; update gguflab")]
    Version(u32),
}

#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u32,
    document: &'a Document,
}

/// What every version has, so that a newer file is told from a broken one.
#[derive(Deserialize)]
struct Envelope {
    format: String,
    version: u32,
    document: serde_json::Value,
}

/// The document as JSON, indented, with a line end behind it.
#[must_use]
pub fn render(document: &Document) -> String {
    let document = finite(document);
    let written = Written { format: NAME, version: VERSION, document: &document };
    // Only maps with keys that are no strings and failing writers make this fail; here are neither.
    let mut text = serde_json::to_string_pretty(&written).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads what [`render`] wrote.
///
/// # Errors
/// The text is not JSON, is another kind of file, or comes from a newer version.
pub fn read(text: &str) -> Result<Document, ReadError> {
    let envelope: Envelope = serde_json::from_str(text)?;
    if envelope.format != NAME {
        return Err(ReadError::Format(envelope.format));
    }
    if envelope.version > VERSION {
        return Err(ReadError::Version(envelope.version));
    }
    Ok(serde_json::from_value(envelope.document)?)
}

/// JSON knows no infinity and no NaN: such numbers become missing cells, such points are left out.
fn finite(document: &Document) -> Document {
    let mut document = document.clone();
    finite_blocks(&mut document.blocks);
    document
}

fn finite_blocks(blocks: &mut [Block]) {
    for block in blocks {
        match block {
            Block::Facts { facts } => facts.iter_mut().for_each(|fact| finite_cell(&mut fact.value)),
            Block::Table(table) => table.rows.iter_mut().flatten().for_each(finite_cell),
            Block::Chart(chart) => *chart = Chart::finite(chart),
            Block::Fold { blocks, .. } => finite_blocks(blocks),
            _ => {}
        }
    }
}

fn finite_cell(cell: &mut Cell) {
    let sound = |interval: &Interval| interval.low.is_finite() && interval.high.is_finite();
    if cell.quantity().is_some_and(|(value, _)| !value.is_finite()) {
        *cell = Cell::missing("not a finite number");
    } else if let Cell::Estimate { interval, .. } | Cell::Change { interval, .. } = cell {
        interval.take_if(|interval| !sound(interval));
    }
}
