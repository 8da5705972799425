//! The works: what one operation is.
//!
//! Reads ask for content that [`prepare`] put there; a push sends a new layer, its configuration and its manifest, as
//! `zb` does: every operation makes bytes that the registry has never seen.

use std::path::Path;

use anyhow::{Context as _, ensure};
use e2e::http::{Body, Connection, Request};
use e2e::image::{Image, noise};
use e2e::registry::{OCI_MANIFEST, sha256, with_query};

use super::target::BenchTarget;

const REPO: &str = "bench/app";
const TAGS: u64 = 100;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Patches of a chunked push.
const CHUNK: usize = 256 * KIB;

/// One kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    GetManifest,
    HeadManifest,
    GetBlob1K,
    GetBlob1M,
    GetBlob64M,
    ListTags,
    Push1M,
    Push10M,
    PushChunked1M,
    Pull1M,
}

/// Every work, in the order of the report.
pub(crate) const ALL: &[Work] = &[
    Work::GetManifest,
    Work::HeadManifest,
    Work::GetBlob1K,
    Work::GetBlob1M,
    Work::GetBlob64M,
    Work::ListTags,
    Work::Push1M,
    Work::PushChunked1M,
    Work::Push10M,
    Work::Pull1M,
];

/// The names of all works.
pub(crate) fn names() -> String {
    ALL.iter().map(|w| w.name()).collect::<Vec<_>>().join(", ")
}

impl Work {
    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetManifest => "get-manifest-by-tag",
            Self::HeadManifest => "head-manifest-by-tag",
            Self::GetBlob1K => "get-blob-1KiB",
            Self::GetBlob1M => "get-blob-1MiB",
            Self::GetBlob64M => "get-blob-64MiB",
            Self::ListTags => "list-tags",
            Self::Push1M => "push-1MB",
            Self::PushChunked1M => "push-chunked-1MB",
            Self::Push10M => "push-10MB",
            Self::Pull1M => "pull-1MB",
        }
    }

    /// Bytes of the blob that it reads, if it reads one.
    fn blob_bytes(self) -> Option<usize> {
        match self {
            Self::GetBlob1K => Some(KIB),
            Self::GetBlob1M => Some(MIB),
            Self::GetBlob64M => Some(64 * MIB),
            _ => None,
        }
    }

    /// The file that a static server has for it.
    pub(crate) fn static_path(self) -> Option<&'static str> {
        self.blob_bytes().map(|_| self.name())
    }

    /// Works at once, at most: large transfers need no more to fill two cores.
    pub(crate) fn connections(self, wanted: u64) -> u64 {
        match self {
            Self::GetBlob64M | Self::Push10M => wanted.min(4),
            _ => wanted,
        }
    }
}

/// Puts there what the reads will ask for.
pub(crate) fn prepare(target: &BenchTarget, works: &[Work]) -> anyhow::Result<()> {
    let registry = &target.target;
    let image = pulled_image();
    image.push(registry, REPO, "t000").with_context(|| format!("preparing {}", target.name))?;
    if works.contains(&Work::ListTags) {
        for n in 1..TAGS {
            registry.push_manifest(REPO, &format!("t{n:03}"), OCI_MANIFEST, &image.manifest)?;
        }
    }
    for work in works {
        if let Some(length) = work.blob_bytes() {
            registry.push_blob(REPO, &blob(length))?;
        }
    }
    Ok(())
}

/// Writes the same blobs as files for a static server.
pub(crate) fn write_static(root: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(root)?;
    for work in ALL {
        if let Some(length) = work.blob_bytes() {
            std::fs::write(root.join(work.name()), blob(length))?;
        }
    }
    Ok(())
}

fn blob(length: usize) -> Vec<u8> {
    noise(length as u64, length)
}

fn pulled_image() -> Image {
    Image::new(4711, 1_000_000)
}

/// One worker's view of a work on one server: requests made ready once, then sent again and again.
pub(crate) struct Operation<'a> {
    work: Work,
    connection: Connection,
    reads: Vec<Request<'a>>,
    /// Base of the seeds of what it pushes; differs between workers, rounds and works.
    seed: u64,
    done: u64,
    layer: Vec<u8>,
}

