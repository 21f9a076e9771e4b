//! Reads a sketch store, one group of rows at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use gguflab_types::evaluation::SketchRow;
use parquet::basic::Type as Physical;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{DataType, DoubleType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::SchemaDescriptor;

use super::head::StoreHead;
use super::rows::check_rows;
use super::sketch_writer::{CHECKSUM_KEY, GROUPS_KEY, Group, HEAD_KEY, metadata_checksum, schema};
use super::{broken, unusable};
use crate::error::DataError;
use crate::limits;

/// Bytes of a group of rows that are not entries: page heads, levels, scores.
const GROUP_OVERHEAD: u64 = 1 << 16;

/// A finished sketch store.
pub struct SketchFile {
    path: PathBuf,
    file: File,
    reader: SerializedFileReader<File>,
    head: StoreHead,
    groups: Vec<Group>,
}

impl std::fmt::Debug for SketchFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SketchFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SketchFile {
    /// Opens a store and reads what it says of itself.
    ///
    /// # Errors
    /// When it cannot be read, is cut or damaged, or is no sketch store of a version that is known.
    pub fn open(path: &Path) -> Result<SketchFile, DataError> {
        let file = File::open(path).map_err(|cause| broken("read", path, cause))?;
        let length = file.metadata().map_err(|cause| broken("read", path, cause))?.len();
        let copy = file.try_clone().map_err(|cause| broken("read", path, cause))?;
        let reader = footer(copy, length).map_err(|reason| unusable(path, reason))?;
        let (head, groups) = described(reader.metadata(), length).map_err(|reason| unusable(path, reason))?;
        Ok(SketchFile { path: path.to_owned(), file, reader, head, groups })
    }

    /// What the store says of itself.
    #[must_use]
    pub fn head(&self) -> &StoreHead {
        &self.head
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The rows of a chunk, block after block in the order of its scored positions. A block is read when it is asked
    /// for, and has at most [`limits::SKETCH_BLOCK_ROWS`] rows. No block where the chunk is not stored.
    pub fn blocks(&mut self, chunk: u32) -> impl Iterator<Item = Result<Vec<SketchRow>, DataError>> + '_ {
        let begin = self.groups.partition_point(|group| group.chunk < chunk);
        let end = self.groups.partition_point(|group| group.chunk <= chunk);
        let mut first = 0;
        (begin..end).map(move |index| {
            let rows = self.block(index, first)?;
            first += rows.len();
            Ok(rows)
        })
    }

    /// All rows of a chunk at once.
    ///
    /// # Errors
    /// When they cannot be read or are damaged.
    pub fn chunk(&mut self, chunk: u32) -> Result<Vec<SketchRow>, DataError> {
        let blocks: Result<Vec<Vec<SketchRow>>, DataError> = self.blocks(chunk).collect();
        Ok(blocks?.concat())
    }

    /// The rows of one group, whose first is this one of its chunk.
    fn block(&mut self, index: usize, first: usize) -> Result<Vec<SketchRow>, DataError> {
        let damaged = |reason: String| {
            unusable(&self.path, format!("its group of rows {index} is damaged ({reason}); record it again"))
        };
        let group = *self.groups.get(index).ok_or_else(|| damaged("missing".to_owned()))?;
        self.verify(&group)?;
        let position = first + self.head.windowing.first_scored() as usize;
        let rows =
            self.reader.get_row_group(index).and_then(|reader| read_rows(reader.as_ref(), &group, position));
        let rows = rows.map_err(|error| damaged(error.to_string()))?;
        check_rows(group.chunk, first, &rows, &self.head).map_err(|reason| unusable(&self.path, reason))?;
        Ok(rows)
    }

    /// Compares the bytes of a group with their checksum.
    fn verify(&self, group: &Group) -> Result<(), DataError> {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        let read = file
            .seek(SeekFrom::Start(group.offset))
            .and_then(|_| file.take(group.bytes).read_to_end(&mut bytes));
        read.map_err(|cause| broken("read", &self.path, cause))?;
        if crc32fast::hash(&bytes) == group.checksum {
            return Ok(());
        }
        Err(unusable(&self.path, format!("its chunk {} is damaged; record it again", group.chunk)))
    }
}

/// Opens the footer, whose length is checked before memory is taken for it.
fn footer(mut file: File, length: u64) -> Result<SerializedFileReader<File>, String> {
    const AGAIN: &str = "it is cut or damaged: record it again";
    let mut end = [0; 8];
    let sought = file.seek(SeekFrom::Start(length.saturating_sub(8))).and_then(|_| file.read_exact(&mut end));
    let [one, two, three, four, magic @ ..] = end;
    if sought.is_err() || &magic != b"PAR1" {
        return Err(AGAIN.to_owned());
    }
    let bytes = u64::from(u32::from_le_bytes([one, two, three, four]));
    if bytes > limits::STORE_HEAD_BYTES || bytes > length.saturating_sub(12) {
        return Err(AGAIN.to_owned());
    }
    SerializedFileReader::new(file).map_err(|error| format!("{AGAIN} ({error})"))
}

/// Head and groups, checked against the file and each other.
fn described(metadata: &ParquetMetaData, length: u64) -> Result<(StoreHead, Vec<Group>), String> {
    if !has_columns(metadata.file_metadata().schema_descr()) {
        return Err("it is a Parquet file and no logit store; as a text it is given with `--text`".to_owned());
    }
    let (head, groups) = (value(metadata, HEAD_KEY)?, value(metadata, GROUPS_KEY)?);
    if value(metadata, CHECKSUM_KEY)? != metadata_checksum(head, groups) {
        return Err("what it says of itself is damaged; record it again".to_owned());
    }
    let other = |error: serde_json::Error| format!("it is of another version ({error}); record it again");
    let head: StoreHead = serde_json::from_str(head).map_err(other)?;
    let groups: Vec<Group> = serde_json::from_str(groups).map_err(other)?;
    head.check()?;
    check_groups(&head, &groups, metadata, length)?;
    Ok((head, groups))
}

fn value<'a>(metadata: &'a ParquetMetaData, key: &str) -> Result<&'a str, String> {
    let all = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let found = all.filter(|pair| pair.key == key).find_map(|pair| pair.value.as_deref());
    found.ok_or_else(|| format!("it does not say `{key}`: another program rewrote it; record it again"))
}

