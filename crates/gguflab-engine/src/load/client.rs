//! The client: one thread, many connections.
//!
//! In each turn everything that is there is read and stamped first, and looked into afterwards. A turn is short, and how
//! long it was is kept: nothing that came within it can have been stamped later by more.

use super::answer::Answer;
use super::chunk::{Progress, failure};
use super::clock::Clock;
use super::endpoint::refusal_words;
use super::prompts::Wish;
use super::{Attend, Busy, Course, Failure, FailureKind, Level, MOST_AT_ONCE, Plan, Prompts};
use gguflab_types::{Ending, Outcome};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long is waited at most before stop, deadlines and the server are looked at.
const TURN: f64 = 0.05;
/// Failures one after the other, without a success, with which a load is given up.
const FRUITLESS: u32 = 20;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Runs one load to the end of all requests that were sent in its window; the load goes on until then.
///
/// # Errors
/// The ending that `attend` gives (it is asked twenty times a second), or why nothing can be sent at all.
pub fn drive(plan: &Plan, prompts: &mut Prompts<'_>, attend: &mut Attend<'_>) -> Result<Level, Ending> {
    let address = prompts.endpoint().address;
    let poll = Poll::new().map_err(|error| broken(&error))?;
    let mut client = Client {
        plan,
        address,
        poll,
        started: Instant::now(),
        lines: Vec::new(),
        clock: Clock::new(plan),
        ended: Vec::new(),
        arrived: Arrived { bytes: vec![0; PIECE], kept: Vec::new(), pieces: Vec::new() },
        work: Work::default(),
        fruitless: 0,
        succeeded: false,
    };
    let cut = client.run(prompts, attend)?;
    Ok(client.level(cut))
}

fn broken(error: &io::Error) -> Ending {
    Ending::new(Outcome::Crashed, format!("no connections can be watched on this system: {error}"))
}

struct Client<'a> {
    plan: &'a Plan,
    address: SocketAddr,
    poll: Poll,
    started: Instant,
    /// Requests on their way; their place is their token.
    lines: Vec<Option<Line>>,
    clock: Clock,
    ended: Vec<Course>,
    arrived: Arrived,
    work: Work,
    fruitless: u32,
    /// Whether a request has ended well.
    succeeded: bool,
}

/// One request on its way.
struct Line {
    stream: TcpStream,
    /// What is to be sent, and how much of it was.
    request: String,
    written: usize,
    answer: Answer,
    progress: Progress,
    course: Course,
}

/// What was read in a turn and not looked into yet.
struct Arrived {
    /// Where the system puts what is read.
    bytes: Vec<u8>,
    kept: Vec<u8>,
    pieces: Vec<Piece>,
}

/// What came of one connection at one moment.
struct Piece {
    place: usize,
    moment: Instant,
    bytes: Range<usize>,
    /// How the connection ended, if it did.
    end: Option<io::Result<()>>,
}

/// How long the client was at work.
#[derive(Default)]
struct Work {
    /// Since when it is at work.
    begun: Option<f64>,
    total: f64,
    squares: f64,
    longest: f64,
}

