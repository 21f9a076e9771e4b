//! Faster, but still right? The logits of the same tokens from two subjects, held against each other.
//!
//! The bar is the reference's own: it reads the same tokens a second time in batches of another size, which changes the
//! order of additions and nothing else. [`Reference`] keeps both readings, so that many candidates can be held against
//! them; [`check`] is the whole for two sides that are not open yet.

mod document;
mod file;
mod judgement;
#[cfg(test)]
mod tests;

pub use document::document;
pub(crate) use document::verdict_cell;
pub use judgement::{Drift, DriftVerdict, Evidence, MAXIMUM_BOUND, MAXIMUM_FACTOR, MEAN_BOUND, MEAN_FACTOR};

use crate::laboratory::{Laboratory, LaboratoryError, Parts};
use file::{Logits, Scratch, divergence};
use gguflab_engine::{Control, EngineSpecification, Stop};
use gguflab_stats::Divergence;
use gguflab_types::outputs::Reading;
use gguflab_types::{Configuration, Deadlines, Ending, Job, Outcome, Protocol, Request, Value, Workload};
use std::path::Path;

/// Passages that are read, from different places of the text.
const PASSAGES: u32 = 4;
/// Tokens of a passage.
const LENGTH: u32 = 128;
/// Tokens at its end that are decoded one at a time: generation has kernels of its own.
const STEPS: u32 = 32;
/// Of the tokens that are read in batches every third is kept: no size of a tile divides by three, so every place of a
/// tile is seen.
const STRIDE: u32 = 3;
/// A server tells what follows the last token of a request only, so that each place costs a request that reads all before
/// it: of the tokens in batches every fifth is kept there, from the first on that does not fit into a third of the passage
/// (so that the floor's batches differ from its own), and of the others every fourth.
const SERVER_STRIDES: [u32; 2] = [5, 4];

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The engine.
    pub engine: &'a EngineSpecification,
    /// Its configuration.
    pub configuration: &'a Configuration,
}

/// Holds the outputs of `candidate` against those of `reference`, both with the same model. `folder` takes files of up to
/// a few hundred megabytes meanwhile.
///
/// # Errors
/// When a side cannot be opened. An engine that shows no logits is a [`DriftVerdict::Unchecked`].
pub fn check(
    model: &Path,
    reference: Side<'_>,
    candidate: Side<'_>,
    folder: &Path,
    stop: &Stop,
) -> Result<Drift, LaboratoryError> {
    let workload = workload();
    let open =
        |engine| Laboratory::prepare(&Parts { model: Some(model), engine, workload: &workload, cache: None });
    let known = Reference::read(&mut open(reference.engine)?, reference.configuration, folder, stop);
    match known {
        Err(unread) => Ok(Drift::unchecked(unread.reason())),
        Ok(known) => Ok(known.check(&mut open(candidate.engine)?, candidate.configuration, stop)),
    }
}

/// Why outputs cannot be held against each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Unread {
    /// The engine shows none, or they cannot be kept.
    Unavailable(String),
    /// The engine ended otherwise than by saying no; the user's stop is such an ending too.
    Ended(Ending),
    /// They are not of the same tokens.
    Other(String),
}

impl Unread {
    /// In words.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Unread::Unavailable(reason) | Unread::Other(reason) => reason,
            Unread::Ended(ending) => &ending.cause,
        }
    }
}

/// What a reference says, and how far it is from itself.
pub struct Reference {
    logits: Logits,
    /// What was read, by the reference and by all that are held against it.
    reading: Reading,
    /// How far changing only the size of its batches takes it.
    floor: Divergence,
    scratch: Scratch,
}

impl Reference {
    /// Reads the tokens twice; the files lie in a folder of their own in `folder` until this is dropped.
    ///
    /// # Errors
    /// Why its outputs cannot be had.
    pub fn read(
        laboratory: &mut Laboratory,
        configuration: &Configuration,
        folder: &Path,
        stop: &Stop,
    ) -> Result<Reference, Unread> {
        let scratch = Scratch::new(folder).map_err(Unread::Unavailable)?;
        let positions = if laboratory.facts.serves { positions_of_server() } else { positions() };
        let reading = Reading { passages: PASSAGES, length: LENGTH, steps: STEPS, positions };
        let logits = capture(laboratory, configuration, &reading, &scratch.file("reference"), stop)?;
        let (other, batched) = (other_batches(configuration), Reading { steps: 0, ..reading.clone() });
        let again = capture(laboratory, &other, &batched, &scratch.file("floor"), stop)?;
        // What is read next may need the memory of the same GPU.
        laboratory.release();
        let floor = divergence(&logits, &again)?;
        again.remove();
        Ok(Reference { logits, reading, floor, scratch })
    }

    /// Holds a candidate against it. One that makes other tokens of the same text, or whose engine ends where the reference's
    /// does not, has drifted.
    pub fn check(&self, laboratory: &mut Laboratory, configuration: &Configuration, stop: &Stop) -> Drift {
        let file = self.scratch.file("candidate");
        let found = capture(laboratory, configuration, &self.reading, &file, stop).and_then(|logits| {
            let found = divergence(&self.logits, &logits);
            logits.remove();
            found
        });
        laboratory.release();
        match found {
            Ok(divergence) => Drift::judge(Evidence { divergence, floor: self.floor }),
            Err(unread) => Drift::without_numbers(&unread),
        }
    }
}

/// The room that a reading needs, for whoever opens a laboratory for nothing else.
fn workload() -> Workload {
    Workload::single("read", Request::all_logits(LENGTH))
}

fn positions() -> Vec<u32> {
    let batched = (0..LENGTH - STEPS).filter(|position| position % STRIDE == STRIDE - 1);
    batched.chain(LENGTH - STEPS..LENGTH).collect()
}

fn positions_of_server() -> Vec<u32> {
    let [batched, single] = SERVER_STRIDES.map(|stride| stride as usize);
    let batched = (LENGTH / 3 + 2..LENGTH - STEPS).step_by(batched);
    batched.chain((LENGTH - STEPS..LENGTH).step_by(single)).collect()
}

/// The same configuration with physical batches of an odd size that is about a third, or with larger ones where they are
/// tiny already.
fn other_batches(configuration: &Configuration) -> Configuration {
    let length = i64::from(LENGTH);
    let size = |name: &str| configuration.integer(name).unwrap_or(length);
    let ubatch = size("ubatch").min(size("batch")).min(length);
    match ubatch {
        4.. => configuration.clone().with("ubatch", Value::Integer((ubatch / 3) | 1)),
        _ => ["batch", "ubatch"]
            .iter()
            .fold(configuration.clone(), |made, name| made.with(name, Value::Integer(length))),
    }
}

fn capture(
    laboratory: &mut Laboratory,
    configuration: &Configuration,
    reading: &Reading,
    file: &Path,
    stop: &Stop,
) -> Result<Logits, Unread> {
    // Whoever measures on this machine is not disturbed by it.
    let Some(_turn) = laboratory.take_turn(stop, &mut || {}) else {
        return Err(Unread::Ended(Ending::new(Outcome::Cancelled, "stopped by the user")));
    };
    let job = Job {
        workload: workload(),
        ..laboratory.job(configuration, &Protocol::default(), Deadlines::default())
    };
    let ending = laboratory.engine.read(&job, reading, file, stop, &mut |_| Control::Continue);
    match ending.outcome {
        Outcome::Measured => Logits::open(file, reading.rows()).map_err(Unread::Unavailable),
        Outcome::Rejected => Err(Unread::Unavailable(ending.cause)),
        _ => Err(Unread::Ended(ending)),
    }
}
