//! The artifacts of a repository, newest first, as far as a caller may pull them.
//!
//! Who may pull some tags only sees the artifacts that these tags reach, and of their tags those. A filter, or such a
//! right, looks at one artifact after the other, up to [`COUNTED`].

use std::collections::BTreeMap;

use metadata::model::RepositoryId;
use metadata::model::artifact::{ArtifactPlace, ArtifactRow};
use metadata::model::repository::RepositoryRow;
use metadata::model::tag::TagRow;
use oci::{Digest, Reference, Tag};

use super::kind::ArtifactKind;
use super::repositories::COUNTED;
use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;

/// Rows read at once while looking for those that the query asks for.
const BATCH: u32 = 500;

/// Most tags that are shown of the artifacts of one page.
const MAX_TAGS: u32 = 10_000;

/// Which artifacts have tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    /// All.
    #[default]
    Any,
    /// Those with a tag.
    Some,
    /// Those without.
    None,
    /// Those with this one.
    Is(Tag),
    /// Those with one that contains this.
    Contains(String),
}

/// Which artifacts.
#[derive(Clone, Debug, Default)]
pub struct ArtifactQuery {
    /// Only those that stand for themselves: no children of an index without a tag of their own, nothing that is
    /// about another one.
    pub on_top: bool,
    /// By their tags.
    pub tags: TagFilter,
    /// With this digest.
    pub digest: Option<Digest>,
    /// Of this kind.
    pub kind: Option<ArtifactKind>,
    /// Whose manifest or configuration has this media type.
    pub media_type: Option<String>,
    /// After this place.
    pub after: Option<ArtifactPlace>,
    /// Without the first so many.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
}

impl ArtifactQuery {
    fn filters(&self) -> bool {
        self.tags != TagFilter::Any
            || self.digest.is_some()
            || self.kind.is_some()
            || self.media_type.is_some()
    }

    fn keeps(&self, artifact: &Artifact) -> bool {
        let mut tags = artifact.tags.iter().map(|tag| tag.name.as_str());
        let tagged = match &self.tags {
            TagFilter::Any => true,
            TagFilter::Some => !artifact.tags.is_empty(),
            TagFilter::None => artifact.tags.is_empty(),
            TagFilter::Is(name) => tags.any(|tag| tag == name.as_str()),
            TagFilter::Contains(text) => tags.any(|tag| tag.contains(text)),
        };
        let row = &artifact.row;
        tagged
            && self.digest.is_none_or(|digest| row.digest == digest)
            && self.kind.is_none_or(|kind| artifact.kind == kind)
            && self
                .media_type
                .as_ref()
                .is_none_or(|wanted| row.media_type == *wanted || row.artifact_type.as_ref() == Some(wanted))
    }
}

/// An artifact with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its row.
    pub row: ArtifactRow,
    /// What it is.
    pub kind: ArtifactKind,
    /// The tags that name it and that the caller may pull, in the specification's order.
    pub tags: Vec<TagRow>,
}

impl Artifact {
    /// Where a page after it begins.
    pub fn place(&self) -> ArtifactPlace {
        ArtifactPlace { pushed_at: self.row.pushed_at, digest: self.row.digest }
    }
}

/// One page of artifacts.
#[derive(Clone, Debug)]
pub struct ArtifactPage {
    /// The repository.
    pub repository: RepositoryRow,
    /// The artifacts.
    pub artifacts: Vec<Artifact>,
    /// How many there are in all, counted up to [`COUNTED`].
    pub total: usize,
    /// More follow after the last one.
    pub more: bool,
}

