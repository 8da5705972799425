//! What the file store promises about durability, space and saved states.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use blobs::{
    BlobError, BlobKey, BlobStore, Budget, FsBlobs, Ingest, IngestError, IngestState, MemoryBlobs, suite,
};
use bytes::Bytes;
use oci::{Algorithm, Digest};
use proptest::prelude::*;

const MIB: usize = 1 << 20;

fn budget() -> Budget {
    Budget::new(32 * MIB, Duration::from_secs(30))
}

fn ingest(store: &Arc<dyn BlobStore>, id: u128) -> Ingest {
    Ingest::begin(Arc::clone(store), BlobKey::from_id(id), Algorithm::Sha256, budget())
}

async fn put(store: &Arc<dyn BlobStore>, id: u128, content: &Bytes) {
    let mut upload = ingest(store, id);
    upload.push(content.clone()).await.unwrap();
    upload.finish(&Digest::sha256(content)).await.unwrap();
}

fn path_of(store: &Path, id: u128) -> PathBuf {
    store.join(BlobKey::from_id(id).to_string())
}

/// Runs in a child under strace, see below.
#[tokio::test]
#[ignore = "the traced part of the next test"]
async fn traced_push() {
    let directory = std::env::var_os("BLOBS_TRACED").unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(PathBuf::from(directory)).unwrap());
    put(&store, 1, &suite::sample(1000)).await;
    // Seen in the trace: finish has returned.
    assert!(!Path::new("/acknowledged-1").exists());
    put(&store, 2, &suite::sample(3 * MIB)).await;
    assert!(!Path::new("/acknowledged-2").exists());
}

#[test]
fn a_file_is_synced_then_its_directory_then_finish_returns() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=openat,pwritev,fsync,fdatasync,rename,linkat,statx,stat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "traced_push", "--ignored"])
        .env("BLOBS_TRACED", directory.path().join("blobs"))
        .stdout(std::process::Stdio::null())
        .status();
    let Ok(status) = status else {
        println!("skipped: strace is not installed");
        return;
    };
    assert!(status.success());
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    assert!(!trace.contains("rename("), "objects are never renamed");
    for id in [1_u128, 2] {
        let key = BlobKey::from_id(id).to_string();
        let shard = &key[..2];
        let at = |what: &str, needle: &str| {
            let found = lines.iter().position(|line| line.contains(what) && line.contains(needle));
            found.unwrap_or_else(|| panic!("no {what} with {needle}"))
        };
        let last_write =
            lines.iter().rposition(|line| line.contains("pwritev(") && line.contains(&key)).unwrap();
        let file_synced = at("fsync(", &format!("/{key}>"));
        let directory_synced = lines
            .iter()
            .enumerate()
            .skip(file_synced)
            .find(|(_, line)| line.contains("fsync(") && line.contains(&format!("blobs/{shard}>")))
            .map(|(index, _)| index)
            .unwrap();
        let acknowledged = at("acknowledged", &format!("-{id}"));
        assert!(
            last_write < file_synced && file_synced < directory_synced && directory_synced < acknowledged
        );
    }
}

/// A small file system that fills up; `None` without the right to mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: this user may not mount a tmpfs");
        }
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_space_and_gives_the_failed_uploads_space_back() {
    let Some(disk) = SmallDisk::mount("12m") else { return };
    let files = FsBlobs::open(disk.0.path().join("blobs")).unwrap();
    assert!(files.probe().await.unwrap().warnings[0].contains("tmpfs"));
    let store: Arc<dyn BlobStore> = Arc::new(files);
    let content = suite::sample(4 * MIB);
    put(&store, 1, &content).await;
    let free = async || store.free_space().await.unwrap().unwrap().available_bytes;
    let before = free().await;

    // A fresh upload disappears.
    let mut upload = ingest(&store, 2);
    let mut result = Ok(());
    for _ in 0..30 {
        result = upload.push(suite::sample(MIB)).await;
        if result.is_err() {
            break;
        }
    }
    assert!(matches!(result, Err(BlobError::NoSpace)), "{result:?}");
    drop(upload);
    assert_eq!(free().await, before, "the failed upload keeps the disk full");

    // A continued one goes back to its saved state, and can go on from there when there is room.
    let mut upload = ingest(&store, 3);
    upload.push(content.slice(..MIB)).await.unwrap();
    let state = upload.pause().await.unwrap();
    let resume = || Ingest::resume(Arc::clone(&store), BlobKey::from_id(3), &state, budget());
    let mut upload = resume().await.unwrap();
    let result = async {
        upload.push(suite::sample(20 * MIB)).await?;
        upload.finish(&Digest::sha256(b"")).await.map_err(|error| match error {
            IngestError::Blob(error) => error,
            other => BlobError::Unfit(other.to_string()),
        })
    };
    let result = result.await;
    assert!(matches!(result, Err(BlobError::NoSpace)), "{result:?}");
    let mut upload = resume().await.unwrap();
    upload.push(content.slice(MIB..)).await.unwrap();
    upload.finish(&Digest::sha256(&content)).await.unwrap();
    let old = store.open(BlobKey::from_id(1)).await.unwrap().unwrap();
    assert_eq!(old.read_at(0..4 * MIB as u64).await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_directories_are_refused_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/blobs")] {
        let error = FsBlobs::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.lines().count() == 1, "{error}");
    }
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remounted.success());
    let error = FsBlobs::open(disk.0.path()).unwrap_err().to_string();
    assert!(error.contains("read-only; mount it writable") || error.contains("mount it writable"), "{error}");
}

