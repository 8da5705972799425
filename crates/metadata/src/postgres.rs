//! The engine for many replicas: PostgreSQL through a pool, each transaction one pipelined batch.
//!
//! Invariants: a value is run by a task of its own, so a caller that goes away does not stop it; a connection lost
//! when the value may have been committed makes the same value run again with the same `tx`, whose unique row tells
//! whether it was kept; every call is answered within the deadline; a session that did not answer has its statement
//! cancelled, and keeps its place in the pool until it has ended, so that the server never has more of them.

mod ask;
mod commit;
mod connect;
mod convert;
mod migrate;

pub use connect::PostgresOptions;

use crate::engine::{Dialect, Engine};
use crate::error::{CommitError, Outcome, StoreError};
use crate::statement::{Access, Statement};
use crate::tx::Tx;
use crate::value::{Row, Value};
use ask::{Ask, Health, Prepare, Query, ReserveIds};
use commit::Ended;
use connect::{Canceller, Target};
use convert::{Failure, classify};
use deadpool_postgres::{Client, Object, Pool};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// The pause before another attempt, doubled each time up to the maximum.
const PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A session that was given up and neither answers nor ends within this time loses its place all the same. Longer than
/// the server, if it is alive, lets a statement run.
const LONGEST_END: Duration = Duration::from_mins(2);

/// Readiness is asked often and must not hang.
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);

/// PostgreSQL as an engine.
#[derive(Debug)]
pub struct Postgres {
    sessions: Arc<Sessions>,
    values: TaskTracker,
}

/// The pool and how long it may take.
#[derive(Debug)]
struct Sessions {
    pool: Pool,
    canceller: Canceller,
    options: PostgresOptions,
}

impl Postgres {
    /// Connects and migrates. The URL is `postgres://user:password@host:port/database`, with `sslmode` and
    /// `sslrootcert` as parameters.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Arc<Self>, StoreError> {
        let target = Target::parse(url, options.ca_file.as_deref())?;
        migrate::migrate(&target.patient()?).await?;
        let sessions = Sessions { pool: target.pool(&options)?, canceller: target.canceller(), options };
        let sessions = Arc::new(sessions);
        Ok(Arc::new(Self { sessions, values: TaskTracker::new() }))
    }
}

impl Sessions {
    /// A connection before the deadline. A refused or timed-out one is tried again until then.
    async fn client(&self, deadline: Instant) -> Result<Client, StoreError> {
        let mut pause = PAUSE;
        loop {
            let reason = match timeout_at(deadline, self.pool.get()).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) if self.pool.is_closed() => {
                    return Err(StoreError::unavailable(format!("the store is closed: {error}")));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => return Err(StoreError::unavailable("no connection within the deadline")),
            };
            pause = sleep_before(pause, deadline).await.ok_or(StoreError::Unavailable { reason })?;
        }
    }

    /// Asks what may be asked again, on a new connection when one is lost.
    async fn ask<A: Ask>(&self, question: A, within: Duration) -> Result<A::Answer, StoreError> {
        let deadline = Instant::now() + within;
        let mut pause = PAUSE;
        loop {
            let client = self.client(deadline).await?;
            let reason = match timeout_at(deadline, question.ask(&client)).await {
                Ok(Ok(answer)) => {
                    keep_if_able(client, answer.as_ref().err());
                    return answer;
                }
                Ok(Err(error)) => match classify(&error, question.name()) {
                    Failure::Lost(reason) => reason,
                    Failure::Store(error) => {
                        keep_if_able(client, Some(&error));
                        return Err(error);
                    }
                    Failure::Conflict(reason) => {
                        return Err(StoreError::inconsistent(format!("{}: {reason:?}", question.name())));
                    }
                },
                Err(_) => {
                    self.give_up(client);
                    let reason = format!("{}: no answer within the deadline", question.name());
                    return Err(StoreError::Unavailable { reason });
                }
            };
            discard(client);
            pause = sleep_before(pause, deadline).await.ok_or(StoreError::Unavailable { reason })?;
        }
    }

    /// Runs a value until its end is known or the deadline has come.
    async fn run(&self, tx: Tx) -> Result<(), CommitError> {
        let deadline = Instant::now() + self.options.deadline;
        let mut pause = PAUSE;
        let mut outcome = Outcome::NotCommitted;
        loop {
            let unavailable = |reason, outcome| CommitError::Unavailable { reason, outcome };
            let client = match self.client(deadline).await {
                Ok(client) => client,
                Err(StoreError::Unavailable { reason }) => return Err(unavailable(reason, outcome)),
                Err(error) => return Err(error.into()),
            };
            let again = outcome == Outcome::Unknown;
            let reason = match timeout_at(deadline, commit::attempt(&client, &tx, again)).await {
                Ok(Ok(()) | Err(Ended::Kept)) => return Ok(()),
                Ok(Err(Ended::Refused(CommitError::Unavailable { reason, .. }))) => {
                    discard(client);
                    return Err(unavailable(reason, outcome));
                }
                Ok(Err(Ended::Refused(error))) => return Err(error),
                Ok(Err(Ended::Lost { reason, sent })) => {
                    if sent {
                        outcome = Outcome::Unknown;
                    }
                    reason
                }
                Err(_) => {
                    self.give_up(client);
                    let reason = "no answer within the deadline".to_owned();
                    return Err(unavailable(reason, Outcome::Unknown));
                }
            };
            discard(client);
            tracing::debug!(%reason, tx = %tx.id, "a connection was lost; the same value runs again");
            pause = match sleep_before(pause, deadline).await {
                Some(pause) => pause,
                None => return Err(unavailable(reason, outcome)),
            };
        }
    }
}

