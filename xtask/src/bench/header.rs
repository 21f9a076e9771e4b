//! How long reading a large header takes. The format crate's own example measures.

use super::Request;
use super::figure::{Figure, Limit};
use crate::command;
use anyhow::{Result, bail};

/// A figure is a line `NAME: median NUMBER ms` of the example.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let mut cargo = request.environment.cargo();
    cargo.args(["run", "--quiet", "--release", "-p", "gguflab-format", "--example", "header_time"]);
    let text = command::capture(&mut cargo)?;
    let figures: Vec<Figure> = text.lines().filter_map(figure_of_line).collect();
    if figures.is_empty() {
        bail!("the example printed no line `NAME: median NUMBER ms`, but:\n{text}");
    }
    Ok(figures)
}

fn figure_of_line(line: &str) -> Option<Figure> {
    let (name, value) = line.strip_suffix(" ms")?.split_once(": median ")?;
    Some(Figure::new(name, value.parse().ok()?, "ms").limited(Limit::AtMost(10.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_a_median_are_figures() {
        let figure = figure_of_line("from a file: median 12.50 ms").expect("figure");
        assert_eq!((figure.name.as_str(), figure.value), ("from a file", 12.5));
        assert!(figure_of_line("header: 1200 tensors, 9 bytes").is_none());
    }
}
