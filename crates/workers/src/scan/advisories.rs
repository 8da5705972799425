//! The advisories of the registry: one database file in blob storage, named by a setting, mapped by every process.
//!
//! Invariant: a published file is never changed. The setting moves from one to the next by compare-and-swap, after the
//! new file is durable. The last is kept, so that a process that is about to fetch it still finds it, and a few with
//! other advisories before it, so that the index, when it is late, still has something to compare with.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use blobs::{BlobKey, Series};
use bytes::Bytes;
use metadata::Timestamp;
use metadata::model::setting;
use registry::Registry;
use serde::{Deserialize, Serialize};
use upstream::Mapped;
use vuln::db::{Db, DbError};

use crate::checkpoint::publish;
use crate::files::Files;
use crate::job::JobError;

/// Files before the last that are kept.
const FORMERS: usize = 3;

/// The setting that names the file.
const SETTING: &str = "advisories";

/// Which file the advisories are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Its object.
    pub object: String,
    /// Those before it that are kept, the newest first.
    #[serde(default)]
    pub formers: Vec<Former>,
    /// Grows with every file.
    pub generation: u64,
    /// The generation since when no advisory has changed: verdicts by this one or later are up to date.
    pub content: u64,
    /// Its size.
    pub size_bytes: u64,
    /// When it was published.
    pub published_at: Timestamp,
}

/// A file before the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its object.
    pub object: String,
    /// Its content, as [`Pointer::content`].
    pub content: u64,
}

impl Pointer {
    /// This file's object and those before it.
    fn objects(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.object.as_str()).chain(self.formers.iter().map(|former| former.object.as_str()))
    }

    /// The files before the one that takes this one's place with `content`, and the objects that are needed no more.
    fn retire(&self, content: u64) -> (Vec<Former>, Vec<String>) {
        let last = Former { object: self.object.clone(), content: self.content };
        let (mut kept, mut gone) = (vec![last], Vec::new());
        for former in &self.formers {
            let known = former.content == content || kept.iter().any(|it| it.content == former.content);
            if known || kept.len() > FORMERS {
                gone.push(former.object.clone());
            } else {
                kept.push(former.clone());
            }
        }
        (kept, gone)
    }
}

/// The advisories of a moment.
#[derive(Debug)]
pub struct Current {
    /// Which file.
    pub pointer: Pointer,
    map: Mapped,
}

impl Current {
    /// The database.
    ///
    /// # Errors
    /// Never for a file that was taken; it was checked.
    pub fn db(&self) -> Result<Db<'_>, DbError> {
        Db::open(&self.map)
    }

    /// What a verdict by these advisories notes.
    pub(crate) fn content(&self) -> i64 {
        i64::try_from(self.pointer.content).unwrap_or(i64::MAX)
    }
}

/// The advisories as this process has them.
pub struct Advisories {
    registry: Arc<Registry>,
    files: Files,
    current: Mutex<Option<Arc<Current>>>,
    loading: tokio::sync::Mutex<()>,
}

