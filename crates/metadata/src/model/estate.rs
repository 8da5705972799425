//! What the index of the estate is behind with, and where its images are.

use oci::Digest;

use super::ProjectId;
use super::catalog::containing;
use super::scan::Verdict;
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};

crate::statements! {
    MARK = Write "INSERT INTO estate_dirty (digest, tx) VALUES ($1, $2) ON CONFLICT (digest) DO UPDATE SET tx = excluded.tx";
    DIRTY = Scan "SELECT digest, tx FROM estate_dirty ORDER BY digest LIMIT $1";
    MARK_ALL = Write "INSERT INTO estate_dirty (digest, tx) SELECT digest, $1 FROM scan WHERE judged_at IS NOT NULL ON CONFLICT (digest) DO UPDATE SET tx = excluded.tx";
    CLEAN = Write "DELETE FROM estate_dirty WHERE digest = $1 AND tx = $2";
    UP_TO_DATE = Write "UPDATE scan SET advisories = $2 WHERE judged_at IS NOT NULL AND advisories = $1 AND digest IN (SELECT value FROM bonded_texts($3)) AND NOT EXISTS (SELECT 1 FROM estate_dirty d WHERE d.digest = scan.digest)";
    RECOUNT = Write "UPDATE scan SET judged_at = $3, advisories = $4, worst = $5, critical = $6, high = $7, medium = $8, low = $9, negligible = $10, unknown = $11, details = $12, tx = $13 WHERE digest = $1 AND advisories = $2 AND judged_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM estate_dirty d WHERE d.digest = scan.digest)";
    OF_REPOSITORY = Scan "SELECT DISTINCT m.digest, r.project_id FROM repository r JOIN manifest m ON m.repository_id = r.id WHERE r.full_name = $1 AND r.project_id IN (SELECT value FROM bonded_ints($2)) LIMIT $3";
    OF_REPOSITORIES = Scan "SELECT DISTINCT m.digest, r.project_id FROM repository r JOIN manifest m ON m.repository_id = r.id WHERE r.full_name LIKE $1 ESCAPE '!' AND r.project_id IN (SELECT value FROM bonded_ints($2)) LIMIT $3";
    PLACES = Read "SELECT m.digest, r.project_id, r.full_name, t.name FROM manifest m JOIN repository r ON r.id = m.repository_id LEFT JOIN tag t ON t.repository_id = m.repository_id AND t.digest = m.digest WHERE m.digest IN (SELECT value FROM bonded_texts($1)) AND r.project_id IN (SELECT value FROM bonded_ints($3)) UNION SELECT c.child, r.project_id, r.full_name, t.name FROM manifest_child c JOIN repository r ON r.id = c.repository_id JOIN tag t ON t.repository_id = c.repository_id AND t.digest = c.parent WHERE c.child IN (SELECT value FROM bonded_texts($1)) AND r.project_id IN (SELECT value FROM bonded_ints($3)) ORDER BY 1, 3, 4 LIMIT $2";
}

/// Where an artifact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedPlace {
    /// The artifact.
    pub digest: Digest,
    /// Project that holds it.
    pub project: ProjectId,
    /// `project/name`.
    pub full_name: String,
    /// A tag that names it or an index of it; none: it is there without.
    pub tag: Option<String>,
}

impl Store {
    /// Artifacts whose place in the index is out of date, each with what marked it last.
    pub async fn estate_dirty(&self, limit: u32) -> Result<Vec<(Digest, i64)>, StoreError> {
        let rows = self.rows(&DIRTY, &params![limit]).await?;
        rows.iter().map(|row| Ok((row.digest(0)?, row.int(1)?))).collect()
    }

    /// What a repository of some projects holds, or all whose full name contains the text, each with its project.
    pub async fn held_in(
        &self,
        name: &str,
        part: bool,
        projects: &[ProjectId],
        limit: u32,
    ) -> Result<Vec<(Digest, ProjectId)>, StoreError> {
        let projects = Value::ints(projects.iter().map(|project| project.get()));
        let rows = if part {
            self.rows(&OF_REPOSITORIES, &[containing(name).into(), projects, limit.into()]).await?
        } else {
            self.rows(&OF_REPOSITORY, &[name.into(), projects, limit.into()]).await?
        };
        rows.iter().map(|row| Ok((row.digest(0)?, row.id(1)?))).collect()
    }

    /// Where artifacts are in some projects, in order of digest, repository and tag.
    pub async fn tagged_places(
        &self,
        digests: &[Digest],
        projects: &[ProjectId],
        limit: u32,
    ) -> Result<Vec<TaggedPlace>, StoreError> {
        let list = Value::texts(digests.iter().map(Digest::to_string));
        let projects = Value::ints(projects.iter().map(|project| project.get()));
        let rows = self.rows(&PLACES, &[list, limit.into(), projects]).await?;
        let place = |row: &Row| {
            Ok(TaggedPlace {
                digest: row.digest(0)?,
                project: row.id(1)?,
                full_name: row.text(2)?.to_owned(),
                tag: row.opt_text(3)?.map(str::to_owned),
            })
        };
        rows.iter().map(place).collect()
    }
}

/// Marks an artifact whose place in the index is out of date.
pub fn mark(tx: &mut Tx, digest: &Digest) {
    let by = tx.id();
    tx.step(&MARK, params![digest, by], Expect::Rows(1));
}

/// Marks every artifact that was judged: the index is made from nothing.
pub fn mark_all(tx: &mut Tx) {
    let by = tx.id();
    tx.step(&MARK_ALL, params![by], Expect::Any);
}

/// Takes a mark away, unless somebody set it anew.
pub fn clean(tx: &mut Tx, digest: &Digest, mark: i64) {
    tx.step(&CLEAN, params![digest, mark], Expect::Any);
}

/// Notes that verdicts by the advisories `from` are what those of `to` would say.
pub fn up_to_date(tx: &mut Tx, from: i64, to: i64, digests: &[Digest]) {
    let list = Value::texts(digests.iter().map(Digest::to_string));
    tx.step(&UP_TO_DATE, [from.into(), to.into(), list], Expect::Any);
}

/// Replaces the verdict on an artifact by the advisories `from`, unless another one was given meanwhile or its place in
/// the index is out of date.
pub fn recount(tx: &mut Tx, digest: &Digest, from: i64, verdict: &Verdict) {
    let by = tx.id();
    let [critical, high, medium, low, negligible, unknown] = verdict.counts.ints();
    tx.step(
        &RECOUNT,
        params![
            digest,
            from,
            verdict.judged_at,
            verdict.advisories,
            verdict.counts.worst(),
            critical,
            high,
            medium,
            low,
            negligible,
            unknown,
            verdict.details.to_text(),
            by
        ],
        Expect::Any,
    );
}
