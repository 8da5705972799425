//! Filling a registry with many small things, over several connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use e2e::http::{Body, Connection, Request, Response};
use e2e::image::{self, EMPTY, bytes_of, descriptor};
use e2e::registry::{OCI_MANIFEST, sha256};
use serde_json::json;

use super::Args;

/// The repository with many tags and the subject of many referrers.
pub(super) const WIDE: &str = "scale/wide";
/// Tags set by one request (the specification's development version allows several).
const TAGS_PER_PUT: u64 = 10;

/// A manifest over the empty configuration, the smallest thing that can be tagged.
pub(super) fn smallest() -> Vec<u8> {
    bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.smallest",
        "config": descriptor("application/vnd.oci.empty.v1+json", EMPTY),
        "layers": [descriptor("application/vnd.oci.empty.v1+json", EMPTY)],
    }))
}

/// The name of the n-th tag.
pub(super) fn tag(n: u64) -> String {
    format!("t{n:07}")
}

/// The name of the n-th repository.
pub(super) fn repository(n: u64) -> String {
    format!("scale/r{n:06}")
}

/// Fills everything; what was done and how long it took.
pub(super) fn all(args: &Args) -> anyhow::Result<Vec<(String, f64)>> {
    let target = &args.against.target;
    target.push_blob(WIDE, EMPTY)?;
    let manifest = smallest();
    target.push_manifest(WIDE, &sha256(&manifest), OCI_MANIFEST, &manifest)?;
    let mut done = Vec::new();
    let mut step =
        |what: String, count: u64, one: &(dyn Fn(&mut Connection, u64) -> anyhow::Result<()> + Sync)| {
            let start = Instant::now();
            in_parallel(args, count, one).with_context(|| what.clone())?;
            done.push((what, start.elapsed().as_secs_f64()));
            anyhow::Ok(())
        };
    step(format!("{} repositories", args.repositories), args.repositories, &|connection, n| {
        let repo = repository(n);
        let mount = format!("/v2/{repo}/blobs/uploads/?mount={}&from={WIDE}", sha256(EMPTY));
        created(&connection.send(&Request::new("POST", mount))?)?;
        put(connection, &format!("/v2/{repo}/manifests/v1"), &manifest)
    })?;
    step(format!("{} tags", args.tags), args.tags.div_ceil(TAGS_PER_PUT), &|connection, n| {
        let first = n * TAGS_PER_PUT;
        let tags: Vec<String> =
            (first..(first + TAGS_PER_PUT).min(args.tags)).map(|n| format!("tag={}", tag(n))).collect();
        put(connection, &format!("/v2/{WIDE}/manifests/{}?{}", sha256(&manifest), tags.join("&")), &manifest)
    })?;
    let subject = descriptor(OCI_MANIFEST, &manifest);
    step(format!("{} referrers", args.referrers), args.referrers, &|connection, n| {
        let kind = if n.is_multiple_of(100) {
            "application/vnd.example.rare"
        } else {
            "application/vnd.example.common"
        };
        let referrer = image::referrer(&subject, kind, &n.to_string());
        put(connection, &format!("/v2/{WIDE}/manifests/{}", sha256(&referrer)), &referrer)
    })?;
    Ok(done)
}

fn put(connection: &mut Connection, target: &str, manifest: &[u8]) -> anyhow::Result<()> {
    let request =
        Request::new("PUT", target).header("Content-Type", OCI_MANIFEST).body(Body::Bytes(manifest));
    created(&connection.send(&request)?)
}

fn created(answer: &Response) -> anyhow::Result<()> {
    ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
    Ok(())
}

/// Does `one` for every number below `count`; the first failure ends all.
fn in_parallel(
    args: &Args,
    count: u64,
    one: &(dyn Fn(&mut Connection, u64) -> anyhow::Result<()> + Sync),
) -> anyhow::Result<()> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut connection = args.against.target.connect();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return anyhow::Ok(());
            }
            if let Err(e) = one(&mut connection, n) {
                next.store(count, Ordering::Relaxed);
                return Err(e);
            }
        }
    };
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..args.connections).map(|_| scope.spawn(work)).collect();
        tasks.into_iter().try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })
}
