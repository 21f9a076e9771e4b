//! How a process of a program that is not ours ended.

use super::process::{EndedBy, Finished};
use crate::child::{Stream, signal_of};
use crate::engines::is_memory;
use gguflab_types::event::Level;
use gguflab_types::{Ending, Outcome};
use std::process::ExitStatus;
use std::time::Duration;

/// Phrases by which llama.cpp's tools refuse an argument; the flag stands behind them.
const REFUSALS: &[&str] = &[
    "error: invalid parameter for argument:",
    "error: unknown argument:",
    "error: invalid argument:",
    "error while handling argument",
];
/// Phrases after which a failure is the fault of model or settings.
const REJECTIONS: &[&str] =
    &["failed to load model", "failed to create context", "exiting due to model loading error"];
/// Lines of standard error that a cause is made of, at most.
const LINES: usize = 4;

/// How a process that was run to its end ended, `None` when it ended well.
pub(super) fn of_run(
    program: &str,
    finished: &Finished,
    killed_by_kernel: bool,
    deadline: Duration,
) -> Option<Ending> {
    match &finished.ended_by {
        EndedBy::Stop => Some(Ending::new(Outcome::Cancelled, "stopped by the user")),
        EndedBy::Deadline => {
            let cause = format!("{program} ran longer than {:.1} s", deadline.as_secs_f64());
            Some(Ending::new(Outcome::TimedOut, cause))
        }
        EndedBy::Sink(ending) => Some(ending.clone()),
        EndedBy::Itself => {
            of_status(program, finished.status?, &finished.lines(Stream::Error), killed_by_kernel)
        }
    }
}

/// What an exit status and what was said before it mean, `None` when it ended well.
pub(super) fn of_status(
    program: &str,
    status: ExitStatus,
    lines: &[String],
    killed_by_kernel: bool,
) -> Option<Ending> {
    if status.success() {
        return None;
    }
    let words = last_words(lines);
    if killed_by_kernel && signal_of(status) == Some(9) {
        let cause = "killed by the kernel for want of memory: use a smaller model, context or batch";
        return Some(Ending::new(Outcome::OutOfMemory, cause));
    }
    if lines.iter().any(|line| is_memory(line)) {
        return Some(Ending::new(Outcome::OutOfMemory, words));
    }
    if let Some(flag) = refused(lines) {
        return Some(Ending::new(Outcome::Rejected, format!("{program} refuses the argument `{flag}`")));
    }
    if let Some(signal) = signal_of(status) {
        return Some(Ending::new(
            Outcome::Crashed,
            format!("killed by {}{}", signal_name(signal), behind(&words)),
        ));
    }
    let code = status.code().unwrap_or(-1);
    let outcome = match lines.iter().any(|line| REJECTIONS.iter().any(|phrase| line.contains(phrase))) {
        true => Outcome::Rejected,
        false => Outcome::Crashed,
    };
    let cause = if words.is_empty() { format!("{program} ended with code {code}") } else { words };
    Some(Ending::new(outcome, cause))
}

/// How grave a line is; results are plain talk.
pub(super) fn level(stream: Stream, line: &str) -> Level {
    let lower = line.to_lowercase();
    match stream {
        Stream::Output => Level::Information,
        Stream::Error if lower.contains("error") || lower.contains("failed") => Level::Error,
        Stream::Error if lower.contains("warning") => Level::Warning,
        Stream::Error => Level::Information,
    }
}

fn refused(lines: &[String]) -> Option<&str> {
    let behind =
        |line: &'_ String| REFUSALS.iter().find_map(|phrase| line.find(phrase).map(|at| at + phrase.len()));
    lines.iter().find_map(|line| behind(line).map(|at| line[at..].trim()))
}

/// The last lines that say something is wrong; else just the last ones.
pub(super) fn last_words(lines: &[String]) -> String {
    let spoken = |line: &&String| !line.trim().is_empty();
    let wrong = |line: &&String| level(Stream::Error, line) == Level::Error || is_memory(line);
    let mut words: Vec<&str> = lines.iter().filter(spoken).filter(wrong).map(|line| line.trim()).collect();
    if words.is_empty() {
        words = lines.iter().filter(spoken).map(|line| line.trim()).collect();
    }
    words[words.len().saturating_sub(LINES)..].join("; ")
}

fn behind(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn signal_name(signal: i32) -> String {
    match signal {
        4 => "SIGILL (the build uses instructions that this processor lacks)".to_string(),
        6 => "SIGABRT".to_string(),
        7 => "SIGBUS".to_string(),
        8 => "SIGFPE".to_string(),
        9 => "SIGKILL, from outside".to_string(),
        11 => "SIGSEGV".to_string(),
        other => format!("signal {other}"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn finished(raw: i32, errors: &str) -> Finished {
        let line = |text: &str| (Stream::Error, text.to_string());
        Finished {
            status: Some(ExitStatus::from_raw(raw)),
            ended_by: EndedBy::Itself,
            said: errors.lines().map(line).collect(),
            peak_memory: None,
            duration: Duration::from_secs(1),
        }
    }

    #[test]
    fn deaths_and_refusals_are_told_apart() {
        let code = |code: i32| code << 8;
        for (raw, errors, kernel, outcome, cause) in [
            (code(1), "error: invalid parameter for argument: -zz", false, Outcome::Rejected, "`-zz`"),
            (code(1), "error: invalid argument: --new-flag", false, Outcome::Rejected, "`--new-flag`"),
            (
                code(1),
                "llama_model_load: error loading model: bad magic\nllama_bench: error: failed to load model 'm'",
                false,
                Outcome::Rejected,
                "bad magic",
            ),
            (
                code(1),
                "llama_init_from_model: quantized V cache requires flash_attn to be enabled\n\
                 llama_bench: error: failed to create context with model 'm'",
                false,
                Outcome::Rejected,
                "failed to create context",
            ),
            (
                code(1),
                "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB: cudaMalloc failed: out of memory\n\
                 main: error: failed to load model 'm'",
                false,
                Outcome::OutOfMemory,
                "cudaMalloc",
            ),
            (6, "terminate called: std::bad_alloc", false, Outcome::OutOfMemory, "bad_alloc"),
            (11, "", false, Outcome::Crashed, "SIGSEGV"),
            (code(139), "", false, Outcome::Crashed, "SIGSEGV"),
            (6, "ggml.c:1: GGML_ASSERT(x) failed", false, Outcome::Crashed, "SIGABRT: ggml.c:1"),
            (9, "", true, Outcome::OutOfMemory, "by the kernel"),
            (9, "", false, Outcome::Crashed, "from outside"),
            (code(3), "", false, Outcome::Crashed, "code 3"),
        ] {
            let ending =
                of_run("llama-bench", &finished(raw, errors), kernel, Duration::from_secs(9)).unwrap();
            assert_eq!(ending.outcome, outcome, "{ending:?}");
            assert!(ending.cause.contains(cause), "{ending:?}");
        }
        assert_eq!(of_run("x", &finished(0, "error: only talk"), false, Duration::from_secs(9)), None);
    }
}
