//! What would spoil a measurement on this machine right now.

use super::files::Files;
use crate::telemetry::{Tenant, Watch, strangers};
use gguflab_types::machine::{Machine, MachineState};
use std::time::Duration;

/// How long the machine is watched. Counters tick 100 times a second, so shares are exact to about 5 % of a core.
const WATCHED: Duration = Duration::from_millis(200);
/// Processors' worth of other work that is worth a warning.
const FOREIGN_CORES: f64 = 0.25;
/// Share of time in which a task waited for a processor.
const PRESSURE: f64 = 0.10;
/// Share of processor time taken by the hypervisor.
const STEAL: f64 = 0.01;
/// Degrees Celsius from which processors slow themselves down soon.
const HOT: f64 = 90.0;
/// Bytes of memory below which even small models swap.
const LITTLE_MEMORY: u64 = 1 << 30;

/// Warnings, one sentence each, empty when all is well. Takes 0.2 seconds to see how busy the machine is. On
/// other systems than Linux only memory is looked at.
#[must_use]
pub fn preflight(machine: &Machine) -> Vec<String> {
    let files = Files::system();
    let watch = Watch::with_gpus(None, f64::INFINITY);
    std::thread::sleep(WATCHED);
    let state = watch.finish(Some(0.0), WATCHED.as_secs_f64());
    let mut warnings = warnings(machine, &files, &state);
    warnings.extend(shared(&strangers()));
    warnings
}

/// Other programs on a GPU take of its time, which nothing that is measured tells, and of its memory.
fn shared(strangers: &[Tenant]) -> Option<String> {
    let words = |one: &Tenant| {
        let memory = one.bytes.map(|bytes| format!(", {} MB", bytes / 1_000_000)).unwrap_or_default();
        format!("process {} on GPU {}{memory}", one.process, one.gpu)
    };
    let all: Vec<String> = strangers.iter().map(words).collect();
    (!all.is_empty()).then(|| {
        format!(
            "other programs compute on the GPU ({}): what they take of it is missing here",
            all.join("; ")
        )
    })
}

