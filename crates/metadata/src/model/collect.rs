//! Garbage collection: rows that nothing refers to any more, and the objects they leave.
//!
//! Each collection is two statements in one transaction: the first locks and marks the candidates (skipping rows that
//! somebody else holds), the second, with a later snapshot, checks again and moves. The lock spans the second check,
//! so a reference made meanwhile is either seen by it or waits and then finds no row; the foreign keys are the
//! backstop. Times decide when something is collected, never whether that is safe.

use oci::Digest;

use super::RepositoryId;
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Value;
use crate::{Timestamp, params};

crate::statements! {
    LOOSE_LINKS = Scan "SELECT rb.repository_id, rb.digest FROM repository_blob rb WHERE rb.lease_until <= $1 AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.repository_id = rb.repository_id AND mb.blob = rb.digest) ORDER BY rb.lease_until, rb.repository_id, rb.digest LIMIT $2";
    CLAIM_LINKS = Write "UPDATE repository_blob SET gc_tx = $1 WHERE repository_id = $2 AND digest = ANY(ARRAY(SELECT rb.digest FROM repository_blob rb WHERE rb.repository_id = $2 AND rb.digest IN (SELECT value FROM bonded_texts($3)) FOR UPDATE SKIP LOCKED))";
    DROP_LINKS = Write "DELETE FROM repository_blob WHERE gc_tx = $1 AND repository_id = $2 AND lease_until <= $3 AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.repository_id = repository_blob.repository_id AND mb.blob = repository_blob.digest)";
    RELEASE_LINKS = Write "UPDATE repository_blob SET gc_tx = NULL WHERE gc_tx = $1";
    LOOSE_BLOBS = Scan "SELECT b.digest FROM blob b WHERE b.digest > $1 AND NOT EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.digest = b.digest) AND NOT EXISTS (SELECT 1 FROM deleted_manifest_blob db WHERE db.blob = b.digest) ORDER BY b.digest LIMIT $2";
    CLAIM_BLOBS = Write "UPDATE blob SET gc_tx = $1 WHERE digest = ANY(ARRAY(SELECT b.digest FROM blob b WHERE b.digest IN (SELECT value FROM bonded_texts($2)) FOR UPDATE SKIP LOCKED))";
    TRASH_BLOBS = Write "INSERT INTO object_trash (object_key, digest, size_bytes, reason, not_before, created_at, tx) SELECT b.object_key, b.digest, b.size_bytes, 'unreferenced', $2, $3, $1 FROM blob b WHERE b.gc_tx = $1 AND NOT EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.digest = b.digest) AND NOT EXISTS (SELECT 1 FROM deleted_manifest_blob db WHERE db.blob = b.digest)";
    DROP_BLOBS = Write "DELETE FROM blob WHERE gc_tx = $1 AND object_key IN (SELECT object_key FROM object_trash WHERE tx = $1)";
    DROP_FRAMES = Write "DELETE FROM object_frames WHERE object_key IN (SELECT object_key FROM object_trash WHERE tx = $1)";
    RELEASE_BLOBS = Write "UPDATE blob SET gc_tx = NULL WHERE gc_tx = $1";
    UNLINK_ALL = Write "DELETE FROM repository_blob WHERE repository_id = $1 AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.repository_id = repository_blob.repository_id AND mb.blob = repository_blob.digest)";
    INSERT_TRASH = Write "INSERT INTO object_trash (object_key, digest, size_bytes, reason, state, not_before, created_at, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    DUE = Scan "SELECT object_key, digest, size_bytes, reason, state, not_before FROM object_trash WHERE not_before <= $1 AND (not_before, object_key) > ($2, $3) ORDER BY not_before, object_key LIMIT $4";
    DELETE_TRASH = Write "DELETE FROM object_trash WHERE object_key = $1";
    // A corrupt object that its blob still names stays: it may turn out to be right.
    QUARANTINE_DUE = Scan "SELECT q.object_key, q.digest FROM object_quarantine q WHERE q.found_at <= $1 AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.object_key = q.object_key) AND NOT EXISTS (SELECT 1 FROM object_trash t WHERE t.object_key = q.object_key) ORDER BY q.found_at LIMIT $2";
    LEAVE_QUARANTINE = Write "DELETE FROM object_quarantine WHERE object_key = $1";
    TRASH_TOTALS = Scan "SELECT COALESCE(CAST(SUM(size_bytes) AS INT8), 0), count(*) FROM object_trash";
}

/// An object that waits for its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashRow {
    /// The object.
    pub object_key: String,
    /// The digest it had, if it was a blob.
    pub digest: Option<Digest>,
    /// Its size, as far as known.
    pub size_bytes: u64,
    /// Why it is here: `unreferenced`, `duplicate`, `upload`, `orphan`, `quarantine`.
    pub reason: String,
    /// State of an unfinished upload, for the store to abort.
    pub state: Option<bytes::Bytes>,
}

