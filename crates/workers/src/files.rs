//! Files of blob storage that a process maps: fetched once into a directory of its own, named by their objects.
//!
//! An object is never changed, so that a file that is here is the object: it was compared when it was fetched. What is
//! damaged is fetched again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blobs::BlobKey;
use oci::{Algorithm, Digest, Hasher};
use registry::Registry;
use tempfile::NamedTempFile;
use upstream::Mapped;

use crate::job::JobError;

/// Bytes read from storage at once.
const WINDOW: u64 = 4 << 20;

/// The files of one kind.
pub(crate) struct Files {
    registry: Arc<Registry>,
    dir: PathBuf,
    check: fn(&[u8]) -> io::Result<()>,
}

impl Files {
    /// Files in `dir` that are whole when `check` says so.
    pub(crate) fn new(registry: Arc<Registry>, dir: PathBuf, check: fn(&[u8]) -> io::Result<()>) -> Self {
        Self { registry, dir, check }
    }

    fn path(&self, object: &str) -> PathBuf {
        self.dir.join(object.replace('/', "-"))
    }

    /// The file of an object, fetched unless it is here; none: the object is gone. What is fetched is compared with
    /// `digest`, if that is known; a wrong one is fetched once more.
    pub(crate) async fn open(
        &self,
        object: &str,
        digest: Option<&Digest>,
    ) -> Result<Option<Mapped>, JobError> {
        let path = self.path(object);
        if let Ok(map) = self.sound(path.clone()).await {
            return Ok(Some(map));
        }
        for last in [false, true] {
            let Some((file, found)) = self.fetch(object).await? else { return Ok(None) };
            if digest.is_some_and(|wanted| *wanted != found) {
                tracing::warn!(object, %found, again = !last, "a file was fetched with other content than was written");
                continue;
            }
            let target = path.clone();
            let kept = tokio::task::spawn_blocking(move || {
                file.as_file().sync_all()?;
                file.persist(target).map(drop).map_err(|error| error.error)
            });
            kept.await.map_err(JobError::retry)?.map_err(JobError::retry)?;
            let map = self.sound(path.clone()).await;
            return map.map(Some).map_err(|error| JobError::failed(format!("object {object}: {error}")));
        }
        Err(JobError::failed(format!("object {object}: its content is not what was written")))
    }

    /// Fetches an object into a file that nobody else sees, and says what it is.
    async fn fetch(&self, object: &str) -> Result<Option<(NamedTempFile, Digest)>, JobError> {
        let key = BlobKey::parse(object).map_err(JobError::failed)?;
        let stored = self.registry.blobs().open(key).await.map_err(JobError::retry)?;
        let Some(stored) = stored else { return Ok(None) };
        let dir = self.dir.clone();
        let made = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&dir)?;
            NamedTempFile::new_in(&dir)
        });
        let mut file = made.await.map_err(JobError::retry)?.map_err(JobError::retry)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut at, size) = (0, stored.stat().size);
        while at < size {
            let end = size.min(at + WINDOW);
            let bytes = stored.read_at(at..end).await.map_err(JobError::retry)?;
            let write = tokio::task::spawn_blocking(move || {
                hasher.update(&bytes);
                file.write_all(&bytes).map(|()| (file, hasher))
            });
            (file, hasher) = write.await.map_err(JobError::retry)?.map_err(JobError::retry)?;
            at = end;
        }
        Ok(Some((file, hasher.finish())))
    }

    async fn sound(&self, path: PathBuf) -> io::Result<Mapped> {
        let check = self.check;
        let open = move || {
            let map = Mapped::open(&path)?;
            check(&map)?;
            Ok(map)
        };
        tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
    }

    /// Deletes all files but those of these objects. One that is still mapped stays readable.
    pub(crate) async fn keep_only<'o>(&self, objects: impl IntoIterator<Item = &'o str>) {
        let kept: Vec<PathBuf> = objects.into_iter().map(|object| self.path(object)).collect();
        let dir = self.dir.clone();
        let work = tokio::task::spawn_blocking(move || {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path: &Path = &entry.path();
                // One that is being fetched has another name.
                let fetched = entry.file_name().to_string_lossy().starts_with(".tmp");
                if !fetched
                    && !kept.iter().any(|keep| keep == path)
                    && let Err(error) = std::fs::remove_file(path)
                {
                    tracing::debug!(%error, "a file that is not needed any more stays");
                }
            }
        });
        if let Err(error) = work.await {
            tracing::warn!(%error, "files that are not needed any more stay");
        }
    }
}
