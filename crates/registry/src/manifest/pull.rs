//! Pulling a manifest: one indexed read.

use bytes::Bytes;
use metadata::model::RepositoryId;
use oci::{Digest, Reference};

use crate::Registry;
use crate::access::{Grant, Pull};
use crate::caller::Caller;
use crate::error::Error;
use crate::last_known::Place;
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
    /// It is what was served last, because the database cannot be asked: its tag may have moved.
    pub last_known: bool,
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

    /// The manifest that `reference` names; as it was served last while the database cannot be asked.
    pub async fn pull_manifest(
        &self,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        if grant.tags().is_some() {
            // What was known last is not known for a caller: who sees only some tags waits for the database.
            return self.find_manifest(grant, reference).await;
        }
        let place = Place { project: grant.project, repository: grant.repo.repository() };
        if self.access.is_cut_off()
            && let Some(known) = self.last_known.manifest(place, reference)
        {
            return Ok(known);
        }
        let found = self.find_manifest(grant, reference).await;
        match &found {
            Err(Error::Unavailable) => {
                return self.last_known.manifest(place, reference).ok_or(Error::Unavailable);
            }
            Ok(manifest) => self.last_known.note_manifest(place, reference, Some(manifest)),
            Err(_) => self.last_known.note_manifest(place, reference, None),
        }
        found
    }

    async fn find_manifest(
        &self,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let name = grant.repo.repository();
        let found = match reference {
            Reference::Tag(tag) => self.store.manifest_by_tag(grant.project, name, tag.as_str()).await?,
            Reference::Digest(digest) => self.store.manifest_by_digest(grant.project, name, digest).await?,
        };
        let shown = match (&found, reference) {
            (Some(row), Reference::Tag(tag)) => self.covers_tag(grant, row.repository, tag).await?,
            (Some(row), Reference::Digest(digest)) => {
                self.covers_manifest(grant, row.repository, digest).await?
            }
            (None, _) => false,
        };
        match found.filter(|_| shown) {
            Some(row) => Ok(PulledManifest {
                digest: row.digest,
                media_type: row.media_type,
                bytes: row.bytes,
                repository: row.repository,
                last_known: false,
            }),
            None if self.store.repository(grant.project, name).await?.is_some() => {
                Err(Error::ManifestUnknown)
            }
            None => Err(Error::NameUnknown),
        }
    }
}
