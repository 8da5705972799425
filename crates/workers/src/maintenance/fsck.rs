//! `bonded fsck`: rows against objects. A blob without its object is damaged; an object without a row is an orphan.
//!
//! Repair never deletes: a damaged blob is taken out of service until it is pushed again, an orphan goes to the trash
//! and waits there for the grace time.

use blobs::BlobKey;
use metadata::model::collect::{self, TrashRow};
use oci::Digest;
use registry::{CorruptObject, Error, Registry};

use super::scrub::{self, ScrubReport};

const BATCH: u32 = 500;

/// Objects younger than this may belong to a request in progress.
const ORPHAN_AGE_SECS: i64 = 24 * 3600;

/// What to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct FsckOptions {
    /// Read and hash every object.
    pub read: bool,
    /// Put right what can be.
    pub repair: bool,
    /// Read at most so many bytes a second; 0: as fast as it goes.
    pub bytes_per_second: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum FsckProblem {
    /// A blob's object is not there.
    Missing {
        /// The blob.
        digest: Digest,
        /// Where it should be.
        object: String,
    },
    /// A blob's object has another size.
    Size {
        /// The blob.
        digest: Digest,
        /// Where it is.
        object: String,
        /// The size of the row.
        expected_bytes: u64,
        /// The size found.
        found_bytes: u64,
    },
    /// A blob's bytes do not have its digest.
    Content {
        /// The blob.
        digest: Digest,
        /// Where it is.
        object: String,
    },
    /// No row names the object.
    Orphan {
        /// The object.
        object: String,
        /// Its size.
        size_bytes: u64,
    },
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct FsckReport {
    /// Blobs looked at.
    pub blobs: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// What is wrong.
    pub problems: Vec<FsckProblem>,
    /// How many of these were put right.
    pub repaired: u64,
}

/// Compares rows and objects.
pub async fn fsck(registry: &Registry, options: FsckOptions) -> Result<FsckReport, Error> {
    let mut report = FsckReport::default();
    rows(registry, options, &mut report).await?;
    objects(registry, options, &mut report).await?;
    Ok(report)
}

async fn rows(registry: &Registry, options: FsckOptions, report: &mut FsckReport) -> Result<(), Error> {
    let store = registry.store();
    let mut last = String::new();
    loop {
        let page = store.blobs_after(&last, BATCH).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.digest.to_string();
        for row in page.into_iter().filter(|row| !row.corrupt) {
            report.blobs += 1;
            let Ok(key) = BlobKey::parse(&row.object_key) else { continue };
            let stat = registry.blobs().stat(key).await.map_err(|error| storage(&error))?;
            let (digest, object) = (row.digest, row.object_key.clone());
            let problem = match stat {
                None => Some(FsckProblem::Missing { digest, object }),
                Some(stat) if stat.size != row.size_bytes => Some(FsckProblem::Size {
                    digest,
                    object,
                    expected_bytes: row.size_bytes,
                    found_bytes: stat.size,
                }),
                Some(_) if options.read => {
                    let mut scrubbed = ScrubReport::default();
                    scrub::check(registry, &row, options.bytes_per_second, &mut scrubbed).await?;
                    report.read_bytes += scrubbed.read_bytes;
                    report.repaired += scrubbed.damaged;
                    (scrubbed.damaged > 0).then_some(FsckProblem::Content { digest, object })
                }
                Some(_) => None,
            };
            let Some(problem) = problem else { continue };
            if options.repair && !matches!(problem, FsckProblem::Content { .. }) {
                registry.quarantine(CorruptObject { key, frame: 0 }).await?;
                report.repaired += 1;
            }
            report.problems.push(problem);
        }
    }
}

async fn objects(registry: &Registry, options: FsckOptions, report: &mut FsckReport) -> Result<(), Error> {
    let store = registry.store();
    let mut after = None;
    loop {
        let page = registry.blobs().list(after, BATCH as usize).await.map_err(|error| storage(&error))?;
        let Some(end) = page.last() else { return Ok(()) };
        after = Some(end.key);
        report.objects += page.len() as u64;
        let keys: Vec<String> = page.iter().map(|listed| listed.key.to_string()).collect();
        let known = store.known_objects(&keys).await?;
        let young = store.now().secs() - ORPHAN_AGE_SECS;
        for listed in page {
            let object = listed.key.to_string();
            if known.contains(&object) || listed.key.is_of_series() || listed.modified_unix_s > young {
                continue;
            }
            if options.repair {
                adopt(registry, &object, listed.size).await?;
                report.repaired += 1;
            }
            report.problems.push(FsckProblem::Orphan { object, size_bytes: listed.size });
        }
    }
}

async fn adopt(registry: &Registry, object: &str, size_bytes: u64) -> Result<(), Error> {
    let store = registry.store();
    let now = store.now();
    let row = TrashRow {
        object_key: object.to_owned(),
        digest: None,
        size_bytes,
        reason: "orphan".to_owned(),
        state: None,
    };
    let mut tx = store.begin().await?;
    collect::trash(&mut tx, &row, now.plus(registry.settings().collect_grace), now);
    match store.commit(tx).await {
        Err(error) if error.is_conflict() => Ok(()),
        other => Ok(other?),
    }
}

fn storage(error: &blobs::BlobError) -> Error {
    tracing::warn!(%error, "blob storage cannot be read");
    Error::Unavailable
}
