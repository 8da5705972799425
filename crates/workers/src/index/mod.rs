//! The index of the estate: which images hold which packages, and what is wrong with these, over all repositories.
//!
//! Files in blob storage, named by a setting: segments of the estate and files of findings ([`estate`]), each immutable.
//! One process keeps them ([`IndexDuty`]); every process that answers questions maps them ([`Index::search`]). All of it
//! is derived: lost, it is made again from what layers state.

mod duty;
mod exposure;
mod listed;
mod saved;
mod search;
mod settle;
mod totals;

pub use duty::IndexDuty;
pub use listed::{Counted, Listed, ListedFailure, ListedFinding, Listing, RepositoryNamed};
pub use saved::{AskSavedJob, SavedSearch, SavedSearches};
pub use search::{Answer, Hit, HitPackage, Question, SearchFailure};
pub use totals::Totals;

use std::sync::{Arc, Mutex, PoisonError};

use ::estate::findings::Findings;
use ::estate::{Estate, OpenError};
use blobs::{BlobKey, Series};
use bytes::Bytes;
use metadata::Tx;
use metadata::model::setting;
use oci::Digest;
use registry::Registry;
use self_cell::self_cell;
use serde::{Deserialize, Serialize};
use upstream::Mapped;

use crate::checkpoint::publish;
use crate::files::Files;
use crate::job::JobError;
use crate::scan::Scanner;
use settle::Settling;

/// What is said when a file of the index is not in blob storage any more.
const GONE: &str = "a file of the index is gone from blob storage";

/// The setting that names the files.
const SETTING: &str = "estate";

/// Which files the index is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pointer {
    /// Numbers the files.
    pub number: u64,
    /// Segments, the oldest first.
    pub segments: Vec<File>,
    /// Files of findings, the oldest first.
    pub findings: Vec<File>,
    /// The advisories that the findings are by.
    pub advisories: i64,
    /// Objects that no longer belong to it; deleted when it moves on once more.
    pub former: Vec<String>,
    /// The times of vulnerabilities are noted as the files show them.
    pub reckoned: bool,
    /// Until then: the last vulnerability of which they are.
    pub reckoned_to: String,
    /// Verdicts by former advisories are brought up to date.
    pub settling: Option<Settling>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// Its object.
    pub object: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its content; unknown of what an older version wrote.
    #[serde(default)]
    pub digest: Option<Digest>,
}

impl Pointer {
    /// Whether both name the same files: what these say is the same.
    fn same_files(&self, other: &Self) -> bool {
        self.segments == other.segments && self.findings == other.findings
    }

    fn objects(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().chain(&self.findings).map(|file| file.object.as_str())
    }
}

/// The mapped files.
#[derive(Debug)]
struct Maps {
    segments: Vec<Mapped>,
    findings: Vec<Mapped>,
}

/// What the files say.
#[derive(Debug)]
struct View<'a> {
    estate: Estate<'a>,
    findings: Findings<'a>,
}

self_cell!(
    struct Open {
        owner: Maps,
        #[covariant]
        dependent: View,
    }
);

impl Open {
    fn of(maps: Maps) -> Result<Self, OpenError> {
        Self::try_new(maps, |maps| {
            let segments: Vec<&[u8]> = maps.segments.iter().map(|map| &**map).collect();
            let findings: Vec<&[u8]> = maps.findings.iter().map(|map| &**map).collect();
            let estate = Estate::open(&segments)?;
            let findings = Findings::open(&findings, &estate)?;
            Ok(View { estate, findings })
        })
    }
}

