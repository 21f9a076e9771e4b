//! The user's own llama-server, of whatever version, measured over HTTP as its clients see it.
//!
//! One process on a port of its own of this machine, kept while only the requests change. Prompts are token numbers,
//! the same as in the worker, so that counts are exact; what is generated is the model's own choice. The depth of a
//! request is brought into a slot's cache by a request before it, which is not measured. Which flags a version knows is
//! read from its `--help`.

mod abilities;
mod figures;
mod outputs;
mod round;
mod server;

use crate::child::Program;
use crate::engine::{Control, Engine, EngineError, EngineSpecification, Stop};
use crate::engines::files;
use crate::engines::foreign::{self, ask, beginning, content, now, version};
use crate::load::{Service, Sink, Work};
use crate::telemetry::{Watch, noisy};
use abilities::{Abilities, slots};
use gguflab_format::{Model, ModelFacts};
use gguflab_types::event::{Level, Phase};
use gguflab_types::machine::Device;
use gguflab_types::outputs::Reading;
use gguflab_types::prompt::Tokens;
use gguflab_types::{
    Ending, EngineIdentity, Event, Job, Logits, Outcome, PromptKind, Protocol, Repetition, Request, Sample,
    Workload, metric,
};
use round::{Course, Wish};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything is waited for before stop and deadlines are looked at.
const TURN: Duration = Duration::from_millis(50);
/// llama.cpp's default physical batch: one of them is all of the prompt that a warm-up needs.
const DEFAULT_UBATCH: i64 = 512;

/// Asks the program who it is.
///
/// # Errors
/// When it is missing, cannot be started, or is no llama-server.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    let name = specification.target.clone().unwrap_or_default();
    let path = foreign::locate(Path::new(&name), "llama-server")?;
    let program = foreign::program(specification, &path);
    let help = ask(&program, &name, "--help")?;
    let abilities = Abilities::read(&help).ok_or_else(|| EngineError::Unusable {
        program: name.clone(),
        problem: format!(
            "does not look like llama-server: its --help does not name --host, --port and --parallel{}; give the \
             path of llama-server",
            beginning(&help)
        ),
    })?;
    let build = match abilities.knows("--version") {
        true => version(&ask(&program, &name, "--version")?).unwrap_or_else(|| content(&path)),
        false => content(&path),
    };
    let identity = foreign::identity("llama-server", build, specification);
    Ok(Box::new(LlamaServer {
        program,
        name,
        abilities,
        identity,
        server: None,
        tokens: None,
        warmed: None,
        gpu: false,
    }))
}

struct LlamaServer {
    program: Program,
    /// As the user wrote it.
    name: String,
    abilities: Abilities,
    identity: EngineIdentity,
    server: Option<Server>,
    /// The tokens of the last protocol, and the model whose tokenizer made them.
    tokens: Option<(PathBuf, Tokens)>,
    /// The model that was read into the page cache.
    warmed: Option<PathBuf>,
    /// Whether it told of a GPU when it was asked for its devices.
    gpu: bool,
}

/// One trial on its way.
struct Run<'a> {
    job: &'a Job,
    stop: &'a Stop,
    sink: &'a mut dyn FnMut(Event) -> Control,
    /// The program, as the user wrote it.
    name: &'a str,
    started: Instant,
}

