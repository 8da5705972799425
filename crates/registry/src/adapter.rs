//! Scans of images in others' registries, for programs that use this registry as their scanner (Harbor's scanner-adapter
//! API). Here: who may ask, what is kept of a request, who may see what came of it.
//!
//! Invariants: a request holds an authorization for somebody else's registry, so it is sealed before it is kept, opened
//! by the job alone, forgotten when the scan has ended, and part of no record. A scan is shown to who asked for it.

use std::time::Duration;

use metadata::jobs::{self, JobState, NewJob};
use metadata::model::PrincipalId;
use metadata::model::adapter::{self, AdapterScanRow, AdapterState, NewAdapterScan};
use policy::Permission;

use crate::Registry;
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// How long a scan is kept that has ended.
pub const KEPT: Duration = Duration::from_hours(1);
/// How long one is kept that has not.
const LONGEST: Duration = Duration::from_hours(4);
/// Scans of one principal that wait or run.
pub const MOST_WAITING: u64 = 200;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct AdapterRequest<'a> {
    /// What is to be scanned, for the audit.
    pub place: &'a str,
    /// The artifact as the other side names it: JSON.
    pub artifact: &'a str,
    /// The whole request, with its authorization.
    pub body: &'a [u8],
}

/// How far a scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterScan {
    /// It waits or runs.
    Waiting,
    /// What is in the image is known.
    Ready {
        /// The artifact as the other side named it: JSON.
        artifact: String,
        /// What was found.
        content: bytes::Bytes,
    },
    /// It failed, for this reason.
    Failed(String),
}

impl Registry {
    /// Whether the caller may use this registry as its scanner.
    pub fn may_use_scanner(&self, caller: &Caller) -> Result<PrincipalId, Error> {
        let id = caller.principal.id.ok_or(Refusal::SignIn { scope: String::new() })?;
        self.allow(caller, Permission::UseScanner, "have images of other registries scanned")?;
        Ok(id)
    }

    /// Keeps a request and enqueues its job, which `make` gives for an id; the id.
    pub async fn ask_adapter(
        &self,
        caller: &Caller,
        request: AdapterRequest<'_>,
        make: impl FnOnce(&str) -> NewJob,
    ) -> Result<String, Error> {
        let principal = self.may_use_scanner(caller)?;
        self.access.check_writes_possible()?;
        if self.store.adapter_scans_waiting(principal).await? >= MOST_WAITING {
            let why = format!("{MOST_WAITING} of your scans wait already; ask again when some have ended");
            return Err(Error::LimitReached(why));
        }
        let id = format!("{:032x}", self.store.random().id128());
        let sealed = self.sealer.seal(self.store.random().as_ref(), &context(&id), request.body);
        let sealed = sealed.map_err(|error| Error::Internal(error.to_string()))?;
        let (job, now) = (self.store.next_id().await?, self.store.now());
        let mut tx = self.store.begin().await?;
        let new = NewAdapterScan {
            id: &id,
            principal,
            artifact: request.artifact,
            request: sealed,
            job,
            expires_at: now.plus(LONGEST),
        };
        adapter::insert(&mut tx, new);
        jobs::enqueue(&mut tx, job, now, make(&id));
        self.record(&mut tx, caller, "scanner.scan", None, request.place).await?;
        self.store.commit(tx).await?;
        Ok(id)
    }

    /// What the caller asked for under this id.
    pub async fn adapter_scan(&self, caller: &Caller, id: &str) -> Result<AdapterScan, Error> {
        let principal = self.may_use_scanner(caller)?;
        let row = self.store.adapter_scan(id).await?.filter(|row| row.principal == principal);
        let row = row.ok_or(Error::NotFound("scan"))?;
        Ok(match row.state {
            AdapterState::Waiting => self.job_of(&row).await?,
            AdapterState::Ready => {
                AdapterScan::Ready { artifact: row.artifact, content: row.content.unwrap_or_default() }
            }
            AdapterState::Failed => AdapterScan::Failed(row.reason.unwrap_or_default()),
        })
    }

    /// A job whose process died in its last attempt could not say so.
    async fn job_of(&self, row: &AdapterScanRow) -> Result<AdapterScan, Error> {
        let job = jobs::read(&self.store, row.job).await?;
        Ok(match job {
            Some(job) if matches!(job.state, JobState::Queued | JobState::Running) => AdapterScan::Waiting,
            Some(job) if job.state == JobState::Cancelled => {
                AdapterScan::Failed("it was stopped by an administrator".to_owned())
            }
            // It may have ended between the two reads.
            Some(job) if job.state == JobState::Succeeded => AdapterScan::Waiting,
            Some(job) => AdapterScan::Failed(job.error.unwrap_or_default()),
            None => AdapterScan::Failed("its job is gone".to_owned()),
        })
    }

    /// The request of a scan that waits, for its job.
    pub fn open_adapter_request(&self, row: &AdapterScanRow) -> Result<Option<Vec<u8>>, Error> {
        let Some(sealed) = &row.request else { return Ok(None) };
        let opened = self.sealer.open(&context(&row.id), sealed);
        opened.map(Some).map_err(|error| Error::Internal(error.to_string()))
    }
}

fn context(id: &str) -> String {
    format!("adapter scan {id}")
}
