//! Scans: what layers state, and what was found in artifacts.
//!
//! Rows are named by digest, hence shared by all repositories that hold the same artifact; whoever reads them has proved
//! before that the caller may read that artifact somewhere.

use bytes::Bytes;
use oci::{Digest, Manifest, MediaType};

use super::{ProjectId, RepositoryId};
use crate::error::StoreError;
use crate::ids::JobId;
use crate::jobs::JobState;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

crate::statements! {
    LAYERS = Read "SELECT digest, content FROM layer_catalogue WHERE digest IN (SELECT value FROM bonded_texts($1)) AND version = $2";
    KNOWN_LAYERS = Read "SELECT digest FROM layer_catalogue WHERE digest IN (SELECT value FROM bonded_texts($1)) AND version = $2";
    PUT_LAYER = Write "INSERT INTO layer_catalogue (digest, version, content, catalogued_at, tx) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO UPDATE SET version = excluded.version, content = excluded.content, catalogued_at = excluded.catalogued_at, tx = excluded.tx";
    FIND = Read "SELECT digest, id, status, reason, attempted_at, job, judged_at, advisories, critical, high, medium, low, negligible, unknown, details FROM scan WHERE digest IN (SELECT value FROM bonded_texts($1))";
    OF_CHILDREN = Read "SELECT s.digest, s.id, s.status, s.reason, s.attempted_at, s.job, s.judged_at, s.advisories, s.critical, s.high, s.medium, s.low, s.negligible, s.unknown, s.details, c.parent, c.child FROM manifest_child c JOIN manifest m ON m.repository_id = c.repository_id AND m.digest = c.child LEFT JOIN scan s ON s.digest = c.child WHERE c.repository_id = $1 AND c.parent IN (SELECT value FROM bonded_texts($2)) ORDER BY c.parent, c.child";
    PUT_VERDICT = Write "INSERT INTO scan (digest, id, status, reason, attempted_at, job, judged_at, advisories, worst, critical, high, medium, low, negligible, unknown, details, tx) VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (digest) DO UPDATE SET status = excluded.status, reason = excluded.reason, attempted_at = excluded.attempted_at, job = excluded.job, judged_at = excluded.judged_at, advisories = excluded.advisories, worst = excluded.worst, critical = excluded.critical, high = excluded.high, medium = excluded.medium, low = excluded.low, negligible = excluded.negligible, unknown = excluded.unknown, details = excluded.details, tx = excluded.tx";
    PUT_ATTEMPT = Write "INSERT INTO scan (digest, id, status, reason, attempted_at, job, tx) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO UPDATE SET status = excluded.status, reason = excluded.reason, attempted_at = excluded.attempted_at, job = excluded.job, tx = excluded.tx";
    JUDGED_BEFORE = Scan "SELECT digest, id, status, reason, attempted_at, job, judged_at, advisories, critical, high, medium, low, negligible, unknown, details FROM scan WHERE judged_at IS NOT NULL AND advisories < $1 AND digest > $2 ORDER BY digest LIMIT $3";
    ANYWHERE = Read "SELECT m.repository_id, r.project_id, r.full_name, m.pushed_at, m.media_type, m.bytes FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.digest = $1 ORDER BY m.repository_id LIMIT 1";
    PLACES = Read "SELECT m.repository_id, r.project_id, r.full_name, m.pushed_at FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.digest = $1 AND m.repository_id > $2 ORDER BY m.repository_id LIMIT $3";
    IMAGES_AFTER = Scan "SELECT DISTINCT digest FROM manifest WHERE digest > $1 AND height = 0 ORDER BY digest LIMIT $2";
    HELD = Read "SELECT media_type, bytes FROM manifest WHERE repository_id = $1 AND digest = $2";
    REFERRERS = Read "SELECT digest, artifact_type, media_type, CASE WHEN size_bytes <= $4 THEN bytes END, pushed_at FROM manifest WHERE repository_id = $1 AND subject = $2 ORDER BY digest LIMIT $3";
    PARENTS = Read "SELECT m.digest, m.artifact_type, m.media_type, m.bytes, m.pushed_at FROM manifest_child c JOIN manifest m ON m.repository_id = c.repository_id AND m.digest = c.parent WHERE c.repository_id = $1 AND c.child = $2 ORDER BY m.digest LIMIT $3";
    TAGGED = Read "SELECT m.digest, m.artifact_type, m.media_type, m.bytes, m.pushed_at FROM tag t JOIN manifest m ON m.repository_id = t.repository_id AND m.digest = t.digest WHERE t.repository_id = $1 AND t.name IN (SELECT value FROM bonded_texts($2)) ORDER BY m.digest";
    ACTIVE_JOB = Read "SELECT id FROM job WHERE kind IN (SELECT value FROM bonded_texts($1)) AND dedupe = $2 AND project = $3 AND state IN ('queued', 'running') ORDER BY id LIMIT 4";
    ACTIVE_JOBS = Read "SELECT dedupe, state FROM job WHERE kind IN (SELECT value FROM bonded_texts($1)) AND dedupe IN (SELECT value FROM bonded_texts($2)) AND state IN ('queued', 'running')";
    WAITING = Scan "SELECT state, count(*) FROM job WHERE kind IN (SELECT value FROM bonded_texts($1)) AND priority = $2 AND state IN ('queued', 'running') GROUP BY state";
    CANCEL_WAITING = Write "UPDATE job SET state = 'cancelled', cancel_requested = 1, finished_at = $3 WHERE kind IN (SELECT value FROM bonded_texts($1)) AND priority = $2 AND state = 'queued'";
    FORGET_SCANS = Write "DELETE FROM scan WHERE digest IN (SELECT value FROM bonded_texts($1)) AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.digest = scan.digest)";
    FORGET_LAYERS = Write "DELETE FROM layer_catalogue WHERE digest IN (SELECT value FROM bonded_texts($1)) AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = layer_catalogue.digest) AND NOT EXISTS (SELECT 1 FROM adapter_layer a WHERE a.digest = layer_catalogue.digest)";
    LOOSE_SCANS = Scan "SELECT s.digest FROM scan s WHERE s.digest > $1 AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.digest = s.digest) ORDER BY s.digest LIMIT $2";
    LOOSE_LAYERS = Scan "SELECT l.digest FROM layer_catalogue l WHERE l.digest > $1 AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = l.digest) AND NOT EXISTS (SELECT 1 FROM adapter_layer a WHERE a.digest = l.digest) ORDER BY l.digest LIMIT $2";
}

