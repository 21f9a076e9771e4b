//! Keeps the rows of a reference in a store, window by window.

use super::rows::Batch;
use super::side::{Rows, refused};
use super::texts::Texts;
#[cfg(feature = "hdf5")]
use gguflab_data::logits::hdf5::{Hdf5Recording, Precision};
use gguflab_data::logits::{
    LlamaRecording, LlamaRow, Recording, STORE_FORMAT, Sketching, StoreHead, StoredModel,
};
use gguflab_native::{ENGINE, NativeError};
use gguflab_stats::score::llama::{self, Encoded};
use gguflab_stats::sketch::{self, Size};
use gguflab_types::evaluation::{Evaluation, RecordingOrder, SketchRow, StoreForm};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A store that is written.
pub(super) struct Record {
    store: Store,
    done: Vec<u32>,
}

enum Store {
    Sketch {
        recording: Box<Recording>,
        size: Size,
        seed: u64,
    },
    Llama(Box<LlamaRecording>),
    #[cfg(feature = "hdf5")]
    Hdf5(Box<Hdf5Recording>),
}

impl Record {
    /// Begins a store, or goes on with one that was begun.
    pub(super) fn begin(
        order: &RecordingOrder,
        evaluation: &Evaluation,
        texts: &Texts,
        vocabulary: u32,
    ) -> Result<Record, NativeError> {
        let head = head(order, evaluation, texts, vocabulary)?;
        let (store, done) = match order.form {
            StoreForm::Sketch { head: likeliest, tail } => {
                let (recording, done) = Recording::begin_or_resume(&order.path, &head).map_err(refused)?;
                let size = Size { head: likeliest as usize, tail: tail as usize };
                (Store::Sketch { recording: Box::new(recording), size, seed: order.seed }, done)
            }
            StoreForm::Llama => {
                let (recording, done) =
                    LlamaRecording::begin_or_resume(&order.path, &head).map_err(refused)?;
                (Store::Llama(Box::new(recording)), done)
            }
            #[cfg(feature = "hdf5")]
            StoreForm::Hdf5 { half } => {
                let precision = if half { Precision::Half } else { Precision::Single };
                let begun = Hdf5Recording::begin_or_resume(&order.path, &head, precision);
                let (recording, done) = begun.map_err(refused)?;
                (Store::Hdf5(Box::new(recording)), done)
            }
            #[cfg(not(feature = "hdf5"))]
            StoreForm::Hdf5 { .. } => {
                let text = "this worker cannot write HDF5: build it with `--features hdf5`";
                return Err(NativeError::Rejected(text.to_string()));
            }
        };
        Ok(Record { store, done: done.into_iter().collect() })
    }

    /// Windows that are in it already.
    pub(super) fn done(&self) -> Vec<u32> {
        self.done.clone()
    }

    /// Adds the rows of a batch; `first` is the place of the first of them among the scored positions of its window.
    pub(super) fn add(
        &mut self,
        chunk: u32,
        first: usize,
        rows: &Rows<'_>,
        batch: Batch<'_>,
    ) -> Result<(), NativeError> {
        let Rows::Logits(logits) = rows else {
            return Err(NativeError::Rejected("a store is recorded from a model".to_string()));
        };
        if batch.targets.is_empty() || self.done.contains(&chunk) {
            return Ok(());
        }
        match &mut self.store {
            Store::Sketch { recording, size, seed } => {
                let (size, seed) = (*size, *seed);
                let sketched: Vec<SketchRow> = batch.each(&|index, token| {
                    let mut random = draws(seed, chunk, first + index);
                    let row = sketch::sketch(logits.row(index), token, size, &mut random);
                    // Logits that are no numbers are kept as such.
                    row.unwrap_or(SketchRow { nll: f64::NAN, ..SketchRow::default() })
                });
                recording.append(chunk, &sketched).map_err(refused)
            }
            Store::Llama(recording) => {
                let encoded = batch.each(&|index, _| llama::encode(logits.row(index)));
                let rows: Option<Vec<LlamaRow<'_>>> =
                    encoded.iter().map(|row| row.as_ref().map(as_stored)).collect();
                let rows = rows.ok_or_else(|| {
                    let text =
                        format!("window {chunk} has logits that are no numbers, which this form cannot keep");
                    NativeError::Rejected(text)
                })?;
                recording.append(chunk, &rows).map_err(refused)
            }
            #[cfg(feature = "hdf5")]
            Store::Hdf5(recording) => {
                let rows = batch.each(&|index, _| logits.row(index).to_vec()).concat();
                recording.append(chunk, &rows).map_err(refused)
            }
        }
    }

    /// Puts the store in its place.
    pub(super) fn finish(self) -> Result<(), NativeError> {
        match self.store {
            Store::Sketch { recording, .. } => recording.finish().map_err(refused),
            Store::Llama(recording) => recording.finish().map_err(refused),
            #[cfg(feature = "hdf5")]
            Store::Hdf5(recording) => recording.finish().map_err(refused),
        }
    }
}

fn as_stored(row: &Encoded) -> LlamaRow<'_> {
    LlamaRow { scale: row.scale, min_log_prob: row.lowest, values: &row.steps }
}

/// A generator for each row, so that rows do not depend on the order in which they are recorded.
fn draws(seed: u64, chunk: u32, place: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((u64::from(chunk) << 32) | place as u64);
    random
}

fn head(
    order: &RecordingOrder,
    evaluation: &Evaluation,
    texts: &Texts,
    vocabulary: u32,
) -> Result<StoreHead, NativeError> {
    let all = texts.count();
    let [first, end] = order.chunks.unwrap_or([0, all]);
    let tokens = (first..end.min(all)).map(|chunk| Ok(texts.window(chunk)?.tokens));
    let sketch = match order.form {
        StoreForm::Sketch { head, tail } => Some(Sketching { head, tail, seed: order.seed }),
        StoreForm::Llama | StoreForm::Hdf5 { .. } => None,
    };
    let [name, fingerprint] = order.model.clone();
    Ok(StoreHead {
        format: STORE_FORMAT,
        model: Some(StoredModel { name, fingerprint }),
        tokenizer: Some(order.tokenizer.clone()),
        text: Some(order.text.clone()),
        windowing: evaluation.windowing.clone(),
        start_token: texts.start(),
        vocabulary,
        sketch,
        engine: Some(ENGINE.to_string()),
        text_chunks: all,
        first_chunk: first,
        tokens: tokens.collect::<Result<_, NativeError>>()?,
    })
}
