//! The cursor of a list of artifacts: time and digest of the one before the page, which need not exist any more.

use metadata::Timestamp;
use metadata::model::artifact::ArtifactPlace;
use registry::Error;
use registry::list::Artifact;

/// Reads a cursor; an empty one is the list's begin.
pub(super) fn place(text: &str) -> Result<Option<ArtifactPlace>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.split_once('-').and_then(|(at, digest)| {
        let pushed_at = Timestamp::from_micros(at.parse().ok()?);
        Some(ArtifactPlace { pushed_at, digest: digest.parse().ok()? })
    });
    parsed.map(Some).ok_or_else(|| Error::Invalid("`after` is not what a list said".to_owned()))
}

/// The cursor of a page after an artifact.
pub(super) fn after(artifact: &Artifact) -> String {
    let place = artifact.place();
    format!("{}-{}", place.pushed_at.micros(), place.digest)
}
