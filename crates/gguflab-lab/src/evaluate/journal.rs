//! What was found of each window, one JSON object on a line, after a line that says of what. A line that was cut off by
//! a kill is dropped when the journal is opened again.

use super::{EvaluateError, Head, Scored, file, hexadecimal};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of its form.
pub(super) const VERSION: u32 = 1;
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
    ) -> Result<(Journal, Vec<Scored>), EvaluateError> {
        let Some(folder) = folder else { return Ok((Journal { file: None }, Vec::new())) };
        std::fs::create_dir_all(folder).map_err(|source| file("make the folder", folder, source))?;
        let first = line(head);
        let path = folder.join(name(&first));
        let known = if anew { None } else { read(&path, &first)? };
        let (length, scored) = known.unwrap_or_default();
        let failed = |source| file("write", &path, source);
        let mut opened =
            OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
        opened.set_len(length).map_err(failed)?;
        opened.seek(SeekFrom::End(0)).map_err(failed)?;
        if length == 0 {
            opened.write_all(first.as_bytes()).map_err(failed)?;
        }
        Ok((Journal { file: Some((opened, path)) }, scored))
    }

    /// Adds a window.
    pub(super) fn add(&mut self, scored: &Scored) -> Result<(), EvaluateError> {
        let Some((opened, path)) = &mut self.file else { return Ok(()) };
        opened.write_all(line(scored).as_bytes()).map_err(|source| file("write", path, source))
    }
}

fn line<T: serde::Serialize>(what: &T) -> String {
    // Numbers, texts and lists of them: nothing in it can fail to be written.
    serde_json::to_string(what).unwrap_or_default() + "\n"
}

fn name(head: &str) -> String {
    let hash = hexadecimal(&Sha256::digest(head.as_bytes()));
    format!("{}.jsonl", &hash[..NAME_DIGITS])
}

/// The windows in a journal and the bytes up to the last whole one; `None` where there is no journal.
fn read(path: &Path, head: &str) -> Result<Option<(u64, Vec<Scored>)>, EvaluateError> {
    let failed = |source| file("read", path, source);
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let damaged = |problem: String| EvaluateError::Journal { path: path.to_path_buf(), problem };
    let (mut length, mut scored) = (0, Vec::new());
    let mut reader = BufReader::new(opened);
    let mut text = String::new();
    loop {
        text.clear();
        let bytes = reader.read_line(&mut text).map_err(failed)?;
        if !text.ends_with('\n') {
            // Nothing more, or a line that was never finished.
            return Ok((length > 0).then_some((length, scored)));
        }
        if length == 0 && text != head {
            return Err(damaged("it is the journal of another evaluation".to_string()));
        }
        if length > 0 {
            let window = serde_json::from_str(&text);
            scored.push(window.map_err(|error| damaged(format!("line {}: {error}", scored.len() + 2)))?);
        }
        length += bytes as u64;
    }
}
