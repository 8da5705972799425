//! Maintenance that a running registry does when its administrators ask for it, as jobs.

use metadata::JobId;
use metadata::jobs::{self, Job, LogLine, NewJob};
use policy::Permission;

use crate::Registry;
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// Lines of a job's log that are shown.
const LINES: u32 = 1000;

impl Registry {
    /// Enqueues a job for who may run the system's maintenance.
    pub async fn ask_for(&self, caller: &Caller, job: NewJob) -> Result<Job, Error> {
        self.allow(caller, Permission::ManageSystem, "run the system's maintenance")?;
        let (id, now) = (self.store.next_id::<JobId>().await?, self.store.now());
        let mut tx = self.store.begin().await?;
        let action = format!("system.{}", job.kind);
        self.record(&mut tx, caller, &action, None, &job.payload).await?;
        jobs::enqueue(&mut tx, id, now, job);
        self.store.commit(tx).await?;
        let missing = || Error::Internal(format!("job {} is gone", id.get()));
        jobs::read(&self.store, id).await?.ok_or_else(missing)
    }

    /// The newest jobs of a kind with what they said, for who may read the system.
    pub async fn asked_for(
        &self,
        caller: &Caller,
        kind: &str,
        limit: u32,
    ) -> Result<Vec<(Job, Vec<LogLine>)>, Error> {
        self.allow(caller, Permission::ReadSystem, "see the system's maintenance")?;
        let mut found = Vec::new();
        for job in jobs::list(&self.store, kind, None, limit).await? {
            let lines = jobs::log_lines(&self.store, job.id, 0, LINES).await?;
            found.push((job, lines));
        }
        Ok(found)
    }

    pub(crate) fn allow(&self, caller: &Caller, permission: Permission, what: &str) -> Result<(), Error> {
        if self.access.own_in(&caller.principal, None).has(permission) {
            return Ok(());
        }
        let reason = format!("you may not {what}; ask a system administrator");
        Err(Refusal::Denied { reason }.into())
    }
}
