//! An artifact as scanning sees it: which of its layers are archives, what its configuration says.

use bytes::Bytes;
use metadata::model::RepositoryId;
use metadata::model::scan::{AnyManifest, Place};
use oci::{Digest, Manifest, MediaType};
use registry::Registry;
use serde_json::Value;
use vuln::{Problem, ScanError};

use super::Scanner;
use crate::job::JobError;

/// Repositories looked at for one that holds all of an image.
const PLACES: u32 = 100;
/// Layers of one image.
const MOST_LAYERS: usize = 512;
/// Largest configuration that is read.
const CONFIG_BYTES: u64 = 8 << 20;

/// An image, chart or other artifact with layers.
#[derive(Debug)]
pub(super) struct Image {
    /// Its manifest.
    pub digest: Digest,
    /// A repository that holds it.
    pub place: Place,
    /// Its manifest, parsed.
    pub manifest: Manifest,
    /// Size of the manifest.
    pub manifest_bytes: Bytes,
}

impl Image {
    /// Digests by which statements name it: of its manifest and of its configuration.
    pub(super) fn names(&self) -> Vec<Digest> {
        std::iter::once(self.digest)
            .chain(self.manifest.config.as_ref().map(|config| config.digest))
            .collect()
    }

    /// Finds the artifact, where a repository holds all of it if one does; none: it is gone.
    pub(super) async fn find(scanner: &Scanner, digest: &Digest) -> Result<Option<Self>, JobError> {
        let found = scanner.store().manifest_anywhere(digest).await?;
        let Some(AnyManifest { place, media_type, bytes }) = found else { return Ok(None) };
        let mut image = Self::parse(*digest, place, &media_type, bytes)?;
        if image.is_whole(scanner).await? {
            return Ok(Some(image));
        }
        let first = image.place.clone();
        for place in scanner.store().places_of(digest, first.repository, PLACES).await? {
            image.place = place;
            if image.is_whole(scanner).await? {
                return Ok(Some(image));
            }
        }
        image.place = first;
        Ok(Some(image))
    }

    /// The artifact in this repository; none: it is gone from there.
    pub(super) async fn held(
        scanner: &Scanner,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<Self>, JobError> {
        let Some(place) = scanner.store().place_of(repository, digest).await? else { return Ok(None) };
        let held = scanner.store().manifest_held(repository, digest).await?;
        let Some((media_type, bytes)) = held else { return Ok(None) };
        Self::parse(*digest, place, &media_type, bytes).map(Some)
    }

    /// Whether its repository holds its layers. A manifest may name blobs that are not there – and that others hold: what
    /// these contain is nobody's business here.
    pub(super) async fn is_whole(&self, scanner: &Scanner) -> Result<bool, JobError> {
        let mut wanted = self.layers();
        wanted.sort_unstable();
        wanted.dedup();
        let held = scanner.store().blobs_present(self.place.repository, wanted.iter().copied()).await?;
        Ok(held.len() == wanted.len())
    }

    /// The artifact of a stored manifest.
    pub(super) fn parse(
        digest: Digest,
        place: Place,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Self, JobError> {
        let media_type: MediaType = media_type.parse().map_err(JobError::failed)?;
        let manifest = Manifest::parse(&media_type, &bytes).map_err(JobError::failed)?;
        Ok(Self { digest, place, manifest, manifest_bytes: bytes })
    }

    /// Layers that are archives of files, lowest first.
    pub(super) fn layers(&self) -> Vec<Digest> {
        let archives = self.manifest.layers.iter().filter(|layer| layer.media_type.as_str().contains("tar"));
        archives.map(|layer| layer.digest).collect()
    }

    /// Refuses what no image has: each layer costs memory wherever it is named.
    pub(super) fn check_size(&self) -> Result<(), JobError> {
        check_count(self.manifest.layers.len())
    }

    /// Whether there is nothing in it that could be read: an index, a signature, a document.
    pub(super) fn is_opaque(&self) -> bool {
        !self.manifest.children.is_empty() || self.layers().is_empty()
    }

    /// What it is about, if it is about something else.
    pub(super) fn is_about_another(&self) -> bool {
        self.manifest.subject.is_some()
    }

    /// Whether it is an image with its configuration.
    fn has_config(&self) -> bool {
        self.manifest.config.as_ref().is_some_and(|config| config.media_type.as_str().contains("image"))
    }

    /// Layers of an image that nothing here can read.
    pub(super) fn unread_layers(&self) -> Vec<Problem> {
        let archive = |layer: &&oci::Descriptor| layer.media_type.as_str().contains("tar");
        let unread = self.manifest.layers.iter().filter(|layer| self.has_config() && !archive(layer));
        unread.map(|layer| unread_layer(layer.digest.to_string(), layer.media_type.as_str())).collect()
    }

    /// The configuration, if it is one of an image.
    pub(super) async fn config(&self, registry: &Registry) -> Result<Option<Value>, JobError> {
        let Some(config) = self.manifest.config.as_ref().filter(|_| self.has_config()) else {
            return Ok(None);
        };
        let open =
            registry.open_held(self.place.repository, &config.digest).await.map_err(JobError::retry)?;
        let Some(open) = open else { return Ok(None) };
        let bytes = open.read_all(CONFIG_BYTES).await.map_err(JobError::retry)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// Refuses more layers than any image has.
pub(super) fn check_count(layers: usize) -> Result<(), JobError> {
    match layers {
        count if count > MOST_LAYERS => {
            Err(JobError::failed(format!("limit layers reached: {count}, at most {MOST_LAYERS}")))
        }
        _ => Ok(()),
    }
}

/// A layer of an image that nothing here can read.
pub(super) fn unread_layer(digest: String, media_type: &str) -> Problem {
    Problem {
        source: "layers".to_owned(),
        path: digest,
        message: format!("a layer of the type {media_type} cannot be read"),
    }
}

/// The diffIDs that a configuration states are those of the layers: else it describes other content.
pub(super) fn check_layers(config: Option<&Value>, found: &[Option<Digest>]) -> Result<(), ScanError> {
    let stated = config.and_then(|config| config.pointer("/rootfs/diff_ids")?.as_array());
    let Some(stated) = stated else { return Ok(()) };
    for (stated, found) in stated.iter().filter_map(Value::as_str).zip(found) {
        if found.is_some_and(|found| found.to_string() != stated) {
            let found = found.map_or_else(String::new, |digest| digest.to_string());
            return Err(ScanError::Malformed {
                what: "layer",
                why: format!("content is {found}, configuration states {stated}"),
            });
        }
    }
    Ok(())
}
