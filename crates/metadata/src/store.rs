//! The handle that use cases and workers hold: an engine, the ids of this process, the clock and randomness.

use crate::clock::{Clock, Timestamp};
use crate::engine::Engine;
use crate::error::{CommitError, StoreError};
use crate::ids::Ids;
use crate::random::Random;
use crate::statement::{Access, Statement};
use crate::tx::Tx;
use crate::value::{Row, Value};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tracing::Instrument as _;

/// The store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    ids: Arc<Ids>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Store {
    /// A store on a migrated engine.
    pub fn new(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let ids = Arc::new(Ids::new(engine.clone()));
        Self { engine, ids, clock, random }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The source of randomness.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The ids of this process.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The next id as a typed id.
    pub async fn next_id<T: From<i64>>(&self) -> Result<T, StoreError> {
        self.ids.next().await.map(T::from)
    }

    /// A new, empty transaction with its own id.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx::new(self.next_id().await?, self.now()))
    }

    /// Commits a transaction. It is handed in at once and runs to its end even if the future is dropped.
    pub fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>> {
        let span = tracing::trace_span!(target: "spans", "store.commit");
        if span.is_disabled() {
            return self.engine.commit(tx);
        }
        Box::pin(self.engine.commit(tx).instrument(span))
    }

    /// All rows of a read. The statement bounds them.
    pub async fn rows(
        &self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        debug_assert!(
            matches!(statement.access, Access::Read | Access::Scan),
            "{} is no read; commit it as a step",
            statement.name
        );
        self.engine.query(statement, params).await
    }

    /// The first row of a read, if there is one.
    pub async fn row(
        &self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, params).await?.into_iter().next())
    }

    /// Plans and commits until it does not conflict, at most `attempts` times, and answers what the last plan was for.
    /// `plan` reads and builds; its own errors end the loop.
    pub async fn replan<T, E, F>(&self, attempts: u32, mut plan: impl FnMut() -> F) -> Result<T, E>
    where
        E: From<CommitError>,
        F: Future<Output = Result<(Option<Tx>, T), E>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (tx, outcome) = plan().await?;
            let Some(tx) = tx else { return Ok(outcome) };
            match self.commit(tx).await {
                Ok(()) => return Ok(outcome),
                Err(conflict @ CommitError::Conflict { .. }) if attempt < attempts => {
                    tracing::debug!(attempt, %conflict, "planning again");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
