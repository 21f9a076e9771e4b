//! Child processes that end when their job ends, whatever happens to whom.
//!
//! Every child is the leader of a process group of its own, and the whole group is killed when its
//! [`Child`] is dropped. For the case that this process itself is killed (`kill -9` leaves no time to clean
//! up), every child holds the reading end of a pipe whose writing end is here: the system closes it, and the
//! child ends itself. Our worker does so with its standard input; programs that are not ours are started
//! through the worker's `supervise` command, which does it for them. This needs no `unsafe`, works through
//! wrapper commands and is the same on Linux, macOS and Windows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest line that is taken over; the rest of a longer one is dropped. On standard output come messages, of which the
/// scores of a long window are the longest: some 50 bytes for each token and candidate.
const LINE_LIMIT: u64 = 1 << 20;
const OUTPUT_LINE_LIMIT: u64 = 1 << 28;
/// Lines that may wait before the child is held up.
const QUEUE: usize = 4096;
/// How long to wait until what was killed has let go of its pipes; only what left its group, or a queue that nobody
/// reads, makes it last that long.
const LETTING_GO: Duration = Duration::from_secs(1);

/// A program with all that decides how it runs.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables on top of this process's own.
    pub environment: BTreeMap<String, String>,
    /// Command in front of it, such as `numactl --interleave=all`.
    pub wrapper: Vec<String>,
    /// Folders in front of the search path of libraries.
    pub library_paths: Vec<PathBuf>,
}

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A running child; dropping it kills its process group.
pub struct Child {
    process: std::process::Child,
    status: Option<ExitStatus>,
    /// Closing it tells the child to end.
    pub input: Option<ChildStdin>,
    lines: Receiver<(Stream, String)>,
    readers: Vec<JoinHandle<()>>,
}

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line.
    Line(Stream, String),
    /// Nothing within the time.
    Quiet,
    /// Both pipes are closed.
    Closed,
}

impl Program {
    fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(OsString::from).chain([self.path.clone().into_os_string()]);
        let first = words.next().unwrap_or_default();
        let mut command = Command::new(first);
        command.args(words).args(&self.arguments).envs(&self.environment);
        if !self.library_paths.is_empty() {
            command.env(library_variable(), library_path(&self.library_paths));
        }
        command
    }

    /// Starts it in a process group of its own, with pipes on all three streams.
    ///
    /// # Errors
    /// What the system says when the program cannot be started.
    pub fn spawn(&self) -> io::Result<Child> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        own_group(&mut command);
        let mut process = command.spawn()?;
        let (sender, lines) = sync_channel(QUEUE);
        let output = process.stdout.take().map(|pipe| read_lines(Stream::Output, pipe, sender.clone()));
        let error = process.stderr.take().map(|pipe| read_lines(Stream::Error, pipe, sender));
        let readers = output.into_iter().chain(error).collect();
        let input = process.stdin.take();
        Ok(Child { process, status: None, input, lines, readers })
    }

    /// The same program started through the worker's `supervise`, so that it ends when this process does.
    #[must_use]
    pub fn supervised(&self, worker: &Path) -> Program {
        let words = self.wrapper.iter().map(OsString::from).chain([self.path.clone().into_os_string()]);
        let arguments = ["supervise", "--"].into_iter().map(OsString::from).chain(words);
        Program {
            path: worker.to_path_buf(),
            arguments: arguments.chain(self.arguments.iter().cloned()).collect(),
            environment: self.environment.clone(),
            wrapper: Vec::new(),
            library_paths: self.library_paths.clone(),
        }
    }
}

impl Child {
    /// Its process number, which is also that of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line, at most this long.
    pub fn next(&self, timeout: Duration) -> Next {
        match self.lines.recv_timeout(timeout) {
            Ok((stream, line)) => Next::Line(stream, line),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    /// Its exit status, if it has ended; what it left in its group is killed then.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() && has_ended(&mut self.process) {
            return self.kill();
        }
        self.status
    }

    /// Kills the whole group and waits until it is gone, so that its memory and ports are free for what comes next.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            kill_group(&mut self.process);
            self.input = None;
            self.status = self.process.wait().ok();
            self.wait_for_the_group();
        }
        self.status
    }

    /// Only the child itself can be waited for. The rest of its group holds its pipes until it has ended.
    fn wait_for_the_group(&self) {
        let deadline = Instant::now() + LETTING_GO;
        while Instant::now() < deadline && !self.readers.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The signal that ended a process; a shell's or supervisor's `128 + signal` counts too.
#[must_use]
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Some(signal);
    }
    status.code().filter(|code| (129..=192).contains(code)).map(|code| code - 128)
}

fn read_lines(
    stream: Stream,
    pipe: impl Read + Send + 'static,
    sender: SyncSender<(Stream, String)>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        let limit = if stream == Stream::Output { OUTPUT_LINE_LIMIT } else { LINE_LIMIT };
        loop {
            line.clear();
            match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.last() != Some(&b'\n') && line.len() as u64 == limit {
                skip_line(&mut reader);
            }
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_string();
            if sender.send((stream, text)).is_err() {
                return;
            }
        }
    })
}

fn skip_line(reader: &mut impl BufRead) {
    while let Ok(buffer) = reader.fill_buf() {
        let (used, found) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(position) => (position + 1, true),
            None => (buffer.len(), false),
        };
        reader.consume(used);
        if found || used == 0 {
            return;
        }
    }
}

fn library_variable() -> &'static str {
    match std::env::consts::OS {
        "macos" => "DYLD_LIBRARY_PATH",
        "windows" => "PATH",
        _ => "LD_LIBRARY_PATH",
    }
}

fn library_path(folders: &[PathBuf]) -> OsString {
    let present = std::env::var_os(library_variable()).unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&present));
    std::env::join_paths(all).unwrap_or(present)
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(windows)]
fn own_group(command: &mut Command) {
    /// `CREATE_NEW_PROCESS_GROUP`: Ctrl-C reaches this process only.
    const NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    std::os::windows::process::CommandExt::creation_flags(command, NEW_PROCESS_GROUP);
}

/// Whether the process has ended, without waiting for it: only then is its number, and its group's, still its own.
#[cfg(unix)]
fn has_ended(process: &mut std::process::Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let Some(id) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(id), options), Ok(None))
}

#[cfg(windows)]
fn has_ended(process: &mut std::process::Child) -> bool {
    !matches!(process.try_wait(), Ok(None))
}

#[cfg(unix)]
fn kill_group(process: &mut std::process::Child) {
    // Until the child is waited for, its number cannot be given to another process, so neither can its group's.
    if let Some(group) = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // The group may be gone already: nothing is left to kill then.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(windows)]
fn kill_group(process: &mut std::process::Child) {
    let id = process.id().to_string();
    // Windows has no process groups to kill; taskkill walks the tree of children.
    let killed = Command::new("taskkill").args(["/T", "/F", "/PID", &id]).output();
    if killed.is_err() {
        let _ = process.kill();
    }
}
