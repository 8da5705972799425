//! The contract of [`BlobStore`], executed.
//!
//! Every implementation and every wrapper runs it: `suite::run(store, first_id)`. Each claim is one function; the first
//! that does not hold is answered with what was seen. It leaves the store as it found it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Algorithm, Digest};

use crate::{
    BlobError, BlobKey, BlobStore, Budget, FRAME_BYTES, FrameSums, Ingest, IngestError, IngestState,
    WriteState,
};

/// A claim that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("claim `{claim}` does not hold: {seen}")]
pub struct Violation {
    /// The claim's name.
    pub claim: &'static str,
    /// What was seen instead.
    pub seen: String,
}

/// Why a claim stopped.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("{0}")]
    Seen(String),
    #[error("an operation failed: {0} ({0:?})")]
    Blob(#[from] BlobError),
    #[error("an upload failed: {0} ({0:?})")]
    Ingest(#[from] IngestError),
}

type Claim = Result<(), Stop>;

/// Stops the claim with the text unless the condition holds.
macro_rules! hold {
    ($condition:expr, $($text:tt)+) => {
        if !$condition { return Err(Stop::Seen(format!($($text)+))); }
    };
}

/// What claims work with.
struct Bench {
    store: Arc<dyn BlobStore>,
    next: AtomicU64,
    budget: Budget,
}

impl Bench {
    /// A fresh key; successive ones lie in different shards.
    fn key(&self) -> BlobKey {
        BlobKey::from_id(u128::from(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    fn ingest(&self, key: BlobKey) -> Ingest {
        Ingest::begin(Arc::clone(&self.store), key, Algorithm::Sha256, self.budget.clone())
    }

    async fn put(&self, content: &Bytes) -> Result<BlobKey, Stop> {
        let key = self.key();
        let mut ingest = self.ingest(key);
        ingest.push(content.clone()).await?;
        ingest.finish(&Digest::sha256(content)).await?;
        Ok(key)
    }

    async fn content(&self, key: BlobKey) -> Result<Option<Vec<u8>>, Stop> {
        let Some(object) = self.store.open(key).await? else {
            return Ok(None);
        };
        let size = object.stat().size;
        let mut all = Vec::new();
        let mut stream = object.stream(0..size);
        while let Some(bytes) = stream.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(Some(all))
    }

    /// Whether a key's object shows as finished bytes; rolled-back writers may need a moment.
    async fn becomes_absent(&self, key: BlobKey) -> Result<bool, Stop> {
        for _ in 0..500 {
            if self.store.open(key).await?.is_none() {
                return Ok(true);
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        Ok(false)
    }
}

/// Bytes that differ everywhere, the same for one length.
pub fn sample(length: usize) -> Bytes {
    let mut word: u64 = 0x9e37_79b9_7f4a_7c15 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Runs every claim on `store`, with keys from `first_id` upwards (a thousand that nobody else uses). Answers the names
/// of the claims that hold.
pub async fn run(store: Arc<dyn BlobStore>, first_id: u64) -> Result<Vec<&'static str>, Violation> {
    let budget = Budget::new(64 << 20, std::time::Duration::from_secs(30));
    let bench = Bench { store, next: AtomicU64::new(first_id), budget };
    let mut held = Vec::new();
    macro_rules! claims {
        ($($claim:ident),+ $(,)?) => {
            $(
                if let Err(stop) = $claim(&bench).await {
                    return Err(Violation { claim: stringify!($claim), seen: stop.to_string() });
                }
                held.push(stringify!($claim));
            )+
        };
    }
    claims!(
        what_was_finished_is_read_back,
        a_missing_object_is_none,
        every_range_reads_exactly,
        a_read_beyond_the_end_is_truncated,
        a_key_gets_an_object_once,
        a_paused_write_continues_to_the_same_bytes,
        bytes_after_the_pause_are_dropped_by_resume,
        a_wrong_digest_leaves_nothing,
        another_algorithm_is_verified_too,
        a_dropped_upload_leaves_nothing,
        a_dropped_continuation_keeps_the_saved_state,
        an_abort_removes_an_unfinished_object,
        a_state_without_its_object_is_lost,
        deletion_is_idempotent,
        a_listing_is_ordered_and_complete,
        stamps_tell_objects_apart,
        the_probe_passes,
    );
    Ok(held)
}

async fn what_was_finished_is_read_back(bench: &Bench) -> Claim {
    for length in [0, 1, 65_536, 262_144, 262_145, 1_048_577, 6_000_000] {
        let content = sample(length);
        let key = bench.key();
        let mut ingest = bench.ingest(key);
        for chunk in content.chunks(100_000) {
            ingest.push(Bytes::copy_from_slice(chunk)).await?;
        }
        let done = ingest.finish(&Digest::sha256(&content)).await?;
        hold!(done.size == length as u64, "{} bytes instead of {length}", done.size);
        let mut sums = FrameSums::new();
        sums.update(&content);
        hold!(done.frames == sums.finish(), "other frame checksums at {length} bytes");
        let read = bench.content(key).await?;
        hold!(read.as_deref() == Some(&content[..]), "other bytes at length {length}");
        let stat = bench.store.stat(key).await?;
        hold!(
            stat.is_some_and(|stat| stat.size == length as u64 && stat.stamp == done.stamp),
            "stat {stat:?} does not match what finish answered"
        );
        bench.store.delete(key).await?;
    }
    Ok(())
}

async fn a_missing_object_is_none(bench: &Bench) -> Claim {
    let key = bench.key();
    hold!(bench.store.open(key).await?.is_none(), "open found something");
    hold!(bench.store.stat(key).await?.is_none(), "stat found something");
    Ok(())
}

async fn every_range_reads_exactly(bench: &Bench) -> Claim {
    let content = sample(600_000);
    let key = bench.put(&content).await?;
    let Some(object) = bench.store.open(key).await? else {
        return Err(Stop::Seen("the object is missing".to_owned()));
    };
    for (start, end) in
        [(0, 0), (0, 1), (599_999, 600_000), (1, 600_000), (262_143, 262_145), (262_144, 524_288)]
    {
        let wanted = &content[start..end];
        let range = start as u64..end as u64;
        let read = object.read_at(range.clone()).await?;
        hold!(read == wanted, "read_at({range:?}) gave other bytes");
        let mut position = range.start;
        let mut stream = Arc::clone(&object).stream(range.clone());
        let mut all = Vec::new();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes?;
            position += bytes.len() as u64;
            hold!(
                position == range.end || position.is_multiple_of(FRAME_BYTES),
                "a piece of stream({range:?}) ends at {position}, not at a frame's end"
            );
            all.extend_from_slice(&bytes);
        }
        hold!(all == wanted, "stream({range:?}) gave other bytes");
    }
    bench.store.delete(key).await?;
    Ok(())
}

async fn a_read_beyond_the_end_is_truncated(bench: &Bench) -> Claim {
    let key = bench.put(&sample(1000)).await?;
    if let Some(object) = bench.store.open(key).await? {
        let read = object.read_at(0..1001).await;
        hold!(matches!(read, Err(BlobError::Truncated { .. })), "read_at gave {read:?}");
        let mut stream = object.stream(900..1001);
        let mut last = None;
        while let Some(item) = stream.next().await {
            last = Some(item);
        }
        hold!(matches!(last, Some(Err(BlobError::Truncated { .. }))), "stream ended with {last:?}");
    }
    bench.store.delete(key).await?;
    Ok(())
}

async fn a_key_gets_an_object_once(bench: &Bench) -> Claim {
    let content = sample(10);
    let key = bench.put(&content).await?;
    let mut second = bench.ingest(key);
    second.push(sample(20)).await?;
    let result = second.finish(&Digest::sha256(&sample(20))).await;
    hold!(matches!(result, Err(IngestError::Blob(BlobError::Exists { .. }))), "a second object: {result:?}");
    hold!(bench.content(key).await?.as_deref() == Some(&content[..]), "the first object was changed");
    bench.store.delete(key).await?;
    Ok(())
}

async fn a_paused_write_continues_to_the_same_bytes(bench: &Bench) -> Claim {
    // Larger than an S3 part, with pauses at odd places, among them several within one part.
    let content = sample(12_000_001);
    let key = bench.key();
    let mut ingest = bench.ingest(key);
    let mut from = 0;
    for to in [0, 1, 300_000, 300_000, 5_242_880, 5_242_881, 11_000_000, 12_000_001] {
        ingest.push(content.slice(from..to)).await?;
        from = to;
        let saved = ingest.pause().await?.to_bytes();
        let state = IngestState::from_bytes(&saved)?;
        hold!(state.offset() == to as u64, "offset {} instead of {to}", state.offset());
        ingest = Ingest::resume(Arc::clone(&bench.store), key, &state, bench.budget.clone()).await?;
    }
    let done = ingest.finish(&Digest::sha256(&content)).await?;
    hold!(done.size == content.len() as u64, "{} bytes", done.size);
    hold!(bench.content(key).await?.as_deref() == Some(&content[..]), "other bytes");
    bench.store.delete(key).await?;
    Ok(())
}

async fn bytes_after_the_pause_are_dropped_by_resume(bench: &Bench) -> Claim {
    let content = sample(400_000);
    let key = bench.key();
    let mut ingest = bench.ingest(key);
    ingest.push(content.slice(..100_000)).await?;
    let state = ingest.pause().await?;
    let resumed = || Ingest::resume(Arc::clone(&bench.store), key, &state, bench.budget.clone());
    let mut cut = resumed().await?;
    cut.push(sample(200_000)).await?;
    cut.pause().await?;
    let mut again = resumed().await?;
    again.push(content.slice(100_000..)).await?;
    again.finish(&Digest::sha256(&content)).await?;
    hold!(bench.content(key).await?.as_deref() == Some(&content[..]), "other bytes");
    bench.store.delete(key).await?;
    Ok(())
}

async fn a_wrong_digest_leaves_nothing(bench: &Bench) -> Claim {
    for length in [10, 3_000_000, 6_000_000] {
        let key = bench.key();
        let mut ingest = bench.ingest(key);
        ingest.push(sample(length)).await?;
        let result = ingest.finish(&Digest::sha256(b"other")).await;
        hold!(matches!(result, Err(IngestError::Digest { .. })), "{result:?}");
        hold!(bench.becomes_absent(key).await?, "the object of {length} bytes is still there");
    }
    Ok(())
}

async fn another_algorithm_is_verified_too(bench: &Bench) -> Claim {
    let content = sample(300_000);
    for (expected, good) in [(&content, true), (&sample(3), false)] {
        let key = bench.key();
        let mut ingest = bench.ingest(key);
        ingest.push(content.clone()).await?;
        let result = ingest.finish(&Digest::of(Algorithm::Sha512, expected)).await;
        hold!(result.is_ok() == good, "{result:?}");
        hold!(good || bench.becomes_absent(key).await?, "the wrong object is still there");
        bench.store.delete(key).await?;
    }
    Ok(())
}

async fn a_dropped_upload_leaves_nothing(bench: &Bench) -> Claim {
    let key = bench.key();
    let mut ingest = bench.ingest(key);
    ingest.push(sample(6_000_000)).await?;
    drop(ingest);
    hold!(bench.becomes_absent(key).await?, "the object is still there");
    bench.store.abort(key, None).await?;
    let open = bench.store.unfinished(1000).await?;
    hold!(!open.iter().any(|write| write.key == key), "its multipart upload is still there");
    Ok(())
}

async fn a_dropped_continuation_keeps_the_saved_state(bench: &Bench) -> Claim {
    let content = sample(7_000_000);
    let key = bench.key();
    let mut ingest = bench.ingest(key);
    ingest.push(content.slice(..1_000_000)).await?;
    let state = ingest.pause().await?;
    let resumed = || Ingest::resume(Arc::clone(&bench.store), key, &state, bench.budget.clone());
    let mut dropped = resumed().await?;
    dropped.push(sample(6_000_000)).await?;
    drop(dropped);
    let mut again = resumed().await?;
    again.push(content.slice(1_000_000..)).await?;
    again.finish(&Digest::sha256(&content)).await?;
    hold!(bench.content(key).await?.as_deref() == Some(&content[..]), "other bytes");
    bench.store.delete(key).await?;
    Ok(())
}

async fn an_abort_removes_an_unfinished_object(bench: &Bench) -> Claim {
    for (length, told) in [(0, true), (1000, true), (6_000_000, true), (1000, false), (6_000_000, false)] {
        let key = bench.key();
        let mut ingest = bench.ingest(key);
        ingest.push(sample(length)).await?;
        let state = ingest.pause().await?;
        let told = told.then(|| state.write_state());
        bench.store.abort(key, told).await?;
        bench.store.abort(key, told).await?;
        hold!(bench.store.open(key).await?.is_none(), "the object is still there");
        let open = bench.store.unfinished(1000).await?;
        hold!(!open.iter().any(|write| write.key == key), "parts of {length} bytes are still there");
        let mut again = bench.ingest(key);
        again.push(sample(5)).await?;
        again.finish(&Digest::sha256(&sample(5))).await?;
        bench.store.delete(key).await?;
    }
    Ok(())
}

async fn a_state_without_its_object_is_lost(bench: &Bench) -> Claim {
    let key = bench.key();
    let mut ingest = bench.ingest(key);
    ingest.push(sample(6_000_000)).await?;
    let state = ingest.pause().await?;
    bench.store.abort(key, Some(state.write_state())).await?;
    let result = async {
        let mut ingest = Ingest::resume(Arc::clone(&bench.store), key, &state, bench.budget.clone()).await?;
        ingest.push(sample(6_000_000)).await?;
        let mut all = sample(6_000_000).to_vec();
        all.extend_from_slice(&sample(6_000_000));
        ingest.finish(&Digest::sha256(&all)).await
    };
    let result: Result<_, IngestError> = result.await;
    hold!(matches!(result, Err(IngestError::Blob(BlobError::Lost { .. }))), "{result:?}");
    bench.store.abort(key, None).await?;
    let foreign = WriteState::from_bytes(b"not a state");
    hold!(matches!(foreign, Err(BlobError::State(_))), "{foreign:?}");
    Ok(())
}

async fn deletion_is_idempotent(bench: &Bench) -> Claim {
    let key = bench.put(&sample(10)).await?;
    for _ in 0..3 {
        bench.store.delete(key).await?;
        hold!(bench.store.stat(key).await?.is_none(), "it is still there");
    }
    Ok(())
}

async fn a_listing_is_ordered_and_complete(bench: &Bench) -> Claim {
    let mut mine = Vec::new();
    for length in 1..=20 {
        mine.push((bench.put(&sample(length)).await?, length as u64));
    }
    mine.sort_unstable();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.list(after, 7).await?;
        hold!(page.len() <= 7, "{} rows instead of at most 7", page.len());
        hold!(page.is_sorted_by(|a, b| a.key < b.key), "a page is not in order");
        hold!(page.first().is_none_or(|row| after.is_none_or(|after| row.key > after)), "a row came twice");
        seen.extend(page.iter().map(|row| (row.key, row.size)));
        after = page.last().map(|row| row.key);
        if page.len() < 7 {
            break;
        }
    }
    seen.retain(|row| mine.contains(row));
    hold!(seen == mine, "{} of {} objects seen", seen.len(), mine.len());
    for (key, _) in mine {
        bench.store.delete(key).await?;
    }
    Ok(())
}

async fn stamps_tell_objects_apart(bench: &Bench) -> Claim {
    let (one, two) = (bench.put(&sample(10)).await?, bench.put(&sample(11)).await?);
    let (first, again) = (bench.store.stat(one).await?, bench.store.stat(one).await?);
    hold!(first.is_some() && first == again, "the stamp of an unchanged object changed");
    hold!(
        first.map(|s| s.stamp) != bench.store.stat(two).await?.map(|s| s.stamp),
        "two objects have one stamp"
    );
    let opened = bench.store.open(one).await?.map(|object| object.stat());
    hold!(opened == first, "open and stat do not agree: {opened:?} and {first:?}");
    for key in [one, two] {
        bench.store.delete(key).await?;
    }
    Ok(())
}

async fn the_probe_passes(bench: &Bench) -> Claim {
    let found = bench.store.probe().await?;
    hold!(found.warnings.iter().all(|line| !line.contains('\n')), "a warning has more than one line");
    Ok(())
}
