//! Images in others' registries, scanned for programs that use this registry as their scanner (Harbor's scanner-adapter
//! API): fetched with the authorization that came with the request, read layer by layer as pushed images are.
//!
//! Invariants: every byte is compared with its digest before it counts; a layer that a caller only names is not told
//! about – it is read anew unless that caller's registries gave us its bytes before; what cannot be read is a failure
//! with its reason, never an empty report; the authorization appears in no log and no message.

mod report;

pub use report::AdapterReport;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metadata::Tx;
use metadata::jobs::NewJob;
use metadata::model::adapter::{self, AdapterScanRow, AdapterState};
use metadata::model::scan;
use oci::Digest;
use registry::adapter::KEPT;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use upstream::adapter::serve::Accepted;
use upstream::{Allowance, Registry, RemoteImage, UpstreamError};
use vuln::image::{Choice, Image, ImageLayer, LayerFile, find_image};
use vuln::{Problem, ScanError};

use super::image::{check_count, unread_layer};
use super::layer::{self, StopOnDrop};
use super::quiet::quietly;
use super::report::Parts;
use super::{Scanner, chain, priority, secret_rules};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// What one image may cost: the time for which a Harbor waits, and room for its compressed layers.
const ALLOWANCE: Allowance = Allowance { time: Duration::from_mins(30), bytes: 10 << 30 };

/// A scan that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterTarget {
    /// Its id.
    pub scan: String,
}

impl AdapterTarget {
    /// The job that does it.
    pub fn job(&self, now: metadata::Timestamp) -> NewJob {
        let payload = serde_json::to_string(self).unwrap_or_default();
        let job = NewJob::new(AdapterJob::NAME, payload, now).attempts(AdapterJob::ATTEMPTS);
        job.dedupe(&self.scan).priority(priority::ASKED)
    }
}

/// Reads an image of another registry.
#[derive(Clone, Debug)]
pub struct AdapterJob(pub Arc<Scanner>);

impl Job for AdapterJob {
    const NAME: &'static str = "adapter_scan";
    const ATTEMPTS: u32 = 3;
    type Payload = AdapterTarget;

    fn parallel(&self) -> usize {
        self.0.settings.parallel
    }

    async fn run(&self, target: AdapterTarget, context: &JobContext) -> Result<(), JobError> {
        let row = self.0.store().adapter_scan(&target.scan).await?;
        let Some(row) = row.filter(|row| row.state == AdapterState::Waiting) else {
            context.info("the scan has ended or is forgotten");
            return Ok(());
        };
        let outcome = self.scan(&row, context).await;
        self.explain(&row, context, outcome).await
    }
}

/// An image that is being read.
struct Fetched {
    remote: Arc<RemoteImage>,
    image: Image,
    /// When it was begun: fetching and reading together have the time of the allowance.
    begun: Instant,
}

impl AdapterJob {
    async fn scan(&self, row: &AdapterScanRow, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let request = scanner.registry.open_adapter_request(row).map_err(JobError::failed)?;
        let accepted = Accepted::parse(&request.unwrap_or_default()).map_err(JobError::failed)?;
        context.info(format!("scanning {}", accepted.place()));
        let registry = accepted.registry(scanner.settings.remote.clone()).map_err(|error| of(&error))?;
        let (runtime, digest) = (Handle::current(), *accepted.digest());
        let fetched = quiet(context, move || open(runtime, registry, &digest)).await??;
        let layers: Vec<&ImageLayer> = fetched.image.layers.iter().filter(|it| it.is_archive()).collect();
        if layers.is_empty() {
            return Err(JobError::failed("none of its layers is an archive of files"));
        }
        check_count(fetched.image.layers.len())?;
        let wanted: Vec<Digest> = layers.iter().filter_map(|layer| layer.digest).collect();
        let found = scanner.store().adapter_layers(row.principal, &wanted, layer::VERSION).await?;
        let used: Vec<Digest> = found.iter().map(|(digest, _)| *digest).collect();
        let mut known: HashMap<Digest, Bytes> = found.into_iter().collect();
        let total = i64::try_from(wanted.len()).unwrap_or(i64::MAX);
        context.progress(0, Some(total));
        for ((done, layer), digest) in (1..).zip(&layers).zip(&wanted) {
            context.check()?;
            if !known.contains_key(digest) {
                let content = self.read(row, &fetched, layer, digest, context).await?;
                known.insert(*digest, content);
            }
            context.progress(done, Some(total));
        }
        let parts = Parts::without_layers(scanner, *accepted.digest(), accepted.repository().to_string());
        let mut parts = parts.await?;
        parts.layers =
            wanted.iter().filter_map(|digest| Some((*digest, known.get(digest)?.clone()))).collect();
        parts.config = serde_json::from_slice(&fetched.image.config).ok();
        parts.problems = unread(&fetched.image);
        let content = quiet(context, move || report::Found::of(&parts)).await?.map_err(JobError::failed)?;
        let now = scanner.store().now();
        let mut tx = scanner.store().begin().await?;
        for digest in &used {
            adapter::use_layer(&mut tx, row.principal, digest, now);
        }
        adapter::put_content(&mut tx, &row.id, content, now.plus(KEPT));
        context.complete(tx).await
    }

