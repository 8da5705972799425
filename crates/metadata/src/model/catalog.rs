//! The list of all repositories that a caller may see.

use oci::Digest;

use super::ProjectId;
use super::repository::{self, RepositoryRow};
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::value::Value;

crate::statements! {
    LIVE_OF_PROJECT = Scan "SELECT id, project_id, name, full_name, flags, manifest_count, tag_count, pull_count, created_at, pushed_at, pulled_at, description FROM repository WHERE project_id = $1 AND manifest_count > 0 AND name > $2 AND name LIKE $3 ESCAPE '!' ORDER BY name LIMIT $4";
    LIVE_OF_PROJECTS = Scan "SELECT id, project_id, name, full_name, flags, manifest_count, tag_count, pull_count, created_at, pushed_at, pulled_at, description FROM repository WHERE project_id IN (SELECT value FROM bonded_ints($1)) AND manifest_count > 0 AND full_name > $2 AND full_name LIKE $3 ESCAPE '!' ORDER BY full_name LIMIT $4";
    LIVE = Scan "SELECT id, project_id, name, full_name, flags, manifest_count, tag_count, pull_count, created_at, pushed_at, pulled_at, description FROM repository WHERE manifest_count > 0 AND full_name > $1 AND full_name LIKE $2 ESCAPE '!' ORDER BY full_name LIMIT $3";
    HOLDING_BLOB = Scan "SELECT r.id, r.project_id, r.name, r.full_name, r.flags, r.manifest_count, r.tag_count, r.pull_count, r.created_at, r.pushed_at, r.pulled_at, r.description FROM repository_blob b JOIN repository r ON r.id = b.repository_id WHERE b.digest = $1 AND r.manifest_count > 0 AND r.full_name > $2 AND r.full_name LIKE $3 ESCAPE '!' ORDER BY r.full_name LIMIT $4";
    COUNT_OF_PROJECTS = Scan "SELECT count(*) FROM repository WHERE project_id IN (SELECT value FROM bonded_ints($1)) AND manifest_count > 0";
    COUNT = Scan "SELECT count(*) FROM repository WHERE manifest_count > 0";
    OF_PROJECTS = Scan "SELECT project_id, name, full_name FROM repository WHERE full_name > $1 AND manifest_count > 0 AND project_id IN (SELECT value FROM bonded_ints($3)) ORDER BY full_name LIMIT $2";
    OF_ALL = Scan "SELECT project_id, name, full_name FROM repository WHERE full_name > $1 AND manifest_count > 0 ORDER BY full_name LIMIT $2";
}

/// A repository in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its project.
    pub project: ProjectId,
    /// Name inside the project.
    pub name: String,
    /// `project/name`.
    pub full_name: String,
}

/// Which repositories a list is of.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    /// All.
    All,
    /// Those of one project.
    Project(ProjectId),
    /// Those of these projects.
    Projects(&'a [ProjectId]),
    /// Those that hold a blob.
    Holding(&'a Digest),
}

/// A pattern of `LIKE … ESCAPE '!'` for what contains a text.
pub(super) fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for each in text.chars() {
        if matches!(each, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(each);
    }
    if pattern.len() > 1 {
        pattern.push('%');
    }
    pattern
}

impl Store {
    /// Repositories that hold a manifest and whose full name contains `text`, in order of full name after `last`; for
    /// those of one project both are about the name inside it.
    pub async fn live_repositories(
        &self,
        among: Among<'_>,
        text: &str,
        last: &str,
        limit: u32,
    ) -> Result<Vec<RepositoryRow>, StoreError> {
        let pattern = containing(text);
        let rows = match among {
            Among::All => self.rows(&LIVE, &params![last, pattern, limit]).await?,
            Among::Project(id) => self.rows(&LIVE_OF_PROJECT, &params![id, last, pattern, limit]).await?,
            Among::Projects(ids) => {
                let ids = Value::ints(ids.iter().map(|id| id.get()));
                self.rows(&LIVE_OF_PROJECTS, &[ids, last.into(), pattern.into(), limit.into()]).await?
            }
            Among::Holding(digest) => {
                self.rows(&HOLDING_BLOB, &params![digest, last, pattern, limit]).await?
            }
        };
        rows.iter().map(repository::parse).collect()
    }

    /// How many repositories of these projects, or of all, hold something.
    pub async fn live_count(&self, projects: Option<&[ProjectId]>) -> Result<u64, StoreError> {
        let row = match projects {
            None => self.row(&COUNT, &[]).await?,
            Some(ids) => self.row(&COUNT_OF_PROJECTS, &[Value::ints(ids.iter().map(|id| id.get()))]).await?,
        };
        row.map_or(Ok(0), |row| row.uint(0))
    }

    /// Repositories that hold a manifest, in order of full name after `last`; of `projects`, or of all.
    pub async fn catalog(
        &self,
        projects: Option<&[ProjectId]>,
        last: &str,
        limit: u32,
    ) -> Result<Vec<CatalogEntry>, StoreError> {
        let rows = match projects {
            None => self.rows(&OF_ALL, &params![last, limit]).await?,
            Some(projects) => {
                let ids = Value::ints(projects.iter().map(|id| id.get()));
                self.rows(&OF_PROJECTS, &[last.into(), limit.into(), ids]).await?
            }
        };
        rows.iter()
            .map(|row| {
                Ok(CatalogEntry {
                    project: row.id(0)?,
                    name: row.text(1)?.to_owned(),
                    full_name: row.text(2)?.to_owned(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_like_reads_as_a_sign_is_taken_literally() {
        assert_eq!(containing(""), "%");
        assert_eq!(containing("a_b%!"), "%a!_b!%!!%");
    }
}
