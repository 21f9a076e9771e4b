//! What scoring costs beside the way of llama-perplexity. The statistics crate's own example does the work, and says each
//! part when it is done; its CPU clock at these lines is read from outside.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::command;
use anyhow::{Result, bail};

/// Rows or pairs of rows in each part of the example.
const ROWS: f64 = 255.0;
const OURS: &str = "pair";
const THEIRS: &str = "llama-perplexity";

pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let mut cargo = request.environment.cargo();
    cargo.args(["build", "--quiet", "--release", "-p", "gguflab-stats", "--example", "scoring_time"]);
    command::run(&mut cargo)?;
    let program = command::release_folder().join("examples").join(command::executable("scoring_time"));
    let stamped = process::stamped(&program, &[request.pairs.to_string().into()])?;
    figures(&stamped.lines)
}

/// Medians over the rounds, in microseconds of CPU time for a position of 49,152 tokens.
fn figures(lines: &[(f64, String)]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in [OURS, THEIRS, "single", "sketch", "sketch scored"] {
        let micros: Vec<f64> = times(lines, name)?.iter().map(|time| 1e6 * time / ROWS).collect();
        figures.push(Figure::new(format!("{name}, a position"), process::median(&micros)?, "µs"));
    }
    let ratios: Vec<f64> =
        times(lines, THEIRS)?.iter().zip(times(lines, OURS)?).map(|(theirs, ours)| theirs / ours).collect();
    let ratio = process::median(&ratios)?;
    figures
        .push(Figure::new("llama-perplexity's way over ours", ratio, "times").limited(Limit::AtLeast(10.0)));
    Ok(figures)
}

/// CPU seconds of a part in each round: from the line before to its own.
fn times(lines: &[(f64, String)], name: &str) -> Result<Vec<f64>> {
    let steps = lines.windows(2).filter_map(|pair| match pair {
        [before, after] if after.1 == name => Some(after.0 - before.0),
        _ => None,
    });
    let times: Vec<f64> = steps.collect();
    if times.is_empty() || times.iter().any(|time| !(time.is_finite() && *time > 0.0)) {
        bail!("`{name}` has no CPU time in {lines:?}; the clock of a running process needs Linux");
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_timed_from_line_to_line() {
        let round = |start: f64| {
            let parts =
                [(OURS, 0.1), (THEIRS, 1.3), ("single", 1.4), ("sketch", 1.6), ("sketch scored", 1.7)];
            parts.map(|(name, end)| (start + end, name.to_owned()))
        };
        let lines = [vec![(1.0, "ready".to_owned())], round(1.0).to_vec(), round(2.7).to_vec()].concat();
        let figures = figures(&lines).expect("figures");
        let ratio = figures.last().expect("a ratio");
        assert!((ratio.value - 12.0).abs() < 1e-6, "{ratio:?}");
        assert!((figures[0].value - 1e5 / ROWS).abs() < 1e-6, "{figures:?}");
        assert!(super::figures(&lines[..2]).is_err());
    }
}
