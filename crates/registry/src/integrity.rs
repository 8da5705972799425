//! Wrong bytes: where frame checksums come from, and what happens to an object that does not match them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use blobs::verify::FrameSourceError;
use blobs::{BlobKey, BoxFuture, FrameSource};
use metadata::Store;
use metadata::model::blob::{self, BlobRow, FRAMES_PER_ROW};

use crate::Registry;
use crate::caller::Caller;
use crate::error::Error;

/// An object whose bytes are not what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorruptObject {
    /// The object.
    pub key: BlobKey,
    /// The first bad frame.
    pub frame: u32,
}

/// How much was found damaged, for whoever shall be alarmed.
#[derive(Debug, Default)]
pub struct Damage {
    quarantined: AtomicU64,
    corrupt: AtomicU64,
}

impl Damage {
    /// Blobs that this process took out of service.
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Blobs that were out of service when they were last counted.
    pub fn corrupt(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }
}

/// Frame checksums in rows of the metadata store.
pub(crate) struct StoredFrames(pub(crate) Store);

impl FrameSource for StoredFrames {
    fn load(
        &self,
        key: BlobKey,
        frames: Range<u32>,
    ) -> BoxFuture<'_, Result<Option<Vec<u32>>, FrameSourceError>> {
        Box::pin(async move {
            let key = key.to_string();
            let mut sums = Vec::with_capacity(frames.len());
            let mut next = u64::from(frames.start);
            while next < u64::from(frames.end) {
                let first = next - next % FRAMES_PER_ROW;
                let Some(packed) = self.0.frame_sums(&key, first).await? else { return Ok(None) };
                let skip = usize::try_from(next - first)?;
                let want =
                    usize::try_from((u64::from(frames.end) - next).min(FRAMES_PER_ROW - (next - first)))?;
                let part = packed.get(skip * 4..(skip + want) * 4);
                let Some(part) = part else { return Err("frame checksums are incomplete".into()) };
                sums.extend(
                    part.chunks_exact(4).map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]])),
                );
                next += want as u64;
            }
            Ok(Some(sums))
        })
    }
}

impl Registry {
    /// Takes a corrupt object out of service: its blob is unknown until it is pushed again, the object is kept for
    /// inspection. Logged, and recorded in the audit. False when no blob in service is in that object (any more).
    pub async fn quarantine(&self, found: CorruptObject) -> Result<bool, Error> {
        self.take_out_of_service(found.key, Some(u64::from(found.frame)), "frame checksum").await
    }

    /// The same for an object that is not there any more.
    pub async fn quarantine_missing(&self, key: BlobKey) -> Result<bool, Error> {
        self.take_out_of_service(key, None, "missing").await
    }

    async fn take_out_of_service(
        &self,
        key: BlobKey,
        frame: Option<u64>,
        reason: &'static str,
    ) -> Result<bool, Error> {
        let key = key.to_string();
        let row = self.store.blob_of_object(&key).await?;
        let Some(row) = row.filter(|row| !row.corrupt) else { return Ok(false) };
        let mut tx = self.store.begin().await?;
        blob::quarantine(&mut tx, &row, frame, reason, self.store.now());
        self.record(&mut tx, &Caller::system(), "blob.quarantine", None, &row.digest.to_string()).await?;
        match self.store.commit(tx).await {
            Err(error) if error.is_conflict() => Ok(false),
            other => {
                other?;
                self.damage.quarantined.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    blob.digest = %row.digest,
                    blob.object = key,
                    blob.frame = frame,
                    reason,
                    "stored bytes are damaged: the blob was taken out of service until it is pushed again"
                );
                Ok(true)
            }
        }
    }

    /// Puts a blob back into service whose bytes were read again and are right.
    pub async fn put_back(&self, row: &BlobRow, frames: &[u32]) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        blob::put_back(&mut tx, row, frames, self.store.now());
        self.record(&mut tx, &Caller::system(), "blob.put_back", None, &row.digest.to_string()).await?;
        match self.store.commit(tx).await {
            Err(error) if error.is_conflict() => Ok(()),
            other => {
                other?;
                tracing::info!(blob.digest = %row.digest, blob.object = row.object_key, "a blob is back in service");
                Ok(())
            }
        }
    }

    /// What was found damaged.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Counts the blobs that are out of service.
    pub async fn count_damage(&self) -> Result<(), Error> {
        self.damage.corrupt.store(self.store.corrupt_blobs().await?, Ordering::Relaxed);
        Ok(())
    }
}
