//! A flipped bit never leaves as a whole answer.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobs::verify::FrameSourceError;
use blobs::{
    BlobError, BlobKey, BlobReader, BlobStore, BoxFuture, Budget, Fault, FrameChecks, FrameSource, FsBlobs,
    HookedBlobs, Ingest, MemoryBlobs, Operation, suite,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Algorithm, Digest};

const SIZE: usize = 1_000_000;
const KEY: BlobKey = BlobKey::from_id(42);

/// Checksums in a map, as the database has them; counts what is loaded.
#[derive(Default)]
struct Rows {
    sums: Mutex<HashMap<BlobKey, Vec<u32>>>,
    loads: AtomicUsize,
    down: Mutex<bool>,
}

impl FrameSource for Rows {
    fn load(
        &self,
        key: BlobKey,
        frames: Range<u32>,
    ) -> BoxFuture<'_, Result<Option<Vec<u32>>, FrameSourceError>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let found = self.sums.lock().unwrap().get(&key).cloned();
        let down = *self.down.lock().unwrap();
        Box::pin(async move {
            if down {
                return Err("database is down".into());
            }
            Ok(found.map(|sums| sums[frames.start as usize..frames.end as usize].to_vec()))
        })
    }
}

struct Bench {
    _directory: tempfile::TempDir,
    path: PathBuf,
    content: Bytes,
    rows: Arc<Rows>,
    seconds: Arc<AtomicU64>,
    reported: Arc<Mutex<Vec<(BlobKey, u32)>>>,
    reader: BlobReader,
}

async fn upload(store: &Arc<dyn BlobStore>, rows: &Rows, content: &Bytes) {
    let budget = Budget::new(32 << 20, Duration::from_secs(5));
    let mut ingest = Ingest::begin(store.clone(), KEY, Algorithm::Sha256, budget);
    ingest.push(content.clone()).await.unwrap();
    let done = ingest.finish(&Digest::sha256(content)).await.unwrap();
    rows.sums.lock().unwrap().insert(KEY, done.frames);
}

fn reader(
    store: Arc<dyn BlobStore>,
    rows: &Arc<Rows>,
    seconds: &Arc<AtomicU64>,
    reported: &Arc<Mutex<Vec<(BlobKey, u32)>>>,
) -> BlobReader {
    let (seconds, reported) = (Arc::clone(seconds), Arc::clone(reported));
    let clock = Arc::new(move || Duration::from_secs(seconds.load(Ordering::SeqCst)));
    let checks = Arc::new(FrameChecks::new(1 << 20, clock));
    let report = Arc::new(move |key, frame| reported.lock().unwrap().push((key, frame)));
    BlobReader::new(store, checks, rows.clone(), report)
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.path()).unwrap());
        let (rows, content) = (Arc::new(Rows::default()), suite::sample(SIZE));
        upload(&store, &rows, &content).await;
        let (seconds, reported) = (Arc::default(), Arc::default());
        let reader = reader(store, &rows, &seconds, &reported);
        let path = directory.path().join(KEY.to_string());
        Self { _directory: directory, path, content, rows, seconds, reported, reader }
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let blob = self.reader.open(KEY, SIZE as u64).await?.unwrap();
        let mut body = blob.body(range).await?;
        let mut all = Vec::new();
        while let Some(bytes) = body.next().await {
            all.extend_from_slice(&bytes?);
        }
        assert_eq!(body.remaining(), 0);
        Ok(all)
    }

    /// Flips a bit on the disk; `quietly` keeps the modification time, as rot does.
    fn flip(&self, at: u64, quietly: bool) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let time = if quietly { time } else { time + Duration::from_secs(1) };
        file.set_modified(time).unwrap();
    }

    fn reported(&self) -> Vec<(BlobKey, u32)> {
        std::mem::take(&mut self.reported.lock().unwrap())
    }
}

