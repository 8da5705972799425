//! Conditioned reads: what of a repository a caller sees whose right holds for some tags only.
//!
//! A manifest counts as the tags that reach it – by naming it, through an index that lists it, or through what it is
//! about; a blob as those of the manifests that refer to it. Evidence tags (signatures, attestations, the referrers
//! fallback) count as the tags of their subject. Callers whose right holds for every tag never come here: their path
//! stays one read.

use metadata::model::blob::BlobRow;
use metadata::model::{PrincipalId, RepositoryId};
use oci::{Digest, Tag};
use policy::TagRule;

use crate::Registry;
use crate::access::{Grant, Pull, Push};
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// Most tags that are looked at for one manifest or blob.
const MAX_TAGS: u32 = 10_000;

/// How much of a repository a push may refer to.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// All that it holds.
    Whole,
    /// What the pusher brought, and what tags of this rule reach.
    Part(Option<TagRule>),
}

impl Registry {
    /// Whether the grant holds for a tag.
    pub(crate) async fn covers_tag<R>(
        &self,
        grant: &Grant<R>,
        repository: RepositoryId,
        tag: &Tag,
    ) -> Result<bool, Error> {
        let Some(rule) = grant.tags() else { return Ok(true) };
        if rule.permits(tag.as_str()) {
            return Ok(true);
        }
        match tag.evidence_subject() {
            Some((subject, _)) => {
                let tags = self.tags_reaching(repository, &subject).await?;
                Ok(rule.permits_any(tags.iter().map(String::as_str)))
            }
            None => Ok(false),
        }
    }

    /// Whether the grant holds for a manifest: for some tag that reaches it.
    pub(crate) async fn covers_manifest<R>(
        &self,
        grant: &Grant<R>,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let Some(rule) = grant.tags() else { return Ok(true) };
        let tags = self.tags_reaching(repository, digest).await?;
        self.covers_some(rule, repository, tags).await
    }

    /// Whether the grant holds for every tag that reaches a manifest: what changing all of them needs.
    pub(crate) async fn covers_whole_manifest<R>(
        &self,
        grant: &Grant<R>,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let Some(rule) = grant.tags() else { return Ok(true) };
        let tags = self.tags_reaching(repository, digest).await?;
        let (tags, reached) = self.plain(repository, tags).await?;
        Ok(if reached { tags.iter().all(|tag| rule.permits(tag)) } else { rule.permits_untagged() })
    }

    /// Whether the grant covers what is about a manifest and may change what is thought of it: every tag that reaches it,
    /// so that who may push some images does not speak of all. What has no tag yet is its pusher's; what is not there is
    /// nobody's.
    pub(crate) async fn may_be_about(
        &self,
        grant: &Grant<Push>,
        repository: RepositoryId,
        subject: &Digest,
    ) -> Result<(), Error> {
        let Some(rule) = grant.tags() else { return Ok(()) };
        let tags = self.tags_reaching(repository, subject).await?;
        let (tags, reached) = self.plain(repository, tags).await?;
        let covered = if reached {
            tags.iter().all(|tag| rule.permits(tag))
        } else {
            let held = self.store.manifest_heights(repository, &[*subject]).await?;
            rule.permits_untagged() || held.iter().all(|(_, _, by)| *by == grant.principal)
        };
        if covered { Ok(()) } else { Err(beyond(grant, "push", format_args!("what is about `{subject}`"))) }
    }

    /// A blob that the caller may read: linked to the repository and, for who may not read all of it, brought by the
    /// caller a short while ago or referred to by a manifest that the caller may pull.
    pub(crate) async fn readable_blob(
        &self,
        grant: &Grant<Pull>,
        digest: &Digest,
    ) -> Result<Option<BlobRow>, Error> {
        let name = grant.repo.repository();
        let Some(row) = self.store.blob_in(grant.project, name, digest).await? else { return Ok(None) };
        let Some(rule) = grant.tags() else { return Ok(Some(row)) };
        let Some(repository) = self.store.repository(grant.project, name).await? else { return Ok(None) };
        let covered = self.brought(grant, repository.id, digest).await?
            || self.covers_blob(rule, repository.id, digest).await?;
        Ok(covered.then_some(row))
    }

