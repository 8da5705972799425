//! Manifests: their bytes, beside the edges to blobs and children derived from them.

use bytes::Bytes;
use oci::{Digest, MediaType};

use super::{PrincipalId, ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

crate::statements! {
    BY_TAG = Read "SELECT m.repository_id, m.digest, m.media_type, m.bytes, r.flags FROM repository r JOIN tag t ON t.repository_id = r.id JOIN manifest m ON m.repository_id = r.id AND m.digest = t.digest WHERE r.project_id = $1 AND r.name = $2 AND t.name = $3";
    BY_DIGEST = Read "SELECT m.repository_id, m.digest, m.media_type, m.bytes, r.flags FROM repository r JOIN manifest m ON m.repository_id = r.id WHERE r.project_id = $1 AND r.name = $2 AND m.digest = $3";
    HEIGHTS = Read "SELECT digest, height, pushed_by FROM manifest WHERE repository_id = $1 AND digest IN (SELECT value FROM bonded_texts($2))";
    INSERT = Write "INSERT INTO manifest (repository_id, digest, media_type, artifact_type, subject, size_bytes, content_bytes, height, annotations, pushed_at, pushed_by, bytes, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    SET_MEDIA_TYPE = Write "UPDATE manifest SET media_type = $3 WHERE repository_id = $1 AND digest = $2";
    SET_PUSHER = Write "UPDATE manifest SET pushed_by = $3 WHERE repository_id = $1 AND digest = $2";
    INSERT_BLOBS = Write "INSERT INTO manifest_blob (repository_id, manifest, blob) SELECT $1, $2, value FROM bonded_texts($3)";
    INSERT_GAPS = Write "INSERT INTO manifest_gap (repository_id, manifest, blob) SELECT $1, $2, value FROM bonded_texts($3)";
    HOLD_LINKS = Check "SELECT 1 FROM repository WHERE id = $1 FOR UPDATE";
    FILL_GAPS = Write "INSERT INTO manifest_blob (repository_id, manifest, blob) SELECT g.repository_id, g.manifest, g.blob FROM manifest_gap g JOIN repository_blob rb ON rb.repository_id = g.repository_id AND rb.digest = g.blob WHERE g.repository_id = $1 AND g.manifest = $2";
    CLOSE_GAPS = Write "DELETE FROM manifest_gap WHERE repository_id = $1 AND manifest = $2 AND EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.repository_id = $1 AND mb.manifest = $2 AND mb.blob = manifest_gap.blob)";
    INSERT_CHILDREN = Write "INSERT INTO manifest_child (repository_id, parent, child) SELECT $1, $2, value FROM bonded_texts($3)";
    ABOVE = Read "WITH RECURSIVE up (digest, steps) AS (SELECT c.parent, CAST(1 AS INT8) FROM manifest_child c WHERE c.repository_id = $1 AND c.child = $2 UNION SELECT c.parent, up.steps + 1 FROM up JOIN manifest_child c ON c.repository_id = $1 AND c.child = up.digest WHERE up.steps < $3) SELECT COALESCE(max(steps), 0) FROM up";
    // An index that stands no higher than a child, or one above it that would come to stand higher than `$4`.
    TOO_LOW = Check "WITH RECURSIVE up (digest, height) AS (SELECT c.parent, CAST($3 AS INT8) + 1 FROM manifest_child c WHERE c.repository_id = $1 AND c.child = $2 UNION SELECT c.parent, up.height + 1 FROM up JOIN manifest_child c ON c.repository_id = $1 AND c.child = up.digest WHERE up.height <= $4) SELECT 1 FROM up WHERE up.height > $4 UNION ALL SELECT 1 FROM manifest_child c JOIN manifest k ON k.repository_id = c.repository_id AND k.digest = c.child WHERE c.repository_id = $1 AND c.parent = $2 AND k.height >= $3";
    // The media type is set to what it is because the checkpoint takes rows of which it is set.
    RAISE = Write "WITH RECURSIVE up (digest, height) AS (SELECT c.parent, CAST($3 AS INT8) + 1 FROM manifest_child c WHERE c.repository_id = $1 AND c.child = $2 UNION SELECT c.parent, up.height + 1 FROM up JOIN manifest_child c ON c.repository_id = $1 AND c.child = up.digest WHERE up.height <= $4) UPDATE manifest SET height = (SELECT max(up.height) FROM up WHERE up.digest = manifest.digest), media_type = media_type WHERE repository_id = $1 AND digest IN (SELECT up.digest FROM up) AND height < (SELECT max(up.height) FROM up WHERE up.digest = manifest.digest)";
    HOLD = Check "SELECT 1 FROM manifest WHERE repository_id = $1 AND digest = $2 FOR UPDATE";
    HOLD_TAGS = Check "SELECT 1 FROM tag WHERE repository_id = $1 AND digest = $2 FOR UPDATE";
    DELETE = Write "DELETE FROM manifest WHERE repository_id = $1 AND digest = $2";
    REFERS_TO = Read "SELECT manifest FROM manifest_blob WHERE repository_id = $1 AND blob = $2 LIMIT 1";
    AFTER = Scan "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.pushed_at FROM manifest m WHERE m.repository_id = $1 AND m.digest > $2 ORDER BY m.digest LIMIT $3";
}

/// A manifest as a pull reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// Its repository.
    pub repository: RepositoryId,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Media type it was pushed with.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// The repository's flags.
    pub flags: i64,
}

