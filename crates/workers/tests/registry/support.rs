//! A registry in memory that tests push to.

use blobs::{BlobKey, BlobStore, Budget, MemoryBlobs};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use metadata::{
    CommitError, Dialect, Engine, ManualClock, Row, SeededRandom, Sqlite, Statement, Store, StoreError, Tx,
    Value, jobs,
};
use oci::{Digest, MediaType, Reference, RepoName};
use registry::upload::BodyError;
use registry::{Caller, Delete, Error, Grant, Parts, Principal, Pull, Push, Registry, Sealer, Settings};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use workers::upkeep::{Collect, CollectJob, ScrubJob};
use workers::{Job, Runner};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn body(content: &[u8]) -> impl registry::upload::Body + use<> {
    futures_util::stream::iter([Ok::<_, BodyError>(Bytes::copy_from_slice(content))])
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) blobs: Arc<MemoryBlobs>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) runner: Arc<Runner>,
}

impl World {
    pub(crate) async fn new(settings: Settings) -> Self {
        Self::on(Arc::new(ManualClock::default()), Arc::new(MemoryBlobs::new()), settings).await
    }

    pub(crate) async fn on(clock: Arc<ManualClock>, blobs: Arc<MemoryBlobs>, settings: Settings) -> Self {
        let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(3)));
        Self::with(store, clock, blobs, settings).await
    }

    /// A registry over any blob store.
    pub(crate) async fn registry(
        store: Store,
        blobs: Arc<dyn BlobStore>,
        settings: Settings,
    ) -> Arc<Registry> {
        let parts = Parts {
            store,
            blobs,
            budget: Budget::new(64 << 20, Duration::from_secs(10)),
            sealer: Arc::new(Sealer::new(&[7; 32]).unwrap()),
            settings,
        };
        Registry::open(parts).await.unwrap().0
    }

    pub(crate) async fn with(
        store: Store,
        clock: Arc<ManualClock>,
        blobs: Arc<MemoryBlobs>,
        settings: Settings,
    ) -> Self {
        let registry = Self::registry(store.clone(), blobs.clone(), settings).await;
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

    pub(crate) fn admin(&self) -> Principal {
        let facts = self.registry.access().facts();
        let admin = facts.principal_named("admin").unwrap();
        Principal { id: Some(admin.row.id), name: "admin".into(), scope: None, address: None }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { principal: self.admin(), address: None, request_id: None }
    }

    pub(crate) fn repo() -> RepoName {
        "library/app".parse().unwrap()
    }

    pub(crate) async fn push_grant(&self) -> Grant<Push> {
        // Facts that were not compared for long stop writes.
        self.registry.access().refresh(0).await.unwrap();
        self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap()
    }

    pub(crate) async fn blob(&self, content: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::sha256(content);
        let grant = self.push_grant().await;
        let headers = registry::upload::ChunkHeaders::default();
        self.registry.put_blob(&grant, &digest, headers, body(content)).await?;
        Ok(digest)
    }

    /// Pushes an image of one configuration and layers; answers its digest.
    pub(crate) async fn image(&self, tag: &str, layers: &[&[u8]]) -> Result<Digest, Error> {
        self.annotated(tag, layers, "").await
    }

    /// Pushes an image with a note.
    pub(crate) async fn annotated(&self, tag: &str, layers: &[&[u8]], note: &str) -> Result<Digest, Error> {
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
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{}],"annotations":{{"note":"{note}"}}}}"#,
            described.join(",")
        );
        let grant = self.push_grant().await;
        let (reference, media_type) =
            (Reference::Tag(tag.parse().unwrap()), MANIFEST.parse::<MediaType>().unwrap());
        let caller = self.caller();
        let put = self.registry.put_manifest(&caller, &grant, &reference, &[], &media_type, manifest.into());
        Ok(put.await?.digest)
    }

    pub(crate) async fn delete(&self, digest: Digest) {
        self.registry.access().refresh(0).await.unwrap();
        let grant: Grant<Delete> = self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap();
        self.registry.delete_manifest(&self.caller(), &grant, &Reference::Digest(digest)).await.unwrap();
    }

    pub(crate) async fn readable(&self, digest: &Digest) -> bool {
        let grant: Grant<Pull> = self.registry.access().grant(&self.admin(), &Self::repo()).await.unwrap();
        self.registry.pull_blob(&grant, digest).await.is_ok()
    }

    pub(crate) async fn object(&self, digest: &Digest) -> BlobKey {
        BlobKey::parse(&self.registry.store().blob(digest).await.unwrap().unwrap().object_key).unwrap()
    }

    pub(crate) async fn objects(&self) -> usize {
        let listed = self.blobs.list(None, 1000).await.unwrap();
        listed.iter().filter(|listed| !listed.key.is_of_series()).count()
    }

    pub(crate) async fn run<J: Job>(&self, payload: &J::Payload) -> String {
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

    pub(crate) async fn collect(&self) -> String {
        self.run::<CollectJob>(&Collect::default()).await
    }
}

/// An engine of which one statement waits, so that others can come between.
#[derive(Debug)]
pub(crate) struct Gated {
    engine: Arc<dyn Engine>,
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug)]
struct Gate {
    /// End of the statement's name.
    statement: &'static str,
    reached: oneshot::Sender<()>,
    open: oneshot::Receiver<()>,
    /// Whether its answer waits; else it waits itself.
    after: bool,
}

impl Gate {
    async fn wait(self) {
        let _ = self.reached.send(());
        let _ = self.open.await;
    }
}

impl Gated {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { engine: Sqlite::memory().unwrap(), gate: Mutex::new(None) })
    }

    /// Lets the next read by a statement wait, before or after it is done: tells when it does, and takes leave for it.
    pub(crate) fn stop(
        &self,
        statement: &'static str,
        after: bool,
    ) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, is_reached) = oneshot::channel();
        let (leave, open) = oneshot::channel();
        *self.gate.lock().unwrap() = Some(Gate { statement, reached, open, after });
        (is_reached, leave)
    }
}

impl Engine for Gated {
    fn dialect(&self) -> Dialect {
        self.engine.dialect()
    }

    fn query<'a>(
        &'a self,
        statement: &'static Statement,
        params: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        let gate = self.gate.lock().unwrap().take_if(|gate| statement.name.ends_with(gate.statement));
        Box::pin(async move {
            match gate {
                Some(gate) if gate.after => {
                    let rows = self.engine.query(statement, params).await;
                    gate.wait().await;
                    rows
                }
                Some(gate) => {
                    gate.wait().await;
                    self.engine.query(statement, params).await
                }
                None => self.engine.query(statement, params).await,
            }
        })
    }

    fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>> {
        self.engine.commit(tx)
    }

    fn reserve_ids(&self, count: u32) -> BoxFuture<'_, Result<i64, StoreError>> {
        self.engine.reserve_ids(count)
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.engine.health()
    }

    fn prepare<'a>(&'a self, statement: &'static Statement) -> BoxFuture<'a, Result<(), StoreError>> {
        self.engine.prepare(statement)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.engine.close()
    }
}
