//! Claims about jobs.

use super::{Bench, Claim, Expect, Found, SWAP, Tx, Why, claims, ensure};
use crate::ids::JobId;
use crate::jobs::{self, Claimed, JobState, LEASE_LOST, NewJob};
use futures_util::future::join_all;
use std::time::Duration;

pub(super) const CLAIMS: &[Claim] = claims![
    a_job_is_enqueued_with_what_makes_it_necessary,
    of_one_key_one_is_queued_and_one_runs,
    the_most_urgent_job_runs_first_and_none_before_its_time,
    claimers_beside_each_other_get_different_jobs,
    an_expired_lease_is_taken_over_and_the_former_holder_writes_nothing,
    a_job_that_fails_is_retried_and_ends_failed,
    a_retry_gives_way_to_its_queued_successor,
    a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked,
    a_released_job_loses_no_attempt,
    progress_checkpoint_and_log_are_kept,
    finished_jobs_are_pruned_with_their_logs,
];

const LEASE: Duration = Duration::from_mins(1);

impl Bench {
    fn job(&self, kind: &str, dedupe: Option<&str>) -> NewJob {
        let job = NewJob::new(kind, "{}", self.store.now()).attempts(3);
        dedupe.into_iter().fold(job, NewJob::dedupe)
    }

    async fn enqueue(&self, job: NewJob) -> Result<JobId, Why> {
        let mut tx = self.tx().await?;
        let id = self.store.next_id().await?;
        jobs::enqueue(&mut tx, id, self.store.now(), job);
        self.store.commit(tx).await?;
        Ok(id)
    }

    async fn claim(&self, kind: &str, limit: u32) -> Result<Vec<Claimed>, Why> {
        Ok(jobs::claim(&self.store, "bench", &[kind], LEASE, limit).await?)
    }

    async fn one(&self, kind: &str) -> Result<Claimed, Why> {
        Ok(self.claim(kind, 1).await?.pop().ok_or("nothing to claim")?)
    }

    async fn does(&self, step: impl FnOnce(&mut Tx)) -> Result<(), crate::error::CommitError> {
        let mut tx = self.store.begin().await?;
        step(&mut tx);
        self.store.commit(tx).await
    }

    async fn state(&self, id: JobId) -> Result<JobState, Why> {
        Ok(jobs::read(&self.store, id).await?.ok_or("no such job")?.state)
    }
}

async fn a_job_is_enqueued_with_what_makes_it_necessary(bench: &Bench) -> Found {
    let mut tx = bench.insert("job/cause", 1).await?;
    let id = bench.store.next_id().await?;
    jobs::enqueue(&mut tx, id, bench.store.now(), bench.job("cause", None));
    tx.step(&SWAP, crate::params!["job/none", 0, 1], Expect::Rows(1));
    ensure!(bench.store.commit(tx).await.is_err(), "it did not conflict");
    ensure!(jobs::read(&bench.store, id).await?.is_none(), "the job outlived its cause");
    ensure!(bench.claim("cause", 9).await?.is_empty(), "it can be claimed");
    let id = bench.enqueue(bench.job("cause", None)).await?;
    let claimed = bench.one("cause").await?;
    ensure!(claimed.lease.id == id && claimed.attempt == 1 && claimed.max_attempts == 3, "{claimed:?}");
    ensure!(bench.claim("cause", 9).await?.is_empty(), "claimed twice");
    bench.does(|tx| jobs::succeed(tx, claimed.lease, bench.store.now())).await?;
    ensure!(bench.state(id).await? == JobState::Succeeded, "{:?}", bench.state(id).await?);
    let again = bench.does(|tx| jobs::succeed(tx, claimed.lease, bench.store.now())).await;
    ensure!(again.is_err_and(|error| error.conflicts_at(LEASE_LOST)), "ended twice");
    Ok(())
}