/// A manifest as a push writes it.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// Its repository.
    pub repository: RepositoryId,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Media type.
    pub media_type: MediaType,
    /// Artifact type as the referrers list states it.
    pub artifact_type: Option<String>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Bytes of configuration and layers, or of the children's manifests.
    pub content_bytes: u64,
    /// 0 for an image; for an index one more than its highest child, at least 1.
    pub height: u32,
    /// Annotations as JSON.
    pub annotations: String,
    /// Who pushed it.
    pub pushed_by: PrincipalId,
    /// Its bytes.
    pub bytes: Bytes,
    /// Blobs it refers to that the repository holds, without duplicates.
    pub blobs: Vec<Digest>,
    /// Blobs it refers to that the repository does not hold, without duplicates.
    pub gaps: Vec<Digest>,
    /// Children, without duplicates.
    pub children: Vec<Digest>,
}

/// A manifest in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Media type.
    pub media_type: String,
    /// Artifact type.
    pub artifact_type: Option<String>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Size of its bytes.
    pub size_bytes: u64,
    /// Bytes of what it refers to.
    pub content_bytes: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
}

fn stored(row: &Row) -> Result<StoredManifest, StoreError> {
    Ok(StoredManifest {
        repository: row.id(0)?,
        digest: row.digest(1)?,
        media_type: row.text(2)?.to_owned(),
        bytes: row.bytes(3)?,
        flags: row.int(4)?,
    })
}

impl Store {
    /// The manifest that a tag names.
    pub async fn manifest_by_tag(
        &self,
        project: ProjectId,
        name: &str,
        tag: &str,
    ) -> Result<Option<StoredManifest>, StoreError> {
        self.row(&BY_TAG, &params![project, name, tag]).await?.as_ref().map(stored).transpose()
    }

