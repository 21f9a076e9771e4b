//! `cargo xtask demo`: what a new user sees first: a real model inspected, the machine shown, and a tune with its
//! report and the llama-server command of the winner. Everything is written below `target/demo`.

use crate::{command, fetch, setup, test};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the tune of the demo is called; MODEL, STORE and REPORT stand for the paths.
const TUNE: &[&str] = &["tune", "MODEL", "--store", "STORE", "--report", "REPORT", "--budget-time", "3m"];

/// `cargo xtask demo`.
pub fn verb(_arguments: &[String]) -> Result<()> {
    let environment = setup::prepare()?;
    let model = fetch::model(&environment)?;
    test::build_programs(&environment)?;
    let report = play(&model)?;
    eprintln!("\nThe report is in {}", report.display());
    if !model.is_real {
        eprintln!("The model was a tiny one with random weights: its speeds say nothing about real models.");
    }
    Ok(())
}

/// Shows what the program does with a model, when everything is built; gives the report's path.
pub fn play(model: &fetch::Model) -> Result<PathBuf> {
    let folder = command::release_folder().with_file_name("demo");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let (store, report) = (unused_store(&folder), folder.join("report.html"));
    let tune = filled(&model.path, &store, &report);
    for arguments in [vec!["inspect".into(), model.path.clone()], vec!["devices".into()], tune] {
        show(&arguments)?;
    }
    Ok(report)
}

fn show(arguments: &[PathBuf]) -> Result<()> {
    let program = command::release_folder().join(command::executable("gguflab"));
    let line = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("\n$ gguflab {line}");
    command::run_in_front(Command::new(program).args(arguments))
}

fn filled(model: &Path, store: &Path, report: &Path) -> Vec<PathBuf> {
    let fill = |word: &&str| match *word {
        "MODEL" => model.to_owned(),
        "STORE" => store.to_owned(),
        "REPORT" => report.to_owned(),
        other => PathBuf::from(other),
    };
    TUNE.iter().map(fill).collect()
}

/// A new file of studies for every demo: an earlier study stays, and is neither resumed nor joined.
fn unused_store(folder: &Path) -> PathBuf {
    let names = (1_u32..).map(|number| folder.join(format!("demo-{number}.db")));
    let mut unused = names.filter(|path| !path.exists());
    unused.next().unwrap_or_else(|| folder.join("demo.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholders_are_filled() {
        let words = filled(Path::new("m.gguf"), Path::new("s.db"), Path::new("r.html"));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(words[..6], ["tune", "m.gguf", "--store", "s.db", "--report", "r.html"]);
    }

    #[test]
    fn an_earlier_study_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("gguflab-xtask-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        assert_eq!(unused_store(&folder), folder.join("demo-1.db"));
        std::fs::write(folder.join("demo-1.db"), "").expect("written");
        assert_eq!(unused_store(&folder), folder.join("demo-2.db"));
        std::fs::remove_dir_all(&folder).expect("clean");
    }
}