async fn of_one_key_one_is_queued_and_one_runs(bench: &Bench) -> Found {
    let mut later = bench.job("key", Some("k"));
    later.run_at = later.run_at.plus(LEASE);
    let first = bench.enqueue(later).await?;
    ensure!(bench.claim("key", 9).await?.is_empty(), "claimed before its time");
    let mut urgent = bench.job("key", Some("k"));
    urgent.priority = 5;
    urgent.payload = String::from(r#"{"new":1}"#);
    bench.enqueue(urgent).await?;
    let running = bench.claim("key", 9).await?;
    ensure!(running.len() == 1 && running[0].lease.id == first, "{running:?}");
    ensure!(running[0].payload == r#"{"new":1}"#, "the newest payload counts");
    let second = bench.enqueue(bench.job("key", Some("k"))).await?;
    ensure!(bench.claim("key", 9).await?.is_empty(), "two of one key run");
    bench.enqueue(bench.job("key", Some("other"))).await?;
    ensure!(bench.claim("key", 9).await?.len() == 1, "another key waits");
    bench.does(|tx| jobs::succeed(tx, running[0].lease, bench.store.now())).await?;
    let next = bench.claim("key", 9).await?;
    ensure!(next.len() == 1 && next[0].lease.id == second, "the successor does not run: {next:?}");
    Ok(())
}

async fn the_most_urgent_job_runs_first_and_none_before_its_time(bench: &Bench) -> Found {
    let mut ids = Vec::new();
    for (priority, after) in [(0, 0), (9, 10_000), (5, 0), (5, 0)] {
        let mut job = bench.job("urgent", None);
        job.priority = priority;
        job.run_at = job.run_at.plus(Duration::from_secs(after));
        ids.push(bench.enqueue(job).await?);
    }
    let claimed = bench.claim("urgent", 9).await?;
    let order: Vec<_> = claimed.iter().map(|claimed| claimed.lease.id).collect();
    ensure!(order == [ids[2], ids[3], ids[0]], "{order:?} of {ids:?}");
    Ok(())
}

async fn claimers_beside_each_other_get_different_jobs(bench: &Bench) -> Found {
    for at in 0..40 {
        let key = format!("{}", at % 30);
        bench.enqueue(bench.job("many", Some(&key))).await?;
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        for claimed in join_all((0..8).map(|_| bench.claim("many", 3))).await {
            for claimed in claimed? {
                ensure!(seen.insert(claimed.lease.id.get()), "claimed twice: {claimed:?}");
            }
        }
    }
    ensure!(seen.len() == 30, "{} of 30 were claimed", seen.len());
    Ok(())
}

async fn an_expired_lease_is_taken_over_and_the_former_holder_writes_nothing(bench: &Bench) -> Found {
    bench.enqueue(bench.job("lost", None)).await?;
    let old = bench.one("lost").await?;
    bench.clock.advance(LEASE / 2);
    bench.does(|tx| jobs::renew(tx, old.lease, bench.store.now().plus(LEASE))).await?;
    bench.clock.advance(LEASE);
    ensure!(bench.claim("lost", 1).await?.is_empty(), "taken over although renewed");
    bench.clock.advance(Duration::from_secs(1));
    let new = bench.one("lost").await?;
    ensure!(new.lease.id == old.lease.id && new.lease.term > old.lease.term && new.attempt == 2, "{new:?}");
    let mut tx = bench.insert("job/fenced", 1).await?;
    jobs::fence(&mut tx, old.lease);
    let result = bench.store.commit(tx).await;
    ensure!(result.as_ref().is_err_and(|error| error.conflicts_at(LEASE_LOST)), "{result:?}");
    ensure!(bench.amount("job/fenced").await?.is_none(), "the former holder wrote");
    ensure!(
        bench.does(|tx| jobs::renew(tx, old.lease, bench.store.now())).await.is_err(),
        "the former holder renews"
    );
    ensure!(
        jobs::cancel_requested(&bench.store, old.lease).await?.is_none(),
        "the former holder is answered"
    );
    let mut tx = bench.insert("job/fenced", 1).await?;
    jobs::fence(&mut tx, new.lease);
    jobs::succeed(&mut tx, new.lease, bench.store.now());
    bench.store.commit(tx).await?;
    Ok(())
}

async fn a_job_that_fails_is_retried_and_ends_failed(bench: &Bench) -> Found {
    let id = bench.enqueue(bench.job("fails", Some("f"))).await?;
    for attempt in 1..=3 {
        let claimed = bench.one("fails").await?;
        ensure!(claimed.attempt == attempt, "{claimed:?}");
        let now = bench.store.now();
        bench.does(|tx| jobs::retry(tx, claimed.lease, now, now.plus(LEASE), "out of luck")).await?;
        ensure!(bench.claim("fails", 1).await?.is_empty(), "retried without waiting");
        bench.clock.advance(LEASE);
    }
    let job = jobs::read(&bench.store, id).await?.ok_or("gone")?;
    ensure!(job.state == JobState::Failed && job.finished_at.is_some(), "{job:?}");
    ensure!(job.error.as_deref() == Some("out of luck"), "{job:?}");
    // The death of its process counts as a failure.
    let id = bench.enqueue(bench.job("dies", None)).await?;
    for _ in 0..3 {
        bench.one("dies").await?;
        bench.clock.advance(LEASE * 2);
    }
    ensure!(bench.claim("dies", 1).await?.is_empty(), "a fourth attempt");
    let job = jobs::read(&bench.store, id).await?.ok_or("gone")?;
    ensure!(job.state == JobState::Failed && job.finished_at.is_some(), "{job:?}");
    Ok(())
}

async fn a_retry_gives_way_to_its_queued_successor(bench: &Bench) -> Found {
    let old = bench.enqueue(bench.job("way", Some("w"))).await?;
    let claimed = bench.one("way").await?;
    let new = bench.enqueue(bench.job("way", Some("w"))).await?;
    let now = bench.store.now();
    bench.does(|tx| jobs::retry(tx, claimed.lease, now, now, "once more")).await?;
    ensure!(bench.state(old).await? == JobState::Superseded, "{:?}", bench.state(old).await?);
    ensure!(bench.one("way").await?.lease.id == new, "the successor does not run");
    // The same when the lease expires.
    let third = bench.enqueue(bench.job("way", Some("w"))).await?;
    bench.clock.advance(LEASE * 2);
    ensure!(bench.one("way").await?.lease.id == third, "the third does not run");
    let second = jobs::read(&bench.store, new).await?.ok_or("gone")?;
    ensure!(second.state == JobState::Superseded && second.finished_at.is_some(), "{second:?}");
    Ok(())
}

async fn a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked(bench: &Bench) -> Found {
    let queued = bench.enqueue(bench.job("stop", None)).await?;
    let now = bench.store.now();
    bench.does(|tx| jobs::cancel(tx, queued, now)).await?;
    ensure!(bench.state(queued).await? == JobState::Cancelled, "{:?}", bench.state(queued).await?);
    let again = bench.does(|tx| jobs::cancel(tx, queued, now)).await;
    ensure!(again.is_err_and(|error| error.conflicts_at(jobs::NOT_ACTIVE)), "cancelled twice");
    let running = bench.enqueue(bench.job("stop", None)).await?;
    let claimed = bench.one("stop").await?;
    ensure!(
        jobs::cancel_requested(&bench.store, claimed.lease).await? == Some(false),
        "asked to stop too early"
    );
    bench.does(|tx| jobs::cancel(tx, running, now)).await?;
    ensure!(jobs::cancel_requested(&bench.store, claimed.lease).await? == Some(true), "not asked to stop");
    bench.does(|tx| jobs::cancelled(tx, claimed.lease, now)).await?;
    ensure!(bench.state(running).await? == JobState::Cancelled, "{:?}", bench.state(running).await?);
    // One that was asked and whose process died does not run again.
    let dead = bench.enqueue(bench.job("stop", None)).await?;
    bench.one("stop").await?;
    bench.does(|tx| jobs::cancel(tx, dead, now)).await?;
    bench.clock.advance(LEASE * 2);
    ensure!(bench.claim("stop", 1).await?.is_empty(), "a cancelled job runs again");
    ensure!(bench.state(dead).await? == JobState::Cancelled, "{:?}", bench.state(dead).await?);
    Ok(())
}

async fn a_released_job_loses_no_attempt(bench: &Bench) -> Found {
    bench.enqueue(bench.job("back", None)).await?;
    for _ in 0..5 {
        let claimed = bench.one("back").await?;
        ensure!(claimed.attempt == 1, "{claimed:?}");
        bench.does(|tx| jobs::release(tx, claimed.lease, bench.store.now())).await?;
    }
    Ok(())
}

async fn progress_checkpoint_and_log_are_kept(bench: &Bench) -> Found {
    let id = bench.enqueue(bench.job("progress", None)).await?;
    let claimed = bench.one("progress").await?;
    let lines = bench.store.ids().many(3).await?;
    let now = bench.store.now();
    let mut tx = bench.tx().await?;
    jobs::progress(&mut tx, claimed.lease, 3, Some(10));
    jobs::checkpoint(&mut tx, claimed.lease, r#"{"at":3}"#);
    for line in lines.clone() {
        jobs::log(&mut tx, claimed.lease, line, now, "info", &"\u{e4}".repeat(5000));
    }
    tx.relaxed();
    bench.store.commit(tx).await?;
    let job = jobs::read(&bench.store, id).await?.ok_or("gone")?;
    ensure!((job.progress_done, job.progress_total) == (3, Some(10)), "{job:?}");
    let log = jobs::log_lines(&bench.store, id, lines.start, 10).await?;
    ensure!(log.len() == 2 && log[0].message.len() == jobs::MESSAGE_BYTES, "{} lines", log.len());
    bench.clock.advance(LEASE * 2);
    let next = bench.one("progress").await?;
    ensure!(next.checkpoint.as_deref() == Some(r#"{"at":3}"#), "{next:?}");
    let listed = jobs::list(&bench.store, "progress", None, 10).await?;
    ensure!(listed.len() == 1 && listed[0].state == JobState::Running, "{listed:?}");
    let active = jobs::active(&bench.store).await?;
    ensure!(
        active
            .iter()
            .any(|(kind, state, count, _)| kind == "progress" && *state == JobState::Running && *count == 1),
        "{active:?}"
    );
    Ok(())
}

async fn finished_jobs_are_pruned_with_their_logs(bench: &Bench) -> Found {
    let id = bench.enqueue(bench.job("prune", None)).await?;
    let claimed = bench.one("prune").await?;
    let line = bench.store.ids().next().await?;
    let now = bench.store.now();
    let mut tx = bench.tx().await?;
    jobs::log(&mut tx, claimed.lease, line, now, "info", "done");
    jobs::succeed(&mut tx, claimed.lease, now);
    bench.store.commit(tx).await?;
    bench.does(|tx| jobs::prune(tx, now, 1000)).await?;
    ensure!(jobs::read(&bench.store, id).await?.is_some(), "pruned too early");
    bench.clock.advance(LEASE);
    bench.does(|tx| jobs::prune(tx, bench.store.now(), 1000)).await?;
    ensure!(jobs::read(&bench.store, id).await?.is_none(), "not pruned");
    ensure!(jobs::log_lines(&bench.store, id, 0, 10).await?.is_empty(), "its log is left");
    Ok(())
}
