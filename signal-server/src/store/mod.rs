//! The store: merchants, links, destinations, API keys and the calls' records in SQLite. The only place that knows SQL.
//!
//! One connection writes, with `BEGIN IMMEDIATE`, so that writers wait for each other instead of failing; others read.
//! The SQL is of the kind that PostgreSQL takes as well. Not here: what makes a value valid.

mod calls;
mod commands;
mod keys;
mod merchants;
mod open_calls;
mod seed;
mod writer;

pub(crate) use commands::Keypad;
pub(crate) use keys::{KeyHash, Reach};
pub(crate) use merchants::{Admission, Route};
pub(crate) use open_calls::OpenCall;
pub(crate) use writer::{CallChange, RecordWriter, Records};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Connections that read: more than the cores of a small machine, fewer than would fight for the page cache.
const READERS: u32 = 8;

/// How long a query waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How long a statement waits for a lock that another process (a backup, `sqlite3`) holds.
const BUSY: Duration = Duration::from_secs(5);

/// Links, destinations or commands that one merchant may have: bounds the lists that are not paged.
pub(crate) const MAX_PER_MERCHANT: i64 = 500;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) i64);

impl Millis {
    /// The system's clock.
    pub(crate) fn now() -> Self {
        Self::from(SystemTime::now())
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Self {
        // A clock before 1970 or after the year 292 million is no clock: 0 is as good as anything.
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or_default())
    }
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The thing that is written belongs to something that does not exist.
    #[error("what it belongs to does not exist")]
    NoParent,
    /// The thing is still in use.
    #[error("it is in use")]
    InUse,
    /// There is one already, and it is not to be replaced.
    #[error("there is one already")]
    Exists,
    /// There are [`MAX_PER_MERCHANT`] already.
    #[error("there are {MAX_PER_MERCHANT} already")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A handle on the database; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Opens the file, makes it if need be, and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL a crash of the machine can lose the last transactions, never the file.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE);
        let writer = pool().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!("migrations/sqlite").run(&writer).await?;
        let reader =
            pool().max_connections(READERS).connect_with(options.read_only(true).create_if_missing(false)).await?;
        Ok(Self { writer, reader })
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.reader).await.map(drop)
    }

    /// Waits for what is under way and closes the file.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// The server's own secret of that name; `fresh` becomes it when there is none yet.
    pub(crate) async fn secret(&self, name: &str, fresh: &str) -> Result<String, sqlx::Error> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(fresh)
            .execute(&mut *tx)
            .await?;
        let value =
            sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1").bind(name).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(value)
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }
}

/// Makes the file, if it is not there, for nobody's eyes but ours: merchants' secrets will stand in it. SQLite gives what it puts
/// beside it the same mode; one that exists keeps what its owner has given it.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Tells a broken reference from other failures of the database.
fn referenced(error: sqlx::Error, meaning: StoreError) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => meaning,
        _ => StoreError::Database(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_fresh_database_is_for_its_owner_alone_and_another_keeps_its_mode() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("ringlet.sqlite");
        let modes = || -> Vec<u32> {
            let files = std::fs::read_dir(folder.path()).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
        };
        let store = Store::open(&path).await.unwrap();
        assert!(modes().len() > 1 && modes().iter().all(|mode| *mode == 0o600), "{:?}", modes());
        store.close().await;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        Store::open(&path).await.unwrap();
        assert!(modes().contains(&0o640), "{:?}", modes());
    }
}
