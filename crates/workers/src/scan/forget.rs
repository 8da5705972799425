//! Forgetting what scanning knows of artifacts and layers that are gone.

use std::sync::Arc;
use std::time::Duration;

use metadata::model::{adapter, combined, scan};
use oci::Digest;
use registry::Registry;
use serde::{Deserialize, Serialize};

use crate::context::JobContext;
use crate::job::{Job, JobError};

/// How long it is remembered that somebody's registry gave us a layer, after its last use.
const UNUSED: Duration = Duration::from_hours(30 * 24);

/// Rows looked at and removed at once.
const BATCH: u32 = 500;

/// Nothing to tell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Forget {}

/// Forgets what belongs to nothing any more.
#[derive(Clone, Debug)]
pub struct ForgetScansJob(pub Arc<Registry>);

impl Job for ForgetScansJob {
    const NAME: &'static str = "forget_scans";
    type Payload = Forget;

    async fn run(&self, _: Forget, context: &JobContext) -> Result<(), JobError> {
        let store = self.0.store();
        let (mut last, mut forgotten) = (String::new(), 0);
        loop {
            let loose = store.loose_scans(&last, BATCH).await?;
            let Some(end) = loose.last().map(Digest::to_string) else { break };
            self.remove(context, |tx| scan::forget_scans(tx, &loose)).await?;
            (last, forgotten) = (end, forgotten + loose.len());
        }
        let unused = store.now().minus(UNUSED);
        if store.has_unused_adapter_layers(unused).await? {
            self.remove(context, |tx| adapter::forget_unused(tx, unused)).await?;
        }
        last.clear();
        loop {
            let loose = store.loose_layers(&last, BATCH).await?;
            let Some(end) = loose.last().map(Digest::to_string) else { break };
            self.remove(context, |tx| scan::forget_layers(tx, &loose)).await?;
            (last, forgotten) = (end, forgotten + loose.len());
        }
        last.clear();
        loop {
            let kept = store.combined_digests(&last, BATCH).await?;
            let Some(end) = kept.last().map(Digest::to_string) else { break };
            self.remove(context, |tx| combined::forget(tx, &kept)).await?;
            last = end;
        }
        context.info(format!("{forgotten} rows of artifacts and layers that are gone"));
        Ok(())
    }
}

impl ForgetScansJob {
    async fn remove(
        &self,
        context: &JobContext,
        steps: impl FnOnce(&mut metadata::Tx),
    ) -> Result<(), JobError> {
        context.check()?;
        let mut tx = self.0.store().begin().await?;
        steps(&mut tx);
        tx.relaxed();
        context.commit(tx).await
    }
}
