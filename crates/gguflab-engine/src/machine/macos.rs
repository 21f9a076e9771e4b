//! macOS: `sysctl`.

use gguflab_types::machine::{Cpu, Machine, Memory};
use std::collections::BTreeMap;

/// Names of features in `sysctl`, and the names shown.
const INSTRUCTION_SETS: &[(&str, &str)] = &[
    ("hw.optional.sse4_2", "sse4.2"),
    ("hw.optional.avx1_0", "avx"),
    ("hw.optional.avx2_0", "avx2"),
    ("hw.optional.fma", "fma"),
    ("hw.optional.f16c", "f16c"),
    ("hw.optional.bmi2", "bmi2"),
    ("hw.optional.avx512f", "avx512f"),
    ("hw.optional.avx512bw", "avx512bw"),
    ("hw.optional.avx512vl", "avx512vl"),
    ("hw.optional.neon", "neon"),
    ("hw.optional.AdvSIMD", "neon"),
    ("hw.optional.arm.FEAT_DotProd", "dotprod"),
    ("hw.optional.arm.FEAT_FP16", "fp16"),
    ("hw.optional.arm.FEAT_BF16", "bf16"),
    ("hw.optional.arm.FEAT_I8MM", "i8mm"),
    ("hw.optional.arm.FEAT_SME", "sme"),
];

/// Asks `sysctl` and `vm_stat`.
#[cfg(target_os = "macos")]
pub(crate) fn read() -> Machine {
    use super::command::answer;
    let deadline = std::time::Duration::from_secs(5);
    let names = ["hw", "machdep.cpu", "kern.osrelease", "kern.osproductversion", "vm.swapusage"];
    let values = answer("sysctl", &names, deadline).unwrap_or_default();
    let pages = answer("vm_stat", &[], deadline).unwrap_or_default();
    machine(&values, &pages)
}

/// The machine from the output of `sysctl NAMES…` (lines `name: value`) and of `vm_stat`.
pub(crate) fn machine(values: &str, pages: &str) -> Machine {
    let values: BTreeMap<&str, &str> = values.lines().filter_map(|line| line.split_once(": ")).collect();
    let text = |name: &str| values.get(name).map(|value| value.trim().to_string());
    let number = |name: &str| values.get(name).and_then(|value| value.trim().parse::<u64>().ok());
    let count = |name: &str| number(name).and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    // Per kind of core (performance first), where the chip has kinds; else of the machine.
    let cache =
        |level: &str| number(&format!("hw.perflevel0.{level}")).or_else(|| number(&format!("hw.{level}")));
    let caches = ["l1dcachesize", "l2cachesize", "l3cachesize"];
    let mut instruction_sets: Vec<String> = Vec::new();
    for (name, shown) in INSTRUCTION_SETS {
        if number(name) == Some(1) && !instruction_sets.iter().any(|known| known == shown) {
            instruction_sets.push((*shown).to_string());
        }
    }
    Machine {
        system: format!("macOS {}", text("kern.osproductversion").unwrap_or_default()).trim().to_string(),
        kernel: text("kern.osrelease").unwrap_or_default(),
        cpu: Cpu {
            model: text("machdep.cpu.brand_string").unwrap_or_default(),
            physical_cores: count("hw.physicalcpu"),
            logical_cores: count("hw.logicalcpu"),
            sockets: count("hw.packages"),
            numa_nodes: 1,
            caches: caches.into_iter().map_while(|level| cache(level).filter(|&size| size > 0)).collect(),
            instruction_sets,
            highest_clock: number("hw.cpufrequency_max").map(|hertz| hertz as f64),
            ..Cpu::default()
        },
        memory: Memory {
            total: number("hw.memsize").unwrap_or(0),
            available: available(pages),
            limit: None,
            swap: text("vm.swapusage").and_then(|usage| swap(&usage)).unwrap_or(0),
        },
        devices: Vec::new(),
    }
}

/// Bytes that are free, or inactive, speculative or purgeable, by `vm_stat`.
fn available(pages: &str) -> u64 {
    let page = pages
        .split_once("page size of ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(4096);
    let kinds = ["Pages free", "Pages inactive", "Pages speculative", "Pages purgeable"];
    let kind = |name: &str| {
        let line = pages.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches('.').parse::<u64>().ok()
    };
    kinds.iter().filter_map(|name| kind(name)).sum::<u64>().saturating_mul(page)
}

/// Bytes from `total = 2048.00M  used = …`.
fn swap(usage: &str) -> Option<u64> {
    let total = usage.split_once("total = ")?.1.split_whitespace().next()?;
    let mebibytes: f64 = total.strip_suffix('M')?.parse().ok()?;
    Some((mebibytes * f64::from(1 << 20)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apple_chip_is_read() {
        let values = "hw.physicalcpu: 10\nhw.logicalcpu: 10\nhw.packages: 1\nhw.memsize: 34359738368\n\
                      hw.perflevel0.l1dcachesize: 131072\nhw.perflevel0.l2cachesize: 33554432\n\
                      hw.l1dcachesize: 65536\nhw.optional.neon: 1\nhw.optional.AdvSIMD: 1\n\
                      hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_SME: 0\n\
                      machdep.cpu.brand_string: Apple M1 Max\nkern.osrelease: 23.4.0\n\
                      kern.osproductversion: 14.4\n\
                      vm.swapusage: total = 2048.00M  used = 1024.00M  free = 1024.00M  (encrypted)\n";
        let pages = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free: 100.\n\
                     Pages active: 900.\nPages inactive: 50.\nPages speculative: 10.\n";
        let machine = machine(values, pages);
        assert_eq!(machine.system, "macOS 14.4");
        assert_eq!((machine.cpu.physical_cores, machine.cpu.logical_cores), (10, 10));
        assert_eq!(machine.cpu.caches, [131_072, 33_554_432]);
        assert_eq!(machine.cpu.instruction_sets, ["neon", "dotprod"]);
        assert_eq!((machine.memory.total, machine.memory.available), (34_359_738_368, 160 * 16384));
        assert_eq!(machine.memory.swap, 2 << 30);
        assert_eq!(machine.cpu.model, "Apple M1 Max");
    }

    #[test]
    fn silence_gives_an_empty_machine() {
        let machine = machine("", "nothing");
        assert_eq!((machine.cpu.physical_cores, machine.memory.total), (0, 0));
        assert_eq!(machine.system, "macOS");
    }
}