/// The index as this process has it.
pub struct Index {
    scanner: Arc<Scanner>,
    files: Files,
    current: Mutex<Option<(Pointer, Arc<Open>)>>,
    opening: tokio::sync::Mutex<()>,
    tallied: Mutex<Option<(Pointer, totals::Tallies)>>,
    counting: tokio::sync::Mutex<()>,
    listing: tokio::sync::Semaphore,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl Index {
    /// The index of what this scanner finds.
    pub fn new(scanner: Arc<Scanner>) -> Self {
        let dir = scanner.settings().cache.join("estate");
        let files = Files::new(Arc::clone(scanner.registry()), dir, |_| Ok(()));
        Self {
            scanner,
            files,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            tallied: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
            listing: tokio::sync::Semaphore::new(listed::AT_ONCE),
        }
    }

    /// What finds what is indexed.
    pub fn scanner(&self) -> &Arc<Scanner> {
        &self.scanner
    }

    fn registry(&self) -> &Arc<Registry> {
        self.scanner.registry()
    }

    async fn setting(&self) -> Result<(Pointer, Option<String>), JobError> {
        let Some(text) = self.registry().store().setting(SETTING).await? else {
            return Ok((Pointer::default(), None));
        };
        // What another version wrote is made again.
        Ok((serde_json::from_str(&text).unwrap_or_default(), Some(text)))
    }

    fn known(&self, pointer: &Pointer) -> Option<Arc<Open>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|(known, _)| known.same_files(pointer)).map(|(_, open)| Arc::clone(open))
    }

    /// The index of this moment.
    async fn current(&self) -> Result<(Pointer, Option<String>, Arc<Open>), JobError> {
        let (pointer, text) = self.setting().await?;
        if let Some(open) = self.known(&pointer) {
            return Ok((pointer, text, open));
        }
        let _turn = self.opening.lock().await;
        if let Some(open) = self.known(&pointer) {
            return Ok((pointer, text, open));
        }
        let (mut segments, mut findings) = (Vec::new(), Vec::new());
        for (files, maps) in [(&pointer.segments, &mut segments), (&pointer.findings, &mut findings)] {
            for file in files {
                match self.files.open(&file.object, file.digest.as_ref()).await? {
                    Some(map) => maps.push(map),
                    None => return Err(JobError::failed(GONE)),
                }
            }
        }
        let maps = Maps { segments, findings };
        let open = tokio::task::spawn_blocking(move || Open::of(maps)).await.map_err(JobError::retry)?;
        let open = Arc::new(open.map_err(JobError::failed)?);
        self.files.keep_only(pointer.objects()).await;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((pointer.clone(), Arc::clone(&open)));
        Ok((pointer, text, open))
    }

    /// Makes a file durable.
    async fn write(&self, pointer: &mut Pointer, bytes: Vec<u8>) -> Result<File, JobError> {
        pointer.number += 1;
        let random = u32::try_from(self.registry().store().random().below(1 << 32)).unwrap_or(0);
        let key = BlobKey::of_series(Series::Estate, pointer.number, random);
        let size_bytes = bytes.len() as u64;
        let hash = tokio::task::spawn_blocking(move || (Digest::sha256(&bytes), bytes));
        let (digest, bytes) = hash.await.map_err(JobError::retry)?;
        let registry = self.registry();
        publish(&**registry.blobs(), registry.budget(), key, Bytes::from(bytes))
            .await
            .map_err(JobError::retry)?;
        Ok(File { object: key.to_string(), size_bytes, digest: Some(digest) })
    }

    /// Appends the step from one state of the index to the next, and answers its text; somebody else's step is a
    /// conflict.
    fn step(tx: &mut Tx, former: Option<&str>, next: &Pointer) -> Result<String, JobError> {
        let text = serde_json::to_string(next).map_err(JobError::failed)?;
        setting::replace(tx, SETTING, former, &text);
        Ok(text)
    }

    /// Deletes objects that nobody maps for the first time any more.
    async fn delete(&self, objects: &[String]) {
        for object in objects {
            let Ok(key) = BlobKey::parse(object) else { continue };
            if let Err(error) = self.registry().blobs().delete(key).await {
                tracing::warn!(%error, object, "a former file of the index could not be deleted");
            }
        }
    }
}
