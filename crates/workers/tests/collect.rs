//! Garbage collection and scrub on a registry in memory: what is needed stays, the rest gives its space back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use blobs::{BlobKey, BlobStore, Budget, MemoryBlobs};
use bytes::Bytes;
use metadata::{ManualClock, SeededRandom, Sqlite, Store, jobs};
use oci::{Digest, MediaType, Reference, RepoName};
use registry::upload::BodyError;
use registry::{Caller, Delete, Error, Grant, Parts, Principal, Pull, Push, Registry, Sealer, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use workers::upkeep::{Collect, CollectJob, Scrub, ScrubJob};
use workers::{Job, Runner};

struct World {
    clock: Arc<ManualClock>,
    blobs: Arc<MemoryBlobs>,
    registry: Arc<Registry>,
    runner: Arc<Runner>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn body(content: &[u8]) -> impl registry::upload::Body + use<> {
    futures_util::stream::iter([Ok::<_, BodyError>(Bytes::copy_from_slice(content))])
}

impl World {
    async fn new(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::default());
        let blobs = Arc::new(MemoryBlobs::new());
        let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(3)));
        let parts = Parts {
            store: store.clone(),
            blobs: blobs.clone(),
            budget: Budget::new(64 << 20, Duration::from_secs(10)),
            sealer: Sealer::new(&[7; 32]).unwrap(),
            settings,
        };
        let (registry, _found) = Registry::open(parts).await.unwrap();
        // The facts are compared again only when time has gone on.
        clock.advance(Duration::from_secs(1));
        registry.access().refresh(0).await.unwrap();
        let runner = Runner::builder(store)
            .unwrap()
            .job(CollectJob(registry.clone()))
            .job(ScrubJob(registry.clone()))
            .build();
        Self { clock, blobs, registry, runner }
    }

    fn admin(&self) -> Principal {
        let facts = self.registry.access().facts();
        let admin = facts.principal_named("admin").unwrap();
        Principal { id: Some(admin.row.id), name: "admin".into(), scope: None }
    }

    fn caller(&self) -> Caller {
        Caller { principal: self.admin(), address: None, request_id: None }
    }

    fn repo() -> RepoName {
        "library/app".parse().unwrap()
    }

    async fn push_grant(&self) -> Grant<Push> {
        // Facts that were not compared for long stop writes.
        self.registry.access().refresh(0).await.unwrap();
        self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap()
    }

    async fn blob(&self, content: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::sha256(content);
        let grant = self.push_grant().await;
        let headers = registry::upload::ChunkHeaders::default();
        self.registry.put_blob(&grant, &digest, headers, body(content)).await?;
        Ok(digest)
    }

    /// Pushes an image of one configuration and layers; answers its digest.
    async fn image(&self, tag: &str, layers: &[&[u8]]) -> Result<Digest, Error> {
        let mut described = Vec::new();
        for layer in layers {
            let digest = self.blob(layer).await?;
            described.push(format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}"#,
                layer.len()
            ));
        }
        let config = self.blob(b"{}").await?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{}]}}"#,
            described.join(",")
        );
        let grant = self.push_grant().await;
        let (reference, media_type) =
            (Reference::Tag(tag.parse().unwrap()), MANIFEST.parse::<MediaType>().unwrap());
        let caller = self.caller();
        let put = self.registry.put_manifest(&caller, &grant, &reference, &[], &media_type, manifest.into());
        Ok(put.await?.digest)
    }

    async fn delete(&self, digest: Digest) {
        self.registry.access().refresh(0).await.unwrap();
        let grant: Grant<Delete> = self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap();
        self.registry.delete_manifest(&self.caller(), &grant, &Reference::Digest(digest)).await.unwrap();
    }

    async fn readable(&self, digest: &Digest) -> bool {
        let grant: Grant<Pull> = self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap();
        self.registry.pull_blob(&grant, digest).await.is_ok()
    }

    async fn object(&self, digest: &Digest) -> BlobKey {
        BlobKey::parse(&self.registry.store().blob(digest).await.unwrap().unwrap().object_key).unwrap()
    }

    async fn objects(&self) -> usize {
        self.blobs.list(None, 1000).await.unwrap().len()
    }

    async fn run<J: Job>(&self, payload: &J::Payload) -> String {
        let store = self.registry.store();
        let mut tx = store.begin().await.unwrap();
        let id = store.next_id().await.unwrap();
        jobs::enqueue(&mut tx, id, store.now(), J::request(payload, store.now()).unwrap());
        store.commit(tx).await.unwrap();
        self.runner.run_to_idle().await.unwrap();
        let job = jobs::read(store, id).await.unwrap().unwrap();
        assert_eq!(job.state, jobs::JobState::Succeeded, "{:?}", job.error);
        let log = jobs::log_lines(store, id, 0, 100).await.unwrap();
        log.into_iter().map(|line| line.message).collect::<Vec<_>>().join("\n")
    }

    async fn collect(&self) -> String {
        self.run::<CollectJob>(&Collect::default()).await
    }
}

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
    let fast = Scrub { days: 30, bytes_per_second: 0 };
    world.clock.advance(Duration::from_hours(24 * 31));
    let told = world.run::<ScrubJob>(&fast).await;
    assert!(told.contains(r#""sound":3,"damaged":0,"read_bytes":12"#), "{told}");
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
