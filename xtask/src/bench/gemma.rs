//! A second architecture with another tokenizer, beside the real llama-perplexity: Gemma-3-270m, a start token before each
//! text, 262,144 tokens. It stands under the Gemma Terms of Use, so it is fetched by whoever names this benchmark only.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, corpora, fetch, peer};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Windows that are scored, and their tokens.
const WINDOWS: u32 = 6;
const CONTEXT: &str = "512";
/// What is made of the model, which is the reference.
const FORMS: [&str; 2] = ["Q4_0", "Q2_K"];
/// Half of the last digit that llama-perplexity prints of a perplexity, and the last of a divergence.
const PERPLEXITY_DIGIT: f64 = 0.5e-4;
const DIVERGENCE_DIGIT: f64 = 1.01e-6;

pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let tools = peer::build(&request.environment, &["llama-perplexity", "llama-quantize"])?;
    let program = |name: &str| tools.join(command::executable(name));
    let (model, text) = (fetch::gemma()?, corpora::folder()?.join("wikipedia-en-256k.txt"));
    let files =
        Files { perplexity: program("llama-perplexity"), quantise: program("llama-quantize"), model, text };
    let mut figures = files.perplexities()?;
    let (base, sketch) =
        (process::fresh_file("gemma-base.kld")?, process::fresh_file("gemma-sketch.parquet")?);
    files.theirs(&files.model, &["--kl-divergence-base".as_ref(), base.as_os_str()])?;
    files.record(&sketch)?;
    let mut made = Vec::new();
    for form in FORMS {
        let candidate = files.quantised(form)?;
        figures.extend(files.divergences(form, &candidate, &base, &sketch)?);
        made.push(candidate);
    }
    figures.push(files.race(&made)?);
    made.iter().chain([&base, &sketch]).try_for_each(std::fs::remove_file)?;
    Ok(figures)
}

struct Files {
    perplexity: PathBuf,
    quantise: PathBuf,
    model: PathBuf,
    text: PathBuf,
}

impl Files {
    fn perplexities(&self) -> Result<Vec<Figure>> {
        let theirs = after(&self.theirs(&self.model, &[])?, "Final estimate: PPL =")?;
        let ours = self.ours(&self.model, &[])?;
        let ours = cell(&ours, "Perplexity", "perplexity", 0)?;
        let apart = Figure::new("perplexity of 6 windows: ours less what it prints", ours - theirs, "");
        Ok(vec![
            Figure::new("perplexity of 6 windows of Wikipedia", ours, ""),
            Figure { value: apart.value.abs(), ..apart }.limited(Limit::AtMost(PERPLEXITY_DIGIT)),
        ])
    }

    fn divergences(&self, form: &str, candidate: &Path, base: &Path, sketch: &Path) -> Result<Vec<Figure>> {
        let said = self.theirs(
            candidate,
            &["--kl-divergence-base".as_ref(), base.as_os_str(), "--kl-divergence".as_ref()],
        )?;
        let theirs = after(&said, "Mean KLD:")?;
        let divergence = |document: &Value| cell(document, "Distance", "KL divergence", 0);
        let by_its_file = divergence(&self.against(candidate, base)?)?;
        let exact = divergence(&self.ours(candidate, &["--reference".as_ref(), self.model.as_os_str()])?)?;
        let sketched = divergence(&self.against(candidate, sketch)?)?;
        let millionths = 1e6 * (by_its_file - theirs).abs();
        Ok(vec![
            Figure::new(format!("{form}: divergence from Q4_K_M"), exact, "nats"),
            Figure::new(
                format!("{form}: by its own file, ours less what it prints"),
                millionths,
                "millionths",
            )
            .limited(Limit::AtMost(1e6 * DIVERGENCE_DIGIT)),
            Figure::new(format!("{form}: by a sketch, off by"), 100.0 * (sketched / exact - 1.0).abs(), "%")
                .limited(Limit::AtMost(1.0)),
        ])
    }

    /// The share of the text's windows after which it is known which form is nearer.
    fn race(&self, made: &[PathBuf]) -> Result<Figure> {
        let mut command = self.evaluate();
        command.args(made).arg("--reference").arg(&self.model).arg("--decide").arg("--text").arg(&self.text);
        let document: Value = serde_json::from_str(&command::capture(command.args(["--context", CONTEXT]))?)?;
        let blocks = document["document"]["blocks"].as_array().into_iter().flatten();
        let said = blocks.filter_map(|block| block["text"].as_str()).find(|text| text.contains(" scored"));
        let words = said.context("nothing says how many windows were scored")?.split_whitespace();
        let counts: Vec<f64> = words.take(4).filter_map(|word| word.parse().ok()).collect();
        let [scored, all] = counts.as_slice() else { anyhow::bail!("not two counts: {counts:?}") };
        Ok(Figure::new("windows after which they are told apart", 100.0 * scored / all, "%")
            .limited(Limit::AtMost(20.0)))
    }

