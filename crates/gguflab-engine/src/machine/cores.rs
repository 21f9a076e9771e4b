//! Processors of Linux: cores, caches, clock, instruction sets.

use super::files::{Files, number_list};
use gguflab_types::machine::Cpu;
use std::collections::{BTreeMap, BTreeSet};

/// Instruction sets that choose code paths in llama.cpp (ggml-cpu): the kernel's name, and the name shown.
const INSTRUCTION_SETS: &[(&str, &str)] = &[
    ("sse4_2", "sse4.2"),
    ("avx", "avx"),
    ("avx2", "avx2"),
    ("fma", "fma"),
    ("f16c", "f16c"),
    ("bmi2", "bmi2"),
    ("avx_vnni", "avx_vnni"),
    ("avx512f", "avx512f"),
    ("avx512bw", "avx512bw"),
    ("avx512vl", "avx512vl"),
    ("avx512_vnni", "avx512vnni"),
    ("avx512_bf16", "avx512bf16"),
    ("avx512vbmi", "avx512vbmi"),
    ("amx_tile", "amx_tile"),
    ("amx_int8", "amx_int8"),
    ("amx_bf16", "amx_bf16"),
    ("asimd", "neon"),
    ("asimddp", "dotprod"),
    ("asimdhp", "fp16"),
    ("bf16", "bf16"),
    ("i8mm", "i8mm"),
    ("sve", "sve"),
    ("sve2", "sve2"),
    ("sme", "sme"),
];

/// Names of Arm cores by implementer and part, as the kernel's `arch/arm64/include/asm/cputype.h` has them.
const ARM_PARTS: &[(&str, &str, &str)] = &[
    ("0x41", "0xd03", "Cortex-A53"),
    ("0x41", "0xd05", "Cortex-A55"),
    ("0x41", "0xd08", "Cortex-A72"),
    ("0x41", "0xd0b", "Cortex-A76"),
    ("0x41", "0xd0c", "Neoverse-N1"),
    ("0x41", "0xd40", "Neoverse-V1"),
    ("0x41", "0xd41", "Cortex-A78"),
    ("0x41", "0xd44", "Cortex-X1"),
    ("0x41", "0xd46", "Cortex-A510"),
    ("0x41", "0xd47", "Cortex-A710"),
    ("0x41", "0xd49", "Neoverse-N2"),
    ("0x41", "0xd4f", "Neoverse-V2"),
    ("0xc0", "0xac3", "Ampere-1"),
];

