//! Back-off against guessing passwords, per name and address: the owner, coming from elsewhere, is not locked out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metadata::Timestamp;

use crate::error::Error;

const FREE_FAILURES: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
const FORGET_AFTER: Duration = Duration::from_mins(15);
const MAX_ENTRIES: usize = 50_000;

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Failed attempts of this process.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: Mutex<HashMap<(String, String), Failures>>,
}

fn wait(count: u32) -> Duration {
    let doublings = count.saturating_sub(FREE_FAILURES).min(10);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

impl Throttle {
    /// No failures yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses an attempt that comes too soon after too many failures.
    pub fn check(&self, name: &str, address: &str, now: Timestamp) -> Result<(), Error> {
        let failures = self.lock();
        let Some(entry) = failures.get(&(name.to_lowercase(), address.to_owned())) else { return Ok(()) };
        if entry.count < FREE_FAILURES {
            return Ok(());
        }
        let due = entry.last.plus(wait(entry.count));
        if now < due { Err(Error::TooManyAttempts { retry_after: due.since(now) }) } else { Ok(()) }
    }

    /// Notes a failed attempt.
    pub fn note_failure(&self, name: &str, address: &str, now: Timestamp) {
        let mut failures = self.lock();
        if failures.len() >= MAX_ENTRIES {
            failures.retain(|_, entry| now.since(entry.last) < FORGET_AFTER);
        }
        if failures.len() >= MAX_ENTRIES {
            return;
        }
        let entry = failures
            .entry((name.to_lowercase(), address.to_owned()))
            .or_insert(Failures { count: 0, last: now });
        if now.since(entry.last) > FORGET_AFTER {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    /// Forgets the failures of a name and address after a success.
    pub fn forget(&self, name: &str, address: &str) {
        self.lock().remove(&(name.to_lowercase(), address.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_for_the_guesser_only() {
        let throttle = Throttle::new();
        let now = Timestamp::from_secs(1000);
        for _ in 0..FREE_FAILURES {
            assert!(throttle.check("alice", "10.0.0.1", now).is_ok());
            throttle.note_failure("Alice", "10.0.0.1", now);
        }
        assert!(matches!(throttle.check("alice", "10.0.0.1", now), Err(Error::TooManyAttempts { .. })));
        assert!(throttle.check("alice", "10.0.0.2", now).is_ok(), "the owner elsewhere is not locked out");
        assert!(throttle.check("alice", "10.0.0.1", now.plus(FIRST_WAIT)).is_ok());
        throttle.forget("alice", "10.0.0.1");
        assert!(throttle.check("alice", "10.0.0.1", now).is_ok());
    }
}
