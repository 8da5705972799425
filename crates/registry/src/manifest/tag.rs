//! Giving a manifest that is there one more tag.

use metadata::model::tag::TagMove;
use metadata::model::{manifest, repository, tag};
use oci::{Reference, Tag};

use crate::Registry;
use crate::access::{Grant, Pull, Push};
use crate::caller::Caller;
use crate::conditioned::beyond;
use crate::error::Error;
use crate::last_known::Place;

impl Registry {
    /// Adds a new tag to the manifest that `reference` names; a tag that there is already is a conflict.
    pub async fn add_tag(
        &self,
        caller: &Caller,
        reader: &Grant<Pull>,
        grant: &Grant<Push>,
        reference: &Reference,
        name: &Tag,
    ) -> Result<(), Error> {
        let taken = || Error::Conflict(format!("tag `{name}` exists already"));
        let (row, artifact) = self.artifact(reader, reference).await?;
        if !self.covers_tag(grant, row.id, name).await? {
            return Err(beyond(grant, "push", format_args!("`{name}`")));
        }
        if self.store.tag(row.id, name).await?.is_some() {
            return Err(taken());
        }
        let (digest, now) = (artifact.row.digest, self.store.now());
        let mut tx = self.store.begin().await?;
        manifest::hold(&mut tx, row.id, &digest);
        let evidence = name.evidence_subject().is_some();
        let to =
            TagMove { repository: row.id, tag: name, to: &digest, evidence, by: grant.principal, at: now };
        tag::set(&mut tx, to, None);
        repository::count(&mut tx, row.id, 0, 1, row.pushed_at);
        self.record_push(&mut tx, caller, grant, row.id, (&digest, &[name.as_str()])).await?;
        let outcome = self.store.commit(tx).await;
        let place = Place { project: grant.project, repository: grant.repo.repository() };
        self.last_known.forget(place, &Reference::Tag(name.clone()));
        match outcome {
            Err(error) if error.conflicts_at("tag") => Err(taken()),
            Err(error) if error.conflicts_at("manifest") => Err(Error::ManifestUnknown),
            other => Ok(other?),
        }
    }
}
