//! From events to jobs: each event of the outbox is settled in the transaction that enqueues what it causes.
//!
//! Invariant: an event causes its jobs once, however many processes dispatch; a reaction that fails postpones its
//! event and no other.

use crate::job::JobError;
use metadata::jobs::{self, NewJob};
use metadata::outbox::{self, Event};
use metadata::{CommitError, Store, Tx};
use std::time::Duration;

/// What an event causes: pure, quick, deterministic. An error postpones the event.
pub type Reaction = Box<dyn Fn(&Event) -> Result<Vec<NewJob>, JobError> + Send + Sync>;

/// Events read at once, and settled in one transaction.
const BATCH: u32 = 64;
/// The longest pause before an event that could not be dispatched is tried again.
const LONGEST_PAUSE_SECS: u64 = 600;

/// Dispatches what waits; answers how many events were settled or postponed, and whether more may wait.
pub(crate) async fn dispatch(
    store: &Store,
    reactions: &[(&'static str, Reaction)],
) -> Result<(usize, bool), JobError> {
    let events = outbox::pending(store, BATCH).await?;
    let more = events.len() == usize::try_from(BATCH).unwrap_or(usize::MAX);
    if events.is_empty() {
        return Ok((0, false));
    }
    match settle(store, reactions, &events).await {
        Err(JobError::Commit(CommitError::Conflict { .. })) => {}
        result => return Ok((result?, more)),
    }
    // Another process dispatches too, or an event was settled meanwhile: one by one.
    let mut settled = 0;
    for event in &events {
        match settle(store, reactions, std::slice::from_ref(event)).await {
            Err(JobError::Commit(CommitError::Conflict { .. })) => {}
            result => settled += result?,
        }
    }
    Ok((settled, more))
}

async fn settle(
    store: &Store,
    reactions: &[(&'static str, Reaction)],
    events: &[Event],
) -> Result<usize, JobError> {
    let mut tx = store.begin().await?;
    for event in events {
        match react(reactions, event) {
            Ok(caused) => {
                outbox::settle(&mut tx, event.id);
                enqueue_all(store, &mut tx, caused).await?;
            }
            Err(error) => {
                tracing::error!(%error, event = %event.id, kind = event.kind, "an event cannot be dispatched");
                let doubled = 2_u64.saturating_pow(u32::try_from(event.attempts.clamp(0, 20)).unwrap_or(0));
                let pause = Duration::from_secs(doubled.min(LONGEST_PAUSE_SECS));
                outbox::postpone(&mut tx, event.id, store.now().plus(pause), &error.to_string());
            }
        }
    }
    store.commit(tx).await?;
    Ok(events.len())
}

fn react(reactions: &[(&'static str, Reaction)], event: &Event) -> Result<Vec<NewJob>, JobError> {
    let mut caused = Vec::new();
    for (_, reaction) in reactions.iter().filter(|(kind, _)| *kind == event.kind) {
        caused.extend(reaction(event)?);
    }
    Ok(caused)
}

/// Appends the enqueueing of several jobs.
pub(crate) async fn enqueue_all(store: &Store, tx: &mut Tx, new: Vec<NewJob>) -> Result<(), JobError> {
    for job in new {
        let id = store.next_id().await?;
        jobs::enqueue(tx, id, store.now(), job);
    }
    Ok(())
}
