//! Arguments of `bisect`.

use super::{EngineArguments, InterleavedArguments, LimitArguments, WorkloadArguments};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `bisect`.
#[derive(Debug, Args)]
pub(crate) struct Bisect {
    /// The model
    pub(crate) model: String,
    /// A build that is good: its name in the folder, or its number such as b11000
    #[arg(long, value_name = "BUILD")]
    pub(crate) good: String,
    /// A build that is bad
    #[arg(long, value_name = "BUILD")]
    pub(crate) bad: String,
    /// Folder of builds, sorted by their names and the numbers in them: programs (gguflab-worker, llama-bench,
    /// llama-server, by their file names), or folders that hold one
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) builds: Option<PathBuf>,
    /// Command that is run with the name of a build behind it, and prints the path of the program or its folder last
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<String>,
    /// Names of the builds for --command, in order, separated by commas [default: the numbers from --good to --bad]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "command")]
    pub(crate) names: Vec<String>,
    /// Setting of all builds, KNOB=VALUE; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    /// By what builds are told apart, such as decode, inter-token-p95 or prefill
    #[arg(long, value_name = "QUANTITY", default_value = "time")]
    pub(crate) metric: String,
    /// Relative difference from which on a build is bad [default: half of that between the ends]
    #[arg(long, value_name = "FRACTION")]
    pub(crate) threshold: Option<f64>,
    /// How sure is sure enough
    #[arg(long, value_name = "FRACTION", default_value_t = 0.95)]
    pub(crate) confidence: f64,
    /// Most questions
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) questions: usize,
    #[command(flatten)]
    pub(crate) interleaved: InterleavedArguments,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}
