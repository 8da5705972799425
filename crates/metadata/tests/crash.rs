//! SQLite under kill -9 and on a full disk: what was acknowledged is there, whole; what was not is whole or absent.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use metadata::{CommitError, Engine, Expect, Sqlite, Store, StoreError, SystemRandom, params};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::store;

metadata::statements! {
    HALF = Write "INSERT INTO suite_row (id, name, amount, content) VALUES ($1, $2, $3, $4)";
    NAMES = Scan "SELECT name FROM suite_row";
    COUNT = Scan "SELECT count(*) FROM suite_row";
}

/// Commits two rows in one value.
async fn pair(store: &Store, name: &str, content: usize) -> Result<(), CommitError> {
    let ids = store.ids().many(2).await?;
    let mut tx = store.begin().await?;
    for (id, half) in ids.zip(["a", "b"]) {
        tx.step(&HALF, params![id, format!("{half}/{name}"), 0, vec![7_u8; content]], Expect::Rows(1));
    }
    store.commit(tx).await
}

/// Not a test of its own: the process that the next one kills. Its working directory is the data directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the crash test"]
async fn child_that_commits_until_it_is_killed() {
    let store = store(Sqlite::open(std::path::Path::new(".")).unwrap());
    let start = store.ids().next().await.unwrap();
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for at in 0.. {
                let name = format!("{start}-{writer}-{at}");
                pair(&store, &name, 100).await.unwrap();
                let line = format!("ack {name}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let cycles = 20;
    for cycle in 0..cycles {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--ignored", "--nocapture"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < 20 + cycle * 13 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(name) = line.strip_prefix("ack ") {
                acknowledged.insert(name.to_owned());
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            // What was acknowledged and still in the pipe; a torn last line was never sent whole.
            if let Some(name) = line.strip_prefix("ack ").filter(|name| name.split('-').count() == 3) {
                acknowledged.insert(name.to_owned());
            }
        }
        let engine = Sqlite::open(dir.path()).unwrap();
        let rows = engine.query(&NAMES, &[]).await.unwrap();
        let names: BTreeSet<_> = rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect();
        for name in &names {
            let other = if let Some(rest) = name.strip_prefix("a/") {
                format!("b/{rest}")
            } else {
                name.replacen("b/", "a/", 1)
            };
            assert!(names.contains(&other), "half a value was kept: {name}");
        }
        engine.close().await;
        // A torn line may be a prefix of a number; it is then missing, and only the last one of a cycle may be.
        let missing: Vec<_> =
            acknowledged.iter().filter(|name| !names.contains(&format!("a/{name}"))).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
    }
    println!("{cycles} kills, {} values acknowledged, 0 lost, 0 halves", acknowledged.len());
}

/// A small file system of its own, where the test may mount one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: may not mount a tmpfs (root only)");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_space_keeps_what_was_and_recovers() {
    let Some(disk) = Tmpfs::mount("12m") else { return };
    let ballast = disk.0.path().join("ballast");
    let engine = Sqlite::open(disk.0.path()).unwrap();
    let store =
        Store::new(engine.clone(), Arc::new(metadata::ManualClock::default()), Arc::new(SystemRandom));
    std::fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let (mut kept, mut refused) = (0, 0);
    for round in 0..8 {
        let values = (0..12).map(|at| {
            let (store, size) = (&store, if at % 4 == 0 { 300_000 } else { 1000 });
            async move { pair(store, &format!("{round}-{at}"), size).await }
        });
        for result in futures_util::future::join_all(values).await {
            match result {
                Ok(()) => kept += 1,
                Err(CommitError::NoSpace) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    // A group that fails takes nobody with it: the small ones of a round still fit.
    let counted = engine.query(&COUNT, &[]).await.unwrap()[0].int(0).unwrap();
    assert_eq!(counted, kept * 2, "what was acknowledged and what is there differ");
    if pair(&store, "large", 600_000).await == Err(CommitError::NoSpace) {
        let health = engine.health().await;
        assert!(matches!(health, Ok(()) | Err(StoreError::NoSpace)), "{health:?}");
    }
    std::fs::remove_file(&ballast).unwrap();
    engine.health().await.unwrap();
    pair(&store, "after", 300_000).await.unwrap();
    println!("disk full: {kept} kept and there, {refused} refused as no space, recovered by itself");
    engine.close().await;
}
