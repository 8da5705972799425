//! Making the directories of a store, and trying at start what it will need.
//!
//! Each refusal is one line that names the path and what to do, because it is what an operator sees when the server
//! does not start.

use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Shared, writer::FsWriter};
use crate::{BlobError, BlobKey, Capabilities, SyncWriter as _};

/// Permissions of the directories.
const MODE_DIRECTORY: Mode = Mode::from_raw_mode(0o700);
/// File systems of `statfs(2)` whose `fsync`, locks or exclusive creation depend on a server or on nothing at all.
const DOUBTFUL: [(u64, &str); 5] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1994, "tmpfs, which a restart empties"),
    (0x6573_5546, "FUSE"),
];

/// Creates the directory and its shards, durably, and answers its descriptor.
pub(super) fn prepare(path: &Path) -> Result<OwnedFd, BlobError> {
    let unfit = |what: &str, hint: &str, error: std::io::Error| {
        BlobError::Unfit(format!("blob directory {}: {what}: {error}; {hint}", path.display()))
    };
    let owner = "give it to the user that runs the server (chown), or set another --data-dir";
    let existed = path.is_dir();
    std::fs::create_dir_all(path).map_err(|e| unfit("cannot be created", owner, e))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| unfit("cannot be opened", owner, e.into()))?;
    if !existed {
        rustix::fs::fchmod(&root, MODE_DIRECTORY)
            .map_err(|e| unfit("cannot be protected", owner, e.into()))?;
    }
    let mut made = false;
    for shard in 0..=u8::MAX {
        match rustix::fs::mkdirat(&root, format!("{shard:02x}"), MODE_DIRECTORY) {
            Ok(()) => made = true,
            Err(Errno::EXIST) => {}
            Err(Errno::ROFS) => return Err(unfit("is read-only", "mount it writable", Errno::ROFS.into())),
            Err(Errno::NOSPC) => return Err(unfit("is full", "free some space", Errno::NOSPC.into())),
            Err(error) => return Err(unfit("is not writable", owner, error.into())),
        }
    }
    if made {
        // One call for all shards, then the names in the root, then the root's own name.
        rustix::fs::syncfs(&root).map_err(|e| unfit("cannot be synced", "check the disk", e.into()))?;
    }
    rustix::fs::fsync(&root).map_err(|e| unfit("cannot be synced", "check the disk", e.into()))?;
    if let Some(parent) = path.parent().filter(|parent| !existed && !parent.as_os_str().is_empty()) {
        let synced = rustix::fs::open(parent, flags, Mode::empty()).and_then(rustix::fs::fsync);
        synced.map_err(|e| unfit("its parent cannot be synced", "check the disk", e.into()))?;
    }
    Ok(root)
}

/// Writes, locks, syncs, reads and removes an object, and looks at the kind of file system.
pub(super) fn probe(shared: &std::sync::Arc<Shared>) -> Result<Capabilities, BlobError> {
    let unfit = |what: &str| BlobError::Unfit(format!("blob directory {}: {what}", shared.path.display()));
    let key = BlobKey::from_id(u128::from(shared.incarnation));
    let mut writer = match FsWriter::create(shared, key) {
        Ok(writer) => writer,
        Err(BlobError::NoSpace) => return Err(unfit("is full; free some space")),
        Err(BlobError::Io { source, .. }) => {
            return Err(unfit(&format!(
                "a file cannot be created in a shard: {source}; check owner and permissions"
            )));
        }
        Err(error) => return Err(error),
    };
    match FsWriter::create(shared, key) {
        Err(BlobError::Exists { .. } | BlobError::Busy { .. }) => {}
        _ => return Err(unfit("does not create files exclusively; use a local file system")),
    }
    match FsWriter::reopen(shared, key, 0, shared.incarnation) {
        Err(BlobError::Busy { .. }) => {}
        _ => {
            return Err(unfit(
                "does not lock files (flock); use a local file system, or mount NFS with locks",
            ));
        }
    }
    let content = Bytes::from_static(b"bonded probes its blob directory");
    writer.write_batch(std::slice::from_ref(&content))?;
    writer.finish_now()?;
    let read = shared.open_file(key, OFlags::RDONLY)?.map(std::io::read_to_string).transpose();
    shared.remove(key)?;
    match read {
        Ok(Some(text)) if text.as_bytes() == content => {}
        _ => return Err(unfit("does not give back what was written; check the disk")),
    }
    let mut found = Capabilities::default();
    let kind = rustix::fs::fstatfs(&shared.root).map_err(|e| BlobError::io("statfs", e))?;
    if let Some((_, name)) = DOUBTFUL.iter().find(|(magic, _)| *magic == kind.f_type.cast_unsigned()) {
        found.warnings.push(format!(
            "blob directory {} is on {name}: pushes are only as durable as its fsync",
            shared.path.display()
        ));
    }
    let stat = rustix::fs::fstat(&shared.root).map_err(|e| BlobError::io("fstat", e))?;
    if stat.st_mode & 0o022 != 0 {
        found
            .warnings
            .push(format!("blob directory {} is writable by others; chmod 0700 it", shared.path.display()));
    }
    Ok(found)
}
