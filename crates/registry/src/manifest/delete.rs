//! Deleting tags and manifests. A deleted manifest stays restorable, with its tags and blobs, for the restore window.

use metadata::model::deleted::{self, Kept};
use metadata::model::{manifest, repository, tag};
use oci::{Digest, Manifest, Reference, Tag};

use crate::Registry;
use crate::access::{Delete, Grant};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;
use crate::last_known::Place;
use crate::record::Gone;

/// Tags of a deleted manifest that its event names.
const TOLD_TAGS: u32 = 1000;

impl Registry {
    /// Deletes a tag, or a manifest with all its tags.
    pub async fn delete_manifest(
        &self,
        caller: &Caller,
        grant: &Grant<Delete>,
        reference: &Reference,
    ) -> Result<(), Error> {
        let deleted = match reference {
            Reference::Tag(tag) => self.delete_tag(caller, grant, tag).await,
            Reference::Digest(digest) => self.delete_by_digest(caller, grant, digest).await,
        };
        // Whatever came of it: a tag of a deleted manifest leads nowhere.
        let place = Place { project: grant.project, repository: grant.repo.repository() };
        self.last_known.forget(place, reference);
        deleted
    }

    async fn delete_tag(&self, caller: &Caller, grant: &Grant<Delete>, name: &Tag) -> Result<(), Error> {
        self.store
            .replan(5, || async move {
                let repository = self.store.repository(grant.project, grant.repo.repository()).await?;
                let repository = repository.ok_or(Error::NameUnknown)?;
                let row = self.store.tag(repository.id, name).await?.ok_or(Error::ManifestUnknown)?;
                if !self.covers_tag(grant, repository.id, name).await? {
                    return Err(beyond(grant, "delete", format_args!("`{name}`")));
                }
                let mut tx = self.store.begin().await?;
                tag::delete(&mut tx, repository.id, name, &row.digest);
                repository::count(&mut tx, repository.id, 0, -1, repository.pushed_at);
                let target = format!("{}:{name}@{}", grant.repo, row.digest);
                self.record(&mut tx, caller, "tag.delete", Some(grant.project), &target).await?;
                let gone = Gone {
                    repository: repository.id,
                    digest: &row.digest,
                    subject: None,
                    tags: vec![name.as_str()],
                };
                self.tell_gone(&mut tx, "tag_deleted", caller, grant, &gone).await?;
                Ok((Some(tx), ()))
            })
            .await
    }

    async fn delete_by_digest(
        &self,
        caller: &Caller,
        grant: &Grant<Delete>,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.store
            .replan(5, || async move {
                let repository = self.store.repository(grant.project, grant.repo.repository()).await?;
                let repository = repository.ok_or(Error::NameUnknown)?;
                let name = grant.repo.repository();
                let stored = self.store.manifest_by_digest(grant.project, name, digest).await?;
                let stored = stored.ok_or(Error::ManifestUnknown)?;
                if !self.covers_whole_manifest(grant, repository.id, digest).await? {
                    return Err(beyond(grant, "delete", format_args!("every one that reaches `{digest}`")));
                }
                let tags = self.store.tags_of(repository.id, digest, TOLD_TAGS).await?;
                let parsed =
                    stored.media_type.parse().map(|media_type| Manifest::parse(&media_type, &stored.bytes));
                let gone = Gone {
                    repository: repository.id,
                    digest,
                    subject: parsed.ok().and_then(Result::ok).and_then(|it| it.subject).map(|it| it.digest),
                    tags: tags.iter().map(|tag| tag.name.as_str()).collect(),
                };
                let mut tx = self.store.begin().await?;
                let kept = Kept {
                    id: self.store.next_id().await?,
                    repository: repository.id,
                    digest,
                    by: grant.principal,
                    at: self.store.now(),
                };
                manifest::hold(&mut tx, repository.id, digest);
                deleted::keep(&mut tx, kept);
                repository::count_out(&mut tx, repository.id, digest);
                tag::delete_of(&mut tx, repository.id, digest);
                manifest::delete(&mut tx, repository.id, digest);
                let target = format!("{}@{digest}", grant.repo);
                self.record(&mut tx, caller, "manifest.delete", Some(grant.project), &target).await?;
                self.tell_gone(&mut tx, "manifest_deleted", caller, grant, &gone).await?;
                Ok((Some(tx), ()))
            })
            .await
    }
}
