//! Workers that push until the server stops answering, and tell what they were told.

use std::sync::mpsc::Sender;

use e2e::Target;
use e2e::http::{Body, Connection, Request};
use e2e::image::{Image, noise};
use e2e::registry::{OCI_MANIFEST, sha256, with_query};

use crate::history::Event;

/// Bytes of one chunk and chunks of one upload.
pub(crate) const CHUNK: usize = 48 * 1024;
pub(crate) const CHUNKS: usize = 4;

/// What a worker pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Blobs in chunks.
    Uploads,
    /// Whole images under new tags.
    Manifests,
    /// Whole images under one moving tag.
    Tags,
}

/// One worker's part of a storm; unique per cycle and worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) target: Target,
    pub(crate) repo: String,
    pub(crate) work: Work,
    /// Makes every byte of this worker its own.
    pub(crate) seed: u64,
}

impl Worker {
    /// Works until an answer fails to come or `rounds` are done. A dropped receiver ends it too.
    pub(crate) fn run(&self, rounds: usize, tell: &Sender<Event>) {
        let mut connection = self.target.connect();
        for round in 0..rounds {
            let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(round as u64);
            let done = match self.work {
                Work::Uploads => self.upload(&mut connection, seed, tell),
                Work::Manifests => self.push(&mut connection, seed, format!("t{}-{round}", self.seed), tell),
                Work::Tags => self.push(&mut connection, seed, format!("moving-{}", self.seed), tell),
            };
            if done.is_none() {
                return;
            }
        }
    }

    fn push(&self, connection: &mut Connection, seed: u64, tag: String, tell: &Sender<Event>) -> Option<()> {
        let image = Box::new(Image::new(seed, 2_000));
        for bytes in [&image.config, &image.layer] {
            self.put_blob(connection, bytes)?;
        }
        let repo = self.repo.clone();
        tell.send(Event::Attempted { repo: repo.clone(), tag: tag.clone(), image: image.clone() }).ok()?;
        let put = Request::new("PUT", format!("/v2/{repo}/manifests/{tag}"))
            .header("Content-Type", OCI_MANIFEST)
            .body(Body::Bytes(&image.manifest));
        let answer = connection.send(&put).ok()?;
        (answer.status == 201).then_some(())?;
        tell.send(Event::Tagged { repo, tag, image }).ok()
    }

    fn open(&self, connection: &mut Connection) -> Option<String> {
        let opened =
            connection.send(&Request::new("POST", format!("/v2/{}/blobs/uploads/", self.repo))).ok()?;
        opened.location().filter(|_| opened.status == 202)
    }

    fn put_blob(&self, connection: &mut Connection, bytes: &[u8]) -> Option<()> {
        let at = with_query(&self.open(connection)?, &format!("digest={}", sha256(bytes)));
        let put = Request::new("PUT", at).header("Content-Type", "application/octet-stream");
        let answer = connection.send(&put.body(Body::Bytes(bytes))).ok()?;
        (answer.status == 201).then_some(())
    }

    fn upload(&self, connection: &mut Connection, seed: u64, tell: &Sender<Event>) -> Option<()> {
        let bytes = noise(seed, CHUNK * CHUNKS);
        let first = self.open(connection)?;
        let mut at = first.clone();
        tell.send(Event::Taken { location: first.clone(), seed, offset: 0 }).ok()?;
        for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
            let range = format!("{}-{}", n * CHUNK, n * CHUNK + chunk.len() - 1);
            let patch = Request::new("PATCH", at.clone())
                .header("Content-Type", "application/octet-stream")
                .header("Content-Range", range)
                .body(Body::Bytes(chunk));
            let answer = connection.send(&patch).ok()?;
            at = answer.location().filter(|_| answer.status == 202)?;
            let offset = n * CHUNK + chunk.len();
            tell.send(Event::Taken { location: first.clone(), seed, offset }).ok()?;
        }
        tell.send(Event::Finishing { location: first.clone() }).ok()?;
        let digest = sha256(&bytes);
        let put = Request::new("PUT", with_query(&at, &format!("digest={digest}")));
        let answer = connection.send(&put).ok()?;
        (answer.status == 201).then_some(())?;
        tell.send(Event::Stored { repo: self.repo.clone(), digest, location: first }).ok()
    }
}

/// Finishes an upload that a kill interrupted; an error in words when the server forgot acknowledged bytes.
pub(crate) fn resume(
    target: &Target,
    location: &str,
    seed: u64,
    acknowledged: usize,
) -> anyhow::Result<Option<String>> {
    let bytes = noise(seed, CHUNK * CHUNKS);
    let status = target.fetch(location)?;
    if status.status != 204 {
        return Ok(Some(format!("{location}: {} where an upload was", status.status)));
    }
    let last =
        status.header("range").and_then(|r| r.strip_prefix("0-")).and_then(|n| n.parse::<usize>().ok());
    let offset = last.filter(|&last| last > 0).map_or(0, |last| last + 1);
    if offset < acknowledged || offset > bytes.len() {
        return Ok(Some(format!("{location}: holds {offset} bytes, acknowledged were {acknowledged}")));
    }
    let at = status.location().unwrap_or_else(|| location.to_owned());
    let mut put = Request::new("PUT", with_query(&at, &format!("digest={}", sha256(&bytes))))
        .header("Content-Type", "application/octet-stream");
    if offset < bytes.len() {
        put = put
            .header("Content-Range", format!("{offset}-{}", bytes.len() - 1))
            .body(Body::Bytes(&bytes[offset..]));
    }
    let done = target.send(&put)?;
    Ok((done.status != 201)
        .then(|| format!("{location}: resumed at {offset}: {} {}", done.status, done.text())))
}
