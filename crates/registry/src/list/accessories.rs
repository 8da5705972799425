//! Accessories: what hangs on an artifact, be it as a referrer or under one of cosign's tags.

use std::collections::BTreeMap;

use metadata::model::RepositoryId;
use metadata::model::artifact::ArtifactRow;
use metadata::model::tag::TagRow;
use oci::{Digest, Tag};

use super::kind::ArtifactKind;
use crate::Registry;
use crate::error::Error;

/// Most accessories of the artifacts of one page.
const MAX_ACCESSORIES: u32 = 1000;

/// The suffixes of cosign's tags.
const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// Something that hangs on an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accessory {
    /// Its row.
    pub row: ArtifactRow,
    /// What it is.
    pub kind: ArtifactKind,
    /// cosign's tag by which it is known; none: it is a referrer.
    pub tag: Option<String>,
}

impl Registry {
    /// What hangs on each of these artifacts, which the caller may pull.
    pub async fn accessories(
        &self,
        repository: RepositoryId,
        subjects: &[Digest],
    ) -> Result<BTreeMap<Digest, Vec<Accessory>>, Error> {
        let mut found: BTreeMap<Digest, Vec<Accessory>> = BTreeMap::new();
        for row in self.store.artifacts_about(repository, subjects, MAX_ACCESSORIES).await? {
            if let Some(subject) = row.subject {
                let kind = ArtifactKind::of(&row, &[]);
                found.entry(subject).or_default().push(Accessory { row, kind, tag: None });
            }
        }
        let names: Vec<String> = subjects
            .iter()
            .flat_map(|subject| {
                let base = Tag::referrers_fallback(subject);
                SUFFIXES.map(|suffix| format!("{base}.{suffix}"))
            })
            .collect();
        for (name, row) in self.store.artifacts_tagged(repository, &names).await? {
            let tag = name.parse::<Tag>().ok();
            let Some((subject, _)) = tag.as_ref().and_then(Tag::evidence_subject) else { continue };
            let known = found.entry(subject).or_default();
            if known.iter().any(|other| other.row.digest == row.digest) {
                continue;
            }
            let tag = TagRow { name, digest: row.digest, evidence: true, moved_at: row.pushed_at };
            let kind = ArtifactKind::of(&row, std::slice::from_ref(&tag));
            known.push(Accessory { row, kind, tag: Some(tag.name) });
        }
        Ok(found)
    }
}
