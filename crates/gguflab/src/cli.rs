//! The arguments as they are written; what they mean is settled in [`crate::settings`].

mod bisect;
mod compare;
mod dataset;
mod evaluate;
mod load;
#[cfg(test)]
mod shown;

pub(crate) use bisect::Bisect;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
pub(crate) use compare::{
    BaselineArguments, Compare, Gate, GateAccept, GateCalibrate, GateCheck, GateVerb, History,
    InterleavedArguments,
};
pub(crate) use dataset::{
    DatasetArguments, DatasetCommand, DatasetOverlap, DatasetSample, DatasetShow, DatasetSlice, DatasetVerb,
};
pub(crate) use evaluate::{
    CardArguments, Evaluate, Logits, LogitsVerb, QualityArguments, Record, ShowLogits, TextArguments,
};
pub(crate) use load::LoadArguments;
use std::path::PathBuf;

/// One laboratory for GGUF models: measure, tune, compare, on your own hardware, with numbers you can trust.
#[derive(Debug, Parser)]
#[command(name = "gguflab", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Print the result as JSON
    #[arg(long, global = true, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Print the result in this format
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<FormatName>,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: -v versions and machine, -vv the engine's log
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
}

/// The formats of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// For this terminal
    Terminal,
    /// Markdown
    Markdown,
    /// Comma-separated values, tables only
    Csv,
    /// JSON
    Json,
    /// One self-contained HTML page
    Html,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what a model file holds: architecture, sizes, tensor types, memory for each context, faults
    Inspect(Inspect),
    /// Show processors, instruction sets, memory and GPUs, and what the engine uses of them
    Devices(Devices),
    /// Measure one configuration: load, prefill, first token, decode, latency percentiles, memory
    Bench(Box<Bench>),
    /// Show where the time goes: each layer and operator, beside what each device can do
    Profile(Profile),
    /// Find a faster configuration for this machine and a workload, and prove it
    Tune(Box<Tune>),
    /// Measure two models, engine builds, configurations or workloads side by side: which is better?
    Compare(Box<Compare>),
    /// Score a text: perplexity, and how far quantised models are from their reference
    Evaluate(Box<Evaluate>),
    /// Record what a reference says of a text, to evaluate against it later
    Logits(Logits),
    /// Find the build that made it slower, or made it say something else
    Bisect(Box<Bisect>),
    /// Accept baselines, and check against them: fails when something got slower
    Gate(Gate),
    /// Show accepted baselines and the checks against them over time
    History(History),
    /// Look into datasets, cut and sample them, and find what of an evaluation is in a training set
    Dataset(DatasetCommand),
    /// Write the report of a stored study
    Report(Report),
    /// Write the trials of a stored study as a table
    Export(Export),
    /// List, show, copy, merge, export, rename and delete what is stored
    Study(Study),
    /// List knobs, metrics, workloads, engines, objectives, samplers, pruners, presets or thresholds
    List(List),
    /// Print a completion script for a shell
    Completions(Completions),
}

impl Verb {
    /// Leaves the engine to the profile, where one is named.
    pub(crate) fn forget_engine_beside_profile(&mut self) {
        if let Verb::Bench(bench) = self
            && bench.profile.is_some()
        {
            bench.engine.engine = None;
        }
    }
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The model: a GGUF file or its folder, or the name of a model of Ollama, LM Studio or hf:OWNER/REPO
    pub(crate) model: String,
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

/// Which engine, and how it is started.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArguments {
    /// embedded, worker=PATH, llama-bench=PATH, llama-server=PATH, command=COMMAND or simulated[=PRESET]
    /// [default: embedded]
    #[arg(long, value_name = "ENGINE", env = "GGUFLAB_ENGINE")]
    pub(crate) engine: Option<String>,
    /// Environment variable for the engine, NAME=VALUE; tune searches NAME=VALUE,VALUE; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Command in front of the engine, such as 'numactl --interleave=all'
    #[arg(long, value_name = "COMMAND")]
    pub(crate) wrapper: Option<String>,
    /// Folder to add to the engine's search path of libraries; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) library_path: Vec<PathBuf>,
}

