//! A transaction on PostgreSQL: one pipelined batch, and what its answers mean.
//!
//! Committed means: every step answered well, COMMIT too, and the value's `tx` row is there when read after it in the
//! same batch – COMMIT of an aborted transaction is not an error, so its answer alone proves nothing. Nothing after a
//! step that cannot even be encoded is sent but ROLLBACK.

use super::convert::{Failure, classify};
use crate::error::{CommitError, ConflictReason, StoreError};
use crate::tx::{self, Durability, Step, TX_STEP, Tx};
use crate::value::Value;
use deadpool_postgres::ClientWrapper;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

/// How an attempt ended that did not commit.
pub(super) enum Ended {
    /// For the caller.
    Refused(CommitError),
    /// The connection is gone. `sent`: the batch may have reached the server.
    Lost { reason: String, sent: bool },
    /// The value's `tx` row was there before: an earlier attempt was kept.
    Kept,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// One request of the batch, and its answer when it has come.
struct Request<'a> {
    future: Answer<'a>,
    answer: Option<Result<u64, Error>>,
}

impl<'a> Request<'a> {
    fn new(future: impl Future<Output = Result<u64, Error>> + Send + 'a) -> Self {
        Self { future: Box::pin(future), answer: None }
    }

    /// Polls it if it has not answered; the first poll sends it.
    fn poll(&mut self, context: &mut Context<'_>) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.future.as_mut().poll(context)
        {
            self.answer = Some(answer);
        }
    }
}

/// Runs a value once on a connection. `again`: an earlier attempt may have been kept.
pub(super) async fn attempt(client: &ClientWrapper, tx: &Tx, again: bool) -> Result<(), Ended> {
    let (steps, proof) = prepare(client, tx).await?;
    let (answers, committed, proved) = batch(client, tx, &steps, &proof).await;
    for (at, answer) in answers.into_iter().enumerate() {
        // The first answer is BEGIN's.
        let step = at.checked_sub(1).and_then(|at| tx.steps.get(at));
        if let Err(error) = answer {
            return Err(refused(&error, step, again));
        }
    }
    match (committed, proved) {
        (Some(Ok(_)), Some(Ok(1))) => Ok(()),
        (Some(Ok(_)), Some(Ok(_)) | None) => {
            let what = "COMMIT was answered but the transaction is not there".to_owned();
            Err(Ended::Refused(CommitError::Inconsistent { what }))
        }
        (Some(Err(error)), _) => Err(match classify(&error, "COMMIT") {
            Failure::Conflict(reason) => Ended::Refused(CommitError::Conflict { step: "COMMIT", reason }),
            Failure::Lost(reason) => Ended::Lost { reason, sent: true },
            Failure::Store(error) => Ended::Refused(error.into()),
        }),
        // COMMIT was answered, its proof was not: ask again.
        (Some(Ok(_)), Some(Err(error))) => Err(Ended::Lost { reason: error.to_string(), sent: true }),
        (None, _) => {
            let what = "a step could not be sent".to_owned();
            Err(Ended::Refused(CommitError::Inconsistent { what }))
        }
    }
}

fn refused(error: &Error, step: Option<&Step>, again: bool) -> Ended {
    match (classify(error, step.map_or("BEGIN", |step| step.statement.name)), step) {
        (Failure::Conflict(ConflictReason::Unique), Some(step)) if again && step.tag == TX_STEP => {
            Ended::Kept
        }
        (Failure::Conflict(reason), step) => {
            Ended::Refused(CommitError::Conflict { step: step.map_or("BEGIN", |step| step.tag), reason })
        }
        (Failure::Lost(reason), _) => Ended::Lost { reason, sent: true },
        (Failure::Store(error), _) => Ended::Refused(error.into()),
    }
}

/// Prepares what the connection has not prepared yet; nothing of the value is sent.
async fn prepare(client: &ClientWrapper, tx: &Tx) -> Result<(Vec<Statement>, Statement), Ended> {
    let mut prepared = Vec::with_capacity(tx.steps.len());
    for step in &tx.steps {
        let text = match step.expect.bounds() {
            Some(_) => step.statement.postgres_counted(),
            None => step.statement.postgres(),
        };
        prepared.push(one(client, text, step.statement.name).await?);
    }
    Ok((prepared, one(client, tx::EXISTS.postgres(), tx::EXISTS.name).await?))
}

async fn one(client: &ClientWrapper, text: &str, name: &str) -> Result<Statement, Ended> {
    client.prepare_cached(text).await.map_err(|error| match classify(&error, name) {
        Failure::Lost(reason) => Ended::Lost { reason, sent: false },
        Failure::Store(error) => Ended::Refused(error.into()),
        Failure::Conflict(reason) => {
            Ended::Refused(StoreError::inconsistent(format!("{name}: {reason:?} when prepared")).into())
        }
    })
}

type Answers = (Vec<Result<u64, Error>>, Option<Result<u64, Error>>, Option<Result<u64, Error>>);

/// Sends BEGIN, the steps, COMMIT and the proof in one go and collects their answers: those of BEGIN and the steps,
/// COMMIT's and the proof's (none where a step could not be sent, and ROLLBACK was sent instead).
async fn batch(client: &ClientWrapper, tx: &Tx, steps: &[Statement], proof: &Statement) -> Answers {
    let bounds: Vec<_> = tx.steps.iter().map(|step| step.expect.bounds()).collect();
    let begin = match tx.durability {
        Durability::Durable => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Durability::Relaxed => "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO off",
    };
    let mut requests = vec![Request::new(simple(client, begin))];
    for ((step, statement), bounds) in tx.steps.iter().zip(steps).zip(&bounds) {
        let params: Vec<&(dyn ToSql + Sync)> = step
            .params
            .iter()
            .chain(bounds.iter().flatten())
            .map(|value| value as &(dyn ToSql + Sync))
            .collect();
        requests.push(Request::new(async move { client.execute(statement, &params).await }));
    }
    let id = Value::from(tx.id);
    let mut commit = Request::new(simple(client, "COMMIT"));
    let mut proved = Request::new(async { client.execute(proof, &[&id]).await });
    let mut rollback = Request::new(simple(client, "ROLLBACK"));
    let mut first = true;
    let mut whole = true;
    poll_fn(|context| {
        for request in &mut requests {
            request.poll(context);
        }
        if first {
            // An error that is there at once may be from before sending. A good answer may be there, too: on a busy
            // machine the server is faster than the rest of this first round.
            whole = !requests.iter().any(|request| matches!(request.answer, Some(Err(_))));
            first = false;
        }
        let last: &mut [&mut Request<'_>] =
            if whole { &mut [&mut commit, &mut proved] } else { &mut [&mut rollback] };
        for request in last.iter_mut() {
            request.poll(context);
        }
        let done = last.iter().all(|request| request.answer.is_some());
        if done && requests.iter().all(|request| request.answer.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let answers = requests.into_iter().filter_map(|request| request.answer).collect();
    (answers, commit.answer, proved.answer)
}

async fn simple(client: &ClientWrapper, sql: &str) -> Result<u64, Error> {
    client.batch_execute(sql).await.map(|()| 0)
}
