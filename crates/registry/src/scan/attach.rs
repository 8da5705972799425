//! What hangs beside artifacts: documents that scanning makes, and results of other scanners.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use metadata::model::scan::Place;
use metadata::model::{PrincipalId, RepositoryId};
use oci::{Digest, MediaType, Reference, RepoName};

use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::{ANONYMOUS, Caller, SYSTEM};
use crate::error::Error;
use crate::manifest::PulledManifest;
use crate::upload::ChunkHeaders;

/// The annotation by which a result of another scanner is known; its value is the name that it was given.
pub const SCAN_RESULT: &str = "dev.bonded.scan.result";
/// The annotation by which an uploaded bill of materials or VEX document is known; its value is the name that it was given.
pub const STATEMENT: &str = "dev.bonded.statement";
/// Referrers of one artifact that are looked at.
const REFERRERS: u32 = 2000;

/// What another scanner said, or somebody stated.
#[derive(Clone, Copy, Debug)]
pub struct ScanResult<'a> {
    /// By which annotation it is known: [`SCAN_RESULT`] or [`STATEMENT`].
    pub known_by: &'static str,
    /// The name under which it is kept.
    pub name: &'a str,
    /// Media type of the document.
    pub media_type: &'a str,
}

impl Registry {
    /// Stores a document about an artifact beside it, as a referrer of type `artifact_type`; the referrer's digest. The
    /// same document again changes nothing.
    pub async fn attach(
        &self,
        place: &Place,
        manifest: &Attachment<'_>,
        document: Bytes,
    ) -> Result<Digest, Error> {
        self.attach_as(&Caller::system(), &own_grant(place)?, place.repository, manifest, document).await
    }

    async fn attach_as(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        repository: RepositoryId,
        manifest: &Attachment<'_>,
        document: Bytes,
    ) -> Result<Digest, Error> {
        for content in [Bytes::from_static(b"{}"), document.clone()] {
            let digest = Digest::sha256(&content);
            let present = self.store.blobs_present(repository, [digest]).await?;
            if present.is_empty() {
                let body = stream::iter([Ok(content)]);
                self.put_blob(grant, &digest, ChunkHeaders::default(), body).await?;
            }
        }
        let bytes = Bytes::from(manifest.render(&document));
        let digest = Digest::sha256(&bytes);
        let media_type: MediaType =
            oci::media_type::OCI_MANIFEST.parse().map_err(|_| Error::Internal("media type".to_owned()))?;
        self.put_manifest(caller, grant, &Reference::Digest(digest), &[], &media_type, bytes).await?;
        Ok(digest)
    }

    /// Keeps what another scanner said of a manifest that the caller has read, as a referrer of it, in place of what was
    /// kept under the same name; the referrer's digest.
    pub async fn upload_scan_result(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        manifest: &PulledManifest,
        result: &ScanResult<'_>,
        document: Bytes,
    ) -> Result<Digest, Error> {
        self.may_be_about(grant, manifest.repository, &manifest.digest).await?;
        let media_type: MediaType = manifest
            .media_type
            .parse()
            .map_err(|_| Error::Internal(format!("the media type of {}", manifest.digest)))?;
        let size_bytes = u64::try_from(manifest.bytes.len()).unwrap_or(u64::MAX);
        let subject = oci::Descriptor {
            media_type,
            digest: manifest.digest,
            size_bytes,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let attachment = Attachment {
            subject,
            artifact_type: result.media_type,
            media_type: result.media_type,
            annotations: vec![(result.known_by, result.name.to_owned())],
        };
        let former = self.scan_results(manifest, result.name).await?;
        let digest = self.attach_as(caller, grant, manifest.repository, &attachment, document).await?;
        let place = self.store.place_of(manifest.repository, &manifest.digest).await?;
        for old in former.iter().filter(|old| **old != digest) {
            if let Some(place) = &place {
                self.detach_as(caller, place, old).await?;
            }
        }
        Ok(digest)
    }

    /// Takes away what was kept under a name, for who may push there.
    pub async fn delete_scan_result(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        manifest: &PulledManifest,
        name: &str,
    ) -> Result<(), Error> {
        self.may_be_about(grant, manifest.repository, &manifest.digest).await?;
        let kept = self.scan_results(manifest, name).await?;
        let place = self.store.place_of(manifest.repository, &manifest.digest).await?;
        let Some(place) = place.filter(|_| !kept.is_empty()) else {
            return Err(Error::NotFound("result of that name"));
        };
        for digest in &kept {
            self.detach_as(caller, &place, digest).await?;
        }
        Ok(())
    }

    /// Referrers that keep a result or statement under a name.
    async fn scan_results(&self, manifest: &PulledManifest, name: &str) -> Result<Vec<Digest>, Error> {
        let mut kept = Vec::new();
        for known_by in [SCAN_RESULT, STATEMENT] {
            let noted = (known_by, name);
            let found = self.store.referrers_noting(manifest.repository, &manifest.digest, noted, REFERRERS);
            kept.extend(found.await?);
        }
        Ok(kept)
    }

    /// Takes a document that scanning attached away; one that is gone already is success.
    pub async fn detach(&self, place: &Place, digest: &Digest) -> Result<(), Error> {
        self.detach_as(&Caller::system(), place, digest).await
    }

    /// The same on somebody's behalf, who may do that: in the record it is theirs, and what it causes is caused.
    async fn detach_as(&self, caller: &Caller, place: &Place, digest: &Digest) -> Result<(), Error> {
        let reference = Reference::Digest(*digest);
        match self.delete_manifest(caller, &own_grant(place)?, &reference).await {
            Err(Error::ManifestUnknown | Error::NameUnknown) => Ok(()),
            other => other,
        }
    }
}

/// The registry's own right in a repository: scanning writes what it made, and nobody's right is asked for that.
fn own_grant<R>(place: &Place) -> Result<Grant<R>, Error> {
    let repo: RepoName = place
        .full_name
        .parse()
        .map_err(|error| Error::Internal(format!("repository {}: {error}", place.full_name)))?;
    Ok(Grant {
        project: place.project,
        repo,
        principal: PrincipalId::from(ANONYMOUS),
        principal_name: SYSTEM.into(),
        tags: None,
        right: std::marker::PhantomData,
    })
}

/// A referrer that scanning makes.
#[derive(Clone, Debug)]
pub struct Attachment<'a> {
    /// What it is about.
    pub subject: oci::Descriptor,
    /// Type of the artifact.
    pub artifact_type: &'a str,
    /// Media type of the document.
    pub media_type: &'a str,
    /// Annotations of the manifest.
    pub annotations: Vec<(&'a str, String)>,
}

impl Attachment<'_> {
    /// The manifest: an OCI image manifest with an empty configuration and the document as its one layer.
    fn render(&self, document: &Bytes) -> Vec<u8> {
        let annotations: BTreeMap<_, _> =
            self.annotations.iter().map(|(key, value)| (*key, value.as_str())).collect();
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": oci::media_type::OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": {
                "mediaType": oci::media_type::OCI_EMPTY,
                "digest": Digest::sha256(b"{}"),
                "size": 2,
                "data": "e30=",
            },
            "layers": [{
                "mediaType": self.media_type,
                "digest": Digest::sha256(document),
                "size": document.len(),
            }],
            "subject": {
                "mediaType": self.subject.media_type.as_str(),
                "digest": self.subject.digest,
                "size": self.subject.size_bytes,
            },
            "annotations": annotations,
        })
        .to_string()
        .into_bytes()
    }
}
