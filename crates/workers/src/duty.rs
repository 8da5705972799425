//! Duties: short recurring work that exactly one process does at a time, held by a named lease – sealing the audit,
//! writing the checkpoint.

use crate::figures::Figures;
use crate::job::JobError;
use futures_util::future::BoxFuture;
use metadata::Store;
use metadata::leases::{self, Held, LEASE_HELD};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// A duty holds its lease for so many of its rounds, at least [`SHORTEST_LEASE`], unless it says otherwise.
const ROUNDS: u32 = 3;
const SHORTEST_LEASE: Duration = Duration::from_secs(15);

/// A recurring duty of one process.
pub trait Duty: Send + Sync + 'static {
    /// The name of its lease; never changes.
    const NAME: &'static str;

    /// The pause between rounds.
    fn every(&self) -> Duration;

    /// For how long the lease is taken: another process takes over so long after this one was killed.
    fn lease(&self) -> Duration {
        (self.every() * ROUNDS).max(SHORTEST_LEASE)
    }

    /// One round, shorter than its lease. What it writes carries `leases::fence` of `held`.
    fn round(&self, store: &Store, held: &Held) -> impl Future<Output = Result<(), JobError>> + Send;

    /// What is to be done before a process ends that holds or can get the lease.
    fn last(&self, store: &Store, held: &Held) -> impl Future<Output = Result<(), JobError>> + Send {
        let _ = (store, held);
        std::future::ready(Ok(()))
    }
}

/// A duty without its type.
pub(crate) trait AnyDuty: Send + Sync {
    fn name(&self) -> &'static str;
    fn every(&self) -> Duration;
    fn lease(&self) -> Duration;
    fn last<'a>(&'a self, store: &'a Store, held: &'a Held) -> BoxFuture<'a, Result<(), JobError>>;
    fn round<'a>(&'a self, store: &'a Store, held: &'a Held) -> BoxFuture<'a, Result<(), JobError>>;
}

impl<D: Duty> AnyDuty for D {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn every(&self) -> Duration {
        Duty::every(self)
    }

    fn lease(&self) -> Duration {
        Duty::lease(self)
    }

    fn last<'a>(&'a self, store: &'a Store, held: &'a Held) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(Duty::last(self, store, held))
    }

    fn round<'a>(&'a self, store: &'a Store, held: &'a Held) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(Duty::round(self, store, held))
    }
}

/// Does a duty until the process ends: takes the lease when it is free, renews it in time.
pub(crate) async fn keep(
    store: Store,
    duty: Arc<dyn AnyDuty>,
    owner: String,
    figures: Arc<Figures>,
    shutdown: CancellationToken,
) {
    let mut rounds = interval(duty.every());
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = rounds.tick() => {}
        }
        if let Err(error) = once(&store, &*duty, &owner, &mut held).await {
            figures.duty_failed(duty.name());
            tracing::warn!(duty = duty.name(), %error, "a duty's round failed");
        }
    }
    if let Err(error) = end(&store, &*duty, &owner, held).await {
        tracing::warn!(duty = duty.name(), %error, "a duty did not end well; its lease will expire");
    }
}

/// The last round and the end of the lease.
async fn end(
    store: &Store,
    duty: &dyn AnyDuty,
    owner: &str,
    held: Option<(Held, Instant)>,
) -> Result<(), JobError> {
    let held = match held {
        Some((held, _)) => Some(held),
        None => leases::take(store, duty.name(), owner, duty.lease()).await?,
    };
    let Some(held) = held else { return Ok(()) };
    let done = duty.last(store, &held).await;
    leases::give_back(store, &held).await?;
    done
}

/// One round, if this process has or gets the lease. It is renewed when half of it is over: an idle process writes
/// little.
pub(crate) async fn once(
    store: &Store,
    duty: &dyn AnyDuty,
    owner: &str,
    held: &mut Option<(Held, Instant)>,
) -> Result<(), JobError> {
    let lease = duty.lease();
    let kept = match held.take() {
        Some((old, since)) if since.elapsed() < lease / 2 => Some((old, since)),
        Some((old, _)) if leases::renew(store, &old, lease).await? => Some((old, Instant::now())),
        _ => leases::take(store, duty.name(), owner, lease).await?.map(|new| (new, Instant::now())),
    };
    let Some((kept, since)) = kept else { return Ok(()) };
    let result = duty.round(store, &kept).await;
    if !matches!(&result, Err(JobError::Commit(error)) if error.conflicts_at(LEASE_HELD)) {
        *held = Some((kept, since));
    }
    result
}
