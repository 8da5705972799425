//! The database goes away and comes back: what is authorised goes on being pulled, nothing hangs, nothing is lost, and
//! nobody has to restart anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::cluster::Cluster;
use e2e::http::{Body, Request, Response};
use e2e::image::Image;
use e2e::registry::{OCI_MANIFEST, sha256};
use e2e::{Target, tools, wait};
use serde_json::Value;

use crate::{Outcome, is_retriable, is_there};

/// Every answer must come within this; generous, the deadline inside is some 5 s.
const NO_HANG: Duration = Duration::from_secs(50);
const RECOVERY: Duration = Duration::from_secs(50);

/// The caller with a token: what a client has that pulls while the database is away.
struct Holder {
    target: Target,
    bearer: String,
}

impl Holder {
    fn new(target: &Target, scope: &str) -> anyhow::Result<Self> {
        let answer = target.fetch(format!("/service/token?service=bonded&scope={scope}"))?;
        let token = answer.json()["token"].as_str().map(str::to_owned);
        let bearer = format!("Bearer {}", token.with_context(|| answer.text())?);
        Ok(Self { target: target.anonymous(), bearer })
    }

    fn send(&self, request: Request<'_>) -> anyhow::Result<Response> {
        let start = Instant::now();
        let line = format!("{} {}", request.method, request.target);
        let answer = self.target.send(&request.header("Authorization", self.bearer.clone()))?;
        anyhow::ensure!(start.elapsed() < NO_HANG, "{line}: {} after {:?}", answer.status, start.elapsed());
        Ok(answer)
    }

    fn get(&self, path: &str) -> anyhow::Result<Response> {
        self.send(Request::new("GET", path))
    }
}

/// Pulls the image as clients do: by tag, by digest, and its blobs.
fn pull(holder: &Holder, repo: &str, tag: &str, image: &Image) -> Outcome {
    for reference in [tag.to_owned(), image.digest()] {
        for method in ["HEAD", "GET"] {
            let got = holder.send(Request::new(method, format!("/v2/{repo}/manifests/{reference}")))?;
            let whole = method == "HEAD" || got.body == image.manifest;
            anyhow::ensure!(
                got.status == 200 && whole,
                "{method} {reference}: {} {}",
                got.status,
                got.text()
            );
            anyhow::ensure!(
                got.header("docker-content-digest") == Some(&image.digest()),
                "{method} {reference}"
            );
        }
    }
    for bytes in [&image.config, &image.layer] {
        let got = holder.get(&format!("/v2/{repo}/blobs/{}", sha256(bytes)))?;
        anyhow::ensure!(
            got.status == 200 && got.complete && &got.body == bytes,
            "{repo} {}: {} {}",
            sha256(bytes),
            got.status,
            got.text()
        );
    }
    Ok(())
}

/// What must be refused while the database is away: writes, and whatever this replica has not served before.
fn refuses_what_it_cannot_know(holder: &Holder, repo: &str, image: &Image) -> Outcome {
    let unseen = Image::new(4711, 10);
    is_retriable(&holder.get(&format!("/v2/{repo}/manifests/{}", unseen.digest()))?)?;
    is_retriable(&holder.get(&format!("/v2/{repo}/blobs/{}", sha256(&unseen.layer)))?)?;
    is_retriable(&holder.get(&format!("/v2/{repo}/tags/list"))?)?;
    is_retriable(&holder.send(Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?)?;
    let put = Request::new("PUT", format!("/v2/{repo}/manifests/v2"))
        .header("Content-Type", OCI_MANIFEST)
        .body(Body::Bytes(&image.manifest));
    is_retriable(&holder.send(put)?)?;
    is_retriable(&holder.send(Request::new("DELETE", format!("/v2/{repo}/manifests/{}", image.digest())))?)
}

/// Many who ask for what needs the database wait for it together, not one after the other.
fn a_crowd_waits_once(holder: &Holder) -> Outcome {
    let stranger = holder.target.as_user("nobody", "wrong");
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..40)
            .map(|n| {
                let stranger = &stranger;
                scope.spawn(move || {
                    let start = Instant::now();
                    let answer = stranger.fetch("/v2/down/app/manifests/v1")?;
                    anyhow::ensure!(
                        start.elapsed() < NO_HANG,
                        "{n}: {} after {:?}",
                        answer.status,
                        start.elapsed()
                    );
                    // Wrong credentials cannot be told from new ones; too many of them are refused at once.
                    if answer.status == 429 { Ok(()) } else { is_retriable(&answer) }
                })
            })
            .collect();
        asked.into_iter().try_for_each(|asked| asked.join().unwrap_or_else(|_| anyhow::bail!("a panic")))
    })
}

