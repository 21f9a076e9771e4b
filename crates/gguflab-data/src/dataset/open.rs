//! A dataset by its name, and its records one after the other.

use std::ops::Range;

use super::error::DatasetError;
use super::field::{self, ChosenField, FieldPath};
use super::files::{self, DataFile, Unit};
use super::record::Record;
use super::split::Split;
use crate::find::DownloadProgress;
use crate::hub;
use crate::places::Places;

/// A dataset that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetRequest {
    /// A file, a folder, or `hf:datasets/OWNER/NAME[:FILE]`.
    pub name: String,
    /// Part of it; all of it by default.
    pub split: Option<Split>,
    /// Where the text is; by default it is looked for.
    pub field: Option<FieldPath>,
    /// Where the language is.
    pub language_field: Option<FieldPath>,
    /// The language of all records that do not say theirs.
    pub language: Option<String>,
    /// What a record of a plain text is; by default a paragraph of a `.txt`, and any other file as a whole.
    pub unit: Option<Unit>,
}

/// A dataset that was found: its files are there and have records with a text.
#[derive(Debug, Clone)]
pub struct Dataset {
    request: DatasetRequest,
    files: Vec<DataFile>,
    rows: Range<u64>,
    field: ChosenField,
}

/// A record's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRecord {
    /// Number of the record in the files of the dataset, from 0.
    pub row: u64,
    /// Which of the dataset's files it is in.
    pub file: usize,
    /// Its text; `None` where the record has none at the field.
    pub text: Option<String>,
    /// Its language, where one is known.
    pub language: Option<String>,
}

/// Reads the records of one file.
pub(super) trait ReadRecords {
    /// The next record; `None` at the end.
    fn next(&mut self) -> Result<Option<Record>, DatasetError>;
    /// Passes over the next record, without a look into it where that is possible; `false` at the end.
    fn skip(&mut self) -> Result<bool, DatasetError>;
}

impl Dataset {
    /// Finds the dataset: its files, its split and rows, and the field of its text.
    ///
    /// # Errors
    /// [`DatasetError`]: a name or file that cannot be used, a split or field that it does not have, no records.
    pub fn open(
        request: &DatasetRequest,
        places: &Places,
        progress: &mut dyn FnMut(&DownloadProgress),
    ) -> Result<Dataset, DatasetError> {
        let split = request.split.clone().unwrap_or_default();
        let files = find_files(&request.name, split.name.as_deref(), places, progress)?;
        let empty =
            |reason: &str| DatasetError::Empty { name: request.name.clone(), reason: reason.to_owned() };
        let mut first = RawRecords::new(&files, request.unit, 0..u64::MAX);
        let (_, _, first) = first.next().transpose()?.ok_or_else(|| empty("it has no records"))?;
        let field = field::choose(request.field.as_ref(), &first, &request.name)?;
        let total = if split.needs_total() { count(&files, request.unit)? } else { u64::MAX };
        let rows = split.range(total);
        if rows.is_empty() {
            return Err(empty(&format!("no row lies in `{split}`")));
        }
        Ok(Dataset { request: request.clone(), files, rows, field })
    }

    /// What was asked for.
    #[must_use]
    pub fn request(&self) -> &DatasetRequest {
        &self.request
    }

    /// Its files, in the order in which rows are numbered.
    #[must_use]
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// Where its text is.
    #[must_use]
    pub fn field(&self) -> &ChosenField {
        &self.field
    }

    /// Only the records of these rows. Rows count from the beginning of the files, not of the split.
    #[must_use]
    pub fn with_rows(mut self, rows: Range<u64>) -> Dataset {
        self.rows = rows.start.max(self.rows.start)..rows.end.min(self.rows.end);
        self
    }

