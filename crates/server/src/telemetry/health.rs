//! Whether the process is ready, and why not.
//!
//! Alive (`/healthz`) means that the process answers; ready (`/readyz`) that it should get requests: every named check
//! passes and the shutdown has not begun. Checks run together, each for 2 s at most, and at most once a second
//! however often anybody asks, since the question needs no credential.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

const CHECK_DEADLINE: Duration = Duration::from_secs(2);
const FRESH: Duration = Duration::from_secs(1);

/// What a check answers, boxed so that checks of all kinds stand in one list.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// One condition of readiness.
pub trait ReadyCheck: Send + Sync + 'static {
    /// Whether it holds; if not, a reason for operators: short, without secrets.
    fn check(&self) -> Checking<'_>;
}

impl<F, T> ReadyCheck for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), String>> + Send + 'static,
{
    fn check(&self) -> Checking<'_> {
        Box::pin(self())
    }
}

/// The outcome of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Each check with the reason why it does not hold.
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

impl Readiness {
    /// Whether all hold.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// One line for each check.
    pub fn text(&self) -> String {
        let mut out = String::from(if self.is_ready() { "ready\n" } else { "not ready\n" });
        for (name, outcome) in &self.checks {
            let _ = match outcome {
                Ok(()) => writeln!(out, "{name}: ok"),
                Err(reason) => writeln!(out, "{name}: {reason}"),
            };
        }
        out
    }
}

/// The checks of the process.
#[derive(Default)]
pub struct Health {
    ending: AtomicBool,
    checks: RwLock<Vec<(&'static str, Arc<dyn ReadyCheck>)>>,
    last: Mutex<Option<(Instant, Readiness)>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl Health {
    /// Adds a check.
    pub fn add(&self, name: &'static str, check: impl ReadyCheck) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).push((name, Arc::new(check)));
    }

    /// From now on not ready: the process ends.
    pub fn begin_shutdown(&self) {
        self.ending.store(true, Relaxed);
    }

    /// Runs the checks, or answers what they said less than a second ago.
    pub async fn readiness(&self) -> Readiness {
        if self.ending.load(Relaxed) {
            return Readiness { checks: vec![("shutdown", Err("the process is shutting down".to_owned()))] };
        }
        let mut last = self.last.lock().await;
        if let Some((at, readiness)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return readiness.clone();
        }
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let outcomes = join_all(checks.iter().map(|(name, check)| async move {
            let outcome = timeout(CHECK_DEADLINE, check.check()).await;
            (*name, outcome.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())))
        }));
        let readiness = Readiness { checks: outcomes.await };
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readiness_names_the_check_that_fails_and_is_not_asked_again_within_a_second() {
        let health = Health::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        health.add("storage", || async { Ok(()) });
        health.add("database", move || {
            let nth = counter.fetch_add(1, Relaxed);
            async move { if nth == 0 { Err("connection refused".to_owned()) } else { Ok(()) } }
        });
        let first = health.readiness().await;
        assert!(!first.is_ready());
        assert_eq!(first.text(), "not ready\nstorage: ok\ndatabase: connection refused\n");
        assert_eq!(health.readiness().await, first);
        assert_eq!(asked.load(Relaxed), 1);
        tokio::time::advance(FRESH).await;
        assert!(health.readiness().await.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_not_ready() {
        let health = Health::default();
        health.add("storage", std::future::pending);
        assert_eq!(health.readiness().await.text(), "not ready\nstorage: no answer within 2 s\n");
    }

    #[tokio::test]
    async fn a_process_that_ends_is_not_ready() {
        let health = Health::default();
        health.begin_shutdown();
        assert!(!health.readiness().await.is_ready());
    }
}
