//! An image of a registry, as the files of an OCI layout that are fetched when they are first opened.
//!
//! Blobs lie, compressed as they are, in a temporary directory for as long as the image is open; a blob counts once its
//! digest was compared. Only what the chosen image is made of is fetched, within a time and a number of bytes.
//!
//! It is opened by threads that may block, and fetches on the runtime that it is given: never open one from a task.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci::Digest;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::{FetchedManifest, Registry, UpstreamError};

/// What an image may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// For everything.
    pub time: Duration,
    /// Bytes of all blobs together, as they are compressed: the room that is needed for temporary files.
    pub bytes: u64,
}

/// What the manifests seen so far say of a digest.
#[derive(Clone, Copy, Debug)]
enum Known {
    Manifest,
    Blob(u64),
}

/// An image as files.
#[derive(Debug)]
pub struct RemoteImage {
    runtime: Handle,
    registry: Registry,
    folder: tempfile::TempDir,
    index: Vec<u8>,
    known: Mutex<HashMap<Digest, Known>>,
    until: Instant,
    allowance: Allowance,
    spent: AtomicU64,
}

impl RemoteImage {
    /// Fetches the manifest that the registry's reference names.
    ///
    /// # Errors
    /// The manifest cannot be fetched, or there is no temporary directory.
    pub fn open(runtime: Handle, registry: Registry, allowance: Allowance) -> Result<Self, UpstreamError> {
        let until = Instant::now() + allowance.time;
        let named = within(&runtime, until, registry.named_manifest())?;
        let descriptor = serde_json::json!({
            "mediaType": named.media_type.as_str(), "digest": named.digest, "size": named.bytes.len(),
            "annotations": { "io.containerd.image.name": registry.reference().to_string() },
        });
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
        let folder =
            tempfile::Builder::new().prefix("bonded-scan-").tempdir().map_err(UpstreamError::Write)?;
        let image = Self {
            runtime,
            registry,
            folder,
            index: index.into_bytes(),
            known: Mutex::default(),
            until,
            allowance,
            spent: AtomicU64::new(0),
        };
        image.learn(&named);
        std::fs::write(image.place(&named.digest), &named.bytes).map_err(UpstreamError::Write)?;
        Ok(image)
    }

    /// A file of the layout (`index.json`, `blobs/ALGORITHM/HEX`) from its beginning; none if there is no such file.
    ///
    /// # Errors
    /// It cannot be fetched or read; the allowance is spent.
    pub fn open_file(&self, path: &str) -> io::Result<Option<Box<dyn Read>>> {
        if path == "index.json" {
            return Ok(Some(Box::new(Cursor::new(self.index.clone()))));
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

    fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    fn learn(&self, found: &FetchedManifest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(found.manifest.children.iter().map(|child| (child.digest, Known::Manifest)));
        known.extend(found.manifest.blobs().map(|blob| (blob.digest, Known::Blob(blob.size_bytes))));
    }

    /// Counts bytes before they are fetched.
    fn spend(&self, bytes: u64) -> Result<(), UpstreamError> {
        let before = self.spent.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.allowance.bytes {
            return Err(UpstreamError::Image { limit: self.allowance.bytes });
        }
        Ok(())
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
                self.spend(size)?;
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
    runtime: &Handle,
    until: Instant,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    runtime.block_on(async { timeout_at(until, work).await.unwrap_or(Err(UpstreamError::Time)) })
}
