//! Sealing the audit: every few seconds one process numbers, chains and signs what was recorded.

use std::sync::Arc;
use std::time::Duration;

use metadata::Store;
use metadata::leases::Held;
use registry::Registry;

use crate::duty::Duty;
use crate::job::JobError;

/// The duty that seals.
#[derive(Debug)]
pub struct SealDuty(pub Arc<Registry>);

impl SealDuty {
    async fn seal(&self, held: &Held) -> Result<(), JobError> {
        let sealed = self.0.seal_audit(held).await.map_err(JobError::retry)?;
        if sealed > 0 {
            tracing::debug!(sealed, "audit records sealed");
        }
        Ok(())
    }
}

impl Duty for SealDuty {
    const NAME: &'static str = "audit_seal";

    fn every(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn round(&self, _: &Store, held: &Held) -> Result<(), JobError> {
        self.seal(held).await
    }

    async fn last(&self, _: &Store, held: &Held) -> Result<(), JobError> {
        self.seal(held).await
    }
}
