//! The readers of SQLite: connections called directly on the async thread for point reads – some microseconds, less
//! than a hop to another thread costs – and on blocking threads for scans.

use super::run;
use crate::error::StoreError;
use crate::statement::{Access, Statement};
use crate::value::{Row, Value};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Scans that run at the same time; others wait.
const SCANS: usize = 4;
/// Connections kept when idle. Point reads never run on more threads than the runtime has.
const KEPT: usize = 16;

/// Where reads run.
#[derive(Debug)]
pub(super) struct Readers {
    source: Source,
    scans: Arc<Semaphore>,
}

#[derive(Debug)]
enum Source {
    File {
        dir: PathBuf,
        idle: Mutex<Vec<Connection>>,
    },
    /// The writer's connection: a reader never sees the inside of a group, since the writer holds the lock.
    Memory(Arc<Mutex<Connection>>),
}

impl Readers {
    /// Readers of the database in `dir`.
    pub(super) fn of_file(dir: PathBuf) -> Arc<Self> {
        let source = Source::File { dir, idle: Mutex::new(Vec::new()) };
        Arc::new(Self { source, scans: Arc::new(Semaphore::new(SCANS)) })
    }

    /// Readers of a database in memory.
    pub(super) fn of_memory(connection: Arc<Mutex<Connection>>) -> Arc<Self> {
        Arc::new(Self { source: Source::Memory(connection), scans: Arc::new(Semaphore::new(SCANS)) })
    }

    /// Runs a read where its kind belongs.
    pub(super) async fn query(
        self: &Arc<Self>,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        if statement.access != Access::Scan {
            return self.with(|connection| run::rows(connection, statement, params), statement.name);
        }
        let permit = self.scans.clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::unavailable("the store is closed"))?;
        let (readers, params) = (self.clone(), params.to_vec());
        let scan = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with(|connection| run::rows(connection, statement, &params), statement.name)
        });
        scan.await.map_err(|_| StoreError::unavailable("the runtime stops"))?
    }

    /// Prepares a statement.
    pub(super) fn prepare(&self, statement: &'static Statement) -> Result<(), StoreError> {
        self.with(|connection| connection.prepare(statement.sqlite()).map(|_| ()), statement.name)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.scans.close();
        if let Source::File { idle, .. } = &self.source {
            idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
        at: &str,
    ) -> Result<T, StoreError> {
        if self.scans.is_closed() {
            return Err(StoreError::unavailable("the store is closed"));
        }
        match &self.source {
            Source::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                read(&connection).map_err(|error| run::store_error(&error, at, None))
            }
            Source::File { dir, idle } => {
                let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = match taken {
                    Some(connection) => connection,
                    None => super::reader(dir)
                        .map_err(|error| run::store_error(&error, "open reader", Some(dir)))?,
                };
                let result = read(&connection).map_err(|error| run::store_error(&error, at, Some(dir)));
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                if idle.len() < KEPT {
                    idle.push(connection);
                }
                result
            }
        }
    }
}
