//! `gguflab profile`.

use super::bench::Watcher;
use crate::cli::Profile;
use crate::exit::of_ending;
use crate::printer::{Printer, check_targets, write_document};
use crate::settings;
use anyhow::Result;
use gguflab_lab::operations::{OperationsRequest, dissect, document};
use gguflab_types::Configuration;
use std::process::ExitCode;

pub(crate) fn profile(arguments: &Profile, printer: &Printer) -> Result<ExitCode> {
    let workload = settings::workload(&arguments.workload, None)?;
    if workload.requests.len() > 1 {
        return settings::refuse(format!(
            "workload {} has {} requests and a profile is of one: give --prompt and --generate",
            workload.name,
            workload.requests.len()
        ));
    }
    let engine = settings::engine(&arguments.engine)?;
    let protocol = settings::protocol(&arguments.workload, arguments.repetitions)?;
    let first = settings::configuration(&arguments.set)?;
    check_targets(arguments.report.as_deref(), None)?;
    let mut laboratory = super::laboratory(Some(&arguments.model), &engine, &workload, printer)?;
    let against = arguments.against.as_deref().map(|text| beside(&first, text)).transpose()?;
    let asked = std::iter::once(first).chain(against);
    let configurations: Result<Vec<Configuration>, String> =
        asked.map(|one| one.checked(&laboratory.facts)).collect();
    let configurations = match configurations {
        Ok(configurations) => configurations,
        Err(reason) => return settings::refuse(reason),
    };
    if let [first, second] = configurations.as_slice()
        && first == second
    {
        return settings::refuse(format!("--against does the same as `{first}`: nothing can differ"));
    }
    let request =
        OperationsRequest { configurations, protocol, deadlines: settings::deadlines(&arguments.limits) };
    let stop = super::stop_on_interrupt()?;
    let mut watcher = Watcher::new(printer);
    let found = match dissect(&mut laboratory, &request, &stop, &mut watcher) {
        Ok(found) => found,
        Err(ending) => {
            printer.error(&format!("the profile ended as {}: {}", ending.outcome, ending.cause));
            return Ok(ExitCode::from(of_ending(&ending)));
        }
    };
    let document = document(&laboratory.subject, &found, &laboratory.warnings);
    printer.document(&document)?;
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The other configuration: the first one with these settings on top.
fn beside(first: &Configuration, text: &str) -> Result<Configuration> {
    let pairs: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    let further = settings::configuration(&pairs)?;
    Ok(further.settings().fold(first.clone(), |made, (name, value)| made.with(name, value.clone())))
}
