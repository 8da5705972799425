//! Blob storage in a directory of a local file system.
//!
//! `DIR/ss/id`: 256 shard directories (0700), made and synced when the store is opened; objects are files (0600),
//! created exclusively at their final place and never renamed. Durable means: file synced, then its directory synced,
//! one directory sync shared by all that finish together. A writer holds an advisory lock on its file, so that two
//! requests of one upload session cannot interleave. Paths are opened relative to the root's descriptor: they consist
//! of hexadecimal digits only.

mod dirsync;
mod object;
mod probe;
mod writer;

use std::fs::File;
use std::hash::{BuildHasher, Hasher as _};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat as SysStat};
use rustix::io::{Errno, retry_on_intr};

use crate::buffers::Buffers;
use crate::busy::{while_busy, while_busy_now};
use crate::state::Place;
use crate::store::{BoxFuture, Capabilities};
use crate::{
    BlobError, BlobKey, BlobObject, BlobStore, BlobWriter, FreeSpace, Listed, LocalStore, Stamp, Stat,
    StateError, WriteState,
};
use dirsync::DirSync;
use object::FsObject;
use writer::FsWriter;

/// Blob storage in a directory. Cheap to clone.
#[derive(Clone)]
pub struct FsBlobs {
    shared: Arc<Shared>,
}

/// What all handles of one store share.
pub(crate) struct Shared {
    root: OwnedFd,
    path: PathBuf,
    /// Names this process's writes: bytes written by another one may have been lost in a power cut.
    incarnation: u64,
    directories: Vec<DirSync>,
    buffers: Buffers,
    /// Cleared when the kernel or a seccomp filter does not know `openat2`.
    cached_open: AtomicBool,
    /// Cleared when the file system does not know reads that never wait.
    nowait_read: AtomicBool,
}

impl std::fmt::Debug for FsBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FsBlobs").field(&self.shared.path).finish()
    }
}

impl FsBlobs {
    /// Opens `directory` as a store, creating it and its shards, synced. Blocks; call it at start.
    ///
    /// The caller keeps a second process away from the directory.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BlobError> {
        let path = directory.as_ref().to_path_buf();
        let root = probe::prepare(&path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                path,
                incarnation: std::collections::hash_map::RandomState::new().build_hasher().finish(),
                directories: (0..BlobKey::SHARDS).map(|_| DirSync::default()).collect(),
                buffers: Buffers::default(),
                cached_open: AtomicBool::new(true),
                nowait_read: AtomicBool::new(true),
            }),
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Runs blocking work on the pool.
    fn hop<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, BlobError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, BlobError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(hop(move || work(&shared)))
    }
}

/// Runs blocking work on tokio's pool.
async fn hop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BlobError::io("blocking task", io::Error::other(error))),
    }
}

