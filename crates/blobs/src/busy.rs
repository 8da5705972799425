//! Patience with an object whose dropped writer is rolling back in the background for a moment.

use std::time::Duration;

use crate::BlobError;

/// How often, and how long apart, a busy object is tried again: one second in all.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Repeats work that finds its object busy; the last answer stands.
pub(crate) async fn while_busy<T, F: Future<Output = Result<T, BlobError>> + Send>(
    work: impl Fn() -> F + Send,
) -> Result<T, BlobError> {
    for _ in 0..TRIES {
        match work().await {
            Err(BlobError::Busy { .. }) => tokio::time::sleep(PAUSE).await,
            other => return other,
        }
    }
    work().await
}

/// The same on a thread that may block.
pub(crate) fn while_busy_now<T>(mut work: impl FnMut() -> Result<T, BlobError>) -> Result<T, BlobError> {
    for _ in 0..TRIES {
        match work() {
            Err(BlobError::Busy { .. }) => std::thread::park_timeout(PAUSE),
            other => return other,
        }
    }
    work()
}
