//! The one place that prints: results to standard output, talk to standard error.

use crate::cli::{FormatName, Global};
use crate::exit::{FileError, UsageError};
use anyhow::{Context, Result};
use gguflab_lab::documents::Detail;
use gguflab_lab::files::put;
use gguflab_report::{Document, FORMATS, Format, Style, render};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// How wide a line is when the terminal does not say.
const DEFAULT_WIDTH: usize = 100;

/// Decides what is printed, and how.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    format: FormatName,
    quiet: bool,
    verbose: u8,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Printer {
        let format = match global.format {
            Some(format) => format,
            None if global.json => FormatName::Json,
            None => FormatName::Terminal,
        };
        Printer { format, quiet: global.quiet, verbose: global.verbose }
    }

    /// The same printer with another format for results, unless one was asked for.
    pub(crate) fn with_default(&self, format: FormatName) -> Printer {
        let format = if self.format == FormatName::Terminal { format } else { self.format };
        Printer { format, ..self.clone() }
    }

    /// How much of a study is shown: a terminal has no room for every trial unless asked with `-v`.
    pub(crate) fn detail(&self) -> Detail {
        if self.format == FormatName::Terminal && self.verbose == 0 { Detail::Summary } else { Detail::Full }
    }

    /// How much was asked for with `-v`.
    pub(crate) fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether progress can be drawn and wiped again.
    pub(crate) fn draws_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Prints a result.
    pub(crate) fn document(&self, document: &Document) -> Result<()> {
        let text = (format_of(self.format)?.render)(document, &style());
        self.data(&text)
    }

    /// Prints text as it is, to standard output.
    pub(crate) fn data(&self, text: &str) -> Result<()> {
        let mut output = anstream::stdout().lock();
        match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
            // Whoever listened has heard enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to standard output"),
        }
    }

    /// Says something on the way.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            talk(text);
        }
    }

    /// Warns.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            talk(&format!("warning: {text}"));
        }
    }

    /// Says what went wrong; not even `--quiet` keeps it.
    pub(crate) fn error(&self, text: &str) {
        talk(&format!("error: {text}"));
    }
}

/// Writes a line to standard error. That nobody can hear it any more is no reason to end the work.
fn talk(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes a document to a file in the format that its ending asks for: beside it first, then renamed.
pub(crate) fn write_document(document: &Document, path: &Path) -> Result<()> {
    let format = format_by_ending(path)?;
    write_file(path, (format.render)(document, &Style { width: DEFAULT_WIDTH, color: false }).as_bytes())
}

/// Checks before the work that its result can be written there as far as that can be told: a document has a
/// known ending, and the folder is there.
pub(crate) fn check_targets(document: Option<&Path>, data: Option<&Path>) -> Result<()> {
    document.map(format_by_ending).transpose()?;
    for path in document.iter().chain(&data) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let facts = folder.map_or(Ok(()), |folder| std::fs::metadata(folder).map(|_| ()));
        facts.map_err(|source| FileError { what: "write", path: path.to_path_buf(), source })?;
    }
    Ok(())
}

fn format_by_ending(path: &Path) -> Result<&'static Format> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let known =
        || FORMATS.iter().map(|format| format!(".{}", format.extension)).collect::<Vec<_>>().join(", ");
    let unknown =
        || UsageError(format!("{}: the ending says no format; use one of {}", path.display(), known()));
    Ok(FORMATS.iter().find(|format| format.extension == ending).ok_or_else(unknown)?)
}

/// Writes a file beside its place and renames it, so that there is never half a file.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if path.file_name().is_none() {
        return Err(UsageError(format!("{} is no file name", path.display())).into());
    }
    let written = put(path, |beside| std::fs::write(beside, content));
    written.map_err(|source| FileError { what: "write", path: path.to_path_buf(), source }.into())
}

/// Writes files into a folder, which is made where it is missing.
pub(crate) fn write_folder(folder: &Path, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<()> {
    for (name, content) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|source| FileError {
            what: "make folder",
            path: parent.to_path_buf(),
            source,
        })?;
        write_file(&path, &content)?;
    }
    Ok(())
}

fn format_of(name: FormatName) -> Result<&'static Format> {
    let name = match name {
        FormatName::Terminal => "terminal",
        FormatName::Markdown => "markdown",
        FormatName::Csv => "csv",
        FormatName::Json => "json",
        FormatName::Html => "html",
    };
    render::find(name).with_context(|| format!("no format {name}"))
}

fn style() -> Style {
    let color = match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => false,
        _ => std::io::stdout().is_terminal(),
    };
    Style { width: width(), color }
}

fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    columns.or_else(terminal).unwrap_or(DEFAULT_WIDTH)
}
