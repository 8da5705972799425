//! One budget of upload memory for the whole process.
//!
//! Uploads take what they really hold, piece by piece, and give it back when the last copy of the piece is dropped. So
//! slow ones cost what they have sent, not what a fast one needs.
//!
//! Invariants: however many uploads there are, the bytes they hold never exceed the budget, nor those of one principal
//! its share, a quarter. A store that only takes whole parts needs up to `need` bytes before an upload gives any back, so
//! a piece is granted only while the rest of that is free, too: whoever was granted the last piece can go on to its
//! part, and uploads never wait for each other in a circle. Over the budget they wait; after `patience` they fail with
//! [`BlobError::Overloaded`]. Uploads may keep bytes back between two chunks only while at least half is free.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::BlobError;

/// The least budget: what one writer of the most demanding store needs is a quarter of it.
const LEAST_BYTES: usize = 32 << 20;

/// Upload memory shared by all writers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    pool: Arc<Pool>,
    /// Whose share counts, if anybody's.
    principal: Option<i64>,
}

#[derive(Debug)]
struct Pool {
    total: usize,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    shares: HashMap<i64, usize>,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    account: Account,
    bytes: usize,
    grant: oneshot::Sender<Permit>,
}

/// What one upload holds of a budget. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    budget: Budget,
    /// Changed only under the pool's lock.
    held: Arc<AtomicUsize>,
    need: usize,
}

/// Bytes taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    account: Account,
    bytes: usize,
}

impl State {
    /// Whether an account may have so much more.
    fn allows(&self, account: &Account, bytes: usize) -> bool {
        let pool = &account.budget.pool;
        let needed = bytes.max(account.need.saturating_sub(account.held.load(Relaxed)));
        let free = pool.total.saturating_sub(self.held);
        needed <= free
            && account.budget.principal.is_none_or(|principal| needed <= self.room(pool, principal))
    }

    fn room(&self, pool: &Pool, principal: i64) -> usize {
        pool.share().saturating_sub(self.shares.get(&principal).copied().unwrap_or(0))
    }

    fn grant(&mut self, account: &Account, bytes: usize) -> Permit {
        self.held += bytes;
        account.held.fetch_add(bytes, Relaxed);
        if let Some(principal) = account.budget.principal {
            *self.shares.entry(principal).or_default() += bytes;
        }
        Permit { account: account.clone(), bytes }
    }

    fn take_back(&mut self, permit: &Permit) {
        self.held = self.held.saturating_sub(permit.bytes);
        permit.account.held.fetch_sub(permit.bytes, Relaxed);
        if let Some(principal) = permit.account.budget.principal
            && let Some(share) = self.shares.get_mut(&principal)
        {
            *share = share.saturating_sub(permit.bytes);
            if *share == 0 {
                self.shares.remove(&principal);
            }
        }
    }

    /// Grants what can be granted now, in the order of asking; answers those permits that nobody waits for any more.
    fn serve(&mut self) -> Vec<Permit> {
        let mut unwanted = Vec::new();
        for waiter in std::mem::take(&mut self.waiting) {
            if waiter.grant.is_closed() {
                continue;
            }
            if !self.allows(&waiter.account, waiter.bytes) {
                self.waiting.push_back(waiter);
                continue;
            }
            let permit = self.grant(&waiter.account, waiter.bytes);
            unwanted.extend(waiter.grant.send(permit).err());
        }
        unwanted
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn share(&self) -> usize {
        self.total / 4
    }
}

impl Budget {
    /// A budget of `bytes` (at least 32 MiB).
    pub fn new(bytes: usize, patience: Duration) -> Self {
        let pool = Pool { total: bytes.max(LEAST_BYTES), patience, state: Mutex::default() };
        Self { pool: Arc::new(pool), principal: None }
    }

    /// The same budget, of which this principal gets a share.
    #[must_use]
    pub fn of(&self, principal: i64) -> Self {
        Self { pool: Arc::clone(&self.pool), principal: Some(principal) }
    }

    /// Bytes not taken now.
    pub fn free_bytes(&self) -> usize {
        self.pool.total.saturating_sub(self.pool.lock().held)
    }

