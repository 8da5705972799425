//! Uploads belong to no replica.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;
use e2e::cluster::Cluster;
use e2e::image::noise;
use e2e::{Target, tools, wait};

use crate::{Outcome, finish, is_there, open, patch, received};

#[test]
fn an_upload_goes_from_replica_to_replica_in_chunks_of_any_size() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let bytes = noise(1, 13_456_789);
    let mut location = open(&cluster.replica(0), "walk/app")?;
    let mut offset = 0_usize;
    // Smaller than a part of S3, larger, one byte, exactly a part, and the rest.
    for (n, size) in [1, 777_777, 6_000_001, 3, 5 * 1024 * 1024, usize::MAX].into_iter().enumerate() {
        let chunk = &bytes[offset..offset.saturating_add(size).min(bytes.len())];
        let answer = patch(&cluster.replica(n), &location, offset, chunk)?;
        assert_eq!(answer.status, 202, "chunk {n}: {}", answer.text());
        offset += chunk.len();
        assert_eq!(received(&answer).max(1), offset, "chunk {n}");
        location = answer.location().context("a Location")?;
        let status = cluster.replica(n + 1).fetch(location.clone())?;
        assert_eq!((status.status, received(&status).max(1)), (204, offset), "the next replica, chunk {n}");
        // A chunk that comes twice is told where the upload is.
        let again = patch(&cluster.replica(n + 2), &location, offset - chunk.len(), chunk)?;
        assert_eq!((again.status, received(&again).max(1)), (416, offset), "chunk {n} again");
    }
    let done = finish(&cluster.replica(2), &location, &bytes)?;
    assert_eq!(done.status, 201, "{}", done.text());
    for n in 0..3 {
        is_there(&cluster.replica(n), "walk/app", &bytes)?;
    }
    Ok(())
}

/// Begins a PATCH and sends a part of its body; the connection stays open.
fn begin_patch(
    target: &Target,
    location: &str,
    offset: usize,
    declared: usize,
    sent: &[u8],
) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.addr)?;
    let authorization = target.basic().context("credentials")?;
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {declared}\r\n\
         Content-Range: {offset}-{}\r\n\r\n",
        target.addr,
        offset + declared - 1
    )?;
    stream.write_all(sent)?;
    Ok(stream)
}

#[test]
fn an_upload_outlives_its_replica_with_every_acknowledged_byte() -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let mut resumed = Vec::new();
    for (n, first) in [1, 300_001, 5 * 1024 * 1024 + 7, 12_000_000].into_iter().enumerate() {
        let bytes = noise(n as u64 + 10, 20_000_000);
        let (dying, next, last) = (n % 3, (n + 1) % 3, (n + 2) % 3);
        let location = open(&cluster.replica(dying), "kill/app")?;
        let taken = patch(&cluster.replica(dying), &location, 0, &bytes[..first])?;
        assert_eq!(taken.status, 202, "{}", taken.text());
        // In the middle of the next chunk the replica dies.
        let middle = first + (bytes.len() - first) / 2;
        let declared = bytes.len() - first;
        let stream = begin_patch(&cluster.replica(dying), &location, first, declared, &bytes[first..middle])?;
        cluster.servers[dying].kill()?;
        drop(stream);
        let status = cluster.replica(next).fetch(location.clone())?;
        let held = received(&status).max(usize::from(first == 1));
        assert!(status.status == 204 && held >= first, "{} of {first} bytes: {}", held, status.status);
        resumed.push(held);
        let rest = patch(&cluster.replica(next), &location, held, &bytes[held..])?;
        assert_eq!(rest.status, 202, "{}", rest.text());
        let done = finish(&cluster.replica(last), &location, &bytes)?;
        assert_eq!(done.status, 201, "{}", done.text());
        cluster.servers[dying].restart()?;
        is_there(&cluster.replica(dying), "kill/app", &bytes)?;
    }
    tools::figure(&format!("{} uploads killed with their replica, resumed at {resumed:?}", resumed.len()));
    Ok(())
}

#[test]
fn the_proxy_passes_over_a_dead_replica_and_finds_it_again() -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let target = cluster.target();
    let bytes = noise(3, 100_000);
    let location = open(&target, "over/app")?;
    assert_eq!(patch(&target, &location, 0, &bytes[..50_000])?.status, 202);
    cluster.servers[1].kill()?;
    assert_eq!(patch(&target, &location, 50_000, &bytes[50_000..])?.status, 202);
    assert_eq!(finish(&target, &location, &bytes)?.status, 201);
    for _ in 0..6 {
        is_there(&target, "over/app", &bytes)?;
    }
    cluster.servers[1].restart()?;
    wait::until(Duration::from_mins(1), "the third replica", || {
        is_there(&cluster.replica(1), "over/app", &bytes).ok()
    })
}
