//! The machine, and its state while something was measured.

use crate::knob::Facts;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};

/// A machine as far as it matters for inference. What cannot be read is `None`, never guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and its version.
    pub system: String,
    /// Kernel release.
    pub kernel: String,
    /// The processors.
    pub cpu: Cpu,
    /// The memory.
    pub memory: Memory,
    /// GPUs and other devices besides the CPU.
    pub devices: Vec<Device>,
}

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Vendor's name of the model.
    pub model: String,
    /// Processor architecture such as `x86_64`.
    pub architecture: String,
    /// Physical cores that this process may use.
    pub physical_cores: u32,
    /// Logical processors that this process may use.
    pub logical_cores: u32,
    /// Processors of time that a container or cgroup allows, where there is a limit.
    pub quota: Option<f64>,
    /// Sockets.
    pub sockets: u32,
    /// NUMA nodes.
    pub numa_nodes: u32,
    /// Bytes of the largest cache of each level, from level 1 (data) up.
    pub caches: Vec<u64>,
    /// Instruction sets that matter to llama.cpp and that the processor has.
    pub instruction_sets: Vec<String>,
    /// Highest clock in hertz.
    pub highest_clock: Option<f64>,
    /// Frequency governor.
    pub governor: Option<String>,
}

/// The memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be had now without swapping.
    pub available: u64,
    /// The limit of the container or cgroup, where there is one.
    pub limit: Option<u64>,
    /// Swap space.
    pub swap: u64,
}

impl Memory {
    /// Bytes that a new process can take: what is available, within the limit.
    #[must_use]
    pub fn usable(&self) -> u64 {
        self.limit.map_or(self.available, |limit| limit.min(self.available))
    }
}

/// A device besides the CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The engine's name for it, such as `CUDA0`.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Bytes of its memory.
    pub memory_total: u64,
    /// Bytes of its memory that are free.
    pub memory_free: u64,
    /// Driver version.
    pub driver: Option<String>,
    /// Whether it is a GPU (an integrated one too), not an accelerator library for the CPU.
    pub gpu: bool,
}

impl Machine {
    /// GPUs among the devices.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        u32::try_from(self.devices.iter().filter(|device| device.gpu).count()).unwrap_or(u32::MAX)
    }

    /// Bytes of memory that all GPUs together have free.
    #[must_use]
    pub fn device_memory(&self) -> f64 {
        self.devices.iter().filter(|device| device.gpu).map(|device| device.memory_free as f64).sum()
    }

    /// What knobs depend on, for a model of so many layers and experts (0: dense) and a workload on this machine.
    #[must_use]
    pub fn facts(&self, layers: u32, experts: u32, workload: &Workload) -> Facts {
        Facts {
            physical_cores: self.cpu.physical_cores.max(1),
            logical_cores: self.cpu.logical_cores.max(1),
            numa_nodes: self.cpu.numa_nodes.max(1),
            gpus: self.gpus(),
            layers,
            experts,
            prompt_tokens: workload.prompt_tokens(),
            context: workload.context(),
            concurrency: workload.concurrency(),
            ..Facts::default()
        }
    }
}

/// The machine's state around one repetition. What cannot be read is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineState {
    /// Load average over one minute.
    pub load: Option<f64>,
    /// Share of the wall time in which some task waited for a processor (pressure stall information).
    pub pressure: Option<f64>,
    /// Share of all processor time that the hypervisor took.
    pub steal: Option<f64>,
    /// Share of all processor time used by other processes than the engine's.
    pub foreign: Option<f64>,
    /// The same while the prompt was processed, and while tokens were generated, where the engine says when one ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_prompt: Option<f64>,
    /// See there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_generation: Option<f64>,
    /// Processor seconds of the engine for each second of wall time.
    pub cpu_per_wall: Option<f64>,
    /// Mean clock of the processors in hertz.
    pub clock: Option<f64>,
    /// Highest temperature in degrees Celsius.
    pub temperature: Option<f64>,
    /// Joules that the processors' packages took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<f64>,
    /// Joules that all NVIDIA GPUs of the machine took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_energy: Option<f64>,
    /// Throttling that happened in between, in words.
    pub throttled: Option<String>,
    /// Bytes of memory available.
    pub memory_available: Option<u64>,
}
