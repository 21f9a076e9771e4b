//! What a report says, without saying how it looks.

use crate::chart::Chart;
use gguflab_types::Unit;
use serde::{Deserialize, Serialize};

/// A report: a title and its blocks from top to bottom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What the whole document is about.
    pub title: String,
    /// What it says, in reading order.
    pub blocks: Vec<Block>,
}

/// One piece of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "kebab-case")]
pub enum Block {
    /// The title of a section.
    Heading {
        /// 1 for a section, 2 for a part of it, up to 4.
        level: u8,
        /// Its words.
        text: String,
    },
    /// Running text.
    Paragraph {
        /// The text; one paragraph.
        text: String,
    },
    /// A remark that must not be overlooked.
    Note {
        /// How serious it is.
        kind: NoteKind,
        /// What it says.
        text: String,
    },
    /// Names with one value each.
    Facts {
        /// The facts from top to bottom.
        facts: Vec<Fact>,
    },
    /// Rows and columns.
    Table(Table),
    /// A picture of numbers.
    Chart(Chart),
    /// Text to be taken letter by letter: a command line, a log, a file.
    Code {
        /// What it is written in, such as `sh` or `json`; empty for plain text.
        language: String,
        /// The text with its line ends.
        text: String,
        /// What it is, empty for none.
        caption: String,
    },
    /// Blocks that few readers need: a page folds them away, other formats show them in their place.
    Fold {
        /// One line that says what is inside.
        summary: String,
        /// What is inside, from top to bottom.
        blocks: Vec<Block>,
    },
}

/// How serious a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// Good to know.
    Information,
    /// The numbers may mislead, or something did not work.
    Warning,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What is stated.
    pub label: String,
    /// The value.
    pub value: Cell,
}

/// Rows and columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What the table shows, empty for none.
    pub caption: String,
    /// The columns from left to right.
    pub columns: Vec<Column>,
    /// The rows from top to bottom, each with one cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its title.
    pub name: String,
    /// The base unit of its numbers; `None` lets the cells say it.
    pub unit: Option<Unit>,
    /// One line that explains the column, empty for none.
    pub help: String,
}

/// The value in one place of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cell", rename_all = "kebab-case")]
pub enum Cell {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// Words to be taken letter by letter, such as a flag or a hash.
    Code {
        /// The letters.
        text: String,
    },
    /// A number that is known exactly or needs no interval.
    Number {
        /// The value in base units.
        value: f64,
        /// Its base unit.
        unit: Unit,
        /// How many significant digits to show; `None` for three.
        digits: Option<u8>,
    },
    /// A measured number: with its interval, or saying that it has none.
    Estimate {
        /// The point value in base units.
        value: f64,
        /// The interval in base units, where there is one.
        interval: Option<Interval>,
        /// Their base unit.
        unit: Unit,
    },
    /// A difference, always shown with its sign.
    Change {
        /// The difference in base units; a fraction (`0.05` for +5 %) for a relative one.
        value: f64,
        /// Its interval in base units, where there is one.
        interval: Option<Interval>,
        /// Their base unit.
        unit: Unit,
    },
    /// How many.
    Count {
        /// The count.
        value: u64,
    },
    /// Yes or no.
    Flag {
        /// Whether it is so.
        value: bool,
    },
    /// A judgement, such as a verdict or an outcome.
    Status {
        /// Its word.
        text: String,
        /// Whether that is good news.
        tone: Tone,
    },
    /// No value.
    Missing {
        /// Why not, empty where that is plain.
        reason: String,
    },
}

/// Whether a judgement is good news; shown by a sign and, where there is colour, by colour too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Neither, or not known.
    Neutral,
}

