//! Jobs: work that the database remembers, claimed under a lease and fenced by a term.
//!
//! States: `queued` → `running` → `succeeded | failed | cancelled`, back to `queued` for another attempt, or
//! `superseded` when its successor is queued already. Semantics, the same on both engines:
//! - a job is enqueued by a step of the transaction that makes it necessary;
//! - of one `(kind, dedupe)` at most one is queued and at most one runs: enqueueing again joins the queued one, and what
//!   is enqueued while one runs runs after it;
//! - at least once: a lease that is not renewed is taken over, with a higher term. What the former holder still writes
//!   conflicts, if it writes with [`fence`];
//! - an attempt counts when it is claimed, so a job that kills its process ends as `failed` too.

use crate::clock::Timestamp;
use crate::error::{CommitError, StoreError};
use crate::ids::JobId;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use std::time::Duration;

/// The tag of a step that finds the lease lost.
pub const LEASE_LOST: &str = "job_lease_lost";
/// The tag of a cancellation that finds the job finished or unknown.
pub const NOT_ACTIVE: &str = "job_not_active";
/// Bytes of a log message or an error that are kept.
pub const MESSAGE_BYTES: usize = 4096;

crate::statements! {
    ENQUEUE = Write "INSERT INTO job \
        (id, tx, kind, dedupe, project, state, priority, run_at, max_attempts, payload, created_at) \
        VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10) \
        ON CONFLICT (kind, dedupe) WHERE state = 'queued' AND dedupe IS NOT NULL DO UPDATE \
        SET priority = GREATEST(job.priority, excluded.priority), run_at = LEAST(job.run_at, excluded.run_at), \
        payload = excluded.payload";
    ENQUEUE_WEAK = Write "INSERT INTO job \
        (id, tx, kind, dedupe, project, state, priority, run_at, max_attempts, payload, created_at) \
        VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10) \
        ON CONFLICT (kind, dedupe) WHERE state = 'queued' AND dedupe IS NOT NULL DO UPDATE \
        SET priority = GREATEST(job.priority, excluded.priority), run_at = LEAST(job.run_at, excluded.run_at)";
    // What is due or expired; keeps an idle process from writing.
    DUE = Read "SELECT 1 FROM job WHERE state = 'queued' AND run_at <= $1 \
        AND kind IN (SELECT value FROM bonded_texts($2)) \
        UNION ALL SELECT 1 FROM job WHERE state = 'running' AND lease_until < $1 LIMIT 1";
    // An expired lease: the state after it follows from what else is known.
    EXPIRE = Write "UPDATE job SET state = CASE WHEN cancel_requested = 1 THEN 'cancelled' \
        WHEN attempts >= max_attempts THEN 'failed' \
        WHEN EXISTS (SELECT 1 FROM job twin WHERE twin.kind = job.kind AND twin.dedupe = job.dedupe \
            AND twin.state = 'queued') THEN 'superseded' ELSE 'queued' END, \
        error = 'the lease expired: its process died or hung' \
        WHERE id = ANY(ARRAY(SELECT late.id FROM job late WHERE late.state = 'running' AND late.lease_until < $1 \
            ORDER BY late.lease_until LIMIT 100 FOR UPDATE SKIP LOCKED))";
    EXPIRED_END = Write "UPDATE job SET finished_at = $1 \
        WHERE finished_at IS NULL AND lease_until < $1 AND state IN ('failed', 'cancelled', 'superseded')";
    CLAIM = Write "UPDATE job SET state = 'running', lease_owner = $1, lease_until = $2, lease_tx = $3, term = term + 1, \
        attempts = attempts + 1, started_at = $4 \
        WHERE id = ANY(ARRAY(SELECT next.id FROM job next WHERE next.state = 'queued' AND next.run_at <= $4 \
            AND next.kind IN (SELECT value FROM bonded_texts($5)) \
            AND NOT EXISTS (SELECT 1 FROM job twin WHERE twin.kind = next.kind AND twin.dedupe = next.dedupe \
                AND twin.state = 'running') \
            ORDER BY next.priority DESC, next.run_at, next.id LIMIT $6 FOR UPDATE SKIP LOCKED))";
    CLAIMED = Read "SELECT id, kind, project, payload, checkpoint, attempts, max_attempts, term FROM job \
        WHERE lease_tx = $1 AND state = 'running' ORDER BY priority DESC, run_at, id";
    FENCE = Check "SELECT 1 FROM job WHERE id = $1 AND term = $2 AND state = 'running' FOR SHARE";
    RENEW = Write "UPDATE job SET lease_until = $3 WHERE id = $1 AND term = $2 AND state = 'running'";
    CANCEL_REQUESTED = Read "SELECT cancel_requested FROM job WHERE id = $1 AND term = $2 AND state = 'running'";
    PROGRESS = Write "UPDATE job SET progress_done = $3, progress_total = $4 \
        WHERE id = $1 AND term = $2 AND state = 'running'";
    CHECKPOINT = Write "UPDATE job SET checkpoint = $3 WHERE id = $1 AND term = $2 AND state = 'running'";
    LOG = Write "INSERT INTO job_log (id, job, at, level, message) VALUES ($1, $2, $3, $4, $5)";
    END = Write "UPDATE job SET state = $3, error = $4, finished_at = $5, lease_until = NULL \
        WHERE id = $1 AND term = $2 AND state = 'running'";
    RETRY = Write "UPDATE job SET state = CASE WHEN cancel_requested = 1 THEN 'cancelled' \
        WHEN attempts >= max_attempts THEN 'failed' \
        WHEN EXISTS (SELECT 1 FROM job twin WHERE twin.kind = job.kind AND twin.dedupe = job.dedupe \
            AND twin.state = 'queued') THEN 'superseded' ELSE 'queued' END, \
        run_at = $3, error = $4, lease_until = NULL WHERE id = $1 AND term = $2 AND state = 'running'";
    RETRY_END = Write "UPDATE job SET finished_at = $3 WHERE id = $1 AND term = $2 \
        AND state IN ('failed', 'cancelled', 'superseded')";
    RELEASE = Write "UPDATE job SET state = CASE WHEN cancel_requested = 1 THEN 'cancelled' \
        WHEN EXISTS (SELECT 1 FROM job twin WHERE twin.kind = job.kind AND twin.dedupe = job.dedupe \
            AND twin.state = 'queued') THEN 'superseded' ELSE 'queued' END, \
        attempts = attempts - 1, lease_until = NULL WHERE id = $1 AND term = $2 AND state = 'running'";
    CANCEL = Write "UPDATE job SET cancel_requested = 1, \
        finished_at = CASE WHEN state = 'queued' THEN $2 ELSE finished_at END, \
        state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END \
        WHERE id = $1 AND state IN ('queued', 'running')";
    PRUNE = Write "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)";
    ENDED = Read "SELECT 1 FROM job WHERE finished_at < $1 LIMIT 1";
    READ = Read "SELECT id, kind, dedupe, project, state, priority, run_at, attempts, max_attempts, payload, \
        progress_done, progress_total, lease_owner, cancel_requested, error, created_at, started_at, finished_at \
        FROM job WHERE id = $1";
    LIST = Scan "SELECT id, kind, dedupe, project, state, priority, run_at, attempts, max_attempts, payload, \
        progress_done, progress_total, lease_owner, cancel_requested, error, created_at, started_at, finished_at \
        FROM job WHERE kind = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    LOG_LINES = Read "SELECT id, at, level, message FROM job_log WHERE job = $1 AND id > $2 ORDER BY id LIMIT $3";
    ACTIVE = Scan "SELECT kind, state, count(*), min(run_at) FROM job WHERE state IN ('queued', 'running') \
        GROUP BY kind, state ORDER BY kind, state";
    NEXT_DUE = Read "SELECT min(run_at) FROM job WHERE state = 'queued'";
}

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its kind: the name of the job type.
    pub kind: String,
    /// Jobs of a kind with the same key are one while queued, and never run at the same time.
    pub dedupe: Option<String>,
    /// The project it works for, for lists and rights.
    pub project: Option<i64>,
    /// Higher runs first.
    pub priority: i64,
    /// Not before.
    pub run_at: Timestamp,
    /// Attempts in all, at least 1.
    pub max_attempts: u32,
    /// JSON.
    pub payload: String,
    /// It asks for less than others of its key may: one that is queued keeps what it was told.
    pub weak: bool,
}

