//! Remembered hashes: a small file in a folder of the caller.

use gguflab_format::Model;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Name of the file.
pub(super) const FILE: &str = "fingerprints.json";
/// Raised when the hashes are made in another way.
const VERSION: u32 = 1;
/// Models that are remembered; the oldest go first.
const ENTRIES: usize = 1000;
/// A file that changed this recently could change again within the same time stamp.
const SETTLED: Duration = Duration::from_secs(2);

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cache {
    version: u32,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    fingerprint: String,
}

/// What a model's files look like from outside; `None` when they cannot be asked, or changed just now.
pub(super) fn key(model: &Model) -> Option<String> {
    let mut key = String::new();
    for file in model.files() {
        let facts = std::fs::metadata(&file.path).ok()?;
        let path = std::fs::canonicalize(&file.path).ok()?;
        let changed = facts.modified().ok()?;
        if SystemTime::now().duration_since(changed).ok()? < SETTLED {
            return None;
        }
        let changed = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        key.push_str(&format!("{}|{}|{changed}|{}\n", path.display(), facts.len(), inode(&facts)));
    }
    Some(key)
}

#[cfg(unix)]
fn inode(facts: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(facts)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

impl Cache {
    /// Reads the cache of a folder; a missing, damaged or other one is empty.
    pub(super) fn read(folder: &Path) -> Cache {
        let text = std::fs::read(folder.join(FILE)).unwrap_or_default();
        let cache: Cache = serde_json::from_slice(&text).unwrap_or_default();
        if cache.version == VERSION { cache } else { Cache { version: VERSION, entries: Vec::new() } }
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.fingerprint.clone())
    }

    pub(super) fn put(&mut self, key: String, fingerprint: String) {
        // Another state of the same file is of no use any more.
        let path = path_of(&key).to_string();
        self.entries.retain(|entry| path_of(&entry.key) != path);
        self.entries.push(Entry { key, fingerprint });
        let surplus = self.entries.len().saturating_sub(ENTRIES);
        self.entries.drain(..surplus);
    }

    /// Writes beside and renames, so that a reader never sees half a file.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let beside = folder.join(format!("{FILE}.{}", std::process::id()));
        let mut file = std::fs::File::create(&beside)?;
        let written = file.write_all(&serde_json::to_vec_pretty(self)?);
        written.and_then(|()| std::fs::rename(&beside, folder.join(FILE))).inspect_err(|_| {
            // Half a file is of no use; if it cannot be removed either, it does no harm.
            let _ = std::fs::remove_file(&beside);
        })
    }
}

fn path_of(key: &str) -> &str {
    key.split('|').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_for_each_path_and_no_more_than_the_limit() {
        let mut cache = Cache::default();
        for number in 0..ENTRIES + 5 {
            cache.put(format!("/m{number}|1|2|3\n"), number.to_string());
        }
        assert_eq!(cache.entries.len(), ENTRIES);
        assert_eq!(cache.get("/m0|1|2|3\n"), None);
        cache.put("/m9|1|7|3\n".into(), "new".into());
        assert_eq!(cache.get("/m9|1|2|3\n"), None);
        assert_eq!(cache.get("/m9|1|7|3\n").as_deref(), Some("new"));
        assert_eq!(cache.entries.len(), ENTRIES);
    }
}