/// From `low` to `high`, both in the base unit of the value they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Document {
        Document { title: title.into(), blocks: Vec::new() }
    }

    /// Adds a block.
    pub fn push(&mut self, block: Block) -> &mut Document {
        self.blocks.push(block);
        self
    }

    /// Adds the title of a section (`level` 1) or of a part of one (2 to 4).
    pub fn heading(&mut self, level: u8, text: impl Into<String>) -> &mut Document {
        self.push(Block::Heading { level, text: text.into() })
    }

    /// Adds running text.
    pub fn paragraph(&mut self, text: impl Into<String>) -> &mut Document {
        self.push(Block::Paragraph { text: text.into() })
    }

    /// Adds something good to know.
    pub fn information(&mut self, text: impl Into<String>) -> &mut Document {
        self.push(Block::Note { kind: NoteKind::Information, text: text.into() })
    }

    /// Adds a warning.
    pub fn warning(&mut self, text: impl Into<String>) -> &mut Document {
        self.push(Block::Note { kind: NoteKind::Warning, text: text.into() })
    }

    /// Adds names with one value each.
    pub fn facts<L: Into<String>>(&mut self, facts: impl IntoIterator<Item = (L, Cell)>) -> &mut Document {
        let facts = facts.into_iter().map(|(label, value)| Fact { label: label.into(), value }).collect();
        self.push(Block::Facts { facts })
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) -> &mut Document {
        self.push(Block::Table(table))
    }

    /// Adds a chart.
    pub fn chart(&mut self, chart: Chart) -> &mut Document {
        self.push(Block::Chart(chart))
    }

    /// Adds text to be taken letter by letter.
    pub fn code(
        &mut self,
        language: impl Into<String>,
        text: impl Into<String>,
        caption: impl Into<String>,
    ) -> &mut Document {
        self.push(Block::Code { language: language.into(), text: text.into(), caption: caption.into() })
    }

    /// Adds blocks that few readers need under one line; nothing where there are none.
    pub fn fold(&mut self, summary: impl Into<String>, inside: Document) -> &mut Document {
        if inside.blocks.is_empty() {
            return self;
        }
        self.push(Block::Fold { summary: summary.into(), blocks: inside.blocks })
    }

    /// Its blocks from top to bottom, with what is folded away in its place.
    #[must_use]
    pub fn flat(&self) -> Vec<&Block> {
        let mut found = Vec::new();
        flatten(&self.blocks, &mut found);
        found
    }

    /// Its tables from top to bottom.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.flat().into_iter().filter_map(|block| match block {
            Block::Table(table) => Some(table),
            _ => None,
        })
    }

    /// Its charts from top to bottom.
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        self.flat().into_iter().filter_map(|block| match block {
            Block::Chart(chart) => Some(chart),
            _ => None,
        })
    }
}

fn flatten<'a>(blocks: &'a [Block], found: &mut Vec<&'a Block>) {
    for block in blocks {
        match block {
            Block::Fold { blocks, .. } => flatten(blocks, found),
            other => found.push(other),
        }
    }
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(caption: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Table {
        Table { caption: caption.into(), columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are too few read as missing, cells without a column are not shown.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Table {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// The cell in this place.
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> &Cell {
        static NOTHING: Cell = Cell::Missing { reason: String::new() };
        self.rows.get(row).and_then(|cells| cells.get(column)).unwrap_or(&NOTHING)
    }

    /// The cells of a column from top to bottom.
    pub fn column_cells(&self, column: usize) -> impl Iterator<Item = &Cell> {
        (0..self.rows.len()).map(move |row| self.cell(row, column))
    }
}

impl Column {
    /// A column of words, counts or cells that carry their own unit.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Column {
        Column { name: name.into(), unit: None, help: String::new() }
    }

    /// A column of numbers in one base unit.
    #[must_use]
    pub fn with_unit(name: impl Into<String>, unit: Unit) -> Column {
        Column { name: name.into(), unit: Some(unit), help: String::new() }
    }

    /// The same column with one line that explains it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Column {
        self.help = help.into();
        self
    }
}

impl Cell {
    /// Words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text { text: text.into() }
    }

    /// Words to be taken letter by letter.
    #[must_use]
    pub fn code(text: impl Into<String>) -> Cell {
        Cell::Code { text: text.into() }
    }

    /// A number in base units, shown with three significant digits.
    #[must_use]
    pub fn number(value: f64, unit: Unit) -> Cell {
        Cell::Number { value, unit, digits: None }
    }

    /// An estimate in base units; `interval` is its lower and upper end.
    #[must_use]
    pub fn estimate(value: f64, interval: Option<(f64, f64)>, unit: Unit) -> Cell {
        Cell::Estimate { value, interval: interval.map(Interval::from), unit }
    }

    /// A difference in base units (a fraction for a relative one); `interval` is its lower and upper end.
    #[must_use]
    pub fn change(value: f64, interval: Option<(f64, f64)>, unit: Unit) -> Cell {
        Cell::Change { value, interval: interval.map(Interval::from), unit }
    }

    /// How many.
    #[must_use]
    pub fn count(value: u64) -> Cell {
        Cell::Count { value }
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(value: bool) -> Cell {
        Cell::Flag { value }
    }

    /// A judgement.
    #[must_use]
    pub fn status(text: impl Into<String>, tone: Tone) -> Cell {
        Cell::Status { text: text.into(), tone }
    }

    /// No value, with the reason.
    #[must_use]
    pub fn missing(reason: impl Into<String>) -> Cell {
        Cell::Missing { reason: reason.into() }
    }

    /// The value and the base unit of a cell that holds a number with a unit.
    #[must_use]
    pub fn quantity(&self) -> Option<(f64, Unit)> {
        match self {
            Cell::Number { value, unit, .. }
            | Cell::Estimate { value, unit, .. }
            | Cell::Change { value, unit, .. } => Some((*value, *unit)),
            _ => None,
        }
    }

    /// The interval of an estimate or of a change.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        match self {
            Cell::Estimate { interval, .. } | Cell::Change { interval, .. } => *interval,
            _ => None,
        }
    }
}

impl From<(f64, f64)> for Interval {
    fn from((low, high): (f64, f64)) -> Interval {
        Interval { low, high }
    }
}
