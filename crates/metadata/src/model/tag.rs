//! Tags. Moving one is a compare-and-swap on the digest it named before.
//!
//! SQLite is told to take the index by digest: it would rather read all tags of the repository, since the table itself
//! holds every column.

use oci::{Digest, Tag};

use super::{PrincipalId, ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    FIND = Read "SELECT name, digest, evidence, moved_at FROM tag WHERE repository_id = $1 AND name = $2";
    OF_DIGEST = Read {
        sqlite: "SELECT name, digest, evidence, moved_at FROM tag INDEXED BY tag_by_digest WHERE repository_id = ?1 AND digest = ?2 ORDER BY name_key, name LIMIT ?3",
        postgres: "SELECT name, digest, evidence, moved_at FROM tag WHERE repository_id = $1 AND digest = $2 ORDER BY name_key, name LIMIT $3",
    };
    INSERT = Write "INSERT INTO tag (repository_id, name, name_key, digest, evidence, moved_at, moved_by, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    MOVE = Write "UPDATE tag SET digest = $4, evidence = $5, moved_at = $6, moved_by = $7, tx = $8 WHERE repository_id = $1 AND name = $2 AND digest = $3";
    DELETE = Write "DELETE FROM tag WHERE repository_id = $1 AND name = $2 AND digest = $3";
    DELETE_OF = Write {
        sqlite: "DELETE FROM tag INDEXED BY tag_by_digest WHERE repository_id = ?1 AND digest = ?2",
        postgres: "DELETE FROM tag WHERE repository_id = $1 AND digest = $2",
    };
    PAGE = Read {
        sqlite: "SELECT r.id, (SELECT json_group_array(t.name) FROM (SELECT name FROM tag WHERE repository_id = r.id AND (name_key, name) > (?3, ?4) ORDER BY name_key, name LIMIT ?5) t) FROM repository r WHERE r.project_id = ?1 AND r.name = ?2",
        postgres: "SELECT r.id, (SELECT COALESCE(json_agg(t.name ORDER BY t.name_key, t.name), '[]')::text FROM (SELECT name_key, name FROM tag WHERE repository_id = r.id AND (name_key, name) > ($3, $4) ORDER BY name_key, name LIMIT $5) t) FROM repository r WHERE r.project_id = $1 AND r.name = $2",
    };
    REACHING = Read {
        sqlite: "WITH RECURSIVE up (digest) AS (SELECT digest FROM manifest WHERE repository_id = ?1 AND digest = ?2 UNION SELECT c.parent FROM up JOIN manifest_child c ON c.repository_id = ?1 AND c.child = up.digest UNION SELECT m.subject FROM up JOIN manifest m ON m.repository_id = ?1 AND m.digest = up.digest AND m.subject IS NOT NULL) SELECT DISTINCT t.name FROM up JOIN tag t ON t.repository_id = ?1 AND t.digest = up.digest ORDER BY t.name LIMIT ?3",
        postgres: "WITH RECURSIVE up (digest) AS (SELECT digest FROM manifest WHERE repository_id = $1 AND digest = $2 UNION SELECT e.high FROM up CROSS JOIN LATERAL (SELECT c.parent AS high FROM manifest_child c WHERE c.repository_id = $1 AND c.child = up.digest UNION ALL SELECT m.subject FROM manifest m WHERE m.repository_id = $1 AND m.digest = up.digest AND m.subject IS NOT NULL) e) SELECT DISTINCT t.name FROM up JOIN tag t ON t.repository_id = $1 AND t.digest = up.digest ORDER BY t.name LIMIT $3",
    };
    REACHING_BLOB = Read {
        sqlite: "WITH RECURSIVE up (digest) AS (SELECT manifest FROM manifest_blob WHERE repository_id = ?1 AND blob = ?2 UNION SELECT c.parent FROM up JOIN manifest_child c ON c.repository_id = ?1 AND c.child = up.digest UNION SELECT m.subject FROM up JOIN manifest m ON m.repository_id = ?1 AND m.digest = up.digest AND m.subject IS NOT NULL) SELECT DISTINCT t.name FROM up JOIN tag t ON t.repository_id = ?1 AND t.digest = up.digest ORDER BY t.name LIMIT ?3",
        postgres: "WITH RECURSIVE up (digest) AS (SELECT manifest FROM manifest_blob WHERE repository_id = $1 AND blob = $2 UNION SELECT e.high FROM up CROSS JOIN LATERAL (SELECT c.parent AS high FROM manifest_child c WHERE c.repository_id = $1 AND c.child = up.digest UNION ALL SELECT m.subject FROM manifest m WHERE m.repository_id = $1 AND m.digest = up.digest AND m.subject IS NOT NULL) e) SELECT DISTINCT t.name FROM up JOIN tag t ON t.repository_id = $1 AND t.digest = up.digest ORDER BY t.name LIMIT $3",
    };
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// Name.
    pub name: String,
    /// The manifest it names.
    pub digest: Digest,
    /// It is evidence (a signature, an attestation, a referrers fallback), not a version.
    pub evidence: bool,
    /// When it was last moved.
    pub moved_at: Timestamp,
}

