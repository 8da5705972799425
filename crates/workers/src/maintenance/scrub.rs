//! The scrub: reads every object again within a period and compares it with its digest, so that bytes that rot while
//! nobody reads them are found. Checksums that are missing (after a rebuild) are made.

use std::time::Duration;

use blobs::scrub::{Expected, Pace, Scrubbed};
use blobs::{BlobError, BlobKey};
use metadata::Timestamp;
use metadata::model::blob::{self, BlobRow};
use registry::{CorruptObject, Error, Registry};

const BATCH: u32 = 100;

/// An object that could not be read is tried again after this time, behind all others that are due.
const AGAIN: Duration = Duration::from_hours(1);

/// So many objects in a row that a remote store does not give say that the store is away.
const AWAY: u32 = 5;

/// What a scrub found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScrubReport {
    /// Objects read and found right.
    pub sound: u64,
    /// Objects found damaged or missing, now out of service.
    pub damaged: u64,
    /// Objects that could not be read; they stay in service and are tried again.
    pub unreadable: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

/// Checks the blobs not checked for `period`, reading at most `bytes_per_second` (0: as fast as it goes).
pub async fn scrub(
    registry: &Registry,
    period: Duration,
    bytes_per_second: u64,
) -> Result<ScrubReport, Error> {
    registry.check_storage().await?;
    let store = registry.store();
    let before = store.now().minus(period);
    let mut reader = Reader::new(registry, bytes_per_second);
    let mut report = ScrubReport::default();
    loop {
        let due = store.blobs_to_check(before, BATCH).await?;
        if due.is_empty() {
            return Ok(report);
        }
        for row in due {
            match reader.read(&row).await? {
                Ok(Scrubbed::Sound { frames }) => {
                    report.sound += 1;
                    report.read_bytes += row.size_bytes;
                    note(registry, &row, store.now(), &frames).await?;
                }
                // What was collected or replaced since its row was read is no damage.
                Ok(Scrubbed::Missing) => {
                    report.damaged += u64::from(registry.quarantine_missing(key_of(&row)?).await?);
                }
                Ok(Scrubbed::Damaged(_)) => {
                    let found = CorruptObject { key: key_of(&row)?, frame: 0 };
                    report.damaged += u64::from(registry.quarantine(found).await?);
                }
                Err(_) => {
                    report.unreadable += 1;
                    note(registry, &row, before.plus(AGAIN), &[]).await?;
                }
            }
        }
    }
}

/// The key of a blob's object.
pub(super) fn key_of(row: &BlobRow) -> Result<BlobKey, Error> {
    BlobKey::parse(&row.object_key)
        .map_err(|_| Error::Internal(format!("blob {} has no object key", row.digest)))
}

/// Notes when a blob was checked, and its checksums if it had none.
pub(super) async fn note(
    registry: &Registry,
    row: &BlobRow,
    at: Timestamp,
    frames: &[u32],
) -> Result<(), Error> {
    let store = registry.store();
    let mut tx = store.begin().await?;
    blob::set_checked(&mut tx, row, at);
    if !frames.is_empty() && store.frame_sums(&row.object_key, 0).await?.is_none() {
        blob::insert_frames(&mut tx, &row.object_key, frames);
    }
    tx.relaxed();
    match store.commit(tx).await {
        Err(error) if error.is_conflict() => Ok(()),
        other => Ok(other?),
    }
}

/// Looks at one object after the other. One that cannot be read does not stop it; a store that is away does.
pub(super) struct Reader<'a> {
    registry: &'a Registry,
    pace: Pace,
    away: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(registry: &'a Registry, bytes_per_second: u64) -> Self {
        Self { registry, pace: Pace::new(bytes_per_second), away: 0 }
    }

    /// Reads a blob's object from the medium and compares it.
    pub(super) async fn read(&mut self, row: &BlobRow) -> Result<Result<Scrubbed, BlobError>, Error> {
        let expected = Expected { digest: &row.digest, size: row.size_bytes, frames: None };
        let blobs = &**self.registry.blobs();
        let read = blobs::scrub::scrub(blobs, key_of(row)?, expected, &self.pace).await;
        self.noted(row, read)
    }

    /// The size of a blob's object; none if it is not there.
    pub(super) async fn size(&mut self, row: &BlobRow) -> Result<Result<Option<u64>, BlobError>, Error> {
        let stat = self.registry.blobs().stat(key_of(row)?).await;
        self.noted(row, stat.map(|stat| stat.map(|stat| stat.size)))
    }

    fn noted<T>(
        &mut self,
        row: &BlobRow,
        outcome: Result<T, BlobError>,
    ) -> Result<Result<T, BlobError>, Error> {
        match &outcome {
            Err(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(%error, cause, blob.digest = %row.digest, blob.object = row.object_key, "an object could not be read");
                self.away += u32::from(matches!(error, BlobError::Unavailable { .. }));
                if self.away >= AWAY { Err(Error::Unavailable) } else { Ok(outcome) }
            }
            Ok(_) => {
                self.away = 0;
                Ok(outcome)
            }
        }
    }
}
