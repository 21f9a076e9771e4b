//! What the arguments mean: each verb's settings are settled once, here.

use crate::cli::{EngineArguments, LimitArguments, WorkloadArguments};
use crate::exit::{FileError, UsageError};
use crate::places;
use anyhow::Result;
use gguflab_lab::{EngineSpecification, Items, Objective, PRUNERS, PrunerRow, Requirement, objective};
use gguflab_types::knob::{self, ENVIRONMENT};
use gguflab_types::workload::{self, LOGITS, WORKLOADS};
use gguflab_types::{
    Configuration, Deadlines, DeclaredMetric, PromptKind, Protocol, Request, Value, Workload,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prompt and generated tokens when nothing is asked for: the cell that llama-bench measures.
const DEFAULT_REQUEST: Request = Request::new(512, 128);
const DEFAULT_ENGINE: &str = "embedded";
/// Longest text file for prompts.
const LONGEST_TEXT: u64 = 64 << 20;

/// A usage error as the error of a command.
pub(crate) fn refuse<T>(text: String) -> Result<T> {
    Err(UsageError(text).into())
}

/// Seconds from `90`, `90s`, `10m`, `2h` or `500ms`.
pub(crate) fn parse_time(text: &str) -> Result<f64, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * factor),
        _ => Err(format!("`{text}` is not a time: write 90s, 10m or 2h")),
    }
}

/// Where a model lies.
pub(crate) fn find_model(name: &str) -> Result<PathBuf> {
    let found = gguflab_lab::find_model(name, &gguflab_lab::Places::system())?;
    Ok(found.path)
}

/// The path from the root, so that what is written down works from any folder; as it is where there is no file.
pub(crate) fn whole_path(path: &Path) -> PathBuf {
    match std::path::absolute(path) {
        Ok(whole) if path.exists() => whole,
        _ => path.to_path_buf(),
    }
}

/// A path from the root, whether there is a file or not: another process writes it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).or_else(|error| refuse(format!("{}: {error}", path.display())))
}

/// An environment variable that is searched: the name of its knob, and its values.
pub(crate) type Variable = (String, Items);

/// The engine and how it is started, where nothing is searched.
pub(crate) fn engine(arguments: &EngineArguments) -> Result<EngineSpecification> {
    match searched_engine(arguments)? {
        (specification, variables) if variables.is_empty() => Ok(specification),
        (_, variables) => {
            let name = variables[0].0.trim_start_matches(ENVIRONMENT);
            refuse(format!(
                "--env {name} has several values, and only tune searches: give one; a comma in a value is written `\\,`"
            ))
        }
    }
}

/// The engine and how it is started, and the environment variables with several values: those are knobs.
pub(crate) fn searched_engine(arguments: &EngineArguments) -> Result<(EngineSpecification, Vec<Variable>)> {
    let name = arguments.engine.as_deref().unwrap_or(DEFAULT_ENGINE);
    let mut specification = EngineSpecification::parse(name, places::worker())?;
    let (fixed, variables) = environment(&arguments.env)?;
    specification.environment = fixed;
    specification.library_paths = arguments.library_path.clone();
    let wrapper = arguments.wrapper.as_deref().unwrap_or_default();
    specification.wrapper = wrapper.split_whitespace().map(str::to_string).collect();
    Ok((specification, variables))
}

fn environment(pairs: &[String]) -> Result<(BTreeMap<String, String>, Vec<Variable>)> {
    let (mut fixed, mut variables) = (BTreeMap::new(), Vec::new());
    for pair in pairs {
        let Some((name, list)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return refuse(format!("--env {pair}: write NAME=VALUE, or NAME=VALUE,VALUE to search"));
        };
        let knob = format!("{ENVIRONMENT}{name}");
        let mut values = split_list(list);
        if values.len() < 2 {
            fixed.insert(name.to_string(), values.pop().unwrap_or_default());
        } else if knob::variable(&knob).is_none() {
            return refuse(format!("--env {pair}: `{name}` is no name of a variable that can be searched"));
        } else {
            variables.push((knob, Items::List(values)));
        }
    }
    match variables.iter().find(|(knob, _)| fixed.contains_key(knob.trim_start_matches(ENVIRONMENT))) {
        Some((knob, _)) => refuse(format!("{knob} is fixed and searched: give --env for it once")),
        None => Ok((fixed, variables)),
    }
}

