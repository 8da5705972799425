//! Repositories.
//!
//! A repository row is made by the first upload into it, in a relaxed commit: alone it promises nothing, and every
//! later durable commit makes it durable too.

use oci::Digest;

use super::{ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    FIND = Read "SELECT id, project_id, name, full_name, flags, manifest_count, tag_count, pull_count, created_at, pushed_at, pulled_at, description FROM repository WHERE project_id = $1 AND name = $2";
    INSERT = Write "INSERT INTO repository (id, project_id, name, full_name, created_at, pushed_at, tx) VALUES ($1, $2, $3, $4, $5, $5, $6)";
    SET_DESCRIPTION = Write "UPDATE repository SET description = $2 WHERE id = $1";
    COUNT = Write "UPDATE repository SET manifest_count = manifest_count + $2, tag_count = tag_count + $3, pushed_at = GREATEST(pushed_at, $4) WHERE id = $1";
    COUNT_OUT = Write "UPDATE repository SET manifest_count = manifest_count - 1, tag_count = tag_count - (SELECT count(*) FROM tag WHERE repository_id = $1 AND digest = $2) WHERE id = $1";
    OF_PROJECT_ALL = Scan "SELECT id, project_id, name, full_name, flags, manifest_count, tag_count, pull_count, created_at, pushed_at, pulled_at, description FROM repository WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3";
    COUNT_PULLS = Write "UPDATE repository SET pull_count = pull_count + $2, pulled_at = GREATEST(COALESCE(pulled_at, 0), $3) WHERE id = $1";
    DELETE_EMPTY = Write "DELETE FROM repository WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM manifest WHERE repository_id = $1) AND NOT EXISTS (SELECT 1 FROM upload_session WHERE repository_id = $1) AND NOT EXISTS (SELECT 1 FROM deleted_manifest WHERE repository_id = $1) AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE repository_id = $1)";
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Id.
    pub id: RepositoryId,
    /// Its project.
    pub project: ProjectId,
    /// Name inside the project.
    pub name: String,
    /// `project/name`.
    pub full_name: String,
    /// Flags: conditioned reads, quarantine.
    pub flags: i64,
    /// Live manifests.
    pub manifest_count: u64,
    /// Live tags.
    pub tag_count: u64,
    /// Manifest pulls, as far as counted.
    pub pull_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Last push.
    pub pushed_at: Timestamp,
    /// Last pull, as far as counted.
    pub pulled_at: Option<Timestamp>,
    /// What it is for, in its owners' words.
    pub description: String,
}

/// A row of the columns that the statements here and those of the lists select.
pub(super) fn parse(row: &Row) -> Result<RepositoryRow, StoreError> {
    Ok(RepositoryRow {
        id: row.id(0)?,
        project: row.id(1)?,
        name: row.text(2)?.to_owned(),
        full_name: row.text(3)?.to_owned(),
        flags: row.int(4)?,
        manifest_count: row.uint(5)?,
        tag_count: row.uint(6)?,
        pull_count: row.uint(7)?,
        created_at: row.id(8)?,
        pushed_at: row.id(9)?,
        pulled_at: row.opt_id(10)?,
        description: row.text(11)?.to_owned(),
    })
}

impl Store {
    /// The repository `name` of a project.
    pub async fn repository(
        &self,
        project: ProjectId,
        name: &str,
    ) -> Result<Option<RepositoryRow>, StoreError> {
        self.row(&FIND, &params![project, name]).await?.as_ref().map(parse).transpose()
    }

    /// Repositories of a project in order of name, after `last`, with those that hold nothing.
    pub async fn repositories_with_empty(
        &self,
        project: ProjectId,
        last: &str,
        limit: u32,
    ) -> Result<Vec<RepositoryRow>, StoreError> {
        self.rows(&OF_PROJECT_ALL, &params![project, last, limit]).await?.iter().map(parse).collect()
    }
}

/// Inserts a repository; one of that name is a conflict at `repository`.
pub fn insert(tx: &mut Tx, id: RepositoryId, project: ProjectId, name: &str, full_name: &str, at: Timestamp) {
    let by = tx.id();
    tx.step_or(&INSERT, params![id, project, name, full_name, at, by], Expect::Rows(1), "repository");
}

/// Changes the counters of live manifests and tags and the time of the last push.
pub fn count(tx: &mut Tx, id: RepositoryId, manifests: i64, tags: i64, pushed_at: Timestamp) {
    tx.step_or(&COUNT, params![id, manifests, tags, pushed_at], Expect::Rows(1), "repository");
}

/// Says what a repository is for.
pub fn set_description(tx: &mut Tx, id: RepositoryId, text: &str) {
    tx.step_or(&SET_DESCRIPTION, params![id, text], Expect::Rows(1), "repository");
}

/// Takes a manifest and its tags, which the transaction holds and is about to delete, out of the counters.
pub fn count_out(tx: &mut Tx, id: RepositoryId, digest: &Digest) {
    tx.step_or(&COUNT_OUT, params![id, digest], Expect::Rows(1), "repository");
}

/// Adds pulls that were counted in memory.
pub fn count_pulls(tx: &mut Tx, id: RepositoryId, pulls: i64, last: Timestamp) {
    tx.step(&COUNT_PULLS, params![id, pulls, last], Expect::Any);
}

/// Deletes a repository that nothing refers to any more; `any` because it may have come back to life.
pub fn delete_empty(tx: &mut Tx, id: RepositoryId, expect: Expect) {
    tx.step_or(&DELETE_EMPTY, params![id], expect, "repository");
}
