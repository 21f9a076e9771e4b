//! The client of `gguflab bench --endpoint` beside a mock server that stamps its own sends: 256 streams of 20 tokens a
//! second on whatever this machine has.
//!
//! Both read the same clock, so that each time of a request can be held against what the server did: the time from the
//! request's arrival to each of its sends. What lies between (the way to the server and back) counts as the client's.

mod peers;

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, test};
use anyhow::{Context, Result, bail};
use gguflab_stats::percentile;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Streams at once.
const STREAMS: [u32; 2] = [16, 256];
/// Seconds until the first token, and between tokens: 20 tokens a second, scattered.
const DELAYS: [&str; 4] = ["0.2", "0.6", "0.03", "0.07"];
/// What is asked for: requests of six seconds, in a window of fifteen.
const LINE: &str = "--prompt 64 --generate 120 --window 15s";
/// What a percentile may be off: a share of it, or so many milliseconds where that is more.
const SHARE: f64 = 0.01;
const MILLISECONDS: f64 = 0.2;
/// The most that starting may take, in milliseconds, and that the client may hold, in megabytes.
const MOST_START: f64 = 50.0;
const MOST_MEMORY: f64 = 40.0;

/// Each number of streams, and how long the program takes to be ready.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    test::build_programs(&request.environment)?;
    let server = build_mock(request)?;
    let mut figures = Vec::new();
    for streams in STREAMS {
        figures.extend(measure(&server, streams)?);
    }
    figures.push(start_up(&server)?);
    if request.peers {
        figures.extend(peers::run(&server)?);
    }
    Ok(figures)
}

fn build_mock(request: &Request) -> Result<PathBuf> {
    let mut cargo = request.environment.cargo();
    command::run(cargo.args(["build", "--release", "-p", "gguflab-engine", "--example", "mock_server"]))?;
    Ok(command::release_folder().join("examples").join(command::executable("mock_server")))
}

/// The mock server; it ends with the benchmark.
struct Mock {
    child: Child,
    url: String,
}

