//! Runs other programs. An error says what was run, in which folder, and how it ended.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command to its end with its output on the terminal; anything but success is an error.
/// Its standard output is led to our standard error, so that ours holds only data (paths).
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("could not start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs a command to its end with standard input and output as they are: for tests and the demo.
pub fn run_in_front(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs a command and hands back its standard output, trimmed; its standard error is part of the error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{}`", describe(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", describe(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a long, talkative command with its output in a file; an error shows the end of it.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("could not make {}", log.display()))?;
    let errors = file.try_clone().with_context(|| format!("could not share {}", log.display()))?;
    let status = command.stdin(Stdio::null()).stdout(file).stderr(errors).status();
    let status = status.with_context(|| format!("could not start `{}`", describe(command)))?;
    if !status.success() {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!("`{}` ended with {status}; the end of {}:\n{end}", describe(command), log.display());
    }
    Ok(())
}

/// Whether a command can be started and succeeds; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The first line that `PROGRAM --version` prints, if it can be run.
pub fn version(program: &Path) -> Option<String> {
    let said = capture(Command::new(program).arg("--version")).ok()?;
    said.lines().next().map(str::to_owned)
}

/// Searches `PATH` for a program.
pub fn find(program: &str) -> Option<PathBuf> {
    let name = executable(program);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// The file name of a program on this system.
pub fn executable(program: &str) -> String {
    format!("{program}{}", std::env::consts::EXE_SUFFIX)
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The folder of release builds.
pub fn release_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join("release")
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match command.get_current_dir() {
        Some(folder) => format!("{line} (in {})", folder.display()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("gguflab-no-such-program").arg("--flag")).expect_err("missing");
        assert!(format!("{error:#}").contains("gguflab-no-such-program --flag"), "{error:#}");
    }

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let error = capture(Command::new(cargo).arg("no-such-subcommand")).expect_err("refused");
        assert!(error.to_string().contains("no such command"), "{error}");
    }
}
