//! The first stage: layers that were never read are read, and what they state is kept.

use std::sync::Arc;

use metadata::jobs;
use metadata::model::RepositoryId;
use metadata::model::scan::{self, Attempt, ScanStatus};
use oci::Digest;

use super::image::Image;
use super::{Held, Scanner, Target, index_bill, layer, others, priority};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Repositories whose projects are asked whether they want something scanned.
const PLACES: u32 = 100;

/// Reads the layers of an artifact, then has it judged.
#[derive(Clone, Debug)]
pub struct CatalogueJob(pub Arc<Scanner>);

impl Job for CatalogueJob {
    const NAME: &'static str = registry::scan::STAGES[0];
    const ATTEMPTS: u32 = 4;
    type Payload = Target;

    fn parallel(&self) -> usize {
        self.0.settings.parallel
    }

    async fn run(&self, target: Target, context: &JobContext) -> Result<(), JobError> {
        let outcome = self.catalogue(&target, context).await;
        explain(&self.0, &target, context, outcome).await
    }
}

impl CatalogueJob {
    async fn catalogue(&self, target: &Target, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let Some(image) = Image::find(scanner, &target.digest).await? else {
            context.info("the artifact is gone");
            return Ok(());
        };
        if image.is_opaque() && others::may_matter(&image.manifest) {
            return reconsider(scanner, &image, context).await;
        }
        if target.pushed && !is_wanted(scanner, &image).await? {
            context.info("no project that holds it scans what is pushed");
            return Ok(());
        }
        if image.is_opaque() {
            return unsupported(scanner, target, &image, context).await;
        }
        image.check_size()?;
        let layers = image.layers();
        if !image.is_whole(scanner).await? {
            return Err(JobError::failed("missing layers: no repository holds all of them"));
        }
        let known = scanner.store().catalogued_layers(&layers, layer::VERSION).await?;
        let total = i64::try_from(layers.len()).unwrap_or(i64::MAX);
        context.progress(0, Some(total));
        for (done, digest) in (1..).zip(&layers) {
            context.check()?;
            if known.contains(digest) {
                context.info(format!("layer {digest} is known"));
            } else {
                self.read(image.place.repository, digest, context).await?;
            }
            context.progress(done, Some(total));
        }
        let now = scanner.store().now();
        let mut tx = scanner.store().begin().await?;
        let mut judge = Target { pushed: false, ..target.clone() }.judge(now);
        judge.project = context.project();
        jobs::enqueue(&mut tx, scanner.store().next_id().await?, now, judge);
        context.complete(tx).await
    }

    async fn read(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        context: &JobContext,
    ) -> Result<(), JobError> {
        context.info(format!("reading layer {digest}"));
        let content = layer::read(&self.0, repository, digest, context).await?;
        let content = content.map_err(|error| JobError::failed(format!("layer {digest}: {error}")))?;
        let mut tx = self.0.store().begin().await?;
        scan::put_layer(&mut tx, digest, layer::VERSION, content, self.0.store().now());
        tx.relaxed();
        context.commit(tx).await
    }
}

/// Whether what was pushed is scanned: any project that holds it decides, else the system.
async fn is_wanted(scanner: &Scanner, image: &Image) -> Result<bool, JobError> {
    for place in scanner.store().places_of(&image.digest, RepositoryId::from(0), PLACES).await? {
        let decided = scanner.registry.scanning_in(place.project).await.map_err(JobError::retry)?;
        if decided.on_push.unwrap_or(scanner.settings.on_push) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A result of another scanner, or a VEX document, came: what all scanners say of its subject is put together anew. (What cosign's tags name
/// is put together at once, by the reaction to the push.)
async fn reconsider(scanner: &Scanner, evidence: &Image, context: &JobContext) -> Result<(), JobError> {
    let Some(subject) = evidence.manifest.subject.as_ref().map(|it| it.digest) else { return Ok(()) };
    let now = scanner.store().now();
    let mut tx = scanner.store().begin().await?;
    for place in scanner.store().places_of(&evidence.digest, RepositoryId::from(0), PLACES).await? {
        let job = Held::new(place.repository, subject, priority::PUSHED).combine(now);
        let job = job.project(place.project.get());
        jobs::enqueue(&mut tx, scanner.store().next_id().await?, now, job);
    }
    context.complete(tx).await
}

/// An index is what its images are, and what is about another artifact is evidence; of all else it is said that it cannot
/// be scanned.
async fn unsupported(
    scanner: &Scanner,
    target: &Target,
    image: &Image,
    context: &JobContext,
) -> Result<(), JobError> {
    let mut tx = scanner.store().begin().await?;
    if !image.manifest.children.is_empty() {
        index_bill::ask(scanner, &mut tx, image, target.priority).await?;
        return context.complete(tx).await;
    }
    if image.is_about_another() {
        return Ok(());
    }
    let reason = "none of its layers is an archive of files";
    let attempt = Attempt {
        digest: &target.digest,
        id: scanner.store().ids().next().await?,
        status: ScanStatus::Unsupported,
        reason: Some(reason),
        job: context.lease().id,
    };
    scan::put_attempt(&mut tx, &attempt, scanner.store().now());
    others::follow(scanner, &mut tx, target, context).await?;
    context.complete(tx).await
}

/// Keeps why an artifact could not be scanned, when no further attempt follows.
pub(super) async fn explain(
    scanner: &Scanner,
    target: &Target,
    context: &JobContext,
    outcome: Result<(), JobError>,
) -> Result<(), JobError> {
    let (reason, outcome) = match context.conclude(outcome) {
        Ok(concluded) => concluded,
        Err(outcome) => return outcome,
    };
    context.warn(format!("not scanned: {reason}"));
    let mut tx = scanner.store().begin().await?;
    let attempt = Attempt {
        digest: &target.digest,
        id: scanner.store().ids().next().await?,
        status: ScanStatus::Failed,
        reason: Some(&reason),
        job: context.lease().id,
    };
    scan::put_attempt(&mut tx, &attempt, scanner.store().now());
    others::follow(scanner, &mut tx, target, context).await?;
    context.commit(tx).await?;
    outcome
}
