//! Records of what only reads: pulls, logins, denials. They gather in memory and are written together within a second,
//! so that reading waits for nothing; `audit.strict` writes each before its answer.
//!
//! The queue is bounded. What does not fit, what the database does not take, and what a killed process had in memory
//! is itself recorded: as a gap, with the number of records or the time since when they may be missing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metadata::model::ProjectId;
use metadata::model::audit::AuditRow;
use metadata::model::notes;
use metadata::{CommitError, Store, Timestamp};

use crate::caller::Caller;

/// Records in memory, at most: some 10 MiB.
const MOST: usize = 20_000;
/// Records written by one statement.
const BATCH: usize = 2000;
/// How often what gathered is written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often a process says that it lives, and looks for those that do not.
const SEEN_EVERY: Duration = Duration::from_secs(20);
/// A process that said nothing for so long is gone.
const SILENT_AFTER: Duration = Duration::from_mins(2);
/// Longest text in a record, in letters: a name with tag and digest is shorter.
const MOST_NAME: usize = 1024;

/// What happened.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// What was done, such as `manifest.get`.
    pub action: &'static str,
    /// In which project.
    pub project: Option<ProjectId>,
    /// To what.
    pub target: &'a str,
    /// `done` or `denied`.
    pub outcome: &'static str,
}

#[derive(Debug, Default)]
struct Pending {
    rows: Vec<AuditRow>,
    lost: u64,
}

/// The records in memory.
#[derive(Debug)]
pub struct Notes {
    store: Store,
    strict: bool,
    writer: String,
    pending: Mutex<Pending>,
}

impl Notes {
    pub(crate) fn new(store: Store, strict: bool) -> Self {
        let writer = format!("{:032x}", store.random().id128());
        Self { store, strict, writer, pending: Mutex::default() }
    }

    /// Takes a record. Waits for nothing unless `strict`; then an error means that the answer must not be given.
    pub async fn note(&self, caller: &Caller, note: Note<'_>) -> Result<(), CommitError> {
        let row = AuditRow {
            id: 0,
            at: self.store.now(),
            principal_id: caller.principal.id,
            principal: clean(&caller.principal.name),
            action: note.action.to_owned(),
            project: note.project,
            target: clean(note.target),
            outcome: note.outcome.to_owned(),
            details: "{}".to_owned(),
            address: caller.address.clone(),
            request_id: caller.request_id.clone(),
        };
        if self.strict {
            return self.write(vec![row], false).await;
        }
        let mut pending = self.lock();
        if pending.rows.len() < MOST {
            pending.rows.push(row);
        } else {
            pending.lost += 1;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes rows; ids are drawn here, after the time of the request.
    async fn write(&self, mut rows: Vec<AuditRow>, relaxed: bool) -> Result<(), CommitError> {
        let mut tx = self.store.begin().await?;
        let ids = self.store.ids().many(u32::try_from(rows.len()).unwrap_or(u32::MAX)).await?;
        for (row, id) in rows.iter_mut().zip(ids) {
            row.id = id;
        }
        notes::insert_many(&mut tx, &rows)?;
        if relaxed {
            tx.relaxed();
        }
        self.store.commit(tx).await
    }

    /// Writes what gathered. What cannot be written is counted as lost, and that is recorded once writing works again.
    pub async fn flush(&self) -> Result<(), CommitError> {
        loop {
            let (rows, lost) = {
                let mut pending = self.lock();
                let count = pending.rows.len().min(BATCH);
                let rows: Vec<_> = pending.rows.drain(..count).collect();
                (rows, std::mem::take(&mut pending.lost))
            };
            if rows.is_empty() && lost == 0 {
                return Ok(());
            }
            let count = rows.len() as u64;
            let mut all = rows;
            if lost > 0 {
                all.push(self.gap(&serde_json::json!({ "lost": lost })));
            }
            if let Err(error) = self.write(all, true).await {
                self.lock().lost += count + lost;
                return Err(error);
            }
        }
    }

    fn gap(&self, details: &serde_json::Value) -> AuditRow {
        AuditRow {
            id: 0,
            at: self.store.now(),
            principal_id: None,
            principal: "system".to_owned(),
            action: "audit.gap".to_owned(),
            project: None,
            target: "audit".to_owned(),
            outcome: "failed".to_owned(),
            details: details.to_string(),
            address: None,
            request_id: None,
        }
    }

    /// Writes what gathers until the future is dropped; then call [`Notes::end`].
    pub async fn keep(&self) {
        let mut flushes = tokio::time::interval(FLUSH_EVERY);
        flushes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen: Option<Timestamp> = None;
        loop {
            flushes.tick().await;
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "audit records of pulls, logins and denials are lost; the gap will be recorded");
            }
            if seen.is_none_or(|seen| self.store.now().since(seen) >= SEEN_EVERY) {
                match self.live().await {
                    Ok(()) => seen = Some(self.store.now()),
                    Err(error) => tracing::debug!(%error, "the audit's writers cannot be compared"),
                }
            }
        }
    }

    /// Says that this process lives, and records the gaps of those that do not.
    async fn live(&self) -> Result<(), CommitError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        notes::seen(&mut tx, &self.writer, now);
        tx.relaxed();
        self.store.commit(tx).await?;
        for (writer, seen_at) in self.store.silent_audit_writers(now.minus(SILENT_AFTER)).await? {
            let mut row = self.gap(&serde_json::json!({ "process_ended_after": seen_at }));
            row.id = self.store.ids().next().await?;
            let mut tx = self.store.begin().await?;
            notes::take_silent(&mut tx, &writer, seen_at);
            notes::insert_many(&mut tx, &[row])?;
            match self.store.commit(tx).await {
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The graceful end: everything is written, nothing is missing.
    pub async fn end(&self) -> Result<(), CommitError> {
        self.flush().await?;
        let mut tx = self.store.begin().await?;
        notes::gone(&mut tx, &self.writer);
        self.store.commit(tx).await
    }
}

/// A text as databases take it, and bounded.
fn clean(text: &str) -> String {
    if text.len() <= MOST_NAME && !text.contains('\0') {
        return text.to_owned();
    }
    text.chars().filter(|letter| *letter != '\0').take(MOST_NAME).collect()
}
