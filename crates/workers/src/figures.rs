//! What a runner did and what waits for one: for whoever watches it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata::jobs::JobState;
use metadata::{Store, StoreError, jobs, outbox};

use crate::running::End;

/// Figures of a runner: its own attempts, and the work of all runners of the installation as it was last counted.
#[derive(Debug)]
pub struct Figures {
    ended: Mutex<BTreeMap<(&'static str, &'static str), Ended>>,
    failed_duties: Mutex<BTreeMap<&'static str, u64>>,
    backlog: Mutex<Backlog>,
}

/// Attempts of one kind of job that ended in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ended {
    /// How many.
    pub attempts: u64,
    /// Seconds that they took together.
    pub seconds: f64,
}

/// Work that is not done, of all processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events whose reactions were not decided yet.
    pub events: u64,
    /// Seconds since the oldest of them was appended; 0 without any.
    pub oldest_event_seconds: u64,
    /// Jobs by kind and state (`queued`, `running`).
    pub jobs: BTreeMap<(String, &'static str), u64>,
    /// Seconds since the job that waits longest was due, by kind; those that wait for a later time do not count.
    pub overdue_seconds: BTreeMap<String, u64>,
}

impl Figures {
    /// Figures of a runner of these jobs and duties. What has not failed yet is counted, as 0: the first failure is an
    /// increase then, which alerts see.
    pub(crate) fn of(
        jobs: impl Iterator<Item = &'static str>,
        duties: impl Iterator<Item = &'static str>,
    ) -> Self {
        let none = |job| ((job, End::Failed.as_str()), Ended::default());
        Self {
            ended: Mutex::new(jobs.map(none).collect()),
            failed_duties: Mutex::new(duties.map(|duty| (duty, 0)).collect()),
            backlog: Mutex::default(),
        }
    }

    pub(crate) fn ended(&self, job: &'static str, end: End, took: Duration) {
        let mut all = lock(&self.ended);
        let ended = all.entry((job, end.as_str())).or_default();
        ended.attempts += 1;
        ended.seconds += took.as_secs_f64();
    }

    pub(crate) fn duty_failed(&self, duty: &'static str) {
        *lock(&self.failed_duties).entry(duty).or_default() += 1;
    }

    /// Rounds of duties that failed in this process, by duty.
    pub fn failed_duties(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.failed_duties).clone()
    }

    /// Attempts of this process by kind of job and result (`succeeded`, `retried`, `failed`, `cancelled`, `released`, `lost`).
    pub fn attempts(&self) -> BTreeMap<(&'static str, &'static str), Ended> {
        lock(&self.ended).clone()
    }

    /// What waited when it was last counted.
    pub fn backlog(&self) -> Backlog {
        lock(&self.backlog).clone()
    }

    /// Counts what waits.
    pub async fn count(&self, store: &Store) -> Result<(), StoreError> {
        let now = store.now();
        let (events, oldest) = outbox::backlog(store).await?;
        let since = |then: metadata::Timestamp| u64::try_from(now.secs() - then.secs()).unwrap_or(0);
        let mut backlog =
            Backlog { events, oldest_event_seconds: oldest.map_or(0, since), ..Backlog::default() };
        for (kind, state, count, run_at) in jobs::active(store).await? {
            if state == JobState::Queued {
                backlog.overdue_seconds.insert(kind.clone(), since(run_at));
            }
            backlog.jobs.insert((kind, state.as_str()), count);
        }
        *lock(&self.backlog) = backlog;
        Ok(())
    }
}

fn lock<T>(figures: &Mutex<T>) -> MutexGuard<'_, T> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
