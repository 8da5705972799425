//! Scans as the request path sees them: what is known of artifacts, asking for a scan, stopping it, its log; and what
//! scanning writes. The scanning itself is the workers' work.
//!
//! What is known of a digest is shared by all repositories that hold it; a grant on one of them is the proof that the
//! caller may know it.

use std::collections::{BTreeSet, HashMap};

use blobs::{BlobBody, BlobKey, OpenBlob};
use bytes::Bytes;
use futures_util::stream;
use metadata::jobs::{self, JobState, LogLine, NewJob};
use metadata::model::scan::{Place, ScanRow};
use metadata::model::{PrincipalId, RepositoryId};
use oci::{Digest, MediaType, Reference, RepoName};

use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::{ANONYMOUS, Caller, SYSTEM};
use crate::error::Error;
use crate::manifest::PulledManifest;
use crate::upload::{ChunkHeaders, blob_error};

/// Kinds of jobs of which an artifact's scan consists, in their order; their key is its digest.
pub const STAGES: [&str; 2] = ["catalogue", "judge"];
/// Images of one index that are scanned.
const MOST_IMAGES: usize = 200;
/// Lines of a scan's log that are shown.
const LINES: u32 = 1000;

/// What is known of an artifact.
#[derive(Clone, Debug, Default)]
pub struct ArtifactScan {
    /// The newest attempt and the last verdict; none: it was never looked at.
    pub row: Option<ScanRow>,
    /// The same of the images of an index.
    pub children: Vec<ScanRow>,
    /// Images of an index of which nothing is known: it is not clean.
    pub unknown: u64,
    /// Whether a scan waits or runs.
    pub active: Option<JobState>,
}