impl Registry {
    /// Artifacts of a repository.
    pub async fn artifacts(&self, grant: &Grant<Pull>, query: &ArtifactQuery) -> Result<ArtifactPage, Error> {
        let repository = self.repository(grant).await?;
        let id = repository.id;
        let wanted = query.skip.saturating_add(query.limit).saturating_add(1);
        let single = match (&query.tags, &query.digest) {
            (TagFilter::Is(tag), _) => Some(self.store.tag(id, tag).await?.map(|row| row.digest)),
            (_, Some(digest)) => Some(Some(*digest)),
            _ => None,
        };
        let (mut artifacts, total) = if let Some(digest) = single {
            let row = match digest {
                Some(digest) => self.store.artifact(id, &digest).await?,
                None => None,
            };
            let found = self.shown(grant, id, row.into_iter().collect()).await?;
            let found: Vec<_> = found.into_iter().filter(|it| query.keeps(it)).collect();
            let total = found.len();
            (found, total)
        } else if query.filters() || grant.tags().is_some() {
            let all = self.matching(grant, id, query, None, COUNTED).await?;
            let total = all.len();
            let found = match query.after {
                None => all,
                after => self.matching(grant, id, query, after, wanted).await?,
            };
            (found, total)
        } else {
            let total = self.count(&repository, query.on_top).await?;
            (self.matching(grant, id, query, query.after, wanted).await?, total)
        };
        artifacts.drain(..query.skip.min(artifacts.len()));
        let more = artifacts.len() > query.limit;
        artifacts.truncate(query.limit);
        Ok(ArtifactPage { repository, artifacts, total, more })
    }

    async fn count(&self, repository: &RepositoryRow, on_top: bool) -> Result<usize, Error> {
        let count = if on_top {
            let most = u32::try_from(COUNTED).unwrap_or(u32::MAX);
            self.store.artifacts_on_top(repository.id, most).await?
        } else {
            repository.manifest_count
        };
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The first `wanted` artifacts that the query asks for after a place.
    async fn matching(
        &self,
        grant: &Grant<Pull>,
        repository: RepositoryId,
        query: &ArtifactQuery,
        mut after: Option<ArtifactPlace>,
        wanted: usize,
    ) -> Result<Vec<Artifact>, Error> {
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while found.len() < wanted && looked_at < COUNTED {
            let plain = !query.filters() && grant.tags().is_none();
            let batch = if plain { wanted - found.len() } else { BATCH as usize };
            let limit = u32::try_from(batch).unwrap_or(u32::MAX).min(BATCH);
            let rows = self.store.artifacts(repository, query.on_top, after, limit).await?;
            let ended = rows.len() < limit as usize;
            looked_at += rows.len();
            after = rows.last().map(|row| ArtifactPlace { pushed_at: row.pushed_at, digest: row.digest });
            let shown = self.shown(grant, repository, rows).await?;
            found.extend(shown.into_iter().filter(|artifact| query.keeps(artifact)));
            if ended {
                break;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// Those of the rows that the caller may pull, with their tags.
    async fn shown(
        &self,
        grant: &Grant<Pull>,
        repository: RepositoryId,
        rows: Vec<ArtifactRow>,
    ) -> Result<Vec<Artifact>, Error> {
        let digests: Vec<Digest> = rows.iter().map(|row| row.digest).collect();
        let mut tags: BTreeMap<Digest, Vec<TagRow>> = BTreeMap::new();
        for tag in self.store.tags_of_all(repository, &digests, MAX_TAGS).await? {
            let shown = match tag.name.parse::<Tag>() {
                Ok(name) => self.covers_tag(grant, repository, &name).await?,
                Err(_) => false,
            };
            if shown {
                tags.entry(tag.digest).or_default().push(tag);
            }
        }
        let mut artifacts = Vec::with_capacity(rows.len());
        for row in rows {
            if !self.covers_manifest(grant, repository, &row.digest).await? {
                continue;
            }
            let tags = tags.remove(&row.digest).unwrap_or_default();
            let kind = ArtifactKind::of(&row, &tags);
            artifacts.push(Artifact { row, kind, tags });
        }
        Ok(artifacts)
    }

    /// One artifact, and its repository.
    pub async fn artifact(
        &self,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<(RepositoryRow, Artifact), Error> {
        let repository = self.repository(grant).await?;
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) if self.covers_tag(grant, repository.id, tag).await? => {
                self.store.tag(repository.id, tag).await?.ok_or(Error::ManifestUnknown)?.digest
            }
            Reference::Tag(_) => return Err(Error::ManifestUnknown),
        };
        let row = self.store.artifact(repository.id, &digest).await?.ok_or(Error::ManifestUnknown)?;
        let mut found = self.shown(grant, repository.id, vec![row]).await?;
        Ok((repository, found.pop().ok_or(Error::ManifestUnknown)?))
    }
}