/// Waits until a replica takes writes again.
fn recovers(target: &Target, seed: u64) -> anyhow::Result<f64> {
    let start = Instant::now();
    wait::until(RECOVERY, "a push after the database came back", || {
        Image::new(seed, 1_000).push(target, "down/after", &format!("t{seed}")).ok()
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn status_of(target: &Target, path: &str) -> Option<u16> {
    target.anonymous().fetch(path).ok().map(|answer| answer.status)
}

/// Takes the database away, one way or another, and gives it back.
fn outage(away: impl Fn(&mut Cluster) -> Outcome, back: impl Fn(&mut Cluster) -> Outcome) -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let image = Image::new(1, 400_000);
    image.push(&cluster.target(), "down/app", "v1")?;
    let scope = "repository:down/app:pull,push,delete";
    let holders: Vec<Holder> =
        (0..3).map(|n| Holder::new(&cluster.replica(n), scope)).collect::<anyhow::Result<_>>()?;
    for holder in &holders {
        pull(holder, "down/app", "v1", &image)?;
    }
    away(&mut cluster)?;
    std::thread::scope(|scope| {
        let asked: Vec<_> = holders
            .iter()
            .map(|holder| {
                let image = &image;
                scope.spawn(move || {
                    pull(holder, "down/app", "v1", image).context("an authorised pull goes on")?;
                    refuses_what_it_cannot_know(holder, "down/app", image)
                })
            })
            .collect();
        asked.into_iter().try_for_each(|asked| asked.join().unwrap_or_else(|_| anyhow::bail!("a panic")))
    })?;
    a_crowd_waits_once(&holders[1])?;
    let replica = cluster.replica(0);
    wait::until(RECOVERY, "not ready", || status_of(&replica, "/readyz").filter(|status| *status == 503))?;
    assert_eq!(status_of(&replica, "/healthz"), Some(200), "it is alive, only not ready");
    back(&mut cluster)?;
    let mut slowest = 0.0_f64;
    for (n, holder) in holders.iter().enumerate() {
        slowest = slowest.max(recovers(&cluster.replica(n), n as u64)?);
        pull(holder, "down/app", "v1", &image)?;
        let unseen = holder.get("/v2/down/app/manifests/nothing")?;
        assert_eq!(unseen.status, 404, "what is not there is not there again");
        wait::until(RECOVERY, "ready", || status_of(&cluster.replica(n), "/readyz").filter(|s| *s == 200))?;
    }
    tools::figure(&format!("the database back, all replicas took writes after {slowest:.1} s"));
    Ok(())
}

#[test]
fn a_dead_database_stops_writes_with_503_and_no_authorised_pull() -> Outcome {
    outage(|cluster| cluster.stores.postgres.down(), |cluster| cluster.stores.postgres.up())
}

#[test]
fn a_frozen_database_stops_writes_with_503_and_no_authorised_pull() -> Outcome {
    outage(|cluster| cluster.stores.postgres.freeze(true), |cluster| cluster.stores.postgres.freeze(false))
}

#[test]
fn what_was_deleted_or_forbidden_before_the_outage_is_not_served_in_it() -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let (gone, moved, kept) = (Image::new(1, 5_000), Image::new(2, 5_000), Image::new(3, 5_000));
    gone.push(&cluster.target(), "down/app", "gone")?;
    moved.push(&cluster.target(), "down/app", "moved")?;
    let holder = Holder::new(&cluster.replica(0), "repository:down/app:pull,push,delete")?;
    pull(&holder, "down/app", "gone", &gone)?;
    pull(&holder, "down/app", "moved", &moved)?;
    // The same replica deletes one and moves the other's tag.
    let delete = Request::new("DELETE", format!("/v2/down/app/manifests/{}", gone.digest()));
    assert_eq!(holder.send(delete)?.status, 202);
    kept.push(&cluster.replica(0), "down/app", "moved")?;
    pull(&holder, "down/app", "moved", &kept)?;
    cluster.stores.postgres.down()?;
    for reference in ["gone".to_owned(), gone.digest()] {
        is_retriable(&holder.get(&format!("/v2/down/app/manifests/{reference}"))?)?;
    }
    let known = holder.get("/v2/down/app/manifests/moved")?;
    assert!(known.body == kept.manifest);
    // A tag may have moved since; a digest says what it says.
    let warning = known.header("warning").unwrap_or_default();
    assert!(warning.starts_with("299 - \"") && warning.contains("database"), "{warning}");
    assert_eq!(holder.get(&format!("/v2/down/app/manifests/{}", kept.digest()))?.header("warning"), None);
    // A right that cannot be shown from what is known is not given.
    let stranger = Holder { target: cluster.replica(0).anonymous(), bearer: "Bearer a.b.c".to_owned() };
    let answer = stranger.get("/v2/down/app/manifests/moved")?;
    assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
    Ok(())
}

/// Pushes images until told to stop; those that were acknowledged, and every other status seen. A database that dies
/// forgets the last moments of upload sessions, which do not wait for its disk: such an upload (404 at its PUT) is
/// begun again, as by any client.
fn storm(target: &Target, worker: u64, over: &AtomicBool) -> (Vec<(String, Image)>, Vec<u16>) {
    let (mut pushed, mut others) = (Vec::new(), Vec::new());
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        let image = Image::new(worker * 100_000 + round, 3_000);
        let tag = format!("w{worker}-{round}");
        round += 1;
        let blobs = [&image.config, &image.layer].map(|bytes| {
            let answer = crate::push(target, "storm/app", bytes);
            answer.map_or(
                0,
                |answer| if answer.error_code() == "BLOB_UPLOAD_UNKNOWN" { 503 } else { answer.status },
            )
        });
        if blobs != [201, 201] {
            others.extend(blobs.into_iter().filter(|status| *status != 201));
            continue;
        }
        match target.put_manifest("storm/app", &tag, OCI_MANIFEST, &image.manifest) {
            Ok(answer) if answer.status == 201 => pushed.push((tag, image)),
            Ok(answer) => others.push(answer.status),
            Err(_) => others.push(0),
        }
    }
    (pushed, others)
}

