//! Command lines for a POSIX shell. Names of flags come from the table of knobs.

use super::{CommandLines, TakeAway, logits};
use gguflab_types::knob::{self, ENVIRONMENT, Facts, Flag, KNOBS};
use gguflab_types::{Configuration, Request, Value, Workload, workload};
use std::path::Path;

/// Repetitions that llama-bench makes; its default, written out so that the line says it.
const REPETITIONS: &str = "5";
/// Settings whose lists llama-bench separates by another sign, because its commas separate tests.
const BENCH_SEPARATORS: [(&str, &str); 2] = [("tensor-overrides", ";"), ("tensor-split", "/")];

/// The command line that serves the model with these settings and room for the workload.
pub(super) fn llama_server(taken: &TakeAway<'_>) -> CommandLines {
    if logits::context(taken.workload).is_some() {
        return CommandLines::default();
    }
    let mut line = Line::with_variables("llama-server", taken.configuration);
    line.all(server_arguments(taken).into_iter().flatten());
    CommandLines { lines: vec![line.text], notes: server_notes(taken) }
}

/// What `llama-server` cannot be told.
pub(super) fn server_notes(taken: &TakeAway<'_>) -> Vec<String> {
    let without_flag =
        |name: &str| !is_variable(name) && knob::find(name).is_none_or(|knob| knob.server_flag == Flag::None);
    let mut notes = path_notes(taken.model);
    notes.extend(super::left_out("llama-server", "flag", taken.configuration, without_flag));
    notes
}

/// What `llama-server` is told, flag by flag, each with its value if it has one. Every slot gets what the largest
/// request needs.
pub(super) fn server_arguments(taken: &TakeAway<'_>) -> Vec<Vec<String>> {
    let flag = |flag: &str, value: String| vec![flag.to_string(), value];
    let slots = slots(taken);
    let mut arguments = vec![
        flag("--model", path_text(taken.model)),
        flag("--ctx-size", taken.workload.slot_tokens().saturating_mul(slots).to_string()),
        flag("--parallel", slots.to_string()),
    ];
    let settings = resolved(taken.configuration).with("parallel", Value::Auto);
    let of_knob = |knob: &knob::Knob| knob.server_flag.arguments(settings.get(knob.name));
    arguments.extend(KNOBS.iter().map(of_knob).filter(|words| !words.is_empty()));
    arguments
}

/// Slots of a server, as the engine that measures a llama-server starts it.
pub(super) fn slots(taken: &TakeAway<'_>) -> u64 {
    let set = taken.configuration.integer("parallel").and_then(|count| u64::try_from(count).ok());
    set.unwrap_or_else(|| u64::from(taken.workload.concurrency()))
}

/// The command lines that measure the model with llama-bench, one for each request of the workload. The notes name
/// settings and parts of the workload that llama-bench has no flag for.
pub(super) fn llama_bench(taken: &TakeAway<'_>) -> CommandLines {
    if logits::context(taken.workload).is_some() {
        return CommandLines::default();
    }
    let settings = for_bench(resolved(taken.configuration));
    let line = |request: &Request| {
        let mut line = Line::with_variables("llama-bench", &settings);
        line.flag("-m", &path_text(taken.model));
        line.flag("-p", &request.prompt.to_string());
        line.flag("-n", &request.generate.to_string());
        line.flag("-d", &request.depth.to_string());
        line.flag("-r", REPETITIONS);
        line.all(settings.arguments(|knob| knob.bench_flag));
        line.text
    };
    let mut notes = path_notes(taken.model);
    notes.extend(bench_notes(taken.model, &settings, taken.workload));
    CommandLines { lines: taken.workload.requests.iter().map(line).collect(), notes }
}

