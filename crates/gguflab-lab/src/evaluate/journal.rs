//! What was found of each window, one JSON object on a line, after a line that says of what. A line that was cut off by
//! a kill is dropped when the journal is opened again.

use super::{EvaluateError, Head, file};
use gguflab_data::sums;
use gguflab_types::evaluation::WindowScores;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of its form.
pub(super) const VERSION: u32 = 2;
/// Hexadecimal digits of the head's hash in a journal's name.
const NAME_DIGITS: usize = 24;

/// A journal that is written.
pub(super) struct Journal {
    file: Option<(File, PathBuf)>,
}

impl Journal {
    /// Opens the journal of an evaluation, with what is in it; an empty one where there is none, or all is done anew.
    pub(super) fn open(
        folder: Option<&Path>,
        head: &Head,
        anew: bool,
    ) -> Result<(Journal, Vec<WindowScores>), EvaluateError> {
        let Some(folder) = folder else { return Ok((Journal { file: None }, Vec::new())) };
        std::fs::create_dir_all(folder).map_err(|source| file("make the folder", folder, source))?;
        let first = line(head);
        let path = folder.join(name(&first));
        let failed = |source| file("write", &path, source);
        let mut opened = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        // The system takes the lock back when the process dies.
        if let Err(TryLockError::WouldBlock) = opened.try_lock() {
            return Err(EvaluateError::Busy { path });
        }
        let known = if anew { None } else { read(&path, &first)? };
        let (length, scored) = known.unwrap_or_default();
        opened.set_len(length).map_err(failed)?;
        opened.seek(SeekFrom::End(0)).map_err(failed)?;
        if length == 0 {
            opened.write_all(first.as_bytes()).map_err(failed)?;
        }
        Ok((Journal { file: Some((opened, path)) }, scored))
    }

    /// Adds a window.
    pub(super) fn add(&mut self, scored: &WindowScores) -> Result<(), EvaluateError> {
        let Some((opened, path)) = &mut self.file else { return Ok(()) };
        opened.write_all(line(scored).as_bytes()).map_err(|source| file("write", path, source))
    }
}

fn line<T: serde::Serialize>(what: &T) -> String {
    // Numbers, texts and lists of them: nothing in it can fail to be written.
    serde_json::to_string(what).unwrap_or_default() + "\n"
}

fn name(head: &str) -> String {
    let hash = sums::of_bytes(head.as_bytes());
    format!("{}.jsonl", &hash[..NAME_DIGITS])
}

/// The windows in a journal and the bytes up to the last whole one; `None` where there is no journal.
fn read(path: &Path, head: &str) -> Result<Option<(u64, Vec<WindowScores>)>, EvaluateError> {
    let failed = |source| file("read", path, source);
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let damaged = |problem: String| EvaluateError::Journal { path: path.to_path_buf(), problem };
    let (mut length, mut scored) = (0, Vec::new());
    let mut reader = BufReader::new(opened);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if !line.ends_with(b"\n") {
            // Nothing more, or a line that was never finished.
            return Ok((length > 0).then_some((length, scored)));
        }
        if length == 0 && line != head.as_bytes() {
            return Err(damaged("it is the journal of another evaluation".to_string()));
        }
        if length > 0 {
            let window = serde_json::from_slice(&line);
            scored.push(window.map_err(|error| damaged(format!("line {}: {error}", scored.len() + 2)))?);
        }
        length += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::evaluation::{WindowRule, Windowing};

    fn head(seed: u64) -> Head {
        Head {
            version: VERSION,
            reference: None,
            candidates: Vec::new(),
            engine: String::new(),
            windowing: Windowing { rule: WindowRule::EveryPosition, context: 64 },
            texts: Vec::new(),
            seed,
            chunks: None,
        }
    }

    fn scored(chunk: u32) -> WindowScores {
        WindowScores { chunk, pieces: vec!["größer".to_string()], ..WindowScores::default() }
    }

    #[test]
    fn what_was_cut_anywhere_is_dropped_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, known) = Journal::open(Some(folder.path()), &head(1), false).unwrap();
        assert!(known.is_empty());
        (0..3).for_each(|chunk| journal.add(&scored(chunk)).unwrap());
        assert!(
            matches!(Journal::open(Some(folder.path()), &head(1), false), Err(EvaluateError::Busy { .. })),
            "one process at a time"
        );
        drop(journal);
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, known) = Journal::open(Some(folder.path()), &head(1), false).unwrap();
            assert_eq!(known, [scored(0), scored(1)], "cut at {cut}");
            journal.add(&scored(2)).unwrap();
            drop(journal);
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
        let (_, other) = Journal::open(Some(folder.path()), &head(2), false).unwrap();
        assert!(other.is_empty(), "another evaluation has another journal");
        let (_, anew) = Journal::open(Some(folder.path()), &head(1), true).unwrap();
        assert!(anew.is_empty());
    }
}
