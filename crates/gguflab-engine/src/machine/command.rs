//! Short questions to programs of the system, with a deadline.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What a program writes to standard output; `None` when it is missing, fails, or does not answer in time (then
/// it is killed).
pub(crate) fn answer(program: &str, arguments: &[&str], deadline: Duration) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.read_to_end(&mut bytes);
        // The receiver is gone when the deadline has passed; then nobody wants the answer.
        let _ = sender.send(read.map(|_| String::from_utf8_lossy(&bytes).into_owned()));
    });
    let text = receiver.recv_timeout(deadline);
    if text.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    text.ok()?.ok().filter(|_| status.success())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_answers_fails_is_missing_or_is_too_slow() {
        let ask =
            |script: &str, seconds: f64| answer("sh", &["-c", script], Duration::from_secs_f64(seconds));
        assert_eq!(ask("echo 42", 30.0), Some("42\n".to_string()));
        assert_eq!(ask("echo 42; exit 3", 30.0), None);
        assert_eq!(ask("exec sleep 600", 0.05), None);
        assert_eq!(answer("no-such-program-of-gguflab", &[], Duration::from_secs(1)), None);
    }
}