/// Storms through all replicas while `harm` is done to the database; everything acknowledged is there afterwards, and
/// whoever failed was told to come back.
fn storms(name: &str, harm: impl FnOnce(&mut Cluster) -> Outcome) -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let (target, over) = (cluster.target(), AtomicBool::new(false));
    let (pushed, others) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|n| {
                let (target, over) = (&target, &over);
                scope.spawn(move || storm(target, n, over))
            })
            .collect();
        let harmed = harm(&mut cluster);
        let recovered = recovers(&target, 1);
        over.store(true, Ordering::Relaxed);
        let (mut pushed, mut others) = (Vec::new(), Vec::new());
        for worker in workers {
            let (more, other) = worker.join().unwrap_or_default();
            pushed.extend(more);
            others.extend(other);
        }
        harmed.and(recovered).map(|_| (pushed, others))
    })?;
    let mut lost = Vec::new();
    for (tag, image) in &pushed {
        let got = target.fetch(format!("/v2/storm/app/manifests/{tag}"))?;
        if got.body != image.manifest || is_there(&target, "storm/app", &image.layer).is_err() {
            lost.push(tag);
        }
    }
    let tags: Value = target.fetch("/v2/storm/app/tags/list?n=10000")?.json();
    let listed = tags["tags"].as_array().map_or(0, Vec::len);
    let counted = cluster.stores.postgres.sql(
        "bonded",
        "SELECT tag_count || ' ' || manifest_count || ' ' || (SELECT count(*) FROM audit WHERE action = 'manifest.put' \
         AND target LIKE 'storm/app%') FROM repository WHERE full_name = 'storm/app'",
    )?;
    let unclear: Vec<u16> = others.iter().copied().filter(|status| !matches!(status, 503)).collect();
    tools::figure(&format!(
        "{name}: {} pushes acknowledged, {} refused or cut, {} lost; {listed} tags, counters {}",
        pushed.len(),
        others.len(),
        lost.len(),
        counted.trim()
    ));
    assert!(lost.is_empty(), "{lost:?}");
    assert!(unclear.is_empty(), "answers beside 201 and 503 (0: none): {unclear:?}");
    // Those without an acknowledgement were kept or not, each wholly and once.
    assert_eq!(counted.trim(), format!("{listed} {listed} {listed}"));
    assert!(listed >= pushed.len());
    Ok(())
}

#[test]
fn pushes_beside_a_database_that_dies_and_returns_are_kept_or_refused() -> Outcome {
    storms("database killed and started 3 times", |cluster| {
        for _ in 0..3 {
            pause(Duration::from_secs(2));
            cluster.stores.postgres.down()?;
            pause(Duration::from_secs(1));
            cluster.stores.postgres.up()?;
        }
        Ok(())
    })
}

#[test]
fn pushes_beside_sessions_that_are_ended_again_and_again_are_kept_or_refused() -> Outcome {
    storms("all sessions ended 20 times", |cluster| {
        for _ in 0..20 {
            pause(Duration::from_millis(300));
            cluster.stores.postgres.sql(
                "postgres",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'bonded'",
            )?;
        }
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "lets the storm blow for a while; nothing is judged by it")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn a_read_only_database_refuses_writes_with_503_and_serves_pulls() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let image = Image::new(1, 5_000);
    image.push(&cluster.target(), "down/app", "v1")?;
    let holder = Holder::new(&cluster.replica(0), "repository:down/app:pull,push,delete")?;
    let set = |on: &str| {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        cluster.stores.postgres.sql("postgres", &set)?;
        cluster.stores.postgres.sql("postgres", "SELECT pg_reload_conf()")
    };
    set("on")?;
    wait::until(RECOVERY, "a refused write", || {
        let answer = holder.send(Request::new("POST", "/v2/down/app/blobs/uploads/")).ok()?;
        is_retriable(&answer).ok()
    })?;
    pull(&holder, "down/app", "v1", &image)?;
    assert_eq!(holder.get("/v2/down/app/manifests/nothing")?.status, 404, "it can be read");
    wait::until(RECOVERY, "not ready", || status_of(&cluster.replica(0), "/readyz").filter(|s| *s == 503))?;
    set("off")?;
    recovers(&cluster.replica(0), 1)?;
    Ok(())
}
