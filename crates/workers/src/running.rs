//! One claimed job from its start to its end: the work in a task of its own, beside it the lease.
//!
//! Invariants: the lease is renewed well before it ends, or the work is stopped; a panic is a failed attempt; every
//! end is written under the lease, and a lost lease writes nothing.

use crate::context::{JobContext, StopReason};
use crate::job::{AnyJob, JobError};
use metadata::jobs::{self, Claimed};
use metadata::{CommitError, Store, Tx};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// For how long a job is claimed.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// How often the database is asked whether the job shall stop, and notes are written.
const TICK: Duration = Duration::from_secs(2);
/// After this much of the lease it is renewed.
const RENEW: Duration = Duration::from_secs(20);
/// How long a job may take to stop once it was told to.
const GRACE: Duration = Duration::from_secs(20);
/// How often the end of a job is tried to be written when the store is unavailable; then the lease expires.
const END_ATTEMPTS: u32 = 5;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Retried,
    Failed,
    Cancelled,
    Released,
    Lost,
}

impl End {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

/// Runs a claimed job; returns when its end is written.
pub(crate) async fn run(
    store: Store,
    job: Arc<dyn AnyJob>,
    claimed: Claimed,
    shutdown: CancellationToken,
) -> End {
    let span = tracing::info_span!(target: "spans", "job", kind = job.name(), id = %claimed.lease.id, attempt = claimed.attempt);
    let context = Arc::new(JobContext::new(store, claimed.clone()));
    let work = {
        let (job, context) = (job.clone(), context.clone());
        tokio::spawn(async move { job.run(&claimed.payload, &context).await }.instrument(span.clone()))
    };
    async {
        let start = Instant::now();
        let result = watch(&context, work, &shutdown).await;
        let end = end(&context, &*job, result).await;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            End::Succeeded => tracing::info!(elapsed_ms, "job succeeded"),
            End::Failed => tracing::error!(elapsed_ms, "job failed"),
            End::Retried => tracing::warn!(elapsed_ms, "job will be tried again"),
            End::Cancelled | End::Released | End::Lost => tracing::info!(elapsed_ms, ?end, "job stopped"),
        }
        end
    }
    .instrument(span)
    .await
}

/// Waits for the work; meanwhile keeps the lease and passes on requests to stop.
async fn watch(
    context: &JobContext,
    mut work: JoinHandle<Result<(), JobError>>,
    shutdown: &CancellationToken,
) -> Result<(), JobError> {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            result = &mut work => return flatten(result),
            () = shutdown.cancelled() => context.tell_to_stop(StopReason::Shutdown),
            () = context.stopped() => {}
            () = sleep(TICK) => tick(context, &mut renewed).await,
        }
        if context.stop_reason().is_some() {
            return if let Ok(result) = timeout(GRACE, &mut work).await {
                flatten(result)
            } else {
                work.abort();
                let _ = work.await;
                Err(JobError::Stopped)
            };
        }
    }
}

fn flatten(result: Result<Result<(), JobError>, tokio::task::JoinError>) -> Result<(), JobError> {
    result.unwrap_or_else(|error| {
        let said = match error.try_into_panic() {
            Ok(panic) => match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
                (Some(said), _) => (*said).to_owned(),
                (_, Some(said)) => said.clone(),
                _ => String::new(),
            },
            Err(error) => error.to_string(),
        };
        Err(JobError::Retry { reason: format!("panicked: {said}"), after: None })
    })
}

/// Asks whether to stop, writes notes, renews the lease. An unavailable store is borne until the lease ends.
async fn tick(context: &JobContext, renewed: &mut Instant) {
    let store = context.store();
    match jobs::cancel_requested(store, context.lease()).await {
        Ok(Some(false)) => {}
        Ok(Some(true)) => context.tell_to_stop(StopReason::Cancelled),
        Ok(None) => context.tell_to_stop(StopReason::LeaseLost),
        Err(error) => tracing::warn!(%error, "cannot read the job"),
    }
    if context.has_notes() || renewed.elapsed() >= RENEW {
        match renew(context).await {
            Ok(()) => *renewed = Instant::now(),
            Err(JobError::Commit(CommitError::Conflict { .. })) => {
                context.tell_to_stop(StopReason::LeaseLost);
            }
            Err(error) => tracing::warn!(%error, "cannot renew the lease"),
        }
    }
    if renewed.elapsed() + TICK >= LEASE {
        context.tell_to_stop(StopReason::LeaseLost);
    }
}

async fn renew(context: &JobContext) -> Result<(), JobError> {
    let mut tx = context.store().begin().await?;
    jobs::renew(&mut tx, context.lease(), context.store().now().plus(LEASE));
    tx.relaxed();
    context.commit_noted(tx, |_| {}).await
}

/// Writes the end of the attempt.
async fn end(context: &JobContext, job: &dyn AnyJob, result: Result<(), JobError>) -> End {
    if context.is_completed() {
        return End::Succeeded;
    }
    let reason = context.stop_reason();
    if reason == Some(StopReason::LeaseLost) {
        return End::Lost;
    }
    let (end, said, after) = match (result, reason) {
        (Ok(()), _) => (End::Succeeded, String::new(), None),
        (Err(JobError::Stopped), Some(StopReason::Shutdown)) => (End::Released, String::new(), None),
        (Err(JobError::Stopped), _) | (Err(_), Some(StopReason::Cancelled)) => {
            (End::Cancelled, String::new(), None)
        }
        (Err(JobError::Failed { reason }), _) => (End::Failed, reason, None),
        (Err(JobError::Retry { reason, after }), _) => (End::Retried, reason, after),
        (Err(error), _) => (End::Retried, error.to_string(), None),
    };
    if !said.is_empty() {
        tracing::warn!(error = %said, "attempt failed");
        context.error(&said);
    }
    let pause = after.unwrap_or_else(|| {
        let pause = job.pause(context.attempt());
        // Up to a tenth more, so that what failed together does not return together.
        let spread = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX) / 10;
        pause + Duration::from_micros(context.store().random().below(spread.max(1)))
    });
    let last = context.is_last_attempt();
    for attempt in 1..=END_ATTEMPTS {
        match write_end(context, end, &said, pause).await {
            Ok(()) => return if end == End::Retried && last { End::Failed } else { end },
            Err(JobError::Commit(error)) if error.conflicts_at(jobs::LEASE_LOST) => return End::Lost,
            Err(error) => {
                tracing::warn!(%error, attempt, "cannot write the end of a job");
                sleep(Duration::from_millis(100) * 2_u32.pow(attempt)).await;
            }
        }
    }
    End::Lost
}

async fn write_end(context: &JobContext, end: End, said: &str, pause: Duration) -> Result<(), JobError> {
    let (store, lease) = (context.store(), context.lease());
    if end == End::Lost {
        return Ok(());
    }
    let now = store.now();
    let written = |tx: &mut Tx| match end {
        End::Succeeded => jobs::succeed(tx, lease, now),
        End::Cancelled => jobs::cancelled(tx, lease, now),
        End::Released => jobs::release(tx, lease, now),
        End::Failed => jobs::fail(tx, lease, now, said),
        End::Retried => jobs::retry(tx, lease, now, now.plus(pause), said),
        End::Lost => {}
    };
    context.commit_noted(store.begin().await?, written).await
}
