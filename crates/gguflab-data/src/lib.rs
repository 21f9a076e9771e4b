//! Data that comes from outside the laboratory. Every file is read lazily and within named limits.
//!
//! # Layout
//! - [`mod@find`]: a model by path, by folder, by Ollama or LM Studio name, or by `hf:OWNER/REPO[:FILE]`.
//! - [`places`]: where is looked; made from the environment, or by hand for a test.
//! - [`local`]: every model that Ollama, LM Studio and the hub's cache have on this machine.
//! - [`logits`]: what a model said of a text, recorded and read: sketches, and `llama-perplexity`'s files.
//! - [`dataset`]: records with a text each, out of files of any common format or from the hub.
//! - [`sums`]: SHA-256 of bytes and files.
//! - [`limits`]: the named limits on every walk and every file that is read.
//!
//! The download from the hub is the cargo feature `hub`.

mod choose;
pub mod dataset;
pub mod error;
pub mod find;
mod folder;
mod hub;
pub mod limits;
mod lm_studio;
pub mod local;
pub mod logits;
mod near;
mod ollama;
pub mod places;
pub mod sums;

pub use error::DataError;
pub use find::{DownloadProgress, FoundModel, Origin, find_model, find_model_with};
pub use local::{LocalModel, local_models};
pub use places::{HubPlace, Places, Token};
