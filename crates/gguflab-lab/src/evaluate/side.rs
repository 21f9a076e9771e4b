//! One side of an evaluation: a model with its settings, or a file of what one said.

use super::EvaluateError;
use crate::laboratory::{Laboratory, LaboratoryError, Parts};
use gguflab_data::logits::{LogitStore, StoreHead};
use gguflab_types::Configuration;
use gguflab_types::evaluation::{Source, Windowing};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
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
    /// Hash of the file of a store; empty for a model, which its fingerprint tells.
    pub content: String,
    /// Whether it is a store that keeps only a part of each row.
    pub is_sketch: bool,
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
            content: String::new(),
            is_sketch: false,
        };
        let source = Source::Model {
            path: laboratory.model().to_path_buf(),
            configuration: configuration.spelled_out(&laboratory.facts),
        };
        // Scores do not depend on what else the machine does.
        let warnings = laboratory.model_warnings;
        Ok(Ok(Side { identity, source, warnings, windowing: None }))
    }

    /// A store of logits.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn of_store(path: &Path) -> Result<Side, EvaluateError> {
        let store = LogitStore::open(path)?;
        let bytes = std::fs::metadata(path).map_err(|source| super::file("read", path, source))?.len();
        let head = store.head();
        let text = path.display().to_string();
        let identity = SideIdentity {
            name: text,
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            fingerprint: head.model.as_ref().map(|model| model.fingerprint.clone()).unwrap_or_default(),
            tokenizer: head.tokenizer.clone().unwrap_or_default(),
            quantisation: kept(head),
            bytes,
            settings: String::new(),
            content: hash(path).map_err(|source| super::file("read", path, source))?,
            is_sketch: head.sketch.is_some(),
        };
        let windowing = Some(head.windowing.clone());
        let source = Source::Store { path: path.to_path_buf() };
        Ok(Side { identity, source, warnings: Vec::new(), windowing })
    }

    /// Whether a file is a store of logits, by its first bytes.
    #[must_use]
    pub fn is_store(path: &Path) -> bool {
        let mut start = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && STORES.contains(&&start)
    }
}

/// How stores begin: Parquet, llama-perplexity's file, HDF5.
const STORES: [&[u8; 4]; 3] = [b"PAR1", b"_log", b"\x89HDF"];

/// The file without its ending, and what is set for it alone.
fn called(file: &str, own: &[String]) -> String {
    let stem = file.strip_suffix(".gguf").unwrap_or(file);
    std::iter::once(stem).chain(own.iter().map(String::as_str)).collect::<Vec<&str>>().join(" ")
}

/// Of the whole file: stores of another text may be as long.
fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(super::hexadecimal(&hash.finalize())),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}

fn kept(head: &StoreHead) -> String {
    match &head.sketch {
        Some(sketch) => format!("stored: {} likeliest and {} drawn", sketch.head, sketch.tail),
        None => "stored: whole rows".to_string(),
    }
}
