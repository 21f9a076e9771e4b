//! Processor time and memory of processes, from `/proc`.

use crate::machine::files::Files;

/// What a process, or several, used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Processor seconds (user + system), those of its ended children that it waited for included.
    pub cpu_time: f64,
    /// Highest resident bytes; for several processes those of the largest.
    pub peak_memory: u64,
}

/// What a process has used so far; `None` when there is none of this number, or the system does not tell.
#[must_use]
pub fn process_usage(process: u32) -> Option<Usage> {
    usage(&Files::system(), process)
}

/// What all processes of a group have used so far; `None` when there is none. Walks over all processes of the
/// machine: milliseconds where there are thousands, so not for every repetition.
#[must_use]
pub fn group_usage(group: u32) -> Option<Usage> {
    let files = Files::system();
    let mut sum: Option<Usage> = None;
    for process in files.names("proc").iter().filter_map(|name| name.parse::<u32>().ok()) {
        let Some(statistics) = files.text(&format!("proc/{process}/stat")) else { continue };
        if field(&statistics, GROUP) == Some(u64::from(group))
            && let Some(usage) = usage(&files, process)
        {
            let sum = sum.get_or_insert_with(Usage::default);
            sum.cpu_time += usage.cpu_time;
            sum.peak_memory = sum.peak_memory.max(usage.peak_memory);
        }
    }
    sum
}

/// Whether a process that is seen here was started by this one, by its children or theirs; `None` when none of this number is seen.
pub(super) fn is_own(files: &Files, process: u32) -> Option<bool> {
    let own = u64::from(std::process::id());
    let parent = |process: u64| field(&files.text(&format!("proc/{process}/stat"))?, PARENT);
    let mut ancestor = u64::from(process);
    while ancestor != own {
        match parent(ancestor) {
            Some(next @ 1..) => ancestor = next,
            Some(0) => return Some(false),
            None if ancestor == u64::from(process) => return None,
            None => return Some(false),
        }
    }
    Some(true)
}

/// Processor seconds of all children of this process that have ended, and of theirs. The difference of two
/// readings is what a child used that ran in between, however short it was.
#[must_use]
pub fn ended_children() -> Option<f64> {
    let statistics = Files::system().text("proc/self/stat")?;
    Some(seconds(&statistics, &[CHILDREN_USER, CHILDREN_SYSTEM]))
}

/// Processes that the kernel has killed for want of memory since it started.
#[must_use]
pub fn kernel_kills() -> Option<u64> {
    let counters = Files::system().text("proc/vmstat")?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Fields of `/proc/PID/stat`, counted from the state (field 3 of `proc_pid_stat(5)`) as 0.
const PARENT: usize = 1;
const GROUP: usize = 2;
const USER: usize = 11;
const SYSTEM: usize = 12;
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

fn usage(files: &Files, process: u32) -> Option<Usage> {
    let statistics = files.text(&format!("proc/{process}/stat"))?;
    field(&statistics, USER)?;
    let status = files.text(&format!("proc/{process}/status")).unwrap_or_default();
    Some(Usage {
        cpu_time: seconds(&statistics, &[USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM]),
        peak_memory: peak(&status).unwrap_or(0),
    })
}

/// A field behind the name, which stands in brackets and may hold anything, brackets and spaces included.
fn field(statistics: &str, index: usize) -> Option<u64> {
    let (_, rest) = statistics.rsplit_once(')')?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

fn seconds(statistics: &str, fields: &[usize]) -> f64 {
    let ticks: u64 = fields.iter().filter_map(|&index| field(statistics, index)).sum();
    ticks as f64 / super::ticks_per_second()
}

/// `VmHWM` of `/proc/PID/status`, in kibibytes there.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files::lay_out;

    #[test]
    fn names_with_brackets_do_not_confuse() {
        let folder = lay_out(&[
            ("proc/42/stat", "42 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0 5 6 7\n"),
            ("proc/42/status", "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n"),
            ("proc/43/stat", "rubbish\n"),
        ]);
        let files = Files::under(folder.path());
        let usage = usage(&files, 42).unwrap();
        assert_eq!(usage.peak_memory, 2 << 20);
        assert!((usage.cpu_time - 250.0 / crate::telemetry::ticks_per_second()).abs() < 1e-9);
        let text = files.text("proc/42/stat").unwrap();
        assert_eq!(field(&text, GROUP), Some(77));
        assert_eq!(super::usage(&files, 43), None);
        assert_eq!(super::usage(&files, 44), None);
    }

    #[test]
    fn a_process_is_own_by_its_ancestors() {
        let own = std::process::id();
        let (child, grandchild, other) = (own + 1, own + 2, own + 3);
        let stat = |process: u32, parent: u32| {
            (format!("proc/{process}/stat"), format!("{process} (a) S {parent} 1 1 0\n"))
        };
        let texts = [stat(child, own), stat(grandchild, child), stat(other, 1), stat(1, 0)];
        let files: Vec<(&str, &str)> =
            texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let folder = lay_out(&files);
        let files = Files::under(folder.path());
        let found = [own, child, grandchild, other, own + 4].map(|process| is_own(&files, process));
        assert_eq!(found, [Some(true), Some(true), Some(true), Some(false), None]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_and_its_children_are_seen() {
        assert!(process_usage(std::process::id()).unwrap().peak_memory > 1 << 20);
        assert_eq!(process_usage(u32::MAX), None);
        let before = ended_children().unwrap();
        let script = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", script]).status().unwrap();
        assert!(ended_children().unwrap() > before);
    }
}
