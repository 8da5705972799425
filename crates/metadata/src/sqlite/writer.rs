//! The one writer of SQLite: a thread that commits values in groups, one sync for all of a group.
//!
//! A group takes what queued while the last one ran – never a timer – within bounds of count, bytes and time. Each
//! value runs in a savepoint. Invariants: nobody is answered before the group's COMMIT, not even with `Conflict`,
//! since what a value met may be another value of the same group; when SQLite has rolled back the whole group (it does
//! so on some errors, seen by `is_autocommit()`), its values run again one by one; a value whose caller is gone runs
//! like any other.

use super::run::{self, Failure};
use crate::error::{CommitError, ConflictReason, Outcome, StoreError};
use crate::statement::Access;
use crate::tx::{Durability, Tx};
use crate::value::Value;
use rusqlite::Connection;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Values in one group, at most.
const GROUP_VALUES: usize = 512;
/// Bytes of parameters in one group, after which no further value is taken.
const GROUP_BYTES: usize = 8 << 20;
/// Time that a group's statements may take before no further value is taken.
const GROUP_TIME: Duration = Duration::from_millis(20);
/// Pages in the write-ahead log after which it is copied into the database (8 MiB).
const CHECKPOINT_PAGES: u64 = 2048;

/// What the writer is asked to do.
pub(super) enum Message {
    Commit(Tx, oneshot::Sender<Result<(), CommitError>>),
    Reserve(u32, oneshot::Sender<Result<i64, StoreError>>),
    Close(oneshot::Sender<()>),
}

impl Message {
    fn durability(&self) -> Durability {
        match self {
            Self::Commit(tx, _) => tx.durability,
            // A later durable commit carries the block with it, and ids that no row has may be given out again.
            Self::Reserve(..) | Self::Close(_) => Durability::Relaxed,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Commit(tx, _) => tx.heap_bytes(),
            Self::Reserve(..) | Self::Close(_) => 0,
        }
    }
}

/// What became of one message of a group; told only after COMMIT.
enum Told {
    Committed(Result<(), CommitError>),
    Reserved(Result<i64, StoreError>),
}

impl Told {
    fn error(message: &Message, error: StoreError) -> Self {
        match message {
            Message::Commit(..) | Message::Close(_) => Self::Committed(Err(error.into())),
            Message::Reserve(..) => Self::Reserved(Err(error)),
        }
    }
}

/// Nothing of the group was kept.
struct RolledBack(StoreError);

/// The writer's thread.
pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) dir: Option<PathBuf>,
    pub(super) healthy: Arc<AtomicBool>,
    synchronous: Durability,
    wal_pages: Arc<AtomicU64>,
    /// Of the data directory; given back with the writer, before a close is answered.
    _lock: Option<File>,
}

