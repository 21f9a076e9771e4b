//! Whether this is the Windows Subsystem for Linux.

use super::files::Files;
use std::ffi::OsStr;

/// Whether this program runs in WSL: its variable is set, or the kernel starts Windows programs.
#[must_use]
pub fn in_wsl() -> bool {
    is_wsl(std::env::var_os("WSL_DISTRO_NAME").as_deref(), &Files::system())
}

fn is_wsl(distribution: Option<&OsStr>, files: &Files) -> bool {
    distribution.is_some() || files.has("proc/sys/fs/binfmt_misc/WSLInterop")
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;

    #[test]
    fn the_variable_or_the_interpreter_of_windows_programs_tell() {
        let interop = lay_out(&[("proc/sys/fs/binfmt_misc/WSLInterop", "enabled")]);
        let plain = lay_out(&[("proc/sys/fs/binfmt_misc/status", "enabled")]);
        assert!(is_wsl(None, &Files::under(interop.path())));
        assert!(is_wsl(Some("Debian".as_ref()), &Files::under(plain.path())));
        assert!(!is_wsl(None, &Files::under(plain.path())));
    }
}
