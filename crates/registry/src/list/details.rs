//! What lists show of an artifact beside its row: the children of an index, the configuration of an image.
//!
//! Both are read when they are asked for, from the manifest and the configuration's blob, within a bound: the bytes are
//! the truth, and nothing of them is stored a second time.

use std::collections::BTreeSet;

use metadata::model::RepositoryId;
use metadata::model::artifact::ArtifactRow;
use oci::{Descriptor, Digest, Manifest, MediaType};

use super::artifacts::Artifact;
use super::kind::ArtifactKind;
use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;
use crate::upload::blob_error;

/// What an artifact says about itself.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// What its configuration is, by its media type.
    pub config_type: Option<String>,
    /// The children of an index, with their platforms.
    pub children: Vec<Descriptor>,
    /// The configuration, of kinds whose configuration says something.
    pub config: Option<serde_json::Value>,
}

impl Registry {
    /// The details of an artifact; manifests and configurations over `most_bytes` are not looked into.
    pub async fn artifact_details(
        &self,
        grant: &Grant<Pull>,
        artifact: &Artifact,
        most_bytes: u64,
    ) -> Result<Details, Error> {
        if artifact.row.size_bytes > most_bytes {
            return Ok(Details::default());
        }
        let Some(manifest) = self.parsed_manifest(grant, &artifact.row).await? else {
            return Ok(Details::default());
        };
        let worth = matches!(artifact.kind, ArtifactKind::Image | ArtifactKind::Chart);
        let config = match manifest.config.as_ref().filter(|it| worth && it.size_bytes <= most_bytes) {
            Some(config) => self.small_json(grant, &config.digest, most_bytes).await?,
            None => None,
        };
        let config_type = manifest.config.map(|config| config.media_type.to_string());
        Ok(Details { config_type, children: manifest.children, config })
    }

    /// Which children of an index its repository holds.
    pub async fn children_held(
        &self,
        repository: RepositoryId,
        details: &Details,
    ) -> Result<BTreeSet<Digest>, Error> {
        if details.children.is_empty() {
            return Ok(BTreeSet::new());
        }
        let children: Vec<Digest> = details.children.iter().map(|child| child.digest).collect();
        let held = self.store.manifest_heights(repository, &children).await?;
        Ok(held.into_iter().map(|(digest, _, _)| digest).collect())
    }

    async fn parsed_manifest(
        &self,
        grant: &Grant<Pull>,
        row: &ArtifactRow,
    ) -> Result<Option<Manifest>, Error> {
        let name = grant.repo.repository();
        let stored = self.store.manifest_by_digest(grant.project, name, &row.digest).await?;
        Ok(stored.and_then(|stored| {
            let media_type: MediaType = stored.media_type.parse().ok()?;
            Manifest::parse(&media_type, &stored.bytes).ok()
        }))
    }

    /// A blob as JSON; none when it is absent, damaged or no JSON: a list does not fail for one of its entries.
    async fn small_json(
        &self,
        grant: &Grant<Pull>,
        digest: &Digest,
        most_bytes: u64,
    ) -> Result<Option<serde_json::Value>, Error> {
        let blob = match self.pull_blob(grant, digest).await {
            Ok(blob) if blob.size_bytes <= most_bytes => blob,
            Ok(_) | Err(Error::BlobUnknown | Error::Corrupt) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = self.read_blob(&blob, 0..blob.size_bytes).await?.collect().await.map_err(blob_error);
        match bytes {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(Error::Corrupt) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