impl Sessions {
    /// Cancels what a session is doing and throws it away once it has stopped.
    fn give_up(&self, client: Client) {
        let (canceller, token) = (self.canceller.clone(), client.cancel_token());
        tokio::spawn(async move {
            let ended = async {
                if let Err(error) = canceller.cancel(&token).await {
                    tracing::debug!(%error, "a statement that took too long could not be cancelled");
                }
                // Answered after all that was asked before; an error: the connection is gone.
                let _ = client.simple_query("").await;
            };
            if timeout(LONGEST_END, ended).await.is_err() {
                tracing::warn!("a session of the database neither answers nor ends; it is left behind");
            }
            discard(client);
        });
    }
}

/// Waits before another attempt; none when the deadline is too near for one.
async fn sleep_before(pause: Duration, deadline: Instant) -> Option<Duration> {
    let until = Instant::now() + pause;
    if until >= deadline {
        return None;
    }
    sleep_until(until).await;
    Some((pause * 2).min(LONGEST_PAUSE))
}

/// Gives a session back to the pool unless its server could not do what was asked: it may have been demoted, or told to
/// read only, and would refuse for ever what a new session's server does.
fn keep_if_able(client: Client, error: Option<&StoreError>) {
    if matches!(error, Some(StoreError::Unavailable { .. })) {
        discard(client);
    }
}

/// Takes a connection out of the pool: it is lost, or its answer to something is still to come.
fn discard(client: Client) {
    drop(Object::take(client));
}

impl Engine for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn query<'a>(
        &'a self,
        statement: &'static Statement,
        params: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        let options = &self.sessions.options;
        let within = if statement.access == Access::Scan { options.scan_deadline } else { options.deadline };
        Box::pin(self.sessions.ask(Query { statement, params }, within))
    }

    fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>> {
        let sessions = self.sessions.clone();
        let task = self.values.spawn(async move { sessions.run(tx).await });
        Box::pin(async move {
            task.await.unwrap_or_else(|error| {
                let reason = format!("the runtime stops: {error}");
                Err(CommitError::Unavailable { reason, outcome: Outcome::Unknown })
            })
        })
    }

    fn reserve_ids(&self, count: u32) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(self.sessions.ask(ReserveIds(count.into()), self.sessions.options.deadline))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.sessions.ask(Health, HEALTH_DEADLINE))
    }

    fn prepare<'a>(&'a self, statement: &'static Statement) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.sessions.ask(Prepare(statement), self.sessions.options.deadline))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.values.close();
            self.values.wait().await;
            self.sessions.pool.close();
        })
    }
}
