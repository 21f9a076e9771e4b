//! The machines that can be simulated: one table.

use gguflab_types::machine::{Cpu, Device, Machine, Memory};
use gguflab_types::{Configuration, ModelIdentity};

/// A machine with a model on it.
#[derive(Debug, PartialEq)]
pub struct PresetRow {
    /// Its name.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Physical cores.
    pub cores: u32,
    /// Logical processors.
    pub logical: u32,
    /// Sockets, each a NUMA node of its own.
    pub sockets: u32,
    /// Bytes of memory of the host.
    pub memory: u64,
    /// Bytes per second that all cores together read from memory.
    pub bandwidth: f64,
    /// Prompt tokens per second of one core at best.
    pub core_speed: f64,
    /// Bytes of the model.
    pub model_bytes: f64,
    /// Share of the bytes that one token needs: 1 for a dense model.
    pub active: f64,
    /// Bytes of cache for each token (K and V, 16 bits).
    pub cache_bytes: f64,
    /// Layers.
    pub layers: u32,
    /// Experts, 0 for a dense model.
    pub experts: u32,
    /// The graphics card.
    pub graphics: Option<Graphics>,
    /// Factor by which a forecast of the card's memory is wrong.
    pub forecast_error: f64,
    /// What else is special about it.
    pub temper: Temper,
}

/// Shorter, within the engine.
pub(super) type Preset = PresetRow;

/// A simulated graphics card.
#[derive(Debug, PartialEq)]
pub struct Graphics {
    /// Bytes of its memory.
    pub memory: f64,
    /// Bytes per second that it reads from its memory.
    pub bandwidth: f64,
    /// Prompt tokens per second at best.
    pub speed: f64,
    /// Bytes per second from the host.
    pub link: f64,
}

/// How a preset behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// As physics has it.
    Normal,
    /// No knob changes anything.
    Flat,
    /// Some settings run out of memory, crash, hang or are refused.
    Hostile,
}

const LAPTOP: PresetRow = PresetRow {
    name: "laptop",
    help: "four cores with two threads each, a dense model of 1 GB",
    cores: 4,
    logical: 8,
    sockets: 1,
    memory: 16 << 30,
    bandwidth: 40e9,
    core_speed: 60.0,
    model_bytes: 1e9,
    active: 1.0,
    cache_bytes: 32_768.0,
    layers: 24,
    experts: 0,
    graphics: None,
    forecast_error: 1.06,
    temper: Temper::Normal,
};

/// Every preset; the first is the default.
pub const PRESETS: &[PresetRow] = &[
    LAPTOP,
    PresetRow {
        name: "gpu",
        help: "eight cores and a graphics card whose memory just holds a dense model of 5 GB",
        cores: 8,
        logical: 16,
        memory: 32 << 30,
        bandwidth: 60e9,
        core_speed: 12.0,
        model_bytes: 5e9,
        cache_bytes: 131_072.0,
        layers: 32,
        graphics: Some(Graphics { memory: 5.8e9, bandwidth: 400e9, speed: 2500.0, link: 12e9 }),
        ..LAPTOP
    },
    PresetRow {
        name: "card",
        help: "six cores and a graphics card whose memory holds under half of a dense model of 5 GB",
        cores: 6,
        logical: 12,
        memory: 32 << 30,
        bandwidth: 50e9,
        core_speed: 12.0,
        model_bytes: 5e9,
        cache_bytes: 131_072.0,
        layers: 32,
        graphics: Some(Graphics { memory: 2.6e9, bandwidth: 300e9, speed: 1500.0, link: 6e9 }),
        ..LAPTOP
    },
    PresetRow {
        name: "moe",
        help: "sixteen cores and a graphics card that holds under half of a model of 18 GB with 64 experts",
        cores: 16,
        logical: 32,
        memory: 64 << 30,
        bandwidth: 90e9,
        core_speed: 14.0,
        model_bytes: 18e9,
        active: 0.15,
        cache_bytes: 98_304.0,
        layers: 32,
        experts: 64,
        graphics: Some(Graphics { memory: 8e9, bandwidth: 500e9, speed: 3000.0, link: 20e9 }),
        forecast_error: 0.94,
        ..LAPTOP
    },
    PresetRow {
        name: "server",
        help: "two sockets of thirty-two cores with memory of their own, a dense model of 20 GB",
        cores: 64,
        logical: 128,
        sockets: 2,
        memory: 256 << 30,
        bandwidth: 300e9,
        core_speed: 4.0,
        model_bytes: 20e9,
        cache_bytes: 196_608.0,
        layers: 48,
        ..LAPTOP
    },
    PresetRow {
        name: "flat",
        help: "the laptop, but no knob changes anything",
        temper: Temper::Flat,
        ..LAPTOP
    },
    PresetRow {
        name: "hostile",
        help: "the laptop with settings that run out of memory, crash, hang or are refused",
        temper: Temper::Hostile,
        ..LAPTOP
    },
];

/// The preset of this name.
pub(super) fn find(name: &str) -> Option<&'static PresetRow> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl PresetRow {
    /// The machine that it stands for.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine {
            system: "simulated".to_string(),
            kernel: String::new(),
            cpu: Cpu {
                model: format!("simulated {}", self.name),
                architecture: "simulated".to_string(),
                physical_cores: self.cores,
                logical_cores: self.logical,
                sockets: self.sockets,
                numa_nodes: self.sockets,
                ..Cpu::default()
            },
            memory: Memory { total: self.memory, available: self.memory / 8 * 7, limit: None, swap: 0 },
            devices: self.devices(),
        }
    }

    /// The model that it runs.
    #[must_use]
    pub fn model(&self) -> ModelIdentity {
        ModelIdentity {
            name: format!("simulated {}", self.name),
            file: format!("simulated-{}.gguf", self.name),
            fingerprint: format!("simulated:{}", self.name),
            bytes: self.model_bytes as u64,
            architecture: if self.experts > 0 { "simulated-moe" } else { "simulated" }.to_string(),
            tokenizer: "simulated".to_string(),
            parameters: (self.model_bytes / 0.6) as u64,
            quantisation: "Q4_K".to_string(),
        }
    }

    pub(super) fn backends(&self) -> Vec<String> {
        let names = ["simulated CPU", "simulated GPU"];
        let count = 1 + usize::from(self.graphics.is_some());
        names.into_iter().take(count).map(str::to_string).collect()
    }

    /// Seconds to load the model; from the page cache unless `cold`.
    pub(super) fn load_seconds(&self, configuration: &Configuration, cold: bool) -> f64 {
        let mapped = !configuration.is_word("load-mode", &["none", "dio"]);
        let speed = match (cold, mapped) {
            (true, true) => 1.5e9,
            (true, false) => 2.0e9,
            (false, true) => 10e9,
            (false, false) => 5e9,
        };
        0.05 + self.model_bytes / speed
    }

    fn devices(&self) -> Vec<Device> {
        let card = |graphics: &Graphics| Device {
            name: "SIM0".to_string(),
            description: "simulated graphics card".to_string(),
            memory_total: graphics.memory as u64,
            memory_free: graphics.memory as u64,
            driver: None,
            gpu: true,
        };
        self.graphics.iter().map(card).collect()
    }
}
