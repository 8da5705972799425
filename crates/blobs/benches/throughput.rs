//! What uploads and reads cost, beside the floor of what they cannot avoid.
//!
//! `cargo bench -p blobs` prints CPU time (all threads) and wall time, the best of several rounds; floors and subjects
//! take turns, so that a busy machine harms both alike. The floor of an upload is one thread that copies each chunk once
//! (receiving), hashes and writes it; that of a read is `pread` into one buffer.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blobs::verify::FrameSourceError;
use blobs::{
    BlobKey, BlobReader, BlobStore, BoxFuture, Budget, FrameChecks, FrameSource, FsBlobs, Ingest,
    MemoryBlobs, suite,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Algorithm, Digest, Hasher};
use rustix::time::{ClockId, clock_gettime};

const CHUNK: usize = 256 * 1024;
const ROUNDS: usize = 7;

/// CPU and wall time of one run.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

struct Meter {
    cpu: Duration,
    wall: Instant,
}

impl Meter {
    fn start() -> Self {
        Self { cpu: cpu(), wall: Instant::now() }
    }

    fn stop(&self, times: u32) -> Cost {
        Cost { cpu: cpu().saturating_sub(self.cpu) / times, wall: self.wall.elapsed() / times }
    }
}

fn best(costs: &[Cost]) -> Cost {
    Cost {
        cpu: costs.iter().map(|c| c.cpu).min().unwrap(),
        wall: costs.iter().map(|c| c.wall).min().unwrap(),
    }
}

fn show(name: &str, bytes: usize, subject: &[Cost], floor: Option<&[Cost]>) {
    let subject = best(subject);
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e6;
    let against = floor.map_or(String::new(), |floor| {
        let floor = best(floor);
        format!(
            "; floor cpu {:>9.1?}, ratio {:.2}",
            floor.cpu,
            subject.cpu.as_secs_f64() / floor.cpu.as_secs_f64()
        )
    });
    println!(
        "{name:<34} cpu {:>9.1?} wall {:>9.1?} {:>6.0} MB/s per core{against}",
        subject.cpu,
        subject.wall,
        rate(subject.cpu)
    );
}

struct NoRows(Vec<u32>);

impl FrameSource for NoRows {
    fn load(
        &self,
        _: BlobKey,
        frames: std::ops::Range<u32>,
    ) -> BoxFuture<'_, Result<Option<Vec<u32>>, FrameSourceError>> {
        let sums = self.0[frames.start as usize..frames.end as usize].to_vec();
        Box::pin(async move { Ok(Some(sums)) })
    }
}

/// Uploads `content` in chunks that are copied once, as from a socket.
async fn push(
    store: Arc<dyn BlobStore>,
    key: BlobKey,
    content: &[u8],
    digest: &Digest,
    budget: &Budget,
) -> Vec<u32> {
    let mut ingest = Ingest::begin(store, key, Algorithm::Sha256, budget.clone());
    for chunk in content.chunks(CHUNK) {
        ingest.push(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    ingest.finish(digest).await.unwrap().frames
}

fn floor_push(path: &Path, content: &[u8], sync: bool) {
    let file = std::fs::File::create(path).unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut received = vec![0; CHUNK];
    let mut at = 0;
    for chunk in content.chunks(CHUNK) {
        received[..chunk.len()].copy_from_slice(chunk);
        hasher.update(&received[..chunk.len()]);
        file.write_all_at(&received[..chunk.len()], at).unwrap();
        at += chunk.len() as u64;
    }
    std::hint::black_box(hasher.finish());
    if sync {
        file.sync_all().unwrap();
    }
    drop(file);
    std::fs::remove_file(path).unwrap();
}

async fn uploads(directory: &Path, next: &AtomicU64) {
    let files: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.join("blobs")).unwrap());
    let memory: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    for (name, size, times) in [("4 KiB", 4 << 10, 50_u32), ("1 MiB", 1 << 20, 8), ("64 MiB", 64 << 20, 1)] {
        let content = suite::sample(size);
        let digest = Digest::sha256(&content);
        for (kind, store) in [("files", &files), ("memory", &memory)] {
            let (mut floors, mut subjects) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let meter = Meter::start();
                for _ in 0..times {
                    floor_push(&directory.join("floor"), &content, kind == "files");
                }
                floors.push(meter.stop(times));
                let meter = Meter::start();
                for _ in 0..times {
                    let key = BlobKey::from_id(u128::from(next.fetch_add(1, Ordering::Relaxed)));
                    push(Arc::clone(store), key, &content, &digest, &budget).await;
                    store.delete(key).await.unwrap();
                }
                subjects.push(meter.stop(times));
            }
            show(&format!("push {name} to {kind}"), size, &subjects, Some(&floors));
        }
    }
}