impl Engine for LlamaServer {
    fn identity(&self) -> &EngineIdentity {
        &self.identity
    }

    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        if !self.abilities.knows("--list-devices") {
            return Ok(Vec::new());
        }
        let text = ask(&self.program, &self.name, "--list-devices")?;
        let devices: Vec<Device> = text.lines().filter_map(foreign::device).collect();
        self.gpu = devices.iter().any(|device| device.gpu);
        Ok(devices)
    }

    fn release(&mut self) {
        if self.gpu {
            self.server = None;
        }
    }

    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending {
        let (name, gpu) = (self.name.clone(), self.gpu);
        let mut run = Run { job, stop, sink, name: &name, started: Instant::now() };
        let ended = self.trial(&mut run, &mut |server, tokens, run| {
            let counts = vec![0; run.job.workload.requests.len()];
            Requests { server, tokens, counts, gpu }.measure(run)
        });
        self.close(ended)
    }

    fn read(
        &mut self,
        job: &Job,
        reading: &Reading,
        file: &Path,
        stop: &Stop,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Ending {
        let name = self.name.clone();
        // It has logits of the last token of a request only, for one token behind it.
        let workload = Workload::single("read", Request::new(reading.length, 1));
        let job = Job { workload, ..job.clone() };
        let mut run = Run { job: &job, stop, sink, name: &name, started: Instant::now() };
        let ended = self
            .trial(&mut run, &mut |server, tokens, run| outputs::read(server, tokens, run, reading, file));
        self.close(ended)
    }

    fn serve(&mut self, job: &Job, stop: &Stop, sink: &mut Sink<'_>, work: &mut Work<'_>) -> Ending {
        let name = self.name.clone();
        let mut run = Run { job, stop, sink, name: &name, started: Instant::now() };
        let ended = self.trial(&mut run, &mut |server, tokens, run| {
            run.tell(Event::Phase(Phase::Measure))?;
            let service = Service { address: server.address, tokens: tokens.clone() };
            work(&service, &mut || {
                server.listen(run, Duration::ZERO)?;
                if server.has_ended() {
                    return Err(server.death(run));
                }
                run.check_time(run.started, job.deadlines.trial, "the load did not end")
            })
        });
        self.close(ended)
    }
}

/// What is done with a server that is ready.
type Use<'a> = dyn FnMut(&mut Server, &Tokens, &mut Run<'_>) -> Result<(), Ending> + 'a;

impl LlamaServer {
    fn trial(&mut self, run: &mut Run<'_>, measure: &mut Use<'_>) -> Result<(), Ending> {
        check(run.job)?;
        let arguments = self.abilities.arguments(run.job);
        let arguments = arguments.map_err(|cause| Ending::new(Outcome::Rejected, cause))?;
        self.prepare(run, arguments)?;
        let Some(server) = &mut self.server else {
            return Err(Ending::new(Outcome::Crashed, "the server is gone"));
        };
        let begun = now();
        let supply = supply(&mut self.tokens, server, run.job)?;
        measure(server, &supply, run)?;
        let peak_memory = server.usage().map(|usage| usage.peak_memory).filter(|&bytes| bytes > 0);
        let memory = [(metric::PEAK_MEMORY, peak_memory), (metric::DEVICE_MEMORY, server.device_memory())];
        for (name, bytes) in memory {
            if let Some(bytes) = bytes {
                run.tell_whole(begun, now() - begun, Sample::one(name, bytes as f64))?;
            }
        }
        Ok(())
    }

    fn close(&mut self, ended: Result<(), Ending>) -> Ending {
        let ending = ended.err().unwrap_or_else(Ending::measured);
        // After anything else nothing is known of the server's state.
        if !matches!(ending.outcome, Outcome::Measured | Outcome::Pruned | Outcome::Rejected) {
            self.server = None;
        }
        ending
    }

    /// Brings the server into the state that the job needs: running, with the right arguments, and started anew when
    /// loading is to be measured.
    fn prepare(&mut self, run: &mut Run<'_>, arguments: Vec<String>) -> Result<(), Ending> {
        let (job, protocol) = (run.job, &run.job.protocol);
        let serves = self.server.as_mut().is_some_and(|server| {
            let same = server.arguments == arguments
                && job.configuration.environment().eq(server.environment.clone());
            // One that died while it was idle is nobody's failure.
            same && !server.has_ended()
        });
        if serves && !protocol.reload && !protocol.cold && !protocol.fresh {
            return Ok(());
        }
        self.server = None;
        let mut name = metric::LOAD;
        if protocol.cold {
            match files::drop_from_cache(&job.model) {
                Ok(()) => name = metric::LOAD_COLD,
                Err(reason) => {
                    let text = format!("a cold load cannot be measured: {reason}");
                    run.tell(Event::Log(Level::Warning, text))?;
                }
            }
        } else if protocol.reload && self.warmed.as_ref() != Some(&job.model) {
            // `load` is the time with the file in the page cache, the first time too.
            files::warm(&job.model, job.memory_limit);
            self.warmed = Some(job.model.clone());
        }
        let begun = now();
        let server = self.server.insert(Server::start(&self.program, arguments, run)?);
        run.tell_whole(begun, server.load, Sample::one(name, server.load))
    }
}

