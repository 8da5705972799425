//! The list of all repositories that a caller may see.

use super::ProjectId;
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::value::Value;

crate::statements! {
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

impl Store {
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
