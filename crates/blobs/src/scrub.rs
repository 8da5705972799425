//! Reading a stored blob again to see whether it still is what it was.
//!
//! The bytes come from the medium, not from the page cache: what is cached is dropped before (a cached copy would hide
//! rot) and after (a scrub of everything must not push out what clients read). The rate is limited by a [`Pace`] that
//! all scrubs of a process share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Digest, Hasher};
use tokio::time::Instant;

use crate::frames::FrameSums;
use crate::{BlobError, BlobKey, BlobStore};

/// Frames hashed per hop to the blocking pool.
const BATCH_FRAMES: usize = 4;
/// Bad frames listed at most.
const MOST_BAD_FRAMES: usize = 1024;

/// What a scrub found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// Size, digest and all known frame checksums match. The checksums are given for objects that had none.
    Sound {
        /// CRC32C of each frame.
        frames: Vec<u32>,
    },
    /// There is no object.
    Missing,
    /// The bytes are not those of the row.
    Damaged(Damage),
}

/// What is wrong with a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes that could be read.
    pub size: u64,
    /// The digest of what was read, when it is another one.
    pub digest: Option<Digest>,
    /// Frames whose checksum differs, at most 1,024 of them.
    pub bad_frames: Vec<u32>,
}

/// What the row says about a blob.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its frame checksums, if they are known.
    pub frames: Option<&'a [u32]>,
}

/// A rate that many readers share.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many bytes per second; 0 is no limit.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, next: Mutex::new(None) }
    }

    /// Waits until `bytes` may be read.
    pub async fn take(&self, bytes: u64) {
        if self.bytes_per_second == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let turn = {
            let now = Instant::now();
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + cost);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// Reads the object of a row again and compares it.
pub async fn scrub(
    store: &dyn BlobStore,
    key: BlobKey,
    expected: Expected<'_>,
    pace: &Pace,
) -> Result<Scrubbed, BlobError> {
    let Some(object) = store.open(key).await? else {
        return Ok(Scrubbed::Missing);
    };
    let size = object.stat().size;
    object.drop_cached();
    let mut state = (Hasher::new(expected.digest.algorithm()), FrameSums::new());
    let mut stream = Arc::clone(&object).stream(0..size).ready_chunks(BATCH_FRAMES);
    let mut read = 0;
    while let Some(batch) = stream.next().await {
        let batch = match batch.into_iter().collect::<Result<Vec<Bytes>, _>>() {
            Ok(batch) => batch,
            Err(error) if error.is_corruption() => break,
            Err(error) => return Err(error),
        };
        let bytes = batch.iter().map(|bytes| bytes.len() as u64).sum();
        read += bytes;
        pace.take(bytes).await;
        state = hash(state, batch).await?;
    }
    object.drop_cached();
    let (hasher, sums) = state;
    let (digest, frames) = (hasher.finish(), sums.finish());
    let mut damage =
        Damage { size: read, digest: Some(digest).filter(|d| d != expected.digest), ..Damage::default() };
    if let Some(known) = expected.frames {
        let bad = known.iter().zip(&frames).enumerate().filter(|(_, (known, found))| known != found);
        damage.bad_frames =
            bad.map_while(|(frame, _)| u32::try_from(frame).ok()).take(MOST_BAD_FRAMES).collect();
    }
    let sound = damage.digest.is_none() && damage.bad_frames.is_empty() && read == expected.size;
    Ok(if sound { Scrubbed::Sound { frames } } else { Scrubbed::Damaged(damage) })
}

async fn hash(
    (mut hasher, mut sums): (Hasher, FrameSums),
    batch: Vec<Bytes>,
) -> Result<(Hasher, FrameSums), BlobError> {
    let work = move || {
        for bytes in &batch {
            hasher.update(bytes);
            sums.update(bytes);
        }
        (hasher, sums)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| BlobError::io("hashing task", std::io::Error::other(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, FsBlobs, Ingest, suite};
    use oci::Algorithm;
    use std::os::unix::fs::FileExt as _;

    #[tokio::test]
    async fn damage_is_found_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.path()).unwrap());
        let (key, content) = (BlobKey::from_id(3), suite::sample(1_500_000));
        let budget = Budget::new(16 << 20, Duration::from_secs(1));
        let mut ingest = Ingest::begin(store.clone(), key, Algorithm::Sha256, budget);
        ingest.push(content.clone()).await.unwrap();
        let digest = Digest::sha256(&content);
        let done = ingest.finish(&digest).await.unwrap();
        let pace = Pace::new(0);
        let check = async |frames| {
            scrub(&*store, key, Expected { digest: &digest, size: 1_500_000, frames }, &pace).await.unwrap()
        };
        let sound = Scrubbed::Sound { frames: done.frames.clone() };
        assert_eq!(check(Some(&done.frames[..])).await, sound);
        assert_eq!(check(None).await, sound);
        let file = std::fs::File::options().write(true).open(directory.path().join(key.to_string())).unwrap();
        file.write_all_at(&[content[600_000] ^ 16], 600_000).unwrap();
        let Scrubbed::Damaged(damage) = check(Some(&done.frames[..])).await else { panic!("not found") };
        assert_eq!((damage.size, damage.bad_frames, damage.digest.is_some()), (1_500_000, vec![2], true));
        file.set_len(1_000_000).unwrap();
        assert!(matches!(check(None).await, Scrubbed::Damaged(Damage { size: 1_000_000, .. })));
        store.delete(key).await.unwrap();
        assert_eq!(check(None).await, Scrubbed::Missing);
    }

    #[tokio::test(start_paused = true)]
    async fn readers_share_one_rate() {
        let (pace, begin) = (Pace::new(1000), Instant::now());
        futures_util::future::join_all((0..11).map(|_| pace.take(100))).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
    }
}