#[tokio::test]
async fn every_range_is_exact_before_and_after_the_check() {
    let bench = Bench::new().await;
    let edges = [0, 1, 262_143, 262_144, 262_145, 524_288, 786_431, 786_432, SIZE as u64 - 1, SIZE as u64];
    for round in 0..2 {
        for start in edges {
            for end in edges.into_iter().filter(|end| *end >= start) {
                let wanted = &bench.content[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
                assert_eq!(bench.read(start..end).await.unwrap(), wanted, "{start}..{end} in round {round}");
            }
        }
    }
    let loads = bench.rows.loads.load(Ordering::SeqCst);
    assert!(loads <= 4, "{loads} loads of checksums: checked frames are checked again");
    assert_eq!(bench.reported(), []);
}

#[tokio::test]
async fn a_flipped_bit_cuts_the_transfer_at_first_serving() {
    for at in [0, 262_143, 262_144, 999_999] {
        let bench = Bench::new().await;
        bench.flip(at, true);
        let bad = u32::try_from(at / 262_144).unwrap();
        let result = bench.read(0..SIZE as u64).await;
        assert!(matches!(result, Err(BlobError::Corrupt { frame, .. }) if frame == bad), "{at}: {result:?}");
        assert_eq!(bench.reported(), [(KEY, bad)]);
        // A range within the bad frame that does not even touch the flipped byte is widened and refused; others pass.
        let inside = u64::from(bad) * 262_144 + 100;
        assert!(bench.read(inside..inside + 10).await.is_err());
        let other = if bad == 0 { 300_000 } else { 10 };
        assert_eq!(bench.read(other..other + 10).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn a_change_with_a_new_time_is_found_at_once_and_quiet_rot_after_a_day() {
    let bench = Bench::new().await;
    bench.read(0..SIZE as u64).await.unwrap();
    bench.flip(300_000, true);
    assert!(bench.read(0..SIZE as u64).await.is_ok(), "a checked frame is not read for a check again");
    bench.seconds.store(24 * 3600, Ordering::SeqCst);
    assert!(matches!(bench.read(0..SIZE as u64).await, Err(BlobError::Corrupt { frame: 1, .. })));

    let bench = Bench::new().await;
    bench.read(0..SIZE as u64).await.unwrap();
    bench.flip(300_000, false);
    assert!(matches!(bench.read(0..SIZE as u64).await, Err(BlobError::Corrupt { frame: 1, .. })));
}

#[tokio::test]
async fn another_size_or_a_missing_file_is_never_served() {
    let bench = Bench::new().await;
    let file = std::fs::OpenOptions::new().write(true).open(&bench.path).unwrap();
    file.set_len(SIZE as u64 - 1).unwrap();
    assert!(matches!(
        bench.reader.open(KEY, SIZE as u64).await,
        Err(BlobError::Truncated { at: 999_999, .. })
    ));
    assert_eq!(bench.reported(), [(KEY, 3)]);
    std::fs::remove_file(&bench.path).unwrap();
    assert!(bench.reader.open(KEY, SIZE as u64).await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_cut_while_it_is_streamed_ends_the_stream_with_an_error() {
    let bench = Bench::new().await;
    bench.read(0..SIZE as u64).await.unwrap();
    let blob = bench.reader.open(KEY, SIZE as u64).await.unwrap().unwrap();
    let mut body = blob.body(0..SIZE as u64).await.unwrap();
    body.next().await.unwrap().unwrap();
    std::fs::OpenOptions::new().write(true).open(&bench.path).unwrap().set_len(600_000).unwrap();
    let mut last = None;
    while let Some(item) = body.next().await {
        last = Some(item);
    }
    assert!(matches!(last, Some(Err(BlobError::Truncated { at: 600_000, .. }))), "{last:?}");
    assert!(body.remaining() > 0);
}

#[tokio::test]
async fn without_its_checksums_a_blob_is_not_served_but_without_any_it_is() {
    let bench = Bench::new().await;
    *bench.rows.down.lock().unwrap() = true;
    assert!(matches!(bench.read(0..10).await, Err(BlobError::Frames(_))));
    *bench.rows.down.lock().unwrap() = false;
    bench.rows.sums.lock().unwrap().clear();
    assert_eq!(bench.read(0..10).await.unwrap(), bench.content[..10]);
}

#[tokio::test]
async fn faults_of_a_remote_read_are_caught_the_same_way() {
    let memory: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
    let (rows, content) = (Arc::new(Rows::default()), suite::sample(SIZE));
    upload(&memory, &rows, &content).await;
    for (fault, corrupt) in
        [(Fault::Flip(500_000), true), (Fault::EndAt(700_000), true), (Fault::None, false)]
    {
        let hooked = HookedBlobs::new(memory.clone(), move |operation, _| match operation {
            Operation::Read => fault,
            _ => Fault::None,
        });
        let reported = Arc::default();
        let reader = reader(Arc::new(hooked), &rows, &Arc::default(), &reported);
        let blob = reader.open(KEY, SIZE as u64).await.unwrap().unwrap();
        let result = blob.read_all(SIZE as u64).await;
        assert_eq!(result.as_ref().is_err_and(BlobError::is_corruption), corrupt, "{fault:?}: {result:?}");
        assert_eq!(reported.lock().unwrap().len(), usize::from(corrupt), "{fault:?}");
    }
}
