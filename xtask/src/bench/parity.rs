//! The same cell measured by `gguflab bench` and by the real llama-bench of the same llama.cpp build: one thread,
//! CPU time, interleaved pairs in the order A B B A.
//!
//! What is compared is the CPU time of one measured repetition of the cell (pp512 or tg128), averaged over the
//! repetitions of a process. Whole processes are not the same work: each side starts, loads and warms up in its
//! own way (llama-bench generates one token to warm up, we generate two), and these parts would only dilute a
//! difference of the cell. Subtracting a short run from a long one would double the noise. So both sides are read
//! at the borders of their repetitions:
//!
//! - ours: the worker's own processor clock, all threads, which `--record` keeps as `cpu-time` of each repetition
//!   (`--retries 0`, so that a noisy repetition is not measured again);
//! - llama-bench: with `--progress` it says on standard error when a repetition begins; at each of these lines, and
//!   at the row with the result, the kernel's CPU clock of its process is read from outside (`python/stamp.py`).
//!   The first to the last of these readings is the repetitions and nothing else; that reading a line comes a few
//!   microseconds late shifts both ends alike.
//!
//! Few repetitions in many processes: where a process's memory happens to lie makes more of a difference than what follows
//! in it.
//!
//! The ratio of each pair is of two processes that ran one after the other; the interval is that of the
//! Hodges–Lehmann estimate over the log ratios (Wilcoxon's signed ranks, exact; `gguflab_stats::compare`). The CPU
//! time of whole processes, with start, load, warm-up and (ours) parent and worker together, is shown beside it.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, fetch, peer, test};
use anyhow::{Context, Result, bail};
use gguflab_types::{Outcome, Trial, metric};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One cell, as both programs are asked for it.
struct Cell {
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
    /// Part of the line that llama-bench says before each repetition.
    mark: &'static str,
    /// Measured repetitions in each process, on both sides.
    repetitions: usize,
}

const PREFILL: Cell = Cell {
    name: "pp512",
    ours: "--prompt 512 --generate 0",
    theirs: "-p 512 -n 0",
    mark: ": prompt run ",
    repetitions: 1,
};

const DECODE: Cell = Cell {
    name: "tg128",
    ours: "--prompt 0 --generate 128",
    theirs: "-p 0 -n 128",
    mark: ": generation run ",
    repetitions: 2,
};

/// The most that the interval may reach from no difference, in percent.
const MARGIN: f64 = 1.0;

/// The prompt.
pub(super) fn prefill(request: &Request) -> Result<Vec<Figure>> {
    run(&PREFILL, request)
}

/// Generation.
pub(super) fn decode(request: &Request) -> Result<Vec<Figure>> {
    run(&DECODE, request)
}

fn run(cell: &Cell, request: &Request) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    if !model.is_real {
        bail!("the comparison is made on the real demo model, which could not be fetched");
    }
    test::build_programs(&request.environment)?;
    let folder = peer::build(&request.environment, &["llama-bench"])?;
    let sides = Sides {
        model: model.path,
        ours: process::gguflab(),
        theirs: folder.join(command::executable("llama-bench")),
        record: process::fresh_file("parity-record.json")?,
    };
    compare(cell, &sides, request.pairs)
}

/// The two programs and what they are given.
struct Sides {
    model: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
    record: PathBuf,
}

/// CPU seconds of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    /// Of one repetition, on average.
    repetition: f64,
    /// Of all, children included.
    whole: f64,
}

fn compare(cell: &Cell, sides: &Sides, pairs: usize) -> Result<Vec<Figure>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        for our_turn in if pair % 2 == 0 { [true, false] } else { [false, true] } {
            match our_turn {
                true => ours.push(measure_ours(cell, sides)?),
                false => theirs.push(measure_theirs(cell, sides)?),
            }
        }
        if let (Some(one), Some(other)) = (ours.last(), theirs.last()) {
            let (one, other) = (one.repetition, other.repetition);
            eprintln!("bench: {} pair {} of {pairs}: {one:.4} s and {other:.4} s", cell.name, pair + 1);
        }
    }
    figures(cell.name, &ours, &theirs)
}

