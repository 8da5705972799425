//! What hangs beside an image in its repository: manifests about it, and the documents in them.

use bytes::Bytes;
use metadata::model::scan::Related;
use oci::{Descriptor, Digest};

use super::Scanner;
use super::image::Image;
use crate::job::JobError;

/// Manifests about one image that are looked at; ten thousands of signatures can hang there.
const MANIFESTS: u32 = 2000;
/// Largest of them that is looked at, in bytes: all at once are in memory.
const MANIFEST_BYTES: u32 = 64 << 10;

/// The tag by which cosign names what is about an image: `sha256-HEX.att`.
fn tag_of(image: &Digest, kind: &str) -> String {
    format!("{}-{}.{kind}", image.algorithm().name(), image.hex())
}

/// The manifests about an image, referrers and what its tags of these kinds (`att`, `sbom`) name, and whether those are all.
pub(super) async fn about(
    scanner: &Scanner,
    image: &Image,
    kinds: &[&str],
) -> Result<(Vec<Related>, bool), JobError> {
    let (store, repository) = (scanner.store(), image.place.repository);
    let most = (MANIFESTS + 1, MANIFEST_BYTES);
    let mut about = store.referrers_with_bytes(repository, &image.digest, most).await?;
    let few = u32::try_from(about.len()).is_ok_and(|count| count <= MANIFESTS);
    let all = few && about.iter().all(|manifest| manifest.bytes.is_some());
    let tags: Vec<String> = kinds.iter().map(|kind| tag_of(&image.digest, kind)).collect();
    about.extend(store.tagged_with_bytes(repository, &tags).await?);
    Ok((about, all))
}

/// The bytes of a document beside an image; `what` it is to those who are told why it cannot be read.
pub(super) async fn document(
    scanner: &Scanner,
    image: &Image,
    layer: &Descriptor,
    (what, most_bytes): (&str, u64),
) -> Result<Result<Bytes, String>, JobError> {
    let open =
        scanner.registry.open_held(image.place.repository, &layer.digest).await.map_err(JobError::retry)?;
    let Some(open) = open else { return Ok(Err(format!("{what} is not there"))) };
    let bytes = open.read_all(most_bytes).await.map_err(JobError::retry)?;
    Ok(bytes.ok_or_else(|| format!("{what} has more than {most_bytes} bytes")))
}
