//! The bill of materials of an index: what its images contain, together.

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::jobs::{self, NewJob};
use metadata::{Timestamp, Tx};
use oci::Descriptor;
use registry::scan::combined_key;
use vuln::sbom::{self, Document, Provenance, Subject, SubjectKind};

use super::image::Image;
use super::report::{Parts, Sources};
use super::{Held, Scanner, sbom as bills};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Images of one index that are looked at.
const MOST_IMAGES: usize = 100;
/// Indexes, and repositories, that are asked for at once.
const INDEXES: u32 = 100;
/// Indexes of one repository that are told of one image.
const MOST_INDEXES: usize = 200;

/// Attaches the bill of materials of an index once all of its images are read.
#[derive(Clone, Debug)]
pub struct IndexBillJob(pub Arc<Scanner>);

impl Job for IndexBillJob {
    const NAME: &'static str = "index_bill";
    type Payload = Held;

    async fn run(&self, held: Held, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let Some(index) = Image::held(scanner, held.repository(), &held.digest).await? else {
            context.info("the index is gone");
            return Ok(());
        };
        match scanner.document_of_index(&index).await? {
            Some(document) => bills::attach_here(scanner, &index, &document).await,
            None => {
                context.info("not all of its images are here and read yet");
                Ok(())
            }
        }
    }
}

fn job(held: &Held, now: Timestamp) -> NewJob {
    let payload = serde_json::to_string(held).unwrap_or_default();
    NewJob::new(IndexBillJob::NAME, payload, now)
        .attempts(IndexBillJob::ATTEMPTS)
        .dedupe(combined_key(held.repository(), &held.digest))
        .priority(held.priority)
}

/// An index came, or is scanned: its bill of materials is wanted in every repository that holds it.
pub(super) async fn ask(
    scanner: &Scanner,
    tx: &mut Tx,
    index: &Image,
    priority: i64,
) -> Result<(), JobError> {
    let now = scanner.store().now();
    for place in scanner.store().places_of(&index.digest, 0.into(), INDEXES).await? {
        let held = Held::new(place.repository, index.digest, priority);
        jobs::enqueue(
            tx,
            scanner.store().next_id().await?,
            now,
            job(&held, now).project(place.project.get()),
        );
    }
    Ok(())
}

/// An image was read: the indexes that list it, or an index of it, may be complete now.
pub(super) async fn follow(
    scanner: &Scanner,
    tx: &mut Tx,
    image: &Image,
    priority: i64,
) -> Result<(), JobError> {
    let now = scanner.store().now();
    for place in scanner.store().places_of(&image.digest, 0.into(), INDEXES).await? {
        let (mut below, mut told) = (vec![image.digest], BTreeSet::new());
        while let Some(listed) = below.pop() {
            for index in scanner.store().indexes_of(place.repository, &listed, INDEXES).await? {
                if told.len() == MOST_INDEXES || !told.insert(index.digest) {
                    continue;
                }
                below.push(index.digest);
                let held = Held::new(place.repository, index.digest, priority);
                let job = job(&held, now).project(place.project.get());
                jobs::enqueue(tx, scanner.store().next_id().await?, now, job);
            }
        }
    }
    Ok(())
}

/// Whether BuildKit says that this is no image, but about one.
fn is_attestation(child: &Descriptor) -> bool {
    child.annotations.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
}

impl Scanner {
    /// What the images of an index, and of indexes in it, contain; none: one of them is not here or was not read, or none
    /// can be. A part of it would pass for all.
    pub(super) async fn document_of_index(&self, index: &Image) -> Result<Option<Document>, JobError> {
        let (mut inventories, mut seen) = (Vec::new(), BTreeSet::new());
        let mut waiting: Vec<Descriptor> = index.manifest.children.iter().rev().cloned().collect();
        while let Some(child) = waiting.pop() {
            if !seen.insert(child.digest) {
                continue;
            }
            if seen.len() > MOST_IMAGES {
                return Ok(None);
            }
            let Some(image) = Image::held(self, index.place.repository, &child.digest).await? else {
                // What a builder attests of an image is often left behind.
                if is_attestation(&child) {
                    continue;
                }
                return Ok(None);
            };
            waiting.extend(image.manifest.children.iter().rev().cloned());
            // Indexes, attestations of builders, and what no machine runs.
            if image.is_opaque() {
                continue;
            }
            let Some(parts) = Parts::gather(self, &image, Sources::Own).await? else { return Ok(None) };
            let composed =
                tokio::task::spawn_blocking(move || parts.compose()).await.map_err(JobError::retry)?;
            let Ok((document, _)) = composed else { return Ok(None) };
            inventories.push((Provenance::Scanned, document.inventory));
        }
        if inventories.is_empty() {
            return Ok(None);
        }
        let subject = Subject {
            kind: SubjectKind::Container,
            name: index.place.full_name.clone(),
            version: None,
            digest: Some(index.digest),
        };
        let merged = tokio::task::spawn_blocking(move || sbom::merge(inventories)).await;
        Ok(Some(Document::new(subject, None, merged.map_err(JobError::retry)?)))
    }
}
