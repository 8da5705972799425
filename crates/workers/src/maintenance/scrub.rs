//! The scrub: reads every object again within a period and compares it with its digest, so that bytes that rot while
//! nobody reads them are found. Checksums that are missing (after a rebuild) are made.

use std::time::Duration;

use blobs::{BlobKey, FrameSums};
use futures_util::StreamExt as _;
use metadata::model::blob::{self, BlobRow};
use oci::Hasher;
use registry::{CorruptObject, Error, Registry};

const BATCH: u32 = 100;

/// What a scrub found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScrubReport {
    /// Objects read and found right.
    pub sound: u64,
    /// Objects found damaged or missing, now out of service.
    pub damaged: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

/// Checks the blobs not checked for `period`, reading at most `bytes_per_second` (0: as fast as it goes).
pub async fn scrub(
    registry: &Registry,
    period: Duration,
    bytes_per_second: u64,
) -> Result<ScrubReport, Error> {
    let store = registry.store();
    let before = store.now().minus(period);
    let mut report = ScrubReport::default();
    loop {
        let due = store.blobs_to_check(before, BATCH).await?;
        if due.is_empty() {
            return Ok(report);
        }
        for row in due {
            check(registry, &row, bytes_per_second, &mut report).await?;
        }
    }
}

/// Reads one blob and records the outcome.
pub(super) async fn check(
    registry: &Registry,
    row: &BlobRow,
    bytes_per_second: u64,
    report: &mut ScrubReport,
) -> Result<(), Error> {
    let store = registry.store();
    let key = BlobKey::parse(&row.object_key)
        .map_err(|_| Error::Internal(format!("blob {} has no object key", row.digest)))?;
    match read(registry, key, row, bytes_per_second).await? {
        Some(sums) => {
            report.sound += 1;
            report.read_bytes += row.size_bytes;
            let mut tx = store.begin().await?;
            blob::set_checked(&mut tx, row, store.now());
            if row.size_bytes > 0 && store.frame_sums(&row.object_key, 0).await?.is_none() {
                blob::insert_frames(&mut tx, &row.object_key, &sums);
            }
            tx.relaxed();
            match store.commit(tx).await {
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
        }
        None => {
            report.damaged += 1;
            registry.quarantine(CorruptObject { key, frame: 0 }).await?;
        }
    }
    Ok(())
}

/// The frame checksums of an object whose bytes have the row's digest; none when they have not.
async fn read(
    registry: &Registry,
    key: BlobKey,
    row: &BlobRow,
    bytes_per_second: u64,
) -> Result<Option<Vec<u32>>, Error> {
    let unavailable = |error: blobs::BlobError| {
        tracing::warn!(%error, blob.object = row.object_key, "an object could not be read");
        Error::Unavailable
    };
    let Some(object) = registry.blobs().open(key).await.map_err(unavailable)? else { return Ok(None) };
    if object.stat().size != row.size_bytes {
        return Ok(None);
    }
    let mut hasher = Hasher::new(row.digest.algorithm());
    let mut sums = FrameSums::new();
    let mut stream = object.stream(0..row.size_bytes);
    let mut allowance = Allowance::new(bytes_per_second);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => {
                hasher.update(&bytes);
                sums.update(&bytes);
                allowance.spend(bytes.len() as u64).await;
            }
            Err(error) if error.is_corruption() => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        }
    }
    Ok((hasher.finish() == row.digest).then(|| sums.finish()))
}

/// Keeps reading below a rate.
struct Allowance {
    bytes_per_second: u64,
    spent: u64,
}

impl Allowance {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, spent: 0 }
    }

    async fn spend(&mut self, bytes: u64) {
        if self.bytes_per_second == 0 {
            return tokio::task::yield_now().await;
        }
        self.spent += bytes;
        // A pause per tenth of a second's worth keeps the rate without waking up for every frame.
        let slice = (self.bytes_per_second / 10).max(1);
        if self.spent >= slice {
            let micros = self.spent.saturating_mul(1_000_000) / self.bytes_per_second;
            self.spent = 0;
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }
}