    /// Fetches and reads a layer, and keeps what it states for the next image that has it.
    async fn read(
        &self,
        row: &AdapterScanRow,
        fetched: &Fetched,
        layer: &ImageLayer,
        digest: &Digest,
        context: &JobContext,
    ) -> Result<Bytes, JobError> {
        context.info(format!("reading layer {digest}"));
        let (remote, path) = (Arc::clone(&fetched.remote), layer.path.clone());
        let rules = secret_rules().await?;
        let left = ALLOWANCE.time.saturating_sub(fetched.begun.elapsed());
        let allowed = self.0.settings.layer_timeout.min(left);
        let (_stop, stopped) = StopOnDrop::new();
        let content = quiet(context, move || {
            let files = |path: &str| remote.open_file(path);
            let layer = LayerFile { files: &files, path: &path };
            layer::catalogue(&layer, &rules, allowed, &stopped)
        });
        let content = content.await?.map_err(|error| match of_scan(&error) {
            JobError::Failed { reason } => JobError::failed(format!("layer {digest}: {reason}")),
            other => other,
        })?;
        let now = self.0.store().now();
        let mut tx = self.0.store().begin().await?;
        scan::put_layer(&mut tx, digest, layer::VERSION, content.clone(), now);
        adapter::use_layer(&mut tx, row.principal, digest, now);
        tx.relaxed();
        context.commit(tx).await?;
        Ok(content)
    }

    /// Keeps why an image could not be read, when no further attempt follows.
    async fn explain(
        &self,
        row: &AdapterScanRow,
        context: &JobContext,
        outcome: Result<(), JobError>,
    ) -> Result<(), JobError> {
        let (reason, outcome) = match context.conclude(outcome) {
            Ok(concluded) => concluded,
            Err(outcome) => return outcome,
        };
        context.warn(format!("not scanned: {reason}"));
        let mut tx: Tx = self.0.store().begin().await?;
        adapter::put_failure(&mut tx, &row.id, &reason, self.0.store().now().plus(KEPT));
        context.commit(tx).await?;
        outcome
    }
}

/// Work on a thread of the lowest priority, until the job is stopped.
async fn quiet<T: Send + 'static>(
    context: &JobContext,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    tokio::select! {
        () = context.stopped() => Err(JobError::Stopped),
        done = quietly("scan-remote", work) => done,
    }
}

/// Fetches the manifest and the configuration.
fn open(runtime: Handle, registry: Registry, digest: &Digest) -> Result<Fetched, JobError> {
    let begun = Instant::now();
    let remote = RemoteImage::open(runtime, registry, ALLOWANCE).map_err(|error| of(&error))?;
    let files = |path: &str| remote.open_file(path);
    let image = find_image(&files, &Choice::default()).map_err(|error| of_scan(&error))?;
    let image = image.ok_or_else(|| JobError::failed("it has no image manifest"))?;
    if image.manifest_digest.as_ref() != Some(digest) {
        // The report of one platform would pass for that of all.
        return Err(JobError::failed("it is an index of images; have each of them scanned"));
    }
    Ok(Fetched { remote: Arc::new(remote), image, begun })
}

fn unread(image: &Image) -> Vec<Problem> {
    let unread = image.layers.iter().filter(|layer| !layer.is_archive());
    let digest = |layer: &ImageLayer| layer.digest.map_or_else(String::new, |digest| digest.to_string());
    unread.map(|layer| unread_layer(digest(layer), &layer.media_type)).collect()
}

/// What an upstream's failure means for the job.
fn of(error: &UpstreamError) -> JobError {
    let text = chain(error);
    if error.is_passing() { JobError::retry(text) } else { JobError::failed(text) }
}

/// The same of an error that may have an upstream's within.
fn of_scan(error: &ScanError) -> JobError {
    match error {
        ScanError::Cancelled => JobError::Stopped,
        ScanError::Read(source) => {
            let upstream = source.get_ref().and_then(|inner| inner.downcast_ref::<UpstreamError>());
            upstream.map_or_else(|| JobError::failed(chain(error)), of)
        }
        _ => JobError::failed(error),
    }
}