    /// Whether less than half is free, of the whole or of the share: hold nothing back then.
    pub fn is_tight(&self) -> bool {
        let state = self.pool.lock();
        let share = self.principal.is_some_and(|it| state.room(&self.pool, it) < self.pool.share() / 2);
        share || state.held > self.pool.total / 2
    }

    /// Takes `bytes` for somebody who needs no more.
    pub async fn take(&self, bytes: usize) -> Result<Permit, BlobError> {
        self.account(0).take(bytes).await
    }

    /// The account of an upload that gives nothing back before it holds `need` bytes.
    pub(crate) fn account(&self, need: usize) -> Account {
        Account { budget: self.clone(), held: Arc::default(), need: need.min(self.pool.share()) }
    }
}

impl Account {
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// A single request above the share counts as the share, or it would never be granted.
    fn bounded(&self, bytes: usize) -> usize {
        bytes.min(self.budget.pool.share())
    }

    /// Takes `bytes` if they are free now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Permit> {
        let bytes = self.bounded(bytes);
        let mut state = self.budget.pool.lock();
        state.allows(self, bytes).then(|| state.grant(self, bytes))
    }

    /// Takes `bytes` as soon as they are free.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Permit, BlobError> {
        let bytes = self.bounded(bytes);
        let granted = {
            let mut state = self.budget.pool.lock();
            if state.allows(self, bytes) {
                return Ok(state.grant(self, bytes));
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(Waiter { account: self.clone(), bytes, grant });
            granted
        };
        match tokio::time::timeout(self.budget.pool.patience, granted).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(BlobError::Overloaded),
        }
    }
}

impl Permit {
    /// The bytes with this permit, which ends with the last copy of them.
    pub(crate) fn charge(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _permit: self })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let unwanted = {
            let mut state = self.account.budget.pool.lock();
            state.take_back(self);
            state.serve()
        };
        // Outside of the lock: each of them comes here again.
        drop(unwanted);
    }
}

/// Bytes that give their part of the budget back when they are dropped.
struct Charged {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_budget_waits_then_fails_and_recovers() {
        let budget = Budget::new(32 * MIB, Duration::from_secs(5));
        let mut held: Vec<Permit> = (0..4).map(|_| budget.account(0).try_take(8 * MIB).unwrap()).collect();
        assert!(budget.is_tight());
        assert!(matches!(budget.take(1).await, Err(BlobError::Overloaded)));
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(8 * MIB).await.map(drop) }
        });
        tokio::task::yield_now().await;
        held.pop();
        waiting.await.unwrap().unwrap();
        assert_eq!(budget.free_bytes(), 8 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_free_for_the_next() {
        let budget = Budget::new(32 * MIB, Duration::from_secs(5));
        let held: Vec<Permit> = (0..4).map(|_| budget.account(0).try_take(8 * MIB).unwrap()).collect();
        let gone = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(8 * MIB).await.map(drop) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        drop(held);
        assert_eq!(budget.free_bytes(), 32 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn one_principal_gets_its_share_and_the_others_theirs() {
        let budget = Budget::new(64 * MIB, Duration::from_secs(5));
        let (one, two) = (budget.of(1), budget.of(2));
        let held: Vec<Permit> = (0..16).map(|_| one.account(0).try_take(MIB).unwrap()).collect();
        assert!(one.is_tight() && !two.is_tight());
        assert!(one.account(0).try_take(1).is_none());
        assert!(matches!(one.take(1).await, Err(BlobError::Overloaded)));
        assert!(two.take(16 * MIB).await.is_ok());
        drop(held);
        assert!(one.take(16 * MIB).await.is_ok());
    }

    #[test]
    fn the_last_free_bytes_are_for_those_who_can_finish_a_part_with_them() {
        let budget = Budget::new(32 * MIB, Duration::from_secs(5));
        let accounts: Vec<Account> = (0..100).map(|_| budget.account(8 * MIB)).collect();
        let mut held = Vec::new();
        // Everybody takes what they get, in turn.
        let mut progress = true;
        while progress {
            progress = false;
            for account in &accounts {
                if let Some(permit) = account.try_take(MIB / 2) {
                    held.push(permit);
                    progress = true;
                }
            }
        }
        let full = accounts.iter().filter(|account| account.held.load(Relaxed) >= 8 * MIB);
        assert!(full.count() > 0, "all are stuck below a part");
    }
}
