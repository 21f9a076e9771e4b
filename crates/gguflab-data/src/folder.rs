//! Bounded walks through folders, and the model in a folder.

use std::collections::VecDeque;
use std::fs::{self, DirEntry, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use gguflab_format::SplitName;

use crate::choose::choose;
use crate::error::DataError;
use crate::limits;

/// A file that a walk met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkedFile {
    /// Path from the walk's root, with `/` between its parts, for display and choice.
    pub(crate) name: String,
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// What a walk met.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The files that were kept: those of upper folders first, by name within a folder.
    pub(crate) files: Vec<WalkedFile>,
    /// False when the limit on entries ended the walk.
    pub(crate) complete: bool,
}

/// The model in `folder` (its own files first, deeper ones only when it has none) that `wanted` chooses, or the only one.
pub(crate) fn model_in(folder: &Path, wanted: Option<&str>, place: &str) -> Result<WalkedFile, DataError> {
    let mut walk = walk(folder, limits::WALK_DEPTH, is_gguf);
    if !walk.complete {
        return Err(DataError::TooManyEntries { folder: folder.to_owned() });
    }
    if wanted.is_none() && walk.files.iter().any(|file| !file.name.contains('/')) {
        walk.files.retain(|file| !file.name.contains('/'));
    }
    chosen(&walk.files, wanted, place)
}

/// The file among `files` that `wanted` chooses, or the only model; its first part when it is split.
pub(crate) fn chosen(
    files: &[WalkedFile],
    wanted: Option<&str>,
    place: &str,
) -> Result<WalkedFile, DataError> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let name = choose(&names, wanted, place)?;
    let file = files.iter().find(|file| file.name == name);
    file.cloned().ok_or_else(|| DataError::MissingPart { place: place.to_owned(), missing: name })
}

/// Walks down from `root` at most `depth` levels (1: only its own files) and keeps the files whose names `keep`
/// accepts. Hidden entries are passed over; folders that cannot be read count as empty. Links are followed, as
/// stores of models are often linked into each other; the depth bounds a circle of them.
pub(crate) fn walk(root: &Path, depth: usize, keep: fn(&str) -> bool) -> Walk {
    let mut walk = Walk { files: Vec::new(), complete: true };
    let mut folders = VecDeque::from([(root.to_owned(), String::new(), 1)]);
    let mut left = limits::WALK_ENTRIES;
    while let Some((folder, prefix, level)) = folders.pop_front() {
        let entries = entries(&folder, &mut left);
        for (entry, name) in entries {
            let (path, full) = (entry.path(), format!("{prefix}{name}"));
            match fs::metadata(&path) {
                Ok(facts) if facts.is_dir() && level < depth => {
                    folders.push_back((path, format!("{full}/"), level + 1));
                }
                Ok(facts) if facts.is_file() && keep(&name) => {
                    walk.files.push(WalkedFile { name: full, path, bytes: facts.len() });
                }
                _ => {}
            }
        }
        if left == 0 {
            walk.complete = false;
            break;
        }
    }
    walk
}

/// The entries of a folder, by name, without hidden ones; at most `left`, which is counted down.
fn entries(folder: &Path, left: &mut usize) -> Vec<(DirEntry, String)> {
    let Ok(reader) = fs::read_dir(folder) else { return Vec::new() };
    let mut entries = Vec::new();
    for entry in reader.take(*left).flatten() {
        *left -= 1;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((entry, name));
        }
    }
    entries.sort_by(|(_, one), (_, other)| one.cmp(other));
    entries
}

/// The entry of `folder` called `name`, exactly or else without regard to case.
pub(crate) fn entry_ignoring_case(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.exists() {
        return Some(exact);
    }
    let mut left = limits::WALK_ENTRIES;
    let found = entries(folder, &mut left).into_iter().find(|(_, other)| other.eq_ignore_ascii_case(name));
    found.map(|(entry, _)| entry.path())
}

/// Bytes of the model that begins with `first`: all parts among `files` when it is split.
pub(crate) fn model_bytes(first: &WalkedFile, files: &[WalkedFile]) -> u64 {
    let parts = part_names(&first.name);
    files.iter().filter(|file| parts.contains(&file.name)).map(|file| file.bytes).sum()
}

/// Names of all files of the model that `name` is a file of, in the same folder.
pub(crate) fn part_names(name: &str) -> Vec<String> {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let Some(split) = SplitName::parse(file) else { return vec![name.to_owned()] };
    let slash = if folder.is_empty() { "" } else { "/" };
    (1..=split.count).map(|number| format!("{folder}{slash}{}", split.part(number))).collect()
}

/// The first `limit` bytes at most; an error when the file is longer.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let failed = |cause| DataError::System { action: "read", path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it is longer than {limit} bytes and so cannot be one; pull the model again");
        return Err(DataError::Manifest { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

/// The last part of a path, readable.
pub(crate) fn display_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether a file's name ends as GGUF files do.
pub(crate) fn is_gguf(name: &str) -> bool {
    name.len() > 5 && name.get(name.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case(".gguf"))
}
