//! From schedules to jobs: those that the program declares, which administrators may change, and those of projects.

use crate::job::{Job, JobError};
use metadata::jobs::{self, NewJob};
use metadata::schedules::{self, Schedule};
use metadata::{CommitError, Store};
use std::time::Duration;

/// Schedules fired at once.
const BATCH: u32 = 100;
/// When a schedule whose expression cannot be read is looked at again.
const UNREADABLE: Duration = Duration::from_hours(1);

/// A schedule that a fresh installation has.
#[derive(Debug, Clone)]
pub struct Declared {
    name: &'static str,
    kind: &'static str,
    cron: &'static str,
    payload: String,
    priority: i64,
    attempts: u32,
}

impl Declared {
    /// Runs `J` with `payload` by `cron` in UTC.
    pub fn of<J: Job>(
        name: &'static str,
        cron: &'static str,
        payload: &J::Payload,
    ) -> Result<Self, JobError> {
        let payload = serde_json::to_string(payload).map_err(JobError::failed)?;
        Ok(Self { name, kind: J::NAME, cron, payload, priority: 0, attempts: J::ATTEMPTS })
    }

    /// With another priority; background work has a negative one.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }
}

/// Inserts the declared schedules that are not there.
pub(crate) async fn declare(store: &Store, declared: &[Declared]) -> Result<(), JobError> {
    let now = store.now();
    for one in declared {
        if schedules::read(store, one.name).await?.is_some() {
            continue;
        }
        let mut tx = store.begin().await?;
        let schedule = Schedule {
            name: one.name.to_owned(),
            kind: one.kind.to_owned(),
            cron: one.cron.to_owned(),
            time_zone: "UTC".to_owned(),
            payload: one.payload.clone(),
            priority: one.priority,
            enabled: true,
            project: None,
            next_at: schedules::next_after(one.cron, "UTC", now).map_err(JobError::failed)?,
            last_at: None,
        };
        schedules::declare(&mut tx, &schedule);
        store.commit(tx).await?;
    }
    Ok(())
}

/// Fires the schedules that are due; answers how many this process fired.
pub(crate) async fn fire(store: &Store, declared: &[Declared]) -> Result<usize, JobError> {
    let mut fired = 0;
    for due in schedules::due(store, BATCH).await? {
        let now = store.now();
        let mut tx = store.begin().await?;
        match schedules::next_after(&due.cron, &due.time_zone, now) {
            Ok(next_at) => {
                schedules::fire(&mut tx, &due, next_at, now);
                let known = declared.iter().find(|known| known.kind == due.kind);
                let mut job = NewJob::new(&due.kind, &due.payload, now)
                    .dedupe(format!("schedule:{}", due.name))
                    .priority(due.priority)
                    .attempts(known.map_or(5, |known| known.attempts));
                job.project = due.project;
                jobs::enqueue(&mut tx, store.next_id().await?, now, job);
            }
            Err(error) => {
                tracing::error!(schedule = due.name, %error, "a schedule cannot be read");
                schedules::fire(&mut tx, &due, now.plus(UNREADABLE), now);
            }
        }
        match store.commit(tx).await {
            Ok(()) => fired += 1,
            // Another process was faster.
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fired)
}
