//! What a tune searches and has to beat: arguments, files and presets put together.

use crate::cli::Tune;
use crate::exit::FileError;
use crate::printer::Printer;
use crate::settings::{self, Variable, refuse};
use anyhow::Result;
use gguflab_lab::space_file::{self, SpaceFile, WSL_RULE};
use gguflab_lab::{EngineSpecification, Items, Laboratory, SpaceRequest, machine, pasted, preset};
use gguflab_types::knob::{ENVIRONMENT, Forbidden};
use gguflab_types::{Configuration, Logits, Value};
use std::path::Path;

/// Longest file that says what is searched.
const LONGEST_FILE: u64 = 1 << 20;

/// What is searched. The command line comes before a file and a file before a preset, but for the predecessor's
/// files, whose knobs take the place of those on the command line. Tells the laboratory what is never run.
pub(crate) fn space(
    arguments: &Tune,
    file: SpaceFile,
    variables: Vec<Variable>,
    laboratory: &mut Laboratory,
) -> Result<SpaceRequest> {
    laboratory.facts.forbidden = rules(&file, arguments, laboratory)?.into();
    let mut request = SpaceRequest { only: Vec::new(), set: arguments.knob.clone(), items: variables };
    if file.overrides {
        let named = |text: &String| {
            let name = text.split('=').next().unwrap_or_default().trim();
            file.request.items.iter().any(|(knob, _)| knob == name)
        };
        request.set.retain(|text| !named(text));
    }
    request = request.over(file.request);
    if let Some(name) = &arguments.preset {
        match preset(name, &laboratory.facts) {
            Ok(preset) => request = request.over(preset),
            Err(reason) => return refuse(format!("--preset: {reason}")),
        }
    }
    let whole = request.only.is_empty() && arguments.only.is_empty();
    if let (Some(context), true) = (logits_context(laboratory), whole) {
        request = request.over(logits_space(context, arguments.conform_to_imatrix));
    }
    if !arguments.only.is_empty() {
        let kept = |name: &String| arguments.only.contains(name) || name.starts_with(ENVIRONMENT);
        request.items.retain(|(name, _)| kept(name));
        request.only.clone_from(&arguments.only);
    }
    Ok(request)
}

/// What a space file says, and the engine with the knobs and metrics that it declares.
pub(crate) fn read(path: Option<&Path>, engine: &mut EngineSpecification) -> Result<SpaceFile> {
    let file = path.map(read_file).transpose()?.unwrap_or_default();
    if (file.declared.is_some() || !file.metrics.is_empty()) && engine.kind != "command" {
        return refuse(format!(
            "the knobs and metrics that the space file declares are for an engine that is run by command, and {} has \
             its own; leave out [[knob]] and [[metric]]",
            engine.kind
        ));
    }
    engine.declared.clone_from(&file.declared);
    engine.metrics.clone_from(&file.metrics);
    Ok(file)
}

fn read_file(path: &Path) -> Result<SpaceFile> {
    let failed = |source| FileError { what: "read", path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST_FILE {
        return refuse(format!(
            "{} has {length} bytes: a space needs at most {LONGEST_FILE}",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(space_file::read(&path.display().to_string(), &text)?)
}

/// The tokens of a text whose logits are all computed, where that is the workload.
fn logits_context(laboratory: &Laboratory) -> Option<i64> {
    let all = laboratory.workload().requests.iter().filter(|request| request.logits == Logits::All);
    all.map(|request| i64::from(request.prompt)).max()
}

/// Batches for all logits of a text: powers of two below its length, and one size that holds all of it, since larger
/// ones do the same.
fn logits_space(context: i64, conform: bool) -> SpaceRequest {
    let mut request = SpaceRequest::default();
    for (knob, smallest, default) in [("batch", 16, 2048), ("ubatch", 8, 512)] {
        let whole = if default >= context && !conform { default } else { context };
        let powers = (0..31).map(|power| 1_i64 << power).filter(|size| (smallest..context).contains(size));
        let sizes = powers.chain([whole]).map(|size| size.to_string()).collect();
        request.only.push(knob.to_string());
        request.items.push((knob.to_string(), Items::List(sizes)));
    }
    request
}

fn rules(file: &SpaceFile, arguments: &Tune, laboratory: &Laboratory) -> Result<Vec<Forbidden>> {
    let in_wsl = machine::in_wsl();
    let mut rules = file.rules(&laboratory.facts, in_wsl)?;
    if in_wsl && !arguments.allow_wsl_unsafe {
        rules.extend(Forbidden::parse(WSL_RULE.0, WSL_RULE.1));
    }
    match (arguments.conform_to_imatrix, logits_context(laboratory)) {
        (true, Some(context)) => {
            let text = format!("batch > {context} or ubatch > {context}");
            rules.extend(Forbidden::parse(&text, "an importance matrix is computed context by context"));
        }
        (true, None) => return refuse("--conform-to-imatrix goes with --workload logits".to_string()),
        _ => {}
    }
    Ok(rules)
}

/// The configuration to beat: settings, or a command line with settings that change it.
pub(crate) fn baseline(
    arguments: &Tune,
    laboratory: &Laboratory,
    printer: &Printer,
) -> Result<Configuration> {
    let (lines, pairs): (Vec<String>, Vec<String>) =
        arguments.baseline.iter().cloned().partition(|text| pasted::is_command_line(text));
    let mut made = Configuration::new();
    if lines.len() > 1 {
        return refuse("--baseline: one command line is enough".to_string());
    }
    for line in &lines {
        let pasted = match pasted::read(line, &laboratory.facts) {
            Ok(pasted) => pasted,
            Err(reason) => return refuse(format!("--baseline: {reason}")),
        };
        printer.say(&format!("baseline: {}", pasted.configuration));
        if !pasted.ignored.is_empty() {
            printer.say(&format!("not taken over, makes no difference: {}", pasted.ignored.join(", ")));
        }
        if !pasted.left_out.is_empty() {
            let left_out = pasted.left_out.join(", ");
            printer.warn(&format!("not taken over, may make a difference and is no knob here: {left_out}"));
        }
        made = pasted.configuration;
    }
    for (name, value) in settings::configuration(&pairs)?.settings() {
        made = made.with(name, value.clone());
    }
    let context = logits_context(laboratory).filter(|_| arguments.conform_to_imatrix);
    if let (Some(context), Value::Auto) = (context, made.get("batch")) {
        let default = made.meant("batch", &laboratory.facts).as_integer();
        // llama.cpp's own batch holds more than one context.
        if default.is_none_or(|default| default > context) {
            made = made.with("batch", Value::Integer(context));
        }
    }
    match made.checked(&laboratory.facts) {
        Ok(baseline) => Ok(baseline),
        Err(reason) => refuse(format!("--baseline: {reason}")),
    }
}
