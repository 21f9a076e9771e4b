//! A model on disk: one GGUF file, or the parts of a split model.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::FormatError;
use crate::header::{Header, TensorInfo};
use crate::metadata::Metadata;
use crate::split::{self, SplitName};

/// A model: all its files, with their headers.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    first: ModelFile,
    others: Vec<ModelFile>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// Path as given, or beside the given one for another part.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Its header.
    pub header: Header,
}

/// Where the data of a tensor lie. Nothing says that the file is that long: see [`crate::check()`].
#[derive(Debug, Clone, Copy)]
pub struct TensorRange<'a> {
    /// Index of the file in [`Model::files`].
    pub file: usize,
    /// Path of that file.
    pub path: &'a Path,
    /// The tensor.
    pub tensor: &'a TensorInfo,
    /// First byte, from the start of the file. Saturates at the largest number.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl Model {
    /// Opens a model by the path of its file, or of any of its parts (the others lie beside it). Reads the
    /// headers only.
    ///
    /// # Errors
    /// Everything in [`FormatError`], with the file's name: a file that cannot be read or is no GGUF, a
    /// missing part, or parts that do not belong together.
    pub fn open(path: &Path) -> Result<Model, FormatError> {
        let given = ModelFile::open(path)?;
        match part_count(&given)? {
            None => Ok(Model::from(given)),
            Some(count) => open_parts(given, count),
        }
    }

    /// All files, in the order of their parts; at least one.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The first file: the one to give to llama.cpp.
    #[must_use]
    pub fn first(&self) -> &ModelFile {
        &self.first
    }

    /// The metadata that count: those of the first file.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.first.header.metadata
    }

    /// Every tensor with the place of its data, in file order.
    pub fn tensor_ranges(&self) -> impl Iterator<Item = TensorRange<'_>> {
        self.files().enumerate().flat_map(|(index, file)| file.tensor_ranges(index))
    }

    /// Length of all files together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

impl From<ModelFile> for Model {
    fn from(first: ModelFile) -> Model {
        Model { first, others: Vec::new() }
    }
}

impl ModelFile {
    /// Opens one file, whether or not it is a part of a split model. Reads the header only.
    ///
    /// # Errors
    /// A file that cannot be read or is no GGUF; the error names it.
    pub fn open(path: &Path) -> Result<ModelFile, FormatError> {
        open_file(path).map_err(|error| error.in_file(path))
    }

    fn tensor_ranges(&self, index: usize) -> impl Iterator<Item = TensorRange<'_>> {
        let start = self.header.data_offset;
        self.header.tensors.iter().map(move |tensor| TensorRange {
            file: index,
            path: &self.path,
            tensor,
            offset: start.saturating_add(tensor.offset),
            bytes: tensor.bytes,
        })
    }
}

fn open_file(path: &Path) -> Result<ModelFile, FormatError> {
    let file = File::open(path).map_err(|cause| FormatError::System { action: "open the file", cause })?;
    let facts =
        file.metadata().map_err(|cause| FormatError::System { action: "ask for its length", cause })?;
    if facts.is_dir() {
        return Err(FormatError::invalid("the path", "is a folder; give the path of a .gguf file in it"));
    }
    // A pipe has no length; whatever has one is believed only together with what is read.
    let length = facts.is_file().then_some(facts.len());
    let header = Header::read(file, length)?;
    Ok(ModelFile { path: path.to_owned(), bytes: facts.len(), header })
}

/// Parts that the model has, if it is split.
fn part_count(file: &ModelFile) -> Result<Option<u32>, FormatError> {
    match file.header.metadata.unsigned(split::COUNT_KEY) {
        None | Some(0 | 1) => Ok(None),
        Some(count) => match u32::try_from(count) {
            Ok(fits) if fits <= crate::limits::SPLIT_PARTS => Ok(Some(fits)),
            _ => Err(FormatError::AboveLimit {
                what: split::COUNT_KEY.to_owned(),
                value: count,
                limit: crate::limits::SPLIT_PARTS.into(),
            }
            .in_file(&file.path)),
        },
    }
}

fn open_parts(given: ModelFile, count: u32) -> Result<Model, FormatError> {
    let name = given.path.file_name().and_then(|name| name.to_str()).and_then(SplitName::parse);
    let Some(name) = name.filter(|name| name.count == count) else {
        let problem = format!(
            "is part of a model of {count} files but not named for it; \
             give it its name back, ending in -00001-of-{count:05}.gguf for the first"
        );
        return Err(FormatError::invalid("the file", problem).in_file(&given.path));
    };
    let paths: Vec<PathBuf> =
        (1..=count).map(|number| given.path.with_file_name(name.part(number))).collect();
    let missing: Vec<PathBuf> = paths.iter().filter(|path| !path.exists()).cloned().collect();
    if !missing.is_empty() {
        return Err(FormatError::MissingParts { missing, count }.in_file(&given.path));
    }
    let mut files = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let file = if *path == given.path { given.clone() } else { ModelFile::open(path)? };
        check_part(&file, index as u64, count).map_err(|error| error.in_file(path))?;
        files.push(file);
    }
    joined(files).map_err(|error| error.in_file(&given.path))
}

fn check_part(file: &ModelFile, index: u64, count: u32) -> Result<(), FormatError> {
    for (key, expected) in [(split::NUMBER_KEY, index), (split::COUNT_KEY, u64::from(count))] {
        let found = file.header.metadata.unsigned(key);
        if found != Some(expected) {
            let found = found.map_or("missing".to_owned(), |number| number.to_string());
            let problem =
                format!("is {found} but must be {expected} for this name; the parts do not belong together");
            return Err(FormatError::invalid(key, problem));
        }
    }
    Ok(())
}

fn joined(files: Vec<ModelFile>) -> Result<Model, FormatError> {
    let mut others = files.into_iter();
    let Some(first) = others.next() else {
        return Err(FormatError::invalid("the model", "has no file"));
    };
    let model = Model { first, others: others.collect() };
    let stated = model.metadata().unsigned(split::TENSORS_KEY);
    let counted = model.tensor_ranges().count() as u64;
    match stated {
        Some(stated) if stated != counted => Err(FormatError::invalid(
            split::TENSORS_KEY,
            format!("is {stated} but the parts hold {counted} tensors; get all parts of one model again"),
        )),
        _ => Ok(model),
    }
}
