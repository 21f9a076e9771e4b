//! What this process has used so far.

/// Processor seconds and peak memory of this process, all threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Processor seconds, user and system.
    pub cpu_time: f64,
    /// Peak resident bytes since the start, or since [`reset_peak`] where that is possible.
    pub peak_memory: u64,
}

/// What this process has used so far; zeros where the system does not tell.
#[must_use]
#[cfg(unix)]
pub fn now() -> Usage {
    // SAFETY: rusage is a plain C struct for which all zeros are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for writing one rusage.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0;
    if failed {
        return Usage::default();
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit;
    Usage {
        cpu_time: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_memory: status_peak().unwrap_or(peak),
    }
}

/// What this process has used so far; not known on this system.
#[must_use]
#[cfg(not(unix))]
pub fn now() -> Usage {
    Usage::default()
}

/// Starts the peak of memory anew, where the system can (Linux); the peak of `getrusage` cannot be reset.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Blocks up to this size are kept: KV caches of small models and contexts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 48 << 20;

/// From now on keeps the freed memory of small caches in the heap, so that a context that takes the place of another
/// finds its pages mapped: the page faults of a cache of 47 MB cost 28 ms of processor time, four times all the rest.
/// glibc only. Larger blocks (weights, compute buffers) stay in mappings of their own as in llama.cpp's tools: with
/// them in the heap too, prompts were measured 1.7 % faster than there. A cache in the heap generates about 0.8 %
/// slower than one in a mapping of its own, so a process that makes one context only must not ask for this.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed_memory() {
    // SAFETY: mallopt only changes settings of the allocator; a setting that it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Gives back the freed memory that is still kept, so that it does not count as used.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back_memory() {
    // SAFETY: malloc_trim touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed_memory() {}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_memory() {}

/// `VmHWM` of `/proc/self/status`, which [`reset_peak`] resets.
#[cfg(unix)]
fn status_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn work_and_memory_are_seen() {
        super::reset_peak();
        let before = super::now();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        let after = super::now();
        assert_eq!(sum, 64 << 20);
        assert!(after.cpu_time > before.cpu_time);
        assert!(after.peak_memory >= before.peak_memory + (60 << 20), "{before:?} {after:?}");
    }
}
