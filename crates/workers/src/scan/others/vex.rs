//! VEX documents that hang beside an image: OpenVEX or CSAF, attached as they are (`oras attach`, `vexctl`),
//! as attestations (`cosign attest --type openvex`) or uploaded.
//!
//! They take findings away, so that they count only where the administrators of a project say that who may push there may
//! do that (`vex` of its scanning). A document that cannot be read excuses nothing and makes the verdict incomplete, so
//! that somebody looks at it.

use bytes::Bytes;
use metadata::model::scan::Related;
use oci::{Descriptor, Digest, Manifest};
use vuln::Problem;
use vuln::matching::VexDocument;

use super::super::image::Image;
use super::super::statement::{self, Content};
use super::super::{Scanner, beside};
use crate::job::JobError;

/// Largest document that is read, in bytes.
pub(super) const DOCUMENT_BYTES: u64 = 4 << 20;
/// Documents of one image that are read.
const DOCUMENTS: usize = 32;

/// What lets findings of an image not count.
#[derive(Debug, Default)]
pub(in crate::scan) struct Excuses {
    /// Identifiers of the allow-list.
    pub allowed: Vec<String>,
    /// VEX documents, the one that was attached last at the end: it decides where two speak of the same.
    pub vex: Vec<VexDocument>,
    /// Documents that could not be read.
    pub problems: Vec<Problem>,
}

/// Reads the VEX documents beside an image whose project lets them count.
pub(super) async fn read(scanner: &Scanner, image: &Image) -> Result<Excuses, JobError> {
    let mut excuses = Excuses::default();
    let mut problem = |path: String, message: String| {
        excuses.problems.push(Problem { source: "vex".to_owned(), path, message });
    };
    let (mut about, all) = beside::about(scanner, image, &["att"]).await?;
    about.sort_by_key(|manifest| manifest.pushed_at);
    let mut found: Vec<Candidate> =
        about.iter().filter_map(Related::manifest).flat_map(|it| candidates(&it)).collect();
    if !all || found.len() > DOCUMENTS {
        let message = format!("too much hangs beside the image: at most {DOCUMENTS} VEX documents are read");
        problem(String::new(), message);
    }
    for candidate in found.split_off(found.len().saturating_sub(DOCUMENTS)) {
        match document(scanner, image, &candidate).await? {
            Ok(document) => excuses.vex.extend(document),
            Err(why) => problem(
                candidate.layer.digest.to_string(),
                format!("a VEX document beside the image cannot be used: {why}"),
            ),
        }
    }
    Ok(excuses)
}

/// A blob that may hold a VEX document.
struct Candidate {
    layer: Descriptor,
    /// Whether it says so; else it is a statement that does not say what it states.
    declared: bool,
}

/// The blobs of a manifest that may be VEX documents.
fn candidates(manifest: &Manifest) -> Vec<Candidate> {
    let bundle = statement::bundle_kind(manifest);
    let whole = manifest.artifact_type.as_deref().is_some_and(is_vex);
    let candidate = |layer: &Descriptor| {
        let media_type = layer.media_type.as_str();
        let kind = statement::kind_of(layer, bundle);
        let declared = kind.map_or(whole || is_vex(media_type), is_vex);
        let silent = kind.is_none() && statement::may_hold_one(media_type);
        (declared || silent).then(|| Candidate { layer: layer.clone(), declared })
    };
    manifest.layers.iter().filter_map(candidate).collect()
}

/// Whether something about an artifact may hold one.
pub(super) fn may_hold_one(manifest: &Manifest) -> bool {
    !candidates(manifest).is_empty()
}

/// Whether a media type or a predicate's type is one of VEX.
fn is_vex(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    ["openvex", "csaf", "vex+json"].iter().any(|name| kind.contains(name))
}

/// The document in a blob; none: it is a statement about something else. The inner error is the document's.
async fn document(
    scanner: &Scanner,
    image: &Image,
    Candidate { layer, declared }: &Candidate,
) -> Result<Result<Option<VexDocument>, String>, JobError> {
    let bytes = match beside::document(scanner, image, layer, ("it", DOCUMENT_BYTES)).await? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let (name, declared, own) = (layer.digest.to_string(), *declared, image.names());
    let parse = move || parse(&name, &bytes, declared, &own);
    tokio::task::spawn_blocking(parse).await.map_err(JobError::retry)
}

fn parse(name: &str, bytes: &Bytes, declared: bool, own: &[Digest]) -> Result<Option<VexDocument>, String> {
    let stated = match statement::unwrap(bytes, is_vex) {
        Ok(Content::Wanted(stated)) => stated.about(own)?,
        Ok(Content::Plain) if declared => bytes.to_vec(),
        Ok(Content::Other | Content::Plain) => return Ok(None),
        Err(_) if !declared => return Ok(None),
        Err(error) => return Err(error),
    };
    VexDocument::parse(name, &stated).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use serde_json::json;

    use super::*;

    const VEX: &str = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"a","author":"x","timestamp":"2026-01-01T00:00:00Z",
        "statements":[{"vulnerability":{"name":"CVE-2024-1"},"products":[{"@id":"pkg:npm/lodash"}],"status":"fixed"}]}"#;

    #[test]
    fn documents_are_found_plain_and_in_attestations_and_others_passed_over() {
        let own = [Digest::sha256(b"image"), Digest::sha256(b"configuration")];
        let read =
            |text: &str, declared| parse("n", &Bytes::copy_from_slice(text.as_bytes()), declared, &own);
        let ids = |text: &str| read(text, true).map(|it| it.map(|it| it.id));
        assert_eq!(ids(VEX), Ok(Some("a".to_owned())));
        let of = |kind: &str| format!(r#"{{"predicateType":"{kind}","predicate":{VEX}}}"#);
        let wrapped = |text: &str| format!(r#"{{"payload":"{}"}}"#, BASE64.encode(text.as_bytes()));
        assert_eq!(ids(&of("https://openvex.dev/ns/v0.2.0")), Ok(Some("a".to_owned())));
        assert_eq!(ids(&wrapped(&of("https://openvex.dev/ns"))), Ok(Some("a".to_owned())));
        assert_eq!(ids(&wrapped(&of("https://slsa.dev/provenance/v1"))), Ok(None));
        assert!(ids("{}").is_err());
        let about = |what: &[u8]| {
            let digest = json!([{ "name": "x", "digest": { "sha256": Digest::sha256(what).hex() } }]);
            format!(r#"{{"predicateType":"https://openvex.dev/ns","subject":{digest},"predicate":{VEX}}}"#)
        };
        assert_eq!(ids(&about(b"image")), Ok(Some("a".to_owned())));
        assert_eq!(ids(&about(b"configuration")), Ok(Some("a".to_owned())));
        assert!(ids(&about(b"another image")).is_err_and(|why| why.contains("not about this image")));
        // What does not say that it is one is none, rather than a broken one.
        assert!(matches!((read("{}", false), read(r#"{"payload":"%"}"#, false)), (Ok(None), Ok(None))));
    }
}
