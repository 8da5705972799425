//! What hangs beside an image in its repository: manifests about it, and the documents in them.

use bytes::Bytes;
use metadata::model::scan::Related;
use oci::{Descriptor, Digest};

use super::Scanner;
use super::image::Image;
use crate::job::JobError;

/// Manifests about one image that are looked at.
const MANIFESTS: u32 = 2000;

/// The tag by which cosign names what is about an image: `sha256-HEX.att`.
pub(super) fn tag_of(image: &Digest, kind: &str) -> String {
    format!("{}-{}.{kind}", image.algorithm().name(), image.hex())
}

/// The manifests about an image, referrers and what its `.att` tag names, and whether those are all.
pub(super) async fn about(scanner: &Scanner, image: &Image) -> Result<(Vec<Related>, bool), JobError> {
    let (store, repository) = (scanner.store(), image.place.repository);
    let mut about = store.referrers_with_bytes(repository, &image.digest, MANIFESTS + 1).await?;
    let all = u32::try_from(about.len()).is_ok_and(|count| count <= MANIFESTS);
    about.extend(store.tagged_with_bytes(repository, &[tag_of(&image.digest, "att")]).await?);
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
