//! Repositories: list, show, delete with everything in them.

use metadata::Expect;
use metadata::model::repository::{self, RepositoryRow};
use metadata::model::{ProjectId, collect, deleted};
use oci::Reference;

use crate::Registry;
use crate::access::{Delete, Grant, Pull};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;

const BATCH: u32 = 500;

impl Registry {
    /// A repository.
    pub async fn repository(&self, grant: &Grant<Pull>) -> Result<RepositoryRow, Error> {
        let row = self.store.repository(grant.project, grant.repo.repository()).await?;
        row.filter(|row| row.manifest_count > 0).ok_or(Error::NameUnknown)
    }

    /// Deletes every image of a repository; each stays restorable for the restore window.
    pub async fn delete_repository(&self, caller: &Caller, grant: &Grant<Delete>) -> Result<(), Error> {
        self.check_deletes()?;
        if grant.tags().is_some() {
            return Err(beyond(grant, "delete", "all of it"));
        }
        let row = self.store.repository(grant.project, grant.repo.repository()).await?;
        let row = row.filter(|row| row.manifest_count > 0).ok_or(Error::NameUnknown)?;
        loop {
            let batch = self.store.manifests_after(row.id, "", BATCH).await?;
            if batch.is_empty() {
                return Ok(());
            }
            for entry in batch {
                match self.delete_manifest(caller, grant, &Reference::Digest(entry.digest)).await {
                    Ok(()) | Err(Error::ManifestUnknown) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Removes the rows of a project's repositories that hold no manifest, with what could be restored in them.
    pub(super) async fn purge_empty_repositories(&self, project: ProjectId) -> Result<(), Error> {
        let mut last = String::new();
        loop {
            let rows = self.store.repositories_with_empty(project, &last, BATCH).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            last.clone_from(&end.name);
            for row in rows {
                self.purge_repository(&row).await?;
            }
        }
    }

    async fn purge_repository(&self, row: &RepositoryRow) -> Result<(), Error> {
        for session in self.store.uploads_of(row.id, BATCH).await? {
            self.drop_session(&session).await?;
        }
        let mut tx = self.store.begin().await?;
        for gone in self.store.deleted_in(row.id, 0, BATCH).await? {
            deleted::forget(&mut tx, gone.id);
        }
        collect::unlink_all(&mut tx, row.id);
        repository::delete_empty(&mut tx, row.id, Expect::Any);
        Ok(self.store.commit(tx).await?)
    }
}
