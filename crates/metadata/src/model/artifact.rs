//! The manifests of a repository as lists show them: newest first, with their tags and what is said about them.
//!
//! An artifact is on top when it stands for itself: it is no child of an index without a tag of its own, is about no
//! other manifest of the repository, and has not only evidence tags. Order and cursor are (`pushed_at`, `digest`).

use oci::Digest;

use super::tag::{self, TagRow};
use super::{PrincipalId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::value::{Row, Value};
use crate::{Timestamp, params};

crate::statements! {
    PAGE = Scan "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.height, m.annotations, m.pushed_at, m.pushed_by, CASE WHEN m.height = 0 THEN 0 ELSE (SELECT CAST(COALESCE(sum(k.content_bytes), 0) AS INT8) FROM manifest_child c JOIN manifest k ON k.repository_id = c.repository_id AND k.digest = c.child WHERE c.repository_id = m.repository_id AND c.parent = m.digest) END FROM manifest m WHERE m.repository_id = $1 AND (m.pushed_at, m.digest) < ($2, $3) ORDER BY m.pushed_at DESC, m.digest DESC LIMIT $4";
    PAGE_ON_TOP = Scan "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.height, m.annotations, m.pushed_at, m.pushed_by, CASE WHEN m.height = 0 THEN 0 ELSE (SELECT CAST(COALESCE(sum(k.content_bytes), 0) AS INT8) FROM manifest_child c JOIN manifest k ON k.repository_id = c.repository_id AND k.digest = c.child WHERE c.repository_id = m.repository_id AND c.parent = m.digest) END FROM manifest m WHERE m.repository_id = $1 AND (m.pushed_at, m.digest) < ($2, $3) AND (m.subject IS NULL OR NOT EXISTS (SELECT 1 FROM manifest s WHERE s.repository_id = $1 AND s.digest = m.subject)) AND (EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = $1 AND t.digest = m.digest AND t.evidence = 0) OR (NOT EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = $1 AND t.digest = m.digest) AND NOT EXISTS (SELECT 1 FROM manifest_child c WHERE c.repository_id = $1 AND c.child = m.digest))) ORDER BY m.pushed_at DESC, m.digest DESC LIMIT $4";
    ONE = Read "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.height, m.annotations, m.pushed_at, m.pushed_by, CASE WHEN m.height = 0 THEN 0 ELSE (SELECT CAST(COALESCE(sum(k.content_bytes), 0) AS INT8) FROM manifest_child c JOIN manifest k ON k.repository_id = c.repository_id AND k.digest = c.child WHERE c.repository_id = m.repository_id AND c.parent = m.digest) END FROM manifest m WHERE m.repository_id = $1 AND m.digest = $2";
    COUNT_ON_TOP = Scan "SELECT count(*) FROM (SELECT 1 FROM manifest m WHERE m.repository_id = $1 AND (m.subject IS NULL OR NOT EXISTS (SELECT 1 FROM manifest s WHERE s.repository_id = $1 AND s.digest = m.subject)) AND (EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = $1 AND t.digest = m.digest AND t.evidence = 0) OR (NOT EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = $1 AND t.digest = m.digest) AND NOT EXISTS (SELECT 1 FROM manifest_child c WHERE c.repository_id = $1 AND c.child = m.digest))) LIMIT $2) found";
    TAGS = Scan {
        sqlite: "SELECT name, digest, evidence, moved_at FROM json_each(?2) wanted CROSS JOIN tag INDEXED BY tag_by_digest WHERE repository_id = ?1 AND digest = wanted.value ORDER BY name_key, name LIMIT ?3",
        postgres: "SELECT name, digest, evidence, moved_at FROM bonded_texts($2) wanted CROSS JOIN tag WHERE repository_id = $1 AND digest = wanted.value ORDER BY name_key, name LIMIT $3",
    };
    ABOUT = Scan "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.height, m.annotations, m.pushed_at, m.pushed_by, 0 FROM bonded_texts($2) wanted CROSS JOIN manifest m WHERE m.repository_id = $1 AND m.subject = wanted.value ORDER BY m.digest LIMIT $3";
    TAGGED = Scan "SELECT m.digest, m.media_type, m.artifact_type, m.subject, m.size_bytes, m.content_bytes, m.height, m.annotations, m.pushed_at, m.pushed_by, 0, t.name FROM bonded_texts($2) wanted CROSS JOIN tag t JOIN manifest m ON m.repository_id = t.repository_id AND m.digest = t.digest WHERE t.repository_id = $1 AND t.name = wanted.value ORDER BY t.name LIMIT $3";
}

/// A manifest in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactRow {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Media type of the manifest.
    pub media_type: String,
    /// Its artifact type, else its configuration's media type.
    pub artifact_type: Option<String>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Size of its bytes.
    pub size_bytes: u64,
    /// Bytes of all that it refers to, through its children.
    pub content_bytes: u64,
    /// 0 for an image; for an index one more than its highest child.
    pub height: u64,
    /// Its annotations as JSON.
    pub annotations: String,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it.
    pub pushed_by: PrincipalId,
}

