//! Divergence of the demo model from its F16 form: time beside the forward passes alone and beside the two passes of the
//! real llama-perplexity with its file of logits, and memory with windows of 8,192 tokens.
//!
//! Both programs read the same 16 windows with as many threads as there are cores, in turn, each from a warm page
//! cache. llama-perplexity scores while it reads, so what its forward passes alone take is not known; ours are timed
//! apart, window by window, and whole processes stand beside each other as well.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, fetch, peer};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Windows of 512 tokens.
const WINDOWS: u32 = 16;
/// Runs of each program; each takes about a minute.
const MOST_RUNS: usize = 3;
/// Pages of the project that are the text.
const PAGES: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "BENCHMARKS.md",
    "docs/predecessors.md",
    "docs/design/search.md",
];

pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let tools = peer::build(&request.environment, &["llama-perplexity", "llama-quantize"])?;
    let model = fetch::model(&request.environment)?.path;
    let full = process::fresh_file("evaluation-f16.gguf")?;
    let quantise = tools.join(command::executable("llama-quantize"));
    command::capture(Command::new(quantise).arg("--allow-requantize").args([&model, &full]).arg("F16"))?;
    let text = process::fresh_file("evaluation.txt")?;
    std::fs::write(&text, pages()?)?;
    let files = Files { model, full, text, perplexity: tools.join(command::executable("llama-perplexity")) };
    let (mut ours, mut theirs, mut shares, mut disk) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for run in 0..request.pairs.min(MOST_RUNS) {
        let (wall, document) = files.ours(&["--chunks", &format!("0..{WINDOWS}")])?;
        shares.push(1.0 + fact(&document, "time in scoring")? / fact(&document, "time in the engine")?);
        let (their_wall, bytes) = files.theirs()?;
        eprintln!("bench: run {}: {wall:.1} s and {their_wall:.1} s", run + 1);
        (ours, theirs) = ([ours, vec![wall]].concat(), [theirs, vec![their_wall]].concat());
        disk = bytes;
    }
    let (_, long) = files.ours(&["--chunks", "0..1", "--context", "8192", "--protocol", "every-position"])?;
    let ratio = process::median(&ours)? / process::median(&theirs)?;
    Ok(vec![
        Figure::new("engine and scoring beside the engine alone", process::median(&shares)?, "×")
            .limited(Limit::AtMost(1.03)),
        Figure::new("whole process, 16 windows, one candidate", process::median(&ours)?, "s"),
        Figure::new("llama-perplexity, both passes", process::median(&theirs)?, "s"),
        Figure::new("ours beside theirs", ratio, "×"),
        Figure::new("its file of logits (ours: none)", disk as f64 / 1e6, "MB"),
        Figure::new(
            "peak memory of the worker at 8,192 tokens, both models",
            fact(&long, "peak memory of the worker")? / f64::from(1 << 20),
            "MiB",
        ),
    ])
}

fn pages() -> Result<String> {
    let read =
        |page: &&str| std::fs::read_to_string(command::root().join(page)).with_context(|| (*page).to_owned());
    PAGES.iter().map(read).collect()
}

struct Files {
    model: PathBuf,
    full: PathBuf,
    text: PathBuf,
    perplexity: PathBuf,
}

impl Files {
    /// Wall seconds, and the document that was printed.
    fn ours(&self, further: &[&str]) -> Result<(f64, Value)> {
        let started = Instant::now();
        let journals = process::fresh_file("evaluation-journals")?;
        let mut command = Command::new(process::gguflab());
        command.arg("evaluate").arg(&self.model).arg("--reference").arg(&self.full);
        command.arg("--text").arg(&self.text).args(["--json", "--quiet", "--journals"]).arg(&journals);
        let output = command::capture(command.args(further))?;
        std::fs::remove_dir_all(&journals)?;
        Ok((started.elapsed().as_secs_f64(), serde_json::from_str(&output)?))
    }

    /// Wall seconds of both passes, and bytes of the file between them.
    fn theirs(&self) -> Result<(f64, u64)> {
        let base = process::fresh_file("evaluation-base.kld")?;
        let started = Instant::now();
        let chunks = WINDOWS.to_string();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let pass = |model: &Path| {
            let mut command = Command::new(&self.perplexity);
            command.arg("-m").arg(model).arg("-f").arg(&self.text).arg("--no-escape");
            command.args(["--chunks", &chunks, "-t", &threads, "--kl-divergence-base"]).arg(&base);
            command
        };
        command::capture(&mut pass(&self.full))?;
        let bytes = std::fs::metadata(&base)?.len();
        command::capture(pass(&self.model).arg("--kl-divergence"))?;
        let wall = started.elapsed().as_secs_f64();
        std::fs::remove_file(&base)?;
        Ok((wall, bytes))
    }
}

/// A number among the facts of a document.
fn fact(document: &Value, label: &str) -> Result<f64> {
    let blocks = document["document"]["blocks"].as_array().into_iter().flatten();
    let facts = blocks.filter_map(|block| block["facts"].as_array()).flatten();
    let value = facts.filter(|fact| fact["label"] == label).find_map(|fact| fact["value"]["value"].as_f64());
    value.with_context(|| format!("no `{label}` in the document"))
}