impl NewJob {
    /// A job of a kind with a JSON payload, due at once, of ordinary priority, with five attempts.
    pub fn new(kind: impl Into<String>, payload: impl Into<String>, now: Timestamp) -> Self {
        Self {
            kind: kind.into(),
            dedupe: None,
            project: None,
            priority: 0,
            run_at: now,
            max_attempts: 5,
            payload: payload.into(),
            weak: false,
        }
    }

    /// Asking for less than others of its key may: one that is queued keeps what it was told, and does it all.
    #[must_use]
    pub fn weak(mut self) -> Self {
        self.weak = true;
        self
    }

    /// With a dedupe key.
    #[must_use]
    pub fn dedupe(mut self, key: impl Into<String>) -> Self {
        self.dedupe = Some(key.into());
        self
    }

    /// For a project.
    #[must_use]
    pub fn project(mut self, project: impl Into<i64>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// With another priority; higher runs first.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// Not before a time.
    #[must_use]
    pub fn not_before(mut self, run_at: Timestamp) -> Self {
        self.run_at = run_at;
        self
    }

    /// With so many attempts in all.
    #[must_use]
    pub fn attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }
}

/// The right to work on a job: it is good as long as the term is the job's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLease {
    /// The job.
    pub id: JobId,
    /// The fencing term.
    pub term: i64,
}

