//! Measures a workload in a context.

use crate::channel::Output;
use crate::prompt;
use gguflab_native::context::BatchToken;
use gguflab_native::{Context, ContextSettings, Model, NativeError, usage};
use gguflab_types::event::Phase;
use gguflab_types::message::Message;
use gguflab_types::prompt::Tokens;
use gguflab_types::{Configuration, Logits, Protocol, Request, Sample, Workload, metric};
use std::rc::Rc;
use std::time::Instant;

/// llama.cpp's default physical batch: one of them is all of the prompt that a warm-up needs.
const DEFAULT_UBATCH: u32 = 512;

/// What is asked for.
pub(crate) struct Wanted {
    pub(crate) configuration: Configuration,
    pub(crate) workload: Workload,
    pub(crate) protocol: Protocol,
    pub(crate) threads: u32,
    /// Whether operations can be observed.
    pub(crate) observed: bool,
}

/// A context and what is measured in it.
pub(crate) struct Session<'model> {
    pub(crate) context: Context<'model>,
    settings: ContextSettings,
    pub(crate) tokens: Rc<Tokens>,
    workload: Workload,
    /// Tokens at the beginning of each sequence that are in the cache already.
    cached: Vec<u64>,
    /// Tokens that layers with a sliding window see; 0 without such layers.
    window: u64,
}

/// Measures the workload: every request in turn, repetition after repetition.
pub(crate) fn bench<'model>(
    model: &'model Model,
    session: &mut Option<Session<'model>>,
    wanted: Wanted,
    device_memory: &dyn Fn() -> u64,
    output: &Output,
    request: u64,
) -> Result<(), NativeError> {
    check(model, &wanted.workload)?;
    let (started, before) = (Instant::now(), usage::now());
    output.send(&Message::Phase { request, phase: Phase::Context });
    if !wanted.protocol.fresh {
        usage::keep_freed_memory();
    }
    let context_time = prepare(model, session, &wanted)?;
    // Only now has the context of the trial before left the memory: it must not count in this one's peak.
    usage::give_back_memory();
    usage::reset_peak();
    let Some(session) = session.as_mut() else { return Ok(()) };
    for turn in wanted.workload.order(wanted.protocol.warmup, wanted.protocol.repetitions) {
        match turn.measured {
            true => session.measure(u32::try_from(turn.request).unwrap_or(u32::MAX), output, request)?,
            false => {
                output.send(&Message::Phase { request, phase: Phase::Warmup });
                session.warm_up(turn.request)?;
            }
        }
    }
    let now = usage::now();
    let mut samples = vec![Sample::one(metric::PEAK_MEMORY, now.peak_memory as f64)];
    samples.extend(context_time.map(|seconds| Sample::one(metric::CONTEXT, seconds)));
    let taken = device_memory();
    // Nothing was taken only where nothing was to be: others may have given something back meanwhile.
    if taken > 0 || (gguflab_native::has_gpu() && wanted.configuration.integer("gpu-layers") == Some(0)) {
        samples.push(Sample::one(metric::DEVICE_MEMORY, taken as f64));
    }
    output.send(&Message::Repetition {
        request,
        index: None,
        duration: started.elapsed().as_secs_f64(),
        cpu_time: now.cpu_time - before.cpu_time,
        samples,
    });
    Ok(())
}

/// Measures one more repetition of one request.
pub(crate) fn repeat(
    session: &mut Option<Session<'_>>,
    index: u32,
    output: &Output,
    request: u64,
) -> Result<(), NativeError> {
    match session {
        Some(session) => session.measure(index, output, request),
        None => Err(NativeError::Rejected("nothing was measured before".to_string())),
    }
}

pub(crate) fn check(model: &Model, workload: &Workload) -> Result<(), NativeError> {
    let refuse = |text: &str| Err(NativeError::Rejected(text.to_string()));
    if model.has_encoder() || !model.has_decoder() {
        return refuse("the model has an encoder; only decoder models can be measured so far");
    }
    let empty = |wish: &Request| wish.prompt == 0 && wish.generate == 0;
    if workload.requests.is_empty() || workload.requests.iter().any(empty) {
        return refuse("a request needs a prompt or tokens to generate");
    }
    Ok(())
}

