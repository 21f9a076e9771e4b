//! What is measured: model, engine and machine.

use crate::machine::{Cpu, Machine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The model file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// The model's own name.
    pub name: String,
    /// File name without folder.
    pub file: String,
    /// Hash of the content: `sha256:…`, or `sha256-sampled:…` for large files.
    pub fingerprint: String,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Architecture, such as `llama`.
    pub architecture: String,
    /// Hash of the tokenizer's metadata.
    pub tokenizer: String,
    /// Parameters.
    pub parameters: u64,
    /// Name of the dominant tensor type, such as `Q4_1`.
    pub quantisation: String,
}

/// The engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineIdentity {
    /// Kind of engine, such as `embedded` or `llama-bench`.
    pub kind: String,
    /// Build: version, commit, compiler, as the engine tells it.
    pub build: String,
    /// Backends and instruction sets that it uses.
    pub backends: Vec<String>,
    /// Environment variables that were set for it.
    pub environment: BTreeMap<String, String>,
    /// Command that it was wrapped in, such as `numactl --interleave=all`.
    pub wrapper: Vec<String>,
    /// Folders that were added to the search path of libraries.
    pub library_paths: Vec<String>,
}

/// What is measured. Samples of different subjects are never pooled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The model.
    pub model: ModelIdentity,
    /// The engine.
    pub engine: EngineIdentity,
    /// The machine.
    pub machine: Machine,
}

/// One way in which two subjects differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, such as `model fingerprint`.
    pub what: &'static str,
    /// In the first subject.
    pub first: String,
    /// In the second subject.
    pub second: String,
    /// Whether samples may no longer be pooled; otherwise it is only recorded and warned of.
    pub essential: bool,
}

impl Subject {
    /// How two subjects differ. Essential: other model, tokenizer, engine, CPU or device. A new kernel, driver,
    /// governor or free memory is recorded and warned of.
    #[must_use]
    pub fn differences(&self, other: &Subject) -> Vec<Difference> {
        let (mine, theirs) = (self, other);
        let (cpu, their_cpu) = (&mine.machine.cpu, &theirs.machine.cpu);
        let rows: [(&'static str, String, String, bool); 18] = [
            ("model fingerprint", mine.model.fingerprint.clone(), theirs.model.fingerprint.clone(), true),
            ("tokenizer", mine.model.tokenizer.clone(), theirs.model.tokenizer.clone(), true),
            ("engine", mine.engine.kind.clone(), theirs.engine.kind.clone(), true),
            ("engine build", mine.engine.build.clone(), theirs.engine.build.clone(), true),
            ("engine backends", mine.engine.backends.join(", "), theirs.engine.backends.join(", "), true),
            ("engine environment", environment(&mine.engine), environment(&theirs.engine), true),
            ("engine wrapper", mine.engine.wrapper.join(" "), theirs.engine.wrapper.join(" "), true),
            (
                "library paths",
                mine.engine.library_paths.join(":"),
                theirs.engine.library_paths.join(":"),
                true,
            ),
            ("CPU", cpu.model.clone(), their_cpu.model.clone(), true),
            ("physical cores", cpu.physical_cores.to_string(), their_cpu.physical_cores.to_string(), true),
            ("logical processors", cpu.logical_cores.to_string(), their_cpu.logical_cores.to_string(), true),
            ("processor quota", quota(cpu), quota(their_cpu), true),
            ("NUMA nodes", cpu.numa_nodes.to_string(), their_cpu.numa_nodes.to_string(), true),
            ("devices", devices(&mine.machine), devices(&theirs.machine), true),
            ("memory", mine.machine.memory.total.to_string(), theirs.machine.memory.total.to_string(), false),
            ("kernel", mine.machine.kernel.clone(), theirs.machine.kernel.clone(), false),
            ("governor", governor(&mine.machine), governor(&theirs.machine), false),
            ("drivers", drivers(&mine.machine), drivers(&theirs.machine), false),
        ];
        rows.into_iter()
            .filter(|(_, first, second, _)| first != second)
            .map(|(what, first, second, essential)| Difference { what, first, second, essential })
            .collect()
    }
}

fn environment(engine: &EngineIdentity) -> String {
    let parts: Vec<String> =
        engine.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(" ")
}

fn devices(machine: &Machine) -> String {
    let names: Vec<&str> = machine.devices.iter().map(|device| device.description.as_str()).collect();
    names.join(", ")
}

fn drivers(machine: &Machine) -> String {
    let names: Vec<&str> = machine.devices.iter().filter_map(|device| device.driver.as_deref()).collect();
    names.join(", ")
}

fn quota(cpu: &Cpu) -> String {
    cpu.quota.map_or_else(|| "none".to_string(), |processors| processors.to_string())
}

fn governor(machine: &Machine) -> String {
    machine.cpu.governor.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_is_essential_and_another_kernel_is_not() {
        let first = Subject::default();
        let mut second = first.clone();
        assert_eq!(first.differences(&second), []);
        second.machine.kernel = "6.1".into();
        second.model.fingerprint = "sha256:1".into();
        let differences = first.differences(&second);
        let essential: Vec<_> = differences.iter().map(|row| (row.what, row.essential)).collect();
        assert_eq!(essential, [("model fingerprint", true), ("kernel", false)]);
    }
}