/// Whether the columns are those of a sketch: readers of other types would not do.
fn has_columns(found: &SchemaDescriptor) -> bool {
    let Ok(wanted) = schema().map(|schema| SchemaDescriptor::new(schema.into())) else { return false };
    let shape = |descriptor: &SchemaDescriptor| -> Vec<(String, Physical, i16, i16)> {
        let columns = descriptor.columns().iter();
        let shape = columns.map(|column| {
            let levels = (column.max_def_level(), column.max_rep_level());
            (column.path().string(), column.physical_type(), levels.0, levels.1)
        });
        shape.collect()
    };
    shape(found) == shape(&wanted)
}

/// The groups hold exactly the rows of the head's chunks, in their order, and lie within the file.
fn check_groups(
    head: &StoreHead,
    groups: &[Group],
    metadata: &ParquetMetaData,
    length: u64,
) -> Result<(), String> {
    let wrong = || "its rows are not those of its chunks; record it again".to_owned();
    if groups.len() != metadata.num_row_groups() || !groups.is_sorted_by_key(|group| group.chunk) {
        return Err(wrong());
    }
    let entries = head.sketch.map_or(0, |sketch| u64::from(sketch.head) + u64::from(sketch.tail));
    let mut pairs = groups.iter().zip(metadata.row_groups());
    if !pairs.all(|(group, stored)| fits(group, stored, entries, length)) {
        return Err(wrong());
    }
    let counted = groups.chunk_by(|one, other| one.chunk == other.chunk).map(|groups| {
        (
            groups.first().map(|group| group.chunk),
            groups.iter().map(|group| group.rows as usize).sum::<usize>(),
        )
    });
    let wanted = head.chunks().map(|chunk| (Some(chunk), head.scored_rows(chunk)));
    if counted.eq(wanted) { Ok(()) } else { Err(wrong()) }
}

