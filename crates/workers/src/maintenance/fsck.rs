//! `bonded fsck`: rows against objects. A blob without its object is damaged; an object without a row is an orphan.
//!
//! Without repair nothing is changed. Repair never deletes: a damaged blob is taken out of service until it is pushed
//! again, one whose bytes turn out to be right comes back, an orphan goes to the trash and waits there for the grace
//! time.
//!
//! Pushes and collections go on beside it. Rows are committed away before their objects are deleted, and no key is used
//! again: so what was seen is a problem only if the row is still the same after the object was looked at, and an object
//! is an orphan only if it is still there after its rows were looked for.

use std::time::Duration;

use blobs::scrub::Scrubbed;
use metadata::model::blob::BlobRow;
use metadata::model::collect::{self, TrashRow};
use oci::Digest;
use registry::{CorruptObject, Error, Registry};

use super::scrub::{self, Reader};

const BATCH: u32 = 500;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct FsckOptions {
    /// Read and hash every object.
    pub read: bool,
    /// Put right what can be.
    pub repair: bool,
    /// Read at most so many bytes a second; 0: as fast as it goes.
    pub bytes_per_second: u64,
    /// Objects younger than this may belong to a request in progress. Zero is right when no server runs.
    pub orphan_age: Duration,
}

impl Default for FsckOptions {
    fn default() -> Self {
        Self { read: false, repair: false, bytes_per_second: 0, orphan_age: Duration::from_hours(24) }
    }
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
    /// A blob is out of service since its object was found wrong, until it is pushed again or its bytes turn out right.
    OutOfService {
        /// The blob.
        digest: Digest,
        /// Where it is.
        object: String,
    },
    /// A blob's object cannot be read.
    Unreadable {
        /// The blob.
        digest: Digest,
        /// Where it is.
        object: String,
        /// Why not.
        error: String,
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
    /// Blobs taken out of service for it.
    pub quarantined: u64,
    /// Problems put right: blobs that are back in service, objects handed to the collection.
    pub repaired: u64,
}

impl FsckReport {
    /// Problems that are still there.
    pub fn remaining(&self) -> u64 {
        (self.problems.len() as u64).saturating_sub(self.repaired)
    }
}

/// Compares rows and objects.
pub async fn fsck(registry: &Registry, options: FsckOptions) -> Result<FsckReport, Error> {
    registry.check_storage().await?;
    let mut report = FsckReport::default();
    rows(registry, options, &mut report).await?;
    objects(registry, options, &mut report).await?;
    Ok(report)
}

async fn rows(registry: &Registry, options: FsckOptions, report: &mut FsckReport) -> Result<(), Error> {
    let store = registry.store();
    let mut reader = Reader::new(registry, options.bytes_per_second);
    let mut last = String::new();
    loop {
        let page = store.blobs_after(&last, BATCH).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.digest.to_string();
        for row in page {
            report.blobs += 1;
            blob(registry, &mut reader, row, options, report).await?;
        }
    }
}

/// Looks at a blob, and again while its row changes under the look.
async fn blob(
    registry: &Registry,
    reader: &mut Reader<'_>,
    mut row: BlobRow,
    options: FsckOptions,
    report: &mut FsckReport,
) -> Result<(), Error> {
    loop {
        let problem = if row.corrupt {
            let (digest, object) = (row.digest, row.object_key.clone());
            Some(FsckProblem::OutOfService { digest, object })
        } else {
            look(registry, reader, &row, options, report).await?
        };
        let Some(problem) = problem else { return Ok(()) };
        match registry.store().blob(&row.digest).await? {
            None => return Ok(()),
            Some(now) if now == row => return settle(registry, reader, &row, problem, options, report).await,
            Some(now) => row = now,
        }
    }
}

/// Reports a problem and, where that is wanted, does what can be done about it.
async fn settle(
    registry: &Registry,
    reader: &mut Reader<'_>,
    row: &BlobRow,
    problem: FsckProblem,
    options: FsckOptions,
    report: &mut FsckReport,
) -> Result<(), Error> {
    if options.repair {
        let key = scrub::key_of(row)?;
        match problem {
            FsckProblem::OutOfService { .. } => {
                if let Ok(Scrubbed::Sound { frames }) = reader.read(row).await? {
                    report.read_bytes += row.size_bytes;
                    registry.put_back(row, &frames).await?;
                    report.repaired += 1;
                }
            }
            // What cannot be read now may be right: only wrong bytes are taken out of service.
            FsckProblem::Unreadable { .. } | FsckProblem::Orphan { .. } => {}
            FsckProblem::Missing { .. } => {
                report.quarantined += u64::from(registry.quarantine_missing(key).await?);
            }
            FsckProblem::Size { .. } | FsckProblem::Content { .. } => {
                report.quarantined += u64::from(registry.quarantine(CorruptObject { key, frame: 0 }).await?);
            }
        }
    }
    report.problems.push(problem);
    Ok(())
}

/// What is wrong with a blob that is in service.
async fn look(
    registry: &Registry,
    reader: &mut Reader<'_>,
    row: &BlobRow,
    options: FsckOptions,
    report: &mut FsckReport,
) -> Result<Option<FsckProblem>, Error> {
    let (digest, object) = (row.digest, row.object_key.clone());
    let expected_bytes = row.size_bytes;
    if !options.read {
        return Ok(match reader.size(row).await? {
            Ok(Some(found_bytes)) if found_bytes == expected_bytes => None,
            Ok(Some(found_bytes)) => Some(FsckProblem::Size { digest, object, expected_bytes, found_bytes }),
            Ok(None) => Some(FsckProblem::Missing { digest, object }),
            Err(error) => Some(FsckProblem::Unreadable { digest, object, error: text(&error) }),
        });
    }
    Ok(match reader.read(row).await? {
        Ok(Scrubbed::Sound { frames }) => {
            report.read_bytes += row.size_bytes;
            if options.repair {
                scrub::note(registry, row, registry.store().now(), &frames).await?;
            }
            None
        }
        Ok(Scrubbed::Missing) => Some(FsckProblem::Missing { digest, object }),
        Ok(Scrubbed::Damaged(damage)) => {
            report.read_bytes += damage.size;
            Some(match damage.size {
                found_bytes if found_bytes == expected_bytes => FsckProblem::Content { digest, object },
                found_bytes => FsckProblem::Size { digest, object, expected_bytes, found_bytes },
            })
        }
        Err(error) => Some(FsckProblem::Unreadable { digest, object, error: text(&error) }),
    })
}

fn text(error: &blobs::BlobError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
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
        let grown_up = store.now().minus(options.orphan_age).secs();
        let young = |modified: i64| !options.orphan_age.is_zero() && modified > grown_up;
        for listed in page {
            let object = listed.key.to_string();
            if known.contains(&object) || listed.key.is_of_series() || young(listed.modified_unix_s) {
                continue;
            }
            // Its row is gone before it is.
            if registry.blobs().stat(listed.key).await.map_err(|error| storage(&error))?.is_none() {
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
