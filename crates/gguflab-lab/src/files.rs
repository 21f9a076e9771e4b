//! Files that are there whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

/// Has a file made beside its place and renames it, so that there is never half a file.
///
/// # Errors
/// What the system says; the half that may be there is removed then.
pub fn put(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let beside: PathBuf = path.with_file_name(name);
    let made = make(&beside).and_then(|()| std::fs::rename(&beside, path));
    if made.is_err() {
        // The half of it that may be there is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
    }
    made
}
