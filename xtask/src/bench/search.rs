//! The search beside Optuna's TPE and random search, on simulated machines whose true speed is known.
//!
//! The machines are those of the example `search_arena` of the laboratory; a run is one repetition, failures included.
//! The loss of a run is how much slower the configuration is that the search would recommend after it than the best of
//! the whole lattice, without noise. All searches run interleaved over the same seeds.

use super::Request;
use super::figure::{Figure, Limit};
use crate::{command, python};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Runs of each search.
const RUNS: usize = 80;
/// The most that the median loss may be in the end, and its 90th percentile, in percent.
const MEDIAN: f64 = 1.0;
const TAIL: f64 = 3.0;
/// The loss that counts as found, as a share, and the runs that finding it may take.
const FOUND: f64 = 0.02;
const SOON: f64 = 40.0;
/// The most failed runs after the opening.
const FAILURES: f64 = 10.0;
/// The most milliseconds that a proposal may take.
const PROPOSAL: f64 = 50.0;
const SEARCHES: [&str; 3] = ["gguflab", "tpe", "random"];

/// All machines, all searches, as many seeds as pairs are asked for.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let mut cargo = request.environment.cargo();
    command::run(cargo.args(["build", "--release", "-p", "gguflab-lab", "--example", "search_arena"]))?;
    let folder = command::release_folder().join("examples");
    let arena = folder.join(command::executable("search_arena"));
    let interpreter = python::interpreter(&python::OPTUNA)?;
    let machines = command::capture(Command::new(&arena).arg("machines"))?;
    let mut figures = Vec::new();
    for line in machines.lines() {
        let about: Value = serde_json::from_str(line).context("search_arena machines")?;
        let course = Course { arena: &arena, interpreter: &interpreter, line, about: &about };
        figures.extend(course.describe()?);
        let found = course.run_all(request.pairs)?;
        figures.extend(course.figures(&found));
    }
    Ok(figures)
}

/// One machine.
struct Course<'a> {
    arena: &'a Path,
    interpreter: &'a Path,
    line: &'a str,
    about: &'a Value,
}

/// What came of one search with one seed.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    search: &'static str,
    /// After each run; infinite before anything ran.
    losses: Vec<f64>,
    failed: f64,
    /// Seconds of the slowest proposal.
    slowest: f64,
}

impl Course<'_> {
    fn name(&self) -> Result<&str> {
        self.about["machine"].as_str().context("a machine without a name")
    }

    fn describe(&self) -> Result<Vec<Figure>> {
        let name = self.name()?;
        let number = |key: &str| self.about[key].as_f64().with_context(|| format!("{name} without {key}"));
        Ok(vec![
            Figure::new(format!("{name}: points"), number("size")?, ""),
            Figure::new(format!("{name}: points that cannot run"), 100.0 * number("cannot_run")?, "%"),
            Figure::new(
                format!("{name}: points within 2 % of the best"),
                100.0 * number("within_2_percent")?,
                "%",
            ),
        ])
    }

    /// Every search with every seed, on as many processors as there are.
    fn run_all(&self, seeds: usize) -> Result<Vec<Found>> {
        let mut jobs: Vec<(usize, &'static str)> = (1..=seeds)
            .rev()
            .flat_map(|seed| SEARCHES.iter().rev().map(move |search| (seed, *search)))
            .collect();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (queue, found) = (Mutex::new(&mut jobs), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let job = queue.lock().map_err(|_| anyhow::anyhow!("a worker died"))?.pop();
                    let Some((seed, search)) = job else { return Ok(()) };
                    let one = self.run_one(seed, search)?;
                    found.lock().map_err(|_| anyhow::anyhow!("a worker died"))?.push(one);
                }
            };
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            handles.into_iter().try_for_each(|handle| match handle.join() {
                Ok(done) => done,
                Err(_) => bail!("a worker died"),
            })
        })?;
        found.into_inner().context("a worker died")
    }

    fn run_one(&self, seed: usize, search: &'static str) -> Result<Found> {
        let (seed, runs) = (seed.to_string(), RUNS.to_string());
        let mut line = match search {
            "gguflab" => {
                let mut line = Command::new(self.arena);
                line.args(["run", self.name()?, &seed, "auto", &runs]);
                line.env("ARENA_BEST", self.about["best"].to_string());
                line
            }
            other => {
                let mut line = Command::new(self.interpreter);
                line.arg(script()).arg(self.arena).args([self.line, &seed, other, &runs]);
                line
            }
        };
        let answer: Value = serde_json::from_str(&command::capture(&mut line)?)?;
        Ok(if search == "gguflab" { ours(&answer) } else { theirs(&answer, search) })
    }

    fn figures(&self, found: &[Found]) -> Vec<Figure> {
        let machine = self.about["machine"].as_str().unwrap_or_default();
        SEARCHES.iter().flat_map(|search| figures(machine, search, found)).collect()
    }
}

