//! Bills of materials that others hung beside an image: referrers, cosign's `.sbom` and `.att` tags, BuildKit's
//! attestation manifests in the image's index.
//!
//! They are statements, not observations: what they name is judged too, what our own reading saw stays. They count in
//! the reports of their own repository only: an image is the same everywhere, what people hang beside it is not. Nobody's
//! signature is verified here, so that none counts as attested. A document that cannot be read is a problem of the scan,
//! which is then incomplete.

use bytes::Bytes;
use metadata::model::scan::Related;
use oci::{Descriptor, Digest, Manifest};
use registry::scan::SCAN_RESULT;
use vuln::sbom::{self, Limits, Provenance, Strictness};
use vuln::{Inventory, Problem};

use super::image::Image;
use super::statement::{self, Content};
use super::{Scanner, beside, sbom as own};
use crate::job::JobError;

/// Largest document that is read.
const DOCUMENT_BYTES: u64 = 16 << 20;
/// Indexes that list one image and are looked at.
const INDEXES: u32 = 200;
/// Documents that are read.
const DOCUMENTS: usize = 8;

/// What others say of an image.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// What is in it, as they say.
    pub inventories: Vec<(Provenance, Inventory)>,
    /// Documents that could not be read.
    pub problems: Vec<Problem>,
}

/// A blob that may hold a bill of materials.
struct Candidate {
    layer: Descriptor,
    provenance: Provenance,
}

/// Reads what hangs beside an image in the repository where it was found.
pub(super) async fn read(scanner: &Scanner, image: &Image) -> Result<Foreign, JobError> {
    let mut foreign = Foreign::default();
    let (candidates, all) = candidates(scanner, image).await?;
    if !all || candidates.len() > DOCUMENTS {
        foreign.problems.push(Problem {
            source: "sbom".to_owned(),
            path: String::new(),
            message: format!(
                "too much hangs beside the image: at most {DOCUMENTS} bills of materials are read"
            ),
        });
    }
    for Candidate { layer, provenance } in candidates.into_iter().take(DOCUMENTS) {
        match document(scanner, image, &layer).await? {
            Ok(Some(inventory)) => foreign.inventories.push((provenance, inventory)),
            Ok(None) => {}
            Err(message) => foreign.problems.push(Problem {
                source: "sbom".to_owned(),
                path: layer.digest.to_string(),
                message: format!("a bill of materials beside the image cannot be used: {message}"),
            }),
        }
    }
    Ok(foreign)
}

/// What may be a bill of materials, and whether that is all of it.
async fn candidates(scanner: &Scanner, image: &Image) -> Result<(Vec<Candidate>, bool), JobError> {
    let store = scanner.store();
    let repository = image.place.repository;
    let mut found = Vec::new();
    let (about, all) = beside::about(scanner, image, &["att", "sbom"]).await?;
    for manifest in about.iter().filter_map(Related::manifest) {
        if manifest.annotations.contains_key(own::PRODUCER) || manifest.annotations.contains_key(SCAN_RESULT)
        {
            continue;
        }
        let uploaded = |layer| Candidate { layer, provenance: Provenance::Uploaded };
        found.extend(manifest.layers.into_iter().filter(may_be_document).map(uploaded));
    }
    for index in store.indexes_of(repository, &image.digest, INDEXES).await? {
        let Some(index) = index.manifest() else { continue };
        for attestation in attestations(&index, &image.digest) {
            let Some((media_type, bytes)) = store.manifest_held(repository, &attestation).await? else {
                continue;
            };
            let Ok(media_type) = media_type.parse() else { continue };
            let Ok(manifest) = Manifest::parse(&media_type, &bytes) else { continue };
            let declared = |layer| Candidate { layer, provenance: Provenance::Declared };
            found.extend(manifest.layers.into_iter().filter(may_be_document).map(declared));
        }
    }
    Ok((found, all))
}

/// BuildKit's manifests in an index that are about one of its images.
fn attestations(index: &Manifest, image: &Digest) -> Vec<Digest> {
    let about = |child: &&Descriptor| {
        let note = |key: &str| child.annotations.get(key).map(String::as_str);
        note("vnd.docker.reference.type") == Some("attestation-manifest")
            && note("vnd.docker.reference.digest") == Some(&image.to_string())
    };
    index.children.iter().filter(about).map(|child| child.digest).collect()
}

/// Whether a blob's media type is one of bills of materials or of statements that may hold one.
fn may_be_document(layer: &Descriptor) -> bool {
    let media_type = layer.media_type.as_str();
    // What says that it states something else is left alone.
    if statement::kind_of(layer, None).is_some_and(|kind| !is_bill(kind)) {
        return false;
    }
    is_bill(media_type) || statement::may_hold_one(media_type)
}

fn is_bill(kind: &str) -> bool {
    ["spdx", "cyclonedx", "syft"].iter().any(|name| kind.to_ascii_lowercase().contains(name))
}

/// The inventory of a document; `None`: it is a statement about something else. The inner error is the document's.
async fn document(
    scanner: &Scanner,
    image: &Image,
    layer: &Descriptor,
) -> Result<Result<Option<Inventory>, String>, JobError> {
    let bytes = match beside::document(scanner, image, layer, ("it", DOCUMENT_BYTES)).await? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let own = image.names();
    tokio::task::spawn_blocking(move || inventory(&bytes, &own)).await.map_err(JobError::retry)
}

fn inventory(bytes: &Bytes, own: &[Digest]) -> Result<Option<Inventory>, String> {
    let bill = match statement::unwrap(bytes, is_bill)? {
        Content::Wanted(stated) => stated.about(own)?,
        Content::Other => return Ok(None),
        Content::Plain => bytes.to_vec(),
    };
    let reading =
        sbom::read(&bill, Strictness::Lenient, &Limits::default()).map_err(|error| error.to_string())?;
    Ok(Some(reading.document.inventory))
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    const BILL: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[
        {"type":"library","name":"log4j-core","group":"org.apache.logging.log4j","version":"2.14.1",
         "purl":"pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"}]}"#;

    fn names(bytes: String) -> Result<Option<Vec<String>>, String> {
        let found = inventory(&bytes.into(), &[])?;
        Ok(found.map(|it| it.packages.into_iter().map(|package| package.name).collect()))
    }

    #[test]
    fn bills_are_found_plain_in_statements_and_in_envelopes() {
        let expected = Ok(Some(vec!["log4j-core".to_owned()]));
        assert_eq!(names(BILL.to_owned()), expected);
        let statement =
            format!(r#"{{"_type":"x","predicateType":"https://cyclonedx.org/bom","predicate":{BILL}}}"#);
        assert_eq!(names(statement.clone()), expected);
        let payload = BASE64.encode(statement.as_bytes());
        assert_eq!(
            names(format!(r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}"}}"#)),
            expected
        );
        assert_eq!(names(format!(r#"{{"dsseEnvelope":{{"payload":"{payload}"}}}}"#)), expected);
    }

    #[test]
    fn other_statements_are_passed_over_and_broken_documents_are_said() {
        assert_eq!(
            names(r#"{"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}"#.to_owned()),
            Ok(None)
        );
        assert!(names(r#"{"payload":"%"}"#.to_owned()).is_err());
        assert!(names("{".to_owned()).is_err());
    }
}