/// The parts between commas; `\,` is a comma in a part.
fn split_list(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut signs = list.chars().peekable();
    while let Some(sign) = signs.next() {
        match (sign, parts.last_mut()) {
            (',', _) => parts.push(String::new()),
            ('\\', Some(part)) if signs.next_if_eq(&',').is_some() => part.push(','),
            (sign, Some(part)) => part.push(sign),
            (_, None) => {}
        }
    }
    parts
}

/// Whether the command line says anything of what is run.
pub(crate) fn says_workload(arguments: &WorkloadArguments) -> bool {
    let own = [arguments.prompt, arguments.generate, arguments.depth];
    let lists = [&arguments.depths, &arguments.concurrency];
    arguments.workload.is_some()
        || own.iter().any(Option::is_some)
        || lists.iter().any(|list| !list.is_empty())
}

/// What is run; `default` is taken when nothing is said.
pub(crate) fn workload(arguments: &WorkloadArguments, default: Option<&str>) -> Result<Workload> {
    let named = |name: &str| match workload::find(name) {
        Some(found) => Ok(found),
        None => {
            let mut names: Vec<&str> = WORKLOADS.iter().map(|row| row.name).collect();
            names.dedup();
            refuse(format!(
                "no workload `{name}`: there are {}, or give --prompt and --generate",
                names.join(", ")
            ))
        }
    };
    let own = [arguments.prompt, arguments.generate, arguments.depth, concurrency(arguments)?];
    if let Some(tokens) = arguments.context {
        return match (arguments.workload.as_deref(), tokens) {
            (Some(LOGITS), 1..) => Ok(Workload::single(LOGITS, Request::all_logits(tokens))),
            (Some(LOGITS), 0) => refuse("--context 0 is no text: take 1 or more".to_string()),
            _ => refuse(format!("--context goes with --workload {LOGITS}; others have their own length")),
        };
    }
    match (&arguments.workload, default) {
        (Some(name), _) => named(name),
        (None, Some(name)) if !says_workload(arguments) => named(name),
        (None, _) => {
            let request = Request {
                prompt: arguments.prompt.unwrap_or(DEFAULT_REQUEST.prompt),
                generate: arguments.generate.unwrap_or(DEFAULT_REQUEST.generate),
                depth: arguments.depth.unwrap_or(0),
                concurrency: own[3].unwrap_or(1),
                ..DEFAULT_REQUEST
            };
            if !arguments.depths.is_empty() {
                return Ok(Workload::curve(request, &arguments.depths));
            }
            let empty = request.prompt == 0 && request.generate == 0;
            let label = if empty { "pp0+tg0".to_string() } else { request.label() };
            Ok(Workload::single(label, request))
        }
    }
}

fn concurrency(arguments: &WorkloadArguments) -> Result<Option<u32>> {
    match arguments.concurrency.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => refuse("several values of --concurrency are loads, which bench measures one by one".to_string()),
    }
}

/// How it is measured.
pub(crate) fn protocol(arguments: &WorkloadArguments, repetitions: u32) -> Result<Protocol> {
    if repetitions == 0 {
        return refuse("0 repetitions measure nothing: take 1 or more".to_string());
    }
    let text = arguments.text.as_deref().map(read_text).transpose()?.unwrap_or_default();
    let prompt = if arguments.random_tokens { PromptKind::Random } else { PromptKind::Text };
    Ok(Protocol { repetitions, prompt, text, seed: arguments.seed, ..Protocol::default() })
}

