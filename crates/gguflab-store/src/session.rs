//! One connection behind a synchronous face: statements, transactions, and errors that name the file.

use crate::error::{StoreError, explain};
use crate::worker;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long a call waits for another process that writes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A statement with its arguments.
pub(crate) type Statement<'a> = sqlx::query::Query<'a, Sqlite, SqliteArguments>;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and write; made when it does not exist.
    Write,
    /// Read only.
    Read,
    /// Read only, and nobody else may write: needs no files beside it.
    Frozen,
    /// In memory.
    Memory,
}

/// A connection, its runtime and the file that it belongs to.
pub(crate) struct Session {
    runtime: Runtime,
    connection: SqliteConnection,
    pub(crate) path: PathBuf,
    /// What this process is called in the trials that it begins.
    pub(crate) worker: String,
    identity: Option<Identity>,
    in_transaction: bool,
}

impl Session {
    /// Connects, or gives SQLite's own error so that the caller can look at its code.
    pub(crate) fn connect(path: &Path, access: Access) -> Result<Session, sqlx::Error> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(PATIENCE)
            .read_only(matches!(access, Access::Read | Access::Frozen))
            .immutable(access == Access::Frozen)
            .create_if_missing(access == Access::Write)
            .in_memory(access == Access::Memory)
            .pragma("synchronous", "NORMAL")
            .disable_statement_logging();
        let connection = runtime.block_on(options.connect())?;
        let identity = if access == Access::Write { Identity::of(path) } else { None };
        Ok(Session {
            runtime,
            connection,
            path: path.to_path_buf(),
            worker: worker::here(),
            identity,
            in_transaction: false,
        })
    }

    /// Runs a statement; gives the number of rows that it changed.
    pub(crate) fn run(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let done = self.runtime.block_on(statement.execute(&mut self.connection));
        done.map(|done| done.rows_affected()).map_err(|error| self.fault(&error))
    }

    /// Every row of a query.
    pub(crate) fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = self.runtime.block_on(statement.fetch_all(&mut self.connection));
        rows.map_err(|error| self.fault(&error))
    }

    /// The first row of a query.
    pub(crate) fn row(&mut self, statement: Statement<'_>) -> Result<Option<SqliteRow>, StoreError> {
        let row = self.runtime.block_on(statement.fetch_optional(&mut self.connection));
        row.map_err(|error| self.fault(&error))
    }

    /// Several statements without arguments.
    pub(crate) fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = self.runtime.block_on(sqlx::raw_sql(sql).execute(&mut self.connection));
        done.map(|_| ()).map_err(|error| self.fault(&error))
    }

    /// One write transaction around `work`: all of it or nothing. The write lock is taken at the start, so that
    /// what `work` reads cannot be changed by another process before it writes.
    ///
    /// The statements are sent by hand: sqlx counts transactions itself, and miscounts when SQLite rolls one back
    /// on its own, as it does when the disk is full.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_file()?;
        if self.in_transaction {
            // The closure of an earlier call unwound.
            self.roll_back();
        }
        self.script("BEGIN IMMEDIATE")?;
        self.in_transaction = true;
        let result = work(self).and_then(|value| self.script("COMMIT").map(|()| value));
        match result {
            Ok(_) => self.in_transaction = false,
            Err(_) => self.roll_back(),
        }
        result
    }

    /// Refuses to go on when the file was removed or replaced: SQLite would go on writing to a file that nobody
    /// can open any more.
    pub(crate) fn check_file(&self) -> Result<(), StoreError> {
        match &self.identity {
            Some(identity) if Identity::of(&self.path).as_ref() != Some(identity) => {
                Err(StoreError::Vanished { path: self.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Tries to change something and takes it back. (Only to begin a write transaction tells nothing: on a file
    /// that may only be read SQLite begins a reading one instead.)
    pub(crate) fn check_writable(&mut self) -> Result<(), StoreError> {
        self.script("BEGIN IMMEDIATE")?;
        let tried = self.script("UPDATE gguflab_meta SET value = value");
        self.roll_back();
        tried
    }

    /// Turns on write-ahead logging. SQLite does not wait for other processes here, so this does.
    pub(crate) fn write_ahead(&mut self) -> Result<(), StoreError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.script("PRAGMA journal_mode = WAL") {
                Err(StoreError::Busy { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }

    /// An error of the database as one that names the file.
    pub(crate) fn fault(&self, error: &sqlx::Error) -> StoreError {
        explain(&self.path, error)
    }

    /// Closes the connection and waits until its files are released.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        let Session { runtime, connection, path, .. } = self;
        runtime.block_on(connection.close()).map_err(|error| explain(&path, &error))
    }

    fn roll_back(&mut self) {
        // An error only says that SQLite has rolled back already.
        let _ = self.script("ROLLBACK");
        self.in_transaction = false;
    }
}

/// What tells a file from another one of the same name.
#[derive(Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(path: &Path) -> Option<Identity> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Identity::from(&metadata))
    }
}

#[cfg(unix)]
impl From<&std::fs::Metadata> for Identity {
    fn from(metadata: &std::fs::Metadata) -> Identity {
        use std::os::unix::fs::MetadataExt;
        Identity(metadata.dev(), metadata.ino())
    }
}

#[cfg(not(unix))]
impl From<&std::fs::Metadata> for Identity {
    /// Elsewhere an open database cannot be replaced; that it exists is all that is asked.
    fn from(_: &std::fs::Metadata) -> Identity {
        Identity(0, 0)
    }
}

/// A column of a row.
pub(crate) fn column<'row, T>(session: &Session, row: &'row SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'row, Sqlite> + sqlx::Type<Sqlite>,
{
    use sqlx::Row;
    row.try_get(name).map_err(|error| session.fault(&error))
}

/// A column that holds JSON.
pub(crate) fn json_column<T: serde::de::DeserializeOwned>(
    session: &Session,
    row: &SqliteRow,
    name: &str,
) -> Result<T, StoreError> {
    let text: &str = column(session, row, name)?;
    from_json(session, text, name)
}

/// Reads JSON that is called `what`.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    session: &Session,
    text: &str,
    what: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(session, format!("{what}: {error}")))
}

/// Writes JSON.
pub(crate) fn to_json<T: serde::Serialize>(session: &Session, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Database { path: session.path.clone(), detail: error.to_string() })
}

/// The file holds something that this program would not have written.
pub(crate) fn damaged(session: &Session, detail: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: session.path.clone(), detail: detail.into() }
}