impl Operation<'_> {
    /// Makes everything ready that does not belong to the operation.
    pub(crate) fn new(target: &BenchTarget, work: Work, is_static: bool, seed: u64) -> Self {
        let path = |rest: &str| format!("{}/v2/{REPO}{rest}", target.path);
        let reads = match work {
            _ if is_static => vec![Request::new("GET", format!("{}/{}", target.path, work.name()))],
            Work::GetManifest => vec![accepting("GET", path("/manifests/t000"))],
            Work::HeadManifest => vec![accepting("HEAD", path("/manifests/t000"))],
            Work::ListTags => vec![Request::new("GET", path("/tags/list?n=100"))],
            Work::GetBlob1K | Work::GetBlob1M | Work::GetBlob64M => {
                let digest = sha256(&blob(work.blob_bytes().unwrap_or_default()));
                vec![Request::new("GET", path(&format!("/blobs/{digest}")))]
            }
            Work::Pull1M => {
                let image = pulled_image();
                let get = |bytes: &[u8]| Request::new("GET", path(&format!("/blobs/{}", sha256(bytes))));
                vec![accepting("GET", path("/manifests/t000")), get(&image.config), get(&image.layer)]
            }
            Work::Push1M | Work::PushChunked1M | Work::Push10M => Vec::new(),
        };
        let layer_bytes = match work {
            Work::Push1M | Work::PushChunked1M => 1_000_000,
            Work::Push10M => 10_000_000,
            _ => 0,
        };
        let connection = target.target.connect();
        Self { work, connection, reads, seed, done: 0, layer: noise(seed, layer_bytes) }
    }

    /// Does it once; the seconds that the server's answers took.
    pub(crate) fn once(&mut self) -> anyhow::Result<f64> {
        self.done += 1;
        if self.reads.is_empty() {
            return self.push();
        }
        let start = std::time::Instant::now();
        for request in &self.reads {
            let answer = self.connection.send_to(request, &mut std::io::sink())?;
            ensure!(answer.status == 200 && answer.complete, "{}: {}", request.target, answer.status);
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn push(&mut self) -> anyhow::Result<f64> {
        // A new layer for the price of sixteen changed bytes; its hash is the load generator's work, not timed.
        self.layer[..8].copy_from_slice(&self.seed.to_le_bytes());
        self.layer[8..16].copy_from_slice(&self.done.to_le_bytes());
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"{}-{}\"}}",
            self.seed, self.done
        );
        let manifest = e2e::image::manifest(config.as_bytes(), &[&self.layer]);
        let digests = [sha256(&self.layer), sha256(config.as_bytes())];
        let start = std::time::Instant::now();
        let layer = std::mem::take(&mut self.layer);
        let pushed = self.push_blob(&layer, &digests[0], self.work == Work::PushChunked1M);
        self.layer = layer;
        pushed?;
        self.push_blob(config.as_bytes(), &digests[1], false)?;
        let put = Request::new("PUT", format!("/v2/{REPO}/manifests/p{:x}-{}", self.seed, self.done))
            .header("Content-Type", OCI_MANIFEST)
            .body(Body::Bytes(&manifest));
        let answer = self.connection.send(&put)?;
        ensure!(answer.status == 201, "PUT manifest: {} {}", answer.status, answer.text());
        Ok(start.elapsed().as_secs_f64())
    }

    fn push_blob(&mut self, bytes: &[u8], digest: &str, chunked: bool) -> anyhow::Result<()> {
        let opened = self.connection.send(&Request::new("POST", format!("/v2/{REPO}/blobs/uploads/")))?;
        ensure!(opened.status == 202, "POST: {} {}", opened.status, opened.text());
        let mut at = opened.location().context("202 without Location")?;
        if chunked {
            for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
                let start = n * CHUNK;
                let patch = Request::new("PATCH", at)
                    .header("Content-Type", "application/octet-stream")
                    .header("Content-Range", format!("{start}-{}", start + chunk.len() - 1))
                    .body(Body::Bytes(chunk));
                let taken = self.connection.send(&patch)?;
                ensure!(taken.status == 202, "PATCH: {} {}", taken.status, taken.text());
                at = taken.location().context("202 without Location")?;
            }
        }
        let rest = if chunked { &[][..] } else { bytes };
        let put = Request::new("PUT", with_query(&at, &format!("digest={digest}")))
            .header("Content-Type", "application/octet-stream")
            .body(Body::Bytes(rest));
        let stored = self.connection.send(&put)?;
        ensure!(stored.status == 201, "PUT: {} {}", stored.status, stored.text());
        Ok(())
    }
}

fn accepting(method: &str, target: String) -> Request<'_> {
    Request::new(method, target).header("Accept", OCI_MANIFEST)
}
