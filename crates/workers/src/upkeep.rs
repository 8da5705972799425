//! Maintenance as jobs: the steps of [`crate::maintenance`] on a schedule, on one process at a time, with a log.
//!
//! Those steps may be stopped at any point and run beside themselves, so a job that is told to stop drops its future,
//! and a process that lost its lease does no harm.

use crate::context::JobContext;
use crate::job::{Job, JobError};
use crate::maintenance::{self, FsckOptions};
use registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// What a collection is told.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Collect {
    /// Only tells, in the job's log, what is there to be collected.
    pub dry_run: bool,
}

/// Gives back the disk that nothing needs any more.
#[derive(Debug, Clone)]
pub struct CollectJob(pub Arc<Registry>);

impl Job for CollectJob {
    const NAME: &'static str = "collect";
    type Payload = Collect;

    async fn run(&self, payload: Collect, context: &JobContext) -> Result<(), JobError> {
        stoppable(context, maintenance::collect(&self.0, payload.dry_run)).await
    }
}

/// What a scrub is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Scrub {
    /// A blob checked within so many seconds is left alone.
    pub period_s: u64,
    /// Bytes read per second, at most; 0: as fast as it goes.
    pub bytes_per_second: u64,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { period_s: 30 * 24 * 3600, bytes_per_second: 32 << 20 }
    }
}

/// Reads stored bytes again and takes wrong ones out of service.
#[derive(Debug, Clone)]
pub struct ScrubJob(pub Arc<Registry>);

impl Job for ScrubJob {
    const NAME: &'static str = "scrub";
    type Payload = Scrub;

    async fn run(&self, payload: Scrub, context: &JobContext) -> Result<(), JobError> {
        let period = Duration::from_secs(payload.period_s);
        stoppable(context, maintenance::scrub(&self.0, period, payload.bytes_per_second)).await
    }
}

/// What a check is told.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fsck {
    /// Read and hash every object.
    pub read: bool,
    /// Put right what can be.
    pub repair: bool,
    /// Bytes read per second, at most; 0: as fast as it goes.
    pub bytes_per_second: u64,
}

/// Compares rows and objects.
#[derive(Debug, Clone)]
pub struct FsckJob(pub Arc<Registry>);

/// Problems that a check's log names; all are counted.
const NAMED: usize = 100;

/// What a check found, in numbers; the problems have lines of their own.
#[derive(serde::Serialize)]
struct Checked {
    blobs: u64,
    objects: u64,
    read_bytes: u64,
    problems: usize,
    quarantined: u64,
    repaired: u64,
}

impl Job for FsckJob {
    const NAME: &'static str = "fsck";
    type Payload = Fsck;

    async fn run(&self, payload: Fsck, context: &JobContext) -> Result<(), JobError> {
        let Fsck { read, repair, bytes_per_second } = payload;
        let options = FsckOptions { read, repair, bytes_per_second, ..FsckOptions::default() };
        stoppable(context, async {
            let report = maintenance::fsck(&self.0, options).await?;
            for problem in report.problems.iter().take(NAMED) {
                context.warn(serde_json::to_string(problem).unwrap_or_default());
            }
            Ok(Checked {
                blobs: report.blobs,
                objects: report.objects,
                read_bytes: report.read_bytes,
                problems: report.problems.len(),
                quarantined: report.quarantined,
                repaired: report.repaired,
            })
        })
        .await
    }
}

/// Runs a step until it ends or shall stop; its report goes to the job's log.
async fn stoppable<R: serde::Serialize>(
    context: &JobContext,
    step: impl Future<Output = Result<R, registry::Error>>,
) -> Result<(), JobError> {
    tokio::select! {
        () = context.stopped() => Err(JobError::Stopped),
        report = step => {
            let report = report.map_err(JobError::retry)?;
            context.info(serde_json::to_string(&report).map_err(JobError::failed)?);
            Ok(())
        }
    }
}
