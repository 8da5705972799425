//! Blobs: global rows for durable, verified bytes, and the per-repository rows that make them readable.

use bytes::{BufMut, Bytes, BytesMut};
use oci::Digest;

use super::{PrincipalId, ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

/// Frames whose checksums share a row of `object_frames`.
pub const FRAMES_PER_ROW: u64 = 1024;

crate::statements! {
    IN_REPOSITORY = Read "SELECT b.digest, b.size_bytes, b.object_key, b.corrupt FROM repository r JOIN repository_blob rb ON rb.repository_id = r.id JOIN blob b ON b.digest = rb.digest WHERE r.project_id = $1 AND r.name = $2 AND rb.digest = $3";
    FIND = Read "SELECT digest, size_bytes, object_key, corrupt FROM blob WHERE digest = $1";
    PRESENT = Read "SELECT rb.digest, b.size_bytes FROM repository_blob rb JOIN blob b ON b.digest = rb.digest WHERE rb.repository_id = $1 AND rb.digest IN (SELECT value FROM bonded_texts($2)) AND b.corrupt = 0";
    HOLDERS = Read "SELECT r.project_id, r.name FROM repository_blob rb JOIN repository r ON r.id = rb.repository_id WHERE rb.digest = $1 ORDER BY r.id LIMIT $2";
    INSERT = Write "INSERT INTO blob (digest, size_bytes, object_key, checked_at, created_at, tx) VALUES ($1, $2, $3, $4, $4, $5)";
    REPLACE_OBJECT = Write "UPDATE blob SET object_key = $2, corrupt = 0, checked_at = $4, tx = $5 WHERE digest = $1 AND object_key = $3";
    INSERT_FRAMES = Write "INSERT INTO object_frames (object_key, first_frame, sums) VALUES ($1, $2, $3)";
    FRAMES = Read "SELECT sums FROM object_frames WHERE object_key = $1 AND first_frame = $2";
    DELETE_FRAMES = Write "DELETE FROM object_frames WHERE object_key = $1";
    LINK = Write "INSERT INTO repository_blob (repository_id, digest, lease_until, linked_by, tx) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repository_id, digest) DO UPDATE SET lease_until = GREATEST(repository_blob.lease_until, excluded.lease_until), linked_by = excluded.linked_by";
    LINKED_BY = Read "SELECT digest FROM repository_blob WHERE repository_id = $1 AND linked_by = $2 AND lease_until > $3 AND digest IN (SELECT value FROM bonded_texts($4))";
    FILL_GAPS = Write "INSERT INTO manifest_blob (repository_id, manifest, blob) SELECT repository_id, manifest, blob FROM manifest_gap WHERE repository_id = $1 AND blob = $2";
    CLOSE_GAPS = Write "DELETE FROM manifest_gap WHERE repository_id = $1 AND blob = $2";
    UNLINK = Write "DELETE FROM repository_blob WHERE repository_id = $1 AND digest = $2 AND NOT EXISTS (SELECT 1 FROM manifest_blob WHERE repository_id = $1 AND blob = $2)";
    MARK_CORRUPT = Write "UPDATE blob SET corrupt = 1 WHERE digest = $1 AND object_key = $2 AND corrupt = 0";
    QUARANTINE = Write "INSERT INTO object_quarantine (object_key, digest, frame, reason, found_at, tx) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (object_key) DO NOTHING";
    PUT_BACK = Write "UPDATE blob SET corrupt = 0, checked_at = $3 WHERE digest = $1 AND object_key = $2 AND corrupt = 1";
    UNQUARANTINE = Write "DELETE FROM object_quarantine WHERE object_key = $1";
    CORRUPT = Scan "SELECT count(*) FROM blob WHERE corrupt = 1";
    BY_OBJECT = Read "SELECT digest, size_bytes, object_key, corrupt FROM blob WHERE object_key = $1";
    OLDEST_CHECKED = Scan "SELECT digest, size_bytes, object_key, corrupt FROM blob WHERE checked_at < $1 AND corrupt = 0 ORDER BY checked_at LIMIT $2";
    SET_CHECKED = Write "UPDATE blob SET checked_at = $3 WHERE digest = $1 AND object_key = $2";
    AFTER = Scan "SELECT digest, size_bytes, object_key, corrupt FROM blob WHERE digest > $1 ORDER BY digest LIMIT $2";
    KNOWN_OBJECTS = Read "SELECT object_key FROM blob WHERE object_key IN (SELECT value FROM bonded_texts($1)) UNION ALL SELECT object_key FROM upload_session WHERE object_key IN (SELECT value FROM bonded_texts($1)) UNION ALL SELECT object_key FROM object_trash WHERE object_key IN (SELECT value FROM bonded_texts($1)) UNION ALL SELECT object_key FROM object_quarantine WHERE object_key IN (SELECT value FROM bonded_texts($1))";
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Size.
    pub size_bytes: u64,
    /// Key of the object that holds it.
    pub object_key: String,
    /// Its bytes were found wrong; not served until pushed again.
    pub corrupt: bool,
}

fn parse(row: &Row) -> Result<BlobRow, StoreError> {
    Ok(BlobRow {
        digest: row.digest(0)?,
        size_bytes: row.uint(1)?,
        object_key: row.text(2)?.to_owned(),
        corrupt: row.bool(3)?,
    })
}

impl Store {
    /// The blob as the repository `name` of a project may serve it.
    pub async fn blob_in(
        &self,
        project: ProjectId,
        name: &str,
        digest: &Digest,
    ) -> Result<Option<BlobRow>, StoreError> {
        self.row(&IN_REPOSITORY, &params![project, name, digest]).await?.as_ref().map(parse).transpose()
    }

    /// The blob, wherever it is linked.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, StoreError> {
        self.row(&FIND, &params![digest]).await?.as_ref().map(parse).transpose()
    }

    /// The blob whose bytes are in an object.
    pub async fn blob_of_object(&self, object_key: &str) -> Result<Option<BlobRow>, StoreError> {
        self.row(&BY_OBJECT, &params![object_key]).await?.as_ref().map(parse).transpose()
    }

    /// Those of `digests` that the repository holds, with their sizes.
    pub async fn blobs_present(
        &self,
        repository: RepositoryId,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<Vec<(Digest, u64)>, StoreError> {
        let list = Value::texts(digests.into_iter().map(|digest| digest.to_string()));
        let rows = self.rows(&PRESENT, &[repository.into(), list]).await?;
        rows.iter().map(|row| Ok((row.digest(0)?, row.uint(1)?))).collect()
    }

    /// Those of `digests` that `by` was the last to bring, with a lease that goes on after `now`.
    pub async fn blobs_brought(
        &self,
        repository: RepositoryId,
        by: PrincipalId,
        now: Timestamp,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<Vec<Digest>, StoreError> {
        let list = Value::texts(digests.into_iter().map(|digest| digest.to_string()));
        let rows = self.rows(&LINKED_BY, &[repository.into(), by.into(), now.into(), list]).await?;
        rows.iter().map(|row| row.digest(0)).collect()
    }

    /// Repositories that hold a blob, at most `limit`, as (project, name inside it).
    pub async fn blob_holders(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<(ProjectId, String)>, StoreError> {
        let rows = self.rows(&HOLDERS, &params![digest, limit]).await?;
        rows.iter().map(|row| Ok((row.id(0)?, row.text(1)?.to_owned()))).collect()
    }

    /// The packed checksums of the frames from `first`, a multiple of `FRAMES_PER_ROW`.
    pub async fn frame_sums(&self, object_key: &str, first: u64) -> Result<Option<Bytes>, StoreError> {
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        self.row(&FRAMES, &params![object_key, first]).await?.map(|row| row.bytes(0)).transpose()
    }

    /// Sound blobs not checked since `before`, longest ago first.
    pub async fn blobs_to_check(&self, before: Timestamp, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        self.rows(&OLDEST_CHECKED, &params![before, limit]).await?.iter().map(parse).collect()
    }

    /// Blobs in order of digest after `last`.
    pub async fn blobs_after(&self, last: &str, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        self.rows(&AFTER, &params![last, limit]).await?.iter().map(parse).collect()
    }

    /// How many blobs are out of service because their bytes were found wrong.
    pub async fn corrupt_blobs(&self) -> Result<u64, StoreError> {
        self.row(&CORRUPT, &[]).await?.map_or(Ok(0), |row| row.uint(0))
    }

    /// Those of `keys` that some row names.
    pub async fn known_objects(&self, keys: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(&KNOWN_OBJECTS, &[Value::texts(keys)]).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }
}

/// Inserts a blob with its frame checksums; one of that digest is a conflict at `blob`.
pub fn insert(tx: &mut Tx, row: &BlobRow, frames: &[u32], at: Timestamp) {
    let id = tx.id();
    let size = i64::try_from(row.size_bytes).unwrap_or(i64::MAX);
    tx.step_or(&INSERT, params![row.digest, size, &row.object_key, at, id], Expect::Rows(1), "blob");
    insert_frames(tx, &row.object_key, frames);
}

/// Puts a fresh object in place of a corrupt one.
pub fn replace_object(tx: &mut Tx, digest: &Digest, new: &str, old: &str, frames: &[u32], at: Timestamp) {
    let id = tx.id();
    tx.step_or(&REPLACE_OBJECT, params![digest, new, old, at, id], Expect::Rows(1), "blob");
    insert_frames(tx, new, frames);
}

/// Inserts the frame checksums of an object.
pub fn insert_frames(tx: &mut Tx, object_key: &str, frames: &[u32]) {
    let per_row = usize::try_from(FRAMES_PER_ROW).unwrap_or(usize::MAX);
    let mut first = 0_i64;
    for chunk in frames.chunks(per_row) {
        let mut sums = BytesMut::with_capacity(chunk.len() * 4);
        for sum in chunk {
            sums.put_u32_le(*sum);
        }
        tx.step(&INSERT_FRAMES, params![object_key, first, sums.freeze()], Expect::Rows(1));
        first += i64::try_from(chunk.len()).unwrap_or(0);
    }
}

/// Forgets the frame checksums of an object.
pub fn delete_frames(tx: &mut Tx, object_key: &str) {
    tx.step(&DELETE_FRAMES, params![object_key], Expect::Any);
}

/// Makes a blob readable in a repository and keeps it there without a manifest until `lease_until`; `by` brought it.
/// A blob collected meanwhile is a conflict at `link`.
pub fn link(tx: &mut Tx, repository: RepositoryId, digest: &Digest, lease_until: Timestamp, by: PrincipalId) {
    let id = tx.id();
    tx.step_or(&LINK, params![repository, digest, lease_until, by, id], Expect::Rows(1), "link");
    tx.step(&FILL_GAPS, params![repository, digest], Expect::Any);
    tx.step(&CLOSE_GAPS, params![repository, digest], Expect::Any);
}

/// Takes a blob out of a repository; a live manifest that refers to it is a conflict at `unlink`.
pub fn unlink(tx: &mut Tx, repository: RepositoryId, digest: &Digest) {
    tx.step_or(&UNLINK, params![repository, digest], Expect::Rows(1), "unlink");
}

/// Marks a blob's object as wrong and records why. Does nothing to an object that was replaced meanwhile.
pub fn quarantine(tx: &mut Tx, row: &BlobRow, frame: Option<u64>, reason: &str, at: Timestamp) {
    let id = tx.id();
    let frame = frame.and_then(|frame| i64::try_from(frame).ok());
    tx.step_or(&MARK_CORRUPT, params![row.digest, &row.object_key], Expect::Rows(1), "quarantine");
    tx.step(&QUARANTINE, params![&row.object_key, row.digest, frame, reason, at, id], Expect::Any);
}

/// Puts a blob back into service whose object was found right after all. Does nothing to an object that was replaced
/// meanwhile.
pub fn put_back(tx: &mut Tx, row: &BlobRow, frames: &[u32], at: Timestamp) {
    tx.step_or(&PUT_BACK, params![row.digest, &row.object_key, at], Expect::Rows(1), "put_back");
    tx.step(&UNQUARANTINE, params![&row.object_key], Expect::Any);
    delete_frames(tx, &row.object_key);
    insert_frames(tx, &row.object_key, frames);
}

/// Notes that a blob's bytes were found right.
pub fn set_checked(tx: &mut Tx, row: &BlobRow, at: Timestamp) {
    tx.step(&SET_CHECKED, params![row.digest, &row.object_key, at], Expect::Any);
}