/// A job that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to it.
    pub lease: JobLease,
    /// Its kind.
    pub kind: String,
    /// The project it works for.
    pub project: Option<i64>,
    /// JSON.
    pub payload: String,
    /// What an earlier attempt left to go on from: JSON.
    pub checkpoint: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// Attempts in all.
    pub max_attempts: i64,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time and a worker.
    Queued,
    /// Runs under a lease.
    Running,
    /// Done.
    Succeeded,
    /// All attempts failed.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Would have run again, but its successor was queued already.
    Superseded,
}

impl JobState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl std::str::FromStr for JobState {
    type Err = StoreError;
    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Superseded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::inconsistent(format!("job state {text}")))
    }
}

/// A job as lists show it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Its dedupe key.
    pub dedupe: Option<String>,
    /// The project it works for.
    pub project: Option<i64>,
    /// Where it is.
    pub state: JobState,
    /// Higher runs first.
    pub priority: i64,
    /// Not before.
    pub run_at: Timestamp,
    /// Attempts begun.
    pub attempts: i64,
    /// Attempts in all.
    pub max_attempts: i64,
    /// JSON.
    pub payload: String,
    /// Progress in the job's own unit.
    pub progress_done: i64,
    /// The end of that, if it is known.
    pub progress_total: Option<i64>,
    /// The process that holds or held it.
    pub lease_owner: Option<String>,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// One line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its place, the cursor of the next page.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The message, at most [`MESSAGE_BYTES`].
    pub message: String,
}

/// Appends the enqueueing of a job.
pub fn enqueue(tx: &mut Tx, id: JobId, now: Timestamp, job: NewJob) {
    let owner = tx.id();
    let values = params![
        id,
        owner,
        job.kind,
        job.dedupe,
        job.project,
        job.priority,
        job.run_at,
        job.max_attempts.max(1),
        job.payload,
        now
    ];
    tx.step(if job.weak { &ENQUEUE_WEAK } else { &ENQUEUE }, values, Expect::Rows(1));
}

