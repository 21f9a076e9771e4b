//! The user's own llama-bench, of whatever version.
//!
//! One process for each request of the workload. llama-bench measures prompt and generation as separate tests, the
//! generation at the depth of the request and not behind its prompt, so there is no time to the first token and no
//! time of a request; nothing is invented for them. Which flags and output formats a version knows is read from
//! its `--help`.

mod abilities;
pub mod output;

use crate::child::{Program, Stream};
use crate::engine::{Control, Engine, EngineError, EngineSpecification, Stop};
use crate::engines::death;
use crate::engines::foreign::{self, ask, beginning, content, now, version};
use crate::engines::process::{self, Finished};
use crate::telemetry::{Watch, ended_children, kernel_kills, noisy};
use abilities::Abilities;
use gguflab_types::event::{Level, Phase};
use gguflab_types::machine::Device;
use gguflab_types::{
    Ending, EngineIdentity, Event, Job, MachineState, Outcome, Repetition, Request, Sample, metric,
};
use output::{Test, tests};
use std::path::Path;
use std::time::Duration;

/// Asks the program who it is.
///
/// # Errors
/// When it is missing, cannot be started, or is no llama-bench.
pub fn open(specification: &EngineSpecification) -> Result<Box<dyn Engine>, EngineError> {
    let name = specification.target.clone().unwrap_or_default();
    let path = foreign::locate(Path::new(&name), "llama-bench")?;
    let program = foreign::program(specification, &path);
    let help = ask(&program, &name, "--help")?;
    let abilities = Abilities::read(&help).ok_or_else(|| EngineError::Unusable {
        program: name.clone(),
        problem: format!(
            "does not look like llama-bench: its --help names neither `-p` nor `-n`{}; give the path of llama-bench",
            beginning(&help)
        ),
    })?;
    let build = match abilities.knows("--version") {
        true => version(&ask(&program, &name, "--version")?).unwrap_or_else(|| content(&path)),
        false => content(&path),
    };
    let identity = foreign::identity("llama-bench", build, specification);
    Ok(Box::new(LlamaBench { program, name, abilities, identity }))
}

struct LlamaBench {
    program: Program,
    /// As the user wrote it.
    name: String,
    abilities: Abilities,
    identity: EngineIdentity,
}

/// One trial on its way.
struct Run<'a> {
    job: &'a Job,
    stop: &'a Stop,
    sink: &'a mut dyn FnMut(Event) -> Control,
    started: std::time::Instant,
}

/// What one process gave.
struct Batch {
    prefill: Option<Test>,
    decode: Option<Test>,
    state: MachineState,
    noisy: Option<String>,
    started: f64,
}

impl Engine for LlamaBench {
    fn identity(&self) -> &EngineIdentity {
        &self.identity
    }

    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        if !self.abilities.knows("--list-devices") {
            return Ok(Vec::new());
        }
        let text = ask(&self.program, &self.name, "--list-devices")?;
        Ok(text.lines().filter_map(foreign::device).collect())
    }

    fn run(&mut self, job: &Job, stop: &Stop, sink: &mut dyn FnMut(Event) -> Control) -> Ending {
        let mut run = Run { job, stop, sink, started: std::time::Instant::now() };
        self.trial(&mut run).err().unwrap_or_else(Ending::measured)
    }
}

impl LlamaBench {
    fn trial(&self, run: &mut Run<'_>) -> Result<(), Ending> {
        let requests = &run.job.workload.requests;
        if requests.is_empty() {
            return Err(Ending::new(Outcome::Rejected, "the workload has no request"));
        }
        let rejected = |cause| Ending::new(Outcome::Rejected, cause);
        let arguments: Result<Vec<_>, String> =
            requests.iter().map(|request| self.abilities.arguments(run.job, request)).collect();
        let arguments = arguments.map_err(rejected)?;
        let note = "llama-bench measures prompt and generation apart: no time to first token, no request time; \
                    generation starts at the request's depth, not behind its prompt; prompts are random tokens";
        run.tell(Event::Log(Level::Information, note.to_string()))?;
        let mut retries = run.job.protocol.retries;
        for (index, (request, arguments)) in requests.iter().zip(arguments).enumerate() {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let mut program = Program { arguments: self.with(arguments), ..self.program.clone() };
            program.environment.extend(run.job.configuration.environment());
            let mut first = 0;
            loop {
                let batch = self.process(run, &program, request)?;
                let noisy = batch.noisy.clone();
                first = run.tell_batch(number, first, request, batch)?;
                if noisy.is_none() || retries == 0 {
                    break;
                }
                retries -= 1;
            }
        }
        Ok(())
    }

    fn with(&self, arguments: Vec<String>) -> Vec<std::ffi::OsString> {
        self.program.arguments.iter().cloned().chain(arguments.into_iter().map(Into::into)).collect()
    }

