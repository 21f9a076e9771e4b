//! Commands in, messages out.

use crate::contain;
use gguflab_native::{context, log, usage};
use gguflab_types::event::Level;
use gguflab_types::message::{Command, Message, Order};
use std::fs::File;
use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often the worker says that it is alive.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// The way out for messages; shared by all threads, a line at a time.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl Output {
    /// Sends a message. When nobody listens any more there is nothing left to do here: the end of the input
    /// ends the process.
    pub(crate) fn send(&self, message: &Message) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        if let Ok(mut file) = self.0.lock() {
            let _ = file.write_all(&line);
        }
    }
}

/// Takes standard output for messages alone: what native code prints goes to standard error from here on.
#[cfg(unix)]
pub(crate) fn take_over_output() -> Output {
    let channel: Box<dyn Write + Send> = match rustix::io::dup(rustix::stdio::stdout()) {
        Ok(copy) => {
            // If this fails, stray prints reach the parent, which takes lines that are not messages for log.
            let _ = rustix::stdio::dup2_stdout(rustix::stdio::stderr());
            Box::new(File::from(copy))
        }
        Err(_) => Box::new(std::io::stdout()),
    };
    Output(Arc::new(Mutex::new(channel)))
}

/// Standard output is used as it is; the parent takes lines that are not messages for log.
#[cfg(not(unix))]
pub(crate) fn take_over_output() -> Output {
    Output(Arc::new(Mutex::new(Box::new(std::io::stdout()))))
}

/// Commands, read by a thread of their own so that an abort and the end of the input are seen at once.
pub(crate) fn read_commands() -> Receiver<Result<Command, String>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let command = serde_json::from_str::<Command>(&line).map_err(|error| error.to_string());
            match &command {
                Ok(Command { order: Order::Abort, .. }) => {
                    context::set_abort(true);
                    continue;
                }
                Ok(Command { order: Order::Quit, .. }) => {
                    let _ = sender.send(command);
                    return;
                }
                // An abort is meant for what runs, not for what comes.
                _ => context::set_abort(false),
            }
            if sender.send(command).is_err() {
                return;
            }
        }
        // The parent is gone: nothing survives it, even in the middle of a decode.
        contain::kill_own_group();
    });
    receiver
}

/// Sends llama.cpp's log, and its last words before an abort.
pub(crate) fn capture_log(output: &Output) {
    let (lines, last_words) = (output.clone(), output.clone());
    log::capture(
        Box::new(move |level: Level, text: &str| lines.send(&Message::Log { level, text: text.to_string() })),
        Box::new(move |text: &str| last_words.send(&Message::Aborting { text: text.to_string() })),
    );
}

/// Says four times a second that this process is alive.
pub(crate) fn beat(output: &Output) {
    let output = output.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(HEARTBEAT);
            output.send(&Message::Heartbeat { peak_memory: usage::now().peak_memory });
        }
    });
}
