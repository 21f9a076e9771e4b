//! The command line of the laboratory: arguments → settings → call → print.

mod cli;
mod commands;
mod defaults;
mod exit;
mod places;
mod printer;
mod settings;
mod side;
mod space;

use cli::{Arguments, Verb};
use printer::Printer;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (arguments, files) = match defaults::parse() {
        Ok(parsed) => parsed,
        Err(error) => return exit::usage(&error),
    };
    let printer = Printer::new(&arguments.global);
    match files.map_err(Into::into).and_then(|()| run(arguments, &printer)) {
        Ok(code) => code,
        Err(error) => exit::report(&error, &printer),
    }
}

fn run(arguments: Arguments, printer: &Printer) -> anyhow::Result<ExitCode> {
    match arguments.verb {
        Verb::Inspect(inspect) => commands::inspect::inspect(&inspect, printer),
        Verb::Devices(devices) => commands::devices::devices(&devices, printer),
        Verb::Bench(bench) => commands::bench::bench(&bench, printer),
        Verb::Profile(profile) => commands::profile::profile(&profile, printer),
        Verb::Tune(tune) => commands::tune::tune(&tune, printer),
        Verb::Compare(compare) => commands::compare::compare(&compare, printer),
        Verb::Evaluate(evaluate) => commands::evaluate::evaluate(&evaluate, printer),
        Verb::Logits(logits) => commands::logits::logits(&logits, printer),
        Verb::Bisect(bisect) => commands::bisect::bisect(&bisect, printer),
        Verb::Gate(gate) => commands::gate::gate(&gate, printer),
        Verb::History(history) => commands::gate::history(&history, printer),
        Verb::Dataset(dataset) => commands::dataset::dataset(&dataset, printer),
        Verb::Report(report) => commands::report::report(&report, printer),
        Verb::Export(export) => commands::report::export(&export, printer),
        Verb::Study(study) => commands::study::study(&study, printer),
        Verb::List(list) => commands::list::list(&list, printer),
        Verb::Completions(completions) => commands::list::completions(&completions, printer),
    }
}
