//! Files that other programs read.

use super::shell::{
    path_notes, path_text, quoted, resolved, server_arguments, server_notes, slots, variables,
};
use super::words::{self, Word, Words};
use super::{CommandLines, TakeAway, left_out};
use crate::profile::Profile;
use gguflab_types::{Configuration, Value};
use std::path::Path;

/// What can be read again by `gguflab bench --profile`.
pub(super) fn profile(taken: &TakeAway<'_>) -> CommandLines {
    let profile = Profile::of(taken);
    let mut notes = path_notes(taken.model);
    if profile.engine.is_none() {
        notes.push(format!(
            "where the engine lies is not in the study: measure with --engine {}=PATH",
            taken.engine.kind
        ));
    }
    CommandLines { lines: profile.to_toml().trim_end().lines().map(str::to_string).collect(), notes }
}

/// A section of the file that `llama-server --models-preset` reads (`common/preset.cpp` of b11434): the keys are
/// its flags without the hyphens, a flag without a value is `true`, and values end at `;` and `#`.
pub(super) fn models_preset(taken: &TakeAway<'_>) -> CommandLines {
    let mut lines = vec!["version = 1".to_string(), String::new(), format!("[{}]", name_of(taken.model))];
    let mut notes = server_notes(taken);
    for words in server_arguments(taken) {
        let (flag, value) = (&words[0], words.get(1).map_or("true", String::as_str));
        let key = flag.trim_start_matches('-');
        if value.contains([';', '#', '\n', '\r']) || value.trim() != value {
            notes.push(format!("a preset cannot say {key} = {}", value.escape_debug()));
        } else {
            lines.push(format!("{key} = {value}"));
        }
    }
    let variables: Vec<String> =
        variables(taken.configuration).map(|(name, value)| format!("{name}={value}")).collect();
    if !variables.is_empty() {
        notes.push(format!("start llama-server with {} in its environment", variables.join(" ")));
    }
    CommandLines { lines, notes }
}

