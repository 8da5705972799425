//! Keeps the store's own tables small: transactions that nobody asks for any more, jobs that ended and vulnerabilities
//! that were gone long ago, scans for other registries that expired.

use crate::context::JobContext;
use crate::job::{Job, JobError};
use metadata::model::{adapter, exposure};
use metadata::{jobs, tx};
use std::time::Duration;

/// A lost commit is asked for within seconds.
const TRANSACTIONS: Duration = Duration::from_hours(1);
/// Rows removed by one transaction, so that pushes are not held up.
const BATCH: u32 = 500;

/// How long finished jobs are shown.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Housekeeping {
    /// Days; at least one.
    #[serde(default = "thirty")]
    pub job_days: u32,
    /// Days for which reports tell of a vulnerability that is gone; at least one.
    #[serde(default = "two_years")]
    pub exposure_days: u32,
}

fn thirty() -> u32 {
    30
}

fn two_years() -> u32 {
    730
}

impl Default for Housekeeping {
    fn default() -> Self {
        Self { job_days: thirty(), exposure_days: two_years() }
    }
}

/// Removes what is old, in small transactions.
#[derive(Debug, Clone, Copy, Default)]
pub struct HousekeepingJob;

impl Job for HousekeepingJob {
    const NAME: &'static str = "housekeeping";
    type Payload = Housekeeping;

    async fn run(&self, payload: Housekeeping, context: &JobContext) -> Result<(), JobError> {
        let store = context.store();
        let old_job = store.now().minus(Duration::from_hours(24) * payload.job_days.max(1));
        let old_exposure = store.now().minus(Duration::from_hours(24) * payload.exposure_days.max(1));
        let old_tx = store.now().minus(TRANSACTIONS);
        loop {
            context.check()?;
            let now = store.now();
            if !tx::has_older(store, old_tx).await?
                && !jobs::has_ended(store, old_job).await?
                && !store.has_expired_adapter_scans(now).await?
                && !store.has_closed_exposures(old_exposure).await?
            {
                return Ok(());
            }
            let mut value = store.begin().await?;
            tx::prune(&mut value, old_tx, BATCH);
            jobs::prune(&mut value, old_job, BATCH);
            adapter::forget(&mut value, now, BATCH);
            exposure::prune(&mut value, old_exposure, BATCH);
            value.relaxed();
            context.commit(value).await?;
        }
    }
}
