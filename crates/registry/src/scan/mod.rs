//! Scans as the request path sees them: what is known of artifacts, asking for a scan, stopping it, its log; and what
//! scanning writes. The scanning itself is the workers' work.
//!
//! What is known of a digest is shared by all repositories that hold it; a grant on one of them is the proof that the
//! caller may know it.

mod attach;

pub use attach::{Attachment, SCAN_RESULT, STATEMENT, ScanResult};

use std::collections::{BTreeSet, HashMap};

use blobs::{BlobBody, BlobKey, OpenBlob};
use metadata::jobs::{self, JobState, LogLine, NewJob};
use metadata::model::RepositoryId;
use metadata::model::scan::ScanRow;
use oci::{Digest, MediaType};

use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::Caller;
use crate::error::Error;
use crate::manifest::PulledManifest;
use crate::upload::blob_error;

/// Kinds of jobs of which an artifact's scan consists, in their order; their key is its digest.
pub const STAGES: [&str; 2] = ["catalogue", "judge"];
/// Kinds of jobs that ask other scanners, and put together what all of them say; their key is [`combined_key`].
pub const COMBINED_STAGES: [&str; 2] = ["consult", "combine"];
/// Images of one index that are scanned.
const MOST_IMAGES: usize = 200;
/// Lines of a scan's log that are shown.
const LINES: u32 = 1000;

/// The key of jobs about an artifact of one repository.
pub fn combined_key(repository: RepositoryId, digest: &Digest) -> String {
    format!("{repository}/{digest}")
}

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
        self.put_combined(repository, digests, &shown_by, &mut known).await?;
        let own = keys.iter().map(Digest::to_string);
        let own = self.store.active_keys(&STAGES, own).await?;
        let others = keys.iter().map(|digest| combined_key(repository, digest));
        let others = self.store.active_keys(&COMBINED_STAGES, others).await?;
        for (key, state) in own.into_iter().chain(others) {
            let Ok(digest) = key.rsplit('/').next().unwrap_or_default().parse() else { continue };
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

    /// Puts the verdicts of all scanners of a repository in place of those of our own scan.
    async fn put_combined(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
        shown_by: &HashMap<Digest, Vec<Digest>>,
        known: &mut HashMap<Digest, ArtifactScan>,
    ) -> Result<(), Error> {
        for row in self.store.combined_scans(repository, digests.iter().chain(shown_by.keys())).await? {
            for index in shown_by.get(&row.digest).into_iter().flatten() {
                let scan = known.entry(*index).or_default();
                match scan.children.iter_mut().find(|child| child.digest == row.digest) {
                    Some(child) => *child = row.clone(),
                    None => {
                        scan.children.push(row.clone());
                        scan.unknown = scan.unknown.saturating_sub(1);
                    }
                }
            }
            let digest = row.digest;
            if digests.contains(&digest) {
                known.entry(digest).or_default().row = Some(row);
            }
        }
        Ok(())
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
            let key = combined_key(manifest.repository, &image);
            active.extend(self.store.active_jobs_of(&COMBINED_STAGES, &key, grant.project).await?);
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
        let images = self.images_of(manifest).await?;
        let rows = self.store.scans(&images).await?;
        let combined = self.store.combined_scans(manifest.repository, &images).await?;
        let mut jobs = self.store.scanner_jobs(manifest.repository, &images).await?;
        jobs.extend(rows.iter().chain(&combined).filter_map(|row| row.job));
        let mut lines = Vec::new();
        for job in jobs {
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
}
