//! The same load by others' clients: what they tell beside what the server did, and what they take for it.

use super::{DELAYS, Mock, Pairs, number, numbers};
use crate::bench::figure::Figure;
use crate::bench::process;
use crate::{command, install, python};
use anyhow::{Context, Result, bail};
use gguflab_stats::quantile::sample_quantile;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Streams at once.
const STREAMS: [u32; 2] = [16, 256];
/// Rounds, in each of which every client has its turn.
const ROUNDS: usize = 2;
/// Requests of each client at once.
const REQUESTS: u32 = 3;
/// Tokens of prompt and answer.
const TOKENS: [u32; 2] = [64, 120];
/// Starts that are timed.
const STARTS: usize = 5;

/// One client.
struct Client {
    name: &'static str,
    /// Its program and arguments for a load; where it writes is given with it.
    line: fn(&Tools, &Load<'_>, &Path) -> Vec<OsString>,
    /// What it wrote.
    read: fn(&Path) -> Result<Seen>,
}

/// What a client tells, in seconds.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: usize,
    first: Vec<f64>,
    /// Empty where only the mean of each request is kept.
    between: Vec<f64>,
    /// The mean time between the tokens of each request.
    means: Vec<f64>,
    /// Which requests it tells of, by the server's names; empty where it does not keep them, and then of all.
    names: BTreeSet<String>,
}

const CLIENTS: [Client; 3] = [
    Client { name: "gguflab", line: own_line, read: own_times },
    Client { name: "AIPerf 0.13.0", line: aiperf_line, read: aiperf_times },
    Client { name: "GuideLLM 0.8.1", line: guidellm_line, read: guidellm_times },
];

/// What the clients need.
struct Tools {
    python: PathBuf,
    tokenizer: PathBuf,
    /// The folder in which a stand-in for torch lies.
    torch: PathBuf,
}

/// One load.
struct Load<'a> {
    url: &'a str,
    streams: u32,
    requests: u32,
    tokens: [u32; 2],
}

/// What a client took and told, over all rounds.
#[derive(Default)]
struct Account {
    pairs: Pairs,
    cpu: f64,
    wall: f64,
    memory: f64,
}

/// Each number of streams by each client in turn, and how long each takes to start.
pub(super) fn run(server: &Path) -> Result<Vec<Figure>> {
    let tools = tools()?;
    let mut figures = Vec::new();
    for streams in STREAMS {
        let mut accounts: [Account; CLIENTS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for (client, account) in CLIENTS.iter().zip(&mut accounts) {
                let mock = Mock::start(server, DELAYS)?;
                let requests = streams * REQUESTS;
                let load = Load { url: &mock.url, streams, requests, tokens: TOKENS };
                measure(client, &tools, &load, &mock, account)
                    .with_context(|| format!("{} at {streams} streams", client.name))?;
            }
        }
        for (client, account) in CLIENTS.iter().zip(&accounts) {
            figures.extend(account.figures(client.name, streams));
        }
    }
    for client in &CLIENTS {
        figures.push(start_up(client, &tools, server)?);
    }
    Ok(figures)
}

fn tools() -> Result<Tools> {
    let python = python::interpreter(&python::LOAD_CLIENTS)?;
    let (tokenizer, torch) = (folder("load-tokenizer")?, folder("load-torch")?);
    for (text, folder) in [
        (include_str!("../../../python/byte_tokenizer.py"), &tokenizer),
        (include_str!("../../../python/torch_stand_in.py"), &torch),
    ] {
        command::capture(std::process::Command::new(&python).args(["-c", text]).arg(folder))?;
    }
    Ok(Tools { python, tokenizer, torch })
}

fn measure(
    client: &Client,
    tools: &Tools,
    load: &Load<'_>,
    mock: &Mock,
    account: &mut Account,
) -> Result<()> {
    let place = folder("load-client")?;
    let [wall, cpu, memory] = watched(&(client.line)(tools, load, &place))?;
    account.wall += wall;
    account.cpu += cpu;
    account.memory = account.memory.max(memory);
    let seen = (client.read)(&place)?;
    let mut stamps = mock.stamps()?;
    stamps.retain(|name, _| seen.names.is_empty() || seen.names.contains(name));
    if stamps.len() != seen.requests || seen.requests == 0 {
        bail!("it tells of {} requests, and the server answered {}", seen.requests, stamps.len());
    }
    for sent in stamps.values() {
        let (sends, received) = (numbers(&sent["tokens"]), number(&sent["received"]));
        account.pairs.sent("first token", sends.first().map(|first| first - received));
        if !seen.between.is_empty() {
            account.pairs.sent("between tokens", sends.windows(2).map(|pair| pair[1] - pair[0]));
        }
        account.pairs.sent("mean between tokens", mean_gap(&sends));
        account.pairs.requests += 1;
    }
    account.pairs.seen("first token", seen.first);
    account.pairs.seen("between tokens", seen.between);
    account.pairs.seen("mean between tokens", seen.means);
    Ok(())
}

