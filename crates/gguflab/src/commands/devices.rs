//! `gguflab devices`.

use crate::cli::Devices;
use crate::printer::Printer;
use crate::settings;
use anyhow::Result;
use gguflab_lab::{machine, open};
use std::process::ExitCode;

pub(crate) fn devices(arguments: &Devices, printer: &Printer) -> Result<ExitCode> {
    let mut machine = machine::detect();
    // The engine tells only of those that it can use.
    machine.devices = machine::graphics_cards();
    let warnings = machine::preflight(&machine);
    let specification = settings::engine(&arguments.engine)?;
    // The machine can be shown without an engine; that it cannot be used is then one more thing to say.
    let document = match open(&specification).and_then(|mut engine| Ok((engine.devices()?, engine))) {
        Ok((devices, engine)) => {
            let engine = Some((engine.identity(), devices.as_slice()));
            gguflab_lab::devices::devices(&machine, engine, &warnings)
        }
        Err(error) => {
            printer.warn(&error.to_string());
            gguflab_lab::devices::devices(&machine, None, &warnings)
        }
    };
    printer.document(&document)?;
    Ok(ExitCode::SUCCESS)
}
