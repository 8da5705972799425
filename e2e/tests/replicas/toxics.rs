//! The network between a server and its stores is slow, cut, stopped or reset by Toxiproxy: what is acknowledged is
//! there, what is not is a clear refusal, no complete 200 has wrong bytes, nothing hangs.

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Plan, Stores};
use e2e::image::noise;
use e2e::toxiproxy::{Toxic, Toxiproxy, Way};
use e2e::{Target, tools, wait};
use serde_json::{Value, json};

use crate::{Outcome, is_retriable, is_there, push};

/// Larger than an S3 part, so that an upload takes several requests.
const BYTES: usize = 12_000_000;
/// A push and a pull are answered within this.
const NO_HANG: Duration = Duration::from_mins(1);
/// After the toxic is gone all is well again within this.
const RECOVERY: Duration = Duration::from_mins(1);

/// Each toxic that Toxiproxy has, both ways where that differs.
fn toxics() -> Vec<(&'static str, Way, Value)> {
    vec![
        ("latency", Way::Down, json!({ "latency": 150, "jitter": 100 })),
        ("bandwidth", Way::Up, json!({ "rate": 2000 })),
        ("bandwidth", Way::Down, json!({ "rate": 2000 })),
        ("slow_close", Way::Down, json!({ "delay": 1000 })),
        ("slicer", Way::Up, json!({ "average_size": 700, "size_variation": 300, "delay": 10 })),
        ("slicer", Way::Down, json!({ "average_size": 700, "size_variation": 300, "delay": 10 })),
        ("limit_data", Way::Up, json!({ "bytes": 2_000_000 })),
        ("limit_data", Way::Down, json!({ "bytes": 100_000 })),
        ("limit_data", Way::Down, json!({ "bytes": 100 })),
        ("reset_peer", Way::Up, json!({ "timeout": 100 })),
        ("reset_peer", Way::Down, json!({ "timeout": 20 })),
        ("timeout", Way::Up, json!({ "timeout": 0 })),
        ("timeout", Way::Down, json!({ "timeout": 0 })),
        ("timeout", Way::Down, json!({ "timeout": 500 })),
    ]
}

/// Whether a fault must be noticed: a slow way must not, one on which nothing passes must; others hit or miss a request.
fn must_be_noticed(kind: &str, attributes: &Value) -> Option<bool> {
    match kind {
        "latency" | "bandwidth" | "slow_close" | "slicer" => Some(false),
        "timeout" if attributes["timeout"] == 0 => Some(true),
        _ => None,
    }
}

/// One server whose way to `which` store leads through Toxiproxy.
fn behind(which: &str) -> anyhow::Result<Option<(Cluster, Toxiproxy, Toxic)>> {
    let Some(stores) = Stores::start()? else { return Ok(None) };
    let toxiproxy = Toxiproxy::start()?;
    let upstream = if which == "s3" { stores.s3.addr() } else { stores.postgres.addr() };
    let toxic = toxiproxy.before(which, upstream)?;
    let port = Some(toxic.port());
    let plan = Plan::default().with("BONDED_STORAGE__S3__STALL_TIMEOUT", "3s");
    let plan =
        if which == "s3" { Plan { s3_port: port, ..plan } } else { Plan { database_port: port, ..plan } };
    Ok(Some((Cluster::on(stores, 1, &plan)?, toxiproxy, toxic)))
}

/// Pulls a blob; false if it was refused or broken off, an error if what came is not what it claims to be.
fn pulled(target: &Target, bytes: &[u8]) -> anyhow::Result<bool> {
    let got = target.fetch(format!("/v2/toxic/app/blobs/{}", e2e::registry::sha256(bytes)))?;
    match got.status {
        200 if got.complete => {
            anyhow::ensure!(got.body == bytes, "a complete 200 with wrong bytes");
            Ok(true)
        }
        200 => Ok(false),
        _ => is_retriable(&got).map(|()| false),
    }
}

fn survives(which: &str) -> Outcome {
    let Some((cluster, _toxiproxy, toxic)) = behind(which)? else { return Ok(()) };
    let target = cluster.replica(0);
    let before = noise(1, BYTES);
    assert_eq!(push(&target, "toxic/app", &before)?.status, 201);
    for (n, (kind, way, attributes)) in toxics().into_iter().enumerate() {
        let what = format!("{which} {kind} {way:?} {attributes}");
        let bytes = noise(n as u64 + 2, BYTES);
        toxic.add(kind, way, &attributes)?;
        let start = Instant::now();
        let pushed = push(&target, "toxic/app", &bytes)?;
        let read = pulled(&target, &before)?;
        let took = start.elapsed();
        toxic.heal()?;
        anyhow::ensure!(took < NO_HANG, "{what}: {took:?}");
        if let Some(noticed) = must_be_noticed(kind, &attributes) {
            anyhow::ensure!((pushed.status != 201) == noticed, "{what}: push {}", pushed.status);
            anyhow::ensure!(noticed || read, "{what}: the pull was refused");
        }
        tools::figure(&format!(
            "{what}: push {}, pull {}, {:.1} s",
            pushed.status,
            if read { "whole" } else { "refused" },
            took.as_secs_f64()
        ));
        if pushed.status != 201 {
            is_retriable(&pushed)?;
            wait::until(RECOVERY, "a push after the fault", || {
                push(&target, "toxic/app", &bytes).ok().filter(|again| again.status == 201)
            })?;
        }
        is_there(&target, "toxic/app", &bytes)?;
        is_there(&target, "toxic/app", &before)?;
    }
    Ok(())
}

#[test]
fn on_the_way_to_the_bucket() -> Outcome {
    e2e::require!("toxiproxy-server");
    survives("s3")
}

#[test]
fn on_the_way_to_the_database() -> Outcome {
    e2e::require!("toxiproxy-server");
    survives("postgres")
}
