//! `cargo bench -p metadata [-- sqlite|postgres]`: durable commits and point reads per second, and the memory of the
//! process. A commit inserts one row with 1 KiB and moves a counter, a read finds a row by name.
//!
//! PostgreSQL is measured when its binaries are on the machine, with `fsync` on.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people, run by hand")]

#[path = "../tests/support/mod.rs"]
mod support;

use metadata::postgres::PostgresOptions;
use metadata::{Engine, Expect, Postgres, Sqlite, Store, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Server, store};

metadata::statements! {
    INSERT = Write "INSERT INTO suite_row (id, name, amount, content) VALUES ($1, $2, $3, $4)";
    READ = Read "SELECT id, amount FROM suite_row WHERE name = $1";
}

const TIME: Duration = Duration::from_secs(5);

async fn commit(store: &Store, relaxed: bool, at: u64) {
    let id = store.ids().next().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.step(&INSERT, params![id, format!("{relaxed}/{at}"), 1, vec![7_u8; 1024]], Expect::Rows(1));
    if relaxed {
        tx.relaxed();
    }
    store.commit(tx).await.unwrap();
}

async fn measure<F: Future<Output = ()> + Send + 'static>(
    what: &str,
    callers: u64,
    work: impl Fn(u64) -> F + Send + Sync + 'static,
) {
    let (work, counter) = (Arc::new(work), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let tasks = (0..callers).map(|_| {
        let (work, counter) = (work.clone(), counter.clone());
        tokio::spawn(async move {
            while start.elapsed() < TIME {
                work(counter.fetch_add(1, Ordering::Relaxed)).await;
            }
        })
    });
    futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
    let rate = counter.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("{what:46} {callers:3} callers {rate:9.0} /s");
}

async fn run(name: &str, engine: Arc<dyn Engine>) {
    let store = store(engine);
    println!("{name}: idle {}", resident());
    for (what, relaxed, callers) in [
        ("durable commits", false, 64),
        ("durable commits, one by one", false, 1),
        ("relaxed commits", true, 64),
    ] {
        let store = store.clone();
        let seed = callers * 1_000_000_000;
        measure(&format!("{name}: {what}"), callers, move |at| {
            let store = store.clone();
            async move { commit(&store, relaxed, seed + at).await }
        })
        .await;
    }
    for callers in [1, 16] {
        let store = store.clone();
        measure(&format!("{name}: point reads"), callers, move |at| {
            let store = store.clone();
            async move {
                let name = format!("false/{}", 64_000_000_000 + at % 5000);
                assert!(store.row(&READ, &params![name]).await.unwrap().is_some());
            }
        })
        .await;
    }
    println!("{name}: after the load {}", resident());
    store.engine().close().await;
}

/// Resident memory of this process.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: unknown").to_owned()
}

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if wants("sqlite") {
            // Beside the build, not in /tmp, which may be memory.
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            run("sqlite", Sqlite::open(dir.path()).unwrap()).await;
        }
        if wants("postgres")
            && let Some(server) = Server::start_durable()
        {
            let url = server.database("bench").await;
            run("postgres", Postgres::connect(&url, PostgresOptions::default()).await.unwrap()).await;
        }
    });
}
