//! An image of a registry, as the files of an OCI layout that are fetched when they are first opened.
//!
//! Blobs lie, compressed as they are, in a temporary directory for as long as the source is open; a blob counts once
//! its digest was compared. Only what the chosen image is made of is fetched.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci::Digest;
use tokio::time::{Instant, timeout_at};
use upstream::{FetchedManifest, Registry, UpstreamError};
use vuln::image::Files;

/// What the manifests seen so far say of a digest.
#[derive(Clone, Copy)]
enum Known {
    Manifest,
    Blob(u64),
}

/// A repository as files.
pub(crate) struct Remote {
    runtime: tokio::runtime::Runtime,
    registry: Registry,
    folder: tempfile::TempDir,
    index: Vec<u8>,
    known: Mutex<HashMap<Digest, Known>>,
    until: Instant,
}

impl Remote {
    /// Fetches the manifest that the reference names; everything is to be fetched within `allowed`.
    pub(crate) fn open(
        runtime: tokio::runtime::Runtime,
        registry: Registry,
        allowed: Duration,
    ) -> anyhow::Result<Self> {
        let until = Instant::now() + allowed;
        let named = within(&runtime, until, registry.named_manifest())?;
        let descriptor = serde_json::json!({
            "mediaType": named.media_type.as_str(), "digest": named.digest, "size": named.bytes.len(),
            "annotations": { "io.containerd.image.name": registry.reference().to_string() },
        });
        let index =
            serde_json::to_vec(&serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] }))?;
        let folder = tempfile::Builder::new().prefix("bonded-scan-").tempdir()?;
        let remote = Self { runtime, registry, folder, index, known: Mutex::default(), until };
        remote.learn(&named);
        std::fs::write(remote.place(&named.digest), &named.bytes)?;
        Ok(remote)
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    fn learn(&self, found: &FetchedManifest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(found.manifest.children.iter().map(|child| (child.digest, Known::Manifest)));
        known.extend(found.manifest.blobs().map(|blob| (blob.digest, Known::Blob(blob.size_bytes))));
    }

    fn fetch(&self, digest: &Digest) -> Result<bool, UpstreamError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        let write = |bytes: &[u8]| std::fs::write(self.place(digest), bytes).map_err(UpstreamError::Write);
        match known {
            None => return Ok(false),
            Some(Known::Manifest) => {
                let found = within(&self.runtime, self.until, self.registry.manifest(digest))?;
                self.learn(&found);
                write(&found.bytes)?;
            }
            Some(Known::Blob(size)) => {
                // Two threads may want the same layer: each writes its own file, either is whole.
                let mut partial =
                    tempfile::NamedTempFile::new_in(self.folder.path()).map_err(UpstreamError::Write)?;
                within(&self.runtime, self.until, self.registry.blob(digest, size, &mut partial))?;
                partial.persist(self.place(digest)).map_err(|error| UpstreamError::Write(error.error))?;
            }
        }
        Ok(true)
    }
}

fn within<T>(
    runtime: &tokio::runtime::Runtime,
    until: Instant,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    runtime.block_on(async { timeout_at(until, work).await.unwrap_or(Err(UpstreamError::Time)) })
}

impl Files for Remote {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        if path == "index.json" {
            return Ok(Some(Box::new(Cursor::new(&self.index))));
        }
        let mut parts = path.split('/');
        let (Some("blobs"), Some(algorithm), Some(hex), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { return Ok(None) };
        let place = self.place(&digest);
        if !place.exists() && !self.fetch(&digest).map_err(io::Error::other)? {
            return Ok(None);
        }
        Ok(Some(Box::new(File::open(place)?)))
    }
}