/// Largest manifest that is looked into for an annotation, in bytes.
const NOTING_BYTES: u32 = 64 << 10;

/// How the newest attempt to scan an artifact ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanStatus {
    /// Everything was read and judged.
    Succeeded,
    /// It was judged, but parts could not be read or no feed speaks of them: not clean.
    Incomplete,
    /// It was not judged: nothing is known, or what the last verdict says.
    Failed,
    /// Nothing in it can be scanned.
    Unsupported,
}

impl ScanStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
        }
    }
}

impl std::str::FromStr for ScanStatus {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Succeeded, Self::Incomplete, Self::Failed, Self::Unsupported]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StoreError::inconsistent(format!("scan status {text}")))
    }
}

/// Findings that count, by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SeverityCounts {
    /// Critical.
    pub critical: u64,
    /// High.
    pub high: u64,
    /// Medium.
    pub medium: u64,
    /// Low.
    pub low: u64,
    /// Negligible.
    pub negligible: u64,
    /// Not rated.
    pub unknown: u64,
}

impl SeverityCounts {
    /// Together.
    pub fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.negligible + self.unknown
    }

    /// As they are stored, critical first.
    pub(super) fn ints(&self) -> [i64; 6] {
        [self.critical, self.high, self.medium, self.low, self.negligible, self.unknown]
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The rank of the worst: 6 for critical to 1 for not rated, 0 for none.
    pub(super) fn worst(&self) -> i64 {
        let ranked = [self.unknown, self.negligible, self.low, self.medium, self.high, self.critical];
        (1..).zip(ranked).filter(|(_, count)| *count > 0).map(|(rank, _)| rank).max().unwrap_or(0)
    }

    /// Adds those of another artifact.
    pub fn add(&mut self, other: &Self) {
        self.critical += other.critical;
        self.high += other.high;
        self.medium += other.medium;
        self.low += other.low;
        self.negligible += other.negligible;
        self.unknown += other.unknown;
    }
}

/// What a verdict says beside its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct VerdictDetails {
    /// Packages that were judged.
    pub packages: u64,
    /// Vulnerabilities that count and that a newer version repairs.
    pub fixable: SeverityCounts,
    /// Vulnerabilities that do not count, for a stated reason.
    pub suppressed: u64,
    /// Secrets.
    pub secrets: u64,
    /// Violated rules of configuration.
    pub misconfigurations: u64,
    /// Files and packages that could not be read or judged.
    pub problems: u64,
    /// The day on which the distribution's support ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<String>,
    /// `id version` of the distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// How long the judgement took.
    pub millis: u64,
}

