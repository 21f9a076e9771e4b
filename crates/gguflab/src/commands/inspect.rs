//! `gguflab inspect`.

use crate::cli::Inspect;
use crate::printer::Printer;
use crate::settings;
use anyhow::Result;
use gguflab_lab::machine;
use std::process::ExitCode;

pub(crate) fn inspect(arguments: &Inspect, printer: &Printer) -> Result<ExitCode> {
    let path = settings::find_model(&arguments.model)?;
    printer.document(&gguflab_lab::inspect::inspect(&path, &machine::detect())?)?;
    Ok(ExitCode::SUCCESS)
}
