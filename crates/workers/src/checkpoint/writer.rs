//! Writes the checkpoint's segments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobKey, Series};
use data_encoding::BASE64;
use metadata::leases::{self, Held};
use metadata::model::checkpoint::{self, Kind, Record};
use metadata::{Store, Timestamp};
use oci::Digest;
use registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::segment::{Head, Records};
use super::{PASSWORD, chain};
use crate::duty::Duty;
use crate::job::JobError;

/// How often it is looked whether something changed. Short, so that another process takes over soon.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Much longer than a segment takes to a slow store.
const LEASE: Duration = Duration::from_secs(30);
/// What of a full copy is made in one round, so that changes are written between.
const COPY_FOR: Duration = Duration::from_secs(3);
/// Changes of one segment, at most.
const PAGE: u32 = 5000;
/// Rows of a full copy read at once.
const COPY_PAGE: u32 = 1000;
/// Bytes of records at which a segment is closed.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Segments of changes after which a full copy is made.
const MOST_SEGMENTS: u64 = 4000;
/// Bytes of changes, compressed, below which none is made for their size.
const LEAST_CHANGED_BYTES: u64 = 8 << 20;
/// Tries to read manifests of one snapshot that are deleted meanwhile.
const ATTEMPTS: u32 = 10;

/// What the last segment left in the database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    installation: String,
    number: u64,
    digest: Option<Digest>,
    needs: Option<u64>,
    copy_bytes: u64,
    changed_bytes: u64,
    changed_segments: u64,
}

/// A full copy in progress; begun again by a process that takes over.
#[derive(Clone, Debug)]
struct Copy {
    from: u64,
    kind: usize,
    a: i64,
    b: String,
    bytes: u64,
}

impl Copy {
    fn is_complete(&self) -> bool {
        self.kind >= Kind::ALL.len()
    }
}

#[derive(Debug, Default)]
struct Progress {
    term: Option<i64>,
    /// No segment has this number or a higher one.
    next: u64,
    copy: Option<Copy>,
}

/// The duty that writes the checkpoint.
#[derive(Debug)]
pub struct CheckpointDuty {
    registry: Arc<Registry>,
    interval: Duration,
    progress: Mutex<Progress>,
}

impl CheckpointDuty {
    /// Writes what changed every `interval`, and what is left at the end of the process.
    pub fn new(registry: Arc<Registry>, interval: Duration) -> Self {
        Self { registry, interval, progress: Mutex::default() }
    }

    async fn write(&self, store: &Store, held: &Held, last: bool) -> Result<(), JobError> {
        let mut progress = self.progress.lock().await;
        let (text, written_at) = store.checkpoint_state().await?;
        let mut state: State = serde_json::from_str(&text).map_err(JobError::failed)?;
        if progress.term != Some(held.term()) {
            *progress = self.adopt(&mut state, held).await?;
        }
        // After an error the copy goes on where it was: what is noted is read again, and numbers are not used twice.
        self.round(store, held, &mut progress, &mut state, written_at, last).await
    }

    /// Looks at what is in the store when this process takes over.
    async fn adopt(&self, state: &mut State, held: &Held) -> Result<Progress, JobError> {
        let keys = chain::list(&**self.registry.blobs()).await.map_err(JobError::retry)?;
        if !keys.iter().any(|key| chain::number(*key) == state.number) {
            state.needs = None;
        }
        if let Some(needs) = state.needs {
            self.delete_below(needs, &keys).await;
        }
        let highest = keys.last().map_or(0, |key| chain::number(*key));
        Ok(Progress { term: Some(held.term()), next: highest.max(state.number) + 1, copy: None })
    }