impl VerdictDetails {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// The last verdict on an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// When.
    pub judged_at: Timestamp,
    /// Generation of the advisories; 0: there were none.
    pub advisories: i64,
    /// Vulnerabilities that count.
    pub counts: SeverityCounts,
    /// The rest.
    pub details: VerdictDetails,
}

/// What is known of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRow {
    /// The artifact.
    pub digest: Digest,
    /// Id of its report.
    pub id: i64,
    /// How the newest attempt ended.
    pub status: ScanStatus,
    /// Why it was not a success.
    pub reason: Option<String>,
    /// When it was made.
    pub attempted_at: Timestamp,
    /// The job that made it.
    pub job: Option<JobId>,
    /// The last verdict, also when the newest attempt failed.
    pub verdict: Option<Verdict>,
}

/// A manifest, wherever it is.
#[derive(Clone, Debug)]
pub struct AnyManifest {
    /// A repository that holds it.
    pub place: Place,
    /// Media type.
    pub media_type: String,
    /// Bytes.
    pub bytes: Bytes,
}

/// A repository that holds an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The repository.
    pub repository: RepositoryId,
    /// Its project.
    pub project: ProjectId,
    /// `project/name`.
    pub full_name: String,
    /// When it was pushed there.
    pub pushed_at: Timestamp,
}

/// A manifest that has to do with another one: about it, or an index of it.
#[derive(Clone, Debug)]
pub struct Related {
    /// Digest.
    pub digest: Digest,
    /// Artifact type.
    pub artifact_type: Option<String>,
    /// Media type.
    pub media_type: String,
    /// Bytes, unless there are more than were asked for.
    pub bytes: Option<Bytes>,
    /// When it came.
    pub pushed_at: Timestamp,
}

impl Related {
    /// The manifest, if it is one that is understood.
    pub fn manifest(&self) -> Option<Manifest> {
        let media_type: MediaType = self.media_type.parse().ok()?;
        Manifest::parse(&media_type, self.bytes.as_ref()?).ok()
    }
}

fn counts(row: &Row, first: usize) -> Result<SeverityCounts, StoreError> {
    Ok(SeverityCounts {
        critical: row.uint(first)?,
        high: row.uint(first + 1)?,
        medium: row.uint(first + 2)?,
        low: row.uint(first + 3)?,
        negligible: row.uint(first + 4)?,
        unknown: row.uint(first + 5)?,
    })
}

pub(super) fn place(row: &Row) -> Result<Place, StoreError> {
    Ok(Place {
        repository: row.id(0)?,
        project: row.id(1)?,
        full_name: row.text(2)?.to_owned(),
        pushed_at: Timestamp::from_micros(row.int(3)?),
    })
}

pub(super) fn parse(row: &Row) -> Result<ScanRow, StoreError> {
    let verdict = match row.opt_id(6)? {
        None => None,
        Some(judged_at) => Some(Verdict {
            judged_at,
            advisories: row.opt_int(7)?.unwrap_or(0),
            counts: counts(row, 8)?,
            details: serde_json::from_str(row.text(14)?)
                .map_err(|error| StoreError::inconsistent(format!("details of a scan: {error}")))?,
        }),
    };
    Ok(ScanRow {
        digest: row.digest(0)?,
        id: row.int(1)?,
        status: row.parse(2)?,
        reason: row.opt_text(3)?.map(str::to_owned),
        attempted_at: row.id(4)?,
        job: row.opt_id(5)?,
        verdict,
    })
}

fn related(row: &Row) -> Result<Related, StoreError> {
    Ok(Related {
        digest: row.digest(0)?,
        artifact_type: row.opt_text(1)?.map(str::to_owned),
        media_type: row.text(2)?.to_owned(),
        bytes: row.opt_bytes(3)?,
        pushed_at: row.id(4)?,
    })
}

fn texts<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Value {
    Value::texts(digests.into_iter().map(Digest::to_string))
}

impl Store {
    /// What layers state, as far as extractors of `version` have read them.
    pub async fn layer_catalogues(
        &self,
        digests: &[Digest],
        version: u32,
    ) -> Result<Vec<(Digest, Bytes)>, StoreError> {
        let rows = self.rows(&LAYERS, &[texts(digests), version.into()]).await?;
        rows.iter().map(|row| Ok((row.digest(0)?, row.bytes(1)?))).collect()
    }

    /// Those of the layers that extractors of `version` have read.
    pub async fn catalogued_layers(
        &self,
        digests: &[Digest],
        version: u32,
    ) -> Result<Vec<Digest>, StoreError> {
        let rows = self.rows(&KNOWN_LAYERS, &[texts(digests), version.into()]).await?;
        rows.iter().map(|row| row.digest(0)).collect()
    }

