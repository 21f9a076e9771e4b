//! `cargo xtask ci`: everything that must hold before a change lands.

use crate::setup::{self, BuildEnvironment};
use crate::{VERBS, command, test};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// One step: its name and what it does.
type Step = (&'static str, fn(&BuildEnvironment) -> Result<()>);

const STEPS: &[Step] = &[
    ("format", format),
    ("lints", lints),
    ("lints of features", lints_of_features),
    ("house rules", house_rules),
    ("commands of the README", readme_commands),
];

/// `cargo xtask ci [--no-test]`: `--no-test` leaves the tests to a `cargo xtask test` of its own.
pub fn verb(arguments: &[String]) -> Result<()> {
    let with_tests = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => true,
        ["--no-test"] => false,
        other => bail!("`cargo xtask ci` does not know `{}`", other.join(" ")),
    };
    let environment = setup::prepare()?;
    for (name, run) in STEPS {
        timed(name, || run(&environment))?;
    }
    if with_tests { timed("tests", || test::verb(&[])) } else { Ok(()) }
}

fn timed(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("ci: {name} …");
    let start = Instant::now();
    run().with_context(|| format!("ci: {name} failed"))?;
    eprintln!("ci: {name}: fine, {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn format(environment: &BuildEnvironment) -> Result<()> {
    command::run(environment.cargo().args(["fmt", "--all", "--", "--check"]))
}

/// In the release profile, which shares the compiled llama.cpp with the tests.
fn lints(environment: &BuildEnvironment) -> Result<()> {
    let mut cargo = environment.cargo();
    command::run(cargo.args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// What is off by default and needs nothing but Rust.
fn lints_of_features(environment: &BuildEnvironment) -> Result<()> {
    [test::WITH_FEATURES, test::WITH_HDF5].into_iter().try_for_each(|features| {
        let mut cargo = environment.cargo();
        cargo.args(["clippy", "--release"]).args(features);
        command::run(cargo.args(["--all-targets", "--", "-D", "warnings"]))
    })
}

fn house_rules(environment: &BuildEnvironment) -> Result<()> {
    command::run(environment.cargo().args(["test", "--release", "--quiet", "-p", "xtask", "--test", "tidy"]))
}

/// Every command that the README shows must exist, so that it cannot rot.
fn readme_commands(environment: &BuildEnvironment) -> Result<()> {
    let path = command::root().join("README.md");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let commands = commands_shown(&text);
    let unknown = commands.iter().find(|(program, verb)| program == "cargo xtask" && !is_verb(verb));
    if let Some((program, verb)) = unknown {
        bail!("the README shows `{program} {verb}`, which does not exist");
    }
    test::build_programs(environment)?;
    let program = command::release_folder().join(command::executable("gguflab"));
    for (_, verb) in commands.iter().filter(|(program, _)| program == "gguflab") {
        let help = command::capture(Command::new(&program).arg(verb).arg("--help"));
        help.with_context(|| format!("the README shows `gguflab {verb}`, which does not work"))?;
    }
    Ok(())
}

fn is_verb(name: &str) -> bool {
    VERBS.iter().any(|verb| verb.name == name)
}

/// The pairs (program, verb) of the command lines in a Markdown text's code blocks.
fn commands_shown(markdown: &str) -> Vec<(String, String)> {
    let mut in_fence = false;
    let mut commands = Vec::new();
    for line in markdown.lines() {
        let is_fence = line.trim_start().starts_with("```");
        in_fence ^= is_fence;
        if !is_fence && (in_fence || line.starts_with("    ")) {
            commands.extend(command_of_line(line));
        }
    }
    commands
}

fn command_of_line(line: &str) -> Option<(String, String)> {
    let words: Vec<&str> = line.trim_start().trim_start_matches("$ ").split_whitespace().collect();
    let (program, verb) = match words.as_slice() {
        ["cargo", "xtask", verb, ..] => ("cargo xtask", verb),
        ["gguflab", verb, ..] => ("gguflab", verb),
        _ => return None,
    };
    let is_name =
        verb.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') && !verb.starts_with('-');
    is_name.then(|| (program.to_owned(), (*verb).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_code_blocks_only() {
        let text = "Say gguflab magic here.\n\n    cargo xtask demo  # tries it\n\n```\n$ gguflab tune model.gguf\n\
            gguflab --help\n# gguflab none\n```\ngguflab outside\n";
        let pair = |program: &str, verb: &str| (program.to_owned(), verb.to_owned());
        assert_eq!(commands_shown(text), [pair("cargo xtask", "demo"), pair("gguflab", "tune")]);
    }

    #[test]
    fn verbs_are_known() {
        assert!(is_verb("demo") && is_verb("test") && !is_verb("deploy"));
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(verb(&["--fast".to_owned()]).expect_err("unknown").to_string().contains("--fast"));
    }
}
