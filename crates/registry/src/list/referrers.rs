//! Referrers of a manifest. The subject need not exist: whoever asks for an unknown one gets an empty list.
//!
//! Clients without the referrers API keep the same list as an index under the fallback tag. Every manifest in it
//! that names the subject is stored with that edge, so it appears here too and needs no merging.

use std::collections::BTreeSet;

use metadata::model::RepositoryId;
use metadata::model::referrers::ReferrerRow;
use oci::{Digest, Page};

use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;

/// Most referrers of one answer: an answer stays below the 4 MiB that clients read.
const MAX_REFERRERS: u32 = 1000;

/// Bytes of descriptors in one answer.
const MAX_PAGE_BYTES: usize = 3 << 20;

/// One page of referrers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrerPage {
    /// The referrers, in order of digest.
    pub rows: Vec<ReferrerRow>,
    /// More follow after the last one.
    pub more: bool,
}

impl Registry {
    /// Referrers of `subject`, of the given artifact types (all when empty).
    pub async fn list_referrers(
        &self,
        grant: &Grant<Pull>,
        subject: &Digest,
        artifact_types: &[String],
        page: &Page,
    ) -> Result<ReferrerPage, Error> {
        let name = grant.repo.repository();
        let Some(repository) = self.store.repository(grant.project, name).await? else {
            return Ok(ReferrerPage { rows: Vec::new(), more: false });
        };
        if !self.covers_manifest(grant, repository.id, subject).await? {
            return Ok(ReferrerPage::default());
        }
        let limit = page.n.unwrap_or(MAX_REFERRERS).min(MAX_REFERRERS);
        if limit == 0 {
            return Ok(ReferrerPage { rows: Vec::new(), more: false });
        }
        let last = page.last.as_deref().unwrap_or_default();
        let mut rows = self.referrers_after(repository.id, subject, artifact_types, last, limit + 1).await?;
        let mut size = 0;
        let fitting = rows.iter().take_while(|row| {
            size += row.annotations.len() + 400;
            size <= MAX_PAGE_BYTES
        });
        let keep = fitting.count().clamp(1, limit as usize).min(rows.len());
        let more = rows.len() > keep;
        rows.truncate(keep);
        Ok(ReferrerPage { rows, more })
    }
    /// At most `limit` referrers after `last`; each type is read in order of its own, so that a rare one is quick.
    async fn referrers_after(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        artifact_types: &[String],
        last: &str,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>, Error> {
        if artifact_types.is_empty() {
            return Ok(self.store.referrers(repository, subject, last, limit).await?);
        }
        let mut rows = Vec::new();
        for artifact_type in artifact_types.iter().collect::<BTreeSet<_>>() {
            rows.extend(self.store.referrers_of_type(repository, subject, artifact_type, last, limit).await?);
        }
        rows.sort_unstable_by_key(|row| row.digest);
        rows.truncate(limit as usize);
        Ok(rows)
    }
}