/// Makes the context, or keeps the one there is when only threads change. Gives the seconds that making it took.
pub(crate) fn prepare<'model>(
    model: &'model Model,
    session: &mut Option<Session<'model>>,
    wanted: &Wanted,
) -> Result<Option<f64>, NativeError> {
    let needed = wanted.workload.longest_sequence();
    let needed =
        u32::try_from(needed).map_err(|_| NativeError::Rejected(format!("a context of {needed} tokens")))?;
    let settings = ContextSettings {
        tokens_per_sequence: needed,
        sequences: wanted.workload.concurrency(),
        observed: wanted.observed,
        ..ContextSettings::from_configuration(&wanted.configuration, wanted.threads)
    };
    let old = session.take();
    let tokens = match &old {
        Some(old) if old.tokens.are_of(&wanted.protocol) => Rc::clone(&old.tokens),
        _ => Rc::new(prompt::tokens(model, &wanted.protocol)?),
    };
    let cached = vec![0; settings.sequences as usize];
    let workload = wanted.workload.clone();
    let (context, seconds) = match old {
        Some(mut old) if settings.differs_in_threads_only(&old.settings) => {
            old.context.set_threads(settings.threads, settings.threads_batch);
            old.context.forget_all();
            (old.context, None)
        }
        old => {
            // The old context's memory is given back before the new one is asked for.
            drop(old);
            let started = Instant::now();
            let context = Context::new(model, &settings)?;
            (context, Some(started.elapsed().as_secs_f64()))
        }
    };
    let window = u64::from(model.sliding_window());
    *session = Some(Session { context, settings, tokens, workload, cached, window });
    Ok(seconds)
}

/// Times of one run, in seconds since its start.
pub(crate) struct Times {
    /// When the prompt was done; `None` without a prompt.
    prompt: Option<f64>,
    /// When each generated token was there.
    tokens: Vec<f64>,
    /// When all was done.
    end: f64,
}

