//! Mounting: using a blob of another repository that the caller may read.
//!
//! A mount that cannot be is an ordinary upload; that answer does not tell whether the blob exists somewhere else.

use metadata::model::blob;
use oci::{Digest, RepoName};
use policy::Permission;

use super::StoredBlob;
use crate::Registry;
use crate::access::{Access, Grant, Pull, Push};
use crate::caller::Principal;
use crate::error::{Error, Refusal};

/// Repositories looked at for a mount that does not say where the blob is.
const MAX_HOLDERS: u32 = 200;

impl Registry {
    /// Links a blob from `from`, or from anywhere that the caller may read. `None`: upload it.
    pub async fn mount_blob(
        &self,
        grant: &Grant<Push>,
        principal: &Principal,
        digest: &Digest,
        from: Option<&RepoName>,
    ) -> Result<Option<StoredBlob>, Error> {
        if !self.may_use(grant, principal, digest, from).await? {
            return Ok(None);
        }
        let Some(known) = self.store.blob(digest).await?.filter(|row| !row.corrupt) else { return Ok(None) };
        let repository = self.repository_id(grant).await?;
        let mut tx = self.store.begin().await?;
        let lease_end = self.lease_end(self.store.now());
        blob::link(&mut tx, repository, digest, lease_end, grant.principal);
        match self.store.commit(tx).await {
            Ok(()) => Ok(Some(StoredBlob { digest: *digest, size_bytes: known.size_bytes })),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the caller may read the blob at `from`, or anywhere. When only its token does not cover that, the
    /// answer is the scope to ask for.
    async fn may_use(
        &self,
        grant: &Grant<Push>,
        principal: &Principal,
        digest: &Digest,
        from: Option<&RepoName>,
    ) -> Result<bool, Error> {
        let Some(from) = from else { return self.holds_readable(grant, principal, digest).await };
        match self.access.grant::<Pull>(principal, from).await {
            Ok(source) => Ok(self.readable_blob(&source, digest).await?.is_some()),
            Err(Error::Refused(Refusal::InsufficientScope { .. })) => Err(wider_scope(grant, from)),
            Err(Error::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn holds_readable(
        &self,
        grant: &Grant<Push>,
        principal: &Principal,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let facts = self.access.facts();
        let mut uncovered = None;
        for (project, name) in self.store.blob_holders(digest, MAX_HOLDERS).await? {
            let Some(project) = facts.project(project) else { continue };
            if project.id == grant.project && name == grant.repo.repository() && grant.tags().is_none() {
                return Ok(true);
            }
            let Ok(repo) = RepoName::of(&project.name, &name) else { continue };
            if !self.access.own_on(principal, &repo).has(Permission::Pull) {
                continue;
            }
            if !Access::scope_covers_pull(principal, &repo) {
                uncovered.get_or_insert(repo);
                continue;
            }
            let source = self.access.grant::<Pull>(principal, &repo).await;
            if let Ok(source) = source
                && self.readable_blob(&source, digest).await?.is_some()
            {
                return Ok(true);
            }
        }
        uncovered.map_or(Ok(false), |repo| Err(wider_scope(grant, &repo)))
    }
}

fn wider_scope(grant: &Grant<Push>, from: &RepoName) -> Error {
    let scope = format!("repository:{}:pull,push repository:{}:pull", grant.repo.asked(), from.asked());
    Refusal::InsufficientScope { scope }.into()
}