impl Client<'_> {
    /// Gives why the load was ended early, if it was.
    fn run(&mut self, prompts: &mut Prompts<'_>, attend: &mut Attend<'_>) -> Result<Option<String>, Ending> {
        let mut events = Events::with_capacity(1024);
        let mut looked = f64::NEG_INFINITY;
        loop {
            let now = self.now();
            if now - looked >= TURN {
                looked = now;
                attend()?;
                self.end_late(now);
            }
            self.send_due(now, prompts);
            if let Some(cause) = self.hopeless(now) {
                self.give_up(now);
                return Ok(Some(cause));
            }
            if self.clock.is_over(now) && !self.waits_for_any() {
                return Ok(None);
            }
            let wait = (self.clock.next() - now).clamp(0.0, TURN);
            self.finish_turn(now);
            match self.poll.poll(&mut events, Some(Duration::from_secs_f64(wait))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(broken(&error)),
                _ => {}
            }
            self.work.begin(self.now());
            events.iter().for_each(|event| self.read(event));
            self.look_into();
        }
    }

    /// Why the load cannot go on, if it cannot.
    fn hopeless(&self, now: f64) -> Option<String> {
        if self.fruitless >= FRUITLESS {
            let last = self.ended.last().and_then(|course| course.failure.as_ref());
            let cause = last.map_or(String::new(), |failure| failure.cause.clone());
            return Some(format!("{FRUITLESS} requests failed one after the other: {cause}"));
        }
        if !self.succeeded && self.ended.iter().any(Course::is_timed_out) {
            return Some(format!("no request ended within the {} s that one may take", self.plan.patience));
        }
        let full = self.lines.iter().flatten().count() >= MOST_AT_ONCE as usize;
        (full && self.clock.next() <= now).then(|| {
            format!(
                "{MOST_AT_ONCE} requests were on their way at once: the server does not keep up with them"
            )
        })
    }

    /// Ends all that is on its way.
    fn give_up(&mut self, now: f64) {
        for place in 0..self.lines.len() {
            let cause = "given up together with its load";
            self.end(place, micro(now), Some(failure(FailureKind::TimedOut, cause)));
        }
    }

    /// Whether a request is on its way that was sent before the window's end.
    fn waits_for_any(&self) -> bool {
        let to = self.clock.to.unwrap_or(f64::INFINITY);
        self.lines.iter().flatten().any(|line| line.course.measured || line.course.due < to)
    }

    /// Seconds since the load began.
    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn send_due(&mut self, now: f64, prompts: &mut Prompts<'_>) {
        loop {
            let taken = |place: usize| self.lines.get(place).is_some_and(Option::is_some);
            let Some((place, due)) = self.clock.take_due(now, taken) else { return };
            let wish = prompts.next();
            let sent = micro(self.now());
            let course = Course {
                due: micro(due),
                sent,
                measured: self.clock.measures(due),
                prompt: wish.prompt,
                own: wish.own,
                asked: wish.generate,
                ..Course::default()
            };
            self.send(place, course, wish);
        }
    }

    fn send(&mut self, place: usize, course: Course, wish: Wish) {
        let connected = TcpStream::connect(self.address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(place), interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let (answer, progress) = (Answer::default(), Progress::default());
                if self.lines.len() <= place {
                    self.lines.resize_with(place + 1, || None);
                }
                let line = Line { stream, request: wish.text, written: 0, answer, progress, course };
                self.lines[place] = Some(line);
            }
            Err(error) => self.note(place, course, Some(no_connection(&error))),
        }
    }

    /// Writes what can be written and reads what is there, without looking into it.
    fn read(&mut self, event: &Event) {
        let Token(place) = event.token();
        let Some(line) = self.lines.get_mut(place).and_then(Option::as_mut) else { return };
        if event.is_writable()
            && let Err(error) = line.write()
        {
            self.arrived.end(place, Err(error));
            return;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.arrived.read(place, &mut line.stream);
        }
    }

    fn look_into(&mut self) {
        for piece in std::mem::take(&mut self.arrived.pieces) {
            let Some(line) = self.lines.get_mut(piece.place).and_then(Option::as_mut) else { continue };
            let moment = micro(piece.moment.saturating_duration_since(self.started).as_secs_f64());
            let bytes = &self.arrived.kept[piece.bytes.clone()];
            let outcome = match line.take(moment, bytes, piece.end) {
                Ok(false) => continue,
                Ok(true) => line.close().err(),
                Err(failure) => Some(failure),
            };
            self.end(piece.place, moment, outcome);
        }
        self.arrived.kept.clear();
    }

    fn end(&mut self, place: usize, moment: f64, failure: Option<Failure>) {
        let Some(mut line) = self.lines.get_mut(place).and_then(Option::take) else { return };
        // The connection is closed with it; that it cannot be taken out of the watch is of no consequence.
        let _ = self.poll.registry().deregister(&mut line.stream);
        let mut course = line.course;
        if failure.is_some() {
            course.end = moment;
        }
        self.note(place, course, failure);
    }

    fn note(&mut self, place: usize, course: Course, failure: Option<Failure>) {
        let now = self.now();
        self.fruitless = if failure.is_some() { self.fruitless + 1 } else { 0 };
        self.succeeded |= failure.is_none();
        self.clock.ended(place, now, failure.is_some());
        self.ended.push(Course { failure, ..course });
    }

    fn end_late(&mut self, now: f64) {
        let patience = self.plan.patience;
        let is_late = |line: &Line| now - line.course.due > patience;
        let late =
            |(place, line): (usize, &Option<Line>)| line.as_ref().is_some_and(is_late).then_some(place);
        let late: Vec<usize> = self.lines.iter().enumerate().filter_map(late).collect();
        for place in late {
            let tokens = self.lines[place].as_ref().map_or(0, |line| line.course.moments.len());
            let cause = format!("it did not end within {patience} s; {tokens} tokens had come");
            self.end(place, micro(now), Some(failure(FailureKind::TimedOut, cause)));
        }
    }

    /// Takes account of the work since the last wait, if the window is open.
    fn finish_turn(&mut self, now: f64) {
        let (end, counts) = (self.now(), self.clock.is_open(now));
        self.work.finish(end, counts);
    }

    fn level(self, cut: Option<String>) -> Level {
        let now = self.now();
        let from = self.clock.from.unwrap_or(now);
        let to = self.clock.to.unwrap_or(now).min(now);
        let mut courses = self.ended;
        // The last one that is measured ends the window, and its moment is rounded.
        courses.retain(|course| course.measured || course.due <= to);
        courses.sort_by(|one, other| one.due.total_cmp(&other.due));
        let span = (to - from).max(f64::MIN_POSITIVE);
        let client = Busy {
            share: (self.work.total / span).min(1.0),
            longest: micro(self.work.longest),
            // What comes during a stretch of work waits for half of it on average.
            late: self.work.squares / 2.0 / span,
        };
        Level { arrivals: self.plan.arrivals, from: micro(from), to: micro(to), courses, client, cut }
    }
}