fn check(job: &Job) -> Result<(), Ending> {
    let refuse = |cause: &str| Err(Ending::new(Outcome::Rejected, cause));
    let requests = &job.workload.requests;
    if requests.is_empty() {
        return refuse("the workload has no request");
    }
    if requests.iter().any(|request| request.prompt == 0 && request.generate == 0) {
        return refuse("a request needs a prompt or tokens to generate");
    }
    if requests.iter().any(|request| request.logits == Logits::All) {
        return refuse("llama-server computes the logits of the last token only: take the embedded engine");
    }
    let slots = slots(job);
    if requests.iter().any(|request| request.depth > 0 && request.concurrency > slots) {
        return refuse(
            "requests at a depth need a slot each, which keeps it: set parallel to the concurrency",
        );
    }
    Ok(())
}

/// The tokens of the job's protocol, asked of the server's tokenizer unless they are known from the last job.
fn supply(known: &mut Option<(PathBuf, Tokens)>, server: &Server, job: &Job) -> Result<Tokens, Ending> {
    if let Some((model, tokens)) = known
        && *model == job.model
        && tokens.are_of(&job.protocol)
    {
        return Ok(tokens.clone());
    }
    let rejected = |cause: &str| Ending::new(Outcome::Rejected, cause);
    let text = Tokens::text_of(&job.protocol).map_or(Ok(Vec::new()), |text| server.tokenize(text, false))?;
    let (plain, special) = (server.tokenize("a", false)?, server.tokenize("a", true)?);
    let start = special.first().copied().filter(|_| special.len() > plain.len());
    let vocabulary = match job.protocol.prompt {
        PromptKind::Text => 0,
        PromptKind::Random => {
            Model::open(&job.model).ok().and_then(|model| ModelFacts::read(&model).vocabulary).ok_or_else(
                || rejected("the model does not tell the size of its vocabulary: take text as prompt"),
            )?
        }
    };
    let tokens = Tokens::new(&job.protocol, text, start, vocabulary).map_err(|cause| rejected(&cause))?;
    *known = Some((job.model.clone(), tokens.clone()));
    Ok(tokens)
}

/// The requests of one trial.
struct Requests<'a> {
    server: &'a mut Server,
    tokens: &'a Tokens,
    /// Repetitions of each request so far.
    counts: Vec<u32>,
    /// Whether it has a GPU.
    gpu: bool,
}