impl Writer {
    /// Takes the connection; `dir` is none for a database in memory.
    pub(super) fn new(
        connection: Arc<Mutex<Connection>>,
        dir: Option<PathBuf>,
        healthy: Arc<AtomicBool>,
        lock: Option<File>,
    ) -> rusqlite::Result<Self> {
        let wal_pages = Arc::new(AtomicU64::new(0));
        let seen = wal_pages.clone();
        connection.lock().unwrap_or_else(PoisonError::into_inner).wal_hook(Some(
            move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
                seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            },
        ))?;
        Ok(Self { connection, dir, healthy, synchronous: Durability::Durable, wal_pages, _lock: lock })
    }

    /// Runs until closed or until nobody can send any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut held = None;
        loop {
            let Some(first) = held.take().or_else(|| queue.blocking_recv()) else { break };
            if let Message::Close(done) = first {
                queue.close();
                let mut last = Vec::new();
                while let Ok(message) = queue.try_recv() {
                    last.push(message);
                }
                self.group(last, &mut queue, &mut held);
                self.finish();
                drop(self);
                let _ = done.send(());
                return;
            }
            let mut group = vec![first];
            let mut bytes = group.iter().map(Message::heap_bytes).sum::<usize>();
            while group.len() < GROUP_VALUES && bytes < GROUP_BYTES && held.is_none() {
                match queue.try_recv() {
                    Ok(close @ Message::Close(_)) => held = Some(close),
                    Ok(message) => {
                        bytes += message.heap_bytes();
                        group.push(message);
                    }
                    Err(_) => break,
                }
            }
            self.group(group, &mut queue, &mut held);
            self.checkpoint();
        }
        self.finish();
    }

    /// Runs a group and tells its callers.
    fn group(
        &mut self,
        mut group: Vec<Message>,
        queue: &mut mpsc::Receiver<Message>,
        held: &mut Option<Message>,
    ) {
        if group.is_empty() {
            return;
        }
        let durable = group.iter().any(|message| message.durability() == Durability::Durable);
        let durability = if durable { Durability::Durable } else { Durability::Relaxed };
        let told = {
            let connection = self.connection.clone();
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // Only a group that waits for the disk may grow while it runs: it is then the right one for any value.
            let more = if durable && held.is_none() { Some((queue, held)) } else { None };
            let attempt = self
                .synchronise(&connection, durability)
                .map_err(RolledBack)
                .and_then(|()| self.attempt(&connection, &mut group, more));
            match attempt {
                Ok(told) => told,
                Err(RolledBack(cause)) => {
                    tracing::warn!(values = group.len(), %cause, "a group was rolled back; running it one by one");
                    match self.synchronise(&connection, Durability::Durable) {
                        Ok(()) => self.one_by_one(&connection, &mut group),
                        Err(error) => group.iter().map(|m| Told::error(m, error.clone())).collect(),
                    }
                }
            }
        };
        let failed = told.iter().any(|t| {
            matches!(
                t,
                Told::Committed(Err(CommitError::NoSpace | CommitError::Unavailable { .. }))
                    | Told::Reserved(Err(_))
            )
        });
        self.healthy.store(!failed, Ordering::Relaxed);
        for (message, told) in group.into_iter().zip(told) {
            match (message, told) {
                (Message::Commit(_, answer), Told::Committed(result)) => drop(answer.send(result)),
                (Message::Reserve(_, answer), Told::Reserved(result)) => drop(answer.send(result)),
                _ => {}
            }
        }
    }

    /// One transaction with a savepoint for each value. `Err` means that nothing of it was kept.
    fn attempt(
        &self,
        connection: &Connection,
        group: &mut Vec<Message>,
        mut more: Option<(&mut mpsc::Receiver<Message>, &mut Option<Message>)>,
    ) -> Result<Vec<Told>, RolledBack> {
        let start = Instant::now();
        self.exec(connection, "BEGIN IMMEDIATE").map_err(RolledBack)?;
        let mut told = Vec::with_capacity(group.len());
        let mut bytes = 0;
        let mut at = 0;
        loop {
            while let Some(message) = group.get(at) {
                bytes += message.heap_bytes();
                told.push(self.value(connection, message)?);
                at += 1;
            }
            let full = at >= GROUP_VALUES || bytes >= GROUP_BYTES || start.elapsed() >= GROUP_TIME;
            let Some((queue, held)) = more.as_mut().filter(|_| !full) else { break };
            match queue.try_recv() {
                Ok(close @ Message::Close(_)) => {
                    **held = Some(close);
                    break;
                }
                Ok(message) => group.push(message),
                Err(_) => break,
            }
        }
        match self.exec(connection, "COMMIT") {
            Ok(()) => Ok(told),
            Err(error) => {
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
                Err(RolledBack(error))
            }
        }
    }

    fn one_by_one(&self, connection: &Connection, group: &mut Vec<Message>) -> Vec<Told> {
        let mut told = Vec::with_capacity(group.len());
        for message in std::mem::take(group) {
            let mut alone = vec![message];
            match self.attempt(connection, &mut alone, None) {
                Ok(one) => told.extend(one),
                Err(RolledBack(error)) => told.extend(alone.iter().map(|m| Told::error(m, error.clone()))),
            }
            group.append(&mut alone);
        }
        told
    }

    /// One value in its savepoint. `Err` means that the whole group is gone.
    fn value(&self, connection: &Connection, message: &Message) -> Result<Told, RolledBack> {
        self.exec(connection, "SAVEPOINT value").map_err(|error| abandon(connection, error))?;
        let told = match message {
            Message::Commit(tx, _) => Told::Committed(self.steps(connection, tx)),
            Message::Reserve(count, _) => Told::Reserved(self.reserve(connection, *count)),
            Message::Close(_) => Told::Committed(Ok(())),
        };
        let error = match &told {
            Told::Committed(Err(error)) => Some(error.to_string()),
            Told::Reserved(Err(error)) => Some(error.to_string()),
            _ => None,
        };
        if let Some(error) = error {
            if connection.is_autocommit() {
                return Err(RolledBack(StoreError::unavailable(error)));
            }
            self.exec(connection, "ROLLBACK TO value").map_err(|error| abandon(connection, error))?;
        }
        self.exec(connection, "RELEASE value").map_err(|error| abandon(connection, error))?;
        Ok(told)
    }

    fn steps(&self, connection: &Connection, tx: &Tx) -> Result<(), CommitError> {
        for step in &tx.steps {
            let ran = match step.statement.access {
                Access::Check => run::count(connection, step.statement, &step.params),
                _ => run::write(connection, step.statement, &step.params),
            };
            let conflict = |reason| CommitError::Conflict { step: step.tag, reason };
            match ran {
                Ok(rows) if step.expect.met_by(rows) => {}
                Ok(_) => return Err(conflict(ConflictReason::Expectation)),
                Err(error) => {
                    return Err(match run::classify(&error, step.statement.name, self.dir.as_deref()) {
                        Failure::Conflict(reason) => conflict(reason),
                        Failure::Store(StoreError::Unavailable { reason }) => {
                            CommitError::Unavailable { reason, outcome: Outcome::NotCommitted }
                        }
                        Failure::Store(error) => error.into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn reserve(&self, connection: &Connection, count: u32) -> Result<i64, StoreError> {
        let error = |error: rusqlite::Error| run::store_error(&error, "reserve ids", self.dir.as_deref());
        let params = [Value::from(count)];
        run::write(connection, &super::RESERVE, &params).map_err(error)?;
        let rows = run::rows(connection, &super::RESERVED, &params).map_err(error)?;
        rows.first().ok_or_else(|| StoreError::inconsistent("id_block has no row"))?.int(0)
    }

    /// `FULL` waits for the disk at COMMIT, `NORMAL` does not. Cannot change inside a transaction.
    fn synchronise(&mut self, connection: &Connection, durability: Durability) -> Result<(), StoreError> {
        if self.synchronous == durability {
            return Ok(());
        }
        let pragma = match durability {
            Durability::Durable => "PRAGMA synchronous = FULL",
            Durability::Relaxed => "PRAGMA synchronous = NORMAL",
        };
        connection
            .execute_batch(pragma)
            .map_err(|error| run::store_error(&error, pragma, self.dir.as_deref()))?;
        self.synchronous = durability;
        Ok(())
    }

    /// Copies the log into the database when it has grown. Runs between groups, after their callers were told.
    fn checkpoint(&self) {
        if self.dir.is_none() || self.wal_pages.load(Ordering::Relaxed) < CHECKPOINT_PAGES {
            return;
        }
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "checkpoint failed; the log grows until one succeeds");
        }
    }

    fn finish(&self) {
        if self.dir.is_some() {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
                tracing::warn!(%error, "last checkpoint failed; the next start does it");
            }
        }
    }

    fn exec(&self, connection: &Connection, sql: &'static str) -> Result<(), StoreError> {
        connection
            .prepare_cached(sql)
            .and_then(|mut prepared| prepared.raw_execute())
            .map(|_| ())
            .map_err(|error| run::store_error(&error, sql, self.dir.as_deref()))
    }
}

fn abandon(connection: &Connection, error: StoreError) -> RolledBack {
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    RolledBack(error)
}
