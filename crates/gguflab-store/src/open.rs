//! Opening: what kind of file it is, creation, backup and migration.

use crate::error::{CANNOT_OPEN, READ_ONLY, StoreError, code, explain};
use crate::session::{Access, Session, column, damaged};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Our own tables: entry N - 1 brings version N - 1 to version N. Version 0 is a file of plain Optuna.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("schema/gguflab-1.sql")];

pub(crate) const OPTUNA: &str = include_str!("schema/optuna.sql");
const REVISION: &str = "v3.2.0.a";
/// Earlier revisions, which `optuna storage upgrade` knows how to bring forward.
const EARLIER_REVISIONS: &[&str] = &[
    "v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a", "v3.0.0.a", "v3.0.0.b", "v3.0.0.c",
    "v3.0.0.d",
];

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// No tables.
    Nothing,
    /// Optuna's tables, and ours in this version (0: none).
    Studies(u32),
}

pub(crate) fn open(path: &Path, migrations: &'static [&'static str]) -> Result<Session, StoreError> {
    let path = absolute(path)?;
    check_folder(&path)?;
    if path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        inspect(&path, migrations)?;
    }
    let mut session = Session::connect(&path, Access::Write).map_err(|error| explain(&path, &error))?;
    bring_up_to_date(&mut session, migrations)?;
    Ok(session)
}

pub(crate) fn open_read_only(
    path: &Path,
    migrations: &'static [&'static str],
) -> Result<Session, StoreError> {
    let path = absolute(path)?;
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    check_folder(&path)?;
    let found = match inspect(&path, migrations)? {
        Some(found) => found,
        None => content(&mut connect_read_only(&path)?, migrations)?,
    };
    let known = version(migrations);
    match found {
        Content::Studies(found) if found == known => connect_read_only(&path),
        Content::Studies(found) => Err(StoreError::Older { path, found, known }),
        Content::Nothing => Err(StoreError::Older { path, found: 0, known }),
    }
}

/// Checks that a file can be read as it is, leaving nothing beside it.
pub(crate) fn check(path: &Path, migrations: &'static [&'static str]) -> Result<(), StoreError> {
    let path = absolute(path)?;
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    check_folder(&path)?;
    let known = version(migrations);
    match inspect(&path, migrations)? {
        Some(Content::Studies(found)) if found != known => Err(StoreError::Older { path, found, known }),
        Some(Content::Nothing) => Err(StoreError::Older { path, found: 0, known }),
        _ => Ok(()),
    }
}

pub(crate) fn memory(migrations: &'static [&'static str]) -> Result<Session, StoreError> {
    let path = Path::new(":memory:");
    let mut session = Session::connect(path, Access::Memory).map_err(|error| explain(path, &error))?;
    session.transaction(|session| apply(session, Content::Nothing, migrations))?;
    Ok(session)
}

fn version(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// SQLite takes names that begin with `file:` for addresses; an absolute path never does.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path)
        .map_err(|error| StoreError::CannotOpen { path: path.to_path_buf(), detail: error.to_string() })
}

pub(crate) fn check_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::CannotOpen { path: path.to_path_buf(), detail: "it is a folder".into() });
    }
    match path.parent() {
        Some(folder) if !folder.is_dir() => {
            Err(StoreError::NoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() })
        }
        _ => Ok(()),
    }
}

/// Looks at a file without the right to write, so that one that is refused is left as it is; `None` when that
/// needs the right to write, because a process that died left something to be undone.
///
/// A file that nobody has open is read as one that does not change, which leaves nothing beside it. If somebody
/// opens and changes it at just this moment it may look damaged, so it is looked at again.
fn inspect(path: &Path, migrations: &[&str]) -> Result<Option<Content>, StoreError> {
    // SQLite takes a file of one byte for an empty one; its smallest page has 512.
    if path.metadata().is_ok_and(|metadata| (1..512).contains(&metadata.len())) {
        return Err(StoreError::NotSqlite { path: path.to_path_buf() });
    }
    let mut result = inspect_once(path, migrations);
    for _ in 0..2 {
        if matches!(result, Err(StoreError::NotSqlite { .. } | StoreError::Damaged { .. })) {
            std::thread::sleep(Duration::from_millis(5));
            result = inspect_once(path, migrations);
        }
    }
    match result {
        Err(StoreError::ReadOnly { .. } | StoreError::CannotOpen { .. }) => Ok(None),
        other => other.map(Some),
    }
}

