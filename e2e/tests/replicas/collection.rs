//! Garbage collection with no grace on every replica, beside pushes and deletions through all of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Plan, Stores};
use e2e::http::Request;
use e2e::image::Image;
use e2e::registry::sha256;
use e2e::{Target, tools};

use crate::{NOTHING_KEPT, Outcome};

const SECONDS: u64 = 15;
const WORKERS: u64 = 4;

/// What the workers counted.
#[derive(Debug, Default)]
struct Counts {
    rounds: AtomicUsize,
    again: AtomicUsize,
}

/// Pushes an image, reads it whole through the proxy, deletes it; over and over. All workers push the same blobs, so
/// that what one deletes another has just pushed.
fn churn(target: &Target, worker: u64, over: &AtomicBool, counts: &Counts) -> Outcome {
    let repo = format!("churn/w{worker}");
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        let image = Image::new(round % 3, 20_000);
        let mut tries = 0;
        // A blob may be collected between its push and its manifest (grace 0): then the client pushes it again.
        while let Err(error) = image.push(target, &repo, "v1") {
            tries += 1;
            anyhow::ensure!(tries < 20, "round {round} of {repo}: {error:#}");
            counts.again.fetch_add(1, Ordering::Relaxed);
        }
        let manifest = target.fetch(format!("/v2/{repo}/manifests/v1"))?;
        anyhow::ensure!(manifest.body == image.manifest, "round {round} of {repo}: {}", manifest.status);
        for bytes in [&image.config, &image.layer] {
            let blob = target.fetch(format!("/v2/{repo}/blobs/{}", sha256(bytes)))?;
            anyhow::ensure!(
                blob.status == 200 && blob.complete && &blob.body == bytes,
                "round {round} of {repo}: {} {}",
                blob.status,
                blob.text()
            );
        }
        let delete = Request::new("DELETE", format!("/v2/{repo}/manifests/{}", image.digest()));
        let gone = target.send(&delete)?;
        anyhow::ensure!(gone.status == 202, "round {round} of {repo}: {} {}", gone.status, gone.text());
        round += 1;
        counts.rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn collecting_everywhere_without_grace_never_breaks_what_was_pushed() -> Outcome {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    let plan = NOTHING_KEPT.iter().fold(Plan::default(), |plan, (name, value)| plan.with(name, value));
    let cluster = Cluster::on(stores, 3, &plan.with("BONDED_GC__INTERVAL", "1s"))?;
    let (target, over, counts) = (cluster.target(), AtomicBool::new(false), Counts::default());
    let kept = Image::new(99, 50_000);
    kept.push(&target, "churn/kept", "v1")?;
    let mut collections = 0;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|n| {
                let (target, over, counts) = (&target, &over, &counts);
                scope.spawn(move || churn(target, n, over, counts))
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(SECONDS);
        let mut outcomes = Vec::new();
        // Beside the replicas' own collections, some by hand: at least one, however slow the machine.
        while Instant::now() < end || collections == 0 {
            let server = &cluster.servers[collections % 3];
            outcomes.push(server.maintain(&["gc"], &[]).and_then(|done| {
                anyhow::ensure!(done.status.success(), "gc: {}{}", done.stdout, done.stderr);
                Ok(())
            }));
            collections += 1;
        }
        over.store(true, Ordering::Relaxed);
        outcomes.extend(
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a panic"))),
        );
        outcomes
    });
    for outcome in outcomes {
        outcome?;
    }
    let (rounds, again) = (counts.rounds.into_inner(), counts.again.into_inner());
    for replica in 0..3 {
        for bytes in [&kept.config, &kept.layer] {
            crate::is_there(&cluster.replica(replica), "churn/kept", bytes)?;
        }
    }
    // Nothing is left that no row knows, and no row is without its object.
    cluster.servers[0].maintain(&["gc"], &[])?;
    let check = cluster.servers[0].maintain(&["fsck", "--read"], &[])?;
    assert!(check.status.success(), "{}{}", check.stdout, check.stderr);
    tools::figure(&format!(
        "grace 0 on three replicas and {collections} collections by hand beside {rounds} pushes and deletions \
         ({again} pushed again): 0 broken"
    ));
    Ok(())
}