/// Claims up to `limit` due jobs of the kinds for `lease`, the most urgent first. Expired leases are taken over first.
/// Writes nothing when nothing is due.
pub async fn claim(
    store: &Store,
    owner: &str,
    kinds: &[&str],
    lease: Duration,
    limit: u32,
) -> Result<Vec<Claimed>, CommitError> {
    let now = store.now();
    let wanted = Value::texts(kinds);
    if limit == 0 || store.row(&DUE, &params![now, wanted.clone()]).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let id = tx.id();
    tx.step(&EXPIRE, params![now], Expect::Any).step(&EXPIRED_END, params![now], Expect::Any);
    tx.step(&CLAIM, params![owner, now.plus(lease), id, now, wanted, limit], Expect::Any);
    // Durable: after a crash that forgot it, the same term would be given to somebody else.
    match store.commit(tx).await {
        // Another process was faster with the same key; it has the job.
        Err(CommitError::Conflict { .. }) => return Ok(Vec::new()),
        result => result?,
    }
    let rows = store.rows(&CLAIMED, &params![id]).await?;
    Ok(rows.iter().map(claimed).collect::<Result<_, _>>()?)
}

fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        lease: JobLease { id: row.id(0)?, term: row.int(7)? },
        kind: row.text(1)?.to_owned(),
        project: row.opt_int(2)?,
        payload: row.text(3)?.to_owned(),
        checkpoint: row.opt_text(4)?.map(str::to_owned),
        attempt: row.int(5)?,
        max_attempts: row.int(6)?,
    })
}

/// Appends the proof that the lease is still held: what a job writes commits only with it.
pub fn fence(tx: &mut Tx, lease: JobLease) {
    tx.step_or(&FENCE, params![lease.id, lease.term], Expect::Rows(1), LEASE_LOST);
}

/// Appends the renewal of a lease. Unmet at [`LEASE_LOST`]: another has the job, stop at once.
pub fn renew(tx: &mut Tx, lease: JobLease, until: Timestamp) {
    tx.step_or(&RENEW, params![lease.id, lease.term, until], Expect::Rows(1), LEASE_LOST);
}

/// Whether the job was asked to stop; none when the lease is lost.
pub async fn cancel_requested(store: &Store, lease: JobLease) -> Result<Option<bool>, StoreError> {
    let row = store.row(&CANCEL_REQUESTED, &params![lease.id, lease.term]).await?;
    row.map(|row| row.bool(0)).transpose()
}

/// Appends how far the job is, in its own unit.
pub fn progress(tx: &mut Tx, lease: JobLease, done: i64, total: Option<i64>) {
    tx.step_or(&PROGRESS, params![lease.id, lease.term, done, total], Expect::Rows(1), LEASE_LOST);
}

/// Appends what the next attempt goes on from.
pub fn checkpoint(tx: &mut Tx, lease: JobLease, state: &str) {
    tx.step_or(&CHECKPOINT, params![lease.id, lease.term, state], Expect::Rows(1), LEASE_LOST);
}

/// Appends a line to the job's log; `id` orders it.
pub fn log(tx: &mut Tx, lease: JobLease, id: i64, at: Timestamp, level: &str, message: &str) {
    tx.step(&LOG, params![id, lease.id, at, level, cut(message)], Expect::Rows(1));
}

/// Appends the end of a job that is done.
pub fn succeed(tx: &mut Tx, lease: JobLease, now: Timestamp) {
    end(tx, lease, now, JobState::Succeeded, None);
}

/// Appends the end of a job that was asked to stop and did.
pub fn cancelled(tx: &mut Tx, lease: JobLease, now: Timestamp) {
    end(tx, lease, now, JobState::Cancelled, None);
}

/// Appends the end of a job that no further attempt can help.
pub fn fail(tx: &mut Tx, lease: JobLease, now: Timestamp, error: &str) {
    end(tx, lease, now, JobState::Failed, Some(cut(error)));
}

fn end(tx: &mut Tx, lease: JobLease, now: Timestamp, state: JobState, error: Option<&str>) {
    let values = params![lease.id, lease.term, state.as_str(), error, now];
    tx.step_or(&END, values, Expect::Rows(1), LEASE_LOST);
}

