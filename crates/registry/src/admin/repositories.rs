//! Repositories: deleting all that is in one.

use metadata::Expect;
use metadata::model::repository::{self, RepositoryRow};
use metadata::model::{ProjectId, collect, deleted};
use oci::Reference;

use crate::Registry;
use crate::access::{Delete, Grant};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;

const BATCH: u32 = 500;

impl Registry {
    /// Deletes every image of a repository; each stays restorable for the restore window.
    pub async fn delete_repository(&self, caller: &Caller, grant: &Grant<Delete>) -> Result<(), Error> {
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
        loop {
            let sessions = self.store.uploads_of(row.id, BATCH).await?;
            if sessions.is_empty() {
                break;
            }
            for session in sessions {
                self.drop_session(&session).await?;
            }
        }
        loop {
            let gone = self.store.deleted_in(row.id, 0, BATCH).await?;
            if gone.is_empty() {
                break;
            }
            let mut tx = self.store.begin().await?;
            for row in gone {
                deleted::forget(&mut tx, row.id);
            }
            self.store.commit(tx).await?;
        }
        let mut tx = self.store.begin().await?;
        collect::unlink_all(&mut tx, row.id);
        repository::delete_empty(&mut tx, row.id, Expect::Any);
        Ok(self.store.commit(tx).await?)
    }
}
