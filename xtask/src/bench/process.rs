//! Programs run and measured from outside.

use crate::{command, install};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The program that users call.
pub(super) fn gguflab() -> PathBuf {
    command::release_folder().join(command::executable("gguflab"))
}

/// The program that links llama.cpp.
pub(super) fn worker() -> PathBuf {
    command::release_folder().join(command::executable("gguflab-worker"))
}

/// A path below `target/bench`, where nothing stands yet: what an earlier run left is removed.
pub(super) fn fresh_file(name: &str) -> Result<PathBuf> {
    let folder = command::release_folder().with_file_name("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    for entry in std::fs::read_dir(&folder)?.flatten() {
        // A study has companions: `-wal`, `-shm` and backups.
        if entry.file_name().to_string_lossy().starts_with(name) {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("could not remove {}", entry.path().display()))?;
        }
    }
    Ok(folder.join(name))
}

/// Arguments of a program, words and paths mixed.
pub(super) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// The output of a program with the CPU time of its process at each line.
#[derive(Debug, PartialEq)]
pub(super) struct Stamped {
    /// CPU seconds of the program's own process when the line came, and the line.
    pub(super) lines: Vec<(f64, String)>,
    /// CPU seconds of the program with all its children.
    pub(super) total: f64,
}

/// Runs a program to its end (`python/stamp.py`).
pub(super) fn stamped(program: &Path, arguments: &[OsString]) -> Result<Stamped> {
    let mut python = install::python()?;
    python.args(["-c", include_str!("../../python/stamp.py")]).arg(program).args(arguments);
    read_stamps(&command::capture(&mut python)?)
}

fn read_stamps(text: &str) -> Result<Stamped> {
    let mut stamped = Stamped { lines: Vec::new(), total: f64::NAN };
    for line in text.lines() {
        let (stamp, rest) = line.split_once(' ').unwrap_or((line, ""));
        let seconds = if stamp == "total" { rest } else { stamp };
        let seconds = seconds.parse().with_context(|| format!("no stamp before the line `{line}`"))?;
        match stamp {
            "total" => stamped.total = seconds,
            _ => stamped.lines.push((seconds, rest.to_owned())),
        }
    }
    Ok(stamped)
}

/// What a run of a program took.
#[derive(Debug, PartialEq)]
pub(super) struct Watched {
    /// Wall seconds.
    pub(super) wall: f64,
    /// CPU seconds of the program's own process.
    pub(super) own_cpu: f64,
    /// Peak resident bytes of the program's own process.
    pub(super) peak_memory: f64,
}

/// Runs a program to its end (`python/watch.py`).
pub(super) fn watched(program: &Path, arguments: &[OsString]) -> Result<Watched> {
    let mut python = install::python()?;
    python.args(["-c", include_str!("../../python/watch.py")]).arg(program).args(arguments);
    read_watched(&command::capture(&mut python)?)
}

fn read_watched(text: &str) -> Result<Watched> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [wall, own_cpu, _, peak_memory] => {
            Ok(Watched { wall: *wall, own_cpu: *own_cpu, peak_memory: *peak_memory })
        }
        _ => bail!("not four numbers: `{text}`"),
    }
}

/// Runs a tune into a fresh store and tells how many trials it holds.
pub(super) fn tune(name: &str, arguments: &[OsString]) -> Result<(Watched, usize)> {
    let store = fresh_file(&format!("{name}.db"))?;
    let place = [words(&format!("--quiet --study {name} --store")), vec![store.clone().into()]].concat();
    let watched = watched(&gguflab(), &[words("tune"), arguments.to_vec(), place].concat())?;
    let export = [words(&format!("export {name} --format csv --store")), vec![store.into()]].concat();
    let table = command::capture(std::process::Command::new(gguflab()).args(export))?;
    Ok((watched, table.lines().count().saturating_sub(1)))
}

/// The middle value, or the mean of the two middle ones.
pub(super) fn median(values: &[f64]) -> Result<f64> {
    gguflab_stats::median(values).context("no runs were measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_with_their_lines() {
        let stamped = read_stamps("0.5 prompt run 1/2\n1.25 \ntotal 3.5").expect("stamps");
        assert_eq!(stamped.lines, [(0.5, "prompt run 1/2".to_owned()), (1.25, String::new())]);
        assert_eq!(stamped.total, 3.5);
        assert!(read_stamps("soon prompt run").is_err());
    }

    #[test]
    fn a_real_program_is_stamped_and_watched() {
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let stamped = stamped(&cargo, &words("--version")).expect("cargo runs");
        assert!(stamped.lines.iter().any(|(_, line)| line.starts_with("cargo ")), "{stamped:?}");
        let watched = watched(&cargo, &words("--version")).expect("cargo runs");
        assert!(watched.wall > 0.0, "{watched:?}");
        let error = super::stamped(&cargo, &words("no-such-subcommand")).expect_err("refused");
        assert!(format!("{error:#}").contains("no such command"), "{error:#}");
    }

    #[test]
    fn four_numbers_are_wanted() {
        assert_eq!(read_watched("1 2 3 4").expect("numbers").peak_memory, 4.0);
        assert!(read_watched("1 2 3").is_err());
    }
}