    /// The manifest of a digest.
    pub async fn manifest_by_digest(
        &self,
        project: ProjectId,
        name: &str,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError> {
        self.row(&BY_DIGEST, &params![project, name, digest]).await?.as_ref().map(stored).transpose()
    }

    /// Those of `digests` that the repository holds, with their heights and who pushed them.
    pub async fn manifest_heights(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<Vec<(Digest, u32, PrincipalId)>, StoreError> {
        let list = Value::texts(digests.iter().map(Digest::to_string));
        let rows = self.rows(&HEIGHTS, &[repository.into(), list]).await?;
        let height = |row: &Row| Ok(u32::try_from(row.int(1)?).unwrap_or(u32::MAX));
        rows.iter().map(|row| Ok((row.digest(0)?, height(row)?, row.id(2)?))).collect()
    }

    /// How many indexes, one in the other, hold a manifest, present or not; counted up to `limit`.
    pub async fn indexes_above(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let row = self.row(&ABOVE, &params![repository, digest, limit]).await?;
        let steps = row.map_or(Ok(0), |row| row.uint(0))?;
        Ok(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// Some live manifest that refers to a blob.
    pub async fn manifest_using(
        &self,
        repository: RepositoryId,
        blob: &Digest,
    ) -> Result<Option<Digest>, StoreError> {
        self.row(&REFERS_TO, &params![repository, blob]).await?.map(|row| row.digest(0)).transpose()
    }

    /// Manifests of a repository in order of digest after `last`.
    pub async fn manifests_after(
        &self,
        repository: RepositoryId,
        last: &str,
        limit: u32,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let rows = self.rows(&AFTER, &params![repository, last, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(ManifestEntry {
                    digest: row.digest(0)?,
                    media_type: row.text(1)?.to_owned(),
                    artifact_type: row.opt_text(2)?.map(str::to_owned),
                    subject: row.opt_parse(3)?,
                    size_bytes: row.uint(4)?,
                    content_bytes: row.uint(5)?,
                    pushed_at: row.id(6)?,
                })
            })
            .collect()
    }
}

/// Inserts a manifest with its edges. One of that digest is a conflict at `manifest`, a blob that left the repository
/// meanwhile one at `manifest_blobs`.
///
/// A blob that was absent when the push read its state may come at the same time. Linking one locks the repository's row
/// against the lock taken here, so that either this transaction sees the link or the link's sees the gap.
pub fn insert(tx: &mut Tx, row: &NewManifest, at: Timestamp) {
    let id = tx.id();
    if !row.gaps.is_empty() {
        tx.step_or(&HOLD_LINKS, params![row.repository], Expect::Rows(1), "repository");
    }
    let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    tx.step_or(
        &INSERT,
        params![
            row.repository,
            row.digest,
            row.media_type.as_str(),
            row.artifact_type.as_deref(),
            row.subject,
            int(row.bytes.len() as u64),
            int(row.content_bytes),
            row.height,
            &row.annotations,
            at,
            row.pushed_by,
            row.bytes.clone(),
            id
        ],
        Expect::Rows(1),
        "manifest",
    );
    edges(tx, &INSERT_BLOBS, row, &row.blobs, "manifest_blobs");
    edges(tx, &INSERT_GAPS, row, &row.gaps, "manifest_gaps");
    edges(tx, &INSERT_CHILDREN, row, &row.children, "manifest_children");
    if !row.gaps.is_empty() {
        tx.step(&FILL_GAPS, params![row.repository, row.digest], Expect::Any);
        tx.step(&CLOSE_GAPS, params![row.repository, row.digest], Expect::Any);
    }
}

/// Raises the indexes that hold a new index of this height, which may have come before it. One that would come to stand
/// higher than `limit`, or a child that came meanwhile and is as high, is a conflict at `nesting`.
///
/// To be called behind the change of the repository's counters: that row makes pushes to a repository take turns, so
/// that of an index and its child pushed at once the second sees the first.
pub fn nest(tx: &mut Tx, row: &NewManifest, limit: u32) {
    let params = params![row.repository, row.digest, row.height, limit];
    tx.step_or(&TOO_LOW, params.clone(), Expect::Rows(0), "nesting");
    tx.step(&RAISE, params, Expect::Any);
}

fn edges(
    tx: &mut Tx,
    statement: &'static crate::Statement,
    row: &NewManifest,
    targets: &[Digest],
    tag: &'static str,
) {
    if targets.is_empty() {
        return;
    }
    let list = Value::texts(targets.iter().map(Digest::to_string));
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    tx.step_or(statement, vec![row.repository.into(), row.digest.into(), list], Expect::Rows(count), tag);
}

/// Changes the media type under which the same bytes are served.
pub fn set_media_type(tx: &mut Tx, repository: RepositoryId, digest: &Digest, media_type: &MediaType) {
    tx.step_or(
        &SET_MEDIA_TYPE,
        params![repository, digest, media_type.as_str()],
        Expect::Rows(1),
        "manifest",
    );
}

/// Changes who counts as the pusher of the same bytes.
pub fn set_pusher(tx: &mut Tx, repository: RepositoryId, digest: &Digest, by: PrincipalId) {
    tx.step_or(&SET_PUSHER, params![repository, digest, by], Expect::Rows(1), "manifest");
}

/// Keeps a manifest and what names it as they are until the end of the transaction; one that is gone is a conflict.
pub fn hold(tx: &mut Tx, repository: RepositoryId, digest: &Digest) {
    tx.step_or(&HOLD, params![repository, digest], Expect::Rows(1), "manifest");
    tx.step(&HOLD_TAGS, params![repository, digest], Expect::Any);
}

/// Deletes a manifest and its edges; a tag that still names it is a conflict.
pub fn delete(tx: &mut Tx, repository: RepositoryId, digest: &Digest) {
    tx.step_or(&DELETE, params![repository, digest], Expect::Rows(1), "manifest");
}
