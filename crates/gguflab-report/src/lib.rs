//! One document model, every format: terminal, Markdown, CSV, JSON, HTML, SVG.
//!
//! A report builds a [`Document`] of blocks (headings, facts, tables, charts); a renderer of the table
//! [`render::FORMATS`] turns any document into any format. Numbers stay in base units until they are shown:
//! [`mod@format`] is the one place that scales and rounds them. This crate reads nothing and writes nothing.

pub mod calendar;
pub mod chart;
pub mod document;
pub mod format;
pub mod render;
pub mod text;

pub use chart::Chart;
pub use document::{Block, Cell, Column, Document, Interval, NoteKind, Table, Tone};
pub use render::{FORMATS, Format, Style};
