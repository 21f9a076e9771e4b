//! Small files of `/proc` and `/sys`, read under a folder that stands for `/`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A folder that stands for `/`.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    /// The real `/`.
    pub(crate) fn system() -> Files {
        Files { root: PathBuf::from("/") }
    }

    /// Another folder in its place.
    #[cfg(test)]
    pub(crate) fn under(root: &Path) -> Files {
        Files { root: root.to_path_buf() }
    }

    /// Where `path` (without leading slash) lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The trimmed text of a file; `None` when it is absent, unreadable or empty.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        // Firmware names end in a zero byte and may hold anything.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_string())
    }

    /// A file that holds one number.
    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The names in a folder, sorted; empty when there is none.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        Path::exists(&self.path(path))
    }
}

/// Reads a list of numbers as the kernel writes it: `0-3,8,10-11`. Parts that are no numbers are left out, and
/// no more than 65,536 numbers are made of one range.
pub(crate) fn number_list(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            numbers.extend((first..=last).take(1 << 16));
        }
    }
    numbers
}

/// Lays a machine out under a folder: pairs of path and content.
#[cfg(test)]
pub(crate) fn lay_out(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        for (text, expected) in [
            ("0-3,8,10-11\n", vec![0, 1, 2, 3, 8, 10, 11]),
            ("5", vec![5]),
            ("", vec![]),
            ("a-b,3", vec![3]),
            ("3-1", vec![]),
        ] {
            assert_eq!(number_list(text), expected, "{text}");
        }
        assert_eq!(number_list("0-4294967295").len(), 1 << 16);
    }
}
