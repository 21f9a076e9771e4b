//! The verbs: arguments in, a result printed, an exit code out.

pub(crate) mod bench;
pub(crate) mod bisect;
pub(crate) mod compare;
pub(crate) mod dataset;
pub(crate) mod devices;
pub(crate) mod evaluate;
pub(crate) mod gate;
pub(crate) mod inspect;
pub(crate) mod list;
mod load;
pub(crate) mod logits;
pub(crate) mod profile;
mod quality;
pub(crate) mod report;
pub(crate) mod studies;
pub(crate) mod study;
pub(crate) mod tune;

use crate::printer::Printer;
use crate::{places, settings};
use anyhow::{Context, Result};
use gguflab_lab::{EngineSpecification, Laboratory, Parts, Stop};
use gguflab_types::Workload;
use signal_hook::consts::SIGINT;

/// The subject that bench and tune measure: a model by any of its names, an engine, this machine.
fn laboratory(
    model: Option<&str>,
    engine: &EngineSpecification,
    workload: &Workload,
    printer: &Printer,
) -> Result<Laboratory> {
    let model = model.map(settings::find_model).transpose()?;
    let cache = places::cache();
    let parts = Parts { model: model.as_deref(), engine, workload, cache: cache.as_deref() };
    let laboratory = Laboratory::prepare(&parts)?;
    introduce(&laboratory, printer);
    Ok(laboratory)
}

/// With `-v`: which versions are at work, and on what.
fn introduce(laboratory: &Laboratory, printer: &Printer) {
    if printer.verbosity() == 0 {
        return;
    }
    let subject = &laboratory.subject;
    let (engine, machine) = (&subject.engine, &subject.machine);
    printer.say(&format!("gguflab {}; engine {}: {}", env!("CARGO_PKG_VERSION"), engine.kind, engine.build));
    printer.say(&format!("uses {}", engine.backends.join(", ")));
    let cores = machine.cpu.physical_cores;
    printer.say(&format!(
        "on {} ({cores} cores), {}, kernel {}",
        machine.cpu.model, machine.system, machine.kernel
    ));
    printer.say(&format!("model {} {}", subject.model.file, subject.model.fingerprint));
}

/// A stop that Ctrl-C sets; a second Ctrl-C ends the program at once.
fn stop_on_interrupt() -> Result<Stop> {
    let stop = Stop::default();
    let code = i32::from(crate::exit::STOPPED);
    // The order matters: the second Ctrl-C finds the flag that the first one set.
    signal_hook::flag::register_conditional_shutdown(SIGINT, code, stop.flag())
        .and_then(|_| signal_hook::flag::register(SIGINT, stop.flag()))
        .context("cannot watch for Ctrl-C")?;
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.flag())
        .context("cannot watch for SIGTERM")?;
    Ok(stop)
}
