//! Files that are there whole or not at all.

use std::fs::{File, hard_link, remove_file, rename};
use std::io;
use std::path::{Path, PathBuf};

/// Has a file made beside its place and renames it, so that there is never half a file.
///
/// # Errors
/// What the system says; the half that may be there is removed then.
pub fn put(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    by_way(path, make, |beside| rename(beside, path))
}

/// The same, but never over what is there: of two who put a file at one place at once, one does.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and what [`put`] says.
pub fn put_new(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    by_way(path, make, |beside| claim(beside, path))
}

fn by_way(
    path: &Path,
    make: impl FnOnce(&Path) -> io::Result<()>,
    show: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let beside: PathBuf = path.with_file_name(name);
    let made = make(&beside).and_then(|()| show(&beside));
    if made.is_err() {
        // The half of it that may be there is of no use to anybody.
        let _ = remove_file(&beside);
    }
    made
}

/// Moves a file to a place where there is none: a rename would go over one.
fn claim(beside: &Path, path: &Path) -> io::Result<()> {
    match hard_link(beside, path) {
        Ok(()) => remove_file(beside),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system that has no links: an empty file holds the place for a moment.
        Err(_) => {
            drop(File::create_new(path)?);
            rename(beside, path).inspect_err(|_| drop(remove_file(path)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_nothing_half_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |text: &'static str| move |beside: &Path| std::fs::write(beside, text);
        put_new(&path, write("first")).unwrap();
        assert_eq!(put_new(&path, write("second")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        put(&path, write("third")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
