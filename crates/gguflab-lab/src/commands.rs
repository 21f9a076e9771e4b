//! What the user takes away: command lines and files that reproduce a configuration, one row for each tool.
//!
//! Names of flags come from the table of knobs, names in tools that are not llama.cpp's from [`words`]; what is
//! here is how each tool is told the model and the workload, and what it cannot be told.

mod files;
mod logits;
mod shell;
mod words;

pub use shell::quoted;

use gguflab_report::Document;
use gguflab_types::{Configuration, EngineIdentity, Workload};
use std::path::Path;

/// A tool that can run a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Name of the file that its lines are written to.
    pub file: &'static str,
    /// What its lines are written in, as [`Document::code`] takes it.
    pub language: &'static str,
    /// What a remark in its file begins with.
    pub remark: &'static str,
    /// One line: what the lines do.
    pub help: &'static str,
    /// Whether a short summary shows it too.
    pub first: bool,
    /// Writes the lines.
    pub write: fn(&TakeAway<'_>) -> CommandLines,
}

/// What is to be reproduced.
#[derive(Debug, Clone, Copy)]
pub struct TakeAway<'a> {
    /// Where the model lies.
    pub model: &'a Path,
    /// The settings.
    pub configuration: &'a Configuration,
    /// What will be run.
    pub workload: &'a Workload,
    /// What measured it.
    pub engine: &'a EngineIdentity,
}

const SHELL: Tool = Tool {
    name: "",
    file: "",
    language: "sh",
    remark: "#",
    help: "",
    first: false,
    write: |_| CommandLines { lines: Vec::new(), notes: Vec::new() },
};

/// Every tool.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "llama-server",
        file: "llama-server.sh",
        help: "serve the model with these settings",
        first: true,
        write: shell::llama_server,
        ..SHELL
    },
    Tool {
        name: "llama-perplexity",
        file: "llama-perplexity.sh",
        help: "measure perplexity with these settings",
        first: true,
        write: logits::llama_perplexity,
        ..SHELL
    },
    Tool {
        name: "llama-imatrix",
        file: "llama-imatrix.sh",
        help: "compute an importance matrix with these settings",
        first: true,
        write: logits::llama_imatrix,
        ..SHELL
    },
    Tool {
        name: "llama-bench",
        file: "llama-bench.sh",
        help: "measure these settings with llama.cpp's own tool",
        first: true,
        write: shell::llama_bench,
        ..SHELL
    },
    Tool {
        name: "gguflab",
        file: "gguflab-bench.sh",
        help: "measure these settings again",
        first: true,
        write: shell::gguflab_bench,
        ..SHELL
    },
    Tool {
        name: "profile",
        file: "profile.toml",
        language: "toml",
        help: "`gguflab bench --profile profile.toml` measures exactly this again",
        write: files::profile,
        ..SHELL
    },
    Tool {
        name: "models-preset",
        file: "models.ini",
        language: "ini",
        remark: ";",
        help: "a preset for `llama-server --models-preset models.ini`, which loads models on demand",
        write: files::models_preset,
        ..SHELL
    },
    Tool {
        name: "llama-swap",
        file: "llama-swap.yaml",
        language: "yaml",
        help: "an entry for llama-swap's configuration",
        write: files::llama_swap,
        ..SHELL
    },
    Tool {
        name: "ollama",
        file: "Modelfile",
        language: "",
        help: "`ollama create NAME -f Modelfile`",
        write: files::ollama,
        ..SHELL
    },
    Tool {
        name: "llama-cpp-python",
        file: "llama-cpp-python.yaml",
        language: "yaml",
        help: "arguments of llama_cpp.Llama",
        write: files::llama_cpp_python,
        ..SHELL
    },
];

/// What to run, and what it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLines {
    /// The lines, in order.
    pub lines: Vec<String>,
    /// What the tool cannot be told, one sentence each that names it; empty when the lines say everything.
    pub notes: Vec<String>,
}

/// Adds the lines of the usual tools to a document, each with what it leaves out; with `all` those of the others
/// too, folded away.
pub fn add_commands(document: &mut Document, taken: &TakeAway<'_>, all: bool) {
    let mut others = Document::new("");
    for tool in TOOLS.iter().filter(|tool| all || tool.first) {
        let CommandLines { lines, notes } = (tool.write)(taken);
        // A tool that cannot do this workload writes nothing.
        if lines.is_empty() {
            continue;
        }
        let part = if tool.first { &mut *document } else { &mut others };
        part.code(tool.language, lines.join("\n"), format!("{}: {}", tool.name, tool.help));
        for note in notes {
            part.information(note);
        }
    }
    let names: Vec<&str> = TOOLS.iter().filter(|tool| !tool.first).map(|tool| tool.name).collect();
    let names = names.join(", ");
    if all {
        document.fold(format!("For other tools: {names}"), others);
    } else {
        document.information(format!("--take-away DIR writes these as files, and some for {names}"));
    }
}

/// A file for each tool: its name and its text, with what the tool cannot be told as remarks.
#[must_use]
pub fn files(taken: &TakeAway<'_>) -> Vec<(&'static str, String)> {
    TOOLS.iter().filter_map(|tool| Some((tool.file, file_text(tool, taken)?))).collect()
}

fn file_text(tool: &Tool, taken: &TakeAway<'_>) -> Option<String> {
    let CommandLines { lines, notes } = (tool.write)(taken);
    if lines.is_empty() {
        return None;
    }
    let mut text = if tool.language == "sh" { "#!/bin/sh\n".to_string() } else { String::new() };
    for remark in std::iter::once(tool.help.to_string()).chain(notes) {
        let remark = gguflab_report::text::clean(&remark);
        text.push_str(&format!("{} {remark}\n", tool.remark));
    }
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    Some(text)
}

/// A sentence about settings that a tool has no word for; `None` when there are none.
fn left_out(
    tool: &str,
    word: &str,
    settings: &Configuration,
    without: impl Fn(&str) -> bool,
) -> Option<String> {
    let names: Vec<String> = settings
        .settings()
        .filter(|(name, _)| without(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!names.is_empty()).then(|| format!("{tool} has no {word} for {}, which is left out", names.join(", ")))
}

#[cfg(test)]
mod tests;
