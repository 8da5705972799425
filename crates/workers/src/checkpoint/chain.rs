//! The segments in blob storage: listed, read, published, and followed back from the newest to the full copy that a
//! rebuild starts with.

use blobs::{BlobError, BlobKey, BlobStore, Budget, Series};
use bytes::Bytes;
use oci::Digest;
use registry::Sealer;

use super::RebuildError;
use super::segment::{Head, Segment, SegmentError};

/// Listed at once.
const PAGE: usize = 1000;

/// The largest object that is taken for a segment.
const MOST_BYTES: u64 = 128 << 20;

/// The segments there are, in order of their numbers.
pub(super) async fn list(blobs: &dyn BlobStore) -> Result<Vec<BlobKey>, BlobError> {
    let mut after = BlobKey::of_series(Series::Checkpoint, 0, 0);
    let mut keys = Vec::new();
    loop {
        let page = blobs.list(Some(after), PAGE).await?;
        let of_series = page.iter().map(|listed| listed.key);
        keys.extend(of_series.filter(|key| key.number_in(Series::Checkpoint).is_some()));
        match page.last() {
            Some(last) if page.len() == PAGE && last.key.number_in(Series::Checkpoint).is_some() => {
                after = last.key;
            }
            _ => return Ok(keys),
        }
    }
}

/// The number of a segment.
pub(super) fn number(key: BlobKey) -> u64 {
    key.number_in(Series::Checkpoint).unwrap_or(0)
}

/// Bytes written at once.
const PIECE: usize = 4 << 20;

/// Makes an object durable under a key of its own.
pub(crate) async fn publish(
    blobs: &dyn BlobStore,
    budget: &Budget,
    key: BlobKey,
    mut bytes: Bytes,
) -> Result<(), BlobError> {
    let _memory = match blobs.writer_memory_bytes() {
        0 => None,
        needed => Some(budget.take(needed).await?),
    };
    let mut writer = blobs.begin(key).await?;
    while !bytes.is_empty() {
        writer.write(bytes.split_to(bytes.len().min(PIECE))).await?;
    }
    writer.finish().await.map(drop)
}

/// The bytes of a segment; none when it is gone or no segment can be so large.
pub(super) async fn read(blobs: &dyn BlobStore, key: BlobKey) -> Result<Option<Bytes>, BlobError> {
    let Some(object) = blobs.open(key).await? else { return Ok(None) };
    let size = object.stat().size;
    if size > MOST_BYTES {
        return Ok(None);
    }
    object.read_at(0..size).await.map(Some)
}

/// A link of the chain that a rebuild follows.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) key: BlobKey,
    pub(super) head: Head,
}

/// What is found in blob storage.
#[derive(Debug)]
pub(super) struct Chain {
    /// From the first segment that is needed to the newest, all sound.
    pub(super) links: Vec<Link>,
    /// Newer segments that are sound and of no use, because one that they build upon is damaged.
    pub(super) damaged: Vec<u64>,
}

/// Finds the newest state that the segments hold.
///
/// A torn segment that nothing follows is what a crash leaves: it was never published.
pub(super) async fn find(blobs: &dyn BlobStore, sealer: Option<&Sealer>) -> Result<Chain, RebuildError> {
    let keys = list(blobs).await?;
    if keys.is_empty() {
        return Err(RebuildError::NoCheckpoint);
    }
    let mut unusable = Vec::new();
    for at in (0..keys.len()).rev() {
        let Some((digest, link)) = open(blobs, keys[at], sealer).await? else { continue };
        if !link.head.whole || link.head.needs.is_none() {
            continue;
        }
        if let Some(links) = follow(blobs, &keys[..at], (digest, link.clone()), sealer).await? {
            return Ok(Chain { links, damaged: unusable });
        }
        unusable.push(link.head.number);
    }
    Err(RebuildError::Unusable { segments: keys.len() })
}

/// A segment, if it is sound.
async fn open(
    blobs: &dyn BlobStore,
    key: BlobKey,
    sealer: Option<&Sealer>,
) -> Result<Option<(Digest, Link)>, RebuildError> {
    let bytes = match read(blobs, key).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if error.is_corruption() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match Segment::open(&bytes, sealer) {
        Ok(segment) => Ok(Some((segment.digest, Link { key, head: segment.head }))),
        Err(SegmentError::Torn) => {
            tracing::warn!(segment = number(key), "a segment of the checkpoint is torn or damaged");
            Ok(None)
        }
        Err(SegmentError::Foreign) => Err(RebuildError::Foreign { segment: number(key) }),
        Err(SegmentError::Unknown(what)) => Err(RebuildError::Unknown { segment: number(key), what }),
    }
}

/// The chain that ends with `tip`, if it is sound down to the segment that it needs.
async fn follow(
    blobs: &dyn BlobStore,
    before: &[BlobKey],
    tip: (Digest, Link),
    sealer: Option<&Sealer>,
) -> Result<Option<Vec<Link>>, RebuildError> {
    let first = tip.1.head.needs.unwrap_or(0);
    let mut wanted = tip.1.head.previous;
    let mut links = vec![tip.1];
    for key in before.iter().rev() {
        if links.last().is_some_and(|link| link.head.number <= first) || wanted.is_none() {
            break;
        }
        // Several objects may have one number: attempts of which one was committed.
        if let Some((digest, link)) = open(blobs, *key, sealer).await?
            && wanted == Some(digest)
        {
            wanted = link.head.previous;
            links.push(link);
        }
    }
    links.reverse();
    Ok((links.first().is_some_and(|link| link.head.number == first)).then_some(links))
}
