//! The contract of a database engine: reads, values to commit, blocks of ids. Two implementations, one suite
//! ([`crate::suite`]).

use crate::error::{CommitError, StoreError};
use crate::statement::Statement;
use crate::tx::Tx;
use crate::value::{Row, Value};
use futures_util::future::BoxFuture;
use std::fmt;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// A database engine.
///
/// - `query` sees every value whose `commit` was answered before it was called (read your writes, also across tasks).
/// - `commit` keeps a value whole or not at all, and answers `Ok` only when it is as durable as the value asks. Once
///   accepted it runs to its end, whatever the caller does with the future. The same value may be committed again
///   only by the engine itself.
/// - Values are serialisable with respect to their own expectations: an expectation holds at the moment of the commit.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Which database this is.
    fn dialect(&self) -> Dialect;

    /// Runs a registered `Read` or `Scan`.
    fn query<'a>(
        &'a self,
        statement: &'static Statement,
        params: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Runs a transaction.
    fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Reserves `count` consecutive ids, never given out before, and answers the first.
    fn reserve_ids(&self, count: u32) -> BoxFuture<'_, Result<i64, StoreError>>;

    /// Whether the engine can read and write now.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Prepares a statement without running it: for the test that does so with all of them.
    fn prepare<'a>(&'a self, statement: &'static Statement) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Finishes what was accepted and lets go of the database; later calls are `Unavailable`.
    fn close(&self) -> BoxFuture<'_, ()>;
}