fn warnings(machine: &Machine, files: &Files, state: &MachineState) -> Vec<String> {
    [
        battery(files),
        governor(machine, files),
        capped_clock(files),
        busy(state, crate::telemetry::processors()),
        steal(state),
        heat(state),
        memory(machine),
        quota(machine),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn battery(files: &Files) -> Option<String> {
    let folder = "sys/class/power_supply";
    let field = |name: &str, field: &str| files.text(&format!("{folder}/{name}/{field}"));
    let discharging = files.names(folder).into_iter().find(|name| {
        let own = field(name, "scope").as_deref() != Some("Device"); // a mouse has a battery too
        own && field(name, "type").as_deref() == Some("Battery")
            && field(name, "status").as_deref() == Some("Discharging")
    })?;
    Some(format!("running on battery ({discharging}): plug it in, clocks are lower on battery"))
}

/// `powersave` slows a processor down only where the driver does not choose the clock itself.
fn governor(machine: &Machine, files: &Files) -> Option<String> {
    let governor = machine.cpu.governor.as_deref()?;
    let folder = "sys/devices/system/cpu/cpu0/cpufreq";
    let driver = files.text(&format!("{folder}/scaling_driver")).unwrap_or_default();
    let preference = files.text(&format!("{folder}/energy_performance_preference")).unwrap_or_default();
    let own_choice = matches!(driver.as_str(), "intel_pstate" | "amd-pstate-epp" | "amd_pstate_epp");
    if own_choice && matches!(preference.as_str(), "power" | "balance_power") {
        return Some(format!(
            "the processor saves power (energy preference `{preference}`): choose the performance profile, \
             for example `powerprofilesctl set performance`"
        ));
    }
    let saving = governor.split('/').any(|name| matches!(name, "powersave" | "conservative"));
    (saving && !own_choice).then(|| {
        format!(
            "the frequency governor is `{governor}`: set `performance`, \
             for example `sudo cpupower frequency-set -g performance`"
        )
    })
}

fn capped_clock(files: &Files) -> Option<String> {
    let clock = |name: &str| files.number::<f64>(&format!("sys/devices/system/cpu/cpu0/cpufreq/{name}"));
    let (allowed, possible) = (clock("scaling_max_freq")?, clock("cpuinfo_max_freq")?);
    (allowed < 0.95 * possible).then(|| {
        format!(
            "the clock is held at {:.1} of {:.1} GHz: lift the limit (scaling_max_freq) or take it as given",
            allowed / 1e6,
            possible / 1e6
        )
    })
}

fn busy(state: &MachineState, processors: u32) -> Option<String> {
    let cores = state.foreign.map(|share| share * f64::from(processors));
    let pressure = state.pressure.unwrap_or(0.0);
    match cores {
        Some(cores) if cores > FOREIGN_CORES => Some(format!(
            "other programs use {cores:.1} of {processors} processors: end them, or expect noisy numbers"
        )),
        _ if pressure > PRESSURE => Some(format!(
            "programs wait for a processor {:.0} % of the time: end some, or expect noisy numbers",
            100.0 * pressure
        )),
        _ => None,
    }
}

fn steal(state: &MachineState) -> Option<String> {
    let share = state.steal.filter(|&share| share > STEAL)?;
    Some(format!(
        "the hypervisor takes {:.0} % of the processor time: this virtual machine shares its processors with others",
        100.0 * share
    ))
}

fn heat(state: &MachineState) -> Option<String> {
    if let Some(reason) = &state.throttled {
        return Some(format!(
            "this machine is being slowed down ({reason}): see to its cooling and its power"
        ));
    }
    let temperature = state.temperature.filter(|&temperature| temperature >= HOT)?;
    Some(format!("the processor is at {temperature:.0} °C: let it cool down, it slows itself down when hot"))
}

fn memory(machine: &Machine) -> Option<String> {
    let (usable, total) = (machine.memory.usable(), machine.memory.total);
    (total > 0 && usable < LITTLE_MEMORY.min(total / 4)).then(|| {
        format!(
            "only {} MB of memory can be used: end other programs, or models will swap",
            usable / 1_000_000
        )
    })
}

fn quota(machine: &Machine) -> Option<String> {
    let quota = machine.cpu.quota?;
    (quota < f64::from(machine.cpu.logical_cores)).then(|| {
        format!(
            "this container may use {quota:.1} processors' worth of time on {} processors: more threads than that \
             are stopped again and again",
            machine.cpu.logical_cores
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;
    use gguflab_types::machine::{Cpu, Memory};

    fn machine() -> Machine {
        Machine {
            cpu: Cpu { logical_cores: 8, physical_cores: 4, ..Cpu::default() },
            memory: Memory { total: 16 << 30, available: 8 << 30, limit: None, swap: 0 },
            ..Machine::default()
        }
    }

    fn check(machine: &Machine, layout: &[(&str, &str)], state: &MachineState, expected: &[&str]) {
        let folder = lay_out(layout);
        let warnings = warnings(machine, &Files::under(folder.path()), state);
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{warning}");
        }
    }

    #[test]
    fn a_quiet_machine_has_nothing_to_warn_of() {
        let quiet = MachineState { foreign: Some(0.0), pressure: Some(0.01), ..MachineState::default() };
        check(&machine(), &[("sys/class/power_supply/AC/type", "Mains\n")], &quiet, &[]);
        check(&machine(), &[], &MachineState::default(), &[]);
    }

    #[test]
    fn batteries_count_when_they_are_the_machines_own() {
        let battery = |scope: &'static str, status: &'static str| {
            [
                ("sys/class/power_supply/BAT0/type", "Battery\n"),
                ("sys/class/power_supply/BAT0/scope", scope),
                ("sys/class/power_supply/BAT0/status", status),
            ]
        };
        let state = MachineState::default();
        check(&machine(), &battery("System", "Discharging\n"), &state, &["BAT0"]);
        check(&machine(), &battery("System", "Charging\n"), &state, &[]);
        check(&machine(), &battery("Device", "Discharging\n"), &state, &[]);
    }

    #[test]
    fn governors_save_power_unless_the_driver_chooses_itself() {
        let mut saving = machine();
        saving.cpu.governor = Some("powersave".into());
        let folder = "sys/devices/system/cpu/cpu0/cpufreq";
        let (driver, preference) =
            (format!("{folder}/scaling_driver"), format!("{folder}/energy_performance_preference"));
        let state = MachineState::default();
        check(&saving, &[(&driver, "acpi-cpufreq")], &state, &["`powersave`"]);
        check(&saving, &[(&driver, "intel_pstate"), (&preference, "balance_performance")], &state, &[]);
        check(&saving, &[(&driver, "intel_pstate"), (&preference, "power")], &state, &["`power`"]);
    }

    #[test]
    fn strangers_on_a_gpu_are_named() {
        assert_eq!(shared(&[]), None);
        let known = Tenant { gpu: 0, process: 77, bytes: Some(12_300_000_000) };
        let silent = Tenant { gpu: 1, process: 78, bytes: None };
        let words = shared(&[known, silent]).unwrap();
        assert!(words.contains("(process 77 on GPU 0, 12300 MB; process 78 on GPU 1)"), "{words}");
    }

    #[test]
    fn load_steal_heat_memory_limits_and_quotas_are_told() {
        let mut poor = machine();
        poor.memory.available = 500 << 20;
        poor.cpu.quota = Some(1.5);
        let state = MachineState {
            foreign: Some(0.9),
            steal: Some(0.2),
            temperature: Some(97.0),
            ..MachineState::default()
        };
        let capped = [
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1200000"),
            ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3600000"),
        ];
        let expected = [
            "1.2 of 3.6 GHz",
            "other programs use",
            "takes 20 %",
            "97 °C",
            "524 MB",
            "1.5 processors' worth",
        ];
        check(&poor, &capped, &state, &expected);
        let waiting = MachineState { pressure: Some(0.5), ..MachineState::default() };
        check(&machine(), &[], &waiting, &["50 % of the time"]);
    }
}