impl Mock {
    fn start(program: &Path, delays: [&str; 4]) -> Result<Mock> {
        let mut command = Command::new(program);
        let command = command.args(delays).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("could not start {}", program.display()))?;
        let mut port = String::new();
        let output = child.stdout.take().context("the mock server has no output")?;
        BufReader::new(output).read_line(&mut port)?;
        Ok(Mock { child, url: format!("http://127.0.0.1:{}", port.trim()) })
    }

    /// What it sent, by its name for the request.
    fn stamps(&self) -> Result<BTreeMap<String, Value>> {
        use std::io::{Read, Write};
        let address = self.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(b"GET /stamps HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (_, body) = text.split_once("\r\n\r\n").context("the mock server's answer has no body")?;
        let all: Vec<Value> = serde_json::from_str(body)?;
        let named = all.into_iter().map(|one| (one["id"].as_str().unwrap_or_default().to_owned(), one));
        Ok(named.collect())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to be done about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(server: &Path, streams: u32) -> Result<Vec<Figure>> {
    let mock = Mock::start(server, DELAYS)?;
    let record = process::fresh_file("load.json")?;
    let line =
        format!("-q bench --endpoint {} --concurrency {streams} --slo request<60s {LINE} --record", mock.url);
    let arguments = [process::words(&line), vec![record.clone().into()]].concat();
    let watched = process::watched(&process::gguflab(), &arguments)?;
    let record: Value = serde_json::from_str(&std::fs::read_to_string(record)?)?;
    let pairs = Pairs::of(&record, &mock.stamps()?)?;
    let mut figures = pairs.figures(streams)?;
    let client = &record["levels"][0]["client"];
    let number = |name: &str| client[name].as_f64().unwrap_or(f64::NAN);
    let of = |what: &str| format!("{streams} streams: {what}");
    figures.extend([
        Figure::new(of("share of the time that the client was at work"), 100.0 * number("share"), "%"),
        Figure::new(of("what came was stamped late by, on average"), 1e3 * number("late"), "ms"),
        Figure::new(
            of("CPU time of the client over its wall time"),
            100.0 * watched.own_cpu / watched.wall,
            "%",
        ),
        Figure::new(of("peak memory of the client"), watched.peak_memory / 1e6, "MB")
            .limited(Limit::AtMost(MOST_MEMORY)),
    ]);
    Ok(figures)
}

/// The same times by both clocks, in seconds.
#[derive(Default)]
struct Pairs {
    /// First token, between tokens, whole request: what the client saw, and what the server did.
    times: BTreeMap<&'static str, (Vec<f64>, Vec<f64>)>,
    requests: usize,
}

impl Pairs {
    fn of(record: &Value, stamps: &BTreeMap<String, Value>) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        let courses = record["levels"][0]["courses"].as_array().context("the record has no courses")?;
        for course in courses.iter().filter(|course| course["measured"] == true) {
            if course.get("failure").is_some() {
                bail!("a request failed: {}", course["failure"]);
            }
            let id = course["id"].as_str().unwrap_or_default();
            let sent = stamps.get(id).with_context(|| format!("the server knows no request `{id}`"))?;
            let (seen, due) = (numbers(&course["moments"]), number(&course["due"]));
            let (sends, received) = (numbers(&sent["tokens"]), number(&sent["received"]));
            if seen.len() != sends.len() || seen.is_empty() {
                bail!("request {id}: {} tokens came and {} were sent", seen.len(), sends.len());
            }
            pairs.add("first token", seen[0] - due, sends[0] - received);
            pairs.add("request", number(&course["end"]) - due, number(&sent["end"]) - received);
            for (seen, sends) in seen.windows(2).zip(sends.windows(2)) {
                pairs.add("between tokens", seen[1] - seen[0], sends[1] - sends[0]);
            }
            pairs.requests += 1;
        }
        Ok(pairs)
    }

    fn add(&mut self, name: &'static str, seen: f64, sent: f64) {
        let (all_seen, all_sent) = self.times.entry(name).or_default();
        all_seen.push(seen);
        all_sent.push(sent);
    }

    /// How far each percentile is off.
    fn figures(&self, streams: u32) -> Result<Vec<Figure>> {
        let mut figures =
            vec![Figure::new(format!("{streams} streams: requests measured"), self.requests as f64, "")];
        for (name, (seen, sent)) in &self.times {
            for (probability, label) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")] {
                let value = |values: &[f64]| {
                    let found = percentile(&[values], probability, 0.95);
                    found.estimate.map(|estimate| 1e3 * estimate.value)
                };
                // Requests are too few for a p99 of their own.
                let Some((seen, sent)) = value(seen).zip(value(sent)) else { continue };
                let allowed = (SHARE * sent).max(MILLISECONDS);
                let name = format!("{streams} streams: {label} of {name} ({sent:.2} ms), seen less sent");
                figures.push(Figure::new(name, (seen - sent).abs(), "ms").limited(Limit::AtMost(allowed)));
            }
        }
        Ok(figures)
    }
}

/// From the start of the program until the server has the first request: what it takes to be ready.
fn start_up(server: &Path) -> Result<Figure> {
    let mut seconds = Vec::new();
    for _ in 0..20 {
        let mock = Mock::start(server, ["0", "0", "0", "0"])?;
        let line =
            format!("-q bench --endpoint {} --requests 1 --prompt 8 --generate 1 --window 1ms", mock.url);
        let watched = process::watched(&process::gguflab(), &process::words(&line))?;
        seconds.push(watched.wall);
    }
    let name = "start, two requests of one token and end: wall time, median of 20";
    Ok(Figure::new(name, 1e3 * process::median(&seconds)?, "ms").limited(Limit::AtMost(MOST_START)))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|values| values.iter().map(number).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_held_against_what_the_server_did() {
        let course =
            json!({"id": "a", "measured": true, "due": 10.0, "moments": [10.2, 10.25], "end": 10.25});
        let record = json!({"levels": [{"courses": [course, {"measured": false}]}]});
        let sent = json!({"id": "a", "received": 1.0, "tokens": [1.19, 1.24], "end": 1.25});
        let stamps = BTreeMap::from([("a".to_owned(), sent)]);
        let pairs = Pairs::of(&record, &stamps).expect("pairs");
        let off = |name: &str| pairs.times[name].0[0] - pairs.times[name].1[0];
        assert!((off("first token") - 0.01).abs() < 1e-9 && off("between tokens").abs() < 1e-9);
        assert!(off("request").abs() < 1e-9 && pairs.requests == 1);
        assert!(Pairs::of(&record, &BTreeMap::new()).is_err(), "a request that the server does not know");
    }

    #[test]
    fn a_request_that_failed_is_no_figure() {
        let course = json!({"id": "a", "measured": true, "failure": {"kind": "refused", "cause": "x"}});
        assert!(Pairs::of(&json!({"levels": [{"courses": [course]}]}), &BTreeMap::new()).is_err());
    }
}
