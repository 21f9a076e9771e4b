//! Where the rows of one side come from: a model that reads, or a file of what one said.

use super::{Models, Shape};
use gguflab_data::DataError;
use gguflab_data::logits::{LlamaFile, LogitStore, SketchFile, StoreHead};
use gguflab_native::context::BatchToken;
use gguflab_native::{Context, ContextSettings, NativeError};
use gguflab_stats::score::llama::Encoded;
use gguflab_types::Configuration;
use gguflab_types::evaluation::{SketchRow, Source, Window};
use std::ops::Range;
use std::path::Path;

/// One side.
pub(super) enum Side<'model> {
    Model(Reader<'model>),
    Sketch(Sketches),
    Llama(LlamaFile),
    #[cfg(feature = "hdf5")]
    Hdf5(Whole),
}

/// Rows of one batch, of at least as many positions as are scored.
pub(super) enum Rows<'a> {
    /// Logits, one row after the other.
    Logits(Logits<'a>),
    /// What was kept of each row.
    Sketches(&'a [SketchRow]),
    /// Every token with 16 bits; `None` for a row that is no numbers.
    Encoded(Vec<Option<Encoded>>),
}

/// Rows of logits one after the other.
#[derive(Clone, Copy)]
pub(super) struct Logits<'a> {
    values: &'a [f32],
    /// Tokens of the vocabulary.
    width: usize,
}

impl<'a> Logits<'a> {
    /// A row; empty past the last.
    pub(super) fn row(self, index: usize) -> &'a [f32] {
        self.values.get(index * self.width..(index + 1) * self.width).unwrap_or_default()
    }
}

/// A sketch file with the rows of the window that is scored now.
pub(super) struct Sketches {
    file: SketchFile,
    chunk: Option<u32>,
    rows: Vec<SketchRow>,
}

/// A file of logits with the rows of the batch that is scored now.
#[cfg(feature = "hdf5")]
pub(super) struct Whole {
    file: Box<gguflab_data::logits::hdf5::Hdf5File>,
    rows: Vec<f32>,
}

impl<'model> Side<'model> {
    pub(super) fn open(
        models: &'model Models,
        source: &Source,
        shape: Shape,
    ) -> Result<Side<'model>, NativeError> {
        match source {
            Source::Model { path, configuration } => {
                Ok(Side::Model(Reader::new(models, path, configuration, shape)?))
            }
            Source::Store { path } => match LogitStore::open(path).map_err(refused)? {
                LogitStore::Sketch(file) => {
                    Ok(Side::Sketch(Sketches { file, chunk: None, rows: Vec::new() }))
                }
                LogitStore::Llama(file) => Ok(Side::Llama(file)),
                #[cfg(feature = "hdf5")]
                LogitStore::Hdf5(file) => Ok(Side::Hdf5(Whole { file, rows: Vec::new() })),
                _ => Err(NativeError::Rejected(format!("this worker cannot read {}", path.display()))),
            },
        }
    }

    /// What a store says of itself.
    pub(super) fn head(&self) -> Option<&StoreHead> {
        match self {
            Side::Model(_) => None,
            Side::Sketch(sketches) => Some(sketches.file.head()),
            Side::Llama(file) => Some(file.head()),
            #[cfg(feature = "hdf5")]
            Side::Hdf5(whole) => Some(whole.file.head()),
        }
    }

    /// First and end of the windows that a store has.
    pub(super) fn stored(&self) -> Option<[u32; 2]> {
        let chunks = match self {
            #[cfg(feature = "hdf5")]
            Side::Hdf5(whole) => whole.file.range(),
            side => side.head()?.chunks(),
        };
        Some([chunks.start, chunks.end])
    }

    /// Makes ready for a window from its beginning.
    pub(super) fn begin(&mut self) {
        if let Side::Model(reader) = self {
            reader.context.forget_all();
        }
    }

    /// Reads one batch of a window; a store has nothing to read for positions that are not scored.
    pub(super) fn read(
        &mut self,
        chunk: u32,
        window: &Window,
        positions: Range<usize>,
    ) -> Result<(), NativeError> {
        match self {
            Side::Model(reader) => reader.read(window, positions),
            Side::Sketch(sketches) if sketches.chunk != Some(chunk) => {
                sketches.rows = sketches.file.chunk(chunk).map_err(refused)?;
                sketches.chunk = Some(chunk);
                Ok(())
            }
            Side::Sketch(_) | Side::Llama(_) => Ok(()),
            #[cfg(feature = "hdf5")]
            Side::Hdf5(_) => Ok(()),
        }
    }

    /// The rows of the scored positions among those that were read last: the places that they have among all scored
    /// positions of the window.
    pub(super) fn rows(&mut self, chunk: u32, places: Range<usize>) -> Result<Rows<'_>, NativeError> {
        match self {
            Side::Model(reader) => {
                let width = reader.width;
                Ok(Rows::Logits(Logits { width, values: reader.context.all_logits()? }))
            }
            Side::Sketch(sketches) => Ok(Rows::Sketches(sketches.rows.get(places).unwrap_or_default())),
            Side::Llama(file) => {
                let count = places.len();
                let block = file.rows(chunk, places).map_err(refused)?;
                let encoded = |index| {
                    let row = block.row(index)?;
                    Some(Encoded { scale: row.scale, lowest: row.min_log_prob, steps: row.values.to_vec() })
                };
                Ok(Rows::Encoded((0..count).map(encoded).collect()))
            }
            #[cfg(feature = "hdf5")]
            Side::Hdf5(whole) => {
                whole.rows = whole.file.rows(chunk, places).map_err(refused)?;
                let width = whole.file.head().vocabulary as usize;
                Ok(Rows::Logits(Logits { width, values: &whole.rows }))
            }
        }
    }
}

/// A store that cannot be used is refused by its own name.
pub(super) fn refused(error: DataError) -> NativeError {
    NativeError::Rejected(error.to_string())
}

/// A model that reads.
pub(super) struct Reader<'model> {
    context: Context<'model>,
    /// Tokens of the vocabulary.
    width: usize,
}

impl<'model> Reader<'model> {
    fn new(
        models: &'model Models,
        path: &Path,
        configuration: &Configuration,
        shape: Shape,
    ) -> Result<Reader<'model>, NativeError> {
        let model = models.of(path, configuration)?;
        let settings = ContextSettings {
            tokens_per_sequence: shape.context,
            sequences: 1,
            batch: Some(shape.batch),
            ubatch: Some(shape.batch),
            ..ContextSettings::from_configuration(configuration, shape.threads)
        };
        let width = model.vocabulary_size() as usize;
        Ok(Reader { context: Context::new(model, &settings)?, width })
    }

    /// Reads the tokens of a window at these positions, with logits of those from its first scored position on.
    fn read(&mut self, window: &Window, positions: Range<usize>) -> Result<(), NativeError> {
        let batch: Vec<BatchToken> = positions
            .map(|position| BatchToken {
                token: window.tokens.get(position).copied().unwrap_or(-1),
                position: i32::try_from(position).unwrap_or(i32::MAX),
                sequence: 0,
                // The last position is not scored, and llama-perplexity asks for it all the same.
                output: position >= window.first as usize,
            })
            .collect();
        self.context.decode(&batch)
    }
}
