//! What a job has while it runs: its lease, its checkpoint, its log, and the signal to stop.
//!
//! Invariant: what a job writes through [`JobContext::commit`] is kept only while it holds its lease.

use crate::job::JobError;
use metadata::jobs::{self, Claimed, JobLease, LEASE_LOST};
use metadata::{Store, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Lines of log that wait to be written; more are dropped and counted.
const LINES: usize = 500;

/// Why a job is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// A person asked for it.
    Cancelled,
    /// The process ends.
    Shutdown,
    /// Another process has the job.
    LeaseLost,
}

#[derive(Debug, Default)]
struct Notes {
    progress: Option<(i64, Option<i64>)>,
    lines: Vec<(metadata::Timestamp, &'static str, String)>,
    dropped: usize,
}

/// The context of one attempt.
#[derive(Debug)]
pub struct JobContext {
    store: Store,
    claimed: Claimed,
    stop: CancellationToken,
    reason: Mutex<Option<StopReason>>,
    notes: Mutex<Notes>,
    completed: Mutex<bool>,
}

impl JobContext {
    pub(crate) fn new(store: Store, claimed: Claimed) -> Self {
        Self {
            store,
            claimed,
            stop: CancellationToken::new(),
            reason: Mutex::new(None),
            notes: Mutex::new(Notes::default()),
            completed: Mutex::new(false),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The lease.
    pub fn lease(&self) -> JobLease {
        self.claimed.lease
    }

    /// The project it works for.
    pub fn project(&self) -> Option<i64> {
        self.claimed.project
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> i64 {
        self.claimed.attempt
    }

    /// Whether no attempt follows this one.
    pub fn is_last_attempt(&self) -> bool {
        self.claimed.attempt >= self.claimed.max_attempts
    }

    /// Why nothing follows this attempt, and how its job ends; the error is how the attempt ended where that is not so.
    /// That something cannot be done is an answer, and no failure of the job that found it.
    pub(crate) fn conclude(
        &self,
        outcome: Result<(), JobError>,
    ) -> Result<(String, Result<(), JobError>), Result<(), JobError>> {
        match outcome {
            Err(JobError::Failed { reason }) => Ok((reason, Ok(()))),
            Err(JobError::Stopped) | Ok(()) => Err(outcome),
            Err(error) if self.is_last_attempt() => Ok((error.to_string(), Err(error))),
            Err(_) => Err(outcome),
        }
    }

    /// What a former attempt left to go on from. One that does not parse is as good as none.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Option<T> {
        self.claimed.checkpoint.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// `Err(Stopped)` once the job shall stop; return it with `?`.
    pub fn check(&self) -> Result<(), JobError> {
        if self.stop.is_cancelled() { Err(JobError::Stopped) } else { Ok(()) }
    }

    /// Whether it shall stop because a person asked for it.
    pub fn was_cancelled(&self) -> bool {
        self.stop_reason() == Some(StopReason::Cancelled)
    }

    /// Waits until the job shall stop: for `select!` beside long waits.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// How far the job is, in its own unit. Written within seconds.
    pub fn progress(&self, done: i64, total: Option<i64>) {
        lock(&self.notes).progress = Some((done, total));
    }

    /// A line for the job's log.
    pub fn info(&self, message: impl Into<String>) {
        self.line("info", message.into());
    }

    /// A warning for the job's log.
    pub fn warn(&self, message: impl Into<String>) {
        self.line("warn", message.into());
    }

    pub(crate) fn error(&self, message: impl Into<String>) {
        self.line("error", message.into());
    }

    fn line(&self, level: &'static str, message: String) {
        let at = self.store.now();
        let mut notes = lock(&self.notes);
        if notes.lines.len() < LINES {
            notes.lines.push((at, level, message));
        } else {
            notes.dropped += 1;
        }
    }

    /// Commits a transaction if the lease is still held; progress and log go with it.
    pub async fn commit(&self, mut tx: Tx) -> Result<(), JobError> {
        jobs::fence(&mut tx, self.lease());
        self.fenced(self.commit_noted(tx, |_| {}).await)
    }

    /// Commits a transaction and what the next attempt goes on from, together.
    pub async fn commit_with_checkpoint(
        &self,
        mut tx: Tx,
        checkpoint: &impl Serialize,
    ) -> Result<(), JobError> {
        let state = serde_json::to_string(checkpoint).map_err(JobError::failed)?;
        jobs::checkpoint(&mut tx, self.lease(), &state);
        self.fenced(self.commit_noted(tx, |_| {}).await)
    }

    /// Keeps what the next attempt goes on from.
    pub async fn save(&self, checkpoint: &impl Serialize) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        tx.relaxed();
        self.commit_with_checkpoint(tx, checkpoint).await
    }

    /// Commits a transaction and the end of the job, together. Return `Ok` after it.
    pub async fn complete(&self, tx: Tx) -> Result<(), JobError> {
        let end = |tx: &mut Tx| jobs::succeed(tx, self.lease(), self.store.now());
        self.fenced(self.commit_noted(tx, end).await)?;
        *lock(&self.completed) = true;
        Ok(())
    }

    /// A lost lease stops the job; other conflicts are the job's to plan again.
    fn fenced(&self, result: Result<(), JobError>) -> Result<(), JobError> {
        match result {
            Err(JobError::Commit(error)) if error.conflicts_at(LEASE_LOST) => {
                self.tell_to_stop(StopReason::LeaseLost);
                Err(JobError::Stopped)
            }
            result => result,
        }
    }

    /// Commits a transaction with the progress and the log lines that wait, and `last` after them. What was not kept
    /// waits again; where the outcome is not known a line may be there twice.
    pub(crate) async fn commit_noted(&self, mut tx: Tx, last: impl FnOnce(&mut Tx)) -> Result<(), JobError> {
        let taken = std::mem::take(&mut *lock(&self.notes));
        let written = async {
            self.append(&mut tx, &taken).await?;
            last(&mut tx);
            Ok(self.store.commit(tx).await?)
        };
        let result = written.await;
        if result.is_err() {
            self.put_back(taken);
        }
        result
    }

    async fn append(&self, tx: &mut Tx, notes: &Notes) -> Result<(), JobError> {
        if let Some((done, total)) = notes.progress {
            jobs::progress(tx, self.lease(), done, total);
        }
        let count = notes.lines.len() + usize::from(notes.dropped > 0);
        let mut ids = self.store.ids().many(u32::try_from(count).unwrap_or(u32::MAX)).await?;
        for ((at, level, message), id) in notes.lines.iter().zip(&mut ids) {
            jobs::log(tx, self.lease(), id, *at, level, message);
        }
        if let Some(id) = ids.next() {
            let message = format!("{} more lines were not kept", notes.dropped);
            jobs::log(tx, self.lease(), id, self.store.now(), "warn", &message);
        }
        Ok(())
    }

    /// Has notes wait again, before those that came since.
    fn put_back(&self, former: Notes) {
        let mut notes = lock(&self.notes);
        let since = std::mem::replace(&mut *notes, former);
        notes.progress = since.progress.or(notes.progress);
        let room = LINES.saturating_sub(notes.lines.len());
        notes.dropped += since.dropped + since.lines.len().saturating_sub(room);
        notes.lines.extend(since.lines.into_iter().take(room));
    }

    pub(crate) fn has_notes(&self) -> bool {
        let notes = lock(&self.notes);
        notes.progress.is_some() || !notes.lines.is_empty()
    }

    pub(crate) fn tell_to_stop(&self, reason: StopReason) {
        let mut known = lock(&self.reason);
        // A lost lease outweighs the rest: nothing may be written any more.
        if known.is_none() || reason == StopReason::LeaseLost {
            *known = Some(reason);
        }
        drop(known);
        self.stop.cancel();
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        *lock(&self.reason)
    }

    pub(crate) fn is_completed(&self) -> bool {
        *lock(&self.completed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
