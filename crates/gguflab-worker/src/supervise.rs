//! Runs a program that is not ours so that it ends when the one who asked for it does.
//!
//! This process leads the group that the program runs in. Its standard input is a pipe from the asker: when
//! that closes, for whatever reason, the whole group is killed.

use crate::contain;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// Exit code when the program cannot be started, as shells have it.
const NOT_FOUND: u8 = 127;

pub(crate) fn run(program: &str, arguments: &[&str]) -> ExitCode {
    contain::this_process(None);
    std::thread::spawn(|| {
        wait_for_end_of_input();
        contain::kill_own_group();
    });
    match Command::new(program).args(arguments).stdin(Stdio::null()).status() {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            // The asker reads standard error; there is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "cannot start {program}: {error}");
            ExitCode::from(NOT_FOUND)
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

fn wait_for_end_of_input() {
    let mut buffer = [0u8; 64];
    while std::io::stdin().lock().read(&mut buffer).is_ok_and(|count| count > 0) {}
}
