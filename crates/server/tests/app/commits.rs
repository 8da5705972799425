//! Durable transactions: how often a push waits for the disk, and what comes between a plan and its commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use http::StatusCode;
use metadata::{CommitError, Dialect, Durability, Engine, Row, Statement, StoreError, Tx, Value};
use policy::Visibility;
use tokio::sync::oneshot;

use crate::test_app::{MANIFEST, TestApp};

/// A place at which a transaction waits until others are through.
#[derive(Debug)]
struct Gate {
    /// Durable transactions to be let through before.
    before: u64,
    reached: oneshot::Sender<()>,
    open: oneshot::Receiver<()>,
}

/// Counts the durable transactions of the engine behind it, and can keep one of them waiting.
#[derive(Debug)]
struct Watched {
    engine: Arc<dyn Engine>,
    durable: AtomicU64,
    gate: Mutex<Option<Gate>>,
}

impl Watched {
    fn new() -> Arc<Self> {
        let engine = metadata::Sqlite::memory().expect("a database in memory");
        Arc::new(Self { engine, durable: AtomicU64::new(0), gate: Mutex::new(None) })
    }

    /// Lets the durable transaction after the next `before` wait: tells when it is there, and takes leave for it.
    fn stop_after(&self, before: u64) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, is_reached) = oneshot::channel();
        let (leave, open) = oneshot::channel();
        *self.gate.lock().expect("a lock") = Some(Gate { before, reached, open });
        (is_reached, leave)
    }

    /// The gate, if this transaction is the one that waits.
    fn gate(&self) -> Option<Gate> {
        let mut gate = self.gate.lock().expect("a lock");
        if let Some(gate) = gate.as_mut().filter(|gate| gate.before > 0) {
            gate.before -= 1;
            return None;
        }
        gate.take()
    }
}

impl Engine for Watched {
    fn dialect(&self) -> Dialect {
        self.engine.dialect()
    }

    fn query<'a>(
        &'a self,
        statement: &'static Statement,
        params: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.engine.query(statement, params)
    }

    fn commit(&self, tx: Tx) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            if tx.durability() == Durability::Durable {
                self.durable.fetch_add(1, Ordering::Relaxed);
                if let Some(gate) = self.gate() {
                    let _ = gate.reached.send(());
                    let _ = gate.open.await;
                }
            }
            self.engine.commit(tx).await
        })
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

#[tokio::test]
async fn a_push_of_one_layer_waits_for_three_durable_commits() {
    let watched = Watched::new();
    let app = TestApp::on(watched.clone(), |_| {}).await;
    app.project("team", Visibility::Private).await;
    // The repository is there, and the caller's password is known.
    app.push_image("admin", "team/app", "v1", b"first").await;
    app.idle().await;
    let before = watched.durable.load(Ordering::Relaxed);
    app.push_image("admin", "team/app", "v2", b"second").await;
    let durable = watched.durable.load(Ordering::Relaxed) - before;
    app.idle().await;
    assert_eq!(durable, 3, "layer, configuration and manifest are one durable commit each");
}

/// The push comes before each of the transactions that a restore makes.
#[tokio::test]
async fn a_tag_pushed_while_an_image_is_restored_names_what_was_pushed() {
    let mut between = 0;
    for commit in 0..4 {
        let watched = Watched::new();
        let app = TestApp::on(watched.clone(), |_| {}).await;
        app.project("team", Visibility::Private).await;
        let old = app.push_image("admin", "team/app", "latest", b"old").await;
        let new = app.push_image("admin", "team/app", "other", b"new").await;
        let bytes = app.get("/v2/team/app/manifests/other").await.body;
        let path = format!("/v2/team/app/manifests/{old}");
        app.ask("DELETE", &path).by("admin").send().await.expect(StatusCode::ACCEPTED);
        app.idle().await;
        let deleted = "/api/v1/projects/team/repositories/app/deleted";
        let id = app.get(deleted).await.json()[0]["id"].clone();
        let (reached, leave) = watched.stop_after(commit);
        let path = format!("{deleted}/{id}/restore");
        let mut restored = std::pin::pin!(app.ask("POST", &path).by("admin").send());
        let answer = tokio::select! {
            answer = &mut restored => {
                // No more transactions: none is to be held up any more.
                drop(leave);
                answer
            }
            _ = reached => {
                let put = app.ask("PUT", "/v2/team/app/manifests/latest").by("admin").bytes(MANIFEST, bytes);
                put.send().await.expect(StatusCode::CREATED);
                between += 1;
                let _ = leave.send(());
                let answer = restored.await;
                let latest = app.get("/v2/team/app/manifests/latest").await;
                assert_eq!(latest.header("docker-content-digest"), new, "pushed before commit {commit}");
                answer
            }
        };
        assert_eq!(answer.expect(StatusCode::OK).json()["digest"], old.as_str());
        app.get(&format!("/v2/team/app/manifests/{old}")).await.expect(StatusCode::OK);
        app.idle().await;
    }
    assert!(between >= 2, "only {between} transactions to come before");
}
