//! Pulling a manifest: one indexed read.

use bytes::Bytes;
use metadata::model::RepositoryId;
use oci::{Digest, Reference};

use crate::Registry;
use crate::access::{Grant, Pull};
use crate::caller::Caller;
use crate::error::Error;
use crate::notes::Note;

/// A manifest to be sent, bytes exactly as they were pushed.
#[derive(Clone, Debug)]
pub struct PulledManifest {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Media type it was pushed with.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
    /// Its repository, for counting.
    pub repository: RepositoryId,
}

impl Registry {
    /// Records that a manifest was pulled, where that is wanted.
    pub async fn note_pull(
        &self,
        caller: &Caller,
        grant: &Grant<Pull>,
        reference: &Reference,
        pulled: &PulledManifest,
    ) -> Result<(), Error> {
        if !self.settings.audit_pulls {
            return Ok(());
        }
        let target = match reference {
            Reference::Tag(tag) => format!("{}:{tag}@{}", grant.repo, pulled.digest),
            Reference::Digest(digest) => format!("{}@{digest}", grant.repo),
        };
        let note =
            Note { action: "manifest.get", project: Some(grant.project), target: &target, outcome: "done" };
        Ok(self.notes.note(caller, note).await?)
    }

    /// The manifest that `reference` names.
    pub async fn pull_manifest(
        &self,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let name = grant.repo.repository();
        let found = match reference {
            Reference::Tag(tag) => self.store.manifest_by_tag(grant.project, name, tag.as_str()).await?,
            Reference::Digest(digest) => self.store.manifest_by_digest(grant.project, name, digest).await?,
        };
        match found {
            Some(row) => Ok(PulledManifest {
                digest: row.digest,
                media_type: row.media_type,
                bytes: row.bytes,
                repository: row.repository,
            }),
            None if self.store.repository(grant.project, name).await?.is_some() => {
                Err(Error::ManifestUnknown)
            }
            None => Err(Error::NameUnknown),
        }
    }
}
