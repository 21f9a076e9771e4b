//! Settings from files: what is set there is the default of the option of the same name, wherever a verb has it.
//!
//! The command line goes before the environment, that before the project's file (`gguflab.toml` in this folder or the
//! nearest one above that has one), that before the user's (`gguflab.toml` in the folder of this user's settings).

use crate::cli::Arguments;
use crate::places;
use clap::{Arg, Command, CommandFactory, FromArgMatches, parser::ValueSource};
use gguflab_lab::profile::line_of;
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Name of both files.
const FILE: &str = "gguflab.toml";

/// A file, strictly: a key that is not known is an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Content {
    /// `--engine`.
    engine: Option<String>,
    /// `--store`, seen from the file's folder.
    store: Option<PathBuf>,
    /// `--baselines`, seen from the file's folder.
    baselines: Option<PathBuf>,
    /// `--threshold` of `gate accept`.
    thresholds: Option<Vec<String>>,
    /// `--margin`.
    margin: Option<f64>,
    /// `--budget-time`.
    budget_time: Option<String>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("settings file {path} cannot be used: {problem}", path = path.display())]
pub(crate) struct DefaultsError {
    path: PathBuf,
    problem: String,
}

/// Parses the command line with the files' settings as defaults. A file that cannot be used is told only when the
/// arguments are sound: help and mistakes go first.
pub(crate) fn parse() -> Result<(Arguments, Result<(), DefaultsError>), clap::Error> {
    let (content, problem) = match read() {
        Ok(content) => (content, Ok(())),
        Err(error) => (Content::default(), Err(error)),
    };
    let matches = with_defaults(Arguments::command(), &content).try_get_matches()?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    // A profile that is named goes before a file that is only there.
    let given = matches
        .subcommand()
        .and_then(|(_, verb)| verb.try_contains_id("engine").is_ok().then(|| verb.value_source("engine")));
    if given.flatten() == Some(ValueSource::DefaultValue) {
        arguments.verb.forget_engine_beside_profile();
    }
    Ok((arguments, problem))
}

/// The project's settings over the user's.
fn read() -> Result<Content, DefaultsError> {
    let here = std::env::current_dir().unwrap_or_default();
    let project = here.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file());
    let user = places::settings_folder().map(|folder| folder.join(FILE)).filter(|path| path.is_file());
    let user = user.map_or(Ok(Content::default()), |path| read_file(&path))?;
    let project = project.map_or(Ok(Content::default()), |path| read_file(&path))?;
    Ok(Content {
        engine: project.engine.or(user.engine),
        store: project.store.or(user.store),
        baselines: project.baselines.or(user.baselines),
        thresholds: project.thresholds.or(user.thresholds),
        margin: project.margin.or(user.margin),
        budget_time: project.budget_time.or(user.budget_time),
    })
}

fn read_file(path: &Path) -> Result<Content, DefaultsError> {
    let unusable = |problem: String| DefaultsError { path: path.to_path_buf(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let content: Content = toml::from_str(&text).map_err(|error| {
        let line = line_of(&text, error.span().map_or(0, |span| span.start));
        unusable(format!("line {line}: {}", error.message()))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let from_here = |inside: PathBuf| folder.join(inside);
    Ok(Content {
        store: content.store.map(from_here),
        baselines: content.baselines.map(from_here),
        ..content
    })
}

/// Gives the options their defaults, in every verb that has them.
fn with_defaults(command: Command, content: &Content) -> Command {
    let command = command.mut_args(|argument| with_default(argument, content));
    command.mut_subcommands(|verb| with_defaults(verb, content))
}

fn with_default(argument: Arg, content: &Content) -> Arg {
    let path = |path: &PathBuf| vec![path.clone().into_os_string()];
    let values: Option<Vec<OsString>> = match argument.get_id().as_str() {
        "engine" => content.engine.as_ref().map(|engine| vec![engine.into()]),
        "store" => content.store.as_ref().map(path),
        "baselines" => content.baselines.as_ref().map(path),
        "threshold" => content.thresholds.as_ref().map(|all| all.iter().map(OsString::from).collect()),
        "margin" => content.margin.map(|margin| vec![margin.to_string().into()]),
        "budget_time" => content.budget_time.as_ref().map(|time| vec![time.into()]),
        _ => None,
    };
    match values {
        Some(values) => argument.default_values(values),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, line: &str) -> Result<Arguments, clap::Error> {
        let content: Content = toml::from_str(text).unwrap();
        let matches = with_defaults(Arguments::command(), &content).try_get_matches_from(line.split(' '))?;
        Arguments::from_arg_matches(&matches)
    }

    #[test]
    fn a_setting_is_the_default_of_its_option_in_every_verb() {
        let text = "engine = 'simulated'\nmargin = 0.03\nbudget-time = '7m'\nthresholds = ['decode<5%', 'time<8%']\nstore = 's.db'";
        for (line, words) in [
            ("gguflab bench", vec!["engine: Some(\"simulated\")"]),
            (
                "gguflab tune --margin 0.02",
                vec!["margin: 0.02", "budget_time: Some(420.0)", "store: Some(\"s.db\")"],
            ),
            ("gguflab compare a b --engine embedded", vec!["engine: Some(\"embedded\")", "margin: 0.03"]),
            ("gguflab gate accept x", vec!["threshold: [\"decode<5%\", \"time<8%\"]"]),
            ("gguflab gate accept x --threshold time<1%", vec!["threshold: [\"time<1%\"]"]),
            ("gguflab study list", vec!["store: Some(\"s.db\")"]),
        ] {
            let told = format!("{:?}", parsed(text, line).unwrap());
            for word in words {
                assert!(told.contains(word), "{line}: {word} in {told}");
            }
        }
    }

    #[test]
    fn a_default_that_is_none_is_an_error_of_its_option() {
        let error = parsed("budget-time = 'soon'", "gguflab tune").unwrap_err().to_string();
        assert!(error.contains("soon"), "{error}");
        assert!(toml::from_str::<Content>("engin = 'x'").is_err());
    }
}