impl Requests<'_> {
    /// Begins before the request is sent, so that nothing is held up by what is slow to read.
    fn start_watch(&self) -> Watch {
        if self.gpu { Watch::with_gpus(None, f64::INFINITY) } else { Watch::start(None) }
    }

    fn warm_up(&mut self, run: &mut Run<'_>, index: usize) -> Result<(), Ending> {
        let batch = run.job.configuration.integer("ubatch").unwrap_or(DEFAULT_UBATCH);
        let batch = u32::try_from(batch).unwrap_or(u32::MAX);
        let request = run.job.workload.requests[index];
        run.tell(Event::Phase(Phase::Warmup))?;
        let part = Protocol::warm_up_of(&request, batch, self.gpu);
        Protocol::settle(self.gpu, || {
            self.fill_depth(run, &request)?;
            let started = Instant::now();
            round::run(self.server, run, &self.wishes(&part))?;
            Ok(started.elapsed().as_secs_f64())
        })
    }

    fn measure(&mut self, run: &mut Run<'_>) -> Result<(), Ending> {
        let (mut again, protocol) = (Vec::new(), &run.job.protocol);
        for turn in run.job.workload.order(protocol.warmup, protocol.repetitions) {
            match turn.measured {
                true if self.repetition(run, turn.request)? => again.push(turn.request),
                true => {}
                false => self.warm_up(run, turn.request)?,
            }
        }
        // What was noisy is measured anew, as often as the protocol allows.
        let mut left = run.job.protocol.retries;
        while left > 0 && !again.is_empty() {
            left -= 1;
            let index = again.remove(0);
            if self.repetition(run, index)? {
                again.push(index);
            }
        }
        Ok(())
    }

    /// Measures one repetition of one request; gives whether it was noisy.
    fn repetition(&mut self, run: &mut Run<'_>, index: usize) -> Result<bool, Ending> {
        let request = run.job.workload.requests[index];
        run.tell(Event::Phase(Phase::Measure))?;
        self.fill_depth(run, &request)?;
        let wishes = self.wishes(&request);
        let cpu_time = |server: &Server| server.usage().map(|usage| usage.cpu_time);
        let (started, before, watch) = (now(), cpu_time(self.server), self.start_watch());
        let courses = round::run(self.server, run, &wishes)?;
        let duration = courses.iter().map(|course| course.end).fold(0.0, f64::max);
        let cpu_time = before.zip(cpu_time(self.server)).map(|(before, after)| after - before);
        let state = watch.finish(cpu_time, duration);
        check_courses(&request, &courses)?;
        // A server's threads also wait for requests and for each other, so only others are judged.
        let noisy = noisy(&state, 0);
        let is_noisy = noisy.is_some();
        let number = self.counts[index];
        self.counts[index] += 1;
        run.tell(Event::Measured(Box::new(Repetition {
            request: u32::try_from(index).ok(),
            index: number,
            started,
            duration,
            samples: figures::samples(&request, &courses, cpu_time),
            state,
            noisy,
        })))?;
        Ok(is_noisy)
    }

    /// Brings the depth of the request into the slots' caches. What a slot holds beyond it is forgotten, and of what it
    /// holds already only the last token is computed again.
    fn fill_depth(&mut self, run: &mut Run<'_>, request: &Request) -> Result<(), Ending> {
        if request.depth == 0 {
            return Ok(());
        }
        let slots = 0..request.concurrency.max(1);
        let wishes =
            slots.map(|slot| Wish { prompt: self.span(slot, request.depth), generate: 0, slot: Some(slot) });
        round::run(self.server, run, &wishes.collect::<Vec<_>>()).map(drop)
    }

    fn wishes(&self, request: &Request) -> Vec<Wish> {
        // A run without a prompt starts from one token that is not counted.
        let length = request.depth.saturating_add(request.prompt.max(1));
        (0..request.concurrency.max(1))
            .map(|sequence| Wish {
                prompt: self.span(sequence, length),
                generate: request.generate,
                slot: (request.depth > 0).then_some(sequence),
            })
            .collect()
    }

    fn span(&self, sequence: u32, length: u32) -> Vec<i32> {
        (0..u64::from(length)).map(|position| self.tokens.at(sequence, position)).collect()
    }
}

/// Whether the server did just what was asked: where it computed more of the prompt, because its cache could not keep
/// the depth, or generated nothing, its times would be those of another request.
fn check_courses(request: &Request, courses: &[Course]) -> Result<(), Ending> {
    let expected = u64::from(request.prompt.max(1));
    if let Some(other) = courses.iter().filter_map(|course| course.computed).find(|count| *count != expected)
    {
        let cause = format!(
            "the server computed {other} tokens of the prompt instead of {expected}: its cache cannot keep a depth with \
             this model or these settings; take a workload without depth"
        );
        return Err(Ending::new(Outcome::Rejected, cause));
    }
    if request.generate > 0 && courses.iter().any(|course| course.produced() == 0) {
        return Err(Ending::new(Outcome::Crashed, "the server ended an answer without a token"));
    }
    Ok(())
}

impl Run<'_> {
    fn tell(&mut self, event: Event) -> Result<(), Ending> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::End(ending) => Err(ending),
        }
    }

    fn log(&mut self, text: &str) -> Result<(), Ending> {
        self.tell(Event::Log(Level::Information, text.to_string()))
    }

    /// A value of the whole trial.
    fn tell_whole(&mut self, started: f64, duration: f64, sample: Sample) -> Result<(), Ending> {
        let samples = vec![sample];
        self.tell(Event::Measured(Box::new(Repetition {
            started,
            duration,
            samples,
            ..Repetition::default()
        })))
    }

    /// Ends the trial at the user's stop, its own deadline, or the limit of what began at `since`.
    fn check_time(&self, since: Instant, limit: f64, what: &str) -> Result<(), Ending> {
        if self.stop.is_set() {
            return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
        }
        let trial = self.job.deadlines.trial;
        let rows = [
            (since, limit, format!("{what} within {limit} s")),
            (self.started, trial, format!("the trial took longer than {trial} s")),
        ];
        match rows.into_iter().find(|(since, limit, _)| since.elapsed().as_secs_f64() > *limit) {
            Some((_, _, cause)) => Err(Ending::new(Outcome::TimedOut, cause)),
            None => Ok(()),
        }
    }
}
