//! What can go wrong when a model is looked for, a logit store is used or anything is fetched from the hub. Messages
//! say what was wrong, where, and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::limits;
use crate::logits::StoreDifference;

/// Why a model was not found, or a model or logit store cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// A name that cannot be one.
    #[error("`{name}` is not a model's name: {reason}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong and what is right.
        reason: String,
    },
    /// Nothing of that name anywhere.
    #[error("no model `{name}` on this machine\nlooked for:{}{}", listed(looked), suggested(near))]
    NotFound {
        /// The name as given.
        name: String,
        /// Where was looked, one place each.
        looked: Vec<String>,
        /// Names that exist and are alike; may be empty.
        near: Vec<String>,
    },
    /// Several models where one was asked for.
    #[error("{place} has several models; say which:{}", listed(choices))]
    Several {
        /// The folder, repository or name.
        place: String,
        /// The models, each as it can be chosen.
        choices: Vec<String>,
    },
    /// A place without any model.
    #[error("{place} has no .gguf file; llama.cpp needs GGUF: name another, or convert the model")]
    NoModel {
        /// The folder or repository.
        place: String,
    },
    /// No model there has the wanted file name or quantisation.
    #[error("{place} has no model `{wanted}`; it has:{}", listed(choices))]
    NoMatch {
        /// The folder or repository.
        place: String,
        /// File or quantisation as given.
        wanted: String,
        /// The models that are there.
        choices: Vec<String>,
    },
    /// A split model without one of its files.
    #[error("{place}: the split model lacks its part {missing}; copy or download all parts into one folder")]
    MissingPart {
        /// The folder or repository.
        place: String,
        /// File name of the part.
        missing: String,
    },
    /// A folder too large to look through.
    #[error("{} has more than {} entries; name the file itself", folder.display(), limits::WALK_ENTRIES)]
    TooManyEntries {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused a file operation.
    #[error("cannot {action} {}: {cause}", path.display())]
    System {
        /// What was tried, as in "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A manifest of Ollama that cannot be used.
    #[error("the manifest {}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A model that Ollama lists but whose file is missing, cut off or of another format.
    #[error("Ollama's model `{name}`: its file {} {reason}", blob.display())]
    Blob {
        /// The model's name in Ollama.
        name: String,
        /// The file.
        blob: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A download was asked for in a build without the feature `hub`.
    #[error(
        "`hf:{name}` is not in the hub's cache and this build cannot download; \
         build with `cargo build --release -p gguflab --features hub`, or download the file and give its path"
    )]
    HubNotBuilt {
        /// The name without `hf:`.
        name: String,
    },
    /// No answer from the hub.
    #[error(
        "{endpoint} cannot be reached for `hf:{name}`: {reason}; \
         check the network and HF_ENDPOINT and run it again: a broken download goes on where it stopped"
    )]
    HubUnreachable {
        /// The hub, without credentials.
        endpoint: String,
        /// The name without `hf:`.
        name: String,
        /// What happened.
        reason: String,
    },
    /// The hub does not let this user have the model or dataset.
    #[error("{endpoint} refuses `hf:{name}` (HTTP status {status}): {advice}")]
    HubRefused {
        /// The hub, without credentials.
        endpoint: String,
        /// The name without `hf:`.
        name: String,
        /// 401 or 403.
        status: u16,
        /// What to do.
        advice: &'static str,
    },
    /// The hub has no such repository or file.
    #[error("{endpoint} has no `hf:{name}`; check owner, repository and file, or HF_TOKEN if it is private")]
    HubNotFound {
        /// The hub, without credentials.
        endpoint: String,
        /// The name without `hf:`.
        name: String,
    },
    /// The hub's answer cannot be used.
    #[error("{endpoint} answered for `hf:{name}` with something unusable: {reason}")]
    HubAnswer {
        /// The hub, without credentials.
        endpoint: String,
        /// The name without `hf:`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A downloaded file is not what the hub announced.
    #[error("the download of {file} is damaged ({reason}) and was removed; run it again")]
    HubDamaged {
        /// The file in the repository.
        file: String,
        /// What differs.
        reason: String,
    },
    /// A logit store that cannot be used.
    #[error("the logit store {}: {reason}", path.display())]
    Store {
        /// The store, or its unfinished recording.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A logit store that was recorded with something else than what is wanted now.
    #[error("{} was recorded with another {}", path.display(), difference)]
    StoreDiffers {
        /// The store, or its unfinished recording.
        path: PathBuf,
        /// The first thing that differs.
        difference: StoreDifference,
    },
    /// A recording that cannot be written any further, such as on a full disk.
    #[error(
        "cannot write {}: {cause}; {done} of {chunks} chunks are recorded and stay usable: \
         {}, then run the same command again", path.display(), repaired(cause)
    )]
    RecordingStopped {
        /// The file that is written.
        path: PathBuf,
        /// Chunks that are recorded.
        done: usize,
        /// Chunks that the recording is of.
        chunks: usize,
        /// The system's answer.
        cause: io::Error,
    },
}

/// What makes writing possible again.
fn repaired(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        _ => "make it writable",
    }
}

/// Each on its own line, indented; only counted beyond the limit.
pub(crate) fn listed(names: &[String]) -> String {
    let mut text: String =
        names.iter().take(limits::LISTED_NAMES).map(|name| format!("\n  {name}")).collect();
    if names.len() > limits::LISTED_NAMES {
        text += &format!("\n  and {} more", names.len() - limits::LISTED_NAMES);
    }
    text
}

fn suggested(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("\ndid you mean:{}", listed(near)) }
}
