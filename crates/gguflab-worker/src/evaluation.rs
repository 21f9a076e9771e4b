//! Scores windows of texts: reference and candidates read the same tokens, batch after batch, and what they say is
//! compared before the next batch. No logits are copied: a batch's rows lie in the buffers of the contexts that made
//! them. Contexts never run at the same time, whose threads would only wait for each other.
//!
//! All sides read in the same batches, since their size changes the last digits; these are those of llama-perplexity.

mod record;
mod rows;
mod side;
mod texts;

use crate::channel::Output;
use crate::serve::{Commands, failed, wait};
use gguflab_data::logits::Wanted;
use gguflab_native::{Backend, Model, ModelSettings, NativeError, usage};
use gguflab_types::Configuration;
use gguflab_types::evaluation::{Evaluation, Opened, Source, TokenScores, Window, WindowScores, Windowing};
use gguflab_types::event::Phase;
use gguflab_types::message::{Command, Message, Order};
use record::Record;
use rows::Batch;
use side::Side;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;
use texts::Texts;

/// Tokens of a batch: llama.cpp's default physical batch.
const BATCH: u32 = 512;
/// Most bytes of logits of a batch on each side; with vocabularies that would need more batches are shorter.
const BATCH_BYTES: u32 = 512 << 20;

/// Opens an evaluation and scores windows of it until another kind of command comes, which it gives back.
pub(crate) fn serve(
    backend: &Backend,
    evaluation: &Evaluation,
    threads: u32,
    commands: &Commands,
    output: &Output,
    request: u64,
) -> Option<Command> {
    let told = Told { output, request };
    let models = match Models::load(backend, evaluation, &told) {
        Ok(models) => models,
        Err(error) => return refused(output, request, &error),
    };
    let mut session = match Session::open(&models, evaluation, threads, &told) {
        Ok(session) => session,
        Err(error) => return refused(output, request, &error),
    };
    output.send(&Message::EvaluationOpened { request, opened: session.opened() });
    output.send(&Message::Done { request });
    loop {
        let command = wait(commands, output)?;
        let request = command.request;
        let result = match command.order {
            Order::Score { chunk, candidates } => {
                session.score(chunk, &candidates, &Told { output, request }).map(|scores| {
                    output.send(&Message::Scored { request, scores: Box::new(scores) });
                })
            }
            Order::FinishRecording => session.finish_recording(),
            Order::Abort => continue,
            _ => return Some(command),
        };
        match result {
            Ok(()) => output.send(&Message::Done { request }),
            Err(error) => output.send(&failed(request, &error)),
        }
    }
}

fn refused(output: &Output, request: u64, error: &NativeError) -> Option<Command> {
    output.send(&failed(request, error));
    None
}

/// Says what begins, for the deadlines of whoever listens.
struct Told<'a> {
    output: &'a Output,
    request: u64,
}

impl Told<'_> {
    fn phase(&self, phase: Phase) {
        self.output.send(&Message::Phase { request: self.request, phase });
    }
}

/// The models that are loaded; sides with the same file and the same settings of the model share one.
struct Models {
    keys: Vec<(PathBuf, ModelSettings)>,
    loaded: Vec<Model>,
}

impl Models {
    fn load(backend: &Backend, evaluation: &Evaluation, told: &Told<'_>) -> Result<Models, NativeError> {
        let mut models = Models { keys: Vec::new(), loaded: Vec::new() };
        for source in evaluation.reference.iter().chain(&evaluation.candidates) {
            let Source::Model { path, configuration } = source else { continue };
            let key = (path.clone(), ModelSettings::from_configuration(configuration)?);
            if models.keys.contains(&key) {
                continue;
            }
            told.phase(Phase::Load);
            let model = Model::load(backend, path, &key.1)?;
            if model.has_encoder() || !model.has_decoder() {
                let text = format!("{} has an encoder; only decoder models can be evaluated", path.display());
                return Err(NativeError::Rejected(text));
            }
            models.keys.push(key);
            models.loaded.push(model);
        }
        models.check_vocabularies()?;
        Ok(models)
    }

    /// What one model calls token 17 has to be token 17 of all.
    fn check_vocabularies(&self) -> Result<(), NativeError> {
        let Some(first) = self.loaded.first() else { return Ok(()) };
        for (other, key) in self.loaded.iter().zip(&self.keys).skip(1) {
            if let Some(difference) = first.vocabulary_difference(other) {
                return Err(NativeError::Rejected(format!(
                    "{} and {} have different tokenizers ({difference}): what they say of a text cannot be compared",
                    self.keys[0].0.display(),
                    key.0.display()
                )));
            }
        }
        Ok(())
    }

