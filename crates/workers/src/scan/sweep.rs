//! Everything: all images again.
//!
//! The job fills the queue slowly, so that what people ask for is never behind a million others, and ends when its last
//! image is done; its progress is that of the sweep. Stopping it takes what waits out of the queue.

use std::sync::Arc;
use std::time::Duration;

use metadata::jobs;
use metadata::model::scan;
use oci::Digest;
use registry::scan::{COMBINED_STAGES, STAGES};
use serde::{Deserialize, Serialize};

use super::{Scanner, Target, priority};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Images that wait in the queue for a sweep.
const QUEUE: u64 = 500;
/// Images put into the queue by one transaction.
const BATCH: u32 = 100;
/// How often the queue is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// All kinds of jobs of which scans consist.
fn stages() -> Vec<&'static str> {
    STAGES.into_iter().chain(COMBINED_STAGES).collect()
}

/// Which of all images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanAll {
    /// Those that would be scanned if they were pushed now.
    #[serde(default)]
    pub as_pushed: bool,
}

/// Scans everything.
#[derive(Clone, Debug)]
pub struct ScanAllJob(pub Arc<Scanner>);

/// How far a sweep is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    last: String,
    asked: i64,
    filled: bool,
}

impl Job for ScanAllJob {
    const NAME: &'static str = "scan_all";
    const ATTEMPTS: u32 = 20;
    type Payload = ScanAll;

    async fn run(&self, which: ScanAll, context: &JobContext) -> Result<(), JobError> {
        let outcome = self.sweep(which, context).await;
        if matches!(outcome, Err(JobError::Stopped)) && context.was_cancelled() {
            let mut tx = self.0.store().begin().await?;
            scan::cancel_waiting(&mut tx, &stages(), priority::SWEEP, self.0.store().now());
            context.commit(tx).await?;
        }
        outcome
    }
}

impl ScanAllJob {
    async fn sweep(&self, which: ScanAll, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let mut progress: Progress = context.checkpoint().unwrap_or_default();
        loop {
            context.check()?;
            let waiting = scanner.store().waiting_jobs(&stages(), priority::SWEEP).await?;
            let waiting = waiting.0 + waiting.1;
            let done = progress.asked.saturating_sub(i64::try_from(waiting).unwrap_or(i64::MAX)).max(0);
            context.progress(done, progress.filled.then_some(progress.asked));
            if waiting == 0 && progress.filled {
                context.info(format!("{} artifacts were looked at", progress.asked));
                return Ok(());
            }
            if waiting < QUEUE && !progress.filled {
                let images = scanner.store().images_after(&progress.last, BATCH).await?;
                self.enqueue(which, &images, &mut progress, context).await?;
                continue;
            }
            tokio::select! {
                () = context.stopped() => return Err(JobError::Stopped),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn enqueue(
        &self,
        which: ScanAll,
        images: &[Digest],
        progress: &mut Progress,
        context: &JobContext,
    ) -> Result<(), JobError> {
        let store = self.0.store();
        let now = store.now();
        let mut tx = store.begin().await?;
        for digest in images {
            let target = Target { pushed: which.as_pushed, ..Target::new(*digest, priority::SWEEP) };
            jobs::enqueue(&mut tx, store.next_id().await?, now, target.job(now));
        }
        match images.last() {
            Some(last) => progress.last = last.to_string(),
            None => progress.filled = true,
        }
        progress.asked += i64::try_from(images.len()).unwrap_or(0);
        context.commit_with_checkpoint(tx, progress).await
    }
}
