//! PostgreSQL against the contract, and what only it meets: a server that is gone, hangs, refuses, or is lost at
//! COMMIT (reference: reliability catalogue R8, R9).

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use futures_util::future::join_all;
use metadata::model::access::ProjectRow;
use metadata::model::blob::{self, BlobRow};
use metadata::model::manifest::{self, NewManifest};
use metadata::model::{OrganisationId, PrincipalId, ProjectId, RepositoryId, project, repository};
use metadata::postgres::PostgresOptions;
use metadata::{CommitError, Engine, Expect, Outcome, Postgres, Store, StoreError, params, suite};
use oci::Digest;
use std::time::{Duration, Instant};
use support::proxy::{Cut, Proxy};
use support::{Server, eventually, store};

metadata::statements! {
    MARK = Write "INSERT INTO suite_row (id, name, amount) VALUES ($1, $2, 0)";
    MARKED = Read "SELECT count(*) FROM suite_row WHERE name = $1";
    AMOUNT = Read "SELECT amount FROM suite_row WHERE name = $1";
    SLOW = Read "SELECT CAST(pg_sleep(60) AS TEXT)";
}

async fn mark(store: &Store, name: &str) -> Result<(), CommitError> {
    let mut tx = store.begin().await?;
    let id = store.ids().next().await?;
    tx.step(&MARK, params![id, name], Expect::Rows(1));
    store.commit(tx).await
}