#[tokio::test]
async fn only_the_owner_may_read_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("blobs");
    let store: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(&root).unwrap());
    put(&store, 1, &suite::sample(1)).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&root), mode(&root.join("01")), mode(&path_of(&root, 1))), (0o700, 0o700, 0o600));
    assert_eq!(store.probe().await.unwrap().warnings, Vec::<String>::new());
}

#[tokio::test]
async fn bytes_lost_under_a_saved_state_are_noticed_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn BlobStore> { Arc::new(FsBlobs::open(directory.path()).unwrap()) };
    for damage in ["none", "zeros", "shorter"] {
        let id = 7;
        let content = suite::sample(700_000);
        let mut upload = ingest(&open(), id);
        upload.push(content.slice(..500_000)).await.unwrap();
        let state = IngestState::from_bytes(&upload.pause().await.unwrap().to_bytes()).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(path_of(directory.path(), id)).unwrap();
        match damage {
            "zeros" => file.write_all_at(&[0; 4096], 300_000).unwrap(),
            "shorter" => file.set_len(499_999).unwrap(),
            _ => {}
        }
        let next = open();
        let resumed = Ingest::resume(Arc::clone(&next), BlobKey::from_id(id), &state, budget()).await;
        match (damage, resumed) {
            ("none", Ok(mut upload)) => {
                upload.push(content.slice(500_000..)).await.unwrap();
                upload.finish(&Digest::sha256(&content)).await.unwrap();
            }
            ("zeros" | "shorter", Err(BlobError::Lost { offset: 500_000, .. })) => {}
            (damage, other) => panic!("{damage}: {:?}", other.map(|upload| upload.offset())),
        }
        next.abort(BlobKey::from_id(id), Some(state.write_state())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_share_one_small_budget() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(directory.path()).unwrap());
    let budget = Budget::new(32 * MIB, Duration::from_secs(30));
    let content = suite::sample(3 * MIB);
    let digest = Digest::sha256(&content);
    let uploads = (0..64).map(|id| {
        let (store, budget, content) = (Arc::clone(&store), budget.clone(), content.clone());
        tokio::spawn(async move {
            let mut upload = Ingest::begin(store, BlobKey::from_id(id), Algorithm::Sha256, budget);
            for chunk in content.chunks(70_000) {
                upload.push(Bytes::copy_from_slice(chunk)).await?;
                tokio::task::yield_now().await;
            }
            upload.finish(&digest).await
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.await.unwrap().unwrap();
    }
    assert_eq!(budget.free_bytes(), 32 * MIB, "memory was not given back");
}

#[tokio::test]
async fn damaged_states_are_errors() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
    let mut upload = ingest(&store, 1);
    upload.push(suite::sample(600_000)).await.unwrap();
    let good = upload.pause().await.unwrap().to_bytes();
    IngestState::from_bytes(&good).unwrap();
    for length in 0..good.len() {
        assert!(IngestState::from_bytes(&good[..length]).is_err(), "cut to {length}");
        let mut bad = good.clone();
        bad[length] ^= 4;
        assert!(IngestState::from_bytes(&bad).is_err(), "flipped at {length}");
    }
    let files = tempfile::tempdir().unwrap();
    let other: Arc<dyn BlobStore> = Arc::new(FsBlobs::open(files.path()).unwrap());
    let state = IngestState::from_bytes(&good).unwrap();
    let wrong = Ingest::resume(other, BlobKey::from_id(1), &state, budget()).await;
    assert!(matches!(wrong, Err(BlobError::State(_))), "a state of another kind of store was taken");
}

/// One file store for all cases: making its directories takes longer than a case.
static SHARED: LazyLock<(tempfile::TempDir, Arc<dyn BlobStore>)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FsBlobs::open(directory.path()).unwrap());
    (directory, store)
});
static NEXT: AtomicU64 = AtomicU64::new(0);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Any split into pushes and pauses gives the same bytes, digest and frames.
    #[test]
    fn any_split_and_pause_gives_the_same_blob(
        steps in prop::collection::vec((0_usize..400_000, any::<bool>()), 0..12),
        files in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = if files { Arc::clone(&SHARED.1) } else { Arc::new(MemoryBlobs::new()) as Arc<dyn BlobStore> };
            let one = u128::from(NEXT.fetch_add(2, Ordering::Relaxed));
            let two = one + 1;
            let content = suite::sample(steps.iter().map(|step| step.0).sum());
            let mut whole = ingest(&store, one);
            whole.push(content.clone()).await.unwrap();
            let whole = whole.finish(&Digest::sha256(&content)).await.unwrap();
            let (mut split, mut from) = (ingest(&store, two), 0);
            for (length, pause) in steps {
                split.push(content.slice(from..from + length)).await.unwrap();
                from += length;
                if pause {
                    let saved = split.pause().await.unwrap().to_bytes();
                    let state = IngestState::from_bytes(&saved).unwrap();
                    assert_eq!(state.offset(), from as u64);
                    split = Ingest::resume(store.clone(), BlobKey::from_id(two), &state, budget()).await.unwrap();
                }
            }
            let split = split.finish(&Digest::sha256(&content)).await.unwrap();
            assert_eq!((split.size, &split.frames, split.digest), (whole.size, &whole.frames, whole.digest));
            let object = store.open(BlobKey::from_id(two)).await.unwrap().unwrap();
            assert_eq!(object.read_at(0..split.size).await.unwrap(), content);
            for id in [one, two] {
                store.delete(BlobKey::from_id(id)).await.unwrap();
            }
        });
    }
}