    async fn round(
        &self,
        store: &Store,
        held: &Held,
        progress: &mut Progress,
        state: &mut State,
        written_at: Timestamp,
        last: bool,
    ) -> Result<(), JobError> {
        let many = state.changed_segments >= MOST_SEGMENTS
            || state.changed_bytes >= state.copy_bytes.max(LEAST_CHANGED_BYTES);
        if progress.copy.is_none() && (state.needs.is_none() || many) {
            tracing::info!(from = progress.next, "the checkpoint begins a full copy");
            progress.copy =
                Some(Copy { from: progress.next, kind: 0, a: i64::MIN, b: String::new(), bytes: 0 });
        }
        let until = Instant::now() + COPY_FOR;
        while progress.copy.as_ref().is_some_and(|copy| !copy.is_complete()) && Instant::now() < until {
            self.copy_some(store, held, progress, state).await?;
        }
        let complete = progress.copy.as_ref().is_some_and(Copy::is_complete);
        let due = last || store.now().since(written_at) >= self.interval;
        if complete || ((due || progress.copy.is_some()) && store.has_changes().await?) {
            while !self.write_changes(store, held, progress, state).await? {}
        }
        Ok(())
    }

    /// Writes the next segment of the full copy.
    async fn copy_some(
        &self,
        store: &Store,
        held: &Held,
        progress: &mut Progress,
        state: &mut State,
    ) -> Result<(), JobError> {
        let Some(mut copy) = progress.copy.clone() else { return Ok(()) };
        let mut records = Records::default();
        while records.bytes() < SEGMENT_BYTES
            && let Some(kind) = Kind::ALL.get(copy.kind).copied()
        {
            let page = store.records_after(kind, copy.a, &copy.b, COPY_PAGE).await?;
            let end = page.len() < usize::try_from(COPY_PAGE).unwrap_or(usize::MAX);
            let mut full = false;
            for record in page {
                (copy.a, copy.b) = (record.a, record.b.clone());
                // A manifest that is deleted meanwhile is a change of its own.
                if let Some(record) = self.complete(store, record).await? {
                    records.push(&record);
                }
                full = records.bytes() >= SEGMENT_BYTES;
                if full {
                    break;
                }
            }
            if end && !full {
                copy = Copy { kind: copy.kind + 1, a: i64::MIN, b: String::new(), ..copy };
            }
        }
        let size = self.publish(store, held, progress, state, records, Part::Copy(copy.from), &[]).await?;
        copy.bytes += size;
        progress.copy = Some(copy);
        Ok(())
    }

    /// Writes one page of changes; whether nothing else had changed.
    async fn write_changes(
        &self,
        store: &Store,
        held: &Held,
        progress: &mut Progress,
        state: &mut State,
    ) -> Result<bool, JobError> {
        for _ in 0..ATTEMPTS {
            let Some((records, taken, whole)) = self.page(store).await? else { continue };
            let complete = progress.copy.clone().filter(|copy| whole && copy.is_complete());
            if let Some(copy) = &complete {
                state.needs = Some(copy.from);
                (state.copy_bytes, state.changed_bytes, state.changed_segments) = (copy.bytes, 0, 0);
            }
            self.publish(store, held, progress, state, records, Part::Changes { whole }, &taken).await?;
            if let Some(copy) = complete {
                progress.copy = None;
                tracing::info!(
                    from = copy.from,
                    bytes = copy.bytes,
                    "the checkpoint's full copy is complete"
                );
                let keys = chain::list(&**self.registry.blobs()).await.map_err(JobError::retry)?;
                self.delete_below(copy.from, &keys).await;
            }
            return Ok(whole);
        }
        Err(JobError::retry("manifests are deleted faster than they can be read"))
    }

    /// A page of changes as records; none when a manifest of it was deleted before its bytes were read.
    async fn page(&self, store: &Store) -> Result<Option<(Records, Vec<i64>, bool)>, JobError> {
        let page = store.changes(PAGE).await?;
        let mut whole = page.last;
        let (mut records, mut taken, mut seen) = (Records::default(), Vec::new(), HashSet::new());
        for (id, record) in page.records {
            if records.bytes() >= SEGMENT_BYTES {
                whole = false;
                break;
            }
            taken.push(id);
            if seen.insert((record.kind, record.a, record.b.clone())) {
                let Some(record) = self.complete(store, record).await? else { return Ok(None) };
                records.push(&record);
            }
        }
        Ok(Some((records, taken, whole)))
    }

