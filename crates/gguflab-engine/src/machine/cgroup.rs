//! Limits of the container or control group, both versions of the kernel's interface.
//!
//! A limit may be set on any ancestor, and inside a container the path in `/proc/self/cgroup` may not exist
//! below the mount, so every folder from the group up to the mount is asked and the smallest limit counts.
//! Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use super::files::Files;

/// Numbers from here on mean "no limit" in version 1 (the kernel writes 2^63 rounded down to a page).
const UNLIMITED: u64 = 1 << 60;

/// Limits of this process's group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limits {
    /// Processors of time.
    pub(crate) quota: Option<f64>,
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Bytes of memory that may still be taken under the limit (page cache that can be dropped counts as free).
    pub(crate) memory_left: Option<u64>,
}

/// Reads the limits.
pub(crate) fn limits(files: &Files) -> Limits {
    let groups = files.text("proc/self/cgroup").unwrap_or_default();
    let mut limits = Limits::default();
    for folder in folders(files, &groups, "") {
        limits.quota = smaller(limits.quota, quota_of_second_version(files, &folder));
        limits.take_memory(files, &folder, "memory.max", "memory.current", "inactive_file");
    }
    for folder in folders(files, &groups, "cpu") {
        limits.quota = smaller(limits.quota, quota_of_first_version(files, &folder));
    }
    for folder in folders(files, &groups, "memory") {
        let (limit, usage) = ("memory.limit_in_bytes", "memory.usage_in_bytes");
        limits.take_memory(files, &folder, limit, usage, "total_inactive_file");
    }
    limits
}

/// How often and how long the group's quota has stopped it so far: `(periods, seconds)`.
pub(crate) fn throttled(files: &Files) -> Option<(u64, f64)> {
    let groups = files.text("proc/self/cgroup")?;
    let second = folders(files, &groups, "").into_iter().next();
    let first = folders(files, &groups, "cpu").into_iter().next();
    second.into_iter().chain(first).find_map(|folder| {
        let text = files.text(&format!("{folder}/cpu.stat"))?;
        let periods = field(&text, "nr_throttled")?;
        let seconds = match (field(&text, "throttled_usec"), field(&text, "throttled_time")) {
            (Some(microseconds), _) => microseconds as f64 / 1e6,
            (None, Some(nanoseconds)) => nanoseconds as f64 / 1e9,
            (None, None) => 0.0,
        };
        Some((periods, seconds))
    })
}

impl Limits {
    fn take_memory(&mut self, files: &Files, folder: &str, limit: &str, usage: &str, droppable: &str) {
        let number = |name: &str| files.number::<u64>(&format!("{folder}/{name}"));
        let Some(limit) = number(limit).filter(|&limit| limit < UNLIMITED) else { return };
        self.memory = Some(self.memory.map_or(limit, |known| known.min(limit)));
        let statistics = files.text(&format!("{folder}/memory.stat")).unwrap_or_default();
        let Some(used) = number(usage) else { return };
        let used = used.saturating_sub(field(&statistics, droppable).unwrap_or(0));
        let left = limit.saturating_sub(used);
        self.memory_left = Some(self.memory_left.map_or(left, |known| known.min(left)));
    }
}

/// Folders of this process's group for a controller (empty: version 2), from the group up to the mount.
fn folders(files: &Files, groups: &str, controller: &str) -> Vec<String> {
    let Some(path) = groups.lines().find_map(|line| path_of(line, controller)) else { return Vec::new() };
    let mounts: &[&str] = match controller {
        "" => &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        "cpu" => &["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
        _ => &["sys/fs/cgroup/memory"],
    };
    let Some(mount) = mounts.iter().find(|mount| files.has(mount)) else { return Vec::new() };
    let mut folders = Vec::new();
    let mut path = path.trim_matches('/');
    while !path.is_empty() {
        folders.push(format!("{mount}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    folders.push((*mount).to_string());
    folders
}

/// The path in a line `hierarchy:controllers:path`, if it is the controller's.
fn path_of<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    controllers.split(',').any(|name| name == controller).then_some(path)
}

/// `cpu.max` holds `quota period` in microseconds, or `max period`.
fn quota_of_second_version(files: &Files, folder: &str) -> Option<f64> {
    let text = files.text(&format!("{folder}/cpu.max"))?;
    let mut parts = text.split_whitespace().map(str::parse::<f64>);
    let (quota, period) = (parts.next()?.ok()?, parts.next()?.ok()?);
    share(quota, period)
}

/// `cpu.cfs_quota_us` is −1 without a limit.
fn quota_of_first_version(files: &Files, folder: &str) -> Option<f64> {
    let quota = files.number::<f64>(&format!("{folder}/cpu.cfs_quota_us"))?;
    let period = files.number::<f64>(&format!("{folder}/cpu.cfs_period_us"))?;
    share(quota, period)
}

fn share(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn smaller(first: Option<f64>, second: Option<f64>) -> Option<f64> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (first, second) => first.or(second),
    }
}

/// The number behind a name in `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, number) = line.split_once(' ')?;
        (key == name).then(|| number.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;

    fn check(layout: &[(&str, &str)], expected: Limits) {
        let folder = lay_out(layout);
        assert_eq!(limits(&Files::under(folder.path())), expected);
    }

    #[test]
    fn the_smallest_limit_of_all_ancestors_counts() {
        check(
            &[
                ("proc/self/cgroup", "0::/user.slice/job\n"),
                ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
                ("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
                ("sys/fs/cgroup/user.slice/job/memory.max", "4000000000\n"),
                ("sys/fs/cgroup/user.slice/job/memory.current", "1000000000\n"),
                ("sys/fs/cgroup/user.slice/job/memory.stat", "anon 5\ninactive_file 400000000\n"),
            ],
            Limits { quota: Some(1.5), memory: Some(4_000_000_000), memory_left: Some(3_400_000_000) },
        );
    }

    #[test]
    fn a_container_of_the_first_version_sees_its_limits_at_the_mount() {
        check(
            &[
                (
                    "proc/self/cgroup",
                    "12:memory:/docker/f00\n11:cpu,cpuacct:/docker/f00\n1:name=systemd:/docker/f00\n0::/\n",
                ),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "36870912\n"),
            ],
            Limits { quota: Some(2.0), memory: Some(536_870_912), memory_left: Some(500_000_000) },
        );
    }

    #[test]
    fn no_limit_is_no_limit() {
        check(
            &[
                ("proc/self/cgroup", "4:memory:/\n1:cpu:/\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
            ],
            Limits::default(),
        );
        check(&[], Limits::default());
    }

    #[test]
    fn stops_by_the_quota_are_counted() {
        for (text, expected) in [
            ("usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250000\n", Some((3, 0.25))),
            ("usage_usec 5\n", None),
        ] {
            let folder = lay_out(&[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/cpu.stat", text)]);
            assert_eq!(throttled(&Files::under(folder.path())), expected);
        }
    }
}
