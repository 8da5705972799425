//! Putting a manifest: parse, read state, plan, commit the plan.

use std::time::Duration;

use bytes::Bytes;
use metadata::Tx;
use metadata::model::manifest::NewManifest;
use metadata::model::tag::{TagMove, TagRow};
use metadata::model::{RepositoryId, manifest, repository, tag};
use oci::{Digest, Manifest, MediaType, Reference, Tag};

use super::plan::{self, Holdings, Lacking, MAX_HEIGHT, References, Require};
use crate::Registry;
use crate::access::{self, Grant};
use crate::caller::Caller;
use crate::conditioned::{Reach, beyond};
use crate::error::Error;
use crate::last_known::Place;

/// Plans made in turn before a push gives up.
const CONTENDED_ATTEMPTS: u64 = 40;

/// A manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifest {
    /// Digest of its bytes.
    pub digest: Digest,
    /// What it is about, if it says so.
    pub subject: Option<Digest>,
    /// The tags of the query that were set.
    pub tags: Vec<Tag>,
    /// What it refers to and the repository does not hold.
    pub lacking: Lacking,
}

/// One push of a manifest: what every plan of it starts from.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    pub(super) caller: &'a Caller,
    pub(super) grant: &'a Grant<access::Push>,
    pub(super) parsed: &'a Manifest,
    pub(super) digest: Digest,
    pub(super) tags: &'a [Tag],
    pub(super) bytes: &'a Bytes,
    /// It was here before: what it refers to was judged then, and it takes no tag that names something else by now.
    pub(super) restored: bool,
}

/// State that a plan relies on.
struct State {
    repository: RepositoryId,
    stored_as: Option<String>,
    /// It is there, but nothing of it that the pusher may read: having its bytes, the pusher counts as its pusher.
    adopted: bool,
    tags: Vec<(Tag, Option<TagRow>)>,
    held: Holdings,
}

impl Registry {
    /// Stores a manifest under `reference` and `extra_tags`.
    pub async fn put_manifest(
        &self,
        caller: &Caller,
        grant: &Grant<access::Push>,
        reference: &Reference,
        extra_tags: &[Tag],
        content_type: &MediaType,
        bytes: Bytes,
    ) -> Result<PutManifest, Error> {
        let (digest, parsed) = self.parse_manifest(reference, content_type, &bytes)?;
        let mut tags: Vec<Tag> = extra_tags.to_vec();
        if let Reference::Tag(tag) = reference
            && !tags.contains(tag)
        {
            tags.push(tag.clone());
        }
        tags.sort();
        tags.dedup();
        let push =
            Push { caller, grant, parsed: &parsed, digest, tags: &tags, bytes: &bytes, restored: false };
        let lacking = self.commit_manifest(push).await?;
        let subject = parsed.subject.map(|subject| subject.digest);
        Ok(PutManifest { digest, subject, tags: extra_tags.to_vec(), lacking })
    }

    /// Whether a repository that holds nothing yet would take a manifest: so that a push which is refused makes none.
    pub fn check_first_manifest(
        &self,
        reference: &Reference,
        content_type: &MediaType,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let (_, parsed) = self.parse_manifest(reference, content_type, bytes)?;
        let require =
            Require { blobs: self.settings.require_blobs, children: self.settings.require_children };
        plan::references(&parsed, &Holdings::default(), require).map(drop)
    }

    /// What the bytes say, if they are a manifest and the one that `reference` names.
    fn parse_manifest(
        &self,
        reference: &Reference,
        content_type: &MediaType,
        bytes: &Bytes,
    ) -> Result<(Digest, Manifest), Error> {
        if bytes.len() as u64 > self.settings.max_manifest_bytes {
            let limit = self.settings.max_manifest_bytes;
            return Err(Error::TooLarge(format!("a manifest has at most {limit} bytes")));
        }
        let digest = match reference {
            Reference::Tag(_) => Digest::sha256(bytes),
            Reference::Digest(stated) => {
                let digest = Digest::of(stated.algorithm(), bytes);
                if digest != *stated {
                    return Err(Error::DigestMismatch { expected: *stated });
                }
                digest
            }
        };
        Ok((digest, Manifest::parse(content_type, bytes)?))
    }

    pub(super) async fn commit_manifest(&self, push: Push<'_>) -> Result<Lacking, Error> {
        if let Some(lacking) = self.try_commit(push).await? {
            return Ok(lacking);
        }
        // Somebody else moved one of the tags first. From here on pushes to this repository take turns, so that each
        // of many at once gets through; other replicas are met again at random times.
        let _turn = self.contended.turn(push.grant).await;
        for attempt in 0..CONTENDED_ATTEMPTS {
            if let Some(lacking) = self.try_commit(push).await? {
                return Ok(lacking);
            }
            let pause = self.store.random().below(5 * (attempt + 1));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Error::Unavailable)
    }