fn figures(cell: &str, ours: &[Measured], theirs: &[Measured]) -> Result<Vec<Figure>> {
    let column = |side: &[Measured], pick: fn(&Measured) -> f64| side.iter().map(pick).collect::<Vec<f64>>();
    let pair = |pick| (column(ours, pick), column(theirs, pick));
    let difference = |name: String, (one, other): &(Vec<f64>, Vec<f64>)| {
        let comparison = gguflab_stats::compare(one, other, gguflab_stats::CONFIDENCE);
        let comparison = comparison.context("no pair has two times above 0")?;
        anyhow::Ok(Figure::percent(name, &comparison.difference))
    };
    let (repetition, whole) = (pair(|measured| measured.repetition), pair(|measured| measured.whole));
    let pairs = ours.len();
    Ok(vec![
        difference(format!("{cell}: our CPU time above llama-bench's, {pairs} pairs"), &repetition)?
            .limited(Limit::Within(MARGIN)),
        Figure::new(format!("{cell}: our median"), process::median(&repetition.0)?, "s"),
        Figure::new(format!("{cell}: llama-bench's median"), process::median(&repetition.1)?, "s"),
        difference(format!("{cell}: the same of whole processes"), &whole)?,
    ])
}

fn measure_ours(cell: &Cell, sides: &Sides) -> Result<Measured> {
    let line = format!(
        "bench --engine embedded --set threads=1 --random-tokens --visits 1 --retries 0 --quiet -r {} {} --record",
        cell.repetitions, cell.ours
    );
    let paths = [sides.record.clone().into(), sides.model.clone().into()];
    let stamped = process::stamped(&sides.ours, &[process::words(&line), paths.to_vec()].concat())?;
    let record =
        std::fs::read(&sides.record).with_context(|| format!("could not read {}", sides.record.display()))?;
    let times = recorded_times(&record, &sides.record)?;
    if times.len() != cell.repetitions {
        bail!("{} repetitions were asked for and {} were recorded", cell.repetitions, times.len());
    }
    let repetition = times.iter().sum::<f64>() / times.len() as f64;
    Ok(Measured { repetition, whole: stamped.total })
}

/// The `cpu-time` of each repetition in a record of one visit.
fn recorded_times(record: &[u8], path: &Path) -> Result<Vec<f64>> {
    let about = || format!("{} is no record of a bench", path.display());
    let mut record: serde_json::Value = serde_json::from_slice(record).with_context(about)?;
    let trials: Vec<Trial> = serde_json::from_value(record["trials"].take()).with_context(about)?;
    let [trial] = trials.as_slice() else { bail!("{} visits instead of one", trials.len()) };
    match &trial.ending {
        Some(ending) if ending.outcome == Outcome::Measured => {}
        ending => bail!("nothing was measured: {ending:?}"),
    }
    let times = trial.repetitions.iter().filter(|repetition| repetition.request.is_some());
    let times = times.map(|repetition| repetition.value(metric::CPU_TIME).context("without CPU time"));
    times.collect()
}

fn measure_theirs(cell: &Cell, sides: &Sides) -> Result<Measured> {
    let line = format!("-t 1 --progress -o jsonl -r {} {} -m", cell.repetitions, cell.theirs);
    let arguments: Vec<OsString> = [process::words(&line), vec![sides.model.clone().into()]].concat();
    let stamped = process::stamped(&sides.theirs, &arguments)?;
    let whole = stamped.total;
    let time = stamped_time(&stamped.lines, cell.mark, cell.repetitions)?;
    Ok(Measured { repetition: time / cell.repetitions as f64, whole })
}