    fn of(&self, path: &Path, configuration: &Configuration) -> Result<&Model, NativeError> {
        let key = (path.to_path_buf(), ModelSettings::from_configuration(configuration)?);
        let place = self.keys.iter().position(|known| *known == key);
        place
            .and_then(|place| self.loaded.get(place))
            .ok_or_else(|| NativeError::Rejected(format!("{} is not loaded", path.display())))
    }
}

/// How large everything is.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Tokens of a window.
    context: u32,
    /// Tokens of a batch.
    batch: u32,
    threads: u32,
}

impl Shape {
    fn new(evaluation: &Evaluation, vocabulary: u32, threads: u32) -> Result<Shape, NativeError> {
        let context = evaluation.windowing.context;
        if context < 4 {
            return Err(NativeError::Rejected(format!("windows of {context} tokens: take 4 or more")));
        }
        let configurations = evaluation.reference.iter().chain(&evaluation.candidates);
        let wished = configurations.filter_map(ubatch).min();
        let fit = BATCH_BYTES / vocabulary.max(1).saturating_mul(4);
        let batch = wished.unwrap_or_else(|| BATCH.min(fit.max(1))).clamp(1, context);
        Ok(Shape { context, batch, threads: threads.max(1) })
    }
}

/// The physical batch that a side asks for.
fn ubatch(source: &Source) -> Option<u32> {
    match source {
        Source::Model { configuration, .. } => u32::try_from(configuration.integer("ubatch")?).ok(),
        Source::Store { .. } => None,
    }
}

/// An evaluation that is open.
struct Session<'model> {
    reference: Option<Side<'model>>,
    candidates: Vec<Side<'model>>,
    /// The model whose tokenizer made the tokens; `None` when no model runs.
    tokenizer: Option<&'model Model>,
    vocabulary: u32,
    windowing: Windowing,
    texts: Texts,
    shape: Shape,
    record: Option<Record>,
}

