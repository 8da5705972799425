//! The jobs of this process: the runner, and the regular collection and scrub that the configuration asks for.

use std::sync::Arc;
use std::time::Duration;

use metadata::jobs::{self, NewJob};
use metadata::{Store, Timestamp};
use registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use workers::audit::SealDuty;
use workers::checkpoint::CheckpointDuty;
use workers::index::{AskSavedJob, Index, IndexDuty};
use workers::scan::{
    self, AdapterJob, CatalogueJob, CombineJob, ConsultJob, FeedsJob, Forget, ForgetScansJob, IndexBillJob,
    JudgeJob, RecombineJob, RefreshFeeds, ScanAllJob,
};
use workers::upkeep::{Collect, CollectJob, FsckJob, Scrub, ScrubJob};
use workers::{Figures, Job as _, JobError, Runner, RunnerBuilder};

use crate::config::Config;
use crate::telemetry::Metrics;

/// How often it is looked whether something is due to be scrubbed.
const SCRUB_EVERY: Duration = Duration::from_hours(1);

/// How often it is looked whether something that was scanned is gone.
const FORGET_EVERY: Duration = Duration::from_hours(24);

/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Background work waits for what people asked for.
const PRIORITY: i64 = -50;

/// The runner of this registry, with every kind of job and duty that it knows.
pub fn runner(
    registry: &Arc<Registry>,
    index: &Arc<Index>,
    config: &Config,
) -> Result<RunnerBuilder, JobError> {
    let scanner = index.scanner();
    let checkpoint = CheckpointDuty::new(Arc::clone(registry), config.checkpoint.interval.std());
    Ok(Runner::builder(registry.store().clone())?
        .job(CollectJob(Arc::clone(registry)))
        .job(ScrubJob(Arc::clone(registry)))
        .job(FsckJob(Arc::clone(registry)))
        .job(CatalogueJob(Arc::clone(scanner)))
        .job(JudgeJob(Arc::clone(scanner)))
        .job(AdapterJob(Arc::clone(scanner)))
        .job(ScanAllJob(Arc::clone(scanner)))
        .job(FeedsJob(Arc::clone(scanner)))
        .job(IndexBillJob(Arc::clone(scanner)))
        .job(ConsultJob(Arc::clone(scanner)))
        .job(CombineJob(Arc::clone(scanner)))
        .job(RecombineJob(Arc::clone(scanner)))
        .job(ForgetScansJob(Arc::clone(registry)))
        .job(AskSavedJob(Arc::clone(index)))
        .reaction("manifest_pushed", scan::on_push)
        .reaction("manifest_deleted", scan::on_loss)
        .reaction("tag_deleted", scan::on_loss)
        .reaction("scanners_chosen", scan::on_choice)
        .duty(checkpoint)
        .duty(SealDuty(Arc::clone(registry)))
        .duty(IndexDuty(Arc::clone(index))))
}

/// Starts the runner and what feeds it; they end when `shutdown` is cancelled.
pub(super) fn start(
    registry: &Arc<Registry>,
    index: &Arc<Index>,
    config: &Config,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, JobError> {
    let store = registry.store().clone();
    let runner = runner(registry, index, config)?.build();
    metrics.watch_jobs(Arc::clone(runner.figures()));
    let watched =
        watch(Arc::clone(index), Arc::clone(runner.figures()), Arc::clone(metrics), shutdown.clone());
    let stop = shutdown.clone();
    let mut tasks = vec![tokio::spawn(async move { runner.run(stop).await }), tokio::spawn(watched)];
    if config.gc.enabled {
        let make = |now| CollectJob::request(&Collect::default(), now);
        tasks.push(tokio::spawn(regularly(store.clone(), config.gc.interval.std(), shutdown.clone(), make)));
    }
    if let Some(scrub) = scrub(config) {
        let make = move |now| ScrubJob::request(&scrub, now);
        tasks.push(tokio::spawn(regularly(store.clone(), SCRUB_EVERY, shutdown.clone(), make)));
    }
    if index.scanner().has_feeds() {
        let make = |now| FeedsJob::request(&RefreshFeeds::default(), now);
        let every = config.scan.feeds_interval.std();
        tasks.push(tokio::spawn(regularly(store.clone(), every, shutdown.clone(), make)));
    }
    let make = |now| ForgetScansJob::request(&Forget::default(), now);
    tasks.push(tokio::spawn(regularly(store, FORGET_EVERY, shutdown.clone(), make)));
    Ok(tasks)
}

/// Counts, for the metrics, what waits and how old the advisories are.
async fn watch(index: Arc<Index>, figures: Arc<Figures>, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    let scanner = index.scanner();
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = figures.count(scanner.registry().store()).await {
            tracing::debug!(%error, "the work that waits could not be counted");
        }
        match scanner.feed_times().await {
            Ok(feeds) => metrics.note_feeds(feeds),
            Err(error) => tracing::debug!(%error, "the age of the advisories is not known"),
        }
    }
}

/// The regular scrub; none when nothing shall be scrubbed.
fn scrub(config: &Config) -> Option<Scrub> {
    let period_s = config.gc.scrub_period.std().as_secs();
    (period_s > 0).then(|| Scrub { period_s, bytes_per_second: config.gc.scrub_rate.bytes() })
}

/// Enqueues a job now and at every interval; one that is queued already is not enqueued again.
async fn regularly(
    store: Store,
    every: Duration,
    shutdown: CancellationToken,
    make: impl Fn(Timestamp) -> Result<NewJob, JobError>,
) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = enqueue(&store, &make).await {
            tracing::warn!(%error, "regular maintenance could not be enqueued; it is tried again");
        }
    }
}

async fn enqueue(
    store: &Store,
    make: &impl Fn(Timestamp) -> Result<NewJob, JobError>,
) -> Result<(), JobError> {
    let now = store.now();
    let job = make(now)?.dedupe("regular").priority(PRIORITY);
    let mut tx = store.begin().await.map_err(JobError::retry)?;
    jobs::enqueue(&mut tx, store.next_id().await.map_err(JobError::retry)?, now, job);
    tx.relaxed();
    store.commit(tx).await.map_err(JobError::retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_means_no_scrub_and_hours_are_hours() {
        let period = |text: &str| {
            let mut config = Config::default();
            config.gc.scrub_period = text.parse().expect("a duration");
            scrub(&config).map(|scrub| scrub.period_s)
        };
        assert_eq!(period("0s"), None);
        assert_eq!(period("12h"), Some(43_200));
        assert_eq!(period("30d"), Some(2_592_000));
    }
}
