//! How long `gguflab --help` takes: what every call pays at least.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, install, test};
use anyhow::{Context, Result};

/// Wall and CPU time, medians of 20 runs.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    test::build_programs(&request.environment)?;
    let mut python = install::python()?;
    python.args(["-c", include_str!("../../python/measure.py"), "20"]);
    let (wall, cpu) = medians_of_runs(&command::capture(python.arg(process::gguflab()).arg("--help"))?)?;
    let wall = Figure::new("wall time", wall * 1e3, "ms").limited(Limit::AtMost(10.0));
    Ok(vec![wall, Figure::new("CPU time", cpu * 1e3, "ms")])
}

/// Medians of the two columns that `measure.py` prints, in seconds.
fn medians_of_runs(text: &str) -> Result<(f64, f64)> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (wall, cpu) = line.split_once(' ').with_context(|| format!("not two numbers: `{line}`"))?;
        walls.push(wall.parse::<f64>().with_context(|| format!("not a number: `{wall}`"))?);
        cpus.push(cpu.parse::<f64>().with_context(|| format!("not a number: `{cpu}`"))?);
    }
    Ok((process::median(&walls)?, process::median(&cpus)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_both_columns() {
        let (wall, cpu) = medians_of_runs("0.003 0.1\n0.001 0.3\n0.002 0.2\n0.004 0.4").expect("numbers");
        assert!((wall - 0.0025).abs() < 1e-12 && (cpu - 0.25).abs() < 1e-12);
        assert!(medians_of_runs("").is_err() && medians_of_runs("0.1 fast").is_err());
    }
}
