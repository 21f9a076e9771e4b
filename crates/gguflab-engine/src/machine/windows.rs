//! Windows: PowerShell's `Get-CimInstance` (its predecessor `wmic` is gone from new systems).

use gguflab_types::machine::{Cpu, Machine, Memory};
use serde_json::Value;

/// One object with the processors, the system and the swap files.
#[cfg(windows)]
const QUESTION: &str = "@{cpu=@(Get-CimInstance Win32_Processor | Select-Object Name,NumberOfCores,\
    NumberOfLogicalProcessors,L2CacheSize,L3CacheSize,MaxClockSpeed);\
    system=(Get-CimInstance Win32_OperatingSystem | Select-Object Caption,Version,TotalVisibleMemorySize,\
    FreePhysicalMemory,SizeStoredInPagingFiles)} | ConvertTo-Json -Depth 4 -Compress";

/// Asks PowerShell.
#[cfg(windows)]
pub(crate) fn read() -> Machine {
    let arguments = ["-NoProfile", "-NonInteractive", "-Command", QUESTION];
    let deadline = std::time::Duration::from_secs(20);
    let answer = super::command::answer("powershell", &arguments, deadline).unwrap_or_default();
    let mut machine = machine(&answer);
    machine.cpu.instruction_sets = instruction_sets();
    machine
}

/// The machine from that answer; sizes are in kibibytes, clocks in megahertz.
pub(crate) fn machine(answer: &str) -> Machine {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let sockets = answer["cpu"].as_array().cloned().unwrap_or_default();
    let sum = |name: &str| sockets.iter().filter_map(|socket| socket[name].as_u64()).sum::<u64>();
    let largest = |name: &str| sockets.iter().filter_map(|socket| socket[name].as_u64()).max();
    let system = &answer["system"];
    let kibibytes = |name: &str| system[name].as_u64().unwrap_or(0).saturating_mul(1024);
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_string();
    Machine {
        system: match text(&system["Caption"]) {
            caption if caption.is_empty() => "Windows".to_string(),
            caption => caption,
        },
        kernel: text(&system["Version"]),
        cpu: Cpu {
            model: sockets.first().map(|socket| text(&socket["Name"])).unwrap_or_default(),
            physical_cores: u32::try_from(sum("NumberOfCores")).unwrap_or(u32::MAX),
            logical_cores: u32::try_from(sum("NumberOfLogicalProcessors")).unwrap_or(u32::MAX),
            sockets: u32::try_from(sockets.len()).unwrap_or(u32::MAX),
            highest_clock: largest("MaxClockSpeed").map(|megahertz| megahertz as f64 * 1e6),
            ..Cpu::default()
        },
        memory: Memory {
            total: kibibytes("TotalVisibleMemorySize"),
            available: kibibytes("FreePhysicalMemory"),
            limit: None,
            swap: kibibytes("SizeStoredInPagingFiles"),
        },
        devices: Vec::new(),
    }
}

/// What the standard library can tell; the system itself does not say.
#[cfg(all(windows, target_arch = "x86_64"))]
fn instruction_sets() -> Vec<String> {
    let known = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ("avx512vl", std::arch::is_x86_feature_detected!("avx512vl")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avx512vbmi", std::arch::is_x86_feature_detected!("avx512vbmi")),
    ];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_string()).collect()
}

#[cfg(all(windows, not(target_arch = "x86_64")))]
fn instruction_sets() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_add_up() {
        let machine = machine(
            r#"{"cpu":[{"Name":"Example CPU ","NumberOfCores":8,"NumberOfLogicalProcessors":16,"MaxClockSpeed":3600},
                       {"Name":"Example CPU ","NumberOfCores":8,"NumberOfLogicalProcessors":16,"MaxClockSpeed":3600}],
                "system":{"Caption":"Microsoft Windows 11 Pro","Version":"10.0.22631",
                          "TotalVisibleMemorySize":33554432,"FreePhysicalMemory":16777216}}"#,
        );
        assert_eq!((machine.cpu.physical_cores, machine.cpu.logical_cores, machine.cpu.sockets), (16, 32, 2));
        assert_eq!((machine.memory.total, machine.memory.available), (32 << 30, 16 << 30));
        assert_eq!(machine.cpu.model, "Example CPU");
        assert_eq!(machine.cpu.highest_clock, Some(3.6e9));
        assert_eq!(machine.system, "Microsoft Windows 11 Pro");
    }

    #[test]
    fn no_answer_gives_an_empty_machine() {
        assert_eq!(machine("PowerShell is not here").cpu, Cpu::default());
    }
}
