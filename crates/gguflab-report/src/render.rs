//! Every format that a document can take: one table, one file each.

pub mod csv;
pub mod html;
pub mod json;
pub mod markdown;
pub mod svg;
pub mod terminal;
pub mod text_chart;

use crate::document::Document;

/// What a reader's screen allows; formats that are files take no notice of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of text in a line.
    pub width: usize,
    /// Whether ANSI colours may be used.
    pub color: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { width: 100, color: false }
    }
}

/// One format.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// The ending of its files, without the dot.
    pub extension: &'static str,
    /// Its media type (RFC 2046, RFC 4180, RFC 7763, RFC 8259).
    pub media_type: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Turns a document into it.
    pub render: fn(&Document, &Style) -> String,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "terminal",
        extension: "txt",
        media_type: "text/plain; charset=utf-8",
        help: "text for a terminal",
        render: terminal::render,
    },
    Format {
        name: "markdown",
        extension: "md",
        media_type: "text/markdown; charset=utf-8",
        help: "Markdown, for an issue or a README",
        render: |document, _| markdown::render(document),
    },
    Format {
        name: "csv",
        extension: "csv",
        media_type: "text/csv; charset=utf-8; header=present",
        help: "the tables, full precision in base units",
        render: |document, _| csv::render(document),
    },
    Format {
        name: "json",
        extension: "json",
        media_type: "application/json",
        help: "the whole document for programs, full precision in base units",
        render: |document, _| json::render(document),
    },
    Format {
        name: "html",
        extension: "html",
        media_type: "text/html; charset=utf-8",
        help: "one self-contained page with charts",
        render: |document, _| html::render(document),
    },
    Format {
        name: "svg",
        extension: "svg",
        media_type: "image/svg+xml",
        help: "the charts, one below another",
        render: |document, _| svg::render(document),
    },
];

/// The format of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The format of files with this extension (without the dot, any case).
#[must_use]
pub fn find_extension(extension: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.extension.eq_ignore_ascii_case(extension))
}
