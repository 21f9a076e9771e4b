//! Writes a sketch store: Parquet with zstd, a row for each scored position, a group of rows for each chunk.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gguflab_types::evaluation::SketchRow;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{DataType, DoubleType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};

use super::head::StoreHead;
use super::{broken, unusable};
use crate::error::DataError;
use crate::limits;

/// Key of the head, as JSON, in the file's metadata.
pub(super) const HEAD_KEY: &str = "gguflab.head";
/// Key of the list of [`Group`]s, as JSON.
pub(super) const GROUPS_KEY: &str = "gguflab.row_groups";
/// Key of the CRC-32 of both, as a number.
pub(super) const CHECKSUM_KEY: &str = "gguflab.checksum";

/// Level of compression. What is random in the data does not shrink at any level.
const ZSTD_LEVEL: i32 = 5;

const SCHEMA: &str = "message sketch {
  REQUIRED INT32 chunk (INTEGER(32, false));
  REQUIRED INT32 position (INTEGER(32, false));
  REQUIRED DOUBLE nll;
  REQUIRED DOUBLE tail_mass;
  REQUIRED GROUP head_tokens (LIST) { REPEATED GROUP list { REQUIRED INT32 element (INTEGER(32, false)); } }
  REQUIRED GROUP head_log_probability (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
  REQUIRED GROUP tail_tokens (LIST) { REPEATED GROUP list { REQUIRED INT32 element (INTEGER(32, false)); } }
  REQUIRED GROUP tail_log_probability (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
}";

/// Where a group of rows lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// The chunk whose rows they are.
    pub(super) chunk: u32,
    /// Number of rows.
    pub(super) rows: u32,
    /// First byte.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) bytes: u64,
    /// CRC-32 of these bytes.
    pub(super) checksum: u32,
}

/// A store that is being written.
pub(super) struct SketchWriter {
    path: PathBuf,
    head: StoreHead,
    writer: SerializedFileWriter<Summing>,
    groups: Vec<Group>,
    chunk: u32,
    /// Rows of the chunk that are in groups.
    written: usize,
    waiting: Vec<SketchRow>,
}

impl SketchWriter {
    pub(super) fn create(path: &Path, head: &StoreHead) -> Result<SketchWriter, DataError> {
        let file = File::create(path).map_err(|cause| broken("write", path, cause))?;
        let summing = Summing { file, checksum: crc32fast::Hasher::new() };
        let writer = schema()
            .and_then(|schema| SerializedFileWriter::new(summing, Arc::new(schema), Arc::new(properties()?)));
        let writer = writer.map_err(|error| failed(path, error))?;
        let (path, head) = (path.to_owned(), head.clone());
        Ok(SketchWriter { path, head, writer, groups: Vec::new(), chunk: 0, written: 0, waiting: Vec::new() })
    }