    /// What is known of artifacts, in no order; those that were never looked at are left out.
    pub async fn scans<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<Vec<ScanRow>, StoreError> {
        self.rows(&FIND, &[texts(digests)]).await?.iter().map(parse).collect()
    }

    /// What is known of an artifact.
    pub async fn scan(&self, digest: &Digest) -> Result<Option<ScanRow>, StoreError> {
        Ok(self.scans([digest]).await?.pop())
    }

    /// The children of indexes that the repository holds, each with its index and what is known of it.
    pub async fn scans_of_children(
        &self,
        repository: RepositoryId,
        indexes: &[Digest],
    ) -> Result<Vec<(Digest, Digest, Option<ScanRow>)>, StoreError> {
        let rows = self.rows(&OF_CHILDREN, &[repository.into(), texts(indexes)]).await?;
        let child = |row: &Row| {
            let known = row.opt_text(0)?.map(|_| parse(row)).transpose()?;
            Ok((row.digest(15)?, row.digest(16)?, known))
        };
        rows.iter().map(child).collect()
    }

    /// Artifacts judged by advisories older than `generation`, in order of digest after `last`.
    pub async fn judged_before(
        &self,
        generation: i64,
        last: &str,
        limit: u32,
    ) -> Result<Vec<ScanRow>, StoreError> {
        self.rows(&JUDGED_BEFORE, &params![generation, last, limit]).await?.iter().map(parse).collect()
    }

    /// A manifest, wherever it is.
    pub async fn manifest_anywhere(&self, digest: &Digest) -> Result<Option<AnyManifest>, StoreError> {
        let row = self.row(&ANYWHERE, &params![digest]).await?;
        row.map(|row| {
            let (media_type, bytes) = (row.text(4)?.to_owned(), row.bytes(5)?);
            Ok(AnyManifest { place: place(&row)?, media_type, bytes })
        })
        .transpose()
    }

    /// Media type and bytes of a manifest that a repository holds.
    pub async fn manifest_held(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<(String, Bytes)>, StoreError> {
        let row = self.row(&HELD, &params![repository, digest]).await?;
        row.map(|row| Ok((row.text(0)?.to_owned(), row.bytes(1)?))).transpose()
    }

    /// Repositories that hold a manifest, in order of their ids after `last`.
    pub async fn places_of(
        &self,
        digest: &Digest,
        last: RepositoryId,
        limit: u32,
    ) -> Result<Vec<Place>, StoreError> {
        let rows = self.rows(&PLACES, &params![digest, last, limit]).await?;
        rows.iter().map(place).collect()
    }

    /// Manifests that are no index, each once, in order of digest after `last`.
    pub async fn images_after(&self, last: &str, limit: u32) -> Result<Vec<Digest>, StoreError> {
        let rows = self.rows(&IMAGES_AFTER, &params![last, limit]).await?;
        rows.iter().map(|row| row.digest(0)).collect()
    }

    /// Manifests about another one: so many, with their bytes if they have no more than so many.
    pub async fn referrers_with_bytes(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        (limit, most_bytes): (u32, u32),
    ) -> Result<Vec<Related>, StoreError> {
        self.rows(&REFERRERS, &params![repository, subject, limit, most_bytes])
            .await?
            .iter()
            .map(related)
            .collect()
    }

    /// Small manifests about another one that have an annotation of this value; looked for among `limit` of them.
    pub async fn referrers_noting(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        (key, value): (&str, &str),
        limit: u32,
    ) -> Result<Vec<Digest>, StoreError> {
        let about = self.referrers_with_bytes(repository, subject, (limit, NOTING_BYTES)).await?;
        let noting = about.into_iter().filter(|referrer| {
            referrer.manifest().is_some_and(|it| it.annotations.get(key).is_some_and(|own| own == value))
        });
        Ok(noting.map(|referrer| referrer.digest).collect())
    }

    /// Indexes that list a manifest, with their bytes.
    pub async fn indexes_of(
        &self,
        repository: RepositoryId,
        child: &Digest,
        limit: u32,
    ) -> Result<Vec<Related>, StoreError> {
        self.rows(&PARENTS, &params![repository, child, limit]).await?.iter().map(related).collect()
    }

    /// The manifests that tags name, with their bytes.
    pub async fn tagged_with_bytes(
        &self,
        repository: RepositoryId,
        tags: &[String],
    ) -> Result<Vec<Related>, StoreError> {
        self.rows(&TAGGED, &[repository.into(), Value::texts(tags)]).await?.iter().map(related).collect()
    }

    /// Jobs of these kinds with this key that wait or run for a project.
    pub async fn active_jobs_of(
        &self,
        kinds: &[&str],
        key: &str,
        project: ProjectId,
    ) -> Result<Vec<JobId>, StoreError> {
        let rows = self.rows(&ACTIVE_JOB, &params![Value::texts(kinds), key, project]).await?;
        rows.iter().map(|row| row.id(0)).collect()
    }

    /// Those of the keys for which jobs of these kinds wait or run.
    pub async fn active_keys(
        &self,
        kinds: &[&str],
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<(String, JobState)>, StoreError> {
        let rows = self.rows(&ACTIVE_JOBS, &[Value::texts(kinds), Value::texts(keys)]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.parse(1)?))).collect()
    }

