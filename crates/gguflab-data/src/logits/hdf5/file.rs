//! Reads a file of `generate_logits.py`, from there or from here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gguflab_types::evaluation::{WindowRule, Windowing};
use half::f16;
use hdf5_pure::{AttrValue, Dataset, Datatype, DatatypeByteOrder, File, Layout};

use super::layout::{FORMAT, Precision, Sizes};
use crate::error::DataError;
use crate::limits;
use crate::logits::head::{STORE_FORMAT, StoreHead};
use crate::logits::slots::told_beside;
use crate::logits::{broken, unusable};

/// A file of logits of every position.
pub struct Hdf5File {
    path: PathBuf,
    file: fs::File,
    logits: Dataset,
    head: StoreHead,
    sizes: Sizes,
    /// Place of each stored chunk within the data set.
    slots: BTreeMap<u32, u64>,
    pieces: Pieces,
    /// The last chunk that had to be unpacked whole.
    unpacked: Option<(u64, Vec<u8>)>,
}

/// How the logits lie.
enum Pieces {
    /// In one piece, from this byte on.
    Whole(u64),
    /// Each piece that begins at this place and row at this byte, with this many rows.
    Cut { addresses: BTreeMap<(u64, u64), u64>, rows: u64 },
    /// Compressed.
    Packed,
}

impl std::fmt::Debug for Hdf5File {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hdf5File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Hdf5File {
    /// Opens a file and finds its chunks.
    ///
    /// # Errors
    /// When it cannot be read, is cut, or is not one of `generate_logits.py`.
    pub fn open(path: &Path) -> Result<Hdf5File, DataError> {
        let file = fs::File::open(path).map_err(|cause| broken("read", path, cause))?;
        let length = file.metadata().map_err(|cause| broken("read", path, cause))?.len();
        let found = Found::read(path, length).map_err(|reason| unusable(path, reason))?;
        let head = told_beside(path, found.head(), |told, own| is_of_it(told, own, &found))?;
        // Our own recordings number chunks as the text does, and files count from 0.
        let first = head.first_chunk;
        let slots =
            found.slots.into_iter().map(|(chunk, slot)| (chunk.saturating_add(first), slot)).collect();
        let (logits, sizes, pieces) = (found.logits, found.sizes, found.pieces);
        Ok(Hdf5File { path: path.to_owned(), file, logits, head, sizes, slots, pieces, unpacked: None })
    }

    /// What the store says of itself. The format itself only tells windowing and vocabulary; the text must be given
    /// then, and is cut with the model's own start token.
    #[must_use]
    pub fn head(&self) -> &StoreHead {
        &self.head
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bits of its logits.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.sizes.precision
    }

    /// Numbers, within the text, of the chunks that are stored.
    pub fn chunks(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.keys().copied()
    }

    /// From the first to the last of them.
    #[must_use]
    pub fn range(&self) -> Range<u32> {
        let ends = self.slots.first_key_value().zip(self.slots.last_key_value());
        ends.map_or(0..0, |((first, _), (last, _))| *first..last.saturating_add(1))
    }

    /// Logits of some rows of a chunk, one row after the other, by their places among its scored positions. A row of
    /// zeros alone was never written, and is NaN here: nothing was said there.
    ///
    /// # Errors
    /// When the chunk is not stored or has no such rows, and when the file cannot be read.
    pub fn rows(&mut self, chunk: u32, rows: Range<usize>) -> Result<Vec<f32>, DataError> {
        let first = self.head.windowing.first_scored() as usize;
        let end = (self.sizes.context as usize).saturating_sub(first);
        let slot = self.slots.get(&chunk).copied().filter(|_| rows.start <= rows.end && rows.end <= end);
        let Some(slot) = slot else {
            let (first, end) = (rows.start, rows.end);
            return Err(unusable(&self.path, format!("it has no rows {first} to {end} of chunk {chunk}")));
        };
        let bytes = self.bytes(slot, (rows.start + first) as u64..(rows.end + first) as u64)?;
        let mut logits: Vec<f32> = match self.sizes.precision {
            Precision::Single => {
                bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }
            Precision::Half => {
                bytes.as_chunks::<2>().0.iter().map(|two| f16::from_le_bytes(*two).to_f32()).collect()
            }
        };
        for row in logits.chunks_mut(self.sizes.vocabulary as usize) {
            if row.iter().all(|logit| *logit == 0.0) {
                row.fill(f32::NAN);
            }
        }
        Ok(logits)
    }

