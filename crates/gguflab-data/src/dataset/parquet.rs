//! Parquet files, row by row.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::error::DatasetError;
use super::open::ReadRecords;
use super::record::Record;

/// The rows of a Parquet file.
pub(super) struct ParquetReader {
    path: PathBuf,
    rows: RowIter<'static>,
    row: u64,
}

impl ParquetReader {
    pub(super) fn open(path: &Path) -> Result<ParquetReader, DatasetError> {
        let file = File::open(path).map_err(|cause| DatasetError::system("open", path, cause))?;
        let reader =
            guarded(path, "footer", || SerializedFileReader::new(file).map(IntoIterator::into_iter))?;
        Ok(ParquetReader { path: path.to_owned(), rows: reader, row: 0 })
    }

    fn advance(&mut self) -> Result<Option<Row>, DatasetError> {
        let place = format!("row {}", self.row);
        let row = guarded(&self.path, &place, || self.rows.next().transpose())?;
        self.row += u64::from(row.is_some());
        Ok(row)
    }
}

impl ReadRecords for ParquetReader {
    fn next(&mut self) -> Result<Option<Record>, DatasetError> {
        let row = self.advance()?;
        Ok(row.map(|row| Record { fields: row.get_column_iter().map(column).collect() }))
    }

    fn skip(&mut self) -> Result<bool, DatasetError> {
        Ok(self.advance()?.is_some())
    }
}

/// The library asserts some of what a damaged file breaks: that is an error of the file as any other.
fn guarded<T>(
    path: &Path,
    place: &str,
    work: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, DatasetError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(DatasetError::malformed(path, place, format!("no usable Parquet: {error}"))),
        Err(_) => Err(DatasetError::malformed(path, place, "no usable Parquet: its contents are damaged")),
    }
}

fn column((name, field): (&String, &Field)) -> (Cow<'static, str>, Value) {
    (Cow::Owned(name.clone()), value(field))
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => Value::from(*value),
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => Value::from(f32::from(*value)),
        Field::Float(value) => Value::from(*value),
        Field::Double(value) => Value::from(*value),
        Field::Decimal(_) => Value::String(field.to_string()),
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => of_bytes(bytes.data()),
        Field::Group(row) => {
            Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect())
        }
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect()),
        Field::MapInternal(map) => Value::Array(map.entries().iter().map(entry).collect()),
    }
}

/// Bytes that are text, as texts of older writers are; of others only how many they are.
fn of_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::Object(Map::from_iter([("bytes".to_owned(), Value::from(bytes.len()))])),
    }
}

fn entry((key, held): &(Field, Field)) -> Value {
    Value::Object(Map::from_iter([("key".to_owned(), value(key)), ("value".to_owned(), value(held))]))
}
