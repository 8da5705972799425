//! Turns for pushes that lost a race: first attempts run at once, only losers queue.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::access::{Grant, Push};

const SHARDS: usize = 64;

/// Queues of contended repositories, hashed onto a fixed number of locks.
#[derive(Debug)]
pub(crate) struct Turns {
    hash: RandomState,
    shards: Vec<Mutex<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { hash: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::new(())).collect() }
    }
}

impl Turns {
    /// The turn of a push to a repository, in order of asking.
    pub(crate) async fn turn(&self, grant: &Grant<Push>) -> MutexGuard<'_, ()> {
        let shard = usize::try_from(self.hash.hash_one(&grant.repo) % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock().await
    }
}