/// The command lines that measure the model again with `gguflab bench`: one for a named workload, else one for each
/// request.
pub(super) fn gguflab_bench(taken: &TakeAway<'_>) -> CommandLines {
    let start = || {
        let mut line = Line::new("gguflab");
        line.all(["bench".to_string(), path_text(taken.model)]);
        line
    };
    let workload = taken.workload;
    let mut lines: Vec<Line> = Vec::new();
    if workload::find(&workload.name).as_ref() == Some(workload) {
        let mut line = start();
        line.flag("--workload", &workload.name);
        lines.push(line);
    } else if let Some(context) = logits::context(workload) {
        let mut line = start();
        line.flag("--workload", workload::LOGITS);
        line.flag("--context", &context.to_string());
        lines.push(line);
    } else {
        lines.extend(workload.requests.iter().map(|request| {
            let mut line = start();
            line.flag("--prompt", &request.prompt.to_string());
            line.flag("--generate", &request.generate.to_string());
            line.flag("--depth", &request.depth.to_string());
            line.flag("--concurrency", &request.concurrency.max(1).to_string());
            line
        }));
    }
    for line in &mut lines {
        for (knob, value) in taken.configuration.settings() {
            match knob.strip_prefix(ENVIRONMENT) {
                Some(name) => {
                    line.flag("--env", &format!("{name}={}", value.to_string().replace(',', r"\,")))
                }
                None => line.flag("--set", &format!("{knob}={value}")),
            }
        }
    }
    let mut notes = path_notes(taken.model);
    if lines.len() > 1 {
        notes.push("the shares of the requests in the workload are not in these lines".to_string());
    }
    CommandLines { lines: lines.into_iter().map(|line| line.text).collect(), notes }
}

/// `text` as one word of a POSIX shell: as it is where no character means anything, else in single quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "@%+=:,./_-".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command line that is being written.
pub(super) struct Line {
    pub(super) text: String,
}

impl Line {
    pub(super) fn new(program: &str) -> Line {
        Line { text: quoted(program) }
    }

    /// A program behind the environment variables that are knobs.
    pub(super) fn with_variables(program: &str, configuration: &Configuration) -> Line {
        let set = |(name, value): (&str, String)| format!("{name}={} ", quoted(&value));
        let before: String = variables(configuration).map(set).collect();
        Line { text: before + &quoted(program) }
    }

    pub(super) fn flag(&mut self, flag: &str, value: &str) {
        self.all([flag.to_string(), value.to_string()]);
    }

    pub(super) fn all(&mut self, words: impl IntoIterator<Item = String>) {
        for word in words {
            self.text.push(' ');
            self.text.push_str(&quoted(&word));
        }
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(ENVIRONMENT)
}

/// The environment variables that are knobs, with their values.
pub(super) fn variables(configuration: &Configuration) -> impl Iterator<Item = (&str, String)> {
    configuration
        .settings()
        .filter_map(|(name, value)| Some((name.strip_prefix(ENVIRONMENT)?, value.to_string())))
}

/// A path that no tool takes for a flag.
pub(super) fn path_text(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { format!("./{text}") } else { text.into_owned() }
}

pub(super) fn path_notes(path: &Path) -> Vec<String> {
    let unwritable = path.to_str().is_none();
    let note =
        || "the path of the model is not UTF-8 and cannot be written down: put it in yourself".to_string();
    unwritable.then(note).into_iter().collect()
}

/// The settings with a ubatch that depends on the batch turned into its number, which is all that tools take.
pub(super) fn resolved(configuration: &Configuration) -> Configuration {
    let (batch, ubatch) = (configuration.get("batch"), configuration.get("ubatch"));
    if !matches!(ubatch, Value::BatchRatio(_)) {
        return configuration.clone();
    }
    let both = Configuration::new().with("batch", batch.clone()).with("ubatch", ubatch.clone());
    // The canonical form leaves a ubatch out that is the default anyway.
    let number = both.canonical(&Facts::default()).get("ubatch").clone();
    configuration.clone().with("ubatch", number)
}

fn for_bench(configuration: Configuration) -> Configuration {
    BENCH_SEPARATORS.into_iter().fold(configuration, |settings, (knob, separator)| match settings.get(knob) {
        Value::Text(list) => {
            let list = list.replace(',', separator);
            settings.with(knob, Value::Text(list))
        }
        _ => settings,
    })
}

fn bench_notes(model: &Path, settings: &Configuration, workload: &Workload) -> Vec<String> {
    let mut notes = Vec::new();
    let without_flag =
        |name: &str| !is_variable(name) && knob::find(name).is_none_or(|knob| knob.bench_flag == Flag::None);
    notes.extend(super::left_out("llama-bench", "flag", settings, without_flag));
    if workload.concurrency() > 1 {
        notes.push(format!(
            "llama-bench runs one sequence at a time; the {} at once of this workload are left out",
            workload.concurrency()
        ));
    }
    if workload.requests.iter().any(|request| request.prompt > 0 && request.generate > 0) {
        notes.push(
            "llama-bench measures prompt and generation apart, both from the same depth; in this workload \
             generation follows the prompt"
                .to_string(),
        );
    }
    if model.to_string_lossy().contains(',') {
        notes.push(
            "llama-bench takes a comma in a path for the start of another model: rename or link the file"
                .into(),
        );
    }
    notes
}
