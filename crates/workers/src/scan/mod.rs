//! Scanning in the registry: what is in artifacts, what is wrong with them, and the same again as advisories change.
//!
//! An image is scanned in two stages, jobs of their own: [`CatalogueJob`] reads the layers that were never read before
//! and keeps what each states; [`JudgeJob`] puts the layers of an image together, asks the advisories and keeps the
//! verdict. A layer is read once, whatever images it is in; new advisories cost the second stage only. A report is made
//! when somebody asks for it ([`Scanner::report`]), from the layers and the advisories of that moment.
//!
//! Invariants: what could not be read is `failed`, what could not be judged `incomplete`, never clean; a failed attempt
//! leaves the last verdict; layers are read on threads of the lowest priority.
//!
//! Where other scanners were chosen, or left results, what all of them say is put together afterwards ([`CombineJob`]).

mod adapter;
mod advisories;
mod attest;
mod beside;
mod catalogue;
mod feeds;
mod foreign;
mod forget;
mod image;
mod index_bill;
mod judge;
mod layer;
mod others;
mod quiet;
mod react;
mod report;
mod sbom;
mod statement;
mod sweep;

pub use adapter::{AdapterJob, AdapterReport, AdapterTarget};
pub use advisories::{Advisories, Current, Pointer};
pub use attest::{KeyError, Signer};
pub use catalogue::CatalogueJob;
pub use feeds::{FeedsJob, RefreshFeeds};
pub use forget::{Forget, ForgetScansJob};
pub use index_bill::IndexBillJob;
pub use judge::JudgeJob;
pub(crate) use judge::severity_counts;
pub use others::{
    AdapterSettings, CombineJob, ConsultJob, Held, MAX_RESULT_BYTES, Recombine, RecombineJob, ResultError,
    UploadError, Uploaded, check_upload,
};
pub use react::{on_choice, on_loss, on_push};
pub use report::ReportError;
pub use sweep::{ScanAll, ScanAllJob};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metadata::jobs::NewJob;
use metadata::{Store, Timestamp};
use oci::Digest;
use registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use upstream::Client;
use upstream::feeds::{Feed, Fetcher};
use vuln::sbom::Format;
use vuln::secrets::SecretRules;

use crate::job::{Job as _, JobError};

/// What somebody waits for goes first, then what was just pushed, then what changed advisories ask for, then sweeps.
pub mod priority {
    /// Somebody asked for this artifact.
    pub const ASKED: i64 = 20;
    /// It was pushed.
    pub const PUSHED: i64 = 10;
    /// Advisories changed.
    pub const ADVISORIES: i64 = -10;
    /// A scan of everything.
    pub const SWEEP: i64 = -20;
}

/// How scanning works here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether what is pushed is scanned, where the project does not decide.
    pub on_push: bool,
    /// Forms of bills of materials that are attached to images, where the project does not decide otherwise.
    pub sbom: Vec<Format>,
    /// Signs what is attached, where the operator gave a key.
    pub signer: Option<Signer>,
    /// Images whose layers are read at the same time by one process.
    pub parallel: usize,
    /// Longest processor time for one layer.
    pub layer_timeout: Duration,
    /// A feed that was not renewed for longer makes verdicts incomplete.
    pub max_feed_age: Duration,
    /// Where this process keeps its copy of the advisories.
    pub cache: PathBuf,
    /// How other scanners are asked.
    pub adapters: AdapterSettings,
    /// Fetches images of other registries, where callers name these.
    pub remote: Client,
}

/// Reports made at the same time by one process; each holds an inventory.
const REPORTS: usize = 2;

/// All that scanning needs. Shared by the jobs and by the requests that ask for reports.
pub struct Scanner {
    registry: Arc<Registry>,
    advisories: Advisories,
    feeds: Vec<Feed>,
    fetcher: Fetcher,
    settings: Settings,
    reports: Semaphore,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner of this registry, whose advisories come from `feeds`.
    pub fn new(registry: Arc<Registry>, feeds: Vec<Feed>, fetcher: Fetcher, settings: Settings) -> Self {
        let advisories = Advisories::new(Arc::clone(&registry), settings.cache.clone());
        Self { registry, advisories, feeds, fetcher, settings, reports: Semaphore::new(REPORTS) }
    }

    /// The registry.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The advisories.
    pub fn advisories(&self) -> &Advisories {
        &self.advisories
    }

    /// Whether advisories come from somewhere.
    pub fn has_feeds(&self) -> bool {
        !self.feeds.is_empty()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn store(&self) -> &Store {
        self.registry.store()
    }
}

/// What looks like a secret: made when it is first needed, since it takes some 10 MiB for good and some time.
async fn secret_rules() -> Result<Arc<SecretRules>, JobError> {
    let made = tokio::task::spawn_blocking(SecretRules::embedded).await;
    made.map_err(JobError::retry)?.map_err(JobError::failed)
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An artifact to be scanned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its manifest.
    pub digest: Digest,
    /// How urgent.
    #[serde(default)]
    pub priority: i64,
    /// It was just pushed: projects decide whether it is scanned at all.
    #[serde(default)]
    pub pushed: bool,
    /// Only the advisories changed.
    #[serde(default)]
    pub rejudged: bool,
}

impl Target {
    /// An artifact.
    pub fn new(digest: Digest, priority: i64) -> Self {
        Self { digest, priority, pushed: false, rejudged: false }
    }

    /// An artifact of which only the advisories say something else.
    pub(crate) fn rejudged(digest: Digest) -> Self {
        Self { rejudged: true, ..Self::new(digest, priority::ADVISORIES) }
    }

    /// The job that scans it from the beginning.
    pub fn job(&self, now: Timestamp) -> NewJob {
        self.stage(CatalogueJob::NAME, CatalogueJob::ATTEMPTS, now)
    }

    /// The job that judges what was catalogued.
    pub(crate) fn judge(&self, now: Timestamp) -> NewJob {
        self.stage(JudgeJob::NAME, JudgeJob::ATTEMPTS, now)
    }

    fn stage(&self, kind: &str, attempts: u32, now: Timestamp) -> NewJob {
        let payload = serde_json::to_string(self).unwrap_or_default();
        let job = NewJob::new(kind, payload, now)
            .attempts(attempts)
            .dedupe(self.digest.to_string())
            .priority(self.priority);
        // What was asked for is done whole, whoever asks for less of it meanwhile.
        if self.pushed || self.rejudged { job.weak() } else { job }
    }
}