    fn evaluate(&self) -> Command {
        let mut command = Command::new(process::gguflab());
        command.args(["evaluate", "--json", "--quiet", "--anew"]);
        command
    }

    /// Our document of the windows.
    fn ours(&self, candidate: &Path, further: &[&std::ffi::OsStr]) -> Result<Value> {
        let mut command = self.evaluate();
        command.arg(candidate).args(further).arg("--text").arg(&self.text).args(["--context", CONTEXT]);
        let output = command::capture(command.args(["--chunks", &format!("0..{WINDOWS}")]))?;
        Ok(serde_json::from_str(&output)?)
    }

    /// The same beside what was recorded.
    fn against(&self, candidate: &Path, store: &Path) -> Result<Value> {
        let mut command = self.evaluate();
        let output = command::capture(command.arg(candidate).arg("--reference").arg(store))?;
        Ok(serde_json::from_str(&output)?)
    }

    fn record(&self, store: &Path) -> Result<()> {
        let mut command = Command::new(process::gguflab());
        command.args(["logits", "record", "--quiet"]).arg(&self.model).arg("--text").arg(&self.text);
        command.args(["--context", CONTEXT, "--chunks", &format!("0..{WINDOWS}"), "-o"]).arg(store);
        command::capture(&mut command).map(|_| ())
    }

    fn quantised(&self, form: &str) -> Result<PathBuf> {
        let target = process::fresh_file(&format!("gemma-{form}.gguf"))?;
        let mut command = Command::new(&self.quantise);
        command::capture(command.arg("--allow-requantize").arg(&self.model).arg(&target).arg(form))?;
        Ok(target)
    }

    /// What llama-perplexity prints.
    fn theirs(&self, model: &Path, further: &[&std::ffi::OsStr]) -> Result<String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let mut command = Command::new(&self.perplexity);
        command.arg("-m").arg(model).arg("-f").arg(&self.text).arg("--no-escape").args(further);
        command.args(["-c", CONTEXT, "--chunks", &WINDOWS.to_string(), "-t", &threads]);
        let output =
            command.output().with_context(|| format!("could not run {}", self.perplexity.display()))?;
        // It prints its figures on one stream or the other.
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "llama-perplexity: {said}");
        Ok(said.into_owned())
    }
}

/// The number after these words.
fn after(text: &str, words: &str) -> Result<f64> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>().join(" "));
    let mut numbers =
        lines.filter_map(|line| line.split_once(words)?.1.split_whitespace().next()?.parse().ok());
    numbers.next_back().with_context(|| format!("no `{words}` in what llama-perplexity says: {text}"))
}

/// A number in a table of a document.
fn cell(document: &Value, caption: &str, column: &str, row: usize) -> Result<f64> {
    let blocks = document["document"]["blocks"].as_array().into_iter().flatten();
    let is_it = |block: &&Value| block["caption"].as_str().is_some_and(|text| text.starts_with(caption));
    let table = blocks.filter(|block| block["rows"].is_array()).find(is_it);
    let table = table.with_context(|| format!("no table `{caption}`"))?;
    let mut columns = table["columns"].as_array().into_iter().flatten();
    let place = columns.position(|one| one["name"] == column);
    let place = place.with_context(|| format!("no column `{column}`"))?;
    table["rows"][row][place]["value"].as_f64().with_context(|| format!("no number in `{column}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_after_their_words() {
        let said = "x\nFinal estimate: PPL = 12.5438 +/- 0.9\nMean    KLD:   0.061000 ±   0.002\n";
        assert_eq!(after(said, "Final estimate: PPL =").expect("a number"), 12.5438);
        assert_eq!(after(said, "Mean KLD:").expect("a number"), 0.061);
        assert!(after(said, "Median KLD:").is_err());
    }

    #[test]
    fn cells_are_found_by_their_names() {
        let table = serde_json::json!({"caption": "Distance from it", "columns": [{"name": "a"}, {"name": "b"}],
            "rows": [[{"cell": "text"}, {"value": 2.5}]]});
        let document = serde_json::json!({"document": {"blocks": [{"text": "x"}, table]}});
        assert_eq!(cell(&document, "Distance", "b", 0).expect("a number"), 2.5);
        assert!(cell(&document, "Distance", "a", 0).is_err() && cell(&document, "Else", "b", 0).is_err());
    }
}
