//! Linux: `/proc` and `/sys`.

use super::cgroup;
use super::cores;
use super::files::Files;
use gguflab_types::machine::{Cpu, Machine, Memory};
use std::collections::BTreeSet;

/// Reads the machine; `allowed` holds the processors that this process may use, `None` for all that are online.
pub(crate) fn read(files: &Files, allowed: Option<&BTreeSet<u32>>) -> Machine {
    let limits = cgroup::limits(files);
    let mut memory = memory(&files.text("proc/meminfo").unwrap_or_default());
    memory.limit = limits.memory;
    // What the group may still take counts, not what the whole machine has.
    memory.available = limits.memory_left.map_or(memory.available, |left| left.min(memory.available));
    let release = files.text("etc/os-release").or_else(|| files.text("usr/lib/os-release"));
    Machine {
        system: system_name(&release.unwrap_or_default()),
        kernel: files.text("proc/sys/kernel/osrelease").unwrap_or_default(),
        cpu: Cpu { quota: limits.quota, ..cores::read(files, allowed) },
        memory,
        devices: Vec::new(),
    }
}

/// Processors that this process may run on.
#[cfg(target_os = "linux")]
pub(crate) fn affinity() -> Option<BTreeSet<u32>> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    let most = u32::try_from(rustix::thread::CpuSet::MAX_CPU).ok()?;
    Some((0..most).filter(|&cpu| set.is_set(cpu as usize)).collect())
}

/// Bytes from `/proc/meminfo`, whose numbers are in kibibytes.
pub(crate) fn memory(text: &str) -> Memory {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .map(|kibibytes| kibibytes * 1024)
    };
    let total = field("MemTotal").unwrap_or(0);
    Memory {
        total,
        // Before Linux 3.14 there was no estimate; what is free is the safe part of it.
        available: field("MemAvailable").or_else(|| field("MemFree")).unwrap_or(0),
        limit: None,
        swap: field("SwapTotal").unwrap_or(0),
    }
}

/// `PRETTY_NAME`, else `NAME`, else `Linux`.
fn system_name(release: &str) -> String {
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_string())
    };
    field("PRETTY_NAME").or_else(|| field("NAME")).unwrap_or_else(|| "Linux".to_string())
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;

    #[test]
    fn memory_is_in_bytes_and_within_the_group() {
        let folder = lay_out(&[
            (
                "proc/meminfo",
                "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\nSwapTotal: 1024 kB\n",
            ),
            ("etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/memory.current", "147483648\n"),
            ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ]);
        let machine = read(&Files::under(folder.path()), None);
        assert_eq!((machine.memory.total, machine.memory.swap), (16_384_000 * 1024, 1 << 20));
        assert_eq!(machine.memory.limit, Some(2_147_483_648));
        assert_eq!(machine.memory.usable(), 2_000_000_000);
        assert_eq!(machine.cpu.quota, Some(0.5));
        assert_eq!(machine.system, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(machine.kernel, "6.1.0-18-amd64");
    }

    #[test]
    fn an_empty_system_gives_an_empty_machine() {
        let folder = lay_out(&[]);
        let machine = read(&Files::under(folder.path()), None);
        assert_eq!(machine.system, "Linux");
        assert_eq!((machine.memory.total, machine.cpu.logical_cores), (0, 0));
    }
}