fn inspect_once(path: &Path, migrations: &[&str]) -> Result<Content, StoreError> {
    let in_use = beside(path, "-wal").exists() || beside(path, "-journal").exists();
    let access = if in_use { Access::Read } else { Access::Frozen };
    let mut session = Session::connect(path, access).map_err(|error| explain(path, &error))?;
    let found = content(&mut session, migrations);
    session.close().and(found)
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connect_read_only(path: &Path) -> Result<Session, StoreError> {
    let opened = Session::connect(path, Access::Read).map(|mut session| {
        // Opening reads nothing; only this tells whether SQLite can make the files that it needs beside the file.
        match session.script("SELECT count(*) FROM sqlite_schema") {
            Err(StoreError::CannotOpen { .. } | StoreError::ReadOnly { .. }) => None,
            _ => Some(session),
        }
    });
    match opened {
        Ok(Some(session)) => return Ok(session),
        Ok(None) => {}
        Err(error) if is_refused(&error) => {}
        Err(error) => return Err(explain(path, &error)),
    }
    let unsaved = beside(path, "-wal").metadata().is_ok_and(|metadata| metadata.len() > 0);
    if unsaved {
        return Err(StoreError::CannotOpen {
            path: path.to_path_buf(),
            detail: "its folder may only be read and a write-ahead log lies beside it".into(),
        });
    }
    Session::connect(path, Access::Frozen).map_err(|error| explain(path, &error))
}

fn is_refused(error: &sqlx::Error) -> bool {
    matches!(code(error).map(|code| code & 0xff), Some(CANNOT_OPEN | READ_ONLY))
}

/// Looks at what the file holds, and refuses what this program must not touch.
fn content(session: &mut Session, migrations: &[&str]) -> Result<Content, StoreError> {
    let names = table_names(session)?;
    let has = |name: &str| names.iter().any(|table| table == name);
    let path = session.path.clone();
    if names.is_empty() {
        return Ok(Content::Nothing);
    }
    if !has("studies") || !has("trials") || !has("alembic_version") {
        return Err(StoreError::OtherDatabase { path });
    }
    let found = if has("gguflab_meta") { own_version(session)? } else { 0 };
    let known = version(migrations);
    if found > known {
        return Err(StoreError::Newer { path, found, known });
    }
    check_revision(session)?;
    Ok(Content::Studies(found))
}

fn table_names(session: &mut Session) -> Result<Vec<String>, StoreError> {
    let rows = session.rows(sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table'"))?;
    rows.iter().map(|row| column(session, row, "name")).collect()
}

fn own_version(session: &mut Session) -> Result<u32, StoreError> {
    let row = session.row(sqlx::query("SELECT value FROM gguflab_meta WHERE \"key\" = 'schema_version'"))?;
    let text: String = match &row {
        Some(row) => column(session, row, "value")?,
        None => return Err(damaged(session, "gguflab_meta has no schema_version")),
    };
    text.parse().map_err(|_| damaged(session, format!("gguflab_meta has schema_version `{text}`")))
}

fn check_revision(session: &mut Session) -> Result<(), StoreError> {
    let row = session.row(sqlx::query("SELECT version_num FROM alembic_version"))?;
    let found: String = match &row {
        Some(row) => column(session, row, "version_num")?,
        None => "(none)".to_string(),
    };
    if found == REVISION {
        return Ok(());
    }
    let path = session.path.clone();
    let remedy = if EARLIER_REVISIONS.contains(&found.as_str()) {
        format!(
            "run `optuna storage upgrade --storage sqlite:///{}` with Optuna 3.2 or later",
            path.display()
        )
    } else {
        "it is of a newer Optuna, so use a newer gguflab or another file".to_string()
    };
    Err(StoreError::OptunaRevision { path, found, remedy })
}

/// Creates or migrates the tables. Two processes may do this at once: the one that comes second sees, once it has
/// the write lock, that the file has changed, and looks again.
fn bring_up_to_date(session: &mut Session, migrations: &'static [&'static str]) -> Result<(), StoreError> {
    loop {
        let found = content(session, migrations)?;
        session.write_ahead()?;
        if found == Content::Studies(version(migrations)) {
            // Says now, not after the first measurement, that the file may only be read.
            return session.check_writable();
        }
        let backup = match found {
            Content::Studies(old) => Some(Backup::make(session, old)?),
            Content::Nothing => None,
        };
        let done = session.transaction(|session| {
            if content(session, migrations)? != found {
                return Ok(false);
            }
            backup.as_ref().map_or(Ok(()), |backup| backup.keep(session))?;
            apply(session, found, migrations)?;
            Ok(true)
        });
        backup.inspect(Backup::discard_partial);
        if done? {
            return Ok(());
        }
    }
}

fn apply(
    session: &mut Session,
    from: Content,
    migrations: &'static [&'static str],
) -> Result<(), StoreError> {
    let first = match from {
        Content::Nothing => {
            session.script(OPTUNA)?;
            0
        }
        Content::Studies(version) => version,
    };
    for &sql in migrations.iter().skip(first as usize) {
        session.script(sql)?;
    }
    let set = "INSERT INTO gguflab_meta (\"key\", value) VALUES (?1, ?2) \
               ON CONFLICT (\"key\") DO UPDATE SET value = excluded.value";
    session.run(sqlx::query(set).bind("schema_version").bind(version(migrations).to_string()))?;
    session.run(sqlx::query(set).bind("written_by").bind(concat!("gguflab ", env!("CARGO_PKG_VERSION"))))?;
    Ok(())
}