    /// Reads a record's bytes and seals what must not lie open; none when its row is gone.
    async fn complete(&self, store: &Store, mut record: Record) -> Result<Option<Record>, JobError> {
        if record.pending_bytes > 0 && record.fields.is_some() {
            record.bytes = store.record_bytes(&record).await?;
            if record.bytes.is_none() {
                return Ok(None);
            }
        }
        if let (Kind::Principal, Some(fields)) = (record.kind, &record.fields) {
            let mut fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(fields).map_err(JobError::failed)?;
            if let Some(serde_json::Value::String(password)) = fields.get_mut("password") {
                let sealed =
                    self.registry.sealer().seal(store.random().as_ref(), PASSWORD, password.as_bytes());
                *password = BASE64.encode(&sealed.map_err(JobError::failed)?);
            }
            record.fields = Some(serde_json::Value::Object(fields).to_string());
        }
        Ok(Some(record))
    }

    /// Makes a segment durable, then notes it and forgets the changes that it holds; its size.
    #[expect(clippy::too_many_arguments, reason = "the parts of one segment")]
    async fn publish(
        &self,
        store: &Store,
        held: &Held,
        progress: &mut Progress,
        state: &mut State,
        records: Records,
        part: Part,
        taken: &[i64],
    ) -> Result<u64, JobError> {
        if state.installation.is_empty() {
            state.installation = format!("{:032x}", store.random().id128());
        }
        let now = store.now();
        let head = Head {
            installation: state.installation.clone(),
            number: progress.next,
            previous: state.digest,
            copy: part.copy(),
            needs: state.needs,
            whole: part.is_whole(),
            written_at: now,
            next_id: store.next_unreserved_id().await?,
            raw_bytes: 0,
        };
        let count = records.count();
        let sealer = Arc::clone(self.registry.sealer());
        let (number, head) = (head.number, head);
        let sealed = tokio::task::spawn_blocking(move || records.seal(&head, &sealer)).await;
        let bytes = sealed.map_err(JobError::retry)?.map_err(JobError::failed)?;
        let size = bytes.len() as u64;
        let random = u32::try_from(store.random().below(1 << 32)).unwrap_or(0);
        let key = BlobKey::of_series(Series::Checkpoint, number, random);
        let digest = Digest::sha256(&bytes);
        progress.next += 1;
        let published = chain::publish(&**self.registry.blobs(), self.registry.budget(), key, bytes).await;
        published.map_err(JobError::retry)?;
        (state.number, state.digest) = (number, Some(digest));
        if let Part::Changes { .. } = part {
            state.changed_bytes += size;
            state.changed_segments += 1;
        }
        let mut tx = store.begin().await?;
        leases::fence(&mut tx, held);
        let text = serde_json::to_string(&state).map_err(JobError::failed)?;
        checkpoint::advance(&mut tx, &text, number, taken, now);
        store.commit(tx).await?;
        tracing::debug!(number, records = count, bytes = size, ?part, "checkpoint segment written");
        Ok(size)
    }

    /// Deletes what no state to return to needs; what fails is deleted by the next full copy.
    async fn delete_below(&self, number: u64, keys: &[BlobKey]) {
        for key in keys.iter().filter(|key| chain::number(**key) < number) {
            if let Err(error) = self.registry.blobs().delete(*key).await {
                tracing::warn!(%error, %key, "an old segment of the checkpoint could not be deleted");
                return;
            }
        }
    }
}

/// What a segment holds.
#[derive(Clone, Copy, Debug)]
enum Part {
    Copy(u64),
    Changes { whole: bool },
}

impl Part {
    fn copy(self) -> Option<u64> {
        match self {
            Self::Copy(from) => Some(from),
            Self::Changes { .. } => None,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Changes { whole: true })
    }
}

impl Duty for CheckpointDuty {
    const NAME: &'static str = "checkpoint";

    fn every(&self) -> Duration {
        LOOK_EVERY.min(self.interval)
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn round(&self, store: &Store, held: &Held) -> Result<(), JobError> {
        self.write(store, held, false).await
    }

    async fn last(&self, store: &Store, held: &Held) -> Result<(), JobError> {
        self.write(store, held, true).await
    }
}
