//! Our own bills of materials, attached to images as referrers.
//!
//! A document depends on the image and the extractors only, so that scanning again attaches nothing new. One that former
//! extractors made is replaced.

use metadata::model::RepositoryId;
use metadata::model::scan::Place;
use oci::{Descriptor, Manifest, MediaType};
use registry::scan::Attachment;
use vuln::sbom::{self, Document};

use super::Scanner;
use super::image::Image;
use crate::context::JobContext;
use crate::job::JobError;

/// The annotation by which our own documents are known.
pub(super) const PRODUCER: &str = "dev.bonded.sbom.producer";
/// Its value: the tool, without its version, which would make every release attach documents again.
const BONDED: &str = "bonded";
/// Repositories and referrers read at once.
const PAGE: u32 = 100;

/// Attaches the bills of materials that are wanted, in every repository that holds the image.
pub(super) async fn attach(
    scanner: &Scanner,
    image: &Image,
    document: &Document,
    context: &JobContext,
) -> Result<(), JobError> {
    if scanner.settings.sbom.is_empty() {
        return Ok(());
    }
    let mut last = RepositoryId::from(0);
    loop {
        let places = scanner.store().places_of(&image.digest, last, PAGE).await?;
        let Some(end) = places.last() else { return Ok(()) };
        last = end.repository;
        for place in &places {
            context.check()?;
            let decided = scanner.registry.scanning_in(place.project).await.map_err(JobError::retry)?;
            if decided.sbom != Some(false) {
                in_place(scanner, image, document, place, context).await?;
            }
        }
    }
}

async fn in_place(
    scanner: &Scanner,
    image: &Image,
    document: &Document,
    place: &Place,
    context: &JobContext,
) -> Result<(), JobError> {
    let mut document = document.clone();
    document.subject.name.clone_from(&place.full_name);
    for form in &scanner.settings.sbom {
        let bytes = sbom::write(&document, *form).map_err(JobError::failed)?;
        let kind = form.media_type();
        let attachment = Attachment {
            subject: subject(image)?,
            artifact_type: kind,
            media_type: kind,
            annotations: vec![
                (PRODUCER, BONDED.to_owned()),
                ("org.opencontainers.image.title", format!("sbom.{form}")),
            ],
        };
        let made =
            scanner.registry.attach(place, &attachment, bytes.into()).await.map_err(JobError::retry)?;
        for old in scanner.store().referrers_with_bytes(place.repository, &image.digest, PAGE).await? {
            let is_ours = old.artifact_type.as_deref() == Some(kind) && old.digest != made && {
                let media_type: Option<MediaType> = old.media_type.parse().ok();
                let manifest = media_type.and_then(|kind| Manifest::parse(&kind, &old.bytes).ok());
                manifest.is_some_and(|it| it.annotations.get(PRODUCER).is_some_and(|by| by == BONDED))
            };
            if is_ours {
                scanner.registry.detach(place, &old.digest).await.map_err(JobError::retry)?;
            }
        }
        context.info(format!("{form} attached in {} as {made}", place.full_name));
    }
    Ok(())
}

fn subject(image: &Image) -> Result<Descriptor, JobError> {
    let size_bytes = u64::try_from(image.manifest_bytes.len()).map_err(JobError::failed)?;
    Ok(Descriptor {
        media_type: image.manifest.media_type.clone(),
        digest: image.digest,
        size_bytes,
        artifact_type: None,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    })
}