async fn marked(store: &Store, name: &str) -> i64 {
    store.row(&MARKED, &params![name]).await.unwrap().unwrap().int(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let engine = server.engine("contract").await;
    println!("{} claims hold", suite::run(engine.clone()).await.unwrap());
    engine.close().await;
    assert!(matches!(engine.health().await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_migrate_once() {
    let Some(server) = Server::start() else { return };
    let url = server.database("together").await;
    let connects = (0..6).map(|_| Postgres::connect(&url, PostgresOptions::default()));
    for engine in join_all(connects).await {
        engine.unwrap().health().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_at_commit_keeps_the_value_once() {
    let Some(server) = Server::start() else { return };
    for (cut, database) in
        [(Cut::BeforeCommit, "before"), (Cut::AfterCommit, "after"), (Cut::WithinAnswers, "within")]
    {
        server.database(database).await;
        let proxy = Proxy::start(server.port, cut).await;
        let url = format!("postgres://bonded@127.0.0.1:{}/{database}", proxy.port);
        let store = store(Postgres::connect(&url, PostgresOptions::default()).await.unwrap());
        mark(&store, "first").await.unwrap();
        for round in 0..10 {
            proxy.cut_next(1 + round % 2);
            let name = format!("round{round}");
            mark(&store, &name).await.unwrap_or_else(|error| panic!("{cut:?} {name}: {error}"));
            assert_eq!(marked(&store, &name).await, 1, "{cut:?} {name}");
        }
        // Many at once, of which some are cut.
        proxy.cut_next(8);
        let names: Vec<_> = (0..24).map(|at| format!("many{at}")).collect();
        for (name, result) in names.iter().zip(join_all(names.iter().map(|name| mark(&store, name))).await) {
            result.unwrap_or_else(|error| panic!("{cut:?} {name}: {error}"));
            assert_eq!(marked(&store, name).await, 1, "{cut:?} {name}");
        }
        let cuts = proxy.cuts.load(std::sync::atomic::Ordering::SeqCst);
        assert!(cuts >= 15, "only {cuts} cuts");
        println!("{cut:?}: {cuts} connections cut, 0 values lost, 0 kept twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_unavailable_in_five_seconds_and_back_in_ten() {
    let Some(mut server) = Server::start() else { return };
    let store = store(server.engine("gone").await);
    mark(&store, "before").await.unwrap();
    server.down();
    let start = Instant::now();
    // The ids of this process are reserved, so that it is the commit that fails.
    let results = join_all((0..100).map(|at| mark(&store, ["a", "b"][at % 2]))).await;
    for result in results {
        assert!(
            matches!(result, Err(CommitError::Unavailable { outcome: Outcome::NotCommitted, .. })),
            "{result:?}"
        );
    }
    println!("100 commits refused after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(matches!(store.engine().health().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.row(&MARKED, &params!["a"]).await, Err(StoreError::Unavailable { .. })));
    server.up();
    let start = Instant::now();
    eventually("recovery", async || store.engine().health().await.is_ok()).await;
    mark(&store, "after").await.unwrap();
    println!("recovered after {:?}", start.elapsed());
    assert_eq!(marked(&store, "before").await, 1);
    assert_eq!(marked(&store, "a").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unavailable_in_five_seconds() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("hangs").await);
    mark(&store, "before").await.unwrap();
    server.freeze(true);
    let start = Instant::now();
    let before = params!["before"];
    let (commit, read) = tokio::join!(mark(&store, "during"), store.row(&MARKED, &before));
    assert!(matches!(commit, Err(CommitError::Unavailable { .. })), "{commit:?}");
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.freeze(false);
    let start = Instant::now();
    eventually("recovery", async || mark(&store, "after").await.is_ok()).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(marked(&store, "during").await <= 1, "kept twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_sessions_lose_nothing() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("terminated").await);
    let killer = server.client("postgres").await;
    let kill = async {
        for _ in 0..40 {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'terminated'";
            killer.batch_execute(sql).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let work = async {
        let names: Vec<_> = (0..200).map(|at| format!("n{at}")).collect();
        let mut refused = 0;
        for names in names.chunks(10) {
            for (name, result) in
                names.iter().zip(join_all(names.iter().map(|name| mark(&store, name))).await)
            {
                match result {
                    Ok(()) => assert_eq!(marked(&store, name).await, 1, "{name}"),
                    Err(CommitError::Unavailable { .. }) => refused += 1,
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
        println!("200 values beside 40 rounds of killed sessions: {refused} refused, 0 lost, 0 kept twice");
    };
    tokio::join!(kill, work);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_or_full_server_is_unavailable_and_recovers() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("refuses").await);
    mark(&store, "before").await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'refuses'";
    server.admin(&format!("ALTER DATABASE refuses SET default_transaction_read_only = on; {end}")).await;
    eventually("read-only", async || {
        matches!(
            mark(&store, "during").await,
            Err(CommitError::Unavailable { outcome: Outcome::NotCommitted, .. })
        )
    })
    .await;
    assert!(matches!(store.engine().health().await, Err(StoreError::Unavailable { .. })));
    assert_eq!(marked(&store, "before").await, 1, "reads go on");
    // Nobody ends the sessions that read only: they must not be used again and again.
    server.admin("ALTER DATABASE refuses SET default_transaction_read_only = off").await;
    eventually("writing", async || mark(&store, "after").await.is_ok()).await;
    // Somebody else takes all connections.
    let mut hogs = Vec::new();
    while let Ok((client, connection)) =
        tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await
    {
        tokio::spawn(connection);
        hogs.push(client);
    }
    hogs[0].batch_execute(end).await.unwrap();
    hogs.push(server_client(&server).await);
    let start = Instant::now();
    let result = mark(&store, "crowded").await;
    assert!(matches!(result, Ok(()) | Err(CommitError::Unavailable { .. })), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(hogs);
    eventually("recovery", async || mark(&store, "free").await.is_ok()).await;
}

async fn server_client(server: &Server) -> tokio_postgres::Client {
    loop {
        if let Ok((client, connection)) =
            tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await
        {
            tokio::spawn(connection);
            return client;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_a_migration_elsewhere_made_stale_is_made_anew() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("stale").await);
    mark(&store, "before").await.unwrap();
    let read = async || store.row(&AMOUNT, &params!["before"]).await;
    assert_eq!(read().await.unwrap().unwrap().int(0).unwrap(), 0);
    let other = server.client("stale").await;
    other.batch_execute("ALTER TABLE suite_row ALTER COLUMN amount TYPE INT4").await.unwrap();
    assert_eq!(read().await.unwrap().unwrap().int(0).unwrap(), 0);
    mark(&store, "after").await.unwrap();
    assert_eq!(marked(&store, "after").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_takes_too_long_is_given_up() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("slow").await);
    let start = Instant::now();
    let result = store.row(&SLOW, &params![]).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    mark(&store, "after").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_cancelled_and_the_server_never_has_more_sessions_than_the_pool() {
    let Some(server) = Server::start() else { return };
    let url = server.database("given_up").await;
    let options = PostgresOptions {
        connections: 2,
        deadline: Duration::from_millis(700),
        ..PostgresOptions::default()
    };
    let store = store(Postgres::connect(&url, options).await.unwrap());
    let client = server.client("postgres").await;
    let sleeping = async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' \
            AND datname = 'given_up'";
        client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    for _ in 0..4 {
        let no_params = params![];
        let results = join_all((0..2).map(|_| store.row(&SLOW, &no_params))).await;
        assert!(results.iter().all(|result| matches!(result, Err(StoreError::Unavailable { .. }))));
        assert!(sleeping().await <= 2);
    }
    eventually("the end of what was given up", async || sleeping().await == 0).await;
    eventually("a commit", async || mark(&store, "after").await.is_ok()).await;
}

/// A repository in a project.
async fn team_app(store: &Store) -> RepositoryId {
    let now = store.now();
    let (project, repository, organisation) =
        (ProjectId::from(1), RepositoryId::from(2), OrganisationId::from(3));
    let mut tx = store.begin().await.unwrap();
    project::insert_organisation(&mut tx, organisation, "all", now);
    let (name, visibility) = ("team".to_owned(), "private".to_owned());
    let row = ProjectRow { id: project, name, visibility, created_at: now };
    project::insert(&mut tx, &row, organisation, PrincipalId::from(1));
    repository::insert(&mut tx, repository, project, "app", "team/app", now);
    store.commit(tx).await.unwrap();
    repository
}

/// An index and its child pushed at once: each transaction may not see the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_stands_higher_than_a_child_that_comes_at_the_same_time() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("nesting").await);
    let now = store.now();
    let repository = team_app(&store).await;
    let index = async |name: String, child: Digest| {
        let bytes = bytes::Bytes::from(name);
        let row = NewManifest {
            repository,
            digest: Digest::sha256(&bytes),
            media_type: "application/vnd.oci.image.index.v1+json".parse().unwrap(),
            artifact_type: None,
            subject: None,
            content_bytes: 4,
            height: 1,
            annotations: "{}".to_owned(),
            pushed_by: PrincipalId::from(1),
            bytes,
            blobs: Vec::new(),
            gaps: Vec::new(),
            children: vec![child],
        };
        let mut tx = store.begin().await?;
        manifest::insert(&mut tx, &row, now);
        repository::count(&mut tx, repository, 1, 0, now);
        manifest::nest(&mut tx, &row, 16);
        store.commit(tx).await
    };
    let rounds = join_all((0..200).map(async |at| {
        let below = Digest::sha256(format!("child {at}").as_bytes());
        let child = index(format!("child {at}"), Digest::sha256(b"absent"));
        let (child, parent) = tokio::join!(child, index(format!("parent {at}"), below));
        child.unwrap();
        parent
    }));
    let (mut raised, mut refused) = (0, 0);
    for (at, parent) in rounds.await.into_iter().enumerate() {
        let digest = Digest::sha256(format!("parent {at}").as_bytes());
        let heights = store.manifest_heights(repository, &[digest]).await.unwrap();
        match parent {
            Ok(()) => {
                assert_eq!(heights[0].1, 2, "it stands no higher than its child");
                raised += 1;
            }
            Err(error) => {
                assert!(error.conflicts_at("nesting") && heights.is_empty(), "{error}");
                refused += 1;
            }
        }
    }
    println!("{raised} raised by their child, {refused} to be planned again");
}

/// Pushes that read that a layer is absent beside pushes of that layer: each transaction may not see the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manifest_holds_a_layer_that_comes_at_the_same_time() {
    let Some(server) = Server::start() else { return };
    let store = store(server.engine("gaps").await);
    let now = store.now();
    let repository = team_app(&store).await;
    let layer = async |at: u32| {
        let digest = Digest::sha256(&at.to_be_bytes());
        let row = BlobRow { digest, size_bytes: 4, object_key: format!("{at:032x}"), corrupt: false };
        let mut tx = store.begin().await?;
        blob::insert(&mut tx, &row, &[1], now);
        blob::link(&mut tx, repository, &digest, now, PrincipalId::from(1));
        store.commit(tx).await
    };
    let image = async |at: u32| {
        let bytes = bytes::Bytes::from(format!("manifest {at}"));
        let row = NewManifest {
            repository,
            digest: Digest::sha256(&bytes),
            media_type: "application/vnd.oci.image.manifest.v1+json".parse().unwrap(),
            artifact_type: None,
            subject: None,
            content_bytes: 4,
            height: 0,
            annotations: "{}".to_owned(),
            pushed_by: PrincipalId::from(1),
            bytes,
            blobs: Vec::new(),
            gaps: vec![Digest::sha256(&at.to_be_bytes())],
            children: Vec::new(),
        };
        let mut tx = store.begin().await?;
        manifest::insert(&mut tx, &row, now);
        store.commit(tx).await
    };
    let rounds = join_all((0..300).map(async |at| {
        let (layer, image) = tokio::join!(layer(at), image(at));
        layer.and(image)
    }));
    for done in rounds.await {
        done.unwrap();
    }
    let mut loose = 0;
    for at in 0..300_u32 {
        let digest = Digest::sha256(&at.to_be_bytes());
        loose += u32::from(store.manifest_using(repository, &digest).await.unwrap().is_none());
    }
    assert_eq!(loose, 0, "layers that the next collection takes from a live image");
}
