//! The command lines that reproduce a configuration: one table, one row for each tool.
//!
//! Names of flags come from the table of knobs; what is here is how each tool is told the model and the
//! workload, and what it cannot be told. Lines are for a POSIX shell.

use gguflab_report::Document;
use gguflab_types::knob::{self, Facts, Flag, KNOBS};
use gguflab_types::{Configuration, Request, Value, Workload, workload};
use std::path::Path;

/// A tool that can run a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What its lines are written in, as [`Document::code`] takes it.
    pub language: &'static str,
    /// One line: what the lines do.
    pub help: &'static str,
    /// Writes the lines.
    pub write: fn(&Path, &Configuration, &Workload) -> CommandLines,
}

/// Every tool.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "llama-server",
        language: "sh",
        help: "serve the model with these settings",
        write: |model, configuration, workload| CommandLines {
            lines: vec![llama_server(model, configuration, workload)],
            notes: path_notes(model),
        },
    },
    Tool {
        name: "llama-bench",
        language: "sh",
        help: "measure these settings with llama.cpp's own tool",
        write: llama_bench,
    },
    Tool { name: "gguflab", language: "sh", help: "measure these settings again", write: gguflab_bench },
];

/// What to run, and what it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLines {
    /// The lines, in order.
    pub lines: Vec<String>,
    /// What the tool cannot be told, one sentence each that names it; empty when the lines say everything.
    pub notes: Vec<String>,
}

/// Repetitions that llama-bench makes; its default, written out so that the line says it.
const REPETITIONS: &str = "5";
/// Settings whose lists llama-bench separates by another sign, because its commas separate tests.
const BENCH_SEPARATORS: [(&str, &str); 2] = [("tensor-overrides", ";"), ("tensor-split", "/")];

/// The command line that serves `model` with these settings and room for the workload: every slot gets what the
/// largest request needs, rounded up as llama.cpp does.
#[must_use]
pub fn llama_server(model: &Path, configuration: &Configuration, workload: &Workload) -> String {
    // As the engine that measures a llama-server starts it.
    let slots = configuration.get("parallel").as_integer().and_then(|count| u64::try_from(count).ok());
    let slots = slots.unwrap_or_else(|| u64::from(workload.concurrency()));
    let mut line = Line::new("llama-server");
    line.flag("--model", &path_text(model));
    line.flag("--ctx-size", &workload.slot_tokens().saturating_mul(slots).to_string());
    line.flag("--parallel", &slots.to_string());
    line.all(resolved(configuration).with("parallel", Value::Auto).arguments(|knob| knob.server_flag));
    line.text
}

/// The command lines that measure `model` with llama-bench, one for each request of the workload. The notes name
/// settings and parts of the workload that llama-bench has no flag for.
#[must_use]
pub fn llama_bench(model: &Path, configuration: &Configuration, workload: &Workload) -> CommandLines {
    let settings = for_bench(resolved(configuration));
    let line = |request: &Request| {
        let mut line = Line::new("llama-bench");
        line.flag("-m", &path_text(model));
        line.flag("-p", &request.prompt.to_string());
        line.flag("-n", &request.generate.to_string());
        line.flag("-d", &request.depth.to_string());
        line.flag("-r", REPETITIONS);
        line.all(settings.arguments(|knob| knob.bench_flag));
        line.text
    };
    let mut notes = path_notes(model);
    notes.extend(bench_notes(model, &settings, workload));
    CommandLines { lines: workload.requests.iter().map(line).collect(), notes }
}

/// The command lines that measure `model` again with `gguflab bench`: one for a named workload, else one for each
/// request.
#[must_use]
pub fn gguflab_bench(model: &Path, configuration: &Configuration, workload: &Workload) -> CommandLines {
    let start = || {
        let mut line = Line::new("gguflab");
        line.all(["bench".to_string(), path_text(model)]);
        line
    };
    let mut lines: Vec<Line> = Vec::new();
    if workload::find(&workload.name).as_ref() == Some(workload) {
        let mut line = start();
        line.flag("--workload", &workload.name);
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
        for (knob, value) in configuration.settings() {
            line.flag("--set", &format!("{knob}={value}"));
        }
    }
    let mut notes = path_notes(model);
    if lines.len() > 1 {
        notes.push("the shares of the requests in the workload are not in these lines".to_string());
    }
    CommandLines { lines: lines.into_iter().map(|line| line.text).collect(), notes }
}

/// Adds the lines of every tool to a document, each with what it leaves out.
pub fn add_commands(
    document: &mut Document,
    model: &Path,
    configuration: &Configuration,
    workload: &Workload,
) {
    for tool in TOOLS {
        let CommandLines { lines, notes } = (tool.write)(model, configuration, workload);
        document.code(tool.language, lines.join("\n"), format!("{}: {}", tool.name, tool.help));
        for note in notes {
            document.information(note);
        }
    }
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
struct Line {
    text: String,
}

impl Line {
    fn new(program: &str) -> Line {
        Line { text: quoted(program) }
    }

    fn flag(&mut self, flag: &str, value: &str) {
        self.all([flag.to_string(), value.to_string()]);
    }

    fn all(&mut self, words: impl IntoIterator<Item = String>) {
        for word in words {
            self.text.push(' ');
            self.text.push_str(&quoted(&word));
        }
    }
}

/// A path that no tool takes for a flag.
fn path_text(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { format!("./{text}") } else { text.into_owned() }
}

fn path_notes(path: &Path) -> Vec<String> {
    let unwritable = path.to_str().is_none();
    let note = || {
        "the path of the model is not UTF-8 and cannot be written in a command line: put it in yourself"
            .to_string()
    };
    unwritable.then(note).into_iter().collect()
}

/// The settings with a ubatch that depends on the batch turned into its number, which is all that tools take.
fn resolved(configuration: &Configuration) -> Configuration {
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
    let left_out = KNOBS
        .iter()
        .filter(|knob| knob.bench_flag == Flag::None && *settings.get(knob.name) != Value::Auto)
        .map(|knob| format!("{}={}", knob.name, settings.get(knob.name)));
    let unknown = settings
        .settings()
        .filter(|(name, _)| knob::find(name).is_none())
        .map(|(name, value)| format!("{name}={value}"));
    let left_out: Vec<String> = left_out.chain(unknown).collect();
    if !left_out.is_empty() {
        notes.push(format!("llama-bench has no flag for {}, which is left out", left_out.join(", ")));
    }
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

#[cfg(test)]
mod tests;
