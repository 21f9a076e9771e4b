//! Where builds come from: a folder of them, or a command that makes each one when it is asked for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that can be measured: the engine, and what the program is called.
const PROGRAMS: [(&str, &str); 3] =
    [("worker", "gguflab-worker"), ("llama-bench", "llama-bench"), ("llama-server", "llama-server")];
/// Where a program may lie in the folder of a build.
const PLACES: [&str; 5] = ["", "bin", "build/bin", "build", "target/release"];
/// Most builds of a range of numbers.
const MOST_BUILDS: u64 = 100_000;

/// Builds in a folder, by name from the good to the bad one, with numbers in names counted as numbers. Where the good one
/// comes later in the alphabet they are taken backwards.
///
/// # Errors
/// A sentence: the folder cannot be read, or one of the two is not in it.
pub fn in_folder(folder: &Path, good: &str, bad: &str) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let entries: Result<Vec<PathBuf>, std::io::Error> =
        std::fs::read_dir(folder).map_err(cannot)?.map(|entry| Ok(entry?.path())).collect();
    let mut builds: Vec<PathBuf> =
        entries.map_err(cannot)?.into_iter().filter(|path| !is_hidden(path)).collect();
    builds.sort_by_key(|path| parts(&name(path)));
    let place = |end: &str| {
        // A path is as good as a name.
        let end = name(Path::new(end));
        let names = || builds.iter().map(|path| name(path));
        names().position(|name| name == end).ok_or_else(|| {
            format!(
                "no build `{end}` in {}: there are {}",
                folder.display(),
                names().collect::<Vec<_>>().join(", ")
            )
        })
    };
    let (good, bad) = (place(good)?, place(bad)?);
    match good <= bad {
        true => Ok(builds[good..=bad].to_vec()),
        false => Ok(builds[bad..=good].iter().rev().cloned().collect()),
    }
}

/// The names from the good to the bad one where they differ in one number: `b11000` to `b11434`.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn numbered(good: &str, bad: &str) -> Result<Vec<String>, String> {
    let split = |name: &str| {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (start, number) = name.split_at(name.len() - digits);
        Some((start.to_string(), number.parse::<u64>().ok()?))
    };
    let (Some((start, from)), Some((other, to))) = (split(good), split(bad)) else {
        return Err(format!(
            "`{good}` and `{bad}` end with no numbers: give all names, in order, with --names"
        ));
    };
    if start != other {
        return Err(format!(
            "`{good}` and `{bad}` begin differently: give all names, in order, with --names"
        ));
    }
    if from.abs_diff(to) > MOST_BUILDS {
        return Err(format!(
            "{} builds lie between `{good}` and `{bad}`: that is too many",
            from.abs_diff(to)
        ));
    }
    let name = |number: u64| format!("{start}{number}");
    Ok(if from <= to { (from..=to).map(name).collect() } else { (to..=from).rev().map(name).collect() })
}

/// The part of a list of names from the good to the bad one.
///
/// # Errors
/// A sentence: one of the two is not in it.
pub fn between(names: &[String], good: &str, bad: &str) -> Result<Vec<String>, String> {
    let place = |end: &str| {
        let found = names.iter().position(|name| name == end);
        found.ok_or_else(|| format!("`{end}` is not among the names"))
    };
    let (good, bad) = (place(good)?, place(bad)?);
    match good <= bad {
        true => Ok(names[good..=bad].to_vec()),
        false => Ok(names[bad..=good].iter().rev().cloned().collect()),
    }
}

/// A program that can be measured, as `--engine` takes it: the path itself, or what lies in the folder of a build.
///
/// # Errors
/// A sentence that says what was looked for.
pub fn engine_of(path: &Path) -> Result<String, String> {
    if path.is_file() {
        let file = name(path);
        let known = PROGRAMS.iter().find(|(_, program)| file.contains(program));
        // The project's own worker may be called anything.
        let kind = known.map_or("worker", |(kind, _)| kind);
        return Ok(format!("{kind}={}", path.display()));
    }
    let all = PROGRAMS
        .iter()
        .flat_map(|(kind, program)| PLACES.map(|place| (kind, path.join(place).join(program))));
    let mut found = all.filter(|(_, program)| program.is_file());
    found.next().map(|(kind, program)| format!("{kind}={}", program.display())).ok_or_else(|| {
        let programs: Vec<&str> = PROGRAMS.iter().map(|(_, program)| *program).collect();
        format!("{} is no program and holds none of {}", path.display(), programs.join(", "))
    })
}

