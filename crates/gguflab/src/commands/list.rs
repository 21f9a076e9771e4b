//! `gguflab list` and `gguflab completions`: what there is, from the tables themselves.

use crate::cli::{Arguments, Completions, List, Listing};
use crate::printer::Printer;
use anyhow::Result;
use clap::CommandFactory;
use gguflab_lab::quality::QUALITIES;
use gguflab_lab::{ENGINES, PRESETS, PRUNERS, SAMPLERS, objective::OBJECTIVES};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::knob::{Flag, Scope};
use gguflab_types::{KNOBS, METRICS, WORKLOADS};
use std::process::ExitCode;

pub(crate) fn list(arguments: &List, printer: &Printer) -> Result<ExitCode> {
    let (title, table) = match arguments.what {
        Listing::Knobs => ("Knobs", knobs()),
        Listing::Metrics => ("Metrics", metrics()),
        Listing::Workloads => ("Workloads", workloads()),
        Listing::Engines => ("Engines", engines()),
        Listing::Objectives => ("Objectives", named(OBJECTIVES.iter().map(|row| (row.name, row.help)))),
        Listing::Presets => ("Presets", named(PRESETS.iter().map(|row| (row.name, row.help)))),
        Listing::Pruners => ("Pruners", named(PRUNERS.iter().map(|row| (row.name, row.help)))),
        Listing::Thresholds => ("Thresholds", thresholds()),
        Listing::Samplers => ("Samplers", named(SAMPLERS.iter().map(|row| (row.name, row.help)))),
    };
    let mut document = Document::new(title);
    document.table(table);
    printer.document(&document)?;
    Ok(ExitCode::SUCCESS)
}

fn knobs() -> Table {
    let columns = ["knob", "values", "changing it remakes", "llama-server", "llama-bench", "what it is"];
    let mut table = Table::new("", columns.map(Column::new));
    for knob in KNOBS {
        let remakes = match knob.scope {
            Scope::Context => "the context",
            Scope::Model => "the model",
            Scope::Process => "the process",
        };
        table.push([
            Cell::code(knob.name),
            Cell::text(knob.domain_in_words()),
            Cell::text(remakes),
            flag_cell(knob.server_flag),
            flag_cell(knob.bench_flag),
            Cell::text(knob.help),
        ]);
    }
    table
}

fn flag_cell(flag: Flag) -> Cell {
    match flag {
        Flag::None => Cell::missing("none"),
        Flag::Value(name) | Flag::OneZero(name) | Flag::ZeroOne(name) => Cell::code(name),
        Flag::Pair(on, off) => Cell::code(format!("{on}, {off}")),
    }
}

fn metrics() -> Table {
    let mut table = Table::new("", ["metric", "unit", "better", "what it is"].map(Column::new));
    let measured = METRICS.iter().map(|one| (one.name, one.unit, one.direction, one.help.to_string()));
    let qualities = QUALITIES.iter().map(|one| {
        let help = format!("{} (evaluate, and tune --require)", one.help);
        (one.name, one.unit, one.direction, help)
    });
    for (name, unit, direction, help) in measured.chain(qualities) {
        let better = match direction {
            gguflab_types::Direction::Higher => "higher",
            gguflab_types::Direction::Lower => "lower",
            gguflab_types::Direction::Neutral => "neither",
        };
        table.push([Cell::code(name), Cell::text(unit.symbol()), Cell::text(better), Cell::text(help)]);
    }
    table
}

fn workloads() -> Table {
    let columns = ["workload", "prompt", "depth", "generate", "concurrency", "what it is"];
    let mut table = Table::new("", columns.map(Column::new));
    for row in WORKLOADS {
        let request = row.request;
        let counts = [request.prompt, request.depth, request.generate, request.concurrency];
        let cells = counts.map(|count| Cell::count(u64::from(count)));
        table.push([Cell::code(row.name)].into_iter().chain(cells).chain([Cell::text(row.help)]));
    }
    table
}

fn thresholds() -> Table {
    let mut table = Table::new("", ["preset", "threshold", "workload", "what it is"].map(Column::new));
    for row in gguflab_lab::gate::threshold::PRESETS {
        let workload = if row.workload.is_empty() { "any" } else { row.workload };
        let cells = [Cell::code(row.name), Cell::code(row.threshold), Cell::text(workload)];
        table.push(cells.into_iter().chain([Cell::text(row.help)]));
    }
    table
}

fn engines() -> Table {
    let mut table = Table::new("", ["engine", "what it is"].map(Column::new));
    for row in ENGINES {
        let name =
            if row.target.is_empty() { row.name.to_string() } else { format!("{}={}", row.name, row.target) };
        table.push([Cell::code(name), Cell::text(row.help)]);
    }
    table
}

fn named(rows: impl Iterator<Item = (&'static str, &'static str)>) -> Table {
    let mut table = Table::new("", ["name", "what it is"].map(Column::new));
    for (name, help) in rows {
        table.push([Cell::code(name), Cell::text(help)]);
    }
    table
}

/// Prints a completion script.
pub(crate) fn completions(arguments: &Completions, printer: &Printer) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "gguflab", &mut script);
    printer.data(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