    /// Runs one process to its end and finds its two tests.
    fn process(&self, run: &mut Run<'_>, program: &Program, request: &Request) -> Result<Batch, Ending> {
        run.tell(Event::Phase(Phase::Measure))?;
        let deadline = run.deadline(request);
        let (kills, children, watch) =
            (kernel_kills(), ended_children(), Watch::with_gpus(None, f64::INFINITY));
        let started = now();
        let finished = process::run(program, deadline, run.stop, &mut |stream, line| {
            (run.sink)(Event::Log(death::level(stream, line), line.to_string()))
        });
        let finished = finished.map_err(|error| {
            Ending::new(Outcome::Crashed, format!("{} cannot be started any more: {error}", self.name))
        })?;
        let cpu_time = children.zip(ended_children()).map(|(before, after)| after - before);
        let state = watch.finish(cpu_time, finished.duration.as_secs_f64());
        let killed_by_kernel = kills.zip(kernel_kills()).is_some_and(|(before, after)| after > before);
        if let Some(ending) = death::of_run("llama-bench", &finished, killed_by_kernel, deadline) {
            return Err(ending);
        }
        run.tell_memory(started, &finished)?;
        let found = tests(&finished.lines(Stream::Output));
        let (prefill, decode) = pick(&found, request).map_err(|missing| {
            let cause = format!("{} printed no result for {missing}{}", self.name, finished.beginning());
            Ending::new(Outcome::Crashed, cause)
        })?;
        // Threads of a foreign build need not spin, and loading is part of the process: only others are judged.
        let noisy = noisy(&state, 0);
        Ok(Batch { prefill, decode, state, noisy, started })
    }
}

/// The tests of a request among all that were printed; a test with both counters (`-pg`) is neither.
fn pick(found: &[Test], request: &Request) -> Result<(Option<Test>, Option<Test>), String> {
    let one = |prompt: u32, generate: u32| {
        if prompt + generate == 0 {
            return Ok(None);
        }
        let wanted = (u64::from(prompt), u64::from(generate), u64::from(request.depth));
        let hit = found.iter().find(|test| (test.prompt, test.generate, test.depth) == wanted);
        let label = Request { prompt, generate, ..*request }.label();
        hit.map(|test| Some(test.clone())).ok_or(label)
    };
    Ok((one(request.prompt, 0)?, one(0, request.generate)?))
}

impl Run<'_> {
    fn tell(&mut self, event: Event) -> Result<(), Ending> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::End(ending) => Err(ending),
        }
    }

    /// Both tests with their repetitions, depths and warm-up, and two contexts, within what is left of the trial.
    fn deadline(&self, request: &Request) -> Duration {
        let deadlines = &self.job.deadlines;
        let tests = f64::from(u8::from(request.prompt > 0) + u8::from(request.generate > 0));
        let repetitions = f64::from(self.job.protocol.repetitions) + 1.0;
        let needed = deadlines.start
            + deadlines.load
            + tests * deadlines.context
            + tests * repetitions * deadlines.repetition;
        let left = deadlines.trial - self.started.elapsed().as_secs_f64();
        Duration::try_from_secs_f64(needed.min(left).max(0.0)).unwrap_or(Duration::MAX)
    }

    fn tell_memory(&mut self, started: f64, finished: &Finished) -> Result<(), Ending> {
        let Some(bytes) = finished.peak_memory else { return Ok(()) };
        self.tell(Event::Measured(Box::new(Repetition {
            started,
            duration: finished.duration.as_secs_f64(),
            samples: vec![Sample::one(metric::PEAK_MEMORY, bytes as f64)],
            ..Repetition::default()
        })))
    }

    /// Tells the repetitions of one process, numbered from `first`; gives the next free number. Where a version
    /// prints only mean and deviation, those are one repetition.
    fn tell_batch(
        &mut self,
        number: u32,
        first: u32,
        request: &Request,
        batch: Batch,
    ) -> Result<u32, Ending> {
        let each = |test: &Option<Test>| test.as_ref().map_or(0, |test| test.rates.len());
        let count = each(&batch.prefill).max(each(&batch.decode)).max(1);
        let mut started = batch.started;
        for index in 0..count {
            let mut samples = Vec::new();
            let mut duration = 0.0;
            for (test, rate, deviation) in [
                (&batch.prefill, metric::PREFILL, metric::PREFILL_DEVIATION),
                (&batch.decode, metric::DECODE, metric::DECODE_DEVIATION),
            ] {
                let Some(test) = test else { continue };
                let Some((value, seconds)) = test.repetition(index) else { continue };
                samples.push(Sample::one(rate, value));
                duration += seconds;
                if let (true, Some(value)) = (test.rates.is_empty(), test.deviation) {
                    samples.push(Sample::one(deviation, value));
                }
            }
            samples.push(Sample::one(metric::TOKENS_ASKED, f64::from(request.generate)));
            samples.push(Sample::one(metric::TOKENS_PRODUCED, f64::from(request.generate)));
            let index = first + u32::try_from(index).unwrap_or(u32::MAX);
            let (state, noisy) = (batch.state.clone(), batch.noisy.clone());
            let request = Some(number);
            let repetition = Repetition { request, index, started, duration, samples, state, noisy };
            started += duration;
            self.tell(Event::Measured(Box::new(repetition)))?;
        }
        Ok(first + u32::try_from(count).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_test_of_both_counters_stands_for_neither_phase() {
        let test = |prompt, generate, depth, rate| Test {
            prompt,
            generate,
            depth,
            rates: vec![rate],
            ..Test::default()
        };
        let found = [test(64, 16, 0, 1.0), test(64, 0, 0, 2.0), test(0, 16, 0, 3.0), test(64, 0, 512, 9.0)];
        let (prefill, decode) = pick(&found, &Request::new(64, 16)).unwrap();
        assert_eq!((prefill.unwrap().rates, decode.unwrap().rates), (vec![2.0], vec![3.0]));
        let (prefill, decode) = pick(&found, &Request::new(0, 16)).unwrap();
        assert!(prefill.is_none() && decode.is_some());
        assert_eq!(pick(&found, &Request::new(128, 16)).unwrap_err(), "pp128");
        let deep = Request { depth: 512, ..Request::new(64, 16) };
        assert_eq!(pick(&found, &deep).unwrap_err(), "tg16@d512");
    }
}
