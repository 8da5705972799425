//! Files of blob storage that a process maps: fetched once into a directory of its own, named by their objects.
//!
//! An object is never changed, so that a file that is here is the object. What is damaged is fetched again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blobs::BlobKey;
use registry::Registry;
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

    /// The file of an object, fetched unless it is here; none: the object is gone.
    pub(crate) async fn open(&self, object: &str) -> Result<Option<Mapped>, JobError> {
        let path = self.path(object);
        if let Ok(map) = self.sound(path.clone()).await {
            return Ok(Some(map));
        }
        let key = BlobKey::parse(object).map_err(JobError::failed)?;
        let stored = self.registry.blobs().open(key).await.map_err(JobError::retry)?;
        let Some(stored) = stored else { return Ok(None) };
        std::fs::create_dir_all(&self.dir).map_err(JobError::retry)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).map_err(JobError::retry)?;
        let (mut at, size) = (0, stored.stat().size);
        while at < size {
            let end = size.min(at + WINDOW);
            let bytes = stored.read_at(at..end).await.map_err(JobError::retry)?;
            file.write_all(&bytes).map_err(JobError::retry)?;
            at = end;
        }
        file.as_file().sync_all().map_err(JobError::retry)?;
        file.persist(&path).map_err(JobError::retry)?;
        let map =
            self.sound(path).await.map_err(|error| JobError::failed(format!("object {object}: {error}")))?;
        Ok(Some(map))
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
    pub(crate) fn keep_only<'o>(&self, objects: impl IntoIterator<Item = &'o str>) {
        let kept: Vec<PathBuf> = objects.into_iter().map(|object| self.path(object)).collect();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
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
    }
}