/// What is run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkloadArguments {
    /// A named workload (see `gguflab list workloads`)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["prompt", "generate", "depth", "depths", "concurrency"])]
    pub(crate) workload: Option<String>,
    /// Prompt tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) prompt: Option<u32>,
    /// Tokens to generate
    #[arg(long, value_name = "TOKENS")]
    pub(crate) generate: Option<u32>,
    /// Tokens already in the cache
    #[arg(long, value_name = "TOKENS")]
    pub(crate) depth: Option<u32>,
    /// The same request at several depths, such as 0,2048,8192: a curve over the context, in one pass
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', conflicts_with = "depth")]
    pub(crate) depths: Vec<u32>,
    /// Requests at the same time; bench takes several, such as 1,2,4,8, and measures a server under each load
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) concurrency: Vec<u32>,
    /// Tokens of a text, for the workload `logits`; for a tune that requires quality those of a window too [default: 512]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) context: Option<u32>,
    /// Use random tokens instead of text, as llama-bench does
    #[arg(long)]
    pub(crate) random_tokens: bool,
    /// Use the text of this file for prompts
    #[arg(long, value_name = "FILE", conflicts_with = "random_tokens")]
    pub(crate) text: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

/// How long things may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// Longest time of one trial, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time)]
    pub(crate) timeout_per_trial: Option<f64>,
    /// Longest time of loading the model
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time)]
    pub(crate) timeout_load: Option<f64>,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("records").args(["data", "prompts_from"])))]
pub(crate) struct Bench {
    /// The model (not needed by a simulated engine)
    pub(crate) model: Option<String>,
    /// Take model, engine, settings and workload from this file, as --take-away writes it; arguments go first
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Setting of a knob, KNOB=VALUE (see `gguflab list knobs`); may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    /// File that declares the knobs and metrics of an engine that is run by command
    #[arg(long, value_name = "FILE")]
    pub(crate) space: Option<PathBuf>,
    /// Measured repetitions in each visit
    #[arg(short, long, value_name = "N", default_value_t = 2)]
    pub(crate) repetitions: u32,
    /// Visits; each loads the model anew
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) visits: u32,
    /// Noisy repetitions that are measured again in each visit, at most
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) retries: u32,
    /// Drop the model from the page cache before each load
    #[arg(long)]
    pub(crate) cold: bool,
    /// Show the times of single tokens: how often they fall where, and percentiles of the first token
    #[arg(long)]
    pub(crate) latency: bool,
    /// Write all raw samples to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the JSON files of Mia4's performance scripts into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) export_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: CardArguments,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Arguments of `profile`.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// The model
    pub(crate) model: String,
    /// Setting of a knob, KNOB=VALUE (see `gguflab list knobs`); may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    /// Settings of a second configuration that is laid beside the first, such as 'threads=1 ubatch=64'; what is not named
    /// is as in the first
    #[arg(long, value_name = "SETTINGS")]
    pub(crate) against: Option<String>,
    /// Pairs of a run without stops and one that stops after every operation; two configurations take twice as many
    #[arg(short, long, value_name = "N", default_value_t = 3)]
    pub(crate) repetitions: u32,
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

/// Where studies are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArguments {
    /// File of studies [default: in the data folder of this user]
    #[arg(long, value_name = "FILE", env = "GGUFLAB_STORE")]
    pub(crate) store: Option<PathBuf>,
}

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// The model (not needed by a simulated engine)
    pub(crate) model: Option<String>,
    /// Name of the study [default: made from model, engine, workload and objective]
    #[arg(long, value_name = "NAME")]
    pub(crate) study: Option<String>,
    /// Go on with a study that exists
    #[arg(long)]
    pub(crate) resume: bool,
    /// Once the search is over, run what lies off its neighbours' trend again, in turn with them: is it real?
    #[arg(long)]
    pub(crate) recheck: bool,
    /// List what would be run, without running it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What to make better (see `gguflab list objectives`); several, separated by commas, give a front of which the
    /// workload's time chooses the winner [default: time, prefill for the workload `logits`, or what a study of Optuna
    /// says]
    #[arg(long, value_name = "NAMES")]
    pub(crate) objective: Option<String>,
    /// What decides where --objective ends in a tie (see `gguflab list objectives`)
    #[arg(long, value_name = "NAME")]
    pub(crate) tie_break: Option<String>,
    /// Bound on any figure, such as memory<12GiB, first-token<300ms, decode>=20 or, with --data, divergence<0.05: what
    /// misses it cannot win; may be given several times
    #[arg(long, value_name = "FIGURE<BOUND")]
    pub(crate) require: Vec<String>,
    /// Setting of the configuration to beat, KNOB=VALUE; may be given several times; or a whole command line of
    /// llama-server or llama-bench in quotes
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) baseline: Vec<String>,
    /// Values to search, KNOB=VALUES such as threads=1..8, threads=half,physical, gpu-layers=25%,50% or
    /// batch=128,512; may be given several times
    #[arg(long, value_name = "KNOB=VALUES")]
    pub(crate) knob: Vec<String>,
    /// Search only these knobs, separated by commas
    #[arg(long, value_name = "KNOBS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// File that says what is searched: TOML, or the JSON of llama-bench-tuner
    #[arg(long, value_name = "FILE")]
    pub(crate) space: Option<PathBuf>,
    /// A space by name (see `gguflab list presets`)
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// For the workload `logits`: no batch is larger than the context, as for an importance matrix
    #[arg(long)]
    pub(crate) conform_to_imatrix: bool,
    /// In WSL, run many GPU layers with large batches too
    #[arg(long)]
    pub(crate) allow_wsl_unsafe: bool,
    /// auto, or a sampler (see `gguflab list samplers`)
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) sampler: String,
    /// What cuts trials that cannot win (see `gguflab list pruners`)
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) pruner: String,
    /// Trials in all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) budget_runs: u32,
    /// Time for trials in all, such as 90s, 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time)]
    pub(crate) budget_time: Option<f64>,
    /// Relative difference that does not matter
    #[arg(long, value_name = "FRACTION", default_value_t = 0.01)]
    pub(crate) margin: f64,
    /// Measured repetitions in each trial
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) repetitions: u32,
    /// Write the report to this file; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: FileArguments,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) quality: QualityArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

