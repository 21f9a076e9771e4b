//! What all engines share that run the user's own program: finding it, asking it, starting it.

use super::{death, process};
use crate::child::Program;
use crate::engine::{Control, EngineError, EngineSpecification, Stop};
use gguflab_types::machine::Device;
use gguflab_types::{EngineIdentity, Outcome};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long `--help`, `--version` and `--list-devices` may take: GPU drivers start slowly.
const QUESTION: Duration = Duration::from_secs(30);

/// The program with all that the specification says of how it runs. Started through the worker it ends even when this
/// process is killed; without a worker it is a plain child.
pub(super) fn program(specification: &EngineSpecification, path: &Path) -> Program {
    let plain = Program {
        path: path.to_path_buf(),
        arguments: Vec::new(),
        environment: specification.environment.clone(),
        wrapper: specification.wrapper.clone(),
        library_paths: specification.library_paths.clone(),
    };
    if specification.worker.is_file() { plain.supervised(&specification.worker) } else { plain }
}

/// Who it is.
pub(super) fn identity(kind: &str, build: String, specification: &EngineSpecification) -> EngineIdentity {
    EngineIdentity {
        kind: kind.to_string(),
        build,
        backends: Vec::new(),
        environment: specification.environment.clone(),
        wrapper: specification.wrapper.clone(),
        library_paths: specification.library_paths.iter().map(|path| path.display().to_string()).collect(),
    }
}

/// Where the program is: the path itself, or found on PATH when it is a bare name.
pub(crate) fn locate(name: &Path, kind: &str) -> Result<PathBuf, EngineError> {
    let bare = name.components().count() == 1;
    let on_path = (bare && !name.exists()).then(|| std::env::var_os("PATH")).flatten().and_then(|paths| {
        std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
    });
    // A bare name that is there is that file: the system would look for it on PATH only.
    let here = if bare { Path::new(".").join(name) } else { name.to_path_buf() };
    let path = on_path.unwrap_or(here);
    let failed = |source: std::io::Error, hint: &str| EngineError::Start {
        program: name.display().to_string(),
        source,
        hint: hint.to_string(),
    };
    let facts = std::fs::metadata(&path)
        .map_err(|error| failed(error, &format!("give its path, as in --engine {kind}=/path/to/{kind}")))?;
    if facts.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(failed(error, "give the program in it"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o111 == 0 {
        let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Err(failed(error, "make it executable: chmod +x"));
    }
    Ok(path)
}

/// Both streams of the answer to a short question.
pub(super) fn ask(program: &Program, name: &str, question: &str) -> Result<String, EngineError> {
    let arguments = program.arguments.iter().cloned().chain([question.into()]).collect();
    let program = Program { arguments, ..program.clone() };
    let finished = process::run(&program, QUESTION, &Stop::default(), &mut |_, _| Control::Continue);
    let finished = finished.map_err(|source| EngineError::Start {
        program: name.to_string(),
        source,
        hint: "is it built for this machine? try to run it by hand".to_string(),
    })?;
    let text = finished.text();
    match death::of_run(name, &finished, false, QUESTION) {
        // A version that does not know `--help` still prints its usage, and fails.
        Some(ending) if ending.outcome != Outcome::Rejected => Err(EngineError::Unusable {
            program: name.to_string(),
            problem: format!("does not answer {question}: {}; try to run it by hand", ending.cause),
        }),
        _ => Ok(text),
    }
}

/// `version: …` and `built with …`.
pub(super) fn version(text: &str) -> Option<String> {
    let line = |start: &str| text.lines().map(str::trim).find(|line| line.starts_with(start));
    let version = line("version:")?.trim_start_matches("version:").trim();
    Some(match line("built with") {
        Some(compiler) => format!("{version}, {compiler}"),
        None => version.to_string(),
    })
}

/// A program that does not tell its version is known by its content.
pub(super) fn content(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let hash: String =
                Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("unknown version, sha256 {hash}…")
        }
        Err(_) => "unknown version".to_string(),
    }
}

pub(super) fn beginning(text: &str) -> String {
    let line: String =
        text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().chars().take(80).collect();
    if line.is_empty() { String::new() } else { format!(" (it begins `{line}`)") }
}

/// A line of `--list-devices`: `  CUDA0: NVIDIA Example (24564 MiB, 23000 MiB free)`.
pub(super) fn device(line: &str) -> Option<Device> {
    let (name, rest) = line.trim().split_once(": ")?;
    let (description, sizes) = rest.rsplit_once(" (")?;
    let (total, free) = sizes.strip_suffix(" free)")?.split_once(", ")?;
    let bytes = |text: &str| text.strip_suffix(" MiB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 20);
    // Libraries for the processor (BLAS, AMX) are listed too, without memory of their own.
    let total = bytes(total)?;
    Some(Device {
        name: name.to_string(),
        description: description.to_string(),
        memory_total: total,
        memory_free: bytes(free)?,
        driver: None,
        gpu: total > 0 && !["BLAS", "AMX", "RPC"].iter().any(|library| name.starts_with(library)),
    })
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_one_line() {
        let text =
            "noise\nversion: 0.6.0-dev (build 11434, commit abc)\nbuilt with GNU 12.2.0 for Linux x86_64\n";
        let expected = "0.6.0-dev (build 11434, commit abc), built with GNU 12.2.0 for Linux x86_64";
        assert_eq!(version(text).as_deref(), Some(expected));
        assert_eq!(version("usage: llama-bench"), None);
    }

    #[test]
    fn devices_are_told_from_remarks_and_libraries() {
        let card = device("  CUDA0: NVIDIA Example (X) (24564 MiB, 23000 MiB free)").unwrap();
        assert_eq!((card.name.as_str(), card.description.as_str()), ("CUDA0", "NVIDIA Example (X)"));
        assert_eq!((card.memory_total, card.memory_free, card.gpu), (24564 << 20, 23000 << 20, true));
        assert_eq!(device("  BLAS: OpenBLAS (0 MiB, 0 MiB free)").map(|device| device.gpu), Some(false));
        for line in ["Available devices:", "  (none)", "", "x: y (1 MiB)"] {
            assert_eq!(device(line), None, "{line}");
        }
    }
}