    /// How many jobs of these kinds and this priority wait and run.
    pub async fn waiting_jobs(&self, kinds: &[&str], priority: i64) -> Result<(u64, u64), StoreError> {
        let (mut queued, mut running) = (0, 0);
        for row in self.rows(&WAITING, &params![Value::texts(kinds), priority]).await? {
            match row.parse(0)? {
                JobState::Queued => queued = row.uint(1)?,
                _ => running = row.uint(1)?,
            }
        }
        Ok((queued, running))
    }

    /// Digests of scans whose artifact is gone, in order after `last`.
    pub async fn loose_scans(&self, last: &str, limit: u32) -> Result<Vec<Digest>, StoreError> {
        self.rows(&LOOSE_SCANS, &params![last, limit]).await?.iter().map(|row| row.digest(0)).collect()
    }

    /// Digests of catalogued layers whose blob is gone and that no other registry gave us, in order after `last`.
    pub async fn loose_layers(&self, last: &str, limit: u32) -> Result<Vec<Digest>, StoreError> {
        self.rows(&LOOSE_LAYERS, &params![last, limit]).await?.iter().map(|row| row.digest(0)).collect()
    }
}

/// Keeps what a layer states.
pub fn put_layer(tx: &mut Tx, digest: &Digest, version: u32, content: Bytes, at: Timestamp) {
    let by = tx.id();
    tx.step(&PUT_LAYER, params![digest, version, content, at, by], Expect::Rows(1));
}

/// How an attempt ended, and what made it.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The artifact.
    pub digest: &'a Digest,
    /// Id of its report, used when it has none yet.
    pub id: i64,
    /// How it ended.
    pub status: ScanStatus,
    /// Why it was not a success.
    pub reason: Option<&'a str>,
    /// The job.
    pub job: JobId,
}

/// Keeps a verdict in place of the last one.
pub fn put_verdict(tx: &mut Tx, attempt: &Attempt<'_>, verdict: &Verdict) {
    let by = tx.id();
    let counts = &verdict.counts;
    let [critical, high, medium, low, negligible, unknown] = counts.ints();
    tx.step(
        &PUT_VERDICT,
        params![
            attempt.digest,
            attempt.id,
            attempt.status.as_str(),
            attempt.reason,
            verdict.judged_at,
            attempt.job,
            verdict.advisories,
            counts.worst(),
            critical,
            high,
            medium,
            low,
            negligible,
            unknown,
            verdict.details.to_text(),
            by
        ],
        Expect::Rows(1),
    );
}

/// Keeps an attempt without a verdict; the last verdict stands.
pub fn put_attempt(tx: &mut Tx, attempt: &Attempt<'_>, at: Timestamp) {
    let by = tx.id();
    let Attempt { digest, id, status, reason, job } = attempt;
    tx.step(&PUT_ATTEMPT, params![*digest, *id, status.as_str(), *reason, at, *job, by], Expect::Rows(1));
}

/// Cancels the jobs of these kinds and this priority that wait.
pub fn cancel_waiting(tx: &mut Tx, kinds: &[&str], priority: i64, now: Timestamp) {
    tx.step(&CANCEL_WAITING, params![Value::texts(kinds), priority, now], Expect::Any);
}

/// Forgets scans whose artifact is gone.
pub fn forget_scans(tx: &mut Tx, digests: &[Digest]) {
    tx.step(&FORGET_SCANS, [texts(digests)], Expect::Any);
}

/// Forgets layers whose blob is gone and that no other registry gave us.
pub fn forget_layers(tx: &mut Tx, digests: &[Digest]) {
    tx.step(&FORGET_LAYERS, [texts(digests)], Expect::Any);
}
