//! What keeps a failing worker from harming the machine.

/// Makes this process the first to be killed when memory runs out, without core dumps or debuggers, and, if
/// asked for, with a limited address space so that allocations fail cleanly instead of being overcommitted.
#[cfg(unix)]
pub(crate) fn this_process(address_space: Option<u64>) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Each of these is a precaution: where the system refuses one, the work can still be done.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Some(bytes) = address_space {
        let _ = setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) });
    }
}

/// Nothing of this exists here.
#[cfg(not(unix))]
pub(crate) fn this_process(_: Option<u64>) {}

/// Ends this process and its children at once, without running anything of theirs.
#[cfg(unix)]
pub(crate) fn kill_own_group() -> ! {
    use rustix::process::{Signal, getpgrp, getpid, kill_process, kill_process_group};
    if getpgrp() == getpid() {
        let _ = kill_process_group(getpgrp(), Signal::KILL);
    }
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

/// Ends this process at once.
#[cfg(not(unix))]
pub(crate) fn kill_own_group() -> ! {
    std::process::abort()
}
