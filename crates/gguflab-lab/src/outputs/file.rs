//! Files of outputs on this side: read a row at a time, never as a whole.

use super::Unread;
use gguflab_stats::{Divergence, Known};
use gguflab_types::outputs::{Head, RowForm};
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

/// A whole file of logits, or of likeliest tokens.
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
        let head = Head::from_bytes(bytes).ok_or_else(|| format!("{} holds no outputs", path.display()))?;
        let length = file.metadata().map_err(cannot)?.len();
        if head.rows != rows || length != head.file_bytes() || head.width == 0 {
            let expected = Head { rows, ..head }.file_bytes();
            return Err(format!(
                "{} has {length} bytes of outputs and should have {expected}",
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
        let length = usize::try_from(self.head.row_bytes()).unwrap_or(usize::MAX);
        Ok(Rows { file, path: self.path.clone(), form: self.head.form, bytes: vec![0; length] })
    }
}

/// The rows of a file, one after the other.
struct Rows {
    file: BufReader<File>,
    path: PathBuf,
    form: RowForm,
    bytes: Vec<u8>,
}

/// What is known of what follows one token.
#[derive(Debug, Default)]
struct Row {
    logits: Vec<f32>,
    likeliest: Vec<(i32, f32)>,
}

impl Rows {
    /// Reads the next row into `row`; gives its token.
    fn next(&mut self, row: &mut Row) -> Result<i32, String> {
        self.file
            .read_exact(&mut self.bytes)
            .map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        let mut words = self.bytes.chunks_exact(4).filter_map(|word| <[u8; 4]>::try_from(word).ok());
        let token = words.next().map_or(0, i32::from_le_bytes);
        row.logits.clear();
        row.likeliest.clear();
        match self.form {
            RowForm::Logits => row.logits.extend(words.map(f32::from_le_bytes)),
            RowForm::Likeliest => {
                let pair = || Some((i32::from_le_bytes(words.next()?), f32::from_le_bytes(words.next()?)));
                row.likeliest.extend(std::iter::from_fn(pair));
            }
        }
        Ok(token)
    }
}

impl Row {
    fn known(&self) -> Known<'_> {
        if self.likeliest.is_empty() { Known::All(&self.logits) } else { Known::Likeliest(&self.likeliest) }
    }
}

/// How far one file is from another. Both have to be of the same tokens.
pub(super) fn divergence(reference: &Logits, candidate: &Logits) -> Result<Divergence, Unread> {
    let forms = [reference, candidate].map(|one| one.head.form);
    if forms[0] == forms[1] && reference.head != candidate.head {
        let sizes = [reference, candidate].map(|one| one.head.width);
        return Err(match forms[0] {
            RowForm::Logits => {
                Unread::Other(format!("their vocabularies have {} and {} tokens", sizes[0], sizes[1]))
            }
            // What is told is the server's choice, not the model's.
            RowForm::Likeliest => {
                Unread::Unavailable(format!("they tell {} and {} likeliest tokens", sizes[0], sizes[1]))
            }
        });
    }
    let cut = Unread::Unavailable;
    let (mut left, mut right) = (reference.rows().map_err(cut)?, candidate.rows().map_err(cut)?);
    let (mut expected, mut found) = (Row::default(), Row::default());
    let mut divergence = Divergence::default();
    for _ in 0..reference.head.rows {
        if left.next(&mut expected).map_err(cut)? != right.next(&mut found).map_err(cut)? {
            return Err(Unread::Other("they make other tokens of the same text".to_string()));
        }
        match forms {
            [RowForm::Logits, RowForm::Logits] => divergence.add(&expected.logits, &found.logits),
            _ => divergence.add_likeliest(expected.known(), found.known()),
        }
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
        let head = Head { form: RowForm::Logits, width: 2, rows: 2 };
        write(&path("a"), head, &[(5, &[1.0, 2.0]), (6, &[0.0, 0.5])]);
        write(&path("b"), head, &[(5, &[1.0, 2.0]), (6, &[0.5, 0.0])]);
        write(&path("c"), head, &[(5, &[1.0, 2.0]), (7, &[0.5, 0.0])]);
        write(&path("wide"), Head { width: 3, rows: 1, ..head }, &[(5, &[1.0, 2.0, 3.0])]);
        let open = |name: &str, rows| Logits::open(&path(name), rows).unwrap();
        let found = divergence(&open("a", 2), &open("b", 2)).unwrap();
        assert_eq!((found.rows, found.top_changes, found.largest_difference), (2, 1, 0.5));
        let problem = divergence(&open("a", 2), &open("c", 2)).unwrap_err();
        assert!(problem.reason().contains("other tokens"), "{problem:?}");
        let problem = divergence(&open("a", 2), &open("wide", 1)).unwrap_err();
        assert!(problem.reason().contains("2 and 3 tokens"), "{problem:?}");
    }

    #[test]
    fn likeliest_tokens_are_laid_beside_each_other_and_beside_logits() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let head = Head { form: RowForm::Likeliest, width: 2, rows: 1 };
        // The token, and then pairs: numbers of tokens stand in the place of logits, bit for bit.
        let token = |token: i32| f32::from_bits(token.cast_unsigned());
        let (half, third) = (0.5f32.ln(), 0.3f32.ln());
        write(&path("a"), head, &[(5, &[token(1), half, token(2), third])]);
        write(&path("b"), head, &[(5, &[token(2), half, token(1), third])]);
        write(&path("c"), Head { width: 1, ..head }, &[(5, &[token(1), half])]);
        write(
            &path("all"),
            Head { form: RowForm::Logits, width: 3, rows: 1 },
            &[(5, &[0.2f32.ln(), half, third])],
        );
        let open = |name: &str| Logits::open(&path(name), 1).unwrap();
        let found = divergence(&open("a"), &open("b")).unwrap();
        assert_eq!((found.rows, found.top_changes), (1, 1));
        assert!((found.maximum - 0.2 * (5.0f64 / 3.0).ln()).abs() < 1e-6, "{found:?}");
        assert!((found.hidden() - 0.2).abs() < 1e-6, "{found:?}");
        for (one, other) in [("a", "all"), ("all", "a"), ("a", "a")] {
            let found = divergence(&open(one), &open(other)).unwrap();
            assert!(found.maximum < 1e-6 && found.top_changes == 0, "{one} {other}: {found:?}");
        }
        assert!(divergence(&open("a"), &open("c")).unwrap_err().reason().contains("tell 2 and 1 likeliest"));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, Head { form: RowForm::Logits, width: 2, rows: 2 }, &[(5, &[1.0, 2.0])]);
        assert!(Logits::open(&path, 2).unwrap_err().contains("should have"));
        std::fs::write(&path, [1; 40]).unwrap();
        assert!(Logits::open(&path, 2).unwrap_err().contains("holds no outputs"));
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
