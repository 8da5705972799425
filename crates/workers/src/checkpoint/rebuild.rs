//! `bonded rebuild`: the database again, from blob storage alone.
//!
//! Segments are staged one after the other, then each kind of row is moved into its table in pages, then every object
//! is compared with the blob that names it. Memory stays that of one segment. Nothing but the last step waits for the
//! disk: until then a mark says that the database is half of one, and a rebuild that was cut starts over on an empty
//! database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobError, BlobStore, Listed};
use data_encoding::BASE64;
use metadata::jobs::{self, NewJob};
use metadata::model::audit::{self, AuditRow};
use metadata::model::blob::{self, BlobRow};
use metadata::model::checkpoint::{Kind, Record};
use metadata::model::rebuild::{self as rows, References};
use metadata::{CommitError, Store, StoreError, Timestamp, Tx};
use oci::{Digest, Manifest, MediaType};
use registry::Sealer;
use registry::authn::keys;
use serde::Serialize;
use thiserror::Error;

use super::PASSWORD;
use super::chain::{self, Link};
use super::segment::{Segment, SegmentError};
use crate::job::Job as _;
use crate::scan::{ScanAll, ScanAllJob, priority};

/// Steps of one transaction.
const STEPS: usize = 2000;
/// Bytes of one transaction, more or less.
const BYTES: usize = 8 << 20;
/// Records with manifests read at once; each has at most some MiB.
const PAGE_WITH_BYTES: u32 = 50;
const PAGE: u32 = 1000;
/// Changes forgotten at once.
const FORGET: u32 = 20_000;
/// Problems that are listed by name; all are counted.
const LISTED: usize = 1000;
/// How long blobs without a manifest stay after a rebuild.
const LEASE: Duration = Duration::from_hours(24);

/// How to rebuild.
#[derive(Clone, Copy, Debug, Default)]
pub struct RebuildOptions {
    /// Take segments of another master key, and leave out what is sealed under it: passwords and signing keys.
    pub without_secrets: bool,
    /// Take the state before a damaged segment although there are newer ones.
    pub partial: bool,
}

/// Why a database was not rebuilt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The database holds something.
    #[error("the database is not empty; a rebuild needs an empty one: move it away first")]
    NotEmpty,
    /// An earlier rebuild was cut.
    #[error("an earlier rebuild of this database was not finished: move the database away and start again")]
    Unfinished,
    /// Nothing to rebuild from.
    #[error("blob storage holds no checkpoint")]
    NoCheckpoint,
    /// There are segments, and none is a state to return to.
    #[error("none of the {segments} checkpoint segments in blob storage is the end of a complete chain")]
    Unusable {
        /// How many there are.
        segments: usize,
    },
    /// A segment in the middle is damaged.
    #[error(
        "{count} newer checkpoint segments (from {first}) build upon a damaged one; `--partial` goes back to {until}"
    )]
    Damaged {
        /// How many are of no use.
        count: usize,
        /// The first of them.
        first: u64,
        /// When the newest usable state was written.
        until: Timestamp,
    },
    /// Another master key.
    #[error(
        "checkpoint segment {segment} was not written under this master key; give the key that belongs to it, or leave out what is sealed with `--without-secrets`"
    )]
    Foreign {
        /// Its number.
        segment: u64,
    },
    /// Another release.
    #[error("checkpoint segment {segment} cannot be read by this release: {what}")]
    Unknown {
        /// Its number.
        segment: u64,
        /// What is not known.
        what: String,
    },
    /// Blob storage failed.
    #[error("blob storage cannot be read")]
    Blobs(#[from] BlobError),
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// A transaction was not kept.
    #[error("the database refused a row of the checkpoint")]
    Commit(#[from] CommitError),
}

/// An object that is not what its blob says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongObject {
    /// The blob.
    pub digest: Digest,
    /// Its object.
    pub object: String,
    /// Its size.
    pub expected_bytes: u64,
    /// The object's size; none: it is not there.
    pub found_bytes: Option<u64>,
}

