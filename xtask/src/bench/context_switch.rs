//! What a trial costs that changes context knobs only: CPU time above its decode work, on a loaded model.
//!
//! The worker is driven over its own protocol. The model is loaded once; then trials alternate between ubatch 64 and
//! 128, so that every one needs a new context. The worker tells the CPU time of the whole `bench` order and of each
//! measured repetition; the difference is what this benchmark is about: freeing the old context, making the new one
//! (its KV cache is cleared, so its pages are touched), tokenising the prompt text, planning the graphs. There is no
//! warm-up (it is decode work, and its time is not told apart), so the first decode also touches its work buffers
//! for the first time. That happens inside the repetition and is decode time here; in a real trial the warm-up takes
//! it. How much that is, is measured by repeating one small request in a fresh context, and shown.
//!
//! Three kinds of trials: a context of 2,048 tokens in which nothing is decoded, which isolates the cost; a small
//! trial with its decode work; and a few whole trials that fill 2,048 tokens. All run on one thread: with more,
//! OpenMP's idle threads go on spinning for milliseconds after each decode (`OMP_WAIT_POLICY`), which is waiting,
//! not work; the small trial is shown with all threads too.

use super::figure::{Figure, Limit};
use super::{Request as BenchRequest, process};
use crate::{fetch, test};
use anyhow::{Context, Result, bail};
use gguflab_types::message::{Command, Message, Order};
use gguflab_types::{Configuration, Protocol, Request, Value, Workload};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The most that a switch may cost, in milliseconds.
const MOST: f64 = 20.0;
/// Whole trials at 2,048 tokens take seconds each, and their number needs no statistics.
const MOST_WHOLE_TRIALS: usize = 3;

const LARGE: Request = Request::new(2040, 8);
const SMALL: Request = Request::new(16, 8);

/// Figures in milliseconds of CPU time.
pub(super) fn run(request: &BenchRequest) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    if !model.is_real {
        bail!("the cost is that of the real demo model, which could not be fetched");
    }
    test::build_programs(&request.environment)?;
    let mut worker = Worker::start()?;
    let path = model.path.display().to_string();
    worker.order(Order::Load { path, configuration: Configuration::new() })?;
    let switches = request.pairs;
    let (mut empty, mut touched) = (Vec::new(), Vec::new());
    for _ in 0..=switches {
        empty.push(worker.trial(&[LARGE, SMALL], 0, 1)?);
        let (first, second) = (worker.repeat(1)?, worker.repeat(1)?);
        touched.push(first - second);
    }
    let small = repeated(switches + 1, || worker.trial(&[SMALL], 1, 1))?;
    let all = u32::try_from(std::thread::available_parallelism().map_or(1, usize::from))?;
    let spinning = repeated(switches + 1, || worker.trial(&[SMALL], 1, all))?;
    let large = repeated(switches.min(MOST_WHOLE_TRIALS) + 1, || worker.trial(&[LARGE], 1, 1))?;
    let limited = |name, costs: &[f64]| anyhow::Ok(figure(name, costs)?.limited(Limit::AtMost(MOST)));
    Ok(vec![
        limited("context of 2,048 tokens, nothing decoded", &empty)?,
        limited("trial of 16 + 8 tokens, above its decode work", &small)?,
        limited("trial of 2,040 + 8 tokens, above its decode work", &large)?,
        figure(&format!("trial of 16 + 8 tokens on {all} threads"), &spinning)?,
        figure("first touch of work buffers, inside the first decode", &touched)?,
    ])
}

fn repeated(count: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    (0..count).map(|_| measure()).collect()
}

/// The median without the first value: that one changes more than the context's knobs.
fn figure(name: &str, seconds: &[f64]) -> Result<Figure> {
    let switches = seconds.get(1..).unwrap_or_default();
    let name = format!("{name}: CPU time, median of {}", switches.len());
    Ok(Figure::new(name, 1e3 * process::median(switches)?, "ms"))
}

/// A running worker; dropping it ends it.
struct Worker {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    orders: u64,
    trials: u32,
}

/// CPU seconds that the worker told for one order.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Of the whole order; 0 where it tells none.
    whole: f64,
    /// Of its repetitions together.
    repetitions: f64,
}

impl Worker {
    fn start() -> Result<Worker> {
        let program = process::worker();
        let mut command = std::process::Command::new(&program);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process =
            command.spawn().with_context(|| format!("could not start {}", program.display()))?;
        let pipes = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = pipes else { bail!("the worker has no pipes") };
        Ok(Worker { process, input, output: BufReader::new(output).lines(), orders: 0, trials: 0 })
    }

    /// A trial with other context settings than the one before; CPU seconds above its repetitions.
    fn trial(&mut self, requests: &[Request], repetitions: u32, threads: u32) -> Result<f64> {
        self.trials += 1;
        let ubatch = if self.trials.is_multiple_of(2) { 64 } else { 128 };
        let told = self.order(Order::Bench {
            configuration: Configuration::new().with("ubatch", Value::Integer(ubatch)),
            workload: Workload { name: "context-switch".into(), requests: requests.to_vec() },
            protocol: Protocol { repetitions, warmup: 0, ..Protocol::default() },
            threads,
        })?;
        Ok(told.whole - told.repetitions)
    }

    /// CPU seconds of one more repetition of a request in the context of the last trial.
    fn repeat(&mut self, index: u32) -> Result<f64> {
        Ok(self.order(Order::Repeat { index })?.repetitions)
    }

    fn order(&mut self, order: Order) -> Result<Told> {
        self.orders += 1;
        let mut line = serde_json::to_vec(&Command { request: self.orders, order })?;
        line.push(b'\n');
        self.input.write_all(&line).context("the worker takes no orders")?;
        let mut told = Told::default();
        loop {
            let line = self.output.next().context("the worker has ended")??;
            // What native code prints by itself is no message.
            let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
            if told.take(message)? {
                return Ok(told);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Told {
    /// Adds what a message tells; true at the end of the order.
    fn take(&mut self, message: Message) -> Result<bool> {
        match message {
            Message::Repetition { index: Some(_), cpu_time, .. } => self.repetitions += cpu_time,
            Message::Repetition { index: None, cpu_time, .. } => self.whole = cpu_time,
            Message::Done { .. } => return Ok(true),
            Message::Failed { failure, .. } => bail!("the worker failed: {}", failure.reason),
            _ => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetition(index: Option<u32>, cpu_time: f64) -> Message {
        Message::Repetition { request: 1, index, duration: 1.0, cpu_time, samples: Vec::new() }
    }

    #[test]
    fn repetitions_are_told_apart_from_the_whole() {
        let mut told = Told::default();
        for message in [repetition(Some(0), 1.0), repetition(Some(1), 2.0), repetition(None, 3.5)] {
            assert!(!told.take(message).expect("goes on"));
        }
        assert!(told.take(Message::Done { request: 1 }).expect("ends"));
        assert_eq!(told, Told { whole: 3.5, repetitions: 3.0 });
    }

    #[test]
    fn the_first_value_is_left_out() {
        let figure = figure("switch", &[9.0, 0.001, 0.003, 0.002]).expect("values");
        assert!((figure.value - 2.0).abs() < 1e-9 && figure.name.ends_with("median of 3"), "{}", figure.name);
        assert!(super::figure("switch", &[1.0]).is_err());
    }
}