/// Where a page of artifacts begins: after this one, which need not exist any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactPlace {
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Its digest.
    pub digest: Digest,
}

fn parse(row: &Row) -> Result<ArtifactRow, StoreError> {
    Ok(ArtifactRow {
        digest: row.digest(0)?,
        media_type: row.text(1)?.to_owned(),
        artifact_type: row.opt_text(2)?.map(str::to_owned),
        subject: row.opt_parse(3)?,
        size_bytes: row.uint(4)?,
        content_bytes: row.uint(5)?.saturating_add(row.uint(10)?),
        height: row.uint(6)?,
        annotations: row.text(7)?.to_owned(),
        pushed_at: row.id(8)?,
        pushed_by: row.id(9)?,
    })
}

impl Store {
    /// Manifests of a repository, newest first, after `after`; only those on top when asked for.
    pub async fn artifacts(
        &self,
        repository: RepositoryId,
        on_top: bool,
        after: Option<ArtifactPlace>,
        limit: u32,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        let (at, digest) = match after {
            Some(place) => (place.pushed_at.micros(), place.digest.to_string()),
            None => (i64::MAX, String::new()),
        };
        let statement = if on_top { &PAGE_ON_TOP } else { &PAGE };
        let rows = self.rows(statement, &params![repository, at, digest, limit]).await?;
        rows.iter().map(parse).collect()
    }

    /// One manifest as lists show it.
    pub async fn artifact(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ArtifactRow>, StoreError> {
        self.row(&ONE, &params![repository, digest]).await?.as_ref().map(parse).transpose()
    }

    /// How many manifests of a repository are on top, counted up to `most`.
    pub async fn artifacts_on_top(&self, repository: RepositoryId, most: u32) -> Result<u64, StoreError> {
        self.row(&COUNT_ON_TOP, &params![repository, most]).await?.map_or(Ok(0), |row| row.uint(0))
    }

    /// The tags of these manifests in the specification's order, at most `limit` of all together.
    pub async fn tags_of_all(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
        limit: u32,
    ) -> Result<Vec<TagRow>, StoreError> {
        let list = Value::texts(digests.iter().map(Digest::to_string));
        let rows = self.rows(&TAGS, &[repository.into(), list, limit.into()]).await?;
        rows.iter().map(tag::parse).collect()
    }

    /// The manifests whose subjects are among these.
    pub async fn artifacts_about(
        &self,
        repository: RepositoryId,
        subjects: &[Digest],
        limit: u32,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        let list = Value::texts(subjects.iter().map(Digest::to_string));
        let rows = self.rows(&ABOUT, &[repository.into(), list, limit.into()]).await?;
        rows.iter().map(parse).collect()
    }

    /// The manifests that these tags name, with the tags.
    pub async fn artifacts_tagged(
        &self,
        repository: RepositoryId,
        tags: &[String],
    ) -> Result<Vec<(String, ArtifactRow)>, StoreError> {
        let limit = u32::try_from(tags.len()).unwrap_or(u32::MAX);
        let rows = self.rows(&TAGGED, &[repository.into(), Value::texts(tags), limit.into()]).await?;
        rows.iter().map(|row| Ok((row.text(11)?.to_owned(), parse(row)?))).collect()
    }
}