/// A copy of the file before a migration; written under another name first, so that a name `.backup-vN` always
/// stands for a whole copy.
struct Backup {
    partial: PathBuf,
    name: PathBuf,
}

impl Backup {
    fn make(session: &mut Session, version: u32) -> Result<Backup, StoreError> {
        let path = session.path.clone();
        let partial = beside(&path, &format!(".backup-partial-{}", std::process::id()));
        let mut name = beside(&path, &format!(".backup-v{version}"));
        let mut copy = 2;
        while name.exists() {
            name = beside(&path, &format!(".backup-v{version}-{copy}"));
            copy += 1;
        }
        let backup = Backup { partial, name };
        backup.discard_partial();
        backup.write(session).inspect_err(|_| backup.discard_partial())?;
        Ok(backup)
    }

    fn write(&self, session: &mut Session) -> Result<(), StoreError> {
        let Some(target) = self.partial.to_str() else {
            return Err(self.failed(session, "its name is not valid UTF-8"));
        };
        // A consistent copy that includes what lies in the write-ahead log.
        match session.run(sqlx::query("VACUUM INTO ?1").bind(target)) {
            Ok(_) => {}
            Err(full @ StoreError::DiskFull { .. }) => return Err(full),
            Err(damaged @ StoreError::Damaged { .. }) => return Err(damaged),
            Err(error) => return Err(self.failed(session, &error.to_string())),
        }
        let synced = std::fs::File::open(&self.partial).and_then(|file| file.sync_all());
        synced.map_err(|error| self.failed(session, &error.to_string()))
    }

    fn keep(&self, session: &Session) -> Result<(), StoreError> {
        std::fs::rename(&self.partial, &self.name).map_err(|error| self.failed(session, &error.to_string()))
    }

    fn discard_partial(&self) {
        // It may have been renamed, or never made.
        let _ = std::fs::remove_file(&self.partial);
    }

    fn failed(&self, session: &Session, detail: &str) -> StoreError {
        StoreError::Backup {
            path: session.path.clone(),
            backup: self.name.clone(),
            detail: detail.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
