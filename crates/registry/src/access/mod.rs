//! Access: the facts of who may do what, held in memory, and the decision from them.
//!
//! Facts are a snapshot of principals, projects and grants. It is compared with the database's generation once a
//! second, and once more before any negative answer, so that a right given on another replica is never missed and a
//! right taken is gone within seconds. A process applies its own changes before it answers them.

mod authorize;
mod facts;
mod grant;
mod terms;

pub use authorize::Need;
pub use facts::{Facts, GrantView, PrincipalFact, ProjectFact};
pub use grant::{Delete, Grant, Pull, Push, Right};
pub(crate) use terms::{effect_name, to_json};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use metadata::{Store, StoreError};

/// The access facts of this process.
#[derive(Debug)]
pub struct Access {
    store: Store,
    facts: ArcSwap<Facts>,
    /// When the last comparison with the database that succeeded began, in milliseconds that nobody sets back.
    compared_at: AtomicU64,
    /// Comparisons begun, and the numbers of the last that succeeded and the last that failed.
    begun: AtomicU64,
    compared: AtomicU64,
    failed: AtomicU64,
    /// Whether the last comparison failed.
    cut_off: AtomicBool,
    refreshing: tokio::sync::Mutex<()>,
    stale_max: Duration,
}

/// After this long without a comparison, writes are refused.
const WRITES_STOP_AFTER: Duration = Duration::from_mins(1);

impl Access {
    /// Reads all facts.
    pub async fn load(store: Store, stale_max: Duration) -> Result<Self, StoreError> {
        let started = store.clock().elapsed();
        let mut facts = Facts::default();
        facts.apply(store.access_changes(0).await?);
        Ok(Self {
            compared_at: AtomicU64::new(millis(started)),
            store,
            facts: ArcSwap::from_pointee(facts),
            begun: AtomicU64::new(0),
            compared: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cut_off: AtomicBool::new(false),
            refreshing: tokio::sync::Mutex::new(()),
            stale_max,
        })
    }

    /// The facts as they are known now.
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    /// Compares the generation with the database and reads what changed. Concurrent calls share one comparison, and
    /// its failure: a crowd of callers waits for a dead database once, not one after the other.
    /// Answers whether anything changed since `seen`.
    pub async fn refresh(&self, seen: i64) -> Result<bool, StoreError> {
        let before = self.begun.load(Ordering::Acquire);
        let _turn = self.refreshing.lock().await;
        if self.compared.load(Ordering::Acquire) > before {
            return Ok(self.facts.load().generation() != seen);
        }
        if self.failed.load(Ordering::Acquire) > before {
            return Err(StoreError::unavailable("the access facts could just now not be compared"));
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let outcome = self.compare().await;
        self.cut_off.store(outcome.is_err(), Ordering::Release);
        let ended = if outcome.is_ok() { &self.compared } else { &self.failed };
        ended.store(number, Ordering::Release);
        outcome.map(|()| self.facts.load().generation() != seen)
    }

    async fn compare(&self) -> Result<(), StoreError> {
        let started = self.store.clock().elapsed();
        let known = self.facts.load().generation();
        if self.store.access_generation().await? != known {
            let changes = self.store.access_changes(known).await?;
            let mut facts = Facts::clone(&self.facts.load());
            facts.apply(changes);
            self.facts.store(Arc::new(facts));
        }
        self.compared_at.store(millis(started), Ordering::Release);
        Ok(())
    }

    /// Applies what this process has committed, before it is answered. Nothing after a commit fails a request: if the
    /// database is gone by now, the next comparison brings it.
    pub(crate) async fn apply_own(&self) {
        if let Err(error) = self.refresh(0).await {
            tracing::warn!(%error, "an own change of access facts is committed but not yet applied");
        }
    }

    /// Whether the database could not be asked when it was tried last.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Compares at least every second; the edge runs it in the background until it is dropped.
    pub async fn keep_fresh(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.refresh(0).await {
                tracing::warn!(%error, "access facts could not be compared with the database");
            }
        }
    }

    fn age(&self) -> Duration {
        let compared_at = Duration::from_millis(self.compared_at.load(Ordering::Acquire));
        self.store.clock().elapsed().saturating_sub(compared_at)
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use metadata::{ManualClock, SeededRandom, Sqlite};

    use super::*;

    #[tokio::test]
    async fn the_age_of_the_facts_is_the_time_that_passed_whatever_the_clock_is_set_to() {
        let clock = Arc::new(ManualClock::default());
        let store = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(1)));
        let begun = store.now();
        let access = Access::load(store, Duration::from_hours(1)).await.unwrap();
        clock.set(begun.plus(Duration::from_hours(24)));
        assert!(access.check_writes_possible().is_ok(), "nothing is stale because the clock was put right");
        clock.set(begun.minus(Duration::from_hours(24)));
        clock.advance(WRITES_STOP_AFTER + Duration::from_secs(1));
        assert!(access.check_writes_possible().is_err(), "nor fresh because it was set back");
        access.refresh(0).await.unwrap();
        assert!(access.check_writes_possible().is_ok());
    }
}
