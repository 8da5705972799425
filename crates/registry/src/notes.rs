//! Records of what only reads: pulls, logins, denials. They gather in memory and are written together within a second,
//! so that reading waits for nothing; `audit.strict` writes each before its answer. Equal ones of one caller in that
//! time are one record that says how many they were.
//!
//! The queue is bounded; while the database is away it fills. What does not fit, and what a killed process had in
//! memory, is itself recorded: as a gap, with the number of records or the time since when they may be missing. A batch
//! whose commit was not heard of is written again: a record may be there twice, none is missing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metadata::model::audit::AuditRow;
use metadata::model::{PrincipalId, ProjectId, notes};
use metadata::{CommitError, Store, Timestamp};

use crate::caller::Caller;
use crate::record::row;

/// Records in memory, at most: some 30 MiB when all their names are of the greatest length.
const MOST: usize = 20_000;
/// Records written by one statement.
const BATCH: usize = 2000;
/// How often what gathered is written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often a process says that it lives, and looks for those that do not.
const SEEN_EVERY: Duration = Duration::from_secs(20);
/// A process that said nothing for so long is gone.
const SILENT_AFTER: Duration = Duration::from_mins(2);
/// Longest text in a record, in bytes: a name with tag and digest is shorter.
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

/// What makes two records the same but for the time and the request.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Same {
    principal_id: Option<PrincipalId>,
    principal: Arc<str>,
    address: Option<String>,
    action: &'static str,
    project: Option<ProjectId>,
    target: String,
    outcome: &'static str,
}

/// When it happened first, in which request, and how often since.
#[derive(Debug)]
struct Seen {
    order: usize,
    at: Timestamp,
    request_id: Option<String>,
    times: u64,
}

impl Seen {
    fn row(&self, same: &Same) -> AuditRow {
        AuditRow {
            id: 0,
            at: self.at,
            principal_id: same.principal_id,
            principal: same.principal.to_string(),
            action: same.action.to_owned(),
            project: same.project,
            target: same.target.clone(),
            outcome: same.outcome.to_owned(),
            details: match self.times {
                1 => "{}".to_owned(),
                times => serde_json::json!({ "times": times }).to_string(),
            },
            address: same.address.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    seen: HashMap<Same, Seen>,
    lost: u64,
}

impl Pending {
    fn add(&mut self, same: Same, seen: Seen) {
        let order = self.seen.len();
        match self.seen.entry(same) {
            Entry::Occupied(mut before) => before.get_mut().times += seen.times,
            Entry::Vacant(place) if order < MOST => {
                place.insert(Seen { order, ..seen });
            }
            Entry::Vacant(_) => self.lost += seen.times,
        }
    }

    /// What gathered, in its order, and how many did not fit.
    fn take(&mut self) -> (Vec<(Same, Seen)>, u64) {
        let Self { seen, lost } = std::mem::take(self);
        let mut gathered: Vec<_> = seen.into_iter().collect();
        gathered.sort_by_key(|(_, seen)| seen.order);
        (gathered, lost)
    }
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
        let same = Same {
            principal_id: caller.principal.id,
            principal: clean(&caller.principal.name).into(),
            address: caller.address.clone(),
            action: note.action,
            project: note.project,
            target: clean(note.target),
            outcome: note.outcome,
        };
        let seen = Seen { order: 0, at: self.store.now(), request_id: caller.request_id.clone(), times: 1 };
        if self.strict {
            return self.write(&mut [seen.row(&same)], false).await;
        }
        self.lock().add(same, seen);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes rows; ids are drawn here, after the time of the request.
    async fn write(&self, rows: &mut [AuditRow], relaxed: bool) -> Result<(), CommitError> {
        let mut tx = self.store.begin().await?;
        let ids = self.store.ids().many(u32::try_from(rows.len()).unwrap_or(u32::MAX)).await?;
        for (row, id) in rows.iter_mut().zip(ids) {
            row.id = id;
        }
        notes::insert_many(&mut tx, rows)?;
        if relaxed {
            tx.relaxed();
        }
        self.store.commit(tx).await
    }

    /// Writes what gathered. What cannot be written now waits for the next time.
    pub async fn flush(&self) -> Result<(), CommitError> {
        let (mut gathered, mut lost) = self.lock().take();
        while lost > 0 || !gathered.is_empty() {
            let count = gathered.len().min(BATCH);
            let mut rows: Vec<_> = gathered.iter().take(count).map(|(same, seen)| seen.row(same)).collect();
            if lost > 0 {
                rows.push(self.gap(&serde_json::json!({ "lost": lost })));
            }
            if let Err(error) = self.write(&mut rows, true).await {
                self.put_back(gathered, lost);
                return Err(error);
            }
            gathered.drain(..count);
            lost = 0;
        }
        Ok(())
    }

    /// Puts what was not written before what came since.
    fn put_back(&self, gathered: Vec<(Same, Seen)>, lost: u64) {
        let mut pending = self.lock();
        let (newer, newer_lost) = pending.take();
        pending.lost = lost + newer_lost;
        for (same, seen) in gathered.into_iter().chain(newer) {
            pending.add(same, seen);
        }
    }

    fn gap(&self, details: &serde_json::Value) -> AuditRow {
        let row = row(&Caller::system(), self.store.now(), "audit.gap", "audit");
        AuditRow { outcome: "failed".to_owned(), details: details.to_string(), ..row }
    }

    /// Writes what gathers, until `end`; then all that is left: nothing is missing after a graceful end.
    pub async fn keep(&self, end: impl Future<Output = ()>) -> Result<(), CommitError> {
        let mut end = std::pin::pin!(end);
        let mut flushes = tokio::time::interval(FLUSH_EVERY);
        flushes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen: Option<Timestamp> = None;
        loop {
            tokio::select! {
                () = &mut end => return self.end().await,
                _ = flushes.tick() => {}
            }
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "audit records of pulls, logins and denials wait for the database");
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

    async fn end(&self) -> Result<(), CommitError> {
        self.flush().await?;
        let mut tx = self.store.begin().await?;
        notes::gone(&mut tx, &self.writer);
        self.store.commit(tx).await
    }
}

/// A text as databases take it, and bounded.
fn clean(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MOST_NAME)];
    text.chars().filter(|letter| *letter != '\0').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata::{Engine as _, ManualClock, SeededRandom, Sqlite};

    #[tokio::test]
    async fn what_the_database_does_not_take_waits_before_what_comes_later() {
        let engine = Sqlite::memory().unwrap();
        let store =
            Store::new(engine.clone(), Arc::new(ManualClock::default()), Arc::new(SeededRandom::new(1)));
        let notes = Notes::new(store.clone(), false);
        let note = async |target: &str| {
            let note = Note { action: "manifest.get", project: None, target, outcome: "denied" };
            notes.note(&Caller::system(), note).await.unwrap();
        };
        note("first").await;
        engine.close().await;
        assert!(notes.flush().await.is_err());
        note("second").await;
        note("first").await;
        let (waiting, lost) = notes.lock().take();
        let waiting: Vec<_> = waiting.iter().map(|(same, seen)| (same.target.as_str(), seen.times)).collect();
        assert_eq!((waiting, lost), (vec![("first", 2), ("second", 1)], 0));
    }

    #[test]
    fn texts_are_cut_between_letters_and_have_no_zero() {
        assert_eq!(clean("a\0b"), "ab");
        let long = clean(&"ä".repeat(1000));
        assert!(long.len() <= MOST_NAME && long.chars().all(|letter| letter == 'ä'));
    }
}