    /// How much of the repository a pusher may refer to.
    pub(crate) async fn reach(&self, caller: &Caller, grant: &Grant<Push>) -> Result<Reach, Error> {
        if caller.is_system() {
            return Ok(Reach::Whole);
        }
        match self.access.grant::<Pull>(&caller.principal, &grant.repo).await {
            Ok(reader) => Ok(reader.tags().map_or(Reach::Whole, |rule| Reach::Part(Some(rule.clone())))),
            Err(Error::Refused(_)) => Ok(Reach::Part(None)),
            Err(error) => Err(error),
        }
    }

    /// Whether a push may refer to a blob that the repository holds: else naming a digest would be enough to read it.
    pub(crate) async fn reaches_blob(
        &self,
        reach: &Reach,
        grant: &Grant<Push>,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let Reach::Part(rule) = reach else { return Ok(true) };
        if self.brought(grant, repository, digest).await? {
            return Ok(true);
        }
        let Some(rule) = rule else { return Ok(false) };
        self.covers_blob(rule, repository, digest).await
    }

    /// Whether a push may refer to a manifest that the repository holds and `by` pushed.
    pub(crate) async fn reaches_manifest(
        &self,
        reach: &Reach,
        grant: &Grant<Push>,
        repository: RepositoryId,
        (digest, by): (&Digest, PrincipalId),
    ) -> Result<bool, Error> {
        let Reach::Part(rule) = reach else { return Ok(true) };
        if by == grant.principal {
            return Ok(true);
        }
        let Some(rule) = rule else { return Ok(false) };
        let tags = self.tags_reaching(repository, digest).await?;
        self.covers_some(rule, repository, tags).await
    }

    /// Whether the caller was the last to bring a blob, which its lease keeps.
    async fn brought<R>(
        &self,
        grant: &Grant<R>,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let now = self.store.now();
        Ok(!self.store.blobs_brought(repository, grant.principal, now, [*digest]).await?.is_empty())
    }

    async fn covers_blob(
        &self,
        rule: &TagRule,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let tags = self.store.tags_reaching_blob(repository, digest, MAX_TAGS).await?;
        self.covers_some(rule, repository, tags).await
    }

    /// The tags that reach a manifest.
    async fn tags_reaching(&self, repository: RepositoryId, digest: &Digest) -> Result<Vec<String>, Error> {
        Ok(self.store.tags_reaching(repository, digest, MAX_TAGS).await?)
    }

    async fn covers_some(
        &self,
        rule: &TagRule,
        repository: RepositoryId,
        tags: Vec<String>,
    ) -> Result<bool, Error> {
        if tags.iter().any(|tag| rule.permits(tag)) {
            return Ok(true);
        }
        let (tags, reached) = self.plain(repository, tags).await?;
        Ok(if reached { tags.iter().any(|tag| rule.permits(tag)) } else { rule.permits_untagged() })
    }

    /// The tags with evidence tags replaced by those of their subjects, and whether there is any.
    async fn plain(&self, repository: RepositoryId, tags: Vec<String>) -> Result<(Vec<String>, bool), Error> {
        let mut plain = Vec::with_capacity(tags.len());
        for text in tags {
            match text.parse::<Tag>().ok().and_then(|tag| Some(tag.evidence_subject()?.0)) {
                Some(subject) => {
                    plain.extend(self.tags_reaching(repository, &subject).await?);
                }
                None => plain.push(text),
            }
        }
        let reached = !plain.is_empty();
        Ok((plain, reached))
    }
}

/// What a caller is told whose right does not cover this tag or image.
pub(crate) fn beyond<R>(grant: &Grant<R>, verb: &str, what: impl std::fmt::Display) -> Error {
    let reason = format!("you may {verb} some tags of `{}`, but not {what}", grant.repo);
    Refusal::Denied { reason }.into()
}
