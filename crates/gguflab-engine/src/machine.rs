//! What machine this is: processors, memory, graphics cards; and what would spoil a measurement on it.
//!
//! Linux is read from `/proc` and `/sys`, macOS from `sysctl`, Windows from PowerShell. Everything below
//! [`detect`] takes text or a folder that stands for `/`, so that it is tested on recorded machines. What cannot
//! be read stays empty and is never guessed.

// The parts for Linux are compiled everywhere, so that they cannot rot; elsewhere not all of them are used.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod cgroup;
mod command;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod cores;
pub(crate) mod files;
mod graphics;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
mod preflight;
#[cfg(any(windows, test))]
mod windows;
mod wsl;

use gguflab_types::machine::{Device, Machine};

pub use preflight::preflight;
pub use wsl::in_wsl;

/// This machine as this process may use it: affinity masks and container limits are taken into account.
///
/// [`Machine::devices`] stays empty: which devices count is the engine's word ([`crate::Engine::devices`]);
/// [`graphics_cards`] lists the cards that the system itself knows of.
#[must_use]
pub fn detect() -> Machine {
    let mut machine = of_this_system();
    machine.cpu.architecture = std::env::consts::ARCH.to_string();
    let available = std::thread::available_parallelism().map_or(1, |count| count.get());
    let available = u32::try_from(available).unwrap_or(u32::MAX);
    let cpu = &mut machine.cpu;
    if cpu.logical_cores == 0 {
        cpu.logical_cores = available;
    }
    if cpu.physical_cores == 0 {
        cpu.physical_cores = cpu.logical_cores;
    }
    cpu.sockets = cpu.sockets.max(1);
    cpu.numa_nodes = cpu.numa_nodes.max(1);
    machine
}

/// Graphics cards that the system knows of (NVIDIA through `nvidia-smi`, AMD through `/sys/class/drm`), whether
/// or not the engine can use them. Waits at most 5 seconds for `nvidia-smi`.
#[must_use]
pub fn graphics_cards() -> Vec<Device> {
    let mut cards = graphics::nvidia();
    cards.extend(graphics::amd(&files::Files::system()));
    cards
}

/// Memory as `/proc/meminfo` tells it.
pub(crate) fn memory_of(text: &str) -> gguflab_types::machine::Memory {
    linux::memory(text)
}

/// How often and how long a container's processor quota has stopped it so far: periods, seconds.
pub(crate) fn quota_stops(files: &files::Files) -> Option<(u64, f64)> {
    cgroup::throttled(files)
}

#[cfg(target_os = "linux")]
fn of_this_system() -> Machine {
    linux::read(&files::Files::system(), linux::affinity().as_ref())
}

#[cfg(target_os = "macos")]
fn of_this_system() -> Machine {
    macos::read()
}

#[cfg(windows)]
fn of_this_system() -> Machine {
    windows::read()
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn of_this_system() -> Machine {
    Machine { system: std::env::consts::OS.to_string(), ..Machine::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_an_architecture() {
        let machine = detect();
        assert!(machine.cpu.physical_cores >= 1, "{machine:?}");
        assert!(machine.cpu.logical_cores >= machine.cpu.physical_cores, "{machine:?}");
        assert_eq!(machine.cpu.architecture, std::env::consts::ARCH);
        assert!(machine.devices.is_empty());
        if cfg!(target_os = "linux") {
            assert!(machine.memory.total > 0 && machine.memory.usable() <= machine.memory.total);
            assert!(!machine.kernel.is_empty() && !machine.system.is_empty());
        }
    }
}