/// Reads the processors that are online and allowed.
pub(crate) fn read(files: &Files, allowed: Option<&BTreeSet<u32>>) -> Cpu {
    let information = files.text("proc/cpuinfo").unwrap_or_default();
    let processors = usable(files, &information, allowed);
    let topology = |name: &str| -> BTreeSet<String> {
        let path = |cpu: &u32| format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}");
        processors.iter().filter_map(|cpu| files.text(&path(cpu))).collect()
    };
    // Processors of one core share this list; the older name is that of kernels before 5.3.
    let lists = ["core_cpus_list", "thread_siblings_list"].map(topology);
    let cores = lists.iter().map(BTreeSet::len).find(|&cores| cores > 0);
    Cpu {
        model: model(files, &information),
        architecture: String::new(),
        physical_cores: count(cores.unwrap_or(processors.len())),
        logical_cores: count(processors.len()),
        quota: None,
        sockets: count(topology("physical_package_id").len()),
        numa_nodes: count(nodes(files, &processors)),
        caches: caches(files, &processors),
        instruction_sets: instruction_sets(&information),
        highest_clock: highest_clock(files, &processors),
        governor: governor(files, &processors),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn usable(files: &Files, information: &str, allowed: Option<&BTreeSet<u32>>) -> Vec<u32> {
    let online = match files.text("sys/devices/system/cpu/online") {
        Some(list) => number_list(&list),
        None => values(information, "processor").filter_map(|number| number.parse().ok()).collect(),
    };
    let fits = |cpu: &u32| allowed.is_none_or(|allowed| allowed.contains(cpu));
    online.into_iter().filter(fits).collect()
}

/// Nodes that hold at least one of these processors.
fn nodes(files: &Files, processors: &[u32]) -> usize {
    let node = |name: &String| name.strip_prefix("node").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let holds = |name: &String| {
        let list = files.text(&format!("sys/devices/system/node/{name}/cpulist")).unwrap_or_default();
        number_list(&list).iter().any(|cpu| processors.contains(cpu))
    };
    files.names("sys/devices/system/node").iter().filter(|name| node(name) && holds(name)).count()
}

/// The largest data or unified cache of each level, from level 1 up; ends at the first level that is missing.
fn caches(files: &Files, processors: &[u32]) -> Vec<u64> {
    let mut largest: BTreeMap<u32, u64> = BTreeMap::new();
    for cpu in processors {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/cache");
        for name in files.names(&folder).iter().filter(|name| name.starts_with("index")) {
            let entry = |field: &str| files.text(&format!("{folder}/{name}/{field}"));
            let size = entry("size").and_then(|text| size(&text));
            let level = entry("level").and_then(|text| text.parse().ok());
            if let (Some(level), Some(size)) = (level, size)
                && entry("type").as_deref() != Some("Instruction")
            {
                let known = largest.entry(level).or_insert(0);
                *known = size.max(*known);
            }
        }
    }
    (1..).map_while(|level| largest.get(&level).copied()).collect()
}

/// Bytes from `32K`, `1M` or a plain number.
fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn highest_clock(files: &Files, processors: &[u32]) -> Option<f64> {
    let clock = |cpu: &u32| {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq");
        files.number::<f64>(&path).map(|kilohertz| kilohertz * 1e3)
    };
    processors.iter().filter_map(clock).reduce(f64::max)
}

fn governor(files: &Files, processors: &[u32]) -> Option<String> {
    let path = |cpu: &u32| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    let governors: BTreeSet<String> = processors.iter().filter_map(|cpu| files.text(&path(cpu))).collect();
    let names: Vec<String> = governors.into_iter().collect();
    (!names.is_empty()).then(|| names.join("/"))
}

/// The values of a field in `/proc/cpuinfo`.
fn values<'a>(information: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    information.lines().filter_map(move |line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == field).then(|| value.trim())
    })
}

fn model(files: &Files, information: &str) -> String {
    let named = |field| values(information, field).find(|name| !name.is_empty());
    if let Some(name) = named("model name") {
        return name.to_string();
    }
    let parts: Vec<String> = arm_parts(information);
    let board = files.text("sys/firmware/devicetree/base/model");
    match (board, parts.is_empty()) {
        (Some(board), false) => format!("{} ({board})", parts.join(" + ")),
        (None, false) => parts.join(" + "),
        (Some(board), true) => board,
        (None, true) => named("cpu model").or_else(|| named("Hardware")).unwrap_or_default().to_string(),
    }
}