    /// Plans from fresh reads and commits once; none when the state changed in between.
    async fn try_commit(&self, push: Push<'_>) -> Result<Option<Lacking>, Error> {
        let Push { caller, grant, parsed, digest, .. } = push;
        let repository = self.repository_id(grant).await?;
        for tag in push.tags {
            if !self.covers_tag(grant, repository, tag).await? {
                return Err(beyond(grant, "push", format_args!("`{tag}`")));
            }
        }
        if let Some(subject) = &parsed.subject {
            self.may_be_about(grant, repository, &subject.digest).await?;
        }
        let reach = if push.restored { Reach::Whole } else { self.reach(caller, grant).await? };
        let state = self.read_state(repository, push, &reach).await?;
        // What is absent may come later, by others: who reads only a part must not gain a right to it in advance.
        let part = matches!(reach, Reach::Part(_));
        let require = Require {
            blobs: !push.restored && (part || self.settings.require_blobs),
            children: !push.restored && (part || self.settings.require_children),
        };
        let references = plan::references(parsed, &state.held, require)?;
        let lacking = references.lacking;
        let changes_tag = |row: &Option<TagRow>| row.as_ref().is_none_or(|row| row.digest != digest);
        let moved = state.tags.iter().filter(|(_, row)| changes_tag(row)).count();
        let same_type = state.stored_as.as_deref() == Some(parsed.media_type.as_str());
        if same_type && moved == 0 && !state.adopted {
            return Ok(Some(lacking));
        }
        let mut tx = self.store.begin().await?;
        self.write(&mut tx, push, references, &state);
        let targets: Vec<&str> = state.tags.iter().map(|(tag, _)| tag.as_str()).collect();
        self.record_push(&mut tx, caller, grant, repository, (&digest, &targets)).await?;
        let outcome = self.store.commit(tx).await;
        // Also when it is unknown whether they moved.
        let place = Place { project: grant.project, repository: grant.repo.repository() };
        for (tag, _) in &state.tags {
            self.last_known.forget(place, &Reference::Tag(tag.clone()));
        }
        match outcome {
            Ok(()) => Ok(Some(lacking)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_state(
        &self,
        repository: RepositoryId,
        push: Push<'_>,
        reach: &Reach,
    ) -> Result<State, Error> {
        let Push { grant, digest, tags, .. } = push;
        let name = grant.repo.repository();
        let stored = self.store.manifest_by_digest(grant.project, name, &digest).await?;
        let mut rows = Vec::with_capacity(tags.len());
        for tag in tags {
            let row = self.store.tag(repository, tag).await?;
            // One that is taken before the commit makes it plan again.
            let taken = row.as_ref().is_some_and(|row| row.digest != digest);
            if !(push.restored && taken) {
                rows.push((tag.clone(), row));
            }
        }
        let held = self.holdings(repository, push, reach).await?;
        let mut adopted = false;
        if let Reach::Part(_) = reach {
            for (digest, _, by) in self.store.manifest_heights(repository, &[digest]).await? {
                adopted = !self.reaches_manifest(reach, grant, repository, (&digest, by)).await?;
            }
        }
        Ok(State { repository, stored_as: stored.map(|row| row.media_type), adopted, tags: rows, held })
    }

    /// What of the manifest's references the repository holds, as far as the pusher may use it.
    async fn holdings(
        &self,
        repository: RepositoryId,
        push: Push<'_>,
        reach: &Reach,
    ) -> Result<Holdings, Error> {
        let Push { grant, parsed, .. } = push;
        let mut held = Holdings::default();
        let wanted = parsed.blobs().map(|blob| blob.digest);
        for (digest, size_bytes) in self.store.blobs_present(repository, wanted).await? {
            if self.reaches_blob(reach, grant, repository, &digest).await? {
                held.blobs.insert(digest, size_bytes);
            } else {
                held.closed.insert(digest);
            }
        }
        if parsed.children.is_empty() {
            return Ok(held);
        }
        held.above = self.store.indexes_above(repository, &push.digest, MAX_HEIGHT).await?;
        let children: Vec<Digest> = parsed.children.iter().map(|child| child.digest).collect();
        for (digest, height, by) in self.store.manifest_heights(repository, &children).await? {
            if self.reaches_manifest(reach, grant, repository, (&digest, by)).await? {
                held.manifests.insert(digest, height);
            }
        }
        Ok(held)
    }

    fn write(&self, tx: &mut Tx, push: Push<'_>, references: References, state: &State) {
        let Push { grant, parsed, digest, bytes, .. } = push;
        let now = self.store.now();
        let fresh = state.stored_as.is_none().then(|| NewManifest {
            repository: state.repository,
            digest,
            media_type: parsed.media_type.clone(),
            artifact_type: parsed.effective_artifact_type().map(str::to_owned),
            subject: parsed.subject.as_ref().map(|subject| subject.digest),
            content_bytes: references.content_bytes,
            height: references.height,
            annotations: serde_json::to_string(&parsed.annotations).unwrap_or_else(|_| "{}".to_owned()),
            pushed_by: grant.principal,
            bytes: bytes.clone(),
            blobs: references.blobs,
            gaps: references.gaps,
            children: references.children,
        });
        if let Some(row) = &fresh {
            manifest::insert(tx, row, now);
        } else if state.stored_as.as_deref() != Some(parsed.media_type.as_str()) {
            manifest::set_media_type(tx, state.repository, &digest, &parsed.media_type);
        }
        if state.adopted {
            manifest::set_pusher(tx, state.repository, &digest, grant.principal);
        }
        let mut new_tags = 0;
        for (name, row) in &state.tags {
            let from = row.as_ref().map(|row| &row.digest);
            if from == Some(&digest) {
                continue;
            }
            new_tags += i64::from(from.is_none());
            let to = TagMove {
                repository: state.repository,
                tag: name,
                to: &digest,
                evidence: name.evidence_subject().is_some(),
                by: grant.principal,
                at: now,
            };
            tag::set(tx, to, from);
        }
        repository::count(tx, state.repository, i64::from(fresh.is_some()), new_tags, now);
        if let Some(row) = fresh.as_ref().filter(|row| !row.children.is_empty()) {
            manifest::nest(tx, row, MAX_HEIGHT);
        }
    }
}
