//! Deleting a blob from a repository: only when no live manifest there refers to it.

use metadata::model::blob;
use oci::Digest;

use crate::Registry;
use crate::access::{Delete, Grant};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;
use crate::last_known::Place;

impl Registry {
    /// Takes a blob out of a repository. Its bytes go when no repository holds it.
    pub async fn delete_blob(
        &self,
        caller: &Caller,
        grant: &Grant<Delete>,
        digest: &Digest,
    ) -> Result<(), Error> {
        if grant.tags().is_some() {
            return Err(beyond(grant, "delete", "its blobs"));
        }
        let name = grant.repo.repository();
        let repository = self.store.repository(grant.project, name).await?.ok_or(Error::NameUnknown)?;
        if self.store.blob_in(grant.project, name, digest).await?.is_none() {
            return Err(Error::BlobUnknown);
        }
        let mut tx = self.store.begin().await?;
        blob::unlink(&mut tx, repository.id, digest);
        let target = format!("{}@{digest}", grant.repo);
        self.record(&mut tx, caller, "blob.delete", Some(grant.project), &target).await?;
        let outcome = self.store.commit(tx).await;
        self.last_known.note_blob(Place { project: grant.project, repository: name }, digest, None);
        match outcome {
            Err(error) if error.is_conflict() => {
                match self.store.manifest_using(repository.id, digest).await? {
                    Some(by) => Err(Error::BlobInUse { by }),
                    None => Err(Error::BlobUnknown),
                }
            }
            other => Ok(other?),
        }
    }
}
