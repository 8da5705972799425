//! What others say of an artifact: registered scanners, asked over Harbor's adapter API, and results that people or their
//! build systems left beside it. All of it, with our own scan, comes to one verdict in the repository where it was said.
//!
//! Invariants: a scanner that was chosen and did not report makes the verdict incomplete; a failed attempt leaves the last
//! report; what is said in one repository is told and counted nowhere else.

mod combine;
mod consult;
mod recombine;
mod results;
mod upload;
mod vex;

pub use combine::CombineJob;
pub use consult::{AdapterSettings, ConsultJob};
pub use recombine::{Recombine, RecombineJob};
use results::media_type;
pub use results::{MAX_RESULT_BYTES, ResultError};
pub use upload::{UploadError, Uploaded, check_upload};
pub(super) use vex::Excuses;

use metadata::jobs::{self, NewJob};
use metadata::model::RepositoryId;
use metadata::model::scan::Place;
use metadata::{Timestamp, Tx};
use oci::{Digest, Manifest};
use registry::admin::OWN_SCANNER;
use registry::scan::combined_key;
use serde::{Deserialize, Serialize};

use super::{Scanner, Target};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Repositories of one artifact that are read at once.
const PLACES: u32 = 200;

/// Whether something about an artifact may change what is said of it.
pub(super) fn may_matter(manifest: &Manifest) -> bool {
    results::may_hold_one(manifest) || vex::may_hold_one(manifest)
}

/// An artifact of one repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The repository.
    pub repository: i64,
    /// The artifact's manifest.
    pub digest: Digest,
    /// How urgent.
    #[serde(default)]
    pub priority: i64,
}

impl Held {
    /// An artifact of a repository.
    pub fn new(repository: RepositoryId, digest: Digest, priority: i64) -> Self {
        Self { repository: repository.get(), digest, priority }
    }

    pub(super) fn repository(&self) -> RepositoryId {
        self.repository.into()
    }

    /// The job that asks the scanners that were chosen there.
    pub fn consult(&self, now: Timestamp) -> NewJob {
        self.stage(ConsultJob::NAME, ConsultJob::ATTEMPTS, now)
    }

    /// The job that puts together what all of them say.
    pub fn combine(&self, now: Timestamp) -> NewJob {
        self.stage(CombineJob::NAME, CombineJob::ATTEMPTS, now)
    }

    fn stage(&self, kind: &str, attempts: u32, now: Timestamp) -> NewJob {
        let payload = serde_json::to_string(self).unwrap_or_default();
        NewJob::new(kind, payload, now)
            .attempts(attempts)
            .dedupe(combined_key(self.repository(), &self.digest))
            .priority(self.priority)
    }
}

/// Once our own scan of an artifact ended, however it did: the others are asked where they were chosen, and what all of
/// them say is put together where not our own scan alone decides.
pub(super) async fn follow(
    scanner: &Scanner,
    tx: &mut Tx,
    target: &Target,
    context: &JobContext,
) -> Result<(), JobError> {
    let store = scanner.store();
    let mut places = store.places_with_scanners(&target.digest, 0.into(), PLACES).await?;
    while let Some(last) = places.last().map(|place| place.repository) {
        for place in std::mem::take(&mut places) {
            in_place(scanner, tx, target, &place, context).await?;
        }
        places = store.places_with_scanners(&target.digest, last, PLACES).await?;
    }
    Ok(())
}

async fn in_place(
    scanner: &Scanner,
    tx: &mut Tx,
    target: &Target,
    place: &Place,
    context: &JobContext,
) -> Result<(), JobError> {
    let (store, now) = (scanner.store(), scanner.store().now());
    let (choice, _) = scanner.registry.scanners_in(Some(place.project)).await.map_err(JobError::retry)?;
    let held = Held::new(place.repository, target.digest, target.priority);
    // Whatever becomes of the asking: our own scan alone must not pass for what was chosen.
    let mut wanted = vec![held.combine(now)];
    let mut others = choice.scanners;
    others.retain(|name| name != OWN_SCANNER);
    if !others.is_empty() && !target.rejudged {
        // Who asked for a scan asked for one of the own project; who was never asked is asked now.
        let asked = context.project().is_none_or(|project| project == place.project.get());
        let known = store.scanners_heard(place.repository, &target.digest).await?;
        if asked || others.iter().any(|name| !known.contains(name)) {
            wanted.push(held.consult(now));
        }
    }
    for job in wanted {
        jobs::enqueue(tx, store.next_id().await?, now, job.project(place.project.get()));
    }
    Ok(())
}
