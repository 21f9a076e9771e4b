//! Command lines of the tools that need the logits of every token.

use super::shell::{Line, path_notes, path_text, resolved};
use super::{CommandLines, TakeAway};
use gguflab_types::knob::Facts;
use gguflab_types::{Configuration, Logits, Value, Workload};

/// Where the user's text belongs.
const TEXT: &str = "TEXT.txt";

/// The line that measures the perplexity of a text with these settings; none for other workloads.
pub(super) fn llama_perplexity(taken: &TakeAway<'_>) -> CommandLines {
    write("llama-perplexity", &[], taken)
}

/// The line that computes an importance matrix with these settings; none for other workloads.
pub(super) fn llama_imatrix(taken: &TakeAway<'_>) -> CommandLines {
    write("llama-imatrix", &["--output-file", "imatrix.gguf"], taken)
}

/// The tokens of a text whose logits are all computed; `None` for other workloads.
pub(super) fn context(workload: &Workload) -> Option<u32> {
    let all = workload.requests.iter().filter(|request| request.logits == Logits::All);
    all.map(|request| request.prompt).max()
}

fn write(program: &str, more: &[&str], taken: &TakeAway<'_>) -> CommandLines {
    let Some(context) = context(taken.workload) else { return CommandLines::default() };
    let mut line = Line::with_variables(program, taken.configuration);
    line.flag("--model", &path_text(taken.model));
    line.flag("--file", TEXT);
    line.all(more.iter().map(ToString::to_string));
    line.flag("--ctx-size", &context.to_string());
    line.all(within(resolved(taken.configuration), context).arguments(|knob| knob.server_flag));
    let mut notes = path_notes(taken.model);
    let least = 2 * u64::from(context);
    notes.push(format!("{program}: put your text in the place of {TEXT}; it needs {least} tokens or more"));
    CommandLines { lines: vec![line.text], notes }
}

/// The settings with batches of at most one context: with larger ones these tools compute several contexts at once,
/// which is not what was measured, and they need whole multiples.
fn within(configuration: Configuration, context: u32) -> Configuration {
    let facts = Facts::default();
    let longest = i64::from(context);
    ["batch", "ubatch"].into_iter().fold(configuration, |made, knob| {
        match made.meant(knob, &facts).as_integer() {
            Some(size) if size > longest => made.with(knob, Value::Integer(longest)),
            _ => made,
        }
    })
}
