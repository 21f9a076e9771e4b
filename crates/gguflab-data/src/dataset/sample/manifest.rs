//! What a sample was made of, so that a later call can go on and anybody can make it again.

use serde::{Deserialize, Serialize};

use super::{Part, SampleRequest};
use crate::dataset::error::DatasetError;
use crate::dataset::open::Dataset;
use crate::sums;

/// The version that is written and read.
const VERSION: u32 = 1;

/// What a sample was made of; stands in a file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// The seed of the choice.
    pub seed: u64,
    /// The languages that were asked for; empty for all.
    pub languages: Vec<String>,
    /// What counted tokens.
    pub tokens_by: String,
    /// Chunks so far.
    pub chunks: u64,
    /// SHA-256 of the sample's file.
    pub output_sha256: String,
    /// The datasets, in order.
    pub sources: Vec<SourceRows>,
}

/// A dataset and what was taken of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRows {
    /// Its name, as given.
    pub name: String,
    /// The field of its text.
    pub field: String,
    /// What a record of a plain text is; `None` for the usual.
    pub by: Option<String>,
    /// Its files.
    pub files: Vec<SourceFile>,
    /// The rows that were taken, in rising order.
    pub rows: Vec<u64>,
}

/// A file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name in the dataset.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
}

impl Manifest {
    /// A manifest of these datasets, of which nothing was taken yet. Reads all their files, for their sums.
    ///
    /// # Errors
    /// [`DatasetError::System`] where a file cannot be read.
    pub fn begin(
        datasets: &[Dataset],
        request: &SampleRequest,
        tokens_by: String,
    ) -> Result<Manifest, DatasetError> {
        Ok(Manifest {
            version: VERSION,
            seed: request.seed,
            languages: request.languages.clone(),
            tokens_by,
            chunks: 0,
            output_sha256: String::new(),
            sources: datasets.iter().map(SourceRows::begin).collect::<Result<_, _>>()?,
        })
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if manifest.version != VERSION {
            return Err(format!("it has version {}, and this program knows {VERSION}", manifest.version));
        }
        Ok(manifest)
    }

    /// As it is written.
    ///
    /// # Errors
    /// What the library says; there is no manifest that it cannot write.
    pub fn to_text(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }

    /// Whether a row was taken.
    #[must_use]
    pub fn has(&self, source: usize, row: u64) -> bool {
        self.sources.get(source).is_some_and(|source| source.rows.binary_search(&row).is_ok())
    }

    /// What keeps `self`, made now, from going on where `before` stopped; `None` where nothing does.
    #[must_use]
    pub fn differs_from(&self, before: &Manifest) -> Option<String> {
        if self.seed != before.seed {
            return Some(format!("its seed is {}, not {}", before.seed, self.seed));
        }
        if self.tokens_by != before.tokens_by {
            return Some(format!(
                "its tokens were counted by {}, not by {}",
                before.tokens_by, self.tokens_by
            ));
        }
        let names = |manifest: &Manifest| -> String {
            manifest.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        if names(self) != names(before) {
            return Some(format!("it was made of {}, not of {}", names(before), names(self)));
        }
        let changed = self.sources.iter().zip(&before.sources).find(|(now, then)| !now.is_same(then));
        changed.map(|(now, _)| {
            format!("{} has changed since (its files, its field or what is a record)", now.name)
        })
    }

    /// Adds what was taken for a request.
    pub fn add(&mut self, request: &SampleRequest, parts: &[Part]) {
        let new = request.languages.iter().filter(|language| !self.languages.contains(language));
        let new: Vec<String> = new.cloned().collect();
        self.languages.extend(new);
        for part in parts {
            if let Some(source) = self.sources.get_mut(part.source) {
                source.rows.push(part.row);
            }
        }
        for source in &mut self.sources {
            source.rows.sort_unstable();
            source.rows.dedup();
        }
    }
}

impl SourceRows {
    fn begin(dataset: &Dataset) -> Result<SourceRows, DatasetError> {
        let file = |file: &crate::dataset::DataFile| {
            let sum = sums::of_file(&file.path);
            let sha256 = sum.map_err(|cause| DatasetError::system("read", &file.path, cause))?;
            Ok(SourceFile { name: file.name.clone(), bytes: file.bytes, sha256 })
        };
        Ok(SourceRows {
            name: dataset.request().name.clone(),
            field: dataset.field().path.to_string(),
            by: dataset.request().unit.map(|unit| unit.name().to_owned()),
            files: dataset.files().iter().map(file).collect::<Result<_, DatasetError>>()?,
            rows: Vec::new(),
        })
    }

    fn is_same(&self, other: &SourceRows) -> bool {
        (&self.field, &self.by, &self.files) == (&other.field, &other.by, &other.files)
    }
}
