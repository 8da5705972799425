//! What the system's administrators have done regularly, and stopping what they asked for.

use metadata::jobs::{self, JobState};
use metadata::schedules::{self, CronError, Schedule};
use policy::Permission;

use crate::Registry;
use crate::caller::Caller;
use crate::error::Error;

/// Jobs of a kind that are looked through for those that wait or run.
const LAST: u32 = 20;

/// Something to be done regularly.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Its name.
    pub name: &'static str,
    /// The kind of job.
    pub kind: &'static str,
    /// The job's payload as JSON.
    pub payload: String,
    /// The job's priority.
    pub priority: i64,
    /// Five fields, or six with seconds first; in UTC.
    pub cron: String,
}

impl Registry {
    /// A schedule, for who may read the system.
    pub async fn schedule(&self, caller: &Caller, name: &str) -> Result<Option<Schedule>, Error> {
        self.allow(caller, Permission::ReadSystem, "see the system's schedules")?;
        Ok(schedules::read(&self.store, name).await?)
    }

    /// Sets a schedule in place of the one of its name.
    pub async fn set_schedule(&self, caller: &Caller, new: NewSchedule) -> Result<(), Error> {
        self.allow(caller, Permission::ManageSystem, "change the system's schedules")?;
        self.access.check_writes_possible()?;
        let next_at = schedules::next_after(&new.cron, "UTC", self.store.now())
            .map_err(|error: CronError| Error::Invalid(error.to_string()))?;
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "system.schedule", None, new.name).await?;
        let schedule = Schedule {
            name: new.name.to_owned(),
            kind: new.kind.to_owned(),
            cron: new.cron,
            time_zone: "UTC".to_owned(),
            payload: new.payload,
            priority: new.priority,
            enabled: true,
            project: None,
            next_at,
            last_at: None,
        };
        schedules::put(&mut tx, &schedule);
        Ok(self.store.commit(tx).await?)
    }

    /// Removes a schedule, if there is one.
    pub async fn remove_schedule(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        self.allow(caller, Permission::ManageSystem, "change the system's schedules")?;
        self.access.check_writes_possible()?;
        if schedules::read(&self.store, name).await?.is_none() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        self.record(&mut tx, caller, "system.schedule", None, name).await?;
        schedules::delete(&mut tx, name);
        Ok(self.store.commit(tx).await?)
    }

    /// Stops the jobs of a kind that wait or run; how many.
    pub async fn stop_asked(&self, caller: &Caller, kind: &str) -> Result<usize, Error> {
        self.allow(caller, Permission::ManageSystem, "stop the system's maintenance")?;
        self.access.check_writes_possible()?;
        let mut stopped = 0;
        for job in jobs::list(&self.store, kind, None, LAST).await? {
            if !matches!(job.state, JobState::Queued | JobState::Running) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            self.record(&mut tx, caller, &format!("system.{kind}.stop"), None, "").await?;
            jobs::cancel(&mut tx, job.id, self.store.now());
            match self.store.commit(tx).await {
                // It has ended meanwhile.
                Err(error) if error.conflicts_at(jobs::NOT_ACTIVE) => {}
                other => {
                    other?;
                    stopped += 1;
                }
            }
        }
        Ok(stopped)
    }
}
