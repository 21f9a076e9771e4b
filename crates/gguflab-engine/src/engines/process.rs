//! One process, watched to its end.

use crate::child::{Next, Program, Stream};
use crate::engine::{Control, Stop};
use crate::telemetry::group_usage;
use gguflab_types::Ending;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long a line is waited for before stop and deadline are looked at.
const TURN: Duration = Duration::from_millis(50);
/// Memory is looked at this often, and at every line on standard output: a result is printed with the model
/// still loaded. The kernel keeps the peak, so only growth after the last look is missed.
const LOOK: Duration = Duration::from_secs(1);
/// Lines that are kept: the first ones hold the results, and no version prints so many.
const KEPT: usize = 20_000;

/// A process that has ended.
pub(super) struct Finished {
    /// Its exit status; `None` when the system would not tell.
    pub(super) status: Option<ExitStatus>,
    pub(super) ended_by: EndedBy,
    /// All that it said, in order.
    pub(super) said: Vec<(Stream, String)>,
    /// Highest resident bytes of its largest process.
    pub(super) peak_memory: Option<u64>,
    pub(super) duration: Duration,
}

/// Who ended it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum EndedBy {
    Itself,
    Deadline,
    Stop,
    /// The receiver of its lines, with this ending.
    Sink(Ending),
}

impl Finished {
    /// The lines of one stream.
    pub(super) fn lines(&self, stream: Stream) -> Vec<String> {
        self.said.iter().filter(|(from, _)| *from == stream).map(|(_, line)| line.clone()).collect()
    }

    /// Everything as one text.
    pub(super) fn text(&self) -> String {
        self.said.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// How its output begins, for a message.
    pub(super) fn beginning(&self) -> String {
        super::foreign::beginning(&self.text())
    }
}

/// Runs a program to its end, its deadline, the stop or the wish of whoever gets its lines. Nothing of its
/// process group is left behind.
///
/// # Errors
/// What the system says when it cannot be started.
pub(super) fn run(
    program: &Program,
    deadline: Duration,
    stop: &Stop,
    on_line: &mut dyn FnMut(Stream, &str) -> Control,
) -> io::Result<Finished> {
    let started = Instant::now();
    let mut child = program.spawn()?;
    let mut said = Vec::new();
    let mut peak_memory = None;
    let mut looked = started;
    let ended_by = loop {
        let next = child.next(TURN);
        let result = matches!(next, Next::Line(Stream::Output, _));
        if result || looked.elapsed() > LOOK {
            looked = Instant::now();
            peak_memory = peak_memory.max(group_usage(child.id()).map(|usage| usage.peak_memory));
        }
        match next {
            Next::Line(stream, line) => {
                let control = on_line(stream, &line);
                if said.len() < KEPT {
                    said.push((stream, line));
                }
                if let Control::End(ending) = control {
                    break EndedBy::Sink(ending);
                }
            }
            Next::Closed => {
                // Its pipes are closed; it may take a moment to end.
                if child.ended().is_some() {
                    break EndedBy::Itself;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            // Once it has ended, what it left behind is killed, so that its pipes close.
            Next::Quiet => {
                child.ended();
            }
        }
        if stop.is_set() {
            break EndedBy::Stop;
        }
        if started.elapsed() > deadline {
            break EndedBy::Deadline;
        }
    };
    let status = child.kill();
    Ok(Finished { status, ended_by, said, peak_memory, duration: started.elapsed() })
}
