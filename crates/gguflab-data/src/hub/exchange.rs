//! One exchange with the hub, watched.
//!
//! The client (`hf-hub`) has no time limits and asserts some of what a hub sends. So each exchange runs on a
//! thread of its own: silence beyond the patience and a panic become errors, and progress is reported on the
//! caller's thread.

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiError;

/// Signals that may wait for the caller before the download waits for it.
const WAITING_SIGNALS: usize = 64;

/// What a thread tells the caller.
enum Signal<T> {
    Step(Step),
    Done(Result<T, Problem>),
}

/// A step of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The file begins (again); nothing of it counts as here.
    Begin,
    /// So many bytes more are here.
    Bytes(u64),
}

/// Why an exchange gave nothing.
#[derive(Debug)]
pub(super) enum Problem {
    /// The hub answered with this HTTP status.
    Status(u16),
    /// The network failed; trying again may help.
    Network(String),
    /// Nothing came within the patience. The client may still wait and hold its lock, so no new try can be made.
    Silent(String),
    /// Trying again does not help.
    Answer(String),
}

/// Tells the caller of a download's steps; given to the client.
pub(super) struct Reporter<T>(SyncSender<Signal<T>>);

impl<T> Progress for Reporter<T> {
    fn init(&mut self, _: usize, _: &str) {
        self.send(Step::Begin);
    }

    fn update(&mut self, bytes: usize) {
        self.send(Step::Bytes(bytes as u64));
    }

    fn finish(&mut self) {}
}

impl<T> Reporter<T> {
    /// A caller that has lost its patience listens no more; the download may go on without it.
    fn send(&self, step: Step) {
        let _ = self.0.send(Signal::Step(step));
    }
}

/// Runs `work` and waits for it as long as it shows signs of life at least every `patience`.
pub(super) fn exchange<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce(Reporter<T>) -> Result<T, ApiError> + Send + 'static,
    on_step: &mut dyn FnMut(Step),
) -> Result<T, Problem> {
    let (sender, receiver) = sync_channel(WAITING_SIGNALS);
    let run = move || {
        let result = work(Reporter(sender.clone())).map_err(problem);
        let _ = sender.send(Signal::Done(result));
    };
    let spawned = thread::Builder::new().name("hub".to_owned()).spawn(run);
    spawned.map_err(|cause| Problem::Answer(format!("no thread can be started: {cause}")))?;
    listen(&receiver, patience, on_step)
}

fn listen<T>(
    receiver: &Receiver<Signal<T>>,
    patience: Duration,
    on_step: &mut dyn FnMut(Step),
) -> Result<T, Problem> {
    loop {
        match receiver.recv_timeout(patience) {
            Ok(Signal::Step(step)) => on_step(step),
            Ok(Signal::Done(result)) => return result,
            Err(RecvTimeoutError::Timeout) => {
                return Err(Problem::Silent(format!("it sent nothing for {} s", patience.as_secs_f64())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Problem::Answer("the hub's client could not make sense of it".to_owned()));
            }
        }
    }
}

fn problem(error: ApiError) -> Problem {
    match error {
        ApiError::RequestError(cause) => match *cause {
            ureq::Error::StatusCode(status) => Problem::Status(status),
            ureq::Error::Io(cause) => input_output(&cause),
            ureq::Error::HostNotFound => Problem::Network("its address is not known".to_owned()),
            cause @ (ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed) => {
                Problem::Network(cause.to_string())
            }
            cause => Problem::Answer(cause.to_string()),
        },
        ApiError::IoError(cause) => input_output(&cause),
        ApiError::LockAcquisition(_) => {
            Problem::Answer("another program downloads the file now; wait for it".to_owned())
        }
        cause => Problem::Answer(cause.to_string()),
    }
}

/// The client reports trouble of the network and of the disk alike; only the former is worth another try.
fn input_output(cause: &std::io::Error) -> Problem {
    use ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let disk = [StorageFull, QuotaExceeded, ReadOnlyFilesystem, PermissionDenied].contains(&cause.kind());
    if disk {
        return Problem::Answer(format!("the download cannot be written into the hub's cache: {cause}"));
    }
    Problem::Network(cause.to_string())
}
