//! Datasets: records with a text each, out of files of any common format, read one after the other and never whole.
//!
//! # Layout
//! - [`open`]: a dataset by path, by folder, or by `hf:datasets/OWNER/NAME[:FILE]`; its files, split, rows and text.
//! - [`files`]: which files, and their formats; the table [`FORMATS`].
//! - [`split`]: `train[:1024]` and the like.
//! - [`field`]: where in a record the text is.
//! - [`record`]: what every format's records are turned into.
//! - [`survey`]: what a dataset holds.
//! - [`slice`](mod@slice): some rows as a text.
//! - [`overlap`](mod@overlap): what of an evaluation text is in a training set.
//! - [`sample`](mod@sample): so much of each language, at random, in chunks.
//!
//! Rows are numbered from 0 through all files of the dataset, in the order of the files' names.

mod input;
mod json;
mod parquet;
mod table;
mod text;

pub mod error;
pub mod field;
pub mod files;
pub mod open;
pub mod overlap;
pub mod record;
pub mod sample;
pub mod slice;
pub mod split;
pub mod survey;

pub use error::DatasetError;
pub use field::{ChosenField, FieldPath, WhyField};
pub use files::{DataFile, FORMATS, FormatRow, Unit, is_plain_text};
pub use open::{Dataset, DatasetRequest, Records, TextRecord};
pub use record::Record;
pub use split::Split;
