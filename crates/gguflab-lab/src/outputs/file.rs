//! Files of logits on this side: read a row at a time, never as a whole.

use gguflab_stats::Divergence;
use gguflab_types::outputs::Head;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of our own for big files, gone when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(folder: &Path) -> Result<Scratch, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("outputs-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.logits"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left over; nobody reads it again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A whole file of logits.
#[derive(Debug)]
pub(super) struct Logits {
    path: PathBuf,
    head: Head,
}

impl Logits {
    /// Opens a file that an engine wrote and looks whether it is whole.
    pub(super) fn open(path: &Path, rows: u32) -> Result<Logits, String> {
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let mut file = File::open(path).map_err(cannot)?;
        let mut bytes = [0; Head::BYTES];
        file.read_exact(&mut bytes).map_err(cannot)?;
        let head = Head::from_bytes(bytes).ok_or_else(|| format!("{} holds no logits", path.display()))?;
        let length = file.metadata().map_err(cannot)?.len();
        if head.rows != rows || length != head.file_bytes() || head.vocabulary == 0 {
            let expected = Head { rows, ..head }.file_bytes();
            return Err(format!(
                "{} has {length} bytes of logits and should have {expected}",
                path.display()
            ));
        }
        Ok(Logits { path: path.to_path_buf(), head })
    }

    /// Gives the room on the disk back.
    pub(super) fn remove(self) {
        // The folder goes with it at the end.
        let _ = std::fs::remove_file(&self.path);
    }

    fn rows(&self) -> Result<Rows, String> {
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", self.path.display());
        let mut file = BufReader::new(File::open(&self.path).map_err(cannot)?);
        file.read_exact(&mut [0; Head::BYTES]).map_err(cannot)?;
        Ok(Rows { file, path: self.path.clone(), bytes: vec![0; 4 + 4 * self.head.vocabulary as usize] })
    }
}

/// The rows of a file, one after the other.
struct Rows {
    file: BufReader<File>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Rows {
    /// Reads the next row's logits into `logits`; gives its token.
    fn next(&mut self, logits: &mut Vec<f32>) -> Result<i32, String> {
        self.file
            .read_exact(&mut self.bytes)
            .map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        let mut words = self.bytes.chunks_exact(4).filter_map(|word| <[u8; 4]>::try_from(word).ok());
        let token = words.next().map_or(0, i32::from_le_bytes);
        logits.clear();
        logits.extend(words.map(f32::from_le_bytes));
        Ok(token)
    }
}

/// How far one file is from another. Both have to be of the same tokens.
pub(super) fn divergence(reference: &Logits, candidate: &Logits) -> Result<Divergence, String> {
    if reference.head != candidate.head {
        let sizes = [reference, candidate].map(|one| one.head.vocabulary);
        return Err(format!("their vocabularies have {} and {} tokens", sizes[0], sizes[1]));
    }
    let (mut left, mut right) = (reference.rows()?, candidate.rows()?);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    let mut divergence = Divergence::default();
    for _ in 0..reference.head.rows {
        if left.next(&mut expected)? != right.next(&mut found)? {
            return Err("they make other tokens of the same text".to_string());
        }
        divergence.add(&expected, &found);
    }
    Ok(divergence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, head: Head, rows: &[(i32, &[f32])]) {
        let mut bytes = head.to_bytes().to_vec();
        for (token, logits) in rows {
            bytes.extend(token.to_le_bytes());
            bytes.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
        }
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn files_are_compared_row_by_row_and_token_by_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let head = Head { vocabulary: 2, rows: 2 };
        write(&path("a"), head, &[(5, &[1.0, 2.0]), (6, &[0.0, 0.5])]);
        write(&path("b"), head, &[(5, &[1.0, 2.0]), (6, &[0.5, 0.0])]);
        write(&path("c"), head, &[(5, &[1.0, 2.0]), (7, &[0.5, 0.0])]);
        write(&path("wide"), Head { vocabulary: 3, rows: 1 }, &[(5, &[1.0, 2.0, 3.0])]);
        let open = |name: &str, rows| Logits::open(&path(name), rows).unwrap();
        let found = divergence(&open("a", 2), &open("b", 2)).unwrap();
        assert_eq!((found.rows, found.top_changes, found.largest_difference), (2, 1, 0.5));
        let problem = divergence(&open("a", 2), &open("c", 2)).unwrap_err();
        assert!(problem.contains("other tokens"), "{problem}");
        let problem = divergence(&open("a", 2), &open("wide", 1)).unwrap_err();
        assert!(problem.contains("2 and 3 tokens"), "{problem}");
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, Head { vocabulary: 2, rows: 2 }, &[(5, &[1.0, 2.0])]);
        assert!(Logits::open(&path, 2).unwrap_err().contains("should have"));
        std::fs::write(&path, [1; 40]).unwrap();
        assert!(Logits::open(&path, 2).unwrap_err().contains("holds no logits"));
        std::fs::write(&path, [1; 4]).unwrap();
        assert!(Logits::open(&path, 2).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn a_scratch_folder_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Scratch::new(folder.path()).unwrap(), Scratch::new(folder.path()).unwrap());
        assert_ne!(one.file("a"), other.file("a"));
        std::fs::write(one.file("a"), "x").unwrap();
        drop((one, other));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
