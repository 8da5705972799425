//! What this process has served lately, for when the database cannot be asked: authorised pulls go on from it.
//!
//! While the database answers, nothing is read from here. An entry is what the last read said; a read that finds
//! nothing removes it, as does an own deletion. What other replicas changed since is not seen: a pull during an outage
//! is as old as the access facts that allow it, and no older than they may become. Only a database that is another
//! process can be away: with SQLite nothing is kept.

use std::time::Duration;

use metadata::Dialect;
use metadata::model::ProjectId;
use metadata::model::blob::BlobRow;
use moka::sync::Cache;
use oci::{Digest, Reference, Tag};

use crate::manifest::PulledManifest;

/// Bytes of manifests.
const MANIFEST_BYTES: u64 = 16 << 20;
/// What a manifest weighs beside its bytes.
const ENTRY_BYTES: usize = 256;
const TAGS: u64 = 20_000;
const BLOBS: u64 = 50_000;

type Key<T> = (ProjectId, Box<str>, T);

/// The last known answers; none are kept where the database cannot be away.
pub(crate) struct LastKnown(Option<Answers>);

struct Answers {
    tags: Cache<Key<Tag>, Digest>,
    manifests: Cache<Key<Digest>, PulledManifest>,
    blobs: Cache<Key<Digest>, BlobRow>,
}

/// Where something was served.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) project: ProjectId,
    pub(crate) repository: &'a str,
}

impl Place<'_> {
    fn key<T>(self, what: T) -> Key<T> {
        (self.project, self.repository.into(), what)
    }
}

impl LastKnown {
    /// `stale_max`: how long an answer may be used.
    pub(crate) fn new(dialect: Dialect, stale_max: Duration) -> Self {
        let weigh = |key: &Key<Digest>, manifest: &PulledManifest| {
            u32::try_from(manifest.bytes.len() + key.1.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self((dialect == Dialect::Postgres).then(|| Answers {
            tags: Cache::builder().max_capacity(TAGS).time_to_live(stale_max).build(),
            manifests:
                Cache::builder().max_capacity(MANIFEST_BYTES).weigher(weigh).time_to_live(stale_max).build(),
            blobs: Cache::builder().max_capacity(BLOBS).time_to_live(stale_max).build(),
        }))
    }

    /// The manifest as it was served last.
    pub(crate) fn manifest(&self, place: Place<'_>, reference: &Reference) -> Option<PulledManifest> {
        let answers = self.0.as_ref()?;
        let digest = match reference {
            Reference::Tag(tag) => answers.tags.get(&place.key(tag.clone()))?,
            Reference::Digest(digest) => *digest,
        };
        let known = answers.manifests.get(&place.key(digest))?;
        Some(PulledManifest { last_known: true, ..known })
    }

    /// Keeps what a read said about a reference.
    pub(crate) fn note_manifest(
        &self,
        place: Place<'_>,
        reference: &Reference,
        found: Option<&PulledManifest>,
    ) {
        let (Some(answers), Some(found)) = (&self.0, found) else { return self.forget(place, reference) };
        if let Reference::Tag(tag) = reference {
            answers.tags.insert(place.key(tag.clone()), found.digest);
        }
        answers.manifests.insert(place.key(found.digest), found.clone());
    }

    /// The tag or manifest is gone or has moved.
    pub(crate) fn forget(&self, place: Place<'_>, reference: &Reference) {
        let Some(answers) = &self.0 else { return };
        match reference {
            Reference::Tag(tag) => answers.tags.invalidate(&place.key(tag.clone())),
            Reference::Digest(digest) => answers.manifests.invalidate(&place.key(*digest)),
        }
    }

    /// The blob as it was served last.
    pub(crate) fn blob(&self, place: Place<'_>, digest: &Digest) -> Option<BlobRow> {
        self.0.as_ref()?.blobs.get(&place.key(*digest))
    }

    /// Keeps what a read said about a blob.
    pub(crate) fn note_blob(&self, place: Place<'_>, digest: &Digest, found: Option<&BlobRow>) {
        let Some(answers) = &self.0 else { return };
        match found {
            Some(row) => answers.blobs.insert(place.key(*digest), row.clone()),
            None => answers.blobs.invalidate(&place.key(*digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn manifest(bytes: &'static [u8]) -> PulledManifest {
        PulledManifest {
            digest: Digest::sha256(bytes),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            bytes: Bytes::from_static(bytes),
            repository: 7.into(),
            last_known: false,
        }
    }

    fn tag(name: &str) -> Reference {
        name.parse().map_or_else(|_| unreachable!("a tag"), Reference::Tag)
    }

    fn place(repository: &str) -> Place<'_> {
        Place { project: 1.into(), repository }
    }

    #[test]
    fn a_tag_is_what_it_was_last_and_only_in_its_repository() {
        let known = LastKnown::new(Dialect::Postgres, DAY);
        let (one, two) = (manifest(b"one"), manifest(b"two"));
        known.note_manifest(place("app"), &tag("v1"), Some(&one));
        known.note_manifest(place("app"), &tag("v1"), Some(&two));
        let last = known.manifest(place("app"), &tag("v1")).map(|m| (m.digest, m.last_known));
        assert_eq!(last, Some((two.digest, true)));
        assert_eq!(
            known.manifest(place("app"), &Reference::Digest(one.digest)).map(|m| m.digest),
            Some(one.digest)
        );
        assert!(known.manifest(place("other"), &tag("v1")).is_none());
        assert!(known.manifest(Place { project: 2.into(), repository: "app" }, &tag("v1")).is_none());
    }

    #[test]
    fn what_is_gone_is_forgotten_by_tag_and_by_digest() {
        let known = LastKnown::new(Dialect::Postgres, DAY);
        let one = manifest(b"one");
        known.note_manifest(place("app"), &tag("v1"), Some(&one));
        known.forget(place("app"), &Reference::Digest(one.digest));
        assert!(known.manifest(place("app"), &tag("v1")).is_none());
        known.note_manifest(place("app"), &tag("v1"), Some(&one));
        known.note_manifest(place("app"), &tag("v1"), None);
        assert!(known.manifest(place("app"), &tag("v1")).is_none());
        assert!(known.manifest(place("app"), &Reference::Digest(one.digest)).is_some());
    }

    #[test]
    fn beside_a_database_of_its_own_process_nothing_is_kept() {
        let known = LastKnown::new(Dialect::Sqlite, DAY);
        known.note_manifest(place("app"), &tag("v1"), Some(&manifest(b"one")));
        assert!(known.manifest(place("app"), &tag("v1")).is_none());
    }
}
