//! Garbage collection and scrub on a registry in memory: what is needed stays, the rest gives its space back.

use crate::support::{World, body};

use blobs::{
    BlobKey, BlobStore as _, Budget, Failure, Fault, HookedBlobs, MemoryBlobs, Operation, RemoteBlobs,
};
use metadata::model::PrincipalId;
use metadata::model::collect::{TrashRow, trash};
use metadata::model::manifest::{self, NewManifest};
use metadata::{Clock as _, ManualClock, SeededRandom, Sqlite, Store, SystemClock};
use oci::Digest;
use registry::{Error, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use workers::maintenance;
use workers::upkeep::{Collect, CollectJob, Scrub, ScrubJob};

/// Everything is collected as soon as nothing needs it.
fn at_once() -> Settings {
    let zero = Duration::ZERO;
    Settings { blob_lease: zero, restore_window: zero, collect_grace: zero, ..Settings::default() }
}

#[tokio::test]
async fn a_deleted_image_gives_its_disk_back_after_the_restore_window_and_not_before() {
    let world = World::new(Settings::default()).await;
    let kept = world.image("kept", &[b"shared", b"kept"]).await.unwrap();
    let gone = world.image("gone", &[b"shared", b"gone"]).await.unwrap();
    assert_eq!(world.objects().await, 6, "what was pushed twice waits in the trash");
    world.collect().await;
    assert_eq!(world.objects().await, 4);
    world.clock.advance(Duration::from_hours(25));
    world.collect().await;
    assert_eq!(world.objects().await, 4, "a live image lost something");
    world.delete(gone).await;
    world.clock.advance(Duration::from_hours(71));
    world.collect().await;
    assert_eq!(world.objects().await, 4, "collected within the restore window");
    world.clock.advance(Duration::from_hours(1));
    let told = world.run::<CollectJob>(&Collect { dry_run: true }).await;
    assert!(told.contains(r#""restores":1"#), "{told}");
    assert_eq!(world.objects().await, 4, "a dry run deletes");
    world.collect().await;
    assert_eq!(world.objects().await, 4, "deleted within the grace");
    world.clock.advance(Duration::from_hours(1));
    let told = world.collect().await;
    assert!(told.contains(r#""objects":1,"freed_bytes":4"#), "{told}");
    assert_eq!(world.objects().await, 3);
    assert!(
        world.readable(&Digest::sha256(b"shared")).await && !world.readable(&Digest::sha256(b"gone")).await
    );
    assert_eq!(world.registry.store().trash_totals().await.unwrap(), (0, 0));
    // What was collected can be pushed again.
    assert_eq!(world.image("gone", &[b"shared", b"gone"]).await.unwrap(), gone);
    assert!(world.readable(&Digest::sha256(b"gone")).await);
    world.delete(kept).await;
}

#[tokio::test]
async fn what_an_abandoned_upload_and_an_unused_blob_hold_comes_back() {
    let world = World::new(Settings::default()).await;
    let grant = world.push_grant().await;
    let headers = registry::upload::ChunkHeaders::default();
    let session = world.registry.start_upload(&grant, None, None).await.unwrap();
    world.registry.put_chunk(&grant, session.id, headers, body(b"half an upl")).await.unwrap();
    world.blob(b"unused").await.unwrap();
    world.collect().await;
    assert!(
        world.registry.upload_status(&grant, session.id).await.is_ok()
            && world.readable(&Digest::sha256(b"unused")).await
    );
    world.clock.advance(Duration::from_hours(25));
    world.collect().await;
    assert!(matches!(world.registry.upload_status(&grant, session.id).await, Err(Error::UploadUnknown)));
    world.clock.advance(Duration::from_hours(1));
    world.collect().await;
    assert_eq!(world.objects().await, 0);
    assert!(world.blobs.unfinished(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_end_of_an_old_deletion_does_not_end_the_lease_of_a_later_upload() {
    let settings =
        Settings { restore_window: Duration::ZERO, collect_grace: Duration::ZERO, ..Settings::default() };
    let world = World::new(settings).await;
    let gone = world.image("gone", &[b"layer"]).await.unwrap();
    world.delete(gone).await;
    world.clock.advance(Duration::from_secs(1));
    world.blob(b"layer").await.unwrap();
    world.collect().await;
    assert!(world.readable(&Digest::sha256(b"layer")).await, "an upload that was just acknowledged");
    assert!(!world.readable(&Digest::sha256(b"{}")).await, "what was only held by the deletion");
}

/// A push reads that a layer is absent; the layer comes before the push commits.
#[tokio::test]
async fn a_blob_that_comes_beside_its_manifest_is_held_by_it() {
    let world = World::new(at_once()).await;
    world.image("other", &[b"other"]).await.unwrap();
    let store = world.registry.store();
    let repository = store.repository(world.push_grant().await.project(), "app").await.unwrap().unwrap();
    let layer = world.blob(b"layer").await.unwrap();
    let bytes: bytes::Bytes = "a manifest that names the layer".into();
    let digest = Digest::sha256(&bytes);
    let mut tx = store.begin().await.unwrap();
    let row = NewManifest {
        repository: repository.id,
        digest,
        media_type: "application/vnd.oci.image.manifest.v1+json".parse().unwrap(),
        artifact_type: None,
        subject: None,
        content_bytes: 0,
        height: 0,
        annotations: "{}".to_owned(),
        pushed_by: PrincipalId::from(1),
        bytes,
        blobs: Vec::new(),
        gaps: vec![layer, Digest::sha256(b"absent")],
        children: Vec::new(),
    };
    manifest::insert(&mut tx, &row, store.now());
    store.commit(tx).await.unwrap();
    assert_eq!(store.manifest_using(repository.id, &layer).await.unwrap(), Some(digest));
    world.clock.advance(Duration::from_secs(1));
    world.collect().await;
    assert!(world.readable(&layer).await);
    world.blob(b"absent").await.unwrap();
    assert_eq!(store.manifest_using(repository.id, &Digest::sha256(b"absent")).await.unwrap(), Some(digest));
}

/// With lease, window and grace of zero nothing but the statements protects a push. A push may be told that a blob is
/// missing; one that is acknowledged is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_beside_a_collection_without_any_grace_stay_whole() {
    let world = Arc::new(World::new(at_once()).await);
    let done = Arc::new(AtomicBool::new(false));
    let collector = tokio::spawn({
        let (world, done) = (world.clone(), done.clone());
        async move {
            let mut runs = 0;
            while !done.load(Ordering::SeqCst) {
                world.collect().await;
                runs += 1;
            }
            runs
        }
    });
    let pushers = (0..4).map(|pusher| {
        let world = world.clone();
        tokio::spawn(async move {
            let (mut pushed, mut repeated) = (Vec::new(), 0);
            for at in 0..40 {
                let own = format!("layer {pusher} {at}");
                let layers: [&[u8]; 3] =
                    [b"base", own.as_bytes(), format!("shared {}", at % 5).leak().as_bytes()];
                let digest = loop {
                    match world.image(&format!("t{pusher}-{}", at % 8), &layers).await {
                        Ok(digest) => break digest,
                        Err(Error::ManifestReferences(_)) => repeated += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                };
                pushed.push((digest, layers.map(Digest::sha256)));
                if at % 3 == 0 {
                    let (digest, _) = pushed.swap_remove(pushed.len() / 2);
                    world.delete(digest).await;
                }
            }
            (pushed, repeated)
        })
    });
    let mut images = Vec::new();
    let mut repeated = 0;
    for pusher in pushers.collect::<Vec<_>>() {
        let (pushed, again) = pusher.await.unwrap();
        images.extend(pushed);
        repeated += again;
    }
    done.store(true, Ordering::SeqCst);
    let runs = collector.await.unwrap();
    world.collect().await;
    for (digest, layers) in &images {
        for layer in layers {
            assert!(world.readable(layer).await, "{digest} has lost {layer}");
        }
    }
    let mut needed: std::collections::BTreeSet<_> = images.iter().flat_map(|(_, layers)| *layers).collect();
    needed.insert(Digest::sha256(b"{}"));
    assert_eq!(world.objects().await, needed.len(), "objects that nothing needs are left");
    println!(
        "{} images whole beside {runs} collections; {repeated} pushes were told to repeat",
        images.len()
    );
}

#[tokio::test]
async fn the_scrub_finds_lost_bytes_and_a_push_repairs_them() {
    let world = World::new(Settings::default()).await;
    world.image("app", &[b"layer", b"other"]).await.unwrap();
    let layer = Digest::sha256(b"layer");
    let fast = Scrub { bytes_per_second: 0, ..Scrub::default() };
    world.clock.advance(Duration::from_hours(24 * 31));
    let told = world.run::<ScrubJob>(&fast).await;
    assert!(told.contains(r#""sound":3,"damaged":0,"unreadable":0,"read_bytes":12"#), "{told}");
    world.blobs.delete(world.object(&layer).await).await.unwrap();
    let told = world.run::<ScrubJob>(&fast).await;
    assert!(told.contains(r#""sound":0"#), "checked again too soon: {told}");
    world.clock.advance(Duration::from_hours(24 * 31));
    let told = world.run::<ScrubJob>(&fast).await;
    assert!(told.contains(r#""sound":2,"damaged":1"#), "{told}");
    assert!(!world.readable(&layer).await);
    world.blob(b"layer").await.unwrap();
    assert!(world.readable(&layer).await);
}

#[tokio::test]
async fn unfinished_writes_that_no_session_owns_are_aborted_when_they_are_old() {
    let budget = Budget::new(64 << 20, Duration::from_secs(10));
    let blobs = Arc::new(RemoteBlobs::in_memory(budget));
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(3)));
    let registry = World::registry(store, blobs.clone(), Settings::default()).await;
    let mut writer = blobs.begin(BlobKey::begun_at(1_795_251_600_000, 9)).await.unwrap();
    writer.write(bytes::Bytes::from_static(b"half")).await.unwrap();
    writer.pause().await.unwrap();
    assert_eq!(blobs.unfinished(10).await.unwrap().len(), 1);
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().unfinished, 0, "too young");
    clock.advance(Duration::from_hours(25));
    assert_eq!(maintenance::collect(&registry, true).await.unwrap().unfinished, 1);
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().unfinished, 1);
    assert!(blobs.unfinished(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_collection_ends_however_much_becomes_due_meanwhile() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(3)));
    let deleting = clock.clone();
    let blobs = HookedBlobs::new(Arc::new(MemoryBlobs::new()), move |operation, _| {
        if operation == Operation::Delete {
            deleting.advance(Duration::from_secs(1));
        }
        Fault::None
    });
    let registry = World::registry(store.clone(), Arc::new(blobs), at_once()).await;
    // While one object is deleted, the next one's time comes.
    let begun = clock.now();
    for at in 0..5_u32 {
        let key = BlobKey::begun_at(1_795_251_600_000, u128::from(at));
        let row = TrashRow {
            object_key: key.to_string(),
            digest: None,
            size_bytes: 1,
            reason: "orphan".to_owned(),
            state: None,
        };
        let mut tx = store.begin().await.unwrap();
        trash(&mut tx, &row, begun.plus(Duration::from_secs(at.into())), begun);
        store.commit(tx).await.unwrap();
    }
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().objects, 1);
    clock.advance(Duration::from_mins(1));
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().objects, 4);
}

#[tokio::test]
async fn objects_that_cannot_be_deleted_do_not_keep_the_others() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(3)));
    let stuck = Arc::new(AtomicBool::new(true));
    let is_stuck = stuck.clone();
    // More than are read at once, and first in line whether their times differ or not.
    let key = |at: u32| BlobKey::begun_at(1_795_251_600_000, u128::from(at));
    let bad: Vec<BlobKey> = (0..450).map(key).collect();
    let hooked = bad.clone();
    let blobs = HookedBlobs::new(Arc::new(MemoryBlobs::new()), move |operation, key| {
        let hit = operation == Operation::Delete && key.is_some_and(|key| hooked.contains(&key));
        if hit && is_stuck.load(Ordering::SeqCst) { Fault::Before(Failure::Io) } else { Fault::None }
    });
    let registry = World::registry(store.clone(), Arc::new(blobs), at_once()).await;
    let begun = clock.now();
    for at in 0..460_u32 {
        let row = TrashRow {
            object_key: key(at).to_string(),
            digest: None,
            size_bytes: 1,
            reason: "orphan".to_owned(),
            state: None,
        };
        let mut tx = store.begin().await.unwrap();
        trash(&mut tx, &row, begun.plus(Duration::from_secs((at / 230).into())), begun);
        store.commit(tx).await.unwrap();
    }
    clock.advance(Duration::from_mins(1));
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().objects, 10);
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().objects, 0);
    stuck.store(false, Ordering::SeqCst);
    assert_eq!(maintenance::collect(&registry, false).await.unwrap().objects, 450);
}

#[tokio::test]
async fn uploads_that_were_given_up_do_not_count_against_new_ones() {
    let world = World::new(Settings { max_uploads_per_principal: 2, ..Settings::default() }).await;
    let start = async || {
        let grant = world.push_grant().await;
        world.registry.start_upload(&grant, None, None).await
    };
    start().await.unwrap();
    start().await.unwrap();
    assert!(matches!(start().await, Err(Error::LimitReached(_))));
    // Nobody collects them.
    world.clock.advance(Duration::from_hours(25));
    start().await.unwrap();
    start().await.unwrap();
    assert!(matches!(start().await, Err(Error::LimitReached(_))));
}