fn script() -> PathBuf {
    command::root().join("xtask").join("python").join("optuna_arena.py")
}

fn ours(answer: &Value) -> Found {
    let runs = answer["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let opening = |run: &&Value| matches!(run["purpose"].as_str(), Some("baseline" | "screen"));
    let failed = runs.iter().filter(|run| !opening(run) && run["failed"] == true).count();
    let losses = runs.iter().map(|run| run["loss"].as_f64().unwrap_or(f64::INFINITY)).collect();
    Found {
        search: "gguflab",
        losses: padded(losses),
        failed: failed as f64,
        slowest: answer["slowest"].as_f64().unwrap_or(f64::INFINITY),
    }
}

fn theirs(answer: &Value, search: &'static str) -> Found {
    let losses = answer["losses"].as_array().map_or(&[][..], Vec::as_slice);
    Found {
        search,
        losses: padded(losses.iter().map(|loss| loss.as_f64().unwrap_or(f64::INFINITY)).collect()),
        failed: answer["failed"].as_f64().unwrap_or(f64::INFINITY),
        slowest: answer["slowest"].as_f64().unwrap_or(f64::INFINITY),
    }
}

/// A search that ended early keeps its last loss.
fn padded(mut losses: Vec<f64>) -> Vec<f64> {
    let last = losses.last().copied().unwrap_or(f64::INFINITY);
    losses.resize(RUNS, last);
    losses
}

fn figures(machine: &str, search: &str, found: &[Found]) -> Vec<Figure> {
    let own: Vec<&Found> = found.iter().filter(|one| one.search == search).collect();
    let after = |run: usize, share: f64| quantile(own.iter().map(|one| one.losses[run - 1]).collect(), share);
    let label = |what: &str| format!("{machine}, {search}: {what}");
    let limit = |limit| if search == "gguflab" { limit } else { Limit::Free };
    let stays = (1..=RUNS).rev().take_while(|run| after(*run, 0.5) <= FOUND).last();
    let soon = stays.map_or(f64::INFINITY, |run| run as f64);
    let failed = quantile(own.iter().map(|one| one.failed).collect(), 0.5);
    let slowest = own.iter().map(|one| one.slowest).fold(0.0, f64::max);
    vec![
        Figure::new(label("runs until the median loss stays at most 2 %"), soon, "")
            .limited(limit(Limit::AtMost(SOON))),
        Figure::new(label("median loss after 40 runs"), 100.0 * after(40, 0.5), "%"),
        Figure::new(label("median loss after 80 runs"), 100.0 * after(RUNS, 0.5), "%")
            .limited(limit(Limit::AtMost(MEDIAN))),
        Figure::new(label("90th percentile of the loss after 80 runs"), 100.0 * after(RUNS, 0.9), "%")
            .limited(limit(Limit::AtMost(TAIL))),
        Figure::new(label("failed runs (of ours, after the opening), median"), failed, "")
            .limited(limit(Limit::AtMost(FAILURES))),
        Figure::new(label("slowest proposal"), 1e3 * slowest, "ms").limited(limit(Limit::AtMost(PROPOSAL))),
    ]
}

/// The value below which a share of the values lies: the one at the nearest place.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(place).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn runs_until_it_stays_found_are_counted_from_the_end() {
        let run = |loss: f64| json!({"loss": loss, "failed": false, "purpose": "search"});
        let mut runs: Vec<Value> = [0.5, 0.01, 0.03].into_iter().map(run).collect();
        runs.push(json!({"loss": 0.01, "failed": true, "purpose": "search"}));
        runs.push(json!({"loss": 0.01, "failed": true, "purpose": "screen"}));
        let one = ours(&json!({"runs": runs, "slowest": 0.02}));
        assert_eq!((one.losses.len(), one.failed), (RUNS, 1.0));
        let found = figures("m", "gguflab", &[one]);
        assert_eq!((found[0].value, found[2].value), (4.0, 1.0));
        assert_eq!(found[5].value, 20.0);
    }

    #[test]
    fn a_search_that_finds_nothing_says_so() {
        let one = theirs(&json!({"losses": [null, 0.3], "failed": 1, "slowest": 0.1}), "tpe");
        assert_eq!(one.losses[0], f64::INFINITY);
        assert_eq!(figures("m", "tpe", &[one])[0].value, f64::INFINITY);
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
    }
}
