//! The store: one file, opened, created or migrated.

use crate::cache::Cache;
use crate::error::StoreError;
use crate::open;
use crate::session::Session;
use std::path::Path;

/// Studies with their trials in one SQLite file. See the crate's documentation for what is written and what
/// survives.
pub struct Store {
    pub(crate) session: Session,
    pub(crate) cache: Cache,
}

impl Store {
    /// Opens a study file for reading and writing. A file that does not exist (or is empty) is made, in a folder
    /// that must exist; an older file, or one of plain Optuna, is migrated after a copy `FILE.backup-vN` was put
    /// beside it (N: version of our own tables, 0 for none).
    ///
    /// # Errors
    /// The file cannot be opened or written, is no study file, is damaged, or was written by a newer gguflab or
    /// with another revision of Optuna's tables; it is left as it is then.
    pub fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        open::open(path.as_ref(), open::MIGRATIONS).map(Store::with)
    }

    /// Opens a study file for reading. Nothing in it is changed; calls that write fail.
    ///
    /// # Errors
    /// As for [`Store::open`]; also when the file does not exist or would have to be migrated.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        open::open_read_only(path.as_ref(), open::MIGRATIONS).map(Store::with)
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// Only when the system has no memory or threads left.
    pub fn memory() -> Result<Store, StoreError> {
        open::memory(open::MIGRATIONS).map(Store::with)
    }

    /// The study file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.session.path
    }

    /// Closes the file and waits until it is released. Dropping a store loses nothing either, but the file may
    /// then be released a moment later.
    ///
    /// # Errors
    /// The database says what went wrong while it was closed.
    pub fn close(self) -> Result<(), StoreError> {
        self.session.close()
    }

    fn with(session: Session) -> Store {
        Store { session, cache: Cache::default() }
    }
}
