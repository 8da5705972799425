//! Work that must not be felt by those who push and pull: on a thread of its own, of the lowest priority.

use std::thread;

use tokio::sync::oneshot;

use crate::job::JobError;

/// The lowest priority that Linux knows.
const NICE: i32 = 19;

/// Runs `work` on a thread of the lowest priority.
///
/// # Errors
/// If no thread can be started, or the work panics.
pub(super) async fn quietly<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    let (done, result) = oneshot::channel();
    let run = move || {
        // Of the calling thread: on Linux every thread has its own.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "a thread keeps its priority");
        }
        // Nobody waits any more when its job was stopped.
        let _ = done.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(JobError::retry)?;
    result
        .await
        .map_err(|_| JobError::retry(format!("the thread `{name}` panicked; its message is in the log")))
}