impl Course {
    fn is_timed_out(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::TimedOut)
    }
}

impl Line {
    fn write(&mut self) -> io::Result<()> {
        if self.written == 0 {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            self.stream.set_nodelay(true)?;
        }
        while self.written < self.request.len() {
            match self.stream.write(&self.request.as_bytes()[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                // Not connected yet, or the system's buffer is full: it will say when it is not.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the account of a complete answer.
    fn close(&mut self) -> Result<(), Failure> {
        match self.answer.instead_of_events() {
            Some(text) => {
                Err(failure(FailureKind::Malformed, format!("the answer is no stream of events: `{text}`")))
            }
            None => self.progress.close(&mut self.course),
        }
    }

    /// Takes in a piece; gives whether the answer is complete.
    fn take(&mut self, moment: f64, bytes: &[u8], end: Option<io::Result<()>>) -> Result<bool, Failure> {
        let (progress, course) = (&mut self.progress, &mut self.course);
        let mut failed = None;
        let taken = self.answer.take(bytes, &mut |data| {
            if failed.is_none() {
                failed = progress.take(course, moment, data).err();
            }
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        taken.map_err(|cause| failure(FailureKind::Malformed, cause))?;
        match (self.answer.status(), end) {
            (Some(200), _) if self.answer.has_ended() || self.progress.done => Ok(true),
            (Some(200), Some(Ok(()))) if self.answer.ends_with_connection() => Ok(true),
            (Some(200), None) | (None, None) => Ok(false),
            (Some(200), Some(_)) => {
                let cause = format!(
                    "the connection ended in the middle of the answer, after {} tokens",
                    self.course.moments.len()
                );
                Err(failure(FailureKind::ClosedEarly, cause))
            }
            (Some(_), None) if !self.answer.has_ended() => Ok(false),
            (Some(status), _) => {
                Err(failure(FailureKind::Refused, refusal_words(status, &self.answer.refusal())))
            }
            (None, Some(Err(error))) => Err(no_connection(&error)),
            (None, Some(Ok(()))) => {
                Err(failure(FailureKind::ClosedEarly, "the connection ended without an answer"))
            }
        }
    }
}

fn no_connection(error: &io::Error) -> Failure {
    failure(FailureKind::NoConnection, format!("no connection: {error}"))
}

impl Arrived {
    fn read(&mut self, place: usize, stream: &mut TcpStream) {
        loop {
            match stream.read(&mut self.bytes) {
                Ok(0) => return self.end(place, Ok(())),
                Ok(count) => {
                    let (moment, start) = (Instant::now(), self.kept.len());
                    self.kept.extend_from_slice(&self.bytes[..count]);
                    let bytes = start..self.kept.len();
                    self.pieces.push(Piece { place, moment, bytes, end: None });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return;
                }
                Err(error) => return self.end(place, Err(error)),
            }
        }
    }

    fn end(&mut self, place: usize, end: io::Result<()>) {
        self.pieces.push(Piece { place, moment: Instant::now(), bytes: 0..0, end: Some(end) });
    }
}

impl Work {
    fn begin(&mut self, now: f64) {
        self.begun = Some(now);
    }

    fn finish(&mut self, now: f64, counts: bool) {
        let Some(begun) = self.begun.take().filter(|_| counts) else { return };
        let seconds = now - begun;
        self.total += seconds;
        self.squares += seconds * seconds;
        self.longest = self.longest.max(seconds);
    }
}

/// Times are kept to the microsecond: no clock that is read between processes tells more.
fn micro(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
