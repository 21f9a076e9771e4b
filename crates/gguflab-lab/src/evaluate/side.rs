//! One side of an evaluation: a model with its settings, or a file of what one said.

use super::EvaluateError;
use crate::laboratory::{Laboratory, LaboratoryError, Parts};
use gguflab_data::logits::{LogitStore, StoreHead};
use gguflab_data::sums;
use gguflab_types::Configuration;
use gguflab_types::evaluation::{Source, Windowing};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One side.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is.
    pub identity: SideIdentity,
    /// Where its logits come from.
    pub source: Source,
    /// Remarks about the model.
    pub warnings: Vec<String>,
    /// How the windows of a store were made; `None` for a model, which takes any.
    pub windowing: Option<Windowing>,
}

/// One side by its content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideIdentity {
    /// How it is called.
    pub name: String,
    /// File of the model or the store.
    pub file: String,
    /// Hash of the model; empty where a store does not say it.
    pub fingerprint: String,
    /// Hash of its tokenizer; empty where a store does not say it.
    pub tokenizer: String,
    /// Name of the dominant tensor type; of a store what it keeps.
    pub quantisation: String,
    /// Bytes of the model or the store.
    pub bytes: u64,
    /// Its settings, as one line.
    pub settings: String,
    /// Hash of the file of a store, in the head of an evaluation; empty for a model, which its fingerprint tells.
    pub content: String,
    /// Whether it is a store that keeps only a part of each row.
    pub is_sketch: bool,
    /// Chunks of text in the importance matrix that it was quantised with, where the model says so.
    #[serde(default)]
    pub importance_chunks: Option<u64>,
}

impl SideIdentity {
    /// Of a store that is open.
    pub(crate) fn of_store(path: &Path, store: &LogitStore) -> Result<SideIdentity, EvaluateError> {
        let head = store.head();
        Ok(SideIdentity {
            name: path.display().to_string(),
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            fingerprint: head.model.as_ref().map(|model| model.fingerprint.clone()).unwrap_or_default(),
            tokenizer: head.tokenizer.clone().unwrap_or_default(),
            quantisation: kept(head),
            bytes: std::fs::metadata(path).map_err(|source| super::file("read", path, source))?.len(),
            is_sketch: head.sketch.is_some(),
            ..SideIdentity::default()
        })
    }
}

impl Side {
    /// A model with settings, of which `own` are the words that tell it from other sides; what is allowed is checked here.
    ///
    /// # Errors
    /// When the model cannot be read or the engine not be started; and why the settings cannot be, in words.
    pub fn of_model(
        parts: &Parts<'_>,
        own: &[String],
        configuration: &Configuration,
    ) -> Result<Result<Side, String>, LaboratoryError> {
        let laboratory = Laboratory::prepare(parts)?;
        let configuration = match configuration.checked(&laboratory.facts) {
            Ok(configuration) => configuration,
            Err(reason) => return Ok(Err(reason)),
        };
        let model = &laboratory.subject.model;
        let identity = SideIdentity {
            name: called(&model.file, own),
            file: model.file.clone(),
            fingerprint: model.fingerprint.clone(),
            tokenizer: model.tokenizer.clone(),
            quantisation: model.quantisation.clone(),
            bytes: model.bytes,
            settings: configuration.to_string(),
            importance_chunks: laboratory.model_facts.as_ref().and_then(|facts| facts.importance_chunks),
            ..SideIdentity::default()
        };
        let source = Source::Model {
            path: laboratory.model().to_path_buf(),
            configuration: configuration.spelled_out(&laboratory.facts),
        };
        // Scores do not depend on what else the machine does.
        let warnings = laboratory.model_warnings;
        Ok(Ok(Side { identity, source, warnings, windowing: None }))
    }

    /// What it is, with the hash of the file of a store: stores of another text may be as long.
    pub(super) fn with_content(&self) -> Result<SideIdentity, EvaluateError> {
        let content = match &self.source {
            Source::Model { .. } => String::new(),
            Source::Store { path } => {
                sums::of_file(path).map_err(|source| super::file("read", path, source))?
            }
        };
        Ok(SideIdentity { content, ..self.identity.clone() })
    }

    /// A store of logits.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn of_store(path: &Path) -> Result<Side, EvaluateError> {
        let store = LogitStore::open(path)?;
        let identity = SideIdentity::of_store(path, &store)?;
        let windowing = Some(store.head().windowing.clone());
        let source = Source::Store { path: path.to_path_buf() };
        Ok(Side { identity, source, warnings: Vec::new(), windowing })
    }
}

/// The file without its ending, and what is set for it alone.
fn called(file: &str, own: &[String]) -> String {
    let stem = file.strip_suffix(".gguf").unwrap_or(file);
    std::iter::once(stem).chain(own.iter().map(String::as_str)).collect::<Vec<&str>>().join(" ")
}

fn kept(head: &StoreHead) -> String {
    match &head.sketch {
        Some(sketch) => format!("stored: {} likeliest and {} drawn", sketch.head, sketch.tail),
        None => "stored: whole rows".to_string(),
    }
}