impl Advisories {
    pub(super) fn new(registry: Arc<Registry>, cache: PathBuf) -> Self {
        let files = Files::new(Arc::clone(&registry), cache.join("advisories"), whole);
        Self { registry, files, current: Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    /// Which file the advisories are now; none: there never was one.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn pointer(&self) -> Result<Option<Pointer>, JobError> {
        Ok(self.setting().await?.map(|(pointer, _)| pointer))
    }

    /// What the setting says now, with its text: what a renewal begins with and publishes in place of.
    pub(super) async fn setting(&self) -> Result<Option<(Pointer, String)>, JobError> {
        let Some(text) = self.registry.store().setting(SETTING).await? else { return Ok(None) };
        let pointer = serde_json::from_str(&text)
            .map_err(|error| JobError::failed(format!("the setting `{SETTING}`: {error}")))?;
        Ok(Some((pointer, text)))
    }

    fn known(&self, pointer: &Pointer) -> Option<Arc<Current>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|current| current.pointer == *pointer)
    }

    /// The advisories of this moment; none: there never were any.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub async fn current(&self) -> Result<Option<Arc<Current>>, JobError> {
        let Some(pointer) = self.pointer().await? else { return Ok(None) };
        if let Some(known) = self.known(&pointer) {
            return Ok(Some(known));
        }
        let _turn = self.loading.lock().await;
        if let Some(known) = self.known(&pointer) {
            return Ok(Some(known));
        }
        let Some(map) = self.files.open(&pointer.object, None).await? else {
            if self.pointer().await?.as_ref() != Some(&pointer) {
                return Err(JobError::retry("the advisories were replaced just now"));
            }
            // As after a rebuild of the database from an older state: the next renewal makes them anew.
            tracing::error!(
                object = pointer.object,
                "the advisories are gone from blob storage; they are renewed"
            );
            return Ok(None);
        };
        self.files.keep_only(pointer.objects()).await;
        let current = Arc::new(Current { pointer, map });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&current));
        Ok(Some(current))
    }

    /// The advisories of a content before `current`, for comparison, if they are kept.
    pub(crate) async fn former_of(&self, current: &Current, wanted: i64) -> Result<Option<Mapped>, JobError> {
        let is_wanted = |former: &&Former| i64::try_from(former.content).ok() == Some(wanted);
        let Some(former) = current.pointer.formers.iter().find(is_wanted) else { return Ok(None) };
        self.files.open(&former.object, None).await
    }

    /// Publishes a database file in place of the one of `former`. `changed`: some advisory is another one. Answers
    /// whether that was still the one.
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub(super) async fn publish(
        &self,
        bytes: Bytes,
        changed: bool,
        former: Option<(Pointer, String)>,
    ) -> Result<bool, JobError> {
        let generation = Db::open(&bytes).map_err(JobError::failed)?.generation();
        let random = u32::try_from(self.registry.store().random().below(1 << 32)).unwrap_or(0);
        let key = BlobKey::of_series(Series::Advisories, generation, random);
        let size_bytes = bytes.len() as u64;
        publish(&**self.registry.blobs(), self.registry.budget(), key, bytes)
            .await
            .map_err(JobError::retry)?;
        let content =
            former.as_ref().map_or(generation, |(known, _)| if changed { generation } else { known.content });
        let (formers, gone) =
            former.as_ref().map_or_else(Default::default, |(known, _)| known.retire(content));
        let pointer = Pointer {
            object: key.to_string(),
            formers,
            generation,
            content,
            size_bytes,
            published_at: self.registry.store().now(),
        };
        let mut tx = self.registry.store().begin().await?;
        let text = serde_json::to_string(&pointer).map_err(JobError::failed)?;
        setting::replace(&mut tx, SETTING, former.as_ref().map(|(_, text)| text.as_str()), &text);
        let outcome = self.registry.store().commit(tx).await;
        let needless = match &outcome {
            Ok(()) => gone,
            Err(error) if error.is_conflict() => vec![pointer.object],
            // It may have been kept.
            Err(_) => Vec::new(),
        };
        for key in needless.iter().filter_map(|text| BlobKey::parse(text).ok()) {
            if let Err(error) = self.registry.blobs().delete(key).await {
                tracing::warn!(%error, object = %key, "old advisories could not be deleted");
            }
        }
        match outcome {
            Err(error) if error.is_conflict() => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }
}

fn whole(bytes: &[u8]) -> io::Result<()> {
    Db::open(bytes).and_then(|db| db.verify()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pointer after some renewals, each with other advisories or the same, and the objects that are deleted.
    fn after(changed: &[bool]) -> (Pointer, Vec<String>) {
        let mut pointer = Pointer {
            object: "1".to_owned(),
            formers: Vec::new(),
            generation: 1,
            content: 1,
            size_bytes: 0,
            published_at: Timestamp::from_micros(0),
        };
        let mut deleted = Vec::new();
        for changed in changed {
            let generation = pointer.generation + 1;
            let content = if *changed { generation } else { pointer.content };
            let (formers, gone) = pointer.retire(content);
            deleted.extend(gone);
            pointer = Pointer { object: generation.to_string(), formers, generation, content, ..pointer };
        }
        (pointer, deleted)
    }

    fn contents(pointer: &Pointer) -> Vec<u64> {
        pointer.formers.iter().map(|former| former.content).collect()
    }

    #[test]
    fn what_the_index_may_be_by_is_kept_for_a_few_changes() {
        let (pointer, deleted) = after(&[true, true]);
        assert_eq!((contents(&pointer), deleted), (vec![2, 1], vec![]));
        // A renewal that brings nothing new takes nothing away.
        let (pointer, deleted) = after(&[true, false, false]);
        assert_eq!((contents(&pointer), deleted), (vec![2, 1], vec!["2".to_owned()]));
        let (pointer, deleted) = after(&[true; 6]);
        assert_eq!(contents(&pointer), vec![6, 5, 4, 3]);
        assert_eq!(deleted, ["1", "2"]);
    }

    #[test]
    fn the_last_file_is_kept_and_every_other_one_deleted_once() {
        let (pointer, deleted) = after(&[true, false, true, true, false, true, false, false, true]);
        assert_eq!(pointer.formers[0].object, "9");
        let mut all: Vec<String> = pointer.objects().map(str::to_owned).chain(deleted).collect();
        all.sort_unstable_by_key(|text| text.parse::<u64>().unwrap_or(0));
        assert_eq!(all, (1..=10).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
