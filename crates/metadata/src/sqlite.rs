//! The embedded engine: SQLite in WAL mode, one writer thread with group commit, readers called directly.
//!
//! Invariants: one process at a time, by a lock on a file beside the database; `synchronous = FULL` for every group
//! with a durable value; foreign keys are enforced on every connection.

pub(crate) mod migrate;
mod readers;
mod run;
mod writer;

use crate::engine::{Dialect, Engine};
use crate::error::{CommitError, Outcome, StoreError};
use crate::statement::{Access, Sql, Statement};
use crate::tx::Tx;
use crate::value::{Row, Value};
use futures_util::future::BoxFuture;
use readers::Readers;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use writer::{Message, Writer};

/// The database in its data directory.
pub const FILE: &str = "bonded.db";
/// The file whose lock says that a process uses the directory.
pub const LOCK: &str = "bonded.lock";

/// Values that wait for the writer; further callers wait to hand theirs in.
const QUEUE: usize = 4096;
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 256;
/// Cache of a reader and of the writer, in KiB. What is mapped needs none.
const READER_CACHE_KIB: i64 = 1024;
const WRITER_CACHE_KIB: i64 = 8192;
/// How much of the file is mapped.
const MMAP_BYTES: i64 = 256 << 20;
/// To what the log is cut when it was larger.
const LOG_BYTES: i64 = 64 << 20;

pub(crate) static RESERVE: Statement = Statement::new(
    "sqlite::RESERVE",
    Access::Write,
    Sql::Shared("UPDATE id_block SET next = next + $1 WHERE name = 'id'"),
);
pub(crate) static RESERVED: Statement = Statement::new(
    "sqlite::RESERVED",
    Access::Read,
    Sql::Shared("SELECT next - $1 FROM id_block WHERE name = 'id'"),
);

/// SQLite as an engine.
#[derive(Debug)]
pub struct Sqlite {
    writer: mpsc::Sender<Message>,
    readers: Arc<Readers>,
    healthy: Arc<AtomicBool>,
}

impl Sqlite {
    /// Opens (or makes) and migrates the database in `dir`, which must exist and be used by no other process.
    /// Blocks; meant for the start of a process.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        let lock = lock(dir)?;
        let error = |error: rusqlite::Error| run::store_error(&error, "open database", Some(dir));
        let mut connection = Connection::open(dir.join(FILE)).map_err(error)?;
        // `page_size` counts only before the first page is written.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(error)?;
        configure(&connection, WRITER_CACHE_KIB).map_err(error)?;
        migrate::migrate(&mut connection)?;
        Self::start(connection, Some(dir), Some(lock))
    }

    /// A migrated database in memory, for tests.
    pub fn memory() -> Result<Arc<Self>, StoreError> {
        let error = |error: rusqlite::Error| run::store_error(&error, "open memory", None);
        let mut connection = Connection::open_in_memory().map_err(error)?;
        configure(&connection, WRITER_CACHE_KIB).map_err(error)?;
        migrate::migrate(&mut connection)?;
        Self::start(connection, None, None)
    }

    fn start(
        connection: Connection,
        dir: Option<&Path>,
        lock: Option<File>,
    ) -> Result<Arc<Self>, StoreError> {
        let connection = Arc::new(Mutex::new(connection));
        let readers = match dir {
            Some(dir) => Readers::of_file(dir.to_owned()),
            None => Readers::of_memory(connection.clone()),
        };
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = Writer::new(connection, dir.map(Path::to_owned), healthy.clone(), lock)
            .map_err(|error| run::store_error(&error, "start writer", dir))?;
        let (sender, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::unavailable(format!("start writer: {error}")))?;
        Ok(Arc::new(Self { writer: sender, readers, healthy }))
    }

    /// Hands a message in: at once where the queue has room, so that a caller who goes away does not stop it.
    fn send(&self, message: Message) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let full = match self.writer.try_send(message) {
            Ok(()) => Ok(None),
            Err(mpsc::error::TrySendError::Full(message)) => Ok(Some((self.writer.clone(), message))),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed()),
        };
        async move {
            match full? {
                Some((writer, message)) => writer.send(message).await.map_err(|_| closed()),
                None => Ok(()),
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}

impl Engine for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query<'a>(
        &'a self,
        statement: &'static Statement,
        params: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(self.readers.query(statement, params))
    }

    fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>> {
        let (answer, told) = oneshot::channel();
        let sent = self.send(Message::Commit(tx, answer));
        Box::pin(async move {
            sent.await?;
            told.await.unwrap_or_else(|_| {
                let reason = "the writer stopped".to_owned();
                Err(CommitError::Unavailable { reason, outcome: Outcome::Unknown })
            })
        })
    }

    fn reserve_ids(&self, count: u32) -> BoxFuture<'_, Result<i64, StoreError>> {
        let (answer, told) = oneshot::channel();
        let sent = self.send(Message::Reserve(count, answer));
        Box::pin(async move {
            sent.await?;
            told.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.healthy.load(Ordering::Relaxed) {
                return self.readers.query(&RESERVED, &[Value::Int(0)]).await.map(drop);
            }
            // The last group failed: only a write can tell whether that is over.
            self.reserve_ids(0).await.map(drop)
        })
    }

    fn prepare<'a>(&'a self, statement: &'static Statement) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.readers.prepare(statement) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (done, finished) = oneshot::channel();
        let sent = self.send(Message::Close(done));
        Box::pin(async move {
            self.readers.close();
            if sent.await.is_ok() {
                let _ = finished.await;
            }
        })
    }
}

/// Takes the lock of a data directory for as long as the file lives.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let unavailable = |error: std::io::Error| StoreError::unavailable(format!("{}: {error}", path.display()));
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// A connection that only reads.
fn reader(dir: &Path) -> rusqlite::Result<Connection> {
    // Not read-only by flag: a reader of a WAL database may have to make the shared-memory file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join(FILE), flags)?;
    configure(&connection, READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// What every connection is set to.
fn configure(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    // A plan must not depend on what is bound: otherwise statements that look at a partial index are planned again at
    // each call, which costs four times what running them does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // As PostgreSQL: LIKE tells upper from lower case, and may use an index.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "mmap_size", MMAP_BYTES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    // The writer copies the log itself, between groups.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::ALL;
    use rusqlite::StatementStatus;

    #[test]
    fn no_read_is_planned_again_when_it_is_bound_to_something_else() {
        let mut connection = Connection::open_in_memory().unwrap();
        configure(&connection, WRITER_CACHE_KIB).unwrap();
        migrate::migrate(&mut connection).unwrap();
        for statement in ALL.iter().copied().flatten().filter(|statement| statement.access != Access::Write) {
            let mut prepared = connection.prepare(statement.sqlite()).unwrap();
            for round in 0..3_i64 {
                for at in 1..=prepared.parameter_count() {
                    prepared.raw_bind_parameter(at, round).unwrap();
                }
                let mut rows = prepared.raw_query();
                while let Ok(Some(_)) = rows.next() {}
                drop(rows);
                prepared.clear_bindings();
            }
            assert_eq!(prepared.get_status(StatementStatus::RePrepare), 0, "{}", statement.name);
        }
    }
}