/// Every kind of Arm core there is, in the order of the processors.
fn arm_parts(information: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (implementer, part) in values(information, "CPU implementer").zip(values(information, "CPU part")) {
        let known = ARM_PARTS.iter().find(|row| (row.0, row.1) == (implementer, part));
        let name = known.map_or_else(|| format!("Arm {implementer}/{part}"), |row| row.2.to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Only what every listed processor has: on a mix of cores, threads land on any of them.
fn instruction_sets(information: &str) -> Vec<String> {
    let lists: Vec<BTreeSet<&str>> = values(information, "flags")
        .chain(values(information, "Features"))
        .map(|list| list.split_whitespace().collect())
        .collect();
    let everywhere = |flag: &str| !lists.is_empty() && lists.iter().all(|list| list.contains(flag));
    INSTRUCTION_SETS.iter().filter(|row| everywhere(row.0)).map(|row| row.1.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;

    const X86: &str = "processor\t: 0\nmodel name\t: Example Core i9\nflags\t\t: fpu sse4_2 avx avx2 fma f16c bmi2 avx_vnni\n\n\
                       processor\t: 1\nmodel name\t: Example Core i9\nflags\t\t: fpu sse4_2 avx avx2 fma f16c bmi2 avx_vnni\n";
    const ARM: &str = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n\
                       processor\t: 1\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n";

    fn check(layout: &[(&str, &str)], allowed: Option<&[u32]>, expected: &Cpu) {
        let folder = lay_out(layout);
        let allowed = allowed.map(|list| list.iter().copied().collect());
        assert_eq!(read(&Files::under(folder.path()), allowed.as_ref()), *expected);
    }

    /// A hybrid machine: one P core with two threads (0, 1) and two E cores (2, 3).
    fn hybrid() -> Vec<(&'static str, &'static str)> {
        vec![
            ("proc/cpuinfo", X86),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1\n"),
            ("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "0-1\n"),
            ("sys/devices/system/cpu/cpu2/topology/core_cpus_list", "2\n"),
            ("sys/devices/system/cpu/cpu3/topology/core_cpus_list", "3\n"),
            ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
            ("sys/devices/system/cpu/cpu2/topology/physical_package_id", "0\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "5200000\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/cpuinfo_max_freq", "3900000\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n"),
            ("sys/devices/system/cpu/cpu0/cache/index1/level", "1\n"),
            ("sys/devices/system/cpu/cpu0/cache/index1/type", "Instruction\n"),
            ("sys/devices/system/cpu/cpu0/cache/index1/size", "64K\n"),
            ("sys/devices/system/cpu/cpu0/cache/index2/level", "2\n"),
            ("sys/devices/system/cpu/cpu0/cache/index2/type", "Unified\n"),
            ("sys/devices/system/cpu/cpu0/cache/index2/size", "2M\n"),
            ("sys/devices/system/node/node0/cpulist", "0-1\n"),
            ("sys/devices/system/node/node1/cpulist", "2-3\n"),
            ("sys/devices/system/node/node2/cpulist", "\n"),
            ("sys/devices/system/node/possible", "0-2\n"),
        ]
    }

    fn sets(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn threads_of_one_core_count_once_and_only_allowed_processors_count() {
        let all = Cpu {
            model: "Example Core i9".into(),
            physical_cores: 3,
            logical_cores: 4,
            sockets: 1,
            numa_nodes: 2,
            caches: vec![48 << 10, 2 << 20],
            instruction_sets: sets(&["sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni"]),
            highest_clock: Some(5.2e9),
            governor: Some("performance/powersave".into()),
            ..Cpu::default()
        };
        check(&hybrid(), None, &all);
        let some = Cpu {
            physical_cores: 1,
            logical_cores: 1,
            numa_nodes: 1,
            caches: vec![],
            highest_clock: Some(3.9e9),
            governor: Some("performance".into()),
            ..all
        };
        check(&hybrid(), Some(&[2, 900]), &some);
    }

    #[test]
    fn arm_cores_have_names_and_only_what_all_of_them_can() {
        let expected = Cpu {
            model: "Cortex-A55 + Cortex-A76 (Example Board)".into(),
            physical_cores: 2,
            logical_cores: 2,
            instruction_sets: sets(&["neon", "dotprod"]),
            ..Cpu::default()
        };
        let layout = [("proc/cpuinfo", ARM), ("sys/firmware/devicetree/base/model", "Example Board\0")];
        check(&layout, None, &expected);
    }

    #[test]
    fn damaged_files_give_nothing_instead_of_a_guess() {
        check(
            &[
                ("proc/cpuinfo", "processor : x\nflags\nflags:\n:::\n"),
                ("sys/devices/system/cpu/online", "what\n"),
                ("sys/devices/system/node/node0/cpulist", "-\n"),
            ],
            None,
            &Cpu::default(),
        );
    }
}