/// Runs the command with a build's name behind it; the last line that it prints is the path of the program, or of the
/// folder that it lies in.
///
/// # Errors
/// A sentence: it cannot be started, it failed, or it names nothing.
pub fn made_by(command: &[String], build: &str) -> Result<PathBuf, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("the command is empty".to_string());
    };
    let mut child = Command::new(program);
    child.args(arguments).arg(build).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = child.output().map_err(|error| format!("cannot start `{program}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{} {build}` ended with {}", command.join(" "), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(path) if Path::new(path).exists() => Ok(PathBuf::from(path)),
        Some(path) => Err(format!("`{} {build}` names `{path}`, which does not exist", command.join(" "))),
        None => Err(format!("`{} {build}` printed no path", command.join(" "))),
    }
}

/// The name of a build: that of its file or folder.
#[must_use]
pub fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn is_hidden(path: &Path) -> bool {
    name(path).starts_with('.')
}

/// A name as words and numbers, so that b9 comes before b10.
fn parts(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
        let digits = rest.bytes().skip(word).take_while(u8::is_ascii_digit).count();
        let number = rest[word..word + digits].parse().unwrap_or(u64::MAX);
        parts.push((rest[..word].to_string(), if digits == 0 { 0 } else { number }));
        rest = &rest[word + digits..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        folder
    }

    #[test]
    fn builds_of_a_folder_are_in_the_order_of_their_numbers() {
        let folder = folder(&["b9", "b10", "b100", "b8", ".hidden", "b11/build/bin/llama-bench"]);
        let names = |good: &str, bad: &str| -> Result<Vec<String>, String> {
            Ok(in_folder(folder.path(), good, bad)?.iter().map(|path| name(path)).collect())
        };
        assert_eq!(names("b9", "b100").unwrap(), ["b9", "b10", "b11", "b100"]);
        assert_eq!(names("b100", "b10").unwrap(), ["b100", "b11", "b10"]);
        assert_eq!(names("some/where/b8", "b9").unwrap(), ["b8", "b9"]);
        assert!(names("b7", "b9").unwrap_err().contains("no build `b7`"));
        assert!(in_folder(&folder.path().join("no"), "a", "b").unwrap_err().contains("cannot read"));
    }

    #[test]
    fn programs_are_known_by_their_names_and_found_in_folders() {
        let folder =
            folder(&["llama-bench-b9", "w3", "b7/bin/llama-server", "b8/build/bin/llama-bench", "b6/x"]);
        for (build, kind) in [
            ("llama-bench-b9", "llama-bench="),
            ("w3", "worker="),
            ("b7", "llama-server="),
            ("b8", "llama-bench="),
        ] {
            let found = engine_of(&folder.path().join(build)).unwrap();
            assert!(found.starts_with(kind), "{build}: {found}");
        }
        assert!(engine_of(&folder.path().join("b6")).unwrap_err().contains("holds none of"));
    }

    #[test]
    fn names_with_numbers_need_no_list() {
        assert_eq!(numbered("b9", "b11").unwrap(), ["b9", "b10", "b11"]);
        assert_eq!(numbered("v1.3", "v1.1").unwrap(), ["v1.3", "v1.2", "v1.1"]);
        assert!(numbered("b9", "c11").unwrap_err().contains("--names"));
        assert!(numbered("good", "bad").unwrap_err().contains("--names"));
        assert!(numbered("b1", "b999999999").unwrap_err().contains("too many"));
        let names: Vec<String> = ["x", "a", "c", "b"].map(String::from).to_vec();
        assert_eq!(between(&names, "a", "b").unwrap(), ["a", "c", "b"]);
        assert_eq!(between(&names, "c", "x").unwrap(), ["c", "a", "x"]);
        assert!(between(&names, "a", "z").unwrap_err().contains("`z`"));
    }

    #[test]
    #[cfg(unix)]
    fn a_command_names_the_program_that_it_made() {
        let folder = folder(&["b7"]);
        let path = folder.path().display().to_string();
        let shell = |script: &str| ["sh", "-c", script].map(String::from).to_vec();
        let made = made_by(&shell(&format!("echo building; echo {path}/$0; echo")), "b7").unwrap();
        assert_eq!(made, folder.path().join("b7"));
        for (script, words) in
            [("exit 3", "ended with"), ("true", "no path"), ("echo /nowhere/$0", "does not exist")]
        {
            let problem = made_by(&shell(script), "b7").unwrap_err();
            assert!(problem.contains(words), "{script}: {problem}");
        }
        assert!(made_by(&["/no/such".to_string()], "b7").unwrap_err().contains("cannot start"));
        assert!(made_by(&[], "b7").is_err());
    }
}
