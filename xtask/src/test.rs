//! `cargo xtask test`: all tests of the project, on a real model, beside real llama.cpp tools and a real Optuna.

use crate::setup::{self, BuildEnvironment};
use crate::{command, corpora, fetch, peer, python};
use anyhow::Result;
use std::ffi::OsString;

/// Crates with the features that are off by default and need nothing but Rust.
pub const WITH_FEATURES: &[&str] = &[
    "-p",
    "gguflab-data",
    "-p",
    "gguflab-report",
    "--features",
    "gguflab-data/hub,gguflab-data/hdf5,gguflab-report/png",
];

/// The programs with HDF5. Few tests are of it, and only they are run anew: their names say so.
pub const WITH_HDF5: &[&str] =
    &["-p", "gguflab", "-p", "gguflab-worker", "--features", "gguflab/hdf5,gguflab-worker/hdf5"];

/// `cargo xtask test [ARGS…]`: ARGS go to nextest if it is installed, else to `cargo test`. With ARGS, which choose
/// among the tests, those of features that are off by default are left out.
pub fn verb(arguments: &[String]) -> Result<()> {
    let environment = setup::prepare()?;
    build_programs(&environment)?;
    let has_nextest = command::succeeds(environment.cargo().args(["nextest", "--version"]));
    let runner = || {
        let mut runner = environment.cargo();
        runner.args(if has_nextest { ["nextest", "run"].as_slice() } else { ["test"].as_slice() });
        runner.arg("--release");
        runner
    };
    let variables = variables(&environment)?;
    command::run_in_front(runner().arg("--workspace").args(arguments).envs(variables.clone()))?;
    if arguments.is_empty() {
        command::run_in_front(runner().args(WITH_FEATURES).envs(variables.clone()))?;
        command::run(environment.cargo().args(["build", "--release"]).args(WITH_HDF5))?;
        command::run_in_front(runner().args(WITH_HDF5).arg("hdf5").envs(variables))?;
    }
    Ok(())
}

/// Builds the two programs in the one profile that the project has, so that llama.cpp is compiled once.
pub fn build_programs(environment: &BuildEnvironment) -> Result<()> {
    let mut cargo = environment.cargo();
    command::run(cargo.args(["build", "--release", "-p", "gguflab", "-p", "gguflab-worker"]))
}

/// What tests read to find the model, the worker and the peer. Absent is what could not be had, which outside
/// of CI has been said by then; under CI it was an error.
fn variables(environment: &BuildEnvironment) -> Result<Vec<(&'static str, OsString)>> {
    let worker = command::release_folder().join(command::executable("gguflab-worker"));
    let model = fetch::model(environment)?;
    let mut variables = vec![("GGUFLAB_WORKER", worker.into()), ("GGUFLAB_TEST_MODEL", model.path.into())];
    let peers = [
        ("llama-bench", "GGUFLAB_LLAMA_BENCH"),
        ("llama-server", "GGUFLAB_LLAMA_SERVER"),
        ("llama-perplexity", "GGUFLAB_LLAMA_PERPLEXITY"),
        ("llama-quantize", "GGUFLAB_LLAMA_QUANTIZE"),
    ];
    if let Some(folder) = fetch::or_go_without(peer::build(environment, &peers.map(|(target, _)| target)))? {
        let program = |target: &str| OsString::from(folder.join(command::executable(target)));
        variables.extend(peers.map(|(target, variable)| (variable, program(target))));
    }
    if let Some(interpreter) = fetch::or_go_without(python::interpreter(&python::OPTUNA))? {
        variables.push(("GGUFLAB_PYTHON", interpreter.into()));
    }
    if let Some(folder) = fetch::or_go_without(corpora::folder())? {
        variables.push(("GGUFLAB_TEST_CORPORA", folder.into()));
    }
    Ok(variables)
}
