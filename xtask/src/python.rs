//! A Python with the real Optuna and optuna-dashboard, for tests and benchmarks; made once, in the cache.

use crate::{cache, command, fetch, install};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed. Pinned: the store speaks their language, and the benchmarks are compared with them.
const PACKAGES: [&str; 2] = ["optuna==5.0.0", "optuna-dashboard==0.21.0"];

/// The interpreter that has the packages.
pub fn interpreter() -> Result<PathBuf> {
    let mut base = install::python()?;
    let version = command::capture(base.arg("--version"))?;
    let key = cache::key_of(&format!("{version} {}", PACKAGES.join(" ")), 8);
    let folder = cache::folder()?.join(format!("python-{key}"));
    let _lock = cache::lock("python")?;
    if !folder.is_dir() {
        fetch::refuse_when_offline(&folder)?;
        eprintln!("python: pip install {} (into {})", PACKAGES.join(" "), folder.display());
        cache::make_beside(&folder, "", install_into)
            .with_context(|| format!("could not make a Python with {}", PACKAGES.join(", ")))?;
    }
    Ok(program(&folder))
}

/// Without a pip of its own, which Debian keeps in a package apart: ours installs into it. Only the interpreter is
/// used, so the folder may be renamed afterwards.
fn install_into(folder: &Path) -> Result<()> {
    let mut python = install::python()?;
    command::capture(python.args(["-m", "venv", "--without-pip"]).arg(folder))?;
    let mut pip = install::pip()?;
    pip.arg("--python").arg(program(folder)).args(["install", "--quiet", "--only-binary=:all:"]);
    command::run(pip.args(PACKAGES))?;
    command::run(Command::new(program(folder)).args(["-c", "import optuna, optuna_dashboard"]))
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
        for package in PACKAGES {
            let (name, version) = package.split_once("==").expect("an exact version");
            assert!(
                !name.is_empty() && version.starts_with(|digit: char| digit.is_ascii_digit()),
                "{package}"
            );
        }
        assert!(program(Path::new("made")).starts_with("made"));
    }
}
