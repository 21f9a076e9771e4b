//! Arguments of `dataset`.

use clap::{ArgGroup, Args, Subcommand};
use gguflab_lab::dataset::Unit;
use std::path::PathBuf;

/// Arguments of `dataset`.
#[derive(Debug, Args)]
pub(crate) struct DatasetCommand {
    #[command(subcommand)]
    pub(crate) verb: DatasetVerb,
}

/// What is done with datasets.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetVerb {
    /// Show what a dataset holds: records, bytes, words, fields, languages, the longest and shortest, duplicates
    Show(DatasetShow),
    /// Write some rows as a text file
    Slice(DatasetSlice),
    /// Write a text for calibration or evaluation: so much of each language, at random, in chunks
    Sample(DatasetSample),
    /// Find what of an evaluation is in a training set: words in a row that both have, records nearly the same
    Overlap(DatasetOverlap),
}

/// Which part of a dataset, and where its text is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dataset")]
pub(crate) struct DatasetArguments {
    /// Part of it, such as train, 'train[:1024]', 'test[10%:20%]' or '[-100:]'
    #[arg(long, value_name = "SPLIT")]
    pub(crate) split: Option<String>,
    /// Where the text is, such as content or messages.0.content [default: text, else the first text with `text` or
    /// `content` in its name, else the first text]
    #[arg(long, value_name = "PATH")]
    pub(crate) field: Option<String>,
    /// Where the language is
    #[arg(long, value_name = "PATH")]
    pub(crate) language_field: Option<String>,
    /// What a record of a plain text is: line, paragraph or file [default: paragraph in .txt files, else file]
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    pub(crate) by: Option<Unit>,
}

pub(super) fn unit(name: &str) -> Result<Unit, String> {
    let found = Unit::ALL.into_iter().find(|unit| unit.name() == name);
    found.ok_or_else(|| "it is line, paragraph or file".to_owned())
}

/// Arguments of `dataset show`.
#[derive(Debug, Args)]
pub(crate) struct DatasetShow {
    /// A file (text, JSON, JSON lines, CSV, TSV, Parquet; packed by gzip too), a folder, or
    /// hf:datasets/OWNER/NAME[:FILE]
    pub(crate) name: String,
    /// How many of the first texts are shown
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) first: usize,
    #[command(flatten)]
    pub(crate) dataset: DatasetArguments,
}

/// Arguments of `dataset slice`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["rows", "split"]).required(true).multiple(true)))]
pub(crate) struct DatasetSlice {
    /// The dataset
    pub(crate) name: String,
    /// Rows A..B: from row A (the first is 0) up to but without row B; either may be left out
    #[arg(long, value_name = "A..B")]
    pub(crate) rows: Option<String>,
    /// Without white space around each text
    #[arg(long)]
    pub(crate) strip: bool,
    /// The text file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) dataset: DatasetArguments,
}

/// Arguments of `dataset sample`.
#[derive(Debug, Args)]
pub(crate) struct DatasetSample {
    /// Datasets; LANGUAGE=NAME says the language of one, {language} in a name stands for each of --languages
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The file: text, or JSON lines where it ends in .jsonl
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Languages, separated by commas [default: all that there are]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "model_card")]
    pub(crate) languages: Vec<String>,
    /// Take the languages from the front matter of this model card
    #[arg(long, value_name = "FILE")]
    pub(crate) model_card: Option<PathBuf>,
    /// Records of each language [default: 200]
    #[arg(long, value_name = "N", conflicts_with = "tokens")]
    pub(crate) samples: Option<u64>,
    /// Tokens of each language
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<u64>,
    /// Go on where an earlier call stopped: so many records of each language more
    #[arg(long, value_name = "N", conflicts_with_all = ["samples", "tokens", "overwrite"])]
    pub(crate) more: Option<u64>,
    /// Records of each language that are passed over at the beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip: u64,
    /// Put records together in chunks of so many tokens, in which all languages are present
    #[arg(long, value_name = "TOKENS")]
    pub(crate) chunk_size: Option<u64>,
    /// Count tokens by the tokenizer of this model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Bytes that count as one token where no tokenizer counts them
    #[arg(long, value_name = "BYTES", default_value_t = 4.0)]
    pub(crate) bytes_per_token: f64,
    /// Seed of the choice
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Write the language in front of each record
    #[arg(long)]
    pub(crate) tags: bool,
    /// Write over an earlier sample
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) dataset: DatasetArguments,
}

/// Arguments of `dataset overlap`.
#[derive(Debug, Args)]
pub(crate) struct DatasetOverlap {
    /// The dataset that something is evaluated with
    pub(crate) evaluation: String,
    /// The datasets that something was trained with
    #[arg(required = true)]
    pub(crate) training: Vec<String>,
    /// Part of the evaluation, such as 'test[:1000]'
    #[arg(long, value_name = "SPLIT")]
    pub(crate) evaluation_split: Option<String>,
    /// Part of each training dataset
    #[arg(long, value_name = "SPLIT")]
    pub(crate) training_split: Option<String>,
    /// Where the text is, in all of them [default: looked for in each]
    #[arg(long, value_name = "PATH")]
    pub(crate) field: Option<String>,
    /// What a record of a plain text is: line, paragraph or file
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    pub(crate) by: Option<Unit>,
    /// Words in a row that count as a match
    #[arg(long, value_name = "N", default_value_t = 13)]
    pub(crate) words: usize,
    /// Jaccard similarity from which on two records are nearly the same
    #[arg(long, value_name = "FRACTION", default_value_t = 0.8)]
    pub(crate) similarity: f64,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}