/// CPU seconds from the first repetition's line to the row with the result.
fn stamped_time(lines: &[(f64, String)], mark: &str, repetitions: usize) -> Result<f64> {
    let begins: Vec<f64> = lines.iter().filter(|(_, line)| line.contains(mark)).map(|line| line.0).collect();
    let row = lines.iter().find(|(_, line)| line.starts_with('{')).map(|line| line.0);
    let (Some(first), Some(end)) = (begins.first(), row) else {
        bail!("llama-bench said neither when its repetitions begin nor how they ended: {lines:?}");
    };
    if begins.len() != repetitions {
        bail!("llama-bench began {} repetitions instead of {repetitions}", begins.len());
    }
    let time = end - first;
    if !(time.is_finite() && time > 0.0) {
        bail!("this system does not tell the CPU time of a running process; the comparison needs Linux");
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(f64, String)> {
        let split = |line: &str| {
            line.split_once(' ').map(|(stamp, rest)| (stamp.parse().expect("number"), rest.into()))
        };
        text.lines().filter_map(split).collect()
    }

    #[test]
    fn the_warm_up_is_left_out() {
        let said = lines(
            "0.1 llama-bench: benchmark 1/1: starting\n0.2 llama-bench: benchmark 1/1: warmup prompt run\n\
             3.5 llama-bench: benchmark 1/1: prompt run 1/2\n6.5 llama-bench: benchmark 1/1: prompt run 2/2\n\
             9.75 {\"build_commit\": \"unknown\"}",
        );
        assert_eq!(stamped_time(&said, PREFILL.mark, 2).expect("times"), 6.25);
        assert!(stamped_time(&said, PREFILL.mark, 3).is_err(), "a repetition is missing");
        assert!(stamped_time(&said[..4], PREFILL.mark, 2).is_err(), "the row is missing");
    }

    #[test]
    fn a_system_that_tells_nothing_is_an_error() {
        let said = lines("nan x: prompt run 1/1\nnan {}");
        let error = stamped_time(&said, PREFILL.mark, 1).expect_err("no times").to_string();
        assert!(error.contains("needs Linux"), "{error}");
    }

    #[test]
    fn records_give_the_time_of_each_repetition() {
        let record = |outcome: &str| {
            let repetition = |request: &str, value: f64| {
                format!(
                    "{{\"request\":{request},\"index\":0,\"started\":1,\"duration\":1,\"state\":{},\"noisy\":null,\
                     \"samples\":[{{\"metric\":\"cpu-time\",\"values\":[{value}]}}]}}",
                    serde_json::to_string(&gguflab_types::MachineState::default()).expect("state")
                )
            };
            let all = [repetition("null", 9.0), repetition("0", 1.5), repetition("0", 2.5)].join(",");
            format!(
                "{{\"trials\":[{{\"number\":0,\"configuration\":{{}},\"purpose\":\"bench\",\"round\":0,\"started\":1,\
                 \"duration\":1,\"ending\":{{\"outcome\":\"{outcome}\",\"cause\":\"\"}},\"repetitions\":[{all}]}}]}}"
            )
        };
        let path = Path::new("r.json");
        assert_eq!(recorded_times(record("measured").as_bytes(), path).expect("times"), [1.5, 2.5]);
        assert!(recorded_times(record("crashed").as_bytes(), path).is_err());
        let error = recorded_times(b"{}", path).expect_err("no record").to_string();
        assert!(error.contains("r.json"), "{error}");
    }

    #[test]
    fn equal_sides_are_within_the_margin() {
        let side = |factor: f64| -> Vec<Measured> {
            let times = (0..20).map(|pair| 3.0 + 0.01 * f64::from(pair % 3));
            times.map(|time| Measured { repetition: time * factor, whole: time + 1.0 }).collect()
        };
        let found = figures("pp512", &side(1.002), &side(1.0)).expect("figures");
        let (low, high) = found[0].interval.expect("interval");
        assert!(low > 0.19 && high < 0.21 && found[0].limit == Limit::Within(MARGIN), "{low} {high}");
        assert_eq!((found[1].unit, found[3].value), ("s", 0.0));
    }
}
