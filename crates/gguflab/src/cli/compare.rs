//! Arguments of the verbs that compare: `compare`, `gate`, `history`.

use super::{EngineArguments, LimitArguments, WorkloadArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The reference, in words: a model, engine=ENGINE (or worker=PATH, llama-bench=PATH, …), KNOB=VALUE, workload=NAME,
    /// prompt=N, generate=N, depth=N or concurrency=N; several in quotes. Or, as B too, a result file of llama-bench,
    /// AIPerf, GuideLLM or bench --record: then nothing is measured
    #[arg(value_name = "A")]
    pub(crate) reference: String,
    /// What is compared with it, in the same words; what it does not say is as in A or as in the options
    #[arg(value_name = "B")]
    pub(crate) candidate: String,
    /// The model of both sides
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Setting of both sides, KNOB=VALUE; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    /// What is compared, such as decode, inter-token-p95 or decode@long; the first decides when it ends [default: time,
    /// and whatever the workload has of prefill, first-token, decode and memory]
    #[arg(long, value_name = "QUANTITY", value_delimiter = ',')]
    pub(crate) metric: Vec<String>,
    /// Relative difference that does not matter
    #[arg(long, value_name = "FRACTION", default_value_t = 0.01)]
    pub(crate) margin: f64,
    #[command(flatten)]
    pub(crate) interleaved: InterleavedArguments,
    /// Write all raw samples of both sides to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the JSON files of Mia4's performance scripts into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) export_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// How long two sides are measured in turn.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Interleaving")]
pub(crate) struct InterleavedArguments {
    /// Time for all visits, such as 90s, 5m or 1h; the block that runs is finished
    #[arg(long, value_name = "TIME", value_parser = crate::settings::parse_time, default_value = "5m")]
    pub(crate) budget_time: f64,
    /// Most visits of each side
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) budget_runs: u32,
    /// Measured repetitions in each visit
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) repetitions: u32,
    /// Do not check that both sides say the same
    #[arg(long)]
    pub(crate) no_outputs: bool,
}

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub(crate) struct Gate {
    #[command(subcommand)]
    pub(crate) verb: GateVerb,
}

/// What to do with a baseline.
#[derive(Debug, Subcommand)]
pub(crate) enum GateVerb {
    /// Measure, and accept what was measured as the baseline of this name
    Accept(Box<GateAccept>),
    /// Measure against a baseline: 0 pass, 1 fail, 6 inconclusive
    Check(Box<GateCheck>),
    /// Measure this machine against itself: how small a change can be seen here?
    Calibrate(Box<GateCalibrate>),
}

/// Where baselines are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct BaselineArguments {
    /// Folder of baselines [default: in the data folder of this user]
    #[arg(long, value_name = "DIR", env = "GGUFLAB_BASELINES")]
    pub(crate) baselines: Option<PathBuf>,
}

/// Arguments of `gate accept`.
#[derive(Debug, Args)]
pub(crate) struct GateAccept {
    /// Name of the baseline
    pub(crate) name: String,
    /// The model (not needed by a simulated engine)
    pub(crate) model: Option<String>,
    /// Setting of a knob, KNOB=VALUE; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    /// What a check has to keep to: 'decode<12%' (at most 12 % worse than the baseline), 'load-cold<11s' or 'decode>5' (in
    /// itself); may be given several times [default: 10 % on time, prefill and decode, as far as the workload has them]
    #[arg(long, value_name = "QUANTITY<BOUND")]
    pub(crate) threshold: Vec<String>,
    /// Thresholds by name (see `gguflab list thresholds`)
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// Accept anew under a name that exists; what was accepted before is kept beside it
    #[arg(long)]
    pub(crate) again: bool,
    /// Copy the engine's program beside the baseline, so that a check can run both in turn
    #[arg(long)]
    pub(crate) keep_build: bool,
    /// Visits
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) visits: u32,
    /// Measured repetitions in each visit
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) repetitions: u32,
    #[command(flatten)]
    pub(crate) baselines: BaselineArguments,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Arguments of `gate check`.
#[derive(Debug, Args)]
pub(crate) struct GateCheck {
    /// Name of the baseline
    pub(crate) name: String,
    /// The model [default: the baseline's, where it lies as it did]
    pub(crate) model: Option<String>,
    /// The accepted build, to be run in turn with the one that is checked, as --engine takes it [default: what --keep-build
    /// kept, or the program that the baseline was measured with, where it is still that build and another file than the
    /// one that is checked]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) reference_engine: Option<String>,
    /// Compare with the stored samples only: as many visits as were accepted, without a check of the outputs
    #[arg(long, conflicts_with = "reference_engine")]
    pub(crate) stored: bool,
    /// Other thresholds than those that were accepted (see `gate accept`)
    #[arg(long, value_name = "QUANTITY<BOUND")]
    pub(crate) threshold: Vec<String>,
    /// Write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the result to this file too; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the JSON files of Mia4's performance scripts into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) export_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) interleaved: InterleavedArguments,
    #[command(flatten)]
    pub(crate) baselines: BaselineArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Arguments of `gate calibrate`.
#[derive(Debug, Args)]
pub(crate) struct GateCalibrate {
    /// The model (not needed by a simulated engine)
    pub(crate) model: Option<String>,
    /// Setting of a knob, KNOB=VALUE; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) interleaved: InterleavedArguments,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Name of a baseline [default: all of them]
    pub(crate) name: Option<String>,
    /// Write it to this file; the format follows from its ending (.html, .md, .csv, .json)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) baselines: BaselineArguments,
}