impl Shared {
    /// Opens an object's file; `Ok(None)` when there is none.
    fn open_file(&self, key: BlobKey, flags: OFlags) -> Result<Option<File>, BlobError> {
        match rustix::fs::openat(
            &self.root,
            key.to_string(),
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            MODE_FILE,
        ) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(BlobError::io("open", error)),
        }
    }

    /// Opens for reading without waiting for the disk; `None` when only a thread that may block can tell.
    fn open_cached(&self, key: BlobKey) -> Option<Result<Option<File>, BlobError>> {
        if !self.cached_open.load(Ordering::Relaxed) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        match rustix::fs::openat2(&self.root, key.to_string(), flags, Mode::empty(), resolve) {
            Ok(file) => Some(Ok(Some(file.into()))),
            Err(Errno::NOENT) => Some(Ok(None)),
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                self.cached_open.store(false, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }

    fn open_object(self: &Arc<Self>, key: BlobKey, file: File) -> Result<Arc<dyn BlobObject>, BlobError> {
        let stat = stat_of(&rustix::fs::fstat(&file).map_err(|e| BlobError::io("fstat", e))?);
        Ok(Arc::new(FsObject { shared: Arc::clone(self), key, file: Arc::new(file), stat }))
    }

    /// Makes the names in an object's shard durable.
    fn sync_directory(&self, key: BlobKey) -> Result<(), BlobError> {
        let shard = key.shard();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.root, format!("{shard:02x}"), flags, Mode::empty());
        let directory = directory.map_err(|e| BlobError::io("open of a shard directory", e))?;
        self.directories[usize::from(shard)]
            .sync(|| retry_on_intr(|| rustix::fs::fsync(&directory)))
            .map_err(|e| BlobError::io("fsync of a shard directory", e))
    }

    fn remove(&self, key: BlobKey) -> Result<(), BlobError> {
        match rustix::fs::unlinkat(&self.root, key.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(BlobError::io("unlink", error)),
        }
    }

    fn stat(&self, key: BlobKey) -> Result<Option<SysStat>, BlobError> {
        match rustix::fs::statat(&self.root, key.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(BlobError::io("stat", error)),
        }
    }

    /// The keys of one shard after `after`, ascending.
    fn shard_keys(&self, shard: u8, after: Option<BlobKey>) -> Result<Vec<BlobKey>, BlobError> {
        let name = format!("{shard:02x}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.root, name.as_str(), flags, Mode::empty());
        let directory = directory.map_err(|e| BlobError::io("open of a shard directory", e))?;
        let mut keys = Vec::new();
        for entry in rustix::fs::Dir::read_from(directory).map_err(|e| BlobError::io("readdir", e))? {
            let entry = entry.map_err(|e| BlobError::io("readdir", e))?;
            let key =
                entry.file_name().to_str().ok().and_then(|id| BlobKey::parse(&format!("{name}/{id}")).ok());
            keys.extend(key.filter(|key| after.is_none_or(|after| *key > after)));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn list(&self, after: Option<BlobKey>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        let mut page = Vec::new();
        for shard in after.map_or(0, BlobKey::shard)..=u8::MAX {
            for key in self.shard_keys(shard, after)? {
                if page.len() == limit {
                    return Ok(page);
                }
                if let Some(stat) = self.stat(key)? {
                    page.push(Listed { key, size: size_of(&stat), modified_unix_s: stat.st_mtime });
                }
            }
        }
        Ok(page)
    }
}

/// Permissions of an object's file.
const MODE_FILE: Mode = Mode::from_raw_mode(0o600);

fn size_of(stat: &SysStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Size and identity from a file's attributes.
fn stat_of(stat: &SysStat) -> Stat {
    let time = stat.st_mtime.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(stat.st_mtime_nsec);
    let size = size_of(stat);
    Stat { size, stamp: Stamp([stat.st_ino ^ size.rotate_left(32), time]) }
}

impl LocalStore for FsBlobs {
    fn begin_now(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(while_busy_now(|| FsWriter::create(&self.shared, key))?))
    }
}

impl BlobStore for FsBlobs {
    fn begin(&self, key: BlobKey) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        let this = self.clone();
        Box::pin(hop(move || this.begin_now(key)))
    }

    fn local(&self) -> Option<Arc<dyn LocalStore>> {
        Some(Arc::new(self.clone()))
    }

    fn resume<'a>(
        &'a self,
        key: BlobKey,
        state: &'a WriteState,
    ) -> BoxFuture<'a, Result<Box<dyn BlobWriter>, BlobError>> {
        let Place::File { incarnation } = state.place else {
            return Box::pin(async { Err(StateError::Store.into()) });
        };
        let offset = state.offset;
        Box::pin(while_busy(move || {
            self.hop(move |shared| {
                FsWriter::reopen(shared, key, offset, incarnation).map(|w| Box::new(w) as Box<dyn BlobWriter>)
            })
        }))
    }

    fn open(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Arc<dyn BlobObject>>, BlobError>> {
        let shared = &self.shared;
        Box::pin(async move {
            if let Some(found) = shared.open_cached(key) {
                return found?.map(|file| shared.open_object(key, file)).transpose();
            }
            let shared = Arc::clone(shared);
            hop(move || {
                shared.open_file(key, OFlags::RDONLY)?.map(|file| shared.open_object(key, file)).transpose()
            })
            .await
        })
    }

    fn stat(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        self.hop(move |shared| Ok(shared.stat(key)?.as_ref().map(stat_of)))
    }

    fn delete(&self, key: BlobKey) -> BoxFuture<'_, Result<(), BlobError>> {
        self.hop(move |shared| shared.remove(key))
    }

    fn abort<'a>(&'a self, key: BlobKey, _: Option<&'a WriteState>) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(while_busy(move || self.hop(move |shared| FsWriter::remove(shared, key))))
    }

    fn list(&self, after: Option<BlobKey>, limit: usize) -> BoxFuture<'_, Result<Vec<Listed>, BlobError>> {
        self.hop(move |shared| shared.list(after, limit))
    }

    fn free_space(&self) -> BoxFuture<'_, Result<Option<FreeSpace>, BlobError>> {
        self.hop(|shared| {
            let stat = rustix::fs::fstatvfs(&shared.root).map_err(|e| BlobError::io("statvfs", e))?;
            Ok(Some(FreeSpace {
                available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            }))
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, BlobError>> {
        self.hop(probe::probe)
    }
}