impl Session<'_> {
    /// Threads that decode.
    pub(crate) fn threads(&self) -> u32 {
        u32::try_from(self.settings.threads.max(self.settings.threads_batch)).unwrap_or(1)
    }

    fn warm_up(&mut self, index: usize) -> Result<(), NativeError> {
        let wish = self.workload.requests[index];
        let ubatch = self.settings.ubatch.unwrap_or(DEFAULT_UBATCH);
        let part = Protocol::warm_up_of(&wish, ubatch, gguflab_native::has_gpu());
        self.settle(|session| {
            session.fill_depth(&part)?;
            Ok(session.run(&part)?.end)
        })
    }

    /// Runs something that tells its seconds until nothing in it is done for the first time.
    pub(crate) fn settle(
        &mut self,
        mut run: impl FnMut(&mut Self) -> Result<f64, NativeError>,
    ) -> Result<(), NativeError> {
        Protocol::settle(gguflab_native::has_gpu(), || run(self))
    }

    fn measure(&mut self, index: u32, output: &Output, request: u64) -> Result<(), NativeError> {
        let Some(wish) = self.workload.requests.get(index as usize).copied() else {
            return Err(NativeError::Rejected(format!("the workload has no request {index}")));
        };
        output.send(&Message::Phase { request, phase: Phase::Measure });
        self.fill_depth(&wish)?;
        output.send(&Message::RepetitionStarted { request, index });
        let before = usage::now().cpu_time;
        let used = || usage::now().cpu_time - before;
        let mut tell = || output.send(&Message::PromptDone { request, cpu_time: used() });
        let times = self.run_telling(&wish, &mut tell)?;
        let cpu_time = used();
        let samples = samples(&wish, &times, cpu_time);
        output.send(&Message::Repetition {
            request,
            index: Some(index),
            duration: times.end,
            cpu_time,
            samples,
        });
        Ok(())
    }

    /// Brings each sequence of the request to its depth: what is cached beyond it is forgotten, what is missing
    /// is decoded.
    pub(crate) fn fill_depth(&mut self, wish: &Request) -> Result<(), NativeError> {
        let depth = u64::from(wish.depth);
        for sequence in 0..wish.concurrency.max(1) {
            let kept = self.cached[sequence as usize].min(depth);
            let position = i32::try_from(kept).unwrap_or(i32::MAX);
            let number = i32::try_from(sequence).unwrap_or(0);
            // Recurrent memory cannot forget a part: then the sequence starts over.
            let whole = self.context.forget_from(number, position) && self.holds(number, kept);
            let kept = if whole { kept } else { 0 };
            if kept == 0 {
                self.context.forget_from(number, -1);
            }
            self.decode_span(sequence..sequence + 1, kept, depth, None)?;
            self.cached[sequence as usize] = depth;
        }
        Ok(())
    }

    /// Whether everything that the next token sees is still there: a sliding window forgets what the run before
    /// pushed out of it.
    fn holds(&self, sequence: i32, length: u64) -> bool {
        let seen = length.saturating_sub(self.window);
        self.window == 0
            || length == 0
            || u64::try_from(self.context.oldest(sequence)).is_ok_and(|oldest| oldest <= seen)
    }

    /// Runs a request from its depth on. The tokens that follow are those of the text, not the model's own
    /// choice, so that every configuration does the same work.
    pub(crate) fn run(&mut self, wish: &Request) -> Result<Times, NativeError> {
        self.run_telling(wish, &mut || {})
    }

    /// The same; between prompt and generation `tell` is called, where there are both. That takes some microseconds of the first
    /// token.
    fn run_telling(&mut self, wish: &Request, tell: &mut dyn FnMut()) -> Result<Times, NativeError> {
        let sequences = wish.concurrency.max(1);
        let depth = u64::from(wish.depth);
        let after_prompt = depth + u64::from(wish.prompt);
        let mut tokens = Vec::with_capacity(wish.generate as usize);
        let started = Instant::now();
        self.decode_span(0..sequences, depth, after_prompt, Some(wish.logits))?;
        let prompt = (wish.prompt > 0).then(|| started.elapsed().as_secs_f64());
        if wish.generate > 0 {
            tokens.extend(prompt);
        }
        // The first token comes out of the prompt's last logits; each further one needs a step.
        let steps = u64::from(wish.generate) - tokens.len() as u64;
        if prompt.is_some() && steps > 0 {
            tell();
        }
        for step in 0..steps {
            let batch: Vec<BatchToken> =
                (0..sequences).map(|sequence| self.token(sequence, after_prompt + step, true)).collect();
            self.context.decode(&batch)?;
            tokens.push(started.elapsed().as_secs_f64());
        }
        let end = started.elapsed().as_secs_f64();
        Ok(Times { prompt, tokens, end })
    }

    /// Decodes the tokens from one position to another of these sequences, as many at once as the batch takes, and
    /// computes these logits, or none.
    fn decode_span(
        &mut self,
        sequences: std::ops::Range<u32>,
        from: u64,
        to: u64,
        logits: Option<Logits>,
    ) -> Result<(), NativeError> {
        let output = |position: u64| match logits {
            Some(Logits::All) => true,
            Some(Logits::Last) => position + 1 == to,
            None => false,
        };
        let all: Vec<BatchToken> = sequences
            .flat_map(|sequence| (from..to).map(move |position| (sequence, position)))
            .map(|(sequence, position)| self.token(sequence, position, output(position)))
            .collect();
        for batch in all.chunks(self.context.batch()) {
            self.context.decode(batch)?;
        }
        Ok(())
    }

    fn token(&self, sequence: u32, position: u64, output: bool) -> BatchToken {
        BatchToken {
            token: self.tokens.at(sequence, position),
            position: i32::try_from(position).unwrap_or(i32::MAX),
            sequence: i32::try_from(sequence).unwrap_or(0),
            output,
        }
    }
}

/// The metrics of one run; definitions stand with the names in `gguflab_types::metric`.
fn samples(wish: &Request, times: &Times, cpu_time: f64) -> Vec<Sample> {
    let sequences = f64::from(wish.concurrency.max(1));
    let mut samples = Vec::new();
    if let Some(prompt) = times.prompt {
        samples.push(Sample::one(metric::PREFILL, f64::from(wish.prompt) * sequences / prompt));
        if wish.generate > 0 {
            samples.push(Sample::one(metric::FIRST_TOKEN, prompt));
        }
    }
    let start = times.prompt.unwrap_or(0.0);
    let stamps = match times.prompt {
        Some(_) => times.tokens.get(1..).unwrap_or_default(),
        None => &times.tokens[..],
    };
    if let Some(last) = stamps.last() {
        samples.push(Sample::one(metric::DECODE, stamps.len() as f64 * sequences / (last - start)));
        let before = std::iter::once(start).chain(stamps.iter().copied());
        let gaps = stamps.iter().zip(before).map(|(stamp, before)| stamp - before).collect();
        samples.push(Sample { metric: metric::INTER_TOKEN.to_string(), values: gaps });
    }
    samples.push(Sample::one(metric::REQUEST, times.end));
    samples.push(Sample::one(metric::CPU_TIME, cpu_time));
    samples.push(Sample::one(metric::TOKENS_ASKED, f64::from(wish.generate) * sequences));
    samples.push(Sample::one(metric::TOKENS_PRODUCED, times.tokens.len() as f64 * sequences));
    samples
}