/// A place in the order in which objects are deleted; the default is before all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuePlace(Timestamp, String);

impl Store {
    /// Links whose lease is over and that no manifest needs.
    pub async fn loose_links(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(RepositoryId, Digest)>, StoreError> {
        let rows = self.rows(&LOOSE_LINKS, &params![now, limit]).await?;
        rows.iter().map(|row| Ok((row.id(0)?, row.digest(1)?))).collect()
    }

    /// Blobs that no repository holds and no restore needs, in order of digest after `last`.
    pub async fn loose_blobs(&self, last: &str, limit: u32) -> Result<Vec<Digest>, StoreError> {
        self.rows(&LOOSE_BLOBS, &params![last, limit]).await?.iter().map(|row| row.digest(0)).collect()
    }

    /// Objects whose time to be deleted has come, in order of it, after a place in that order; each with its own place.
    pub async fn trash_due(
        &self,
        now: Timestamp,
        after: &DuePlace,
        limit: u32,
    ) -> Result<Vec<(TrashRow, DuePlace)>, StoreError> {
        let rows = self.rows(&DUE, &params![now, after.0, after.1.as_str(), limit]).await?;
        rows.iter()
            .map(|row| {
                let object_key = row.text(0)?.to_owned();
                let place = DuePlace(row.id(5)?, object_key.clone());
                let row = TrashRow {
                    object_key,
                    digest: row.opt_parse(1)?,
                    size_bytes: row.uint(2)?,
                    reason: row.text(3)?.to_owned(),
                    state: row.opt_bytes(4)?,
                };
                Ok((row, place))
            })
            .collect()
    }

    /// Damaged objects that were found before `found_until` and that no blob names any more.
    pub async fn quarantine_due(
        &self,
        found_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, Digest)>, StoreError> {
        let rows = self.rows(&QUARANTINE_DUE, &params![found_until, limit]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.digest(1)?))).collect()
    }

    /// Bytes and number of objects that wait for their deletion.
    pub async fn trash_totals(&self) -> Result<(u64, u64), StoreError> {
        match self.row(&TRASH_TOTALS, &[]).await? {
            Some(row) => Ok((row.uint(0)?, row.uint(1)?)),
            None => Ok((0, 0)),
        }
    }
}

/// Takes loose blobs out of one repository.
pub fn collect_links(tx: &mut Tx, repository: RepositoryId, digests: &[Digest], now: Timestamp) {
    let id = tx.id();
    let list = Value::texts(digests.iter().map(Digest::to_string));
    tx.step(&CLAIM_LINKS, vec![id.into(), repository.into(), list], Expect::Any);
    tx.step(&DROP_LINKS, params![id, repository, now], Expect::Any);
    tx.step(&RELEASE_LINKS, params![id], Expect::Any);
}

/// Takes all blobs that no manifest needs out of a repository, whatever their lease.
pub fn unlink_all(tx: &mut Tx, repository: RepositoryId) {
    tx.step(&UNLINK_ALL, params![repository], Expect::Any);
}

/// Moves the objects of loose blobs to the trash.
pub fn collect_blobs(tx: &mut Tx, digests: &[Digest], not_before: Timestamp, now: Timestamp) {
    let id = tx.id();
    let list = Value::texts(digests.iter().map(Digest::to_string));
    tx.step(&CLAIM_BLOBS, vec![id.into(), list], Expect::Any);
    tx.step(&TRASH_BLOBS, params![id, not_before, now], Expect::Any);
    tx.step(&DROP_FRAMES, params![id], Expect::Any);
    tx.step(&DROP_BLOBS, params![id], Expect::Any);
    tx.step(&RELEASE_BLOBS, params![id], Expect::Any);
}

/// Gives an object that no blob row names to the sweeper.
pub fn trash(tx: &mut Tx, row: &TrashRow, not_before: Timestamp, now: Timestamp) {
    let id = tx.id();
    let size = i64::try_from(row.size_bytes).unwrap_or(i64::MAX);
    tx.step_or(
        &INSERT_TRASH,
        params![&row.object_key, row.digest, size, &row.reason, row.state.clone(), not_before, now, id],
        Expect::Rows(1),
        "trash",
    );
}

/// Ends the quarantine of an object; one that another process ended is a conflict at `quarantine`.
pub fn leave_quarantine(tx: &mut Tx, object_key: &str) {
    tx.step_or(&LEAVE_QUARANTINE, params![object_key], Expect::Rows(1), "quarantine");
}

/// Forgets a trash row once its object is gone.
pub fn forget_trash(tx: &mut Tx, object_key: &str) {
    tx.step(&DELETE_TRASH, params![object_key], Expect::Any);
}
