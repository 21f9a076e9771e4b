//! One side of an evaluation: a model with its settings, or a file of what one said.

use super::EvaluateError;
use crate::laboratory::{Laboratory, LaboratoryError, Parts};
use gguflab_data::logits::LogitStore;
use gguflab_data::sums;
use gguflab_types::Configuration;
use gguflab_types::evaluation::{Kept, Source, Windowing};
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
    /// How much of what it says there is.
    pub kept: Kept,
    /// Chunks of text in the importance matrix that it was quantised with, where the model says so.
    #[serde(default)]
    pub importance_chunks: Option<u64>,
}

impl SideIdentity {
    /// What its divergence from a reference is made of, in words, where it is anything but both sides' whole rows.
    #[must_use]
    pub fn made_of(&self, reference: Option<&SideIdentity>) -> Option<&'static str> {
        match (reference.map_or(Kept::Whole, |side| side.kept), self.kept) {
            (Kept::Whole, Kept::Whole) => None,
            (Kept::Sketch, Kept::Sketch) => Some("two sketches: at least"),
            (Kept::Sketch, Kept::SixteenBits) => Some("a sketch and 16 bits: estimated"),
            (Kept::Sketch, Kept::Whole) => Some("a sketch: estimated"),
            (Kept::SixteenBits, _) | (_, Kept::SixteenBits) => Some("16 bits"),
            (Kept::Whole, Kept::Sketch) => Some("a sketch"),
        }
    }

    /// What its perplexity, and its change from the reference's, are made of: of the token that came, a sketch has all.
    #[must_use]
    pub fn nll_made_of(&self, reference: Option<&SideIdentity>) -> Option<&'static str> {
        let sides = reference.into_iter().chain([self]);
        sides.map(|side| side.kept).any(|kept| kept == Kept::SixteenBits).then_some("16 bits")
    }

    /// Of a store that is open.
    pub(crate) fn of_store(path: &Path, store: &LogitStore) -> Result<SideIdentity, EvaluateError> {
        let head = store.head();
        Ok(SideIdentity {
            name: path.display().to_string(),
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            fingerprint: head.model.as_ref().map(|model| model.fingerprint.clone()).unwrap_or_default(),
            tokenizer: head.tokenizer.clone().unwrap_or_default(),
            quantisation: in_words(store),
            bytes: std::fs::metadata(path).map_err(|source| super::file("read", path, source))?.len(),
            kept: store.kept(),
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
    pub(crate) fn with_content(&self) -> Result<SideIdentity, EvaluateError> {
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

fn in_words(store: &LogitStore) -> String {
    match (&store.head().sketch, store.kept()) {
        (Some(sketch), _) => format!("stored: {} likeliest and {} drawn", sketch.head, sketch.tail),
        (None, Kept::SixteenBits) => "stored: whole rows, 16 bits".to_string(),
        (None, _) => "stored: whole rows".to_string(),
    }
}