/// What was brought back, and what was not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RebuildReport {
    /// The moment to which the registry was brought back.
    pub state_of: Option<Timestamp>,
    /// Segments read.
    pub segments: u64,
    /// Rows by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Records left out because they refer to something that is not in the checkpoint.
    pub dangling: u64,
    /// Passwords and signing keys left out because they are sealed under another master key.
    pub secrets_left_out: u64,
    /// Newer segments that could not be used.
    pub damaged_segments: usize,
    /// Objects compared with their blobs.
    pub objects: u64,
    /// Blobs whose object is missing or has another size: unknown until they are pushed again.
    pub wrong_objects: u64,
    /// The first of them.
    pub wrong: Vec<WrongObject>,
    /// Objects that no row names: what was pushed after the checkpoint, unfinished uploads, what waited for deletion.
    /// They stay; `bonded fsck --repair` gives them to the collection.
    pub objects_without_rows: u64,
    /// Their size.
    pub bytes_without_rows: u64,
}

/// Whether blob storage holds a checkpoint although this database is blank: then it is somebody else's, or lost.
pub async fn is_of_other_database(store: &Store, blobs: &dyn BlobStore) -> Result<bool, RebuildError> {
    Ok(store.is_blank().await? && !chain::list(blobs).await?.is_empty())
}

/// Makes the database of `store` again from the checkpoint in `blobs`.
pub async fn rebuild(
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    sealer: &Sealer,
    options: RebuildOptions,
) -> Result<RebuildReport, RebuildError> {
    if store.is_half_rebuilt().await? {
        return Err(RebuildError::Unfinished);
    }
    if !store.is_blank().await? {
        return Err(RebuildError::NotEmpty);
    }
    let vouching = (!options.without_secrets).then_some(sealer);
    let chain = chain::find(&**blobs, vouching).await?;
    let Some(tip) = chain.links.last().cloned() else { return Err(RebuildError::NoCheckpoint) };
    if let (Some(first), false) = (chain.damaged.iter().copied().min(), options.partial) {
        let (count, until) = (chain.damaged.len(), tip.head.written_at);
        return Err(RebuildError::Damaged { count, first, until });
    }
    let mut work = Work { store, sealer, tx: None, moved: 0, report: RebuildReport::default() };
    work.report.state_of = Some(tip.head.written_at);
    work.report.damaged_segments = chain.damaged.len();
    let mut tx = store.begin().await?;
    rows::begin(&mut tx);
    store.commit(tx).await?;
    for link in chain.links {
        work.stage(&**blobs, &link, tip.head.needs, vouching).await?;
    }
    work.flush().await?;
    for kind in Kind::ALL {
        work.restore(kind).await?;
    }
    work.count().await?;
    work.compare(&**blobs).await?;
    work.finish(tip.head.next_id).await
}

struct Work<'a> {
    store: &'a Store,
    sealer: &'a Sealer,
    tx: Option<Tx>,
    /// Records that should have become rows.
    moved: u64,
    report: RebuildReport,
}