    /// Appends rows of a chunk, after those of the chunks before it.
    pub(super) fn append(&mut self, chunk: u32, rows: &[SketchRow]) -> Result<(), DataError> {
        self.chunk = chunk;
        for row in rows {
            self.waiting.push(row.clone());
            if self.waiting.len() == limits::SKETCH_BLOCK_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends a chunk: the next begins a new group of rows.
    pub(super) fn end_chunk(&mut self) -> Result<(), DataError> {
        self.flush()?;
        self.written = 0;
        Ok(())
    }

    /// Writes the footer; the file is whole then.
    pub(super) fn finish(mut self) -> Result<(), DataError> {
        let json = |value: Result<String, serde_json::Error>| {
            value.map_err(|cause| unusable(&self.path, cause.to_string()))
        };
        let (head, groups) =
            (json(serde_json::to_string(&self.head))?, json(serde_json::to_string(&self.groups))?);
        let checksum = metadata_checksum(&head, &groups);
        for (key, value) in [(HEAD_KEY, head), (GROUPS_KEY, groups), (CHECKSUM_KEY, checksum)] {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        let summing = self.writer.into_inner().map_err(|error| failed(&self.path, error))?;
        summing.file.sync_all().map_err(|cause| broken("write", &self.path, cause))
    }

    fn flush(&mut self) -> Result<(), DataError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let position = self.head.windowing.first_scored() as usize + self.written;
        let group = self.write_group(&rows, position).map_err(|error| failed(&self.path, error))?;
        self.groups.push(group);
        self.written += rows.len();
        Ok(())
    }

    fn write_group(&mut self, rows: &[SketchRow], position: usize) -> Result<Group, ParquetError> {
        self.writer.flush()?;
        let offset = self.writer.bytes_written() as u64;
        self.writer.inner_mut().checksum.reset();
        let mut group = self.writer.next_row_group()?;
        write_columns(&mut group, self.chunk, position, rows)?;
        group.close()?;
        self.writer.flush()?;
        let bytes = self.writer.bytes_written() as u64 - offset;
        let checksum = self.writer.inner().checksum.clone().finalize();
        let rows = u32::try_from(rows.len()).map_err(|cause| ParquetError::External(Box::new(cause)))?;
        Ok(Group { chunk: self.chunk, rows, offset, bytes, checksum })
    }
}

/// The checksum of the file's own metadata.
pub(super) fn metadata_checksum(head: &str, groups: &str) -> String {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(head.as_bytes());
    checksum.update(groups.as_bytes());
    checksum.finalize().to_string()
}

/// The columns of a sketch store.
pub(super) fn schema() -> Result<Type, ParquetError> {
    parse_message_type(SCHEMA)
}

fn properties() -> Result<WriterProperties, ParquetError> {
    // Tokens and log-probabilities do not repeat, so dictionaries only cost. Their first bytes are alike, so they
    // compress when the first, second … bytes of all values stand together.
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_encoding(Encoding::BYTE_STREAM_SPLIT);
    for column in ["chunk", "position"] {
        properties = properties.set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

fn write_columns(
    group: &mut SerializedRowGroupWriter<'_, Summing>,
    chunk: u32,
    position: usize,
    rows: &[SketchRow],
) -> Result<(), ParquetError> {
    let chunks = vec![chunk.cast_signed(); rows.len()];
    let positions: Vec<i32> = (position..position + rows.len()).map(|position| position as i32).collect();
    write::<Int32Type>(group, &chunks, None)?;
    write::<Int32Type>(group, &positions, None)?;
    write::<DoubleType>(group, &rows.iter().map(|row| row.nll).collect::<Vec<f64>>(), None)?;
    write::<DoubleType>(group, &rows.iter().map(|row| row.tail_mass).collect::<Vec<f64>>(), None)?;
    write_tokens(group, rows, |row| &row.head)?;
    write_values(group, rows, |row| &row.head_log_probability)?;
    write_tokens(group, rows, |row| &row.tail)?;
    write_values(group, rows, |row| &row.tail_log_probability)
}

fn write_tokens(
    group: &mut SerializedRowGroupWriter<'_, Summing>,
    rows: &[SketchRow],
    tokens: impl Fn(&SketchRow) -> &Vec<u32>,
) -> Result<(), ParquetError> {
    let all: Vec<i32> =
        rows.iter().flat_map(|row| tokens(row).iter().map(|token| token.cast_signed())).collect();
    write::<Int32Type>(group, &all, Some(&levels(rows.iter().map(|row| tokens(row).len()))))
}

fn write_values(
    group: &mut SerializedRowGroupWriter<'_, Summing>,
    rows: &[SketchRow],
    values: impl Fn(&SketchRow) -> &Vec<f32>,
) -> Result<(), ParquetError> {
    let all: Vec<f32> = rows.iter().flat_map(|row| values(row).iter().copied()).collect();
    write::<FloatType>(group, &all, Some(&levels(rows.iter().map(|row| values(row).len()))))
}

/// Definition and repetition levels of lists of these lengths: Parquet's way to say where lists begin and which are
/// empty.
fn levels(lengths: impl Iterator<Item = usize>) -> (Vec<i16>, Vec<i16>) {
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for length in lengths {
        definition.extend(std::iter::repeat_n(i16::from(length > 0), length.max(1)));
        repetition.push(0);
        repetition.extend(std::iter::repeat_n(1, length.saturating_sub(1)));
    }
    (definition, repetition)
}

fn write<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Summing>,
    values: &[T::T],
    levels: Option<&(Vec<i16>, Vec<i16>)>,
) -> Result<(), ParquetError> {
    let column = group.next_column()?;
    let mut column =
        column.ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))?;
    let (definition, repetition) = levels.map(|(one, other)| (one.as_slice(), other.as_slice())).unzip();
    column.typed::<T>().write_batch(values, definition, repetition)?;
    column.close()
}

fn failed(path: &Path, error: ParquetError) -> DataError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => broken("write", path, *cause),
            Err(cause) => unusable(path, format!("cannot be written: {cause}")),
        },
        error => unusable(path, format!("cannot be written: {error}")),
    }
}

/// A file that knows the checksum of what was written since it was last reset.
struct Summing {
    file: File,
    checksum: crc32fast::Hasher,
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.checksum.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
