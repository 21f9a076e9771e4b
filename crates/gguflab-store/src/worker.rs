//! Which process runs a trial, and whether it still lives.
//!
//! A heartbeat needs a time of grace; on the machine that a process ran on, its death can be told at once. A
//! process is named by the machine's boot, its namespace of process ids (containers share a boot, not the ids), its
//! id, and the time of its start (ids are given away again).

use std::fs;

/// What is known about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs.
    Alive,
    /// It has ended.
    Dead,
    /// It belongs to another machine, or this system does not tell.
    Unknown,
}

/// This process.
pub(crate) fn here() -> String {
    let process = std::process::id();
    match (place(), started(process)) {
        (Some(place), Start::At(ticks)) => format!("{place} {process} {ticks}"),
        _ => format!("elsewhere {process}"),
    }
}

/// Whether a process that called itself this by [`here`] still lives.
pub(crate) fn fate(worker: &str) -> Fate {
    let parts: Vec<&str> = worker.split(' ').collect();
    let [boot, namespace, process, ticks] = parts[..] else { return Fate::Unknown };
    if place().as_deref() != Some(&format!("{boot} {namespace}")) {
        return Fate::Unknown;
    }
    let (Ok(process), Ok(ticks)) = (process.parse::<u32>(), ticks.parse::<u64>()) else {
        return Fate::Unknown;
    };
    match started(process) {
        Start::At(found) if found == ticks => Fate::Alive,
        Start::At(_) => Fate::Dead,
        // Where processes of others are hidden, one that is not seen may live; process 1 tells.
        Start::Never if fs::read("/proc/1/stat").is_err() => Fate::Unknown,
        Start::Never => Fate::Dead,
        Start::Untold => Fate::Unknown,
    }
}

/// When a process started.
enum Start {
    /// Clock ticks after the machine's boot.
    At(u64),
    /// There is no such process, or it has ended and only waits for its parent.
    Never,
    /// The system does not tell.
    Untold,
}

fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace = namespace.to_str()?;
    (!namespace.contains(' ')).then(|| format!("{} {namespace}", boot.trim()))
}

fn started(process: u32) -> Start {
    let Ok(line) = fs::read_to_string(format!("/proc/{process}/stat")) else { return Start::Never };
    // proc(5): the name in brackets may hold anything; behind it come state (field 3) … start time (field 22).
    let Some((_, behind)) = line.rsplit_once(')') else { return Start::Untold };
    let fields: Vec<&str> = behind.split_whitespace().collect();
    match (fields.first(), fields.get(19).and_then(|ticks| ticks.parse().ok())) {
        (Some(&"Z" | &"X"), _) => Start::Never,
        (_, Some(ticks)) => Start::At(ticks),
        _ => Start::Untold,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_alive_until_it_is_killed_and_dead_while_it_waits_for_its_parent() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let Start::At(ticks) = started(child.id()) else { panic!("the child has just been started") };
        let worker = format!("{} {} {ticks}", place().unwrap(), child.id());
        assert_eq!(fate(&worker), Fate::Alive);
        let reused = format!("{} {} {}", place().unwrap(), child.id(), ticks + 1);
        assert_eq!(fate(&reused), Fate::Dead, "another process has the id now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(fate(&worker), Fate::Dead);
    }

    #[test]
    fn this_process_lives_and_of_others_nothing_is_said() {
        assert_eq!(fate(&here()), Fate::Alive);
        let here = here();
        let mut parts: Vec<&str> = here.split(' ').collect();
        parts[1] = "pid:[1]";
        for unknown in ["", "elsewhere 1", "a b c d", &parts.join(" ")] {
            assert_eq!(fate(unknown), Fate::Unknown, "{unknown}");
        }
    }
}