/// A row of name, digest, evidence and time.
pub(super) fn parse(row: &Row) -> Result<TagRow, StoreError> {
    Ok(TagRow {
        name: row.text(0)?.to_owned(),
        digest: row.digest(1)?,
        evidence: row.bool(2)?,
        moved_at: row.id(3)?,
    })
}

impl Store {
    /// A tag.
    pub async fn tag(&self, repository: RepositoryId, tag: &Tag) -> Result<Option<TagRow>, StoreError> {
        self.row(&FIND, &params![repository, tag.as_str()]).await?.as_ref().map(parse).transpose()
    }

    /// The tags that name a manifest.
    pub async fn tags_of(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<TagRow>, StoreError> {
        self.rows(&OF_DIGEST, &params![repository, digest, limit]).await?.iter().map(parse).collect()
    }

    /// The tags that reach a manifest of the repository: that name it, an index that lists it, or what it is about.
    pub async fn tags_reaching(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.tag_names(&REACHING, repository, digest, limit).await
    }

    /// The tags that reach a manifest which refers to a blob.
    pub async fn tags_reaching_blob(
        &self,
        repository: RepositoryId,
        blob: &Digest,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.tag_names(&REACHING_BLOB, repository, blob, limit).await
    }

    async fn tag_names(
        &self,
        statement: &'static Statement,
        repository: RepositoryId,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(statement, &params![repository, digest, limit]).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// A repository and its tags after `last` in the specification's order; none when there is no such repository.
    pub async fn tag_page(
        &self,
        project: ProjectId,
        repository: &str,
        last: &str,
        limit: u32,
    ) -> Result<Option<(RepositoryId, Vec<String>)>, StoreError> {
        let key = last.to_ascii_lowercase();
        let row = self.row(&PAGE, &params![project, repository, key, last, limit]).await?;
        let Some(row) = row else { return Ok(None) };
        // One row: a hundred would cost more than all the rest of the request.
        let names = serde_json::from_str(row.text(1)?).map_err(|_| row.bad(1, "is no list of names"))?;
        Ok(Some((row.id(0)?, names)))
    }
}

/// Where a tag is moved to, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct TagMove<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The tag.
    pub tag: &'a Tag,
    /// What it names from now on.
    pub to: &'a Digest,
    /// It is evidence.
    pub evidence: bool,
    /// Who moves it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// Moves a tag from `from` (none: it does not exist yet); anything else is a conflict at `tag`.
pub fn set(tx: &mut Tx, to: TagMove<'_>, from: Option<&Digest>) {
    let id = tx.id();
    match from {
        None => {
            let key = to.tag.as_str().to_ascii_lowercase();
            tx.step_or(
                &INSERT,
                params![to.repository, to.tag.as_str(), key, to.to, to.evidence, to.at, to.by, id],
                Expect::Rows(1),
                "tag",
            );
        }
        Some(from) => {
            tx.step_or(
                &MOVE,
                params![to.repository, to.tag.as_str(), from, to.to, to.evidence, to.at, to.by, id],
                Expect::Rows(1),
                "tag",
            );
        }
    }
}

/// Deletes a tag that names `digest`.
pub fn delete(tx: &mut Tx, repository: RepositoryId, tag: &Tag, digest: &Digest) {
    tx.step_or(&DELETE, params![repository, tag.as_str(), digest], Expect::Rows(1), "tag");
}

/// Deletes all tags of a manifest.
pub fn delete_of(tx: &mut Tx, repository: RepositoryId, digest: &Digest) {
    tx.step(&DELETE_OF, params![repository, digest], Expect::Any);
}
