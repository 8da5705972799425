//! How often a push waits for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use metadata::{CommitError, Dialect, Durability, Engine, Row, Statement, StoreError, Tx, Value};
use policy::Visibility;

use crate::test_app::TestApp;

/// Counts the durable transactions of the engine behind it.
#[derive(Debug)]
struct Counting {
    engine: Arc<dyn Engine>,
    durable: AtomicU64,
}

impl Engine for Counting {
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
        self.durable.fetch_add(u64::from(tx.durability() == Durability::Durable), Ordering::Relaxed);
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

#[tokio::test]
async fn a_push_of_one_layer_waits_for_three_durable_commits() {
    let engine = metadata::Sqlite::memory().expect("a database in memory");
    let counting = Arc::new(Counting { engine, durable: AtomicU64::new(0) });
    let app = TestApp::on(counting.clone(), |_| {}).await;
    app.project("team", Visibility::Private).await;
    // The repository is there, and the caller's password is known.
    app.push_image("admin", "team/app", "v1", b"first").await;
    app.idle().await;
    let before = counting.durable.load(Ordering::Relaxed);
    app.push_image("admin", "team/app", "v2", b"second").await;
    let durable = counting.durable.load(Ordering::Relaxed) - before;
    app.idle().await;
    assert_eq!(durable, 3, "layer, configuration and manifest are one durable commit each");
}