impl Work<'_> {
    /// The transaction that gathers steps.
    async fn tx(&mut self) -> Result<&mut Tx, RebuildError> {
        if self.tx.as_ref().is_some_and(|tx| tx.len() >= STEPS || tx.heap_bytes() >= BYTES) {
            self.flush().await?;
        }
        if self.tx.is_none() {
            let mut tx = self.store.begin().await?;
            tx.relaxed();
            self.tx = Some(tx);
        }
        self.tx.as_mut().ok_or_else(|| StoreError::inconsistent("no transaction").into())
    }

    async fn flush(&mut self) -> Result<(), RebuildError> {
        match self.tx.take() {
            Some(tx) => Ok(self.store.commit(tx).await?),
            None => Ok(()),
        }
    }

    async fn stage(
        &mut self,
        blobs: &dyn BlobStore,
        link: &Link,
        needs: Option<u64>,
        vouching: Option<&Sealer>,
    ) -> Result<(), RebuildError> {
        // A full copy that was not completed, or that a newer one replaces.
        if link.head.copy.is_some() && link.head.copy != needs {
            return Ok(());
        }
        let segment = chain::number(link.key);
        let unknown = |what: SegmentError| RebuildError::Unknown { segment, what: what.to_string() };
        let bytes = chain::read(blobs, link.key).await?.ok_or_else(|| unknown(SegmentError::Torn))?;
        let opened = Segment::open(&bytes, vouching).map_err(unknown)?;
        for record in opened.records().map_err(unknown)? {
            rows::stage(self.tx().await?, &record);
        }
        self.report.segments += 1;
        Ok(())
    }

    /// Moves the staged records of a kind into their table.
    async fn restore(&mut self, kind: Kind) -> Result<(), RebuildError> {
        let limit = match kind {
            Kind::Manifest | Kind::Deleted => PAGE_WITH_BYTES,
            _ => PAGE,
        };
        let lease_until = self.store.now().plus(LEASE);
        loop {
            let page = self.store.staged(kind, limit).await?;
            let Some(last) = page.last().cloned() else { break };
            for record in page {
                let Some(record) = self.unsealed(record) else { continue };
                self.moved += 1;
                let references = references(&record);
                rows::restore(self.tx().await?, &record, &references, lease_until)?;
            }
            rows::clear_staged(self.tx().await?, &last);
            self.flush().await?;
        }
        Ok(())
    }

    /// The record with its secrets as the database holds them; none where it is nothing without them.
    fn unsealed(&mut self, mut record: Record) -> Option<Record> {
        if record.kind == Kind::SigningKey {
            let sealed = record.bytes.as_deref().unwrap_or_default();
            if self.sealer.open(&keys::context(record.a), sealed).is_err() {
                self.report.secrets_left_out += 1;
                return None;
            }
        }
        if record.kind == Kind::Principal
            && let Some(text) = &record.fields
            && let Ok(mut fields) = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text)
            && let Some(serde_json::Value::String(sealed)) = fields.get("password")
        {
            let opened = BASE64.decode(sealed.as_bytes()).ok();
            let opened = opened.and_then(|sealed| self.sealer.open(PASSWORD, &sealed).ok());
            let opened = opened.and_then(|hash| String::from_utf8(hash).ok());
            self.report.secrets_left_out += u64::from(opened.is_none());
            fields.insert("password".to_owned(), opened.into());
            record.fields = Some(serde_json::Value::Object(fields).to_string());
        }
        Some(record)
    }

    /// Counts what repositories hold, and what came back.
    async fn count(&mut self) -> Result<(), RebuildError> {
        let mut last = i64::MIN;
        loop {
            let ids = self.store.repository_ids(last, PAGE).await?;
            let Some(end) = ids.last() else { break };
            last = *end;
            rows::count(self.tx().await?, &ids);
            self.flush().await?;
        }
        for (kind, rows) in self.store.totals().await? {
            // The mark of the rebuild is a setting.
            let rows = if kind == Kind::Setting { rows.saturating_sub(1) } else { rows };
            self.report.rows.push((kind.name(), rows));
        }
        let rows: u64 = self.report.rows.iter().map(|(_, rows)| rows).sum();
        self.report.dangling = self.moved.saturating_sub(rows);
        Ok(())
    }

    /// Walks blobs and objects side by side, both in order of their keys.
    async fn compare(&mut self, blobs: &dyn BlobStore) -> Result<(), RebuildError> {
        let mut objects: std::collections::VecDeque<Listed> = std::collections::VecDeque::new();
        let (mut after, mut ended) = (None, false);
        let mut last = String::new();
        loop {
            let page = self.store.blobs_by_object(&last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last.clone_from(&end.object_key);
            for row in page {
                loop {
                    if objects.is_empty() && !ended {
                        let listed = blobs.list(after, PAGE as usize).await?;
                        ended = listed.len() < PAGE as usize;
                        after = listed.last().map(|listed| listed.key).or(after);
                        objects.extend(listed);
                    }
                    let before = |listed: &Listed| listed.key.to_string() < row.object_key;
                    let Some(listed) = objects.pop_front_if(|listed| before(listed)) else { break };
                    self.without_row(&listed);
                }
                let found = objects.pop_front_if(|listed| listed.key.to_string() == row.object_key);
                self.note(row, found.map(|listed| listed.size)).await?;
            }
        }
        objects.iter().for_each(|listed| self.without_row(listed));
        while !ended {
            let listed = blobs.list(after, PAGE as usize).await?;
            ended = listed.len() < PAGE as usize;
            after = listed.last().map(|listed| listed.key).or(after);
            listed.iter().for_each(|listed| self.without_row(listed));
        }
        self.flush().await
    }

    fn without_row(&mut self, listed: &Listed) {
        if !listed.key.is_of_series() {
            self.report.objects_without_rows += 1;
            self.report.bytes_without_rows += listed.size;
        }
    }

    /// Notes a blob's object; a wrong one takes the blob out of service until it is pushed again.
    async fn note(&mut self, row: BlobRow, found_bytes: Option<u64>) -> Result<(), RebuildError> {
        self.report.objects += 1;
        if found_bytes == Some(row.size_bytes) || row.corrupt {
            return Ok(());
        }
        let reason =
            if found_bytes.is_some() { "wrong size after a rebuild" } else { "missing after a rebuild" };
        let now = self.store.now();
        blob::quarantine(self.tx().await?, &row, None, reason, now);
        self.report.wrong_objects += 1;
        if self.report.wrong.len() < LISTED {
            self.report.wrong.push(WrongObject {
                digest: row.digest,
                object: row.object_key,
                expected_bytes: row.size_bytes,
                found_bytes,
            });
        }
        Ok(())
    }

    /// Records the rebuild, gives new ids a start of their own and takes the mark away.
    async fn finish(mut self, next_id: i64) -> Result<RebuildReport, RebuildError> {
        while self.store.has_changes().await? {
            rows::forget_changes(self.tx().await?, FORGET);
            self.flush().await?;
        }
        let mut tx = self.store.begin().await?;
        let row = AuditRow {
            id: next_id,
            at: self.store.now(),
            principal_id: None,
            principal: "system".to_owned(),
            action: "database.rebuild".to_owned(),
            project: None,
            target: "database".to_owned(),
            outcome: "done".to_owned(),
            details: serde_json::json!({
                "state_of": self.report.state_of,
                "wrong_objects": self.report.wrong_objects,
                "dangling": self.report.dangling,
            })
            .to_string(),
            address: None,
            request_id: None,
        };
        audit::insert(&mut tx, &row);
        // What was known of images was derived from them, and is derived again.
        let payload = serde_json::to_string(&ScanAll { as_pushed: true }).unwrap_or_default();
        let scan = NewJob::new(ScanAllJob::NAME, payload, self.store.now());
        let scan = scan.attempts(ScanAllJob::ATTEMPTS).priority(priority::SWEEP);
        jobs::enqueue(&mut tx, next_id.into(), self.store.now(), scan);
        rows::finish(&mut tx, next_id);
        self.store.commit(tx).await?;
        Ok(self.report)
    }
}

/// What of a manifest's record is needed to parse its bytes.
#[derive(serde::Deserialize)]
struct Typed {
    media_type: String,
}

/// What a manifest refers to. The bytes were accepted once; should this release not understand them, they are served
/// without edges.
fn references(record: &Record) -> References {
    let (Kind::Manifest | Kind::Deleted, Some(bytes), Some(fields)) =
        (record.kind, &record.bytes, &record.fields)
    else {
        return References::default();
    };
    let media_type = serde_json::from_str::<Typed>(fields).ok();
    let media_type = media_type.and_then(|typed| typed.media_type.parse::<MediaType>().ok());
    let parsed = media_type.and_then(|media_type| Manifest::parse(&media_type, bytes).ok());
    let Some(parsed) = parsed else {
        tracing::warn!(manifest = record.b, "a manifest of the checkpoint cannot be parsed");
        return References::default();
    };
    let blobs: BTreeSet<Digest> = parsed.blobs().map(|blob| blob.digest).collect();
    let children: BTreeSet<Digest> = parsed.children.iter().map(|child| child.digest).collect();
    References { blobs: blobs.into_iter().collect(), children: children.into_iter().collect() }
}