/// Files besides the report, each kind in a folder.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct FileArguments {
    /// Write the winner into this folder: command lines, and files for other tools
    #[arg(long, value_name = "DIR")]
    pub(crate) take_away: Option<PathBuf>,
    /// Write each picture of the report into this folder, as SVG (and as PNG when built with `--features png`)
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,
    /// Write the files of llama-bench-tuner into this folder: summary_*.csv, optuna_trials.csv, optuna_best.json,
    /// rankings, and each trial's rates and log
    #[arg(long, value_name = "DIR")]
    pub(crate) export_dir: Option<PathBuf>,
    /// Say in words what each knob did
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Name of the study
    #[arg(required_unless_present = "from")]
    pub(crate) study: Option<String>,
    /// Draw a file of llama-bench-tuner instead: summary_*.csv, or optuna_trials.csv
    #[arg(long, value_name = "FILE", conflicts_with_all = ["study", "model", "take_away"])]
    pub(crate) from: Option<PathBuf>,
    /// Write to this file instead of printing; the format follows from its ending
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where the model lies, for the command lines
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: FileArguments,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Name of the study
    pub(crate) study: String,
    /// Write to this file instead of printing
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write the files of llama-bench-tuner into this folder instead: summary_*.csv, optuna_trials.csv,
    /// optuna_best.json, rankings, and each trial's rates and log
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub(crate) export_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

/// Arguments of `study`.
#[derive(Debug, Args)]
pub(crate) struct Study {
    #[command(subcommand)]
    pub(crate) verb: StudyVerb,
}

/// What to do with studies.
#[derive(Debug, Subcommand)]
pub(crate) enum StudyVerb {
    /// List the studies
    List {
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Show a study's trials, or one trial
    Show {
        /// Name of the study
        study: String,
        /// Number of a trial
        trial: Option<u32>,
        /// Show the engine's log of the trial
        #[arg(long, requires = "trial")]
        log: bool,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Copy a study, samples and logs included, to another name or file
    Copy {
        /// Name of the study
        study: String,
        /// Name of the copy [default: the same]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// File of the copy [default: the same]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Add the finished trials of studies in other files, each trial once
    Merge {
        /// Name of the study in those files
        study: String,
        /// The other files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Name of the study here, made if missing [default: the same]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Write a study to a file: .csv, .json, .md, .html, or .db with Optuna's tables and nothing else
    Export {
        /// Name of the study
        study: String,
        /// The file
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Give a study another name
    Rename {
        /// Name of the study
        study: String,
        /// Its new name
        name: String,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Delete a study with all its samples
    Delete {
        /// Name of the study
        study: String,
        /// Really
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        store: StoreArguments,
    },
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list
    #[arg(value_enum)]
    pub(crate) what: Listing,
}

/// The tables that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    /// Everything that can be turned
    Knobs,
    /// Everything that is measured
    Metrics,
    /// Named workloads
    Workloads,
    /// Engines
    Engines,
    /// What a tune can make better
    Objectives,
    /// Samplers
    Samplers,
    /// Spaces by name
    Presets,
    /// What cuts trials that cannot win
    Pruners,
    /// What a check has to keep to, by name
    Thresholds,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