    /// Its records, whole.
    pub(super) fn raw(&self) -> RawRecords<'_> {
        RawRecords::new(&self.files, self.request.unit, self.rows.clone())
    }

    /// The text of its records.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { dataset: self, raw: self.raw() }
    }

    /// The text of one of its records.
    pub(super) fn text_record(&self, row: u64, file: usize, record: &Record) -> TextRecord {
        let text = self.field.path.text(record).map(str::to_owned);
        let own = self.request.language_field.as_ref().and_then(|field| field.text(record));
        let language = own.map(str::to_owned).or_else(|| self.request.language.clone());
        TextRecord { row, file, text, language }
    }
}

/// The texts of a dataset, in order. After an error it ends.
pub struct Records<'a> {
    dataset: &'a Dataset,
    raw: RawRecords<'a>,
}

impl Iterator for Records<'_> {
    type Item = Result<TextRecord, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.raw.next()?;
        Some(record.map(|(row, file, record)| self.dataset.text_record(row, file, &record)))
    }
}

/// The records of files, as they are.
pub(super) struct RawRecords<'a> {
    files: &'a [DataFile],
    unit: Option<Unit>,
    rows: Range<u64>,
    /// The file that is open, and which it is.
    open: Option<Box<dyn ReadRecords>>,
    file: usize,
    /// Number of the record that comes next.
    row: u64,
}

impl<'a> RawRecords<'a> {
    fn new(files: &'a [DataFile], unit: Option<Unit>, rows: Range<u64>) -> RawRecords<'a> {
        RawRecords { files, unit, rows, open: None, file: 0, row: 0 }
    }

    fn advance(&mut self) -> Result<Option<(u64, usize, Record)>, DatasetError> {
        while self.row < self.rows.end
            && let Some(file) = self.files.get(self.file)
        {
            let reader = match &mut self.open {
                Some(reader) => reader,
                None => self.open.insert(file.reader(self.unit)?),
            };
            let is_wanted = self.row >= self.rows.start;
            let found = if is_wanted { reader.next()? } else { reader.skip()?.then(Record::default) };
            let Some(record) = found else {
                self.open = None;
                self.file += 1;
                continue;
            };
            self.row += 1;
            if is_wanted {
                return Ok(Some((self.row - 1, self.file, record)));
            }
        }
        Ok(None)
    }
}

impl Iterator for RawRecords<'_> {
    type Item = Result<(u64, usize, Record), DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance();
        if found.is_err() {
            self.rows.end = 0;
        }
        found.transpose()
    }
}

fn count(files: &[DataFile], unit: Option<Unit>) -> Result<u64, DatasetError> {
    let mut total = 0;
    for file in files {
        let mut reader = file.reader(unit)?;
        while reader.skip()? {
            total += 1;
        }
    }
    Ok(total)
}

/// The files of a dataset, those of a split where one is asked for.
fn find_files(
    name: &str,
    split: Option<&str>,
    places: &Places,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<Vec<DataFile>, DatasetError> {
    let choose = |names: &[String]| choose_files(names, split, name);
    if let Some(hub_name) = name.strip_prefix("hf:") {
        return hub::dataset_files(hub_name, &choose, places, progress);
    }
    let found = files::local(&places.current.join(name))?;
    let names: Vec<String> = found.iter().map(|file| file.name.clone()).collect();
    let chosen = choose(&names)?;
    Ok(chosen.into_iter().filter_map(|index| found.get(index).cloned()).collect())
}

/// Which of the files named are read; there is at least one.
fn choose_files(names: &[String], split: Option<&str>, name: &str) -> Result<Vec<usize>, DatasetError> {
    if names.is_empty() {
        return Err(DatasetError::Empty {
            name: name.to_owned(),
            reason: "it has no files that can be read".to_owned(),
        });
    }
    let Some(split) = split else { return Ok((0..names.len()).collect()) };
    let chosen = files::of_split(names, split);
    if chosen.is_empty() {
        let files = names.to_vec();
        return Err(DatasetError::NoSplit { name: name.to_owned(), split: split.to_owned(), files });
    }
    Ok(chosen)
}