/// Whether a group lies within the file, its columns within it, and none claims more than its rows can hold.
fn fits(group: &Group, stored: &RowGroupMetaData, entries: u64, length: u64) -> bool {
    let Some(end) = group.offset.checked_add(group.bytes).filter(|end| *end <= length) else { return false };
    let rows = u64::from(group.rows);
    let most = rows * (entries * 9 + 64) + GROUP_OVERHEAD;
    let is_small = |count: i64| u64::try_from(count).is_ok_and(|count| count <= most);
    let is_within = |column: &ColumnChunkMetaData| {
        let begin = u64::try_from(column.data_page_offset()).ok().filter(|begin| *begin >= group.offset);
        let bytes = u64::try_from(column.compressed_size()).ok();
        let after = begin.zip(bytes).and_then(|(begin, bytes)| begin.checked_add(bytes));
        after.is_some_and(|after| after <= end) && column.dictionary_page_offset().is_none()
    };
    group.rows as usize <= limits::SKETCH_BLOCK_ROWS
        && u64::try_from(stored.num_rows()) == Ok(rows)
        && stored.columns().iter().all(|column| {
            is_within(column) && is_small(column.uncompressed_size()) && is_small(column.num_values())
        })
}

fn read_rows(
    reader: &dyn RowGroupReader,
    group: &Group,
    position: usize,
) -> Result<Vec<SketchRow>, ParquetError> {
    let count = group.rows as usize;
    let chunks = column::<Int32Type>(reader, 0, count)?.values;
    let positions = column::<Int32Type>(reader, 1, count)?.values;
    let nll = column::<DoubleType>(reader, 2, count)?.values;
    let mass = column::<DoubleType>(reader, 3, count)?.values;
    let mut lists = (
        column::<Int32Type>(reader, 4, count)?.lists(count)?.into_iter(),
        column::<FloatType>(reader, 5, count)?.lists(count)?.into_iter(),
        column::<Int32Type>(reader, 6, count)?.lists(count)?.into_iter(),
        column::<FloatType>(reader, 7, count)?.lists(count)?.into_iter(),
    );
    let in_place = chunks.iter().all(|chunk| chunk.cast_unsigned() == group.chunk)
        && positions
            .iter()
            .zip(position..)
            .all(|(stored, position)| stored.cast_unsigned() as usize == position);
    if !in_place || [chunks.len(), positions.len(), nll.len(), mass.len()] != [count; 4] {
        return Err(ParquetError::General("rows are missing or not in their place".to_owned()));
    }
    let tokens =
        |list: Option<Vec<i32>>| list.unwrap_or_default().into_iter().map(i32::cast_unsigned).collect();
    let scores = nll.into_iter().zip(mass);
    let rows = scores.map(|(nll, tail_mass)| SketchRow {
        head: tokens(lists.0.next()),
        head_log_probability: lists.1.next().unwrap_or_default(),
        tail: tokens(lists.2.next()),
        tail_log_probability: lists.3.next().unwrap_or_default(),
        tail_mass,
        nll,
    });
    Ok(rows.collect())
}

/// The values of a column with their levels.
struct Column<T> {
    values: Vec<T>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

fn column<T: DataType>(
    reader: &dyn RowGroupReader,
    index: usize,
    rows: usize,
) -> Result<Column<T::T>, ParquetError> {
    let mut source = get_typed_column_reader::<T>(reader.get_column_reader(index)?);
    let mut column = Column { values: Vec::new(), definition: Vec::new(), repetition: Vec::new() };
    let mut read = 0;
    while read < rows {
        let (definition, repetition) = (&mut column.definition, &mut column.repetition);
        match source.read_records(rows - read, Some(definition), Some(repetition), &mut column.values)? {
            (0, _, _) => break,
            (records, _, _) => read += records,
        }
    }
    Ok(column)
}

impl<T> Column<T> {
    /// The values as lists: a repetition level of 0 begins one, a definition level of 1 says that it has a value.
    fn lists(self, count: usize) -> Result<Vec<Vec<T>>, ParquetError> {
        let mut lists: Vec<Vec<T>> = Vec::with_capacity(count);
        let mut values = self.values.into_iter();
        for (definition, repetition) in self.definition.into_iter().zip(self.repetition) {
            if repetition == 0 {
                lists.push(Vec::new());
            }
            if definition > 0
                && let (Some(list), Some(value)) = (lists.last_mut(), values.next())
            {
                list.push(value);
            }
        }
        if lists.len() == count && values.next().is_none() {
            return Ok(lists);
        }
        Err(ParquetError::General("lists are missing or too many".to_owned()))
    }
}
