//! Arguments of the verbs that evaluate.

use super::{EngineArguments, LimitArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// What is evaluated: a model, in quotes a model with settings, such as 'model.gguf cache-type-k=q8_0', or a store of
    /// recorded logits
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) candidates: Vec<String>,
    /// What they are held against, in the same words; without it only their own perplexity is found
    #[arg(long, value_name = "MODEL")]
    pub(crate) reference: Option<String>,
    /// End when the mean of each candidate (divergence, or −ln p without a reference) is known to this share of itself,
    /// such as 5%
    #[arg(long, value_name = "SHARE", conflicts_with = "decide")]
    pub(crate) width: Option<String>,
    /// End when it is decided which candidate is best; those that have surely lost are not run any further
    #[arg(long)]
    pub(crate) decide: bool,
    /// Share of the best one's mean by which a difference does not matter
    #[arg(long, value_name = "SHARE", default_value = "5%", requires = "decide")]
    pub(crate) margin: String,
    /// Seed of the order in which windows are scored
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Forget what an earlier run of the same evaluation found
    #[arg(long)]
    pub(crate) anew: bool,
    /// Folder of journals, by which a run that was stopped goes on [default: in the data folder of this user]
    #[arg(long, value_name = "DIR", env = "GGUFLAB_JOURNALS")]
    pub(crate) journals: Option<PathBuf>,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the divergences of a single candidate into this file, as llama-gguf-optimize does (feature hdf5)
    #[arg(long, value_name = "FILE", requires = "reference")]
    pub(crate) comparison: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) text: TextArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// What text is scored, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Text")]
pub(crate) struct TextArguments {
    /// A file of UTF-8 text, or a dataset (JSON lines, CSV, Parquet, a folder, hf:datasets/OWNER/NAME); NAME=FILE tells
    /// several apart (languages, for example); may be given several times. Not needed with a recorded reference
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Vec<String>,
    /// Part of the dataset that --text names, such as 'test[:1024]'
    #[arg(long, value_name = "SPLIT", requires = "text")]
    pub(crate) split: Option<String>,
    /// Where the text is in its records, such as content [default: text, else the first that looks like one]
    #[arg(long, value_name = "PATH", requires = "text")]
    pub(crate) field: Option<String>,
    /// Where the language is in its records: each language is scored apart
    #[arg(long, value_name = "PATH", requires = "text")]
    pub(crate) language_field: Option<String>,
    /// How it is scored: llama-perplexity reproduces that tool's numbers; every-position scores every token
    /// [default: llama-perplexity, or as the reference was recorded]
    #[arg(long, value_name = "RULE")]
    pub(crate) protocol: Option<String>,
    /// Tokens of a window [default: 512, or as the reference was recorded]
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<u32>,
    /// Only these windows, A..B (B itself is not among them)
    #[arg(long, value_name = "A..B")]
    pub(crate) chunks: Option<String>,
    /// Setting of all models, KNOB=VALUE; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Arguments of `logits`.
#[derive(Debug, Args)]
pub(crate) struct Logits {
    #[command(subcommand)]
    pub(crate) verb: LogitsVerb,
}

/// What to do with logits.
#[derive(Debug, Subcommand)]
pub(crate) enum LogitsVerb {
    /// Record what a model says of a text; evaluate --reference FILE compares with it later
    Record(Box<Record>),
    /// Show what a store of logits, or a file that evaluate --comparison wrote, holds
    Show(ShowLogits),
}

/// Arguments of `logits show`.
#[derive(Debug, Args)]
pub(crate) struct ShowLogits {
    /// The store, or a result file of llama-gguf-optimize (feature hdf5)
    pub(crate) file: PathBuf,
}

/// Arguments of `logits record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The model, or in quotes a model with settings
    pub(crate) model: String,
    /// The store; a recording that was stopped is gone on with
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// sketch: the likeliest tokens and a sample of the others, some 1.5 kB a token; llama: every token with 16 bits, for
    /// llama-perplexity; hdf5 and hdf5-half: every logit, as llama-gguf-optimize keeps them (feature hdf5)
    #[arg(long, value_name = "FORM", default_value = "sketch")]
    pub(crate) form: String,
    /// Likeliest tokens that a sketch keeps
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) head: u32,
    /// Tokens that a sketch draws from the others
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) tail: u32,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) text: TextArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// The perplexity of a text beside what is measured, in one record.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Perplexity")]
pub(crate) struct CardArguments {
    /// Score this text or dataset too
    #[arg(long, value_name = "NAME")]
    pub(crate) data: Option<String>,
    /// Part of the dataset of --data or --prompts-from, such as 'train[:1024]'
    #[arg(long, value_name = "SPLIT", requires = "records")]
    pub(crate) split: Option<String>,
    /// Where the text is in its records
    #[arg(long, value_name = "PATH", requires = "records")]
    pub(crate) field: Option<String>,
    /// Write parameters, memory, speeds and perplexity into this file, as JSON
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) out: Option<PathBuf>,
}

/// By which text quality is judged that a tune requires.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Quality")]
pub(crate) struct QualityArguments {
    /// The text or dataset by which is judged what --require says of quality (divergence, perplexity-ratio, same-top);
    /// NAME=FILE tells several apart; may be given several times [default: the file of --text]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Vec<String>,
    /// Part of the dataset that --data names, such as 'test[:1024]'
    #[arg(long, value_name = "SPLIT", requires = "data")]
    pub(crate) split: Option<String>,
    /// Where the text is in its records
    #[arg(long, value_name = "PATH", requires = "data")]
    pub(crate) field: Option<String>,
    /// How it is scored: llama-perplexity or every-position [default: llama-perplexity, or as the reference was recorded]
    #[arg(long, value_name = "RULE")]
    pub(crate) protocol: Option<String>,
    /// Only these windows of it, A..B (B itself is not among them)
    #[arg(long, value_name = "A..B")]
    pub(crate) chunks: Option<String>,
    /// What the model's words are held against: another model, in quotes with settings, or a store of recorded logits
    /// [default: the same model with the settings of the baseline]
    #[arg(long, value_name = "MODEL")]
    pub(crate) reference: Option<String>,
}
