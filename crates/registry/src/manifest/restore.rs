//! Restoring a deleted manifest: the same plan as a push, with the blobs that the deletion kept.

use metadata::model::deleted::{self, DeletedRow};
use metadata::model::{DeletedId, blob};
use oci::{Digest, Manifest, MediaType, Tag};

use super::put;
use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;

/// Tags set by one transaction.
const TAGS_AT_ONCE: usize = 500;

impl Registry {
    /// What was deleted from a repository and can be restored.
    pub async fn restorable(
        &self,
        grant: &Grant<Push>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeletedRow>, Error> {
        whole(grant)?;
        let repository = self.store.repository(grant.project, grant.repo.repository()).await?;
        match repository {
            Some(repository) => Ok(self.store.deleted_in(repository.id, after, limit).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Brings a deleted manifest back, with those of its tags that nothing else took meanwhile.
    pub async fn restore_manifest(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        id: DeletedId,
    ) -> Result<Digest, Error> {
        whole(grant)?;
        let repository = self.repository_id(grant).await?;
        let row = self.store.deleted(id).await?.filter(|row| row.repository == repository);
        let row = row.ok_or(Error::NotFound("deleted manifest"))?;
        let media_type: MediaType = row
            .media_type
            .parse()
            .map_err(|_| Error::Internal(format!("deleted manifest {id} has no media type")))?;
        let parsed = Manifest::parse(&media_type, &row.bytes)?;
        let mut tx = self.store.begin().await?;
        let lease_end = self.store.now().plus(self.settings.blob_lease);
        for digest in self.store.deleted_blobs(id).await? {
            blob::link(&mut tx, repository, &digest, lease_end, grant.principal);
        }
        self.store.commit(tx).await?;
        let names: Vec<String> = serde_json::from_str(&row.tags).unwrap_or_default();
        let tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let push = put::Push {
            caller,
            grant,
            parsed: &parsed,
            digest: row.digest,
            tags: &[],
            bytes: &row.bytes,
            restored: true,
        };
        if tags.is_empty() {
            self.commit_manifest(push).await?;
        }
        for tags in tags.chunks(TAGS_AT_ONCE) {
            self.commit_manifest(put::Push { tags, ..push }).await?;
        }
        let mut tx = self.store.begin().await?;
        deleted::forget(&mut tx, id);
        let target = format!("{}@{}", grant.repo, row.digest);
        self.record(&mut tx, caller, "manifest.restore", Some(grant.project), &target).await?;
        self.store.commit(tx).await?;
        Ok(row.digest)
    }
}

/// Restoring needs the right to push to the whole repository.
fn whole(grant: &Grant<Push>) -> Result<(), Error> {
    if grant.tags().is_some() {
        return Err(beyond(grant, "push", "all of it"));
    }
    Ok(())
}
