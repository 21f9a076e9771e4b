//! Pythons with what others have made, for tests and benchmarks; each is made once, in the cache.

use crate::{cache, command, fetch, install};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed together. Pinned: the store speaks their language, and the benchmarks are compared with them.
pub struct Packages {
    /// Packages with all that they need.
    whole: &'static [&'static str],
    /// Packages without what they need besides.
    alone: &'static [&'static str],
    /// The program that shows that they are there.
    shows: &'static str,
}

/// Optuna and its dashboard.
pub const OPTUNA: Packages = Packages {
    whole: &["optuna==5.0.0", "optuna-dashboard==0.21.0"],
    alone: &[],
    shows: "import optuna, optuna_dashboard",
};
/// Two clients for servers under load, AIPerf and GuideLLM: 1.2 GB. The latter's torch, which only hands prompts out, is twice as
/// large again and left out: `python/torch_stand_in.py` takes its place.
pub const LOAD_CLIENTS: Packages = Packages {
    whole: &["aiperf==0.13.0"],
    alone: &[
        "guidellm==0.8.1",
        "aiologic==0.17.1",
        "culsans==0.11.0",
        "eval-type-backport==0.4.0",
        "faker==40.63.0",
        "ftfy==6.3.1",
        "h2==4.4.1",
        "hpack==4.2.0",
        "html5tagger==2.0.0",
        "hyperframe==6.1.0",
        "loguru==0.7.3",
        "more-itertools==11.2.1",
        "msgpack==1.2.4",
        "sanic-routing==23.12.0",
        "sanic==25.12.1",
        "sniffio==1.3.1",
        "tabulate==0.10.0",
        "tracerite==2.6.5",
        "wcwidth==0.9.4",
        "wrapt==2.5.2",
    ],
    shows: "import aiperf, importlib.util; assert importlib.util.find_spec('guidellm')",
};

/// The interpreter that has the packages.
pub fn interpreter(packages: &Packages) -> Result<PathBuf> {
    let mut base = install::python()?;
    let version = command::capture(base.arg("--version"))?;
    let names = [packages.whole, packages.alone].concat().join(" ");
    let key = cache::key_of(&format!("{version} {names}"), 8);
    let folder = cache::folder()?.join(format!("python-{key}"));
    let _lock = cache::lock("python")?;
    if !folder.is_dir() {
        fetch::refuse_when_offline(&folder)?;
        eprintln!("python: pip install {names} (into {})", folder.display());
        cache::make_beside(&folder, "", |folder| install_into(folder, packages))
            .with_context(|| format!("could not make a Python with {names}"))?;
    }
    Ok(program(&folder))
}

/// Without a pip of its own, which Debian keeps in a package apart: ours installs into it. Only the interpreter is
/// used, so the folder may be renamed afterwards.
fn install_into(folder: &Path, packages: &Packages) -> Result<()> {
    let mut python = install::python()?;
    command::capture(python.args(["-m", "venv", "--without-pip"]).arg(folder))?;
    let mut pip = install::pip()?;
    pip.arg("--python").arg(program(folder)).args(["install", "--quiet", "--only-binary=:all:"]);
    command::run(pip.args(packages.whole))?;
    if !packages.alone.is_empty() {
        let mut pip = install::pip()?;
        pip.arg("--python").arg(program(folder)).args([
            "install",
            "--quiet",
            "--only-binary=:all:",
            "--no-deps",
        ]);
        command::run(pip.args(packages.alone))?;
    }
    command::run(Command::new(program(folder)).args(["-c", packages.shows]))
}

fn program(folder: &Path) -> PathBuf {
    let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    programs.join(command::executable("python"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        let all = [OPTUNA, LOAD_CLIENTS].map(|packages| [packages.whole, packages.alone].concat()).concat();
        for package in all {
            let (name, version) = package.split_once("==").expect("an exact version");
            assert!(
                !name.is_empty() && version.starts_with(|digit: char| digit.is_ascii_digit()),
                "{package}"
            );
        }
        assert!(program(Path::new("made")).starts_with("made"));
    }
}