impl<'model> Session<'model> {
    fn open(
        models: &'model Models,
        evaluation: &Evaluation,
        threads: u32,
        told: &Told<'_>,
    ) -> Result<Session<'model>, NativeError> {
        // Texts and stores can be long, and are read in this phase.
        told.phase(Phase::Load);
        let tokenizer = models.loaded.first();
        // Stores have no buffers that a long batch would fill.
        let shape = Shape::new(evaluation, tokenizer.map_or(1, Model::vocabulary_size), threads)?;
        let side = |source: &Source| Side::open(models, source, shape);
        let reference = evaluation.reference.as_ref().map(side).transpose()?;
        let candidates: Vec<Side<'model>> =
            evaluation.candidates.iter().map(side).collect::<Result<_, _>>()?;
        let texts = match reference.as_ref().and_then(Side::head).filter(|_| evaluation.texts.is_empty()) {
            Some(head) => Texts::of_store(head, tokenizer.and_then(Model::start_token)),
            None => Texts::read(tokenizer.ok_or_else(|| rejected("no model to cut the text"))?, evaluation)?,
        };
        let stored = || reference.iter().chain(&candidates).filter_map(Side::head).next();
        let vocabulary = tokenizer.map(Model::vocabulary_size).or_else(|| Some(stored()?.vocabulary));
        let vocabulary = vocabulary.ok_or_else(|| rejected("there is nothing to evaluate"))?;
        // Whoever asked says that the text is too short.
        let record = evaluation.recording.as_ref().filter(|_| texts.count() > 0);
        let record = record.map(|order| Record::begin(order, evaluation, &texts, vocabulary)).transpose()?;
        let windowing = evaluation.windowing.clone();
        let session =
            Session { reference, candidates, tokenizer, vocabulary, windowing, texts, shape, record };
        session.check_stores()?;
        Ok(session)
    }

    /// The tokens of a store are those of its text, whatever its name says.
    fn check_stores(&self) -> Result<(), NativeError> {
        let wanted = Wanted {
            windowing: Some(self.windowing.clone()),
            vocabulary: Some(self.vocabulary),
            ..Wanted::default()
        };
        for head in self.reference.iter().chain(&self.candidates).filter_map(Side::head) {
            let of_window = |chunk| head.token_difference(chunk, &self.texts.window(chunk).ok()?.tokens);
            let difference = head.difference(&wanted).or_else(|| head.chunks().find_map(of_window));
            if let Some(difference) = difference {
                return Err(rejected(&format!("a store is of something else: {difference}")));
            }
        }
        Ok(())
    }

    fn opened(&self) -> Opened {
        let sides = || self.reference.iter().chain(&self.candidates);
        let all = self.texts.count();
        // Windows that every store has, and the text too.
        let stored = sides().filter_map(Side::stored);
        let stored = stored.reduce(|one, other| [one[0].max(other[0]), one[1].min(other[1])]);
        let start = self.tokenizer.and_then(Model::start_token);
        Opened {
            vocabulary: self.vocabulary,
            start: start.or_else(|| sides().filter_map(Side::head).find_map(|head| head.start_token)),
            texts: self.texts.sizes(),
            stored: stored.map(|[start, end]| [start, end.min(all)]),
            recorded: self.record.as_ref().map(Record::done).unwrap_or_default(),
        }
    }

    fn finish_recording(&mut self) -> Result<(), NativeError> {
        match self.record.take() {
            Some(record) => record.finish(),
            None => Err(rejected("nothing is recorded")),
        }
    }

    fn score(
        &mut self,
        chunk: u32,
        candidates: &[u32],
        told: &Told<'_>,
    ) -> Result<WindowScores, NativeError> {
        let window = self.texts.window(chunk)?;
        let started = Instant::now();
        let mut scores = self.describe(chunk, &window);
        scores.reference = self.reference.is_some().then(TokenScores::default);
        scores.candidates = candidates.iter().map(|number| (*number, TokenScores::default())).collect();
        self.reference.iter_mut().for_each(Side::begin);
        for candidate in candidates {
            chosen(&mut self.candidates, *candidate)?.begin();
        }
        let end = window.tokens.len();
        for from in (0..end).step_by(self.shape.batch as usize) {
            let to = end.min(from + self.shape.batch as usize);
            let seconds = self.batch(&window, from..to, &mut scores, told)?;
            scores.scoring += seconds;
        }
        scores.forward = started.elapsed().as_secs_f64() - scores.scoring;
        scores.peak_memory = usage::now().peak_memory;
        Ok(scores)
    }

    /// All that is known of a window before anything is read.
    fn describe(&self, chunk: u32, window: &Window) -> WindowScores {
        let piece = |token: &i32| self.tokenizer.map_or_else(Vec::new, |model| model.piece(*token));
        let pieces: Vec<Vec<u8>> = window.tokens.iter().map(piece).collect();
        let targets = pieces.get(window.first as usize + 1..).unwrap_or_default();
        WindowScores {
            chunk,
            first: window.first,
            bytes: targets.iter().map(|piece| piece.len() as u32).collect(),
            pieces: pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect(),
            ..WindowScores::default()
        }
    }

    /// Reads one batch and scores its rows; gives the seconds of the scoring.
    fn batch(
        &mut self,
        window: &Window,
        positions: Range<usize>,
        scores: &mut WindowScores,
        told: &Told<'_>,
    ) -> Result<f64, NativeError> {
        let chunk = scores.chunk;
        let places = places(window, &positions);
        let targets = targets(window, &places);
        let batch = Batch { targets: &targets, threads: self.shape.threads as usize };
        let mut seconds = 0.0;
        let mut timed = Instant::now();
        let reference = match &mut self.reference {
            Some(reference) => {
                told.phase(Phase::Measure);
                reference.read(chunk, window, positions.clone())?;
                timed = Instant::now();
                let rows = reference.rows(chunk, places.clone())?;
                scores.reference.iter_mut().for_each(|own| rows::alone(&rows, batch, own));
                if let Some(record) = &mut self.record {
                    record.add(chunk, places.start, &rows, batch)?;
                }
                Some(rows)
            }
            None => None,
        };
        seconds += timed.elapsed().as_secs_f64();
        for (candidate, found) in &mut scores.candidates {
            let side = chosen(&mut self.candidates, *candidate)?;
            told.phase(Phase::Measure);
            side.read(chunk, window, positions.clone())?;
            timed = Instant::now();
            let rows = side.rows(chunk, places.clone())?;
            match &reference {
                None => rows::alone(&rows, batch, found),
                Some(reference) => rows::compared(reference, &rows, batch, found)?,
            }
            seconds += timed.elapsed().as_secs_f64();
        }
        Ok(seconds)
    }
}

fn rejected(text: &str) -> NativeError {
    NativeError::Rejected(text.to_string())
}

/// The places of the scored positions of a batch among all scored positions of its window.
fn places(window: &Window, positions: &Range<usize>) -> Range<usize> {
    let scored = window.scored();
    let from = positions.start.clamp(scored.start, scored.end.max(scored.start));
    let to = positions.end.min(scored.end).max(from);
    from - scored.start..to - scored.start
}

/// What these scored positions are scored by.
fn targets(window: &Window, places: &Range<usize>) -> Vec<u32> {
    let first = window.first as usize;
    let target = |place| window.target(first + place).and_then(|token| u32::try_from(token).ok());
    places.clone().map(|place| target(place).unwrap_or(u32::MAX)).collect()
}

fn chosen<'a, 'model>(
    sides: &'a mut [Side<'model>],
    candidate: u32,
) -> Result<&'a mut Side<'model>, NativeError> {
    let there = sides.len();
    let missing = || rejected(&format!("no candidate {candidate}: there are {there}"));
    sides.get_mut(candidate as usize).ok_or_else(missing)
}
