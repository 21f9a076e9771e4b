//! What was measured, as facts.

use gguflab_report::Cell;
use gguflab_types::{Subject, Unit};

/// Model, engine and machine.
pub(crate) fn facts(subject: &Subject) -> Vec<(String, Cell)> {
    let (model, engine, machine) = (&subject.model, &subject.engine, &subject.machine);
    let mut facts = Vec::new();
    // An engine by command may have in itself what it measures.
    if !model.fingerprint.is_empty() {
        facts.push(("model".to_string(), Cell::text(format!("{} ({})", model.name, model.file))));
        facts.push(("architecture".to_string(), Cell::text(&model.architecture)));
        facts.push(("tensors mostly".to_string(), Cell::text(&model.quantisation)));
        facts.push(("model size".to_string(), Cell::number(model.bytes as f64, Unit::Bytes)));
        facts.push(("fingerprint".to_string(), Cell::code(&model.fingerprint)));
    }
    facts.push(("engine".to_string(), Cell::text(format!("{}: {}", engine.kind, engine.build))));
    if !engine.backends.is_empty() {
        facts.push(("backends".to_string(), Cell::text(engine.backends.join(", "))));
    }
    if !engine.environment.is_empty() {
        let parts: Vec<String> =
            engine.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        facts.push(("environment".to_string(), Cell::code(parts.join(" "))));
    }
    if !engine.wrapper.is_empty() {
        facts.push(("wrapper".to_string(), Cell::code(engine.wrapper.join(" "))));
    }
    let cpu = &machine.cpu;
    let cores = format!("{} ({} cores, {} processors)", cpu.model, cpu.physical_cores, cpu.logical_cores);
    facts.push(("processor".to_string(), Cell::text(cores)));
    for device in &machine.devices {
        facts.push(("device".to_string(), Cell::text(format!("{}: {}", device.name, device.description))));
    }
    facts.push(("system".to_string(), Cell::text(format!("{}, kernel {}", machine.system, machine.kernel))));
    facts
}