/// An entry of llama-swap's configuration; it puts a free port where `${PORT}` stands, and splits the command as a
/// shell does.
pub(super) fn llama_swap(taken: &TakeAway<'_>) -> CommandLines {
    let words: Vec<String> = server_arguments(taken).concat();
    let mut notes = server_notes(taken);
    if words.iter().any(|word| word.contains("${")) {
        notes.push("llama-swap takes `${…}` for a macro: rename or link the file".to_string());
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let command = format!("llama-server --port ${{PORT}} {}", words.join(" "));
    let (name, command) = (scalar(&name_of(taken.model)), scalar(&command));
    let mut lines = vec!["models:".to_string(), format!("  {name}:"), format!("    cmd: {command}")];
    let set = variables(taken.configuration).map(|(name, value)| scalar(&format!("{name}={value}")));
    let set: Vec<String> = set.map(|variable| format!("      - {variable}")).collect();
    if !set.is_empty() {
        lines.push("    env:".to_string());
        lines.extend(set);
    }
    CommandLines { lines, notes }
}

/// An Ollama Modelfile. What Ollama keeps in its server's environment instead is a note.
pub(super) fn ollama(taken: &TakeAway<'_>) -> CommandLines {
    let settings = resolved(taken.configuration);
    let path = path_text(taken.model);
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-:".contains(character);
    let from = if path.chars().all(plain) { path } else { format!("\"{path}\"") };
    let mut lines =
        vec![format!("FROM {from}"), format!("PARAMETER num_ctx {}", taken.workload.slot_tokens())];
    let mut notes = path_notes(taken.model);
    if taken.model.to_string_lossy().contains(['"', '\n']) {
        notes.push("a Modelfile cannot name this path: rename or link the file".to_string());
    }
    let (written, without) = translated(&settings, |words| words.ollama);
    lines.extend(written.into_iter().map(|(name, value)| format!("PARAMETER {name} {value}")));
    notes.extend(ollama_environment(&settings, slots(taken)));
    let in_environment = ["flash-attention", "cache-type-k", "cache-type-v", "parallel"];
    let nowhere = |name: &str| without.contains(&name.to_string()) && !in_environment.contains(&name);
    notes.extend(left_out("Ollama", "parameter", &settings, nowhere));
    CommandLines { lines, notes }
}

/// Variables that Ollama's server has to be started with (`envconfig/config.go`).
fn ollama_environment(settings: &Configuration, slots: u64) -> Option<String> {
    let mut variables = Vec::new();
    if let Value::Text(_) | Value::Switch(_) = settings.get("flash-attention") {
        let on = u8::from(settings.get("flash-attention").to_string() == "on");
        variables.push(format!("OLLAMA_FLASH_ATTENTION={on} (flash-attention)"));
    }
    // One variable for both caches: the coarser one would change more than was measured.
    if let (Value::Text(keys), Value::Text(values)) =
        (settings.get("cache-type-k"), settings.get("cache-type-v"))
        && keys == values
    {
        variables.push(format!("OLLAMA_KV_CACHE_TYPE={keys} (cache-type-k, cache-type-v)"));
    } else if ["cache-type-k", "cache-type-v"].iter().any(|name| *settings.get(name) != Value::Auto) {
        variables.push(format!(
            "one OLLAMA_KV_CACHE_TYPE for both caches (measured: cache-type-k={}, cache-type-v={})",
            settings.get("cache-type-k"),
            settings.get("cache-type-v")
        ));
    }
    if slots > 1 {
        variables.push(format!("OLLAMA_NUM_PARALLEL={slots} (parallel)"));
    }
    (!variables.is_empty())
        .then(|| format!("Ollama's server takes these from its environment: {}", variables.join(", ")))
}

/// What `llama_cpp.Llama` leaves otherwise than llama.cpp's tools do when it is not said, in its own words.
const PYTHON_DEFAULTS: &[(&str, &str)] =
    &[("n_batch", "2048"), ("n_ubatch", "512"), ("n_gpu_layers", "-1"), ("flash_attn", "true")];

/// Arguments of `llama_cpp.Llama`. Its defaults differ from those of llama.cpp's tools, so they are written out.
pub(super) fn llama_cpp_python(taken: &TakeAway<'_>) -> CommandLines {
    let settings = resolved(taken.configuration);
    let (mut written, without) = translated(&settings, |words| words.python);
    let set = |name: &str, written: &[(&str, String)]| written.iter().any(|(known, _)| *known == name);
    for (name, value) in PYTHON_DEFAULTS {
        if !set(name, &written) {
            written.push((name, (*value).to_string()));
        }
    }
    let threads = written.iter().find(|(name, _)| *name == "n_threads").map(|(_, value)| value.clone());
    if let (Some(threads), false) = (threads, set("n_threads_batch", &written)) {
        written.push(("n_threads_batch", threads));
    }
    let mut lines = vec![
        format!("model_path: {}", scalar(&path_text(taken.model))),
        format!("n_ctx: {}", taken.workload.slot_tokens()),
    ];
    lines.extend(written.into_iter().map(|(name, value)| format!("{name}: {value}")));
    let mut notes = path_notes(taken.model);
    notes.extend(left_out("llama_cpp.Llama", "argument", &settings, |name| {
        without.contains(&name.to_string())
    }));
    if *settings.get("flash-attention") == Value::Auto {
        notes.push(
            "llama_cpp.Llama knows no auto: flash_attn is on, which auto comes to wherever it can".into(),
        );
    }
    if taken.workload.concurrency() > 1 {
        notes.push("llama_cpp.Llama runs one sequence at a time".to_string());
    }
    CommandLines { lines, notes }
}

/// The settings in the words of a tool, and the names of those that it has no word for.
fn translated(
    settings: &Configuration,
    pick: impl Fn(&Words) -> Option<Word>,
) -> (Vec<(&'static str, String)>, Vec<String>) {
    let (mut written, mut without) = (Vec::new(), Vec::new());
    for (name, value) in settings.settings() {
        match words::find(name).and_then(&pick).and_then(|word| word(value)) {
            Some(pairs) => written.extend(pairs),
            None => without.push(name.to_string()),
        }
    }
    (written, without)
}

/// A name for the model that needs no quotes anywhere.
fn name_of(model: &Path) -> String {
    let stem = model.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let name: String = stem.chars().map(|character| if plain(character) { character } else { '-' }).collect();
    if name.is_empty() { "model".to_string() } else { name }
}

/// A string in YAML: what JSON writes is also YAML (1.2, section 1.3).
fn scalar(text: &str) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}
