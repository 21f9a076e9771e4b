//! What this machine has and what of it the engine can use.

mod graphics;
mod instructions;

use gguflab_report::{Cell, Document, Tone};
use gguflab_types::machine::{Cpu, Device, Memory};
use gguflab_types::{EngineIdentity, Machine, Unit};

/// Describes the machine and the engine.
///
/// [`Machine::devices`] are the cards that the system itself knows of (`gguflab_engine::machine::graphics_cards`);
/// the devices beside the engine's identity are those that the engine can use. `warnings` are shown as they are
/// (those of `gguflab_engine::machine::preflight`, or why the engine could not be asked).
#[must_use]
pub fn devices(
    machine: &Machine,
    engine: Option<(&EngineIdentity, &[Device])>,
    warnings: &[String],
) -> Document {
    let told = engine.map(|(identity, _)| Told::read(identity));
    let mut document = Document::new("This machine");
    document.facts([("system", words(&machine.system)), ("kernel", words(&machine.kernel))]);
    document.heading(1, "Processor").facts(processor(&machine.cpu));
    instructions::describe(&mut document, &machine.cpu, told.as_ref());
    document.heading(1, "Memory").facts(memory(&machine.memory));
    graphics::describe(&mut document, machine, engine);
    document.heading(1, "Engine");
    match (engine, &told) {
        (Some((identity, _)), Some(told)) => describe_engine(&mut document, identity, told),
        _ => {
            document.paragraph("No engine was asked what it can use.");
        }
    }
    for warning in warnings {
        document.warning(warning.as_str());
    }
    document
}

/// What an engine says of itself, sorted.
struct Told {
    /// Whether it is a build of this project's own worker, which the reader can build anew.
    own: bool,
    /// Backends, such as `CPU` and `CUDA`.
    backends: Vec<String>,
    /// Instruction sets and libraries, as llama.cpp names them.
    features: Vec<String>,
}

/// Libraries and ways of computing among the features that llama.cpp lists (`ggml_backend_cpu_get_features` of
/// b11434); everything else there is an instruction set.
const LIBRARIES: [&str; 6] = ["LLAMAFILE", "ACCELERATE", "CPU_HBM", "OPENMP", "KLEIDIAI", "REPACK"];

impl Told {
    /// Backends come first in [`EngineIdentity::backends`], then the features, of which the first is always an
    /// instruction set, a library or a `NAME=NUMBER`.
    fn read(identity: &EngineIdentity) -> Told {
        let feature = |name: &String| {
            name.contains('=') || LIBRARIES.contains(&name.as_str()) || instructions::is_engine_name(name)
        };
        let backends: Vec<String> =
            identity.backends.iter().take_while(|name| !feature(name)).cloned().collect();
        let features = identity.backends.iter().skip(backends.len()).cloned().collect();
        Told { own: identity.kind == "embedded", backends, features }
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|name| name == feature)
    }
}

fn processor(cpu: &Cpu) -> Vec<(String, Cell)> {
    let mut rows = vec![
        ("model".to_string(), words(&cpu.model)),
        ("architecture".to_string(), words(&cpu.architecture)),
        ("physical cores".to_string(), Cell::count(cpu.physical_cores.into())),
        ("logical processors".to_string(), Cell::count(cpu.logical_cores.into())),
        (
            "processor time allowed".to_string(),
            match cpu.quota {
                Some(quota) => Cell::number(quota, Unit::Count),
                None => Cell::text("no limit"),
            },
        ),
        ("sockets".to_string(), Cell::count(cpu.sockets.into())),
        ("NUMA nodes".to_string(), Cell::count(cpu.numa_nodes.into())),
    ];
    for (level, bytes) in (1..).zip(&cpu.caches).filter(|(_, bytes)| **bytes > 0) {
        rows.push((format!("level {level} cache"), bytes_cell(*bytes)));
    }
    let clock = cpu.highest_clock.map_or(unknown(), |hertz| Cell::number(hertz, Unit::Hertz));
    rows.push(("highest clock".to_string(), clock));
    rows.push(("frequency governor".to_string(), words(cpu.governor.as_deref().unwrap_or_default())));
    rows
}

fn memory(memory: &Memory) -> Vec<(&'static str, Cell)> {
    vec![
        ("total", bytes_cell(memory.total)),
        ("available", bytes_cell(memory.available)),
        ("limit", memory.limit.map_or(Cell::text("no limit"), bytes_cell)),
        ("usable by an engine", bytes_cell(memory.usable())),
        ("swap", Cell::number(memory.swap as f64, Unit::Bytes)),
    ]
}

fn describe_engine(document: &mut Document, identity: &EngineIdentity, told: &Told) {
    let list = |names: &[String]| words(&names.join(", "));
    let others: Vec<String> =
        told.features.iter().filter(|name| !instructions::is_engine_name(name)).cloned().collect();
    let mut rows = vec![
        ("kind", words(&identity.kind)),
        ("build", words(&identity.build)),
        ("backends", list(&told.backends)),
        ("libraries and other features", list(&others)),
    ];
    if !identity.wrapper.is_empty() {
        rows.push(("wrapper command", Cell::code(identity.wrapper.join(" "))));
    }
    if !identity.library_paths.is_empty() {
        rows.push(("library paths", Cell::code(identity.library_paths.join(":"))));
    }
    let present = told.backends.iter().any(|name| name == "RPC");
    if told.own {
        let (text, tone) = if present { ("built in", Tone::Good) } else { ("not built in", Tone::Neutral) };
        rows.push(("devices of other machines (RPC)", Cell::status(text, tone)));
    }
    document.facts(rows);
    if told.own && !present {
        document.information(
            "this engine was built without RPC: build it in the project's folder, where the cargo settings say \
             GGML_RPC=ON, with `cargo build --release -p gguflab-worker`",
        );
    }
}

fn words(text: &str) -> Cell {
    if text.is_empty() { unknown() } else { Cell::text(text) }
}

fn bytes_cell(bytes: u64) -> Cell {
    if bytes == 0 { unknown() } else { Cell::number(bytes as f64, Unit::Bytes) }
}

fn unknown() -> Cell {
    Cell::missing("not known")
}

#[cfg(test)]
mod tests;
