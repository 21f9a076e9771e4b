//! Runs a program that is not ours so that it ends when the one who asked for it does.
//!
//! This process leads the group that the program runs in. Its standard input is a pipe from the asker: when
//! that closes, for whatever reason, the whole group is killed. What comes in before is handed on to a program
//! that reads it.

use crate::contain;
use std::io::{Read, Write};
use std::process::{ChildStdin, Command, ExitCode, ExitStatus, Stdio};

/// Exit code when the program cannot be started, as shells have it.
const NOT_FOUND: u8 = 127;

/// Runs the program to its end; `pipe` hands standard input on to it.
pub(crate) fn run(program: &str, arguments: &[&str], pipe: bool) -> ExitCode {
    contain::this_process(None);
    let input = if pipe { Stdio::piped() } else { Stdio::null() };
    let mut child = match Command::new(program).args(arguments).stdin(input).spawn() {
        Ok(child) => child,
        Err(error) => {
            // The asker reads standard error; there is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "cannot start {program}: {error}");
            return ExitCode::from(NOT_FOUND);
        }
    };
    let input = child.stdin.take();
    std::thread::spawn(|| {
        hand_on_until_end(input);
        contain::kill_own_group();
    });
    match child.wait() {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot wait for {program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The program's own code, or 128 + the signal that ended it, as shells have it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// A program that does not read any more is no reason to stop watching for the end.
fn hand_on_until_end(mut input: Option<ChildStdin>) {
    let mut buffer = [0u8; 8192];
    loop {
        match std::io::stdin().lock().read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if input.as_mut().is_some_and(|input| input.write_all(&buffer[..count]).is_err()) {
                    input = None;
                }
            }
        }
    }
}
