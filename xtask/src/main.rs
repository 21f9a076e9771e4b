//! The project's chores: `cargo xtask VERB`. What a verb does is in the module of its name.

mod bench;
mod cache;
mod ci;
mod command;
mod corpora;
mod demo;
mod fetch;
mod install;
mod peer;
mod platforms;
mod python;
mod setup;
mod test;
mod tools;

use anyhow::Result;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One verb of `cargo xtask`.
pub struct Verb {
    /// What the user types.
    pub name: &'static str,
    /// Its arguments, as shown in the usage.
    pub arguments: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Does it; gets what followed the verb.
    run: fn(&[String]) -> Result<()>,
}

/// All verbs. The usage and the check of the README's commands read this table.
pub const VERBS: &[Verb] = &[
    Verb { name: "setup", arguments: "", help: "find or install what the build needs", run: setup::verb },
    Verb {
        name: "fetch",
        arguments: "[model|llama-cpp]",
        help: "fetch the demo model (default) or llama.cpp's sources; print the path",
        run: fetch::verb,
    },
    Verb {
        name: "corpora",
        arguments: "[NAME]",
        help: "fetch the texts that tests read; print their paths and licences, or the path of one",
        run: corpora::verb,
    },
    Verb {
        name: "peer",
        arguments: "[TARGET…]",
        help: "build the real llama-bench (default) or other llama.cpp tools; print their folder",
        run: peer::verb,
    },
    Verb {
        name: "test",
        arguments: "[ARGS…]",
        help: "run all tests; ARGS go to the test runner",
        run: test::verb,
    },
    Verb { name: "demo", arguments: "", help: "tune a small real model and write a report", run: demo::verb },
    Verb {
        name: "bench",
        arguments: "[list|all|NAME…] [--pairs N] [--record]",
        help: "measure the program itself; --record appends the figures to BENCHMARKS.md",
        run: bench::verb,
    },
    Verb {
        name: "ci",
        arguments: "[--no-test]",
        help: "format, lints (warnings are errors), house rules, the README's commands, tests",
        run: ci::verb,
    },
    Verb {
        name: "platforms",
        arguments: "[TARGET…]",
        help: "type-check for Windows and macOS, as far as Rust's library for them is installed",
        run: platforms::verb,
    },
];

fn run(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", usage());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage());
        return Ok(());
    }
    let verb = VERBS.iter().find(|verb| verb.name == name);
    let verb = verb.ok_or_else(|| anyhow::anyhow!("there is no verb `{name}`\n\n{}", usage()))?;
    (verb.run)(rest)
}

fn usage() -> String {
    let lines = VERBS.iter().map(|verb| {
        let call = format!("{} {}", verb.name, verb.arguments);
        format!("  cargo xtask {call:<44} {}\n", verb.help)
    });
    let environment = "\nEnvironment:\n  \
        GGUFLAB_CACHE=FOLDER          where models, sources and tools are kept\n  \
        GGUFLAB_SETUP=auto|pip|none   pip: build tools from Python packages, even where the system has them;\n                                \
        none: install nothing\n  \
        GGUFLAB_OFFLINE=1             use what the cache has, and else a model that the project writes itself\n";
    format!("Usage:\n{}{environment}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_verbs_are_refused_with_the_usage() {
        let error = run(&["explode".to_owned()]).expect_err("not a verb").to_string();
        assert!(error.contains("no verb `explode`"), "{error}");
        assert!(error.contains("cargo xtask test"), "{error}");
    }

    #[test]
    fn every_verb_is_named_once() {
        let mut names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VERBS.len());
    }
}