    fn bytes(&mut self, slot: u64, rows: Range<u64>) -> Result<Vec<u8>, DataError> {
        let wide = self.sizes.row_bytes();
        match &self.pieces {
            Pieces::Whole(address) => {
                let place = address + slot * self.sizes.chunk_bytes() + rows.start * wide;
                self.read(place, (rows.end - rows.start) * wide)
            }
            Pieces::Cut { addresses, rows: high } => {
                let mut bytes = Vec::new();
                for row in rows {
                    // A piece that was never written is zero.
                    let read = addresses
                        .get(&(slot, row / high * high))
                        .map(|address| self.read(address + row % high * wide, wide));
                    bytes.extend(read.unwrap_or_else(|| Ok(vec![0; wide as usize]))?);
                }
                Ok(bytes)
            }
            Pieces::Packed => {
                if self.unpacked.as_ref().is_none_or(|(unpacked, _)| *unpacked != slot) {
                    let chunk = self.logits.read_raw_rows(slot, 1);
                    let chunk =
                        chunk.map_err(|error| unusable(&self.path, format!("is damaged: {error}")))?;
                    self.unpacked = Some((slot, chunk));
                }
                let chunk = self.unpacked.as_ref().map_or(&[][..], |(_, chunk)| chunk);
                let wanted = chunk.get((rows.start * wide) as usize..(rows.end * wide) as usize);
                wanted
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| unusable(&self.path, "is damaged: a chunk is too short"))
            }
        }
    }

    fn read(&self, place: u64, length: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![0; length as usize];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut bytes));
        read.map(|()| bytes).map_err(|cause| broken("read", &self.path, cause))
    }
}

/// What is in a file.
struct Found {
    logits: Dataset,
    sizes: Sizes,
    slots: BTreeMap<u32, u64>,
    pieces: Pieces,
}

impl Found {
    fn read(path: &Path, length: u64) -> Result<Found, String> {
        let failed =
            |error: hdf5_pure::Error| format!("is no HDF5 file that can be read ({error}); record it again");
        let file = File::open_streaming(path).map_err(failed)?;
        let attributes = file.root().attrs().map_err(failed)?;
        let format = attributes.get("format").and_then(AttrValue::as_str).unwrap_or("nothing");
        if format != FORMAT {
            return Err(format!("its format is `{format}`, and only `{FORMAT}` can be read"));
        }
        let count = |name: &str, most: u32| {
            let found =
                attributes.get(name).and_then(AttrValue::as_i64).and_then(|count| u32::try_from(count).ok());
            let found = found.filter(|count| (1..=most).contains(count));
            found.ok_or_else(|| {
                format!("its `{name}` is missing or not between 1 and {most}; record it again")
            })
        };
        let logits = file.dataset("logits").map_err(failed)?;
        let sizes = Sizes {
            chunks: count("total_chunks", i32::MAX.unsigned_abs())?,
            context: count("n_ctx", limits::STORE_CONTEXT)?,
            vocabulary: count("n_vocab", limits::STORE_VOCABULARY)?,
            precision: precision(&logits.datatype().map_err(failed)?)?,
        };
        let places = places(&logits, &sizes)?;
        let pieces = pieces(&logits, &sizes, places, length)?;
        let slots = slots(&file, &sizes, places, length)?;
        Ok(Found { logits, sizes, slots, pieces })
    }

    fn head(&self) -> StoreHead {
        StoreHead {
            format: STORE_FORMAT,
            model: None,
            tokenizer: None,
            text: None,
            windowing: Windowing { rule: WindowRule::EveryPosition, context: self.sizes.context },
            start_token: None,
            vocabulary: self.sizes.vocabulary,
            sketch: None,
            engine: None,
            text_chunks: self.sizes.chunks,
            first_chunk: 0,
            tokens: Vec::new(),
        }
    }
}

fn is_of_it(told: &StoreHead, own: &StoreHead, found: &Found) -> bool {
    (told.vocabulary, told.windowing.context) == (own.vocabulary, own.windowing.context)
        && told.tokens.len() == found.sizes.chunks as usize
}