fn read_text(path: &Path) -> Result<String> {
    let failed = |source| FileError { what: "read", path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST_TEXT {
        return refuse(format!("{} has {length} bytes: at most {LONGEST_TEXT} are taken", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    if text.trim().is_empty() {
        return refuse(format!("{} is empty: a prompt needs text", path.display()));
    }
    Ok(text)
}

/// How long things may take.
pub(crate) fn deadlines(arguments: &LimitArguments) -> Deadlines {
    let default = Deadlines::default();
    // Who sets the time of a trial knows how slow it is: no part of it then has a shorter limit of its own.
    let trial = arguments.timeout_per_trial.unwrap_or(default.trial);
    let part = |default: f64| arguments.timeout_per_trial.unwrap_or(default);
    Deadlines {
        trial,
        load: arguments.timeout_load.unwrap_or(part(default.load)),
        context: part(default.context),
        repetition: part(default.repetition),
        ..default
    }
}

/// A configuration from `KNOB=VALUE` pairs; whether the values are allowed is checked where the machine is known.
pub(crate) fn configuration(pairs: &[String]) -> Result<Configuration> {
    let mut made = Configuration::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return refuse(format!("`{pair}`: write KNOB=VALUE, such as threads=4"));
        };
        made = made.with(name.trim(), Value::parse(value));
    }
    Ok(made)
}

/// The pruner of this name, if it goes with the objectives.
pub(crate) fn pruner(name: &str, objectives: &[&Objective]) -> Result<&'static PrunerRow> {
    match PRUNERS.iter().find(|row| row.name == name) {
        Some(row) if objectives.len() > 1 && !matches!(name, "auto" | "none") => {
            refuse(format!("--pruner {} compares one objective: with several take auto or none", row.name))
        }
        Some(row) => Ok(row),
        None => {
            let names: Vec<&str> = PRUNERS.iter().map(|row| row.name).collect();
            refuse(format!("no pruner `{name}`: there are {}", names.join(", ")))
        }
    }
}

/// What a tune makes better: names separated by commas.
pub(crate) fn objectives(names: &str, declared: &[DeclaredMetric]) -> Result<Vec<&'static Objective>> {
    let found: Vec<&'static Objective> =
        names.split(',').map(|name| objective(name.trim(), declared)).collect::<Result<_>>()?;
    let twice = |(place, one): (usize, &&'static Objective)| {
        found[..place].iter().any(|other| other.name == one.name).then_some(one.name)
    };
    match found.iter().enumerate().find_map(twice) {
        Some(name) => refuse(format!("--objective {names}: `{name}` is there twice")),
        None => Ok(found),
    }
}

/// What breaks a tie.
pub(crate) fn tie_break(
    name: Option<&str>,
    objectives: &[&Objective],
    declared: &[DeclaredMetric],
) -> Result<Option<&'static Objective>> {
    let Some(name) = name else { return Ok(None) };
    match objectives {
        [only] if only.name == name => {
            refuse(format!("--tie-break {name}: that is the objective itself; take another one"))
        }
        _ => objective(name, declared).map(Some),
    }
}

/// What a configuration or a request has to keep to, as an option says it.
pub(crate) fn requirements(
    option: &str,
    texts: &[String],
    declared: &[DeclaredMetric],
) -> Result<Vec<Requirement>> {
    let parsed = texts.iter().map(|text| Requirement::parse(text, declared));
    parsed.map(|one| one.or_else(|error| refuse(format!("{option}: {error}")))).collect()
}

/// An objective of the table, or a metric that the engine declares.
fn objective(name: &str, declared: &[DeclaredMetric]) -> Result<&'static Objective> {
    objective::find_among(name, declared).map_or_else(
        || {
            let names = objective::OBJECTIVES.iter().map(|objective| objective.name);
            let names: Vec<&str> = names.chain(declared.iter().map(|metric| metric.name.as_str())).collect();
            refuse(format!("no objective `{name}`: there are {}", names.join(", ")))
        },
        Ok,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, seconds) in [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("500ms", 0.5)] {
            assert_eq!(parse_time(text), Ok(seconds));
        }
        for text in ["", "m", "-3s", "soon", "0", "nan", "inf"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_with_several_values_are_knobs() {
        let (fixed, variables) =
            environment(&[r"GPUS=0\,1".into(), "A=1,x=2".into(), r"PATH=c:\a".into(), "EMPTY=".into()])
                .unwrap();
        let fixed: Vec<_> = fixed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(fixed, ["EMPTY=", "GPUS=0,1", r"PATH=c:\a"]);
        assert_eq!(variables, [("env:A".to_string(), Items::List(vec!["1".to_string(), "x=2".to_string()]))]);
    }

    #[test]
    fn pairs_that_are_none_are_refused() {
        assert!(configuration(&["threads".into()]).is_err());
        assert!(environment(&["=x".into()]).is_err());
        assert!(environment(&["A=1".into(), "A=1,2".into()]).is_err());
        let read = configuration(&["threads=4".into(), "ubatch=batch/4".into()]).unwrap();
        assert_eq!(read.to_string(), "threads=4 ubatch=batch/4");
    }
}
