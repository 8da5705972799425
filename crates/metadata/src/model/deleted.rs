//! Deleted manifests that can still be restored. They hold their blobs until they expire.

use std::time::Duration;

use bytes::Bytes;
use oci::Digest;

use super::{DeletedId, PrincipalId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    KEEP = Write {
        sqlite: "INSERT INTO deleted_manifest (id, repository_id, digest, media_type, bytes, tags, deleted_at, deleted_by, tx) SELECT ?3, repository_id, digest, media_type, bytes, (SELECT json_group_array(t.name) FROM (SELECT name FROM tag WHERE repository_id = ?1 AND digest = ?2 ORDER BY name_key, name) t), ?4, ?5, ?6 FROM manifest WHERE repository_id = ?1 AND digest = ?2",
        postgres: "INSERT INTO deleted_manifest (id, repository_id, digest, media_type, bytes, tags, deleted_at, deleted_by, tx) SELECT $3, repository_id, digest, media_type, bytes, (SELECT COALESCE(json_agg(t.name ORDER BY t.name_key, t.name), '[]')::text FROM tag t WHERE t.repository_id = $1 AND t.digest = $2), $4, $5, $6 FROM manifest WHERE repository_id = $1 AND digest = $2",
    };
    KEEP_BLOBS = Write "INSERT INTO deleted_manifest_blob (deleted_id, blob) SELECT $3, blob FROM manifest_blob WHERE repository_id = $1 AND manifest = $2";
    FIND = Read "SELECT id, repository_id, digest, media_type, bytes, tags, deleted_at FROM deleted_manifest WHERE id = $1";
    LIST = Scan "SELECT id, repository_id, digest, media_type, bytes, tags, deleted_at FROM deleted_manifest WHERE repository_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    BLOBS = Read "SELECT blob FROM deleted_manifest_blob WHERE deleted_id = $1 ORDER BY blob";
    DELETE = Write "DELETE FROM deleted_manifest WHERE id = $1";
    END_LEASES = Write "UPDATE repository_blob SET lease_until = LEAST(lease_until, $2) WHERE lease_until <= (SELECT deleted_at FROM deleted_manifest WHERE id = $1) + $3 AND repository_id = (SELECT repository_id FROM deleted_manifest WHERE id = $1) AND digest IN (SELECT blob FROM deleted_manifest_blob WHERE deleted_id = $1)";
    EXPIRED = Scan "SELECT id FROM deleted_manifest WHERE deleted_at <= $1 ORDER BY deleted_at LIMIT $2";
}

/// A deleted manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRow {
    /// Id.
    pub id: DeletedId,
    /// Where it was.
    pub repository: RepositoryId,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Tags that named it, as a JSON list.
    pub tags: String,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

fn parse(row: &Row) -> Result<DeletedRow, StoreError> {
    Ok(DeletedRow {
        id: row.id(0)?,
        repository: row.id(1)?,
        digest: row.digest(2)?,
        media_type: row.text(3)?.to_owned(),
        bytes: row.bytes(4)?,
        tags: row.text(5)?.to_owned(),
        deleted_at: row.id(6)?,
    })
}

impl Store {
    /// A deleted manifest.
    pub async fn deleted(&self, id: DeletedId) -> Result<Option<DeletedRow>, StoreError> {
        self.row(&FIND, &params![id]).await?.as_ref().map(parse).transpose()
    }

    /// What was deleted from a repository and can be restored.
    pub async fn deleted_in(
        &self,
        repository: RepositoryId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeletedRow>, StoreError> {
        self.rows(&LIST, &params![repository, after, limit]).await?.iter().map(parse).collect()
    }

    /// The blobs that a deleted manifest holds.
    pub async fn deleted_blobs(&self, id: DeletedId) -> Result<Vec<Digest>, StoreError> {
        self.rows(&BLOBS, &params![id]).await?.iter().map(|row| row.digest(0)).collect()
    }

    /// Manifests deleted at or before `deleted_until`, longest ago first.
    pub async fn deleted_expired(
        &self,
        deleted_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DeletedId>, StoreError> {
        self.rows(&EXPIRED, &params![deleted_until, limit]).await?.iter().map(|row| row.id(0)).collect()
    }
}

/// What a deletion leaves for a restore.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Id of the row.
    pub id: DeletedId,
    /// Where the manifest is.
    pub repository: RepositoryId,
    /// The manifest.
    pub digest: &'a Digest,
    /// Who deletes it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// Copies a live manifest and the names of its tags before they are deleted in the same transaction.
pub fn keep(tx: &mut Tx, kept: Kept<'_>) {
    let by = tx.id();
    tx.step_or(
        &KEEP,
        params![kept.repository, kept.digest, kept.id, kept.at, kept.by, by],
        Expect::Rows(1),
        "manifest",
    );
    tx.step(&KEEP_BLOBS, params![kept.repository, kept.digest, kept.id], Expect::Any);
}

/// Forgets a deleted manifest whose window is over; its blobs stay in the repository only if something else needs them,
/// or if they were brought again since: leases last `lease`.
pub fn expire(tx: &mut Tx, id: DeletedId, now: Timestamp, lease: Duration) {
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    tx.step(&END_LEASES, params![id, now, lease], Expect::Any);
    forget(tx, id);
}

/// Forgets a deleted manifest that was restored.
pub fn forget(tx: &mut Tx, id: DeletedId) {
    tx.step_or(&DELETE, params![id], Expect::Rows(1), "deleted");
}