fn precision(datatype: &Datatype) -> Result<Precision, String> {
    match datatype {
        Datatype::FloatingPoint { size: 4, byte_order: DatatypeByteOrder::LittleEndian, .. } => {
            Ok(Precision::Single)
        }
        Datatype::FloatingPoint { size: 2, byte_order: DatatypeByteOrder::LittleEndian, .. } => {
            Ok(Precision::Half)
        }
        _ => Err("its logits are neither numbers of 32 nor of 16 bits; record it again".to_owned()),
    }
}

/// Places for chunks in the data set.
fn places(logits: &Dataset, sizes: &Sizes) -> Result<u64, String> {
    let shape = logits.shape().map_err(|error| format!("is damaged: {error}"))?;
    match shape.as_slice() {
        [places, context, vocabulary]
            if (*context, *vocabulary) == (u64::from(sizes.context), u64::from(sizes.vocabulary)) =>
        {
            Ok(*places)
        }
        _ => Err(format!("its logits have the shape {shape:?}, which is not what it says; record it again")),
    }
}

fn pieces(logits: &Dataset, sizes: &Sizes, places: u64, length: u64) -> Result<Pieces, String> {
    let damaged = |error: hdf5_pure::Error| format!("is damaged: {error}");
    let cut = || "is cut: its logits do not end within it; copy it again, or record it again".to_owned();
    let fits = |address: u64, bytes: u64| address.checked_add(bytes).is_some_and(|end| end <= length);
    let rows = match logits.layout().map_err(damaged)? {
        Layout::Contiguous { address: Some(address), .. } => {
            let bytes = sizes.chunk_bytes().checked_mul(places).filter(|bytes| fits(address, *bytes));
            return bytes.map(|_| Pieces::Whole(address)).ok_or_else(cut);
        }
        Layout::Chunked { chunk_shape, .. } if logits.filters().is_empty() => match chunk_shape.as_slice() {
            [1, rows, wide] if *wide == u64::from(sizes.vocabulary) => *rows,
            _ => 0,
        },
        _ => 0,
    };
    if rows == 0 {
        let most = limits::HDF5_CHUNK_BYTES;
        let small = sizes.chunk_bytes() <= most;
        return small.then_some(Pieces::Packed).ok_or_else(|| {
            format!(
                "a chunk has {} bytes unpacked, at most {most}: write it without compression",
                sizes.chunk_bytes()
            )
        });
    }
    let mut addresses = BTreeMap::new();
    for chunk in logits.chunks().map_err(damaged)? {
        let [place, row, _] = chunk.offset.as_slice() else { return Err(cut()) };
        if !fits(chunk.address, chunk.storage_size) || chunk.storage_size < rows * sizes.row_bytes() {
            return Err(cut());
        }
        addresses.insert((*place, *row), chunk.address);
    }
    Ok(Pieces::Cut { addresses, rows })
}

/// The place of every chunk that is there: processed, and its place not taken by a later one since.
fn slots(file: &File, sizes: &Sizes, places: u64, length: u64) -> Result<BTreeMap<u32, u64>, String> {
    let damaged = |error: hdf5_pure::Error| format!("is damaged: {error}");
    let set = |name: &str, bytes: u64| {
        let set = file.dataset(name).map_err(damaged)?;
        let shape = set.shape().map_err(damaged)?;
        let fits = matches!(shape.as_slice(), [count] if count.saturating_mul(bytes) <= length);
        fits.then_some(set).ok_or_else(|| format!("is damaged: `{name}` has the shape {shape:?}"))
    };
    let index = set("chunk_index", 8)?.read_i64().map_err(damaged)?;
    let processed = set("processed_chunks", 1)?.read_raw().map_err(damaged)?;
    let freed = set("freed_chunks", 8)?.read_i64().map_err(damaged)?;
    let mut owners: BTreeMap<u64, u32> = BTreeMap::new();
    for (chunk, (place, processed)) in (0..sizes.chunks).zip(index.iter().zip(&processed)) {
        let place = u64::try_from(*place).ok().filter(|place| *place < places);
        if let (Some(place), 1..) = (place, *processed) {
            owners.insert(place, chunk);
        }
    }
    owners.retain(|_, chunk| !freed.contains(&i64::from(*chunk)));
    Ok(owners.into_iter().map(|(place, chunk)| (chunk, place)).collect())
}