/// The mean of the times between moments; none where there is but one.
fn mean_gap(moments: &[f64]) -> Option<f64> {
    let (first, last) = (moments.first()?, moments.last()?);
    (moments.len() > 1).then(|| (last - first) / (moments.len() - 1) as f64)
}

impl Pairs {
    fn seen(&mut self, name: &'static str, times: impl IntoIterator<Item = f64>) {
        self.times.entry(name).or_default().0.extend(times);
    }

    fn sent(&mut self, name: &'static str, times: impl IntoIterator<Item = f64>) {
        self.times.entry(name).or_default().1.extend(times);
    }
}

impl Account {
    fn figures(&self, client: &str, streams: u32) -> Vec<Figure> {
        let of = |what: &str| format!("{streams} streams, {client}: {what}");
        let mut figures = vec![
            Figure::new(of("requests"), self.pairs.requests as f64, ""),
            Figure::new(of("CPU time over wall time"), 100.0 * self.cpu / self.wall, "%"),
            Figure::new(of("CPU time"), self.cpu / ROUNDS as f64, "s"),
            Figure::new(of("wall time"), self.wall / ROUNDS as f64, "s"),
            Figure::new(of("peak memory of all its processes"), self.memory / 1e6, "MB"),
        ];
        for (name, (seen, sent)) in self.pairs.times.iter().filter(|(_, (seen, _))| !seen.is_empty()) {
            for (probability, label) in [(0.5, "p50"), (0.99, "p99")] {
                let value = |times: &[f64]| {
                    let mut sorted = times.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    sample_quantile(&sorted, probability).map_or(f64::NAN, |value| 1e3 * value)
                };
                let (seen, sent) = (value(seen), value(sent));
                let what = format!("{label} of {name} ({sent:.2} ms), seen less sent");
                figures.push(Figure::new(of(&what), seen - sent, "ms"));
            }
        }
        figures
    }
}

/// From the start of the program to its end around one request of one token.
fn start_up(client: &Client, tools: &Tools, server: &Path) -> Result<Figure> {
    let mut seconds = Vec::new();
    for _ in 0..STARTS {
        let mock = Mock::start(server, ["0"; 4])?;
        let load = Load { url: &mock.url, streams: 1, requests: 1, tokens: [8, 1] };
        seconds.push(watched(&(client.line)(tools, &load, &folder("load-client")?))?[0]);
    }
    let name =
        format!("{}: start, a request of one token and end: wall time, median of {STARTS}", client.name);
    Ok(Figure::new(name, 1e3 * process::median(&seconds)?, "ms"))
}

/// A folder below `target/bench` in which nothing is.
fn folder(name: &str) -> Result<PathBuf> {
    let place = process::fresh_file("load-client.json")?.with_file_name(name);
    if place.is_dir() {
        std::fs::remove_dir_all(&place).with_context(|| format!("could not remove {}", place.display()))?;
    }
    std::fs::create_dir_all(&place).with_context(|| format!("could not make {}", place.display()))?;
    Ok(place)
}

/// Wall time, CPU time and peak memory of a program with all its children (`python/watch_all.py`).
fn watched(line: &[OsString]) -> Result<[f64; 3]> {
    let mut python = install::python()?;
    let text =
        command::capture(python.args(["-c", include_str!("../../../python/watch_all.py")]).args(line))?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().map_err(|_| anyhow::anyhow!("not three numbers: `{text}`"))
}

fn own_line(_: &Tools, load: &Load<'_>, place: &Path) -> Vec<OsString> {
    let Load { url, streams, requests, tokens: [prompt, generate] } = load;
    let line = format!(
        "-q bench --endpoint {url} --concurrency {streams} --requests {requests} --prompt {prompt} --generate {generate} \
         --window 1h --record"
    );
    let program = vec![process::gguflab().into_os_string()];
    [program, process::words(&line), vec![place.join("record.json").into()]].concat()
}

/// All requests of the record, those of the warm-up too: the others have none.
fn own_times(place: &Path) -> Result<Seen> {
    let record: Value = serde_json::from_str(&std::fs::read_to_string(place.join("record.json"))?)?;
    let courses = record["levels"][0]["courses"].as_array().context("the record has no courses")?;
    let mut seen = Seen::default();
    for course in courses {
        let (moments, due) = (numbers(&course["moments"]), number(&course["due"]));
        seen.requests += 1;
        seen.first.extend(moments.first().map(|first| first - due));
        seen.between.extend(moments.windows(2).map(|pair| pair[1] - pair[0]));
        seen.means.extend(mean_gap(&moments));
        seen.names.extend(course["id"].as_str().map(str::to_owned));
    }
    Ok(seen)
}