/// Appends the end of an attempt that failed: queued again for `retry_at`, or failed if it was the last.
pub fn retry(tx: &mut Tx, lease: JobLease, now: Timestamp, retry_at: Timestamp, error: &str) {
    let values = params![lease.id, lease.term, retry_at, cut(error)];
    tx.step_or(&RETRY, values, Expect::Rows(1), LEASE_LOST);
    tx.step(&RETRY_END, params![lease.id, lease.term, now], Expect::Any);
}

/// Appends giving a job back unfinished, at a graceful stop: the attempt does not count.
pub fn release(tx: &mut Tx, lease: JobLease, now: Timestamp) {
    tx.step_or(&RELEASE, params![lease.id, lease.term], Expect::Rows(1), LEASE_LOST);
    tx.step(&RETRY_END, params![lease.id, lease.term, now], Expect::Any);
}

/// Appends a request to stop: a queued job ends at once, a running one when its worker sees it.
pub fn cancel(tx: &mut Tx, id: JobId, now: Timestamp) {
    tx.step_or(&CANCEL, params![id, now], Expect::Rows(1), NOT_ACTIVE);
}

/// Appends the removal of at most `limit` jobs (with their logs) that ended before `before`.
pub fn prune(tx: &mut Tx, before: Timestamp, limit: u32) {
    tx.step(&PRUNE, params![before, limit], Expect::Any);
}

/// Whether [`prune`] would find something.
pub async fn has_ended(store: &Store, before: Timestamp) -> Result<bool, StoreError> {
    Ok(store.row(&ENDED, &params![before]).await?.is_some())
}

/// One job.
pub async fn read(store: &Store, id: JobId) -> Result<Option<Job>, StoreError> {
    store.row(&READ, &params![id]).await?.as_ref().map(job).transpose()
}

/// Jobs of a kind, newest id first, those with ids below `before` (none: from the newest).
pub async fn list(
    store: &Store,
    kind: &str,
    before: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let before = before.map_or(i64::MAX, JobId::get);
    store.rows(&LIST, &params![kind, before, limit]).await?.iter().map(job).collect()
}

/// The log of a job after a line.
pub async fn log_lines(store: &Store, id: JobId, after: i64, limit: u32) -> Result<Vec<LogLine>, StoreError> {
    let rows = store.rows(&LOG_LINES, &params![id, after, limit]).await?;
    let line = |row: &Row| {
        Ok(LogLine {
            id: row.int(0)?,
            at: row.id(1)?,
            level: row.text(2)?.to_owned(),
            message: row.text(3)?.to_owned(),
        })
    };
    rows.iter().map(line).collect()
}

/// Jobs that are not finished: kind, state, how many, the earliest time to run.
pub async fn active(store: &Store) -> Result<Vec<(String, JobState, u64, Timestamp)>, StoreError> {
    let rows = store.rows(&ACTIVE, &[]).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.parse(1)?, row.uint(2)?, row.id(3)?))).collect()
}

/// When the next queued job is due.
pub async fn next_due(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    Ok(store.row(&NEXT_DUE, &[]).await?.map(|row| row.opt_id(0)).transpose()?.flatten())
}

fn job(row: &Row) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.id(0)?,
        kind: row.text(1)?.to_owned(),
        dedupe: row.opt_text(2)?.map(str::to_owned),
        project: row.opt_int(3)?,
        state: row.parse(4)?,
        priority: row.int(5)?,
        run_at: row.id(6)?,
        attempts: row.int(7)?,
        max_attempts: row.int(8)?,
        payload: row.text(9)?.to_owned(),
        progress_done: row.int(10)?,
        progress_total: row.opt_int(11)?,
        lease_owner: row.opt_text(12)?.map(str::to_owned),
        cancel_requested: row.bool(13)?,
        error: row.opt_text(14)?.map(str::to_owned),
        created_at: row.id(15)?,
        started_at: row.opt_id(16)?,
        finished_at: row.opt_id(17)?,
    })
}

/// At most [`MESSAGE_BYTES`] of a text, cut at a character.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