/// Many small pushes at once: in shards of their own, and sharing one, whose syncs are shared too.
async fn together(directory: &Path, next: &AtomicU64) {
    const AT_ONCE: u32 = 32;
    let files: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.join("blobs")).unwrap());
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    let content = suite::sample(4 << 10);
    let digest = Digest::sha256(&content);
    let (mut apart, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (shift, costs) in [(0, &mut apart), (8, &mut shared)] {
            let meter = Meter::start();
            let pushes = (0..AT_ONCE).map(|_| {
                let key = BlobKey::from_id(u128::from(next.fetch_add(1, Ordering::Relaxed)) << shift);
                let (store, budget, content) = (Arc::clone(&files), budget.clone(), content.clone());
                tokio::spawn(async move { push(store, key, &content, &digest, &budget).await })
            });
            futures_util::future::join_all(pushes.collect::<Vec<_>>()).await;
            costs.push(meter.stop(AT_ONCE));
        }
    }
    show("32 pushes at once, shards apart", 4 << 10, &apart, None);
    show("32 pushes at once, one shard", 4 << 10, &shared, Some(&apart));
}

async fn reads(directory: &Path, next: &AtomicU64) {
    let files: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.join("blobs")).unwrap());
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    let started = Instant::now();
    for (name, size, times) in
        [("1 KiB", 1 << 10, 5000_u32), ("256 KiB", 256 << 10, 500), ("64 MiB", 64 << 20, 4)]
    {
        let content = suite::sample(size);
        let key = BlobKey::from_id(u128::from(next.fetch_add(1, Ordering::Relaxed)));
        let frames = push(Arc::clone(&files), key, &content, &Digest::sha256(&content), &budget).await;
        let checks = Arc::new(FrameChecks::new(1 << 20, Arc::new(move || started.elapsed())));
        let reader = BlobReader::new(
            Arc::clone(&files),
            Arc::clone(&checks),
            Arc::new(NoRows(frames)),
            Arc::new(|_, _| {}),
        );
        let path = directory.join("blobs").join(key.to_string());
        let (mut floors, mut checked, mut first) = (Vec::new(), Vec::new(), Vec::new());
        let mut buffer = vec![0; CHUNK.min(size)];
        for _ in 0..ROUNDS {
            let meter = Meter::start();
            for _ in 0..times {
                let file = std::fs::File::open(&path).unwrap();
                for at in (0..size).step_by(CHUNK) {
                    file.read_exact_at(&mut buffer, at as u64).unwrap();
                }
            }
            floors.push(meter.stop(times));
            for (forget, costs) in [(false, &mut checked), (true, &mut first)] {
                let meter = Meter::start();
                for _ in 0..times {
                    if forget {
                        checks.forget(key);
                    }
                    let blob = reader.open(key, size as u64).await.unwrap().unwrap();
                    let mut body = blob.body(0..size as u64).await.unwrap();
                    let mut count = 0;
                    while let Some(bytes) = body.next().await {
                        count += bytes.unwrap().len();
                    }
                    assert_eq!(count, size);
                }
                costs.push(meter.stop(times));
            }
        }
        show(&format!("read {name}, checked before"), size, &checked, Some(&floors));
        show(&format!("read {name}, first time"), size, &first, Some(&floors));
    }
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(async move {
            uploads(directory.path(), &next).await;
            together(directory.path(), &next).await;
            reads(directory.path(), &next).await;
        })
        .await
        .unwrap();
    });
}
