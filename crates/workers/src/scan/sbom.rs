//! Our own bills of materials, attached to images as referrers, and as signed attestations where there is a key.
//!
//! A document depends on the image and the extractors only, so that scanning again attaches nothing new. One that former
//! extractors made is replaced. What is attached names the document it was made of, because a signature is another one
//! each time.

use std::collections::BTreeMap;

use metadata::model::RepositoryId;
use metadata::model::scan::Place;
use oci::{Descriptor, Digest, Manifest};
use registry::scan::Attachment;
use vuln::sbom::{self, Document, Format};

use super::Scanner;
use super::attest::{self, BUNDLE};
use super::image::Image;
use super::quiet::quietly;
use crate::context::JobContext;
use crate::job::JobError;

/// The annotation by which what we attached is known; its value is the form.
pub(super) const PRODUCER: &str = "dev.bonded.sbom.form";
/// The annotation that names the document.
const DOCUMENT: &str = "dev.bonded.sbom.document";
/// Repositories read at once.
const PAGE: u32 = 100;
/// Referrers of an image among which ours are looked for.
pub(super) const REFERRERS: u32 = 2000;
/// Largest manifest that we attach, in bytes.
const ATTACHED_BYTES: u32 = 64 << 10;

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
    let (mut last, mut count) = (RepositoryId::from(0), 0);
    loop {
        let places = scanner.store().places_of(&image.digest, last, PAGE).await?;
        let Some(end) = places.last() else {
            // Which ones is nobody's business who may see only some of them.
            context.info(format!("bills of materials are attached in {count} repositories"));
            return Ok(());
        };
        last = end.repository;
        for place in &places {
            context.check()?;
            let decided = scanner.registry.scanning_in(place.project).await.map_err(JobError::retry)?;
            if decided.sbom != Some(false) {
                in_place(scanner, image, document, place).await?;
                count += 1;
            }
        }
    }
}

/// The same in the image's own place.
pub(super) async fn attach_here(
    scanner: &Scanner,
    image: &Image,
    document: &Document,
) -> Result<(), JobError> {
    let decided = scanner.registry.scanning_in(image.place.project).await.map_err(JobError::retry)?;
    if decided.sbom == Some(false) {
        return Ok(());
    }
    in_place(scanner, image, document, &image.place).await
}

async fn in_place(
    scanner: &Scanner,
    image: &Image,
    document: &Document,
    place: &Place,
) -> Result<(), JobError> {
    let mut document = document.clone();
    document.subject.name.clone_from(&place.full_name);
    let there = attached(scanner, image, place).await?;
    for form in &scanner.settings.sbom {
        let (written, form_of) = (document.clone(), *form);
        let write = move || sbom::write(&written, form_of).map(|bytes| (Digest::sha256(&bytes), bytes));
        let (wanted, bytes) = quietly("sbom", write).await?.map_err(JobError::failed)?;
        let plain =
            Wanted { kind: form.media_type(), form: *form, document: wanted, annotations: Vec::new() };
        plain.put(scanner, image, place, &there, || Some(bytes.clone())).await?;
        let signer = scanner.settings.signer.as_ref().filter(|_| attest::can_state(*form));
        if let Some(signer) = signer {
            let annotations = vec![
                ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
                ("dev.sigstore.bundle.predicateType", attest::predicate_type(*form).to_owned()),
            ];
            let signed = Wanted { kind: BUNDLE, annotations, ..plain };
            let make = || signer.bundle(&place.full_name, &image.digest, *form, &bytes);
            signed.put(scanner, image, place, &there, make).await?;
        }
    }
    Ok(())
}

/// What we attached already: type, form and document, by digest.
async fn attached(
    scanner: &Scanner,
    image: &Image,
    place: &Place,
) -> Result<BTreeMap<Digest, (String, String, String)>, JobError> {
    let mut found = BTreeMap::new();
    let most = (REFERRERS, ATTACHED_BYTES);
    for old in scanner.store().referrers_with_bytes(place.repository, &image.digest, most).await? {
        let Some(Manifest { annotations, .. }) = old.manifest() else { continue };
        if let (Some(form), Some(document)) = (annotations.get(PRODUCER), annotations.get(DOCUMENT)) {
            let kind = old.artifact_type.unwrap_or_default();
            found.insert(old.digest, (kind, form.clone(), document.clone()));
        }
    }
    Ok(found)
}

/// One thing to be attached.
struct Wanted {
    kind: &'static str,
    form: Format,
    document: Digest,
    annotations: Vec<(&'static str, String)>,
}

impl Wanted {
    /// Attaches it unless it is there, and takes away what former extractors made in its place.
    async fn put(
        &self,
        scanner: &Scanner,
        image: &Image,
        place: &Place,
        there: &BTreeMap<Digest, (String, String, String)>,
        make: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<(), JobError> {
        let (form, document) = (self.form.to_string(), self.document.to_string());
        let same = |(kind, known, _): &&(String, String, String)| kind == self.kind && *known == form;
        if !there.values().filter(same).any(|(_, _, known)| *known == document) {
            let bytes = make().ok_or_else(|| JobError::retry("an attestation could not be signed"))?;
            let mut annotations = vec![(PRODUCER, form.clone()), (DOCUMENT, document.clone())];
            annotations.extend(self.annotations.iter().cloned());
            let attachment = Attachment {
                subject: subject(image)?,
                artifact_type: self.kind,
                media_type: self.kind,
                annotations,
            };
            scanner.registry.attach(place, &attachment, bytes.into()).await.map_err(JobError::retry)?;
        }
        for (digest, old) in there {
            if same(&old) && old.2 != document {
                scanner.registry.detach(place, digest).await.map_err(JobError::retry)?;
            }
        }
        Ok(())
    }
}

/// The artifact as what hangs on it names it.
pub(super) fn subject(image: &Image) -> Result<Descriptor, JobError> {
    let size_bytes = u64::try_from(image.manifest_bytes.len()).map_err(JobError::failed)?;
    Ok(Descriptor {
        media_type: image.manifest.media_type.clone(),
        digest: image.digest,
        size_bytes,
        artifact_type: None,
        platform: None,
        annotations: BTreeMap::new(),
    })
}
