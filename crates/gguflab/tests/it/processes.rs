//! Looking for processes, and ending them.

use crate::support::{Place, worker};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

impl Place {
    /// A worker whose command line names this place, so that its processes can be told from all others.
    pub(crate) fn own_worker(&self) -> std::path::PathBuf {
        let path = self.path("own-worker");
        if !path.exists() {
            std::os::unix::fs::symlink(worker(), &path).unwrap();
        }
        path
    }

    /// Starts the program with its own worker; its talk can be read line by line.
    pub(crate) fn start(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command.env("GGUFLAB_WORKER", self.own_worker());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The program behind some commands of a shell, which it inherits limits from.
    pub(crate) fn in_shell(&self, before: &str, line: &str) -> Command {
        let plain = self.command(line);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
            .arg(plain.get_program())
            .args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.folder());
        command
    }

    /// Processes of this place besides the program itself: workers, wrappers and what they started.
    pub(crate) fn children(&self) -> Vec<u32> {
        let mark = format!("{}/own-", self.folder().display());
        let program = concat!(env!("CARGO_BIN_EXE_gguflab"), " ");
        let of_this =
            processes().into_iter().filter(|(_, line)| line.contains(&mark) && !line.starts_with(program));
        of_this.map(|(process, _)| process).collect()
    }

    /// Fails when processes of this place still live after two seconds.
    pub(crate) fn expect_no_children(&self) {
        let started = Instant::now();
        loop {
            let left = self.children();
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(2), "left behind: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Numbers and command lines of all processes.
fn processes() -> Vec<(u32, String)> {
    let Ok(folders) = std::fs::read_dir("/proc") else {
        let listed = Command::new("ps").args(["-Ao", "pid=,args="]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let split = |line: &str| Some((line.split_whitespace().next()?.parse().ok()?, line.to_string()));
        return listed.lines().filter_map(split).collect();
    };
    let numbers = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that has just ended has no command line any more.
    let line = |process: u32| std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    numbers.map(|process| (process, String::from_utf8_lossy(&line(process)).replace('\0', " "))).collect()
}

/// Sends a signal to a process that was started here.
pub(crate) fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    // It may just have ended by itself.
    let _ = kill_process(process, signal);
}

/// Reads the talk of a run until `count` lines hold these words; gives the reader back for the rest.
pub(crate) fn wait_for(child: &mut Child, words: &str, count: usize) -> Talk {
    let mut talk = Talk { reader: BufReader::new(child.stderr.take().unwrap()), heard: String::new() };
    let mut seen = 0;
    while seen < count {
        let mut line = String::new();
        let read = talk.reader.read_line(&mut line).unwrap();
        assert!(read > 0, "it ended before it said `{words}` {count} times:\n{}", talk.heard);
        seen += usize::from(line.contains(words));
        talk.heard.push_str(&line);
    }
    talk
}

/// What a run says on standard error.
pub(crate) struct Talk {
    reader: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Talk {
    /// Waits for the end; gives all that was said and the exit code.
    pub(crate) fn end(mut self, mut child: Child) -> (String, Option<i32>) {
        let output = child.stdout.take().unwrap();
        let drained = std::thread::spawn(move || std::io::copy(&mut { output }, &mut std::io::sink()));
        std::io::Read::read_to_string(&mut self.reader, &mut self.heard).unwrap();
        drained.join().unwrap().unwrap();
        assert!(!self.heard.contains("panicked at"), "{}", self.heard);
        (self.heard, child.wait().unwrap().code())
    }
}
