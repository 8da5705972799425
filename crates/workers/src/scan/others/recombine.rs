//! After another choice of scanners: the verdicts of all images that it concerns are put together anew. What scanners said
//! before counts; none is asked again.

use std::sync::Arc;

use metadata::jobs;
use metadata::model::{ProjectId, RepositoryId};
use serde::{Deserialize, Serialize};

use super::Held;
use crate::context::JobContext;
use crate::job::{Job, JobError};
use crate::scan::{Scanner, priority};

/// Images put into the queue by one transaction.
const BATCH: u32 = 100;

/// Whose images.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Recombine {
    /// Of this project; none: of all.
    #[serde(default)]
    pub project: Option<i64>,
}

/// Has verdicts put together anew.
#[derive(Clone, Debug)]
pub struct RecombineJob(pub Arc<Scanner>);

/// The image that was put into the queue last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    repository: i64,
    digest: String,
    asked: i64,
}

impl Job for RecombineJob {
    const NAME: &'static str = "recombine";
    type Payload = Recombine;

    async fn run(&self, which: Recombine, context: &JobContext) -> Result<(), JobError> {
        let store = self.0.store();
        let mut progress: Progress = context.checkpoint().unwrap_or_default();
        loop {
            context.check()?;
            let last = (RepositoryId::from(progress.repository), progress.digest.as_str());
            let images = store.images_in(which.project.map(ProjectId::from), last, BATCH).await?;
            let Some((repository, digest)) = images.last() else { return Ok(()) };
            progress = Progress {
                repository: repository.get(),
                digest: digest.to_string(),
                asked: progress.asked + i64::try_from(images.len()).unwrap_or(0),
            };
            let now = store.now();
            let mut tx = store.begin().await?;
            for (repository, digest) in images {
                let held = Held::new(repository, digest, priority::ADVISORIES);
                jobs::enqueue(&mut tx, store.next_id().await?, now, held.combine(now));
            }
            context.progress(progress.asked, None);
            context.commit_with_checkpoint(tx, &progress).await?;
        }
    }
}