fn aiperf_line(tools: &Tools, load: &Load<'_>, place: &Path) -> Vec<OsString> {
    let Load { url, streams, requests, tokens: [prompt, generate] } = load;
    let line = format!(
        "-m aiperf profile --model mock-model --url {url} --endpoint-type completions --streaming --concurrency {streams} \
         --request-count {requests} --isl {prompt} --isl-stddev 0 --osl {generate} --osl-stddev 0 \
         --use-server-token-count --ui none --export-level records --random-seed 42 --connection-reuse-strategy never"
    );
    let paths = ["--tokenizer".into(), tools.tokenizer.clone().into(), "--artifact-dir".into(), place.into()];
    [vec![tools.python.clone().into_os_string()], process::words(&line), paths.to_vec()].concat()
}

fn aiperf_times(place: &Path) -> Result<Seen> {
    let records = std::fs::read_to_string(place.join("profile_export.jsonl"))?;
    let mut seen = Seen::default();
    for line in records.lines() {
        let record: Value = serde_json::from_str(line)?;
        let metric = |name: &str| &record["metrics"][name];
        seen.requests += 1;
        seen.first.push(1e-3 * number(&metric("time_to_first_token")["value"]));
        seen.between.extend(numbers(&metric("inter_chunk_latency")["value"]).iter().map(|gap| 1e-3 * gap));
        seen.means.extend(metric("inter_token_latency")["value"].as_f64().map(|mean| 1e-3 * mean));
    }
    Ok(seen)
}

fn guidellm_line(tools: &Tools, load: &Load<'_>, place: &Path) -> Vec<OsString> {
    let Load { url, streams, requests, tokens: [prompt, generate] } = load;
    let line = format!(
        "-m guidellm run --backend kind=openai_http,target={url},model=mock-model,request_format=/v1/completions --profile \
         kind=concurrent,streams={streams} --constraint kind=max_requests,count={requests} --tokenizer \
         kind=huggingface_auto,model={} --data kind=synthetic_text,prompt_tokens={prompt},output_tokens={generate} --output \
         kind=json,path={} --disable-console",
        tools.tokenizer.display(),
        place.join("benchmarks.json").display()
    );
    // Elsewhere torch is looked for in earnest.
    let torch = format!("PYTHONPATH={}", tools.torch.display());
    let start = ["env".into(), torch.into(), "USE_TORCH=0".into(), tools.python.clone().into()];
    [start.to_vec(), process::words(&line)].concat()
}

fn guidellm_times(place: &Path) -> Result<Seen> {
    let report: Value = serde_json::from_str(&std::fs::read_to_string(place.join("benchmarks.json"))?)?;
    let requests = report["benchmarks"][0]["requests"]["successful"].as_array();
    let mut seen = Seen::default();
    for request in requests.context("the report has no requests")? {
        seen.requests += 1;
        seen.first.push(1e-3 * number(&request["time_to_first_token_ms"]));
        seen.means.extend(request["inter_token_latency_ms"].as_f64().map(|mean| 1e-3 * mean));
        seen.names.extend(request["response_id"].as_str().map(str::to_owned));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_is_read_in_seconds() {
        let folder = std::env::temp_dir().join(format!("gguflab-peers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let record = r#"{"levels":[{"courses":[{"id":"a","due":1.0,"moments":[1.5,1.75]}]}]}"#;
        std::fs::write(folder.join("record.json"), record).expect("record");
        let line = r#"{"metrics":{"time_to_first_token":{"value":500.0},"inter_chunk_latency":{"value":[250.0]},
            "inter_token_latency":{"value":250.0}}}"#;
        std::fs::write(folder.join("profile_export.jsonl"), line.replace('\n', "")).expect("export");
        let request = r#"{"time_to_first_token_ms":500.0,"inter_token_latency_ms":250.0,"response_id":"a"}"#;
        let report = format!(r#"{{"benchmarks":[{{"requests":{{"successful":[{request}]}}}}]}}"#);
        std::fs::write(folder.join("benchmarks.json"), report).expect("report");
        for client in &CLIENTS {
            let seen = (client.read)(&folder).expect("times");
            assert_eq!(
                (seen.requests, seen.first, seen.means),
                (1, vec![0.5], vec![0.25]),
                "{}",
                client.name
            );
            assert!(seen.between.is_empty() || seen.between == [0.25], "{}", client.name);
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
