//! Several replicas are one registry: three servers on one PostgreSQL and one S3 service behind a round-robin proxy,
//! and the faults that lie between a server and its stores.
//!
//! Every test has stores and servers of its own, since most of them break something. Without PostgreSQL's binaries or
//! an S3 service they are skipped by name.

mod access;
mod collection;
mod commit;
mod conformance;
mod database;
mod downloads;
mod protocol;
mod rebuild;
mod redirect;
mod tags;
mod toxics;
mod uploads;
mod writes;

use e2e::Target;
use e2e::http::{Body, Connection, Request, Response};
use e2e::registry::{sha256, with_query};

/// Settings with which nothing is kept longer than needed.
const NOTHING_KEPT: &[(&str, &str)] = &[("BONDED_GC__GRACE", "0s"), ("BONDED_DELETE__RESTORE_WINDOW", "0s")];

/// What a test that arranges, acts and asserts returns.
type Outcome = anyhow::Result<()>;

/// A chunk of an upload: PATCH of `bytes` that begin at `offset`.
fn patch(target: &Target, location: &str, offset: usize, bytes: &[u8]) -> anyhow::Result<Response> {
    let range = format!("{offset}-{}", (offset + bytes.len()).saturating_sub(1));
    let patch = Request::new("PATCH", location)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", range)
        .body(Body::Bytes(bytes));
    target.send(&patch)
}

/// The end of an upload whose bytes are all there.
fn finish(target: &Target, location: &str, bytes: &[u8]) -> anyhow::Result<Response> {
    target.send(&Request::new("PUT", with_query(location, &format!("digest={}", sha256(bytes)))))
}

/// Opens an upload; its location.
fn open(target: &Target, repo: &str) -> anyhow::Result<String> {
    let opened = target.send(&Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?;
    anyhow::ensure!(opened.status == 202, "POST: {} {}", opened.status, opened.text());
    opened.location().ok_or_else(|| anyhow::anyhow!("no Location"))
}

/// POST and PUT of a whole blob; the answer of whichever failed, else of the PUT.
fn push(target: &Target, repo: &str, bytes: &[u8]) -> anyhow::Result<Response> {
    let mut connection = target.connect();
    let opened = connection.send(&Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?;
    let Some(location) = opened.location().filter(|_| opened.status == 202) else { return Ok(opened) };
    put(&mut connection, &location, bytes)
}

/// PUT of a whole blob into an open upload.
fn put(connection: &mut Connection, location: &str, bytes: &[u8]) -> anyhow::Result<Response> {
    let put = Request::new("PUT", with_query(location, &format!("digest={}", sha256(bytes))))
        .header("Content-Type", "application/octet-stream")
        .body(Body::Bytes(bytes));
    Ok(connection.send(&put)?)
}

/// The bytes received, as `Range` tells them.
fn received(answer: &Response) -> usize {
    let last = answer.header("range").and_then(|range| range.strip_prefix("0-"));
    last.and_then(|last| last.parse::<usize>().ok()).filter(|&last| last > 0).map_or(0, |last| last + 1)
}

/// The blob is there, whole.
#[track_caller]
fn is_there(target: &Target, repo: &str, bytes: &[u8]) -> Outcome {
    let got = target.fetch(format!("/v2/{repo}/blobs/{}", sha256(bytes)))?;
    let whole = got.status == 200 && got.complete && got.body == bytes;
    let place = std::panic::Location::caller();
    anyhow::ensure!(whole, "{place}: {} with {} of {} bytes", got.status, got.body.len(), bytes.len());
    Ok(())
}

/// A refusal that a client may try again: 503 that says when.
#[track_caller]
fn is_retriable(answer: &Response) -> Outcome {
    let place = std::panic::Location::caller();
    anyhow::ensure!(
        answer.status == 503 && answer.header("retry-after").is_some(),
        "{place}: {} {:?} {}",
        answer.status,
        answer.headers,
        answer.text()
    );
    Ok(())
}

/// The object is there, whole.
fn is_there_at(addr: std::net::SocketAddr, path: &str, bytes: &[u8]) -> Outcome {
    let got = Connection::new(addr, None).send(&Request::new("GET", path))?;
    anyhow::ensure!(got.status == 200 && got.body == bytes, "{}", got.status);
    Ok(())
}
