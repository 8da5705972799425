//! What a kind of job is: a name, a payload and what it does.

use crate::context::JobContext;
use futures_util::future::BoxFuture;
use metadata::jobs::NewJob;
use metadata::{CommitError, StoreError, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use thiserror::Error;

/// Why an attempt did not finish.
#[derive(Debug, Error)]
pub enum JobError {
    /// Another attempt may succeed; `after` overrides the ordinary pause.
    #[error("{reason}")]
    Retry {
        /// For the people who look at the job.
        reason: String,
        /// Not before so much time has passed.
        after: Option<Duration>,
    },
    /// No attempt can succeed.
    #[error("{reason}")]
    Failed {
        /// For the people who look at the job.
        reason: String,
    },
    /// The job stopped because its context told it to.
    #[error("stopped")]
    Stopped,
    /// The store failed; another attempt may succeed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A transaction was not kept; another attempt may succeed.
    #[error("commit: {0}")]
    Commit(#[from] CommitError),
}

impl JobError {
    /// Another attempt may succeed.
    pub fn retry(reason: impl ToString) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }

    /// No attempt can succeed.
    pub fn failed(reason: impl ToString) -> Self {
        Self::Failed { reason: reason.to_string() }
    }
}

/// A kind of job. At least once: an attempt may find what a former one has done, and goes on from its checkpoint.
pub trait Job: Send + Sync + 'static {
    /// The name under which its jobs are stored; never changes.
    const NAME: &'static str;
    /// How many run at the same time in one process.
    const PARALLEL: usize = 1;
    /// Attempts in all.
    const ATTEMPTS: u32 = 5;
    /// The pause after the first failed attempt; doubled with each, up to [`LONGEST_PAUSE`].
    const PAUSE: Duration = Duration::from_secs(10);

    /// How many of this one run at the same time in one process, where that is a setting.
    fn parallel(&self) -> usize {
        Self::PARALLEL
    }

    /// What it is told. Stored as JSON: members are added with a default, never renamed.
    type Payload: Serialize + DeserializeOwned + Send + Sync;

    /// Does it. Long work asks `context.check()` often enough to stop within seconds.
    fn run(
        &self,
        payload: Self::Payload,
        context: &JobContext,
    ) -> impl Future<Output = Result<(), JobError>> + Send;

    /// A job of this kind, due now.
    fn request(payload: &Self::Payload, now: Timestamp) -> Result<NewJob, JobError> {
        let payload = serde_json::to_string(payload).map_err(JobError::failed)?;
        Ok(NewJob::new(Self::NAME, payload, now).attempts(Self::ATTEMPTS))
    }
}

/// No pause between attempts is longer.
pub const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A job without its types.
pub(crate) trait AnyJob: Send + Sync {
    fn name(&self) -> &'static str;
    fn parallel(&self) -> usize;
    fn pause(&self, attempt: i64) -> Duration;
    fn run<'a>(&'a self, payload: &'a str, context: &'a JobContext) -> BoxFuture<'a, Result<(), JobError>>;
}

impl<J: Job> AnyJob for J {
    fn name(&self) -> &'static str {
        J::NAME
    }

    fn parallel(&self) -> usize {
        Job::parallel(self).max(1)
    }

    fn pause(&self, attempt: i64) -> Duration {
        let doublings = u32::try_from(attempt.clamp(1, 20) - 1).unwrap_or(0);
        J::PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
    }

    fn run<'a>(&'a self, payload: &'a str, context: &'a JobContext) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async move {
            let payload = serde_json::from_str(payload)
                .map_err(|error| JobError::failed(format!("payload: {error}")))?;
            Job::run(self, payload, context).await
        })
    }
}
