//! Work that must not be felt by those who push and pull: on a thread of its own that runs when nobody else wants to.
//!
//! `SCHED_IDLE` and not the highest niceness: a nice thread keeps the processor for its slice, some milliseconds, whoever
//! wakes up meanwhile (Linux's EEVDF); an idle one gives it up at once, and its processor counts as free.

use std::thread;

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use tokio::sync::oneshot;

use crate::job::JobError;

/// Runs `work` on a thread of the lowest priority: slowly while others want the processor.
///
/// # Errors
/// If no thread can be started, or the work panics.
pub(super) async fn quietly<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    let (done, result) = oneshot::channel();
    let run = move || {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        if let Err(error) = set {
            tracing::debug!(?error, "a thread keeps its priority");
        }
        // Nobody waits any more when its job was stopped.
        let _ = done.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(JobError::retry)?;
    result
        .await
        .map_err(|_| JobError::retry(format!("the thread `{name}` panicked; its message is in the log")))
}