impl Registry {
    /// What is known of manifests of one repository.
    pub async fn scans_of(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, ArtifactScan>, Error> {
        let mut known: HashMap<Digest, ArtifactScan> = HashMap::new();
        for row in self.store.scans(digests).await? {
            let digest = row.digest;
            known.entry(digest).or_default().row = Some(row);
        }
        let mut shown_by: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (index, child, row) in self.store.scans_of_children(repository, digests).await? {
            let scan = known.entry(index).or_default();
            match row {
                Some(row) => scan.children.push(row),
                None => scan.unknown += 1,
            }
            shown_by.entry(child).or_default().push(index);
        }
        let keys: BTreeSet<Digest> = digests.iter().chain(shown_by.keys()).copied().collect();
        for (key, state) in self.store.active_keys(&STAGES, keys.iter().map(Digest::to_string)).await? {
            let Ok(digest) = key.parse() else { continue };
            let indexes = shown_by.get(&digest).into_iter().flatten().copied();
            for digest in indexes.chain(digests.contains(&digest).then_some(digest)) {
                let scan = known.entry(digest).or_default();
                // Of a job that runs and its successor that waits, the one that runs is shown.
                if scan.active != Some(JobState::Running) {
                    scan.active = Some(state);
                }
            }
        }
        Ok(known)
    }

    /// What is known of a manifest that the caller has read.
    pub async fn scan_of(&self, manifest: &PulledManifest) -> Result<ArtifactScan, Error> {
        let mut known = self.scans_of(manifest.repository, &[manifest.digest]).await?;
        Ok(known.remove(&manifest.digest).unwrap_or_default())
    }

    /// Enqueues scans of an artifact, for who may push there. `make` gives the job of one image's digest; an index is
    /// all of its images.
    pub async fn ask_for_scan(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        manifest: &PulledManifest,
        make: impl Fn(&Digest) -> NewJob + Send,
    ) -> Result<(), Error> {
        let images = self.images_of(manifest).await?;
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let target = format!("{}@{}", grant.repo, manifest.digest);
        self.record(&mut tx, caller, "scan.ask", Some(grant.project), &target).await?;
        for image in &images {
            jobs::enqueue(
                &mut tx,
                self.store.next_id().await?,
                now,
                make(image).project(grant.project.get()),
            );
        }
        Ok(self.store.commit(tx).await?)
    }

    /// Stops what waits or runs of an artifact's scan for this project, for who may push there: what others asked for, who
    /// hold the same artifact, goes on. The last verdict stands.
    pub async fn stop_scan(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        manifest: &PulledManifest,
    ) -> Result<(), Error> {
        let mut active = Vec::new();
        for image in self.images_of(manifest).await? {
            active.extend(self.store.active_jobs_of(&STAGES, &image.to_string(), grant.project).await?);
        }
        for job in active {
            let mut tx = self.store.begin().await?;
            let target = format!("{}@{}", grant.repo, manifest.digest);
            self.record(&mut tx, caller, "scan.stop", Some(grant.project), &target).await?;
            jobs::cancel(&mut tx, job, self.store.now());
            match self.store.commit(tx).await {
                // It has ended meanwhile.
                Err(error) if error.conflicts_at(jobs::NOT_ACTIVE) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The log of the newest attempt to scan a manifest that the caller has read.
    pub async fn scan_log(&self, manifest: &PulledManifest) -> Result<Vec<LogLine>, Error> {
        let scan = self.scan_of(manifest).await?;
        let mut lines = Vec::new();
        for job in scan.row.iter().chain(&scan.children).filter_map(|row| row.job) {
            lines.extend(jobs::log_lines(&self.store, job, 0, LINES).await?);
        }
        lines.sort_by_key(|line| (line.at, line.id));
        Ok(lines)
    }

    /// The image that a manifest is, or those of an index that the repository holds, indexes in it included.
    async fn images_of(&self, manifest: &PulledManifest) -> Result<Vec<Digest>, Error> {
        let (mut images, mut open) =
            (Vec::new(), vec![(manifest.media_type.clone(), manifest.bytes.clone())]);
        let mut seen = BTreeSet::new();
        while let Some((media_type, bytes)) = open.pop() {
            let media_type: MediaType = media_type
                .parse()
                .map_err(|_| Error::Internal(format!("a media type below {}", manifest.digest)))?;
            for child in oci::Manifest::parse(&media_type, &bytes)?.children {
                if !seen.insert(child.digest) || seen.len() > MOST_IMAGES {
                    continue;
                }
                let held = self.store.manifest_held(manifest.repository, &child.digest).await?;
                let Some((media_type, bytes)) = held else { continue };
                match media_type.contains("index") || media_type.contains("manifest.list") {
                    true => open.push((media_type, bytes)),
                    false => images.push(child.digest),
                }
            }
        }
        Ok(if seen.is_empty() { vec![manifest.digest] } else { images })
    }

    /// Opens a blob that a repository holds, for work that no caller asked for; none: it is not there, or out of service.
    pub async fn open_held(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<OpenBlob>, Error> {
        if self.store.blobs_present(repository, [*digest]).await?.is_empty() {
            return Ok(None);
        }
        let Some(row) = self.store.blob(digest).await?.filter(|row| !row.corrupt) else { return Ok(None) };
        let key = BlobKey::parse(&row.object_key)
            .map_err(|_| Error::Internal(format!("blob {digest} has no object key")))?;
        self.reader.open(key, row.size_bytes).await.map_err(blob_error)
    }

    /// Reads a range of an opened blob.
    pub async fn read_stored(&self, open: &OpenBlob, range: std::ops::Range<u64>) -> Result<BlobBody, Error> {
        open.body(range).await.map_err(blob_error)
    }

    /// Stores a document about an artifact beside it, as a referrer of type `artifact_type`; the referrer's digest. The
    /// same document again changes nothing.
    pub async fn attach(
        &self,
        place: &Place,
        manifest: &Attachment<'_>,
        document: Bytes,
    ) -> Result<Digest, Error> {
        let grant: Grant<Push> = own_grant(place)?;
        for content in [Bytes::from_static(b"{}"), document.clone()] {
            let digest = Digest::sha256(&content);
            let present = self.store.blobs_present(place.repository, [digest]).await?;
            if present.is_empty() {
                let body = stream::iter([Ok(content)]);
                self.put_blob(&grant, &digest, ChunkHeaders::default(), body).await?;
            }
        }
        let bytes = Bytes::from(manifest.render(&document));
        let digest = Digest::sha256(&bytes);
        let media_type: MediaType =
            oci::media_type::OCI_MANIFEST.parse().map_err(|_| Error::Internal("media type".to_owned()))?;
        self.put_manifest(&Caller::system(), &grant, &Reference::Digest(digest), &[], &media_type, bytes)
            .await?;
        Ok(digest)
    }

    /// Takes a document that scanning attached away; one that is gone already is success.
    pub async fn detach(&self, place: &Place, digest: &Digest) -> Result<(), Error> {
        let reference = Reference::Digest(*digest);
        match self.delete_manifest(&Caller::system(), &own_grant(place)?, &reference).await {
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
        let annotations: std::collections::BTreeMap<_, _> =
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
